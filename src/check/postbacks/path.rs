//! Path styles: parameters that stand in the path.
//!
//! In: what follows the door's name, percent-encoded. Out: names and values in order. Refuses: nothing here; a path that the profile
//! doesn't read gives nothing. Promises: each value is decoded once. A group in brackets begins with the name `[`, its
//! members are called `[]name`.

use percent_encoding::percent_decode_str;

use super::file::PathStyle;
use super::profile::Profile;

/// Names and values.
pub type Fields = Vec<(String, String)>;

/// Reads the path after the name (without its leading slash); `None` where the profile has no use for it.
pub fn read(profile: &Profile, rest: &str) -> Option<Fields> {
    let rest = rest.trim_matches('/');
    if rest.is_empty() {
        return Some(Vec::new());
    }
    match profile.path {
        PathStyle::None if profile.segments.is_empty() => None,
        PathStyle::None => segments(&profile.segments, rest),
        PathStyle::Colon => Some(colon(rest)),
        PathStyle::Pairs => Some(pairs(rest)),
        PathStyle::Parentheses => Some(parentheses(rest)),
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn segments(names: &[String], rest: &str) -> Option<Fields> {
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.len() > names.len() {
        return None;
    }
    let named = names.iter().zip(parts).filter(|(name, _)| !name.is_empty());
    Some(named.map(|(name, value)| (name.clone(), decode(value))).collect())
}

fn colon(rest: &str) -> Fields {
    let mut fields = Vec::new();
    let mut in_group = false;
    for segment in rest.split('/') {
        let segment = decode(segment);
        for (place, mut piece) in segment.split("][").enumerate() {
            if place > 0 {
                (in_group, piece) = (true, piece);
                fields.push(("[".to_owned(), String::new()));
            }
            if let Some(inner) = piece.strip_prefix('[') {
                (in_group, piece) = (true, inner);
                fields.push(("[".to_owned(), String::new()));
            }
            let ends = piece.ends_with(']');
            let piece = piece.trim_end_matches(']');
            if let Some((name, value)) = piece.split_once(':') {
                let name = if in_group { format!("[]{name}") } else { name.to_owned() };
                fields.push((name, value.to_owned()));
            }
            in_group &= !ends;
        }
    }
    fields
}

fn pairs(rest: &str) -> Fields {
    let mut parts = rest.split('/');
    let mut fields = Vec::new();
    while let Some(name) = parts.next() {
        fields.push((decode(name), decode(parts.next().unwrap_or(""))));
    }
    fields
}

fn parentheses(rest: &str) -> Fields {
    let mut fields = Vec::new();
    let mut left = rest;
    while let Some((name, tail)) = left.split_once('(') {
        let Some((value, tail)) = tail.split_once(')') else { break };
        fields.push((decode(name.trim_matches('/')), decode(value)));
        left = tail;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(fields: &Fields) -> Vec<(&str, &str)> {
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn each_style_is_read() {
        let read = colon(
            "campaign:10a/voucher:/%5Bcategory:shoes/value:20.00%5D%5Bcategory:hats/value:5%5D/x:y%3Az",
        );
        let expected = [
            ("campaign", "10a"),
            ("voucher", ""),
            ("[", ""),
            ("[]category", "shoes"),
            ("[]value", "20.00"),
            ("[", ""),
            ("[]category", "hats"),
            ("[]value", "5"),
            ("x", "y:z"),
        ];
        assert_eq!(texts(&read), expected);
        assert_eq!(texts(&pairs("uid/x/order_id/7%2F8")), [("uid", "x"), ("order_id", "7/8")]);
        assert_eq!(
            texts(&parentheses("o(1)event(2)ordnum(A%2D1)")),
            [("o", "1"), ("event", "2"), ("ordnum", "A-1")]
        );
        let names = ["click".to_owned(), String::new(), "account".to_owned()];
        assert_eq!(
            segments(&names, "r1/aid/17").map(|fields| fields.len()),
            Some(2),
            "the second segment is passed over"
        );
        assert_eq!(segments(&names, "a/b/c/d"), None);
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "[a-z:/()\\[\\]%0-9é]{0,60}") {
            let _ = (colon(&path), pairs(&path), parentheses(&path));
        }
    }
}
