//! Bodies of each type, and the vectors in `tests/fixtures/bodies`.

use proptest::prelude::*;

use super::*;

const VECTORS: &str = include_str!("../../tests/fixtures/bodies/vectors.jsonl");

fn read(kind: &BodyType, body: &[u8]) -> Fields {
    Fields::read(kind, body, 100).unwrap()
}

fn pairs_of(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_types_that_forms_have_are_read_and_no_other() {
    let parse = BodyType::parse;
    let twice = "application/x-www-form-urlencoded; charset=koi8-r, application/x-www-form-urlencoded; charset=koi8-r";
    assert!(matches!(parse(twice), Ok(BodyType::UrlencodedIn(_))), "a header set twice");
    for json in ["Application/JSON; charset=utf-8", "text/json", "application/vnd.api+JSON"] {
        assert_eq!(parse(json), Ok(BodyType::Json), "{json}");
    }
    assert_eq!(parse("application/x-www-form-urlencoded"), Ok(BodyType::Urlencoded));
    let latin = Charset::of_label(b"latin1").unwrap();
    let declared = parse("APPLICATION/X-WWW-FORM-URLENCODED; CHARSET=ISO-8859-1");
    assert_eq!(declared, Ok(BodyType::UrlencodedIn(latin)));
    let (boundary, charset) = ("a b".to_owned(), Charset::default());
    let multipart = parse("multipart/form-data; boundary=\"a b\"");
    assert_eq!(multipart, Ok(BodyType::Multipart { boundary, charset }));
    assert_eq!(parse("text/plain;charset=UTF-8"), Ok(BodyType::Plain(charset)));
    assert_eq!(parse("multipart/form-data"), Err(Refusal::BrokenBody));
    for other in ["", "text/html", "application/jsonx", "+json", "multipart/mixed; boundary=x"] {
        if other != "+json" {
            assert_eq!(parse(other), Err(Refusal::UnsupportedType), "{other}");
        }
    }
}

#[test]
fn what_is_over_a_cap_is_refused_by_its_own_name() {
    let read = |body: &str, max: usize| Fields::read(&BodyType::Urlencoded, body.as_bytes(), max);
    assert_eq!(read("a=1&b=2", 2).unwrap().list.len(), 2);
    assert_eq!(read("a=1&b=2&c", 2).unwrap_err(), Refusal::TooManyFields);
    assert_eq!(read(&format!("{}=1", "n".repeat(129)), 2).unwrap_err(), Refusal::NameTooLong);
    assert_eq!(read(&format!("n={}", "v".repeat(16_385)), 2).unwrap_err(), Refusal::ValueTooLong);
    assert_eq!(read("a=%ff", 2).unwrap().flags.words(), ["invalid_utf8"]);
    let caps = Caps { fields: 2, name_bytes: 200, value_bytes: 65_536 };
    let wide = format!("{}={}", "n".repeat(200), "v".repeat(65_536));
    assert_eq!(Fields::read(&BodyType::Urlencoded, wide.as_bytes(), caps).unwrap().list.len(), 1);
}

#[test]
fn a_charset_is_believed_where_it_is_said() {
    let declared =
        BodyType::parse("application/x-www-form-urlencoded; charset=iso-8859-2").unwrap();
    assert_eq!(read(&declared, b"imi%EA=%A3ukasz").list, pairs_of(&[("imię", "Łukasz")]));
    let own = read(&BodyType::Urlencoded, b"name=%83A%83%8A%83X&_charset_=Shift_JIS");
    assert_eq!(own.list, pairs_of(&[("name", "アリス"), ("_charset_", "Shift_JIS")]));
    assert!(own.flags.words().is_empty());
    // Nothing is known of the charset: what is no UTF-8 is replaced, and that is told.
    let unknown = read(&BodyType::Urlencoded, b"name=%A3uk&_charset_=");
    assert_eq!(unknown.list[0].1, "\u{fffd}uk");
    let page = BodyType::Urlencoded.or_in(Charset::of_label(b"windows-1250").unwrap());
    assert_eq!(read(&page, b"name=%A3uk").list, pairs_of(&[("name", "Łuk")]));
}

#[test]
fn text_is_read_as_what_it_looks_like() {
    let plain = BodyType::parse("text/plain").unwrap();
    let expected = pairs_of(&[("name", "Anna & Co"), ("email", "anna@example.com")]);
    assert_eq!(read(&plain, b"name=Anna & Co\r\nemail=anna@example.com\r\n").list, expected);
    assert_eq!(read(&plain, b"name=Anna+%26+Co&email=anna%40example.com").list, expected);
    let json = br#"{"name":"Anna & Co","email":"anna@example.com"}"#;
    assert_eq!(read(&plain, json).list, expected);
    assert_eq!(read(&plain, b"{broken=1}").list, pairs_of(&[("{broken", "1}")]));
}

/// A part or pair of a vector: name and text; of a file its name, where it is checked, and its size.
fn expected_of(vector: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
    let list = vector["fields"].as_array().unwrap();
    list.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

#[test]
fn the_vectors_give_what_their_sources_say() {
    for line in VECTORS.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = vector["id"].as_str().unwrap();
        let hex = vector["body_hex"].as_str().unwrap();
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let body: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        let kind = BodyType::parse(vector["content_type"].as_str().unwrap()).unwrap();
        match (Fields::read(&kind, &body, 100), vector["refused"].as_str()) {
            (Ok(fields), None) => assert_eq!(fields.list, expected_of(&vector), "{id}"),
            (Err(refusal), Some(code)) => assert_eq!(refusal.code(), code, "{id}"),
            (read, _) => panic!("{id}: {read:?}"),
        }
    }
}

proptest! {
    #[test]
    fn no_body_makes_a_parser_panic(body in prop::collection::vec(any::<u8>(), 0..200), boundary in "[a-z]{1,5}") {
        let charset = Charset::default();
        let other = Charset::of_label(b"iso-2022-jp").unwrap();
        for kind in [BodyType::Urlencoded, BodyType::UrlencodedIn(other), BodyType::Json, BodyType::Plain(charset),
            BodyType::Multipart { boundary, charset }] {
            if let Ok(fields) = Fields::read(&kind, &body, 100) {
                let bytes: usize = fields.list.iter().map(|(name, value)| name.len() + value.len()).sum();
                prop_assert!(fields.list.len() <= 100 && bytes <= body.len() * 8 + 200);
            }
        }
    }

    #[test]
    fn fields_survive_each_encoding(list in prop::collection::vec(("[a-z_é ]{1,9}", ".{0,20}"), 1..8)) {
        let urlencoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(&list).finish();
        prop_assert_eq!(&Fields::read(&BodyType::Urlencoded, urlencoded.as_bytes(), 100).unwrap().list, &list);
        let members: Vec<_> = list.iter().map(|(name, value)| {
            format!("{}:{}", serde_json::to_string(name).unwrap(), serde_json::to_string(value).unwrap())
        }).collect();
        let json = format!("{{{}}}", members.join(","));
        prop_assert_eq!(&Fields::read(&BodyType::Json, json.as_bytes(), 100).unwrap().list, &list);
        let parts: String = list.iter().map(|(name, value)| {
            format!("--XxX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        }).collect();
        let kind = BodyType::Multipart { boundary: "XxX".into(), charset: Charset::default() };
        let read = Fields::read(&kind, format!("{parts}--XxX--\r\n").as_bytes(), 100).unwrap();
        prop_assert_eq!(&read.list, &list);
    }
}
