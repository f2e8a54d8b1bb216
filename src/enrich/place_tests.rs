//! Against MaxMind's test database, a small flat one made here, and both of them damaged.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const NESTED: &[u8] = include_bytes!("../../tests/fixtures/geo/GeoIP2-City-Test.mmdb");

fn places(content: &[u8]) -> Result<Places, PlaceError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("city.mmdb");
    fs::write(&file, content).unwrap();
    Places::open(&file)
}

fn place(country: &str, region: &str, city: &str) -> Place {
    Place { country: country.into(), region: region.into(), city: city.into() }
}

fn at(places: &Places, address: &str) -> Place {
    Place::clone(&places.lookup(address.parse().unwrap()))
}

#[test]
fn a_maxmind_database_names_country_region_and_city() {
    let places = places(NESTED).unwrap();
    assert_eq!(at(&places, "2a02:d180::1"), place("DE", "", ""));
    assert_eq!(at(&places, "89.160.20.128"), place("SE", "Östergötland County", "Linköping"));
    assert_eq!(at(&places, "::ffff:89.160.20.128"), at(&places, "89.160.20.128"));
    assert_eq!(at(&places, "127.0.0.1"), Place::default());
    assert_eq!(at(&places, "2001:db8::1"), Place::default());
    assert_eq!(places.unreadable(), 0);
}

#[test]
fn a_flat_database_names_country_region_and_city() {
    let places = places(&flat_database()).unwrap();
    assert_eq!(at(&places, "192.0.2.9"), place("AT", "Tyrol", "Innsbruck"));
    assert_eq!(at(&places, "198.51.100.1"), Place::default(), "not in the database");
    assert_eq!(at(&places, "2001:db8::1"), Place::default(), "an IPv4 database only");
}

#[test]
fn a_network_in_two_cities_has_no_city_whichever_address_is_asked_first() {
    for first in ["203.0.113.1", "203.0.113.200"] {
        let places = places(&flat_database()).unwrap();
        assert_eq!(at(&places, first), place("DE", "Bavaria", ""));
        assert_eq!(at(&places, "203.0.113.0"), place("DE", "Bavaria", ""));
    }
}

#[test]
fn what_differs_takes_what_lies_below_it_along() {
    let here = place("DE", "Bavaria", "Fürth");
    assert_eq!(here.clone().shared_with(&here), here);
    assert_eq!(here.clone().shared_with(&place("DE", "Hesse", "Fürth")), place("DE", "", ""));
    assert_eq!(here.shared_with(&place("FR", "Bavaria", "Fürth")), Place::default());
}

#[test]
fn one_file_for_each_kind_of_address_may_lie_in_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a-ipv4.mmdb"), flat_database()).unwrap();
    fs::write(directory.path().join("b-both.mmdb"), NESTED).unwrap();
    fs::write(directory.path().join("LICENSE"), "text").unwrap();
    let places = Places::open(directory.path()).unwrap();
    assert_eq!(at(&places, "192.0.2.9").city, "Innsbruck");
    assert_eq!(at(&places, "2a02:d180::1").country, "DE");
    fs::write(directory.path().join("c-again.mmdb"), NESTED).unwrap();
    assert!(matches!(Places::open(directory.path()), Err(PlaceError::Twice { version: 6, .. })));
}

#[test]
fn what_is_no_place_database_is_refused_at_open() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Places::open(directory.path()), Err(PlaceError::NoDatabase { .. })));
    let missing = directory.path().join("missing.mmdb");
    assert!(matches!(Places::open(&missing), Err(PlaceError::Read { .. })));
    assert!(matches!(places(b"no database"), Err(PlaceError::Damaged { .. })));
    let networks = database(&[([0, 0, 0, 0], 1, &[("asn", "64512")])]);
    assert!(matches!(places(&networks), Err(PlaceError::NoPlaces { .. })));
}

#[test]
fn without_a_database_every_place_is_unknown() {
    assert_eq!(at(&Places::none(), "89.160.20.128"), Place::default());
}

#[test]
fn a_database_cut_short_is_refused_wherever_it_is_cut() {
    for keep in (0..NESTED.len()).step_by(97) {
        assert!(places(&NESTED[..keep]).is_err(), "kept {keep} bytes");
    }
}

