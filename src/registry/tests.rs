use super::*;

fn refusal(text: &str) -> String {
    Registry::parse(text, "sites.toml").unwrap_err().to_string()
}

#[test]
fn the_demo_sites_are_a_registry() {
    let registry = Registry::load("").unwrap();
    assert_eq!(registry.link("summer-ad").unwrap().number, 1);
    assert_eq!(registry.link_of_ad("summer-shoes").unwrap().name, "summer-ad");
    assert!(registry.only_site().is_some());
}

#[test]
fn a_wrong_registry_names_the_place_and_the_nearest_valid_word() {
    let text = "[[site]]\nname = \"a\"\nvisitor = \"cookie\"\norigin = []\n";
    let error = refusal(text);
    assert!(error.starts_with("sites.toml, line 4"), "{error}");
    assert!(error.ends_with("did you mean `origins`?"), "{error}");
    let site = "[[site]]\nname = \"shop\"\nvisitor = \"none\"\n";
    let error = refusal(&format!("{site}[[form]]\nname = \"f\"\nsite = \"shp\"\n"));
    assert_eq!(error, "sites.toml: form `f`: unknown site `shp`; did you mean `shop`?");
    let link = "[[link]]\nnumber = 1\nname = \"l\"\nsite = \"shop\"\ndestination = \"javascript:alert(1)\"\n";
    assert!(refusal(&format!("{site}{link}")).contains("a destination is http(s)"));
    let link = "[[link]]\nnumber = 1\nname = \"l\"\nsite = \"shop\"\ndestination = \"https://a.example/?lt=1\"\n";
    assert!(refusal(&format!("{site}{link}")).contains("has a parameter `lt` already"));
}

#[test]
fn origins_are_spelled_as_browsers_spell_them() {
    let with = |origin: &str| {
        format!("[[site]]\nname = \"a\"\nvisitor = \"none\"\norigins = [\"{origin}\"]\n")
    };
    assert!(Registry::parse(&with("https://shop.example:8443"), "sites.toml").is_ok());
    assert!(
        refusal(&with("https://Shop.example/")).ends_with("must be spelled `https://shop.example`")
    );
    assert!(refusal(&with("https://shop.example:443")).ends_with("`https://shop.example`"));
    assert!(refusal(&with("shop.example")).ends_with("is not scheme://host[:port]"));
    assert!(refusal(&with("null")).ends_with("is not scheme://host[:port]"));
    let thanks =
        with("https://shop.example").replace("origins", "thank_you = \"/thanks\"\norigins");
    assert!(refusal(&thanks).ends_with("thank_you is http(s)://host/… or empty"));
}
