//! Profiles of click addresses.

use super::*;

fn registry() -> Arc<Registry> {
    let text = r#"
[[site]]
name = "shop"
origins = ["https://www.shop.example"]
visitor = "none"

[[affiliate]]
number = 1
name = "blogger"

[[affiliate]]
number = 2
name = "dealsite"
profile = "redtrack"

[[offer]]
number = 300
name = "spring"
site = "shop"
destination = "https://www.shop.example/spring"

[[network]]
name = "tune"
hosts = ["go.shop.example"]
offers = { "12" = "spring" }
affiliates = { "1042" = "blogger" }

[[network]]
name = "old-tracker"
profile = "voluum"
hosts = ["go.shop.example", "v.example"]
offers = { "3d1f3b4f" = "spring" }
affiliate = "dealsite"

[[network]]
name = "post_affiliate_pro"
hosts = ["p.example"]
offers = { "12" = "spring", "73d672s1" = "spring" }
affiliates = { "1042" = "blogger" }

[[network]]
name = "cake"
hosts = ["*"]
offers = { "12" = "spring" }
affiliates = { "1042" = "blogger" }
"#;
    Arc::new(Registry::parse(text, "test").unwrap())
}

fn found(host: &str, path: &str, query: &str) -> Option<(String, String)> {
    let networks = Networks::open("", registry()).unwrap();
    let found = networks.find(host, path, query)?;
    Some((found.affiliate.to_owned(), found.offer.to_owned()))
}

fn pair(affiliate: &str, offer: &str) -> Option<(String, String)> {
    Some((affiliate.to_owned(), offer.to_owned()))
}

#[test]
fn the_list_of_built_in_profiles_is_the_folder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/dialects/clicks");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, file::FILES.map_names());
    let profiles = Profiles::load("").unwrap();
    assert!(profiles.all().all(|profile| !profile.file.example.is_empty()));
    assert_eq!(profiles.get("tuen").unwrap_err(), "tune");
}

trait Names {
    fn map_names(&self) -> Vec<String>;
}

impl Names for [(&str, &str)] {
    fn map_names(&self) -> Vec<String> {
        self.iter().map(|(name, _)| (*name).to_owned()).collect()
    }
}

#[test]
fn an_address_is_a_click_only_where_host_affiliate_and_offer_are_ours() {
    let tune = "offer_id=12&aff_id=1042";
    assert_eq!(found("go.shop.example:8080", "/aff_c", tune), pair("blogger", "spring"));
    assert_eq!(
        found("GO.shop.example", "/aff_c/", "OFFER_ID=12&aff_id=blogger"),
        pair("blogger", "spring")
    );
    assert_eq!(found("v.example", "/aff_c", tune), None, "another host");
    assert_eq!(found("go.shop.example", "/aff_c", "offer_id=13&aff_id=1042"), None);
    assert_eq!(found("go.shop.example", "/aff_c", "offer_id=12"), None, "nobody sends");
    assert_eq!(found("go.shop.example", "/aff_c/x", tune), None);
    assert_eq!(found("v.example", "/3d1f3b4f", ""), pair("dealsite", "spring"));
    assert_eq!(found("v.example", "/spring", ""), pair("dealsite", "spring"), "our own name");
    assert_eq!(found("v.example", "/wp-login.php", ""), None);
    assert_eq!(found("x.example", "/", "a=1042&c=12&s1=x"), pair("blogger", "spring"));
    assert_eq!(found("x.example", "/", ""), None);
}

#[test]
fn a_banner_tells_the_offer_where_nothing_else_does() {
    let path = "/system/scripts/click.php";
    assert_eq!(found("p.example", path, "a_aid=1042&a_bid=73d672s1"), pair("blogger", "spring"));
    assert_eq!(
        found("p.example", path, "a_aid=1042&a_bid=none&a_cid=12"),
        pair("blogger", "spring")
    );
    assert_eq!(found("p.example", path, "a_aid=1042&a_bid=73d672s1&a_cid=13"), None);
    assert_eq!(found("p.example", path, "a_aid=1042&a_bid=none"), None);
    assert_eq!(found("x.example", "/", "a=1042&c=13"), None, "a creative of another offer");
}

#[test]
fn an_affiliates_links_at_our_own_door_are_read_as_its_tracker_writes_them() {
    let networks = Networks::open("", registry()).unwrap();
    assert_eq!(networks.of_affiliate("dealsite").name, "redtrack");
    assert_eq!(networks.of_affiliate("blogger").name, OWN);
    let profile = networks.of_affiliate("dealsite");
    assert_eq!(profile.meaning("REF_ID"), Some(Meaning::Role(Role::ClickId)));
    assert_eq!(profile.meaning("sub20"), Some(Meaning::Sub("sub20")));
    assert_eq!((profile.meaning("Cost"), profile.spelled("Cost")), (Some(Meaning::Keep), "cost"));
    assert_eq!(profile.meaning("email"), None);
}

#[test]
fn a_profile_that_cannot_be_right_says_so() {
    let wrong = |text: &str| match profiles::parse::<file::File>(text, "x.toml") {
        Ok(file) => Profile::new("x", file).unwrap_err(),
        Err(error) => error.to_string(),
    };
    let head = "network = \"X\"\nsource = \"y\"\n";
    assert!(wrong(&format!("{head}subs = [\"a\", \"A\"]\n")).contains("`A` has two meanings"));
    assert!(wrong(&format!("{head}paths = [\"c/{{offer}}\"]\n")).contains("does not begin with /"));
    assert!(wrong(&format!("{head}paths = [\"/{{ofer}}\"]\n")).contains("no `{ofer}`"));
    assert!(wrong(&format!("{head}sub = []\n")).contains("line 3"));
}