proptest! {
    #![proptest_config(crate::cases::cases(128))]

    #[test]
    fn a_damaged_database_neither_panics_nor_stalls(
        nested: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..64),
        addresses in prop::collection::vec(any::<u128>(), 16),
    ) {
        let mut content = if nested { NESTED.to_vec() } else { flat_database() };
        for (position, byte) in damage {
            let position = position.index(content.len());
            content[position] = byte;
        }
        let started = Instant::now();
        if let Ok(places) = places(&content) {
            for address in addresses {
                places.lookup(IpAddr::V6(address.into()));
                places.lookup(IpAddr::V4((address as u32).into()));
            }
            for address in ["192.0.2.9", "203.0.113.9", "89.160.20.128", "2a02:d180::1"] {
                at(&places, address);
            }
        }
        prop_assert!(started.elapsed() < Duration::from_secs(10));
    }
}

/// One /24 in one city, another split between two cities of one region.
fn flat_database() -> Vec<u8> {
    let city = |region, city| [("country_code", "DE"), ("state1", region), ("city", city)];
    database(&[
        ([192, 0, 2, 0], 24, &[("country_code", "AT"), ("state1", "Tyrol"), ("city", "Innsbruck")]),
        ([203, 0, 113, 0], 25, &city("Bavaria", "Fürth")),
        ([203, 0, 113, 128], 25, &city("Bavaria", "Hof")),
    ])
}

type Record<'a> = ([u8; 4], u8, &'a [(&'a str, &'a str)]);

/// A database after the format's specification: IPv4, records of 24 bits, maps of text.
fn database(records: &[Record<'_>]) -> Vec<u8> {
    // A child is a node's number, or a record's number from here on.
    const RECORD: usize = 1 << 16;
    let mut nodes = vec![[None::<usize>; 2]];
    for (number, (address, bits, _)) in records.iter().enumerate() {
        let address = u32::from_be_bytes(*address);
        let mut node = 0;
        for depth in 0..*bits {
            let side = (address >> (31 - depth)) as usize & 1;
            if depth + 1 == *bits {
                nodes[node][side] = Some(RECORD + number);
            } else if let Some(next) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([None; 2]);
                let next = nodes.len() - 1;
                nodes[node][side] = Some(next);
                node = next;
            }
        }
    }
    let mut data = Vec::new();
    let mut offsets = Vec::new();
    for (_, _, fields) in records {
        offsets.push(data.len());
        data.push(0b1110_0000 | fields.len() as u8);
        for (key, value) in *fields {
            text(&mut data, key);
            text(&mut data, value);
        }
    }
    let mut bytes = Vec::new();
    for child in nodes.iter().flatten() {
        let value = match child {
            None => nodes.len(),
            Some(record) if *record >= RECORD => nodes.len() + 16 + offsets[record - RECORD],
            Some(node) => *node,
        };
        bytes.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
    }
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    bytes.push(0b1110_0000 | 9);
    for (key, value) in [
        ("binary_format_major_version", 2),
        ("binary_format_minor_version", 0),
        ("build_epoch", 1),
        ("ip_version", 4),
        ("node_count", nodes.len() as u32),
        ("record_size", 24),
    ] {
        text(&mut bytes, key);
        // Types: 5 is a u16, 6 a u32, and 2 after a leading zero a u64.
        match key {
            "build_epoch" => bytes.extend_from_slice(&[0b0000_0100, 2]),
            "node_count" => bytes.push(0b1100_0100),
            _ => bytes.push(0b1010_0010),
        }
        let value: [u8; 4] = u32::to_be_bytes(value);
        let short = !matches!(key, "build_epoch" | "node_count");
        bytes.extend_from_slice(if short { &value[2..] } else { &value });
    }
    text(&mut bytes, "database_type");
    text(&mut bytes, "test");
    text(&mut bytes, "description");
    bytes.push(0b1110_0000);
    text(&mut bytes, "languages");
    bytes.extend_from_slice(&[0b0000_0000, 4]);
    bytes
}

fn text(bytes: &mut Vec<u8>, value: &str) {
    assert!(value.len() < 29, "longer text needs a longer length");
    bytes.push(0b0100_0000 | value.len() as u8);
    bytes.extend_from_slice(value.as_bytes());
}
