//! The book, against links as they were given.

use super::*;
use crate::links::record::{Kill, Switch};
use proptest::prelude::*;

fn link(number: u32, name: &str, ad: &str) -> Link<'static> {
    Link {
        number,
        name: Cow::Owned(name.to_owned()),
        site: "shop".into(),
        to: vec![Way { url: "https://shop.example/a".into(), weight: 1 }],
        ad: Cow::Owned(ad.to_owned()),
        ..Link::default()
    }
}

fn texts() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![Just(""), Just("summer"), Just("Größe 42 – ✓")]
        .prop_map(Cow::Borrowed)
        .boxed()
        .prop_union("[a-z]{0,9}".prop_map(Cow::Owned).boxed())
}

fn urls() -> impl Strategy<Value = Cow<'static, str>> {
    "(https://(a|b)\\.example(:81)?(/[a-z?=&#]{0,12})?|shopapp://x/[a-z]{0,4})".prop_map(Cow::Owned)
}

fn links() -> impl Strategy<Value = Link<'static>> {
    let words = proptest::collection::vec(texts(), 8);
    let ways = proptest::collection::vec((urls(), any::<u16>()), 1..4);
    let odds = (any::<bool>(), proptest::option::of(any::<i64>()), 0usize..3, any::<i64>());
    let fallback = prop_oneof![Just(Cow::Borrowed("")).boxed(), urls().boxed()];
    (any::<u32>(), words, ways, odds, fallback).prop_map(|(number, words, ways, odds, fallback)| {
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap();
        Link {
            number: number.max(1),
            name: Cow::Owned(format!("link-{}", number.max(1))),
            site: next(),
            to: ways.into_iter().map(|(url, weight)| Way { url, weight }).collect(),
            campaign: next(),
            ad: next(),
            creative: next(),
            placement: next(),
            mailing: next(),
            product: next(),
            price_variant: next(),
            price: odds.1.map(Amount::from_scaled),
            currency: odds.1.and_then(|_| Currency::parse("EUR")),
            kind: [Kind::Found, Kind::Temporary, Kind::Meta][odds.2],
            expires_ms: odds.3,
            fallback,
            retired: odds.0,
        }
    })
}

proptest! {
    #[test]
    fn a_link_comes_out_as_it_went_in(links in proptest::collection::vec(links(), 1..8)) {
        let mut book = Book::default();
        let mut latest = std::collections::BTreeMap::new();
        for link in &links {
            book.apply(&Change::Link(link.clone())).unwrap();
            latest.insert(link.number, link.clone());
        }
        prop_assert_eq!(book.len(), latest.len());
        for (number, link) in &latest {
            prop_assert_eq!(book.link(&link.name), Some(link.clone()));
            prop_assert_eq!(book.link_numbered(*number), Some(link.clone()));
            let first = latest.values().find(|other| other.ad == link.ad).unwrap();
            if !link.ad.is_empty() {
                prop_assert_eq!(book.link_of_ad(&link.ad).map(|found| found.number), Some(first.number));
            }
        }
        let mut again = Book::default();
        for change in book.changes() {
            again.apply(&change).unwrap();
        }
        prop_assert!(book.links().eq(again.links()));
    }
}

#[test]
fn a_number_is_one_links_for_ever() {
    let mut book = Book::default();
    let mut put = |link| book.apply(&Change::Link(link));
    put(link(5, "a", "")).unwrap();
    put(Link { retired: true, ..link(5, "a", "") }).unwrap();
    let taken = |name: &str, number| Err(Misfit::Number { name: name.into(), number });
    assert_eq!(put(link(5, "b", "")), taken("b", 5));
    assert_eq!(put(link(6, "a", "")), taken("a", 6));
    assert_eq!(put(link(0, "c", "")), taken("c", 0));
    assert_eq!(book.next_number(), NUMBER_MIN);
    book.apply(&Change::Link(link(NUMBER_MIN + 7, "d", ""))).unwrap();
    assert_eq!(book.next_number(), NUMBER_MIN + 8);
}

#[test]
fn a_link_that_leaves_its_ad_makes_room_for_the_next() {
    let mut book = Book::default();
    for link in [link(1, "a", "shoe"), link(2, "b", "shoe"), link(1, "a", "boot")] {
        book.apply(&Change::Link(link)).unwrap();
    }
    assert_eq!(book.link_of_ad("shoe").unwrap().name, "b");
    assert_eq!(book.link_of_ad("boot").unwrap().name, "a");
    assert_eq!(book.link_of_ad(""), None);
}

#[test]
fn a_switched_off_host_takes_all_below_it_along() {
    let mut book = Book::default();
    let mut set = |what, name: &'static str, on| {
        book.apply(&Change::Kill(Kill { what, name: name.into(), on })).unwrap();
    };
    set(Switch::Host, "evil.example", true);
    set(Switch::Link, "old", true);
    set(Switch::Affiliate, "blogger", true);
    set(Switch::Affiliate, "blogger", false);
    let kills = book.kills();
    for host in ["evil.example", "www.evil.example", "WWW.Evil.Example:8080", "evil.example."] {
        assert!(kills.stops_host(host), "{host}");
    }
    for host in ["notevil.example", "example", "", "evil.example.org"] {
        assert!(!kills.stops_host(host), "{host}");
    }
    assert!(kills.stops_link("old") && !kills.stops_affiliate("blogger"));
    assert_eq!(kills.len(), 2);
}
