//! JSON bodies, as flat fields.
//!
//! In: an object, or a list of names with values. Out: its members in order: scalars as they were typed (`1.10` stays `1.10`), arrays as repeated fields, nested
//! objects as `a.b`. Refuses: what is neither, and nesting beyond eight levels. Promises: no number goes through a float.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::check::Refusal;
use crate::check::dialects::Listed;
use crate::receive::fields::Fields;

/// Levels of objects and arrays; forms have one or two.
const DEPTH_MAX: usize = 8;

/// Reads a body.
///
/// # Errors
/// When it is no JSON object, is nested too deeply, or is over a cap of [`Fields`].
pub fn read(body: &[u8], fields: &mut Fields) -> Result<(), Refusal> {
    let text = text_of(body, fields);
    let raw: &RawValue = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|_| Refusal::BrokenBody)?;
    match raw.get().as_bytes().first() {
        Some(b'{') => flatten(raw, &mut String::new(), 1, fields),
        Some(b'[') => read_pairs(raw, fields),
        _ => Err(Refusal::BrokenBody),
    }
}

/// Reads `[{"name": …, "value": …}, …]`, as jQuery's `serializeArray` makes it of a form. Another list is no form: it could hold two people.
fn read_pairs(list: &RawValue, fields: &mut Fields) -> Result<(), Refusal> {
    let items: Vec<Members<'_>> =
        serde_json::from_str(list.get()).map_err(|_| Refusal::BrokenBody)?;
    if items.is_empty() {
        return Err(Refusal::BrokenBody);
    }
    for Members(members) in items {
        let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted);
        let (Some((_, name)), Some((_, value))) = (member("name"), member("value")) else {
            return Err(Refusal::BrokenBody);
        };
        let mut name: String = serde_json::from_str(name.get()).map_err(|_| Refusal::BrokenBody)?;
        flatten(value, &mut name, 3, fields)?;
    }
    Ok(())
}

fn text_of<'a>(body: &'a [u8], fields: &mut Fields) -> std::borrow::Cow<'a, str> {
    match std::str::from_utf8(body) {
        Ok(text) => std::borrow::Cow::Borrowed(text),
        Err(_) => std::borrow::Cow::Owned(fields.text(body)),
    }
}

/// Reads a body that lists its fields: each item is one field, whatever the order of its members; the rest is read as ever.
///
/// # Errors
/// As [`read`].
pub fn read_listed(body: &[u8], listed: &Listed, fields: &mut Fields) -> Result<(), Refusal> {
    let text = text_of(body, fields);
    let text = text.trim_start_matches('\u{feff}');
    let members: Members<'_> = serde_json::from_str(text).map_err(|_| Refusal::BrokenBody)?;
    for (name, value) in members.0 {
        if name != listed.list || !value.get().starts_with('[') {
            flatten(value, &mut name.clone(), 2, fields)?;
            continue;
        }
        let items: Vec<&RawValue> =
            serde_json::from_str(value.get()).map_err(|_| Refusal::BrokenBody)?;
        for item in items {
            one_of_list(item, listed, fields)?;
        }
    }
    Ok(())
}

fn one_of_list(item: &RawValue, listed: &Listed, fields: &mut Fields) -> Result<(), Refusal> {
    let members = serde_json::from_str::<Members<'_>>(item.get()).map(|members| members.0);
    let members = members.unwrap_or_default();
    let text = |wanted: &str| {
        let found = members.iter().find(|(name, _)| !wanted.is_empty() && name == wanted);
        found.and_then(|(_, value)| serde_json::from_str::<String>(value.get()).ok())
    };
    let value = members.iter().find(|(name, _)| *name == listed.value);
    let (Some(name), Some((_, value))) = (text(&listed.name), value) else {
        // No field as the vendor would have it: nothing is lost all the same.
        return flatten(item, &mut listed.list.clone(), 3, fields);
    };
    let mut path = match text(&listed.kind) {
        Some(kind) if !kind.is_empty() && kind != listed.plain_kind => format!("{kind}/{name}"),
        _ => name,
    };
    flatten(value, &mut path, 4, fields)
}

/// The members of an object in a field that are text; none when it is no object.
pub fn texts(json: &str) -> Vec<(String, String)> {
    let members = serde_json::from_str::<Members<'_>>(json.trim()).map(|members| members.0);
    let texts = members.unwrap_or_default().into_iter().filter_map(|(name, value)| {
        Some((name, serde_json::from_str::<String>(value.get()).ok()?))
    });
    texts.collect()
}

fn flatten(
    raw: &RawValue,
    path: &mut String,
    depth: usize,
    fields: &mut Fields,
) -> Result<(), Refusal> {
    let text = raw.get();
    let first = text.as_bytes().first().copied().unwrap_or(b'n');
    if matches!(first, b'{' | b'[') && depth > DEPTH_MAX {
        return Err(Refusal::TooDeep);
    }
    match first {
        b'{' => {
            let members: Members<'_> =
                serde_json::from_str(text).map_err(|_| Refusal::BrokenBody)?;
            for (name, value) in members.0 {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(&name);
                flatten(value, path, depth + 1, fields)?;
                path.truncate(length);
            }
            Ok(())
        }
        b'[' => {
            let items: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|_| Refusal::BrokenBody)?;
            items.into_iter().try_for_each(|item| flatten(item, path, depth + 1, fields))
        }
        b'"' => {
            let value = serde_json::from_str(text).map_err(|_| Refusal::BrokenBody)?;
            fields.push(path.clone(), value)
        }
        b'n' => fields.push(path.clone(), String::new()),
        _ => fields.push(path.clone(), text.to_owned()),
    }
}

/// An object's members in order, repeats included; values unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Result<Vec<(String, String)>, Refusal> {
        let mut fields = Fields::new(20);
        read(text.as_bytes(), &mut fields).map(|()| fields.list)
    }

    #[test]
    fn order_repeats_and_spelling_are_kept() {
        let text = r#" {"z":"last first","a":1.10,"big":12345678901234567890.5,"yes":true,"no":null,
            "tags":["x",2],"address":{"city":"Köln","geo":{"lat":1e2}},"z":"again","e":[],"o":{}} "#;
        let expected = [
            ("z", "last first"),
            ("a", "1.10"),
            ("big", "12345678901234567890.5"),
            ("yes", "true"),
            ("no", ""),
            ("tags", "x"),
            ("tags", "2"),
            ("address.city", "Köln"),
            ("address.geo.lat", "1e2"),
            ("z", "again"),
        ];
        assert_eq!(
            fields(text).unwrap(),
            expected.map(|(name, value)| (name.into(), value.into()))
        );
    }

    #[test]
    fn a_list_of_names_with_values_is_a_form_and_another_list_is_none() {
        let text = r#"[{"name":"email","value":"a@b.example"},{"value":"2","name":"tag"},{"name":"tag","value":"3"}]"#;
        let expected = [("email", "a@b.example"), ("tag", "2"), ("tag", "3")];
        assert_eq!(
            fields(text).unwrap(),
            expected.map(|(name, value)| (name.into(), value.into()))
        );
        for people in
            [r#"[{"email":"a@b.example"},{"email":"c@d.example"}]"#, "[]", "[1]", r#"["a"]"#]
        {
            assert_eq!(fields(people).unwrap_err(), Refusal::BrokenBody, "{people}");
        }
    }

    #[test]
    fn what_is_no_object_is_broken() {
        for text in ["", "[]", "\"x\"", "1", "{", "{} x", "{\"a\":}", "{\"a\":\"\\ud800\"}", "nul"]
        {
            assert_eq!(fields(text), Err(Refusal::BrokenBody), "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_eight_levels() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert_eq!(fields(&nested(8)).unwrap()[0].0, "a.a.a.a.a.a.a.a");
        assert_eq!(fields(&nested(9)), Err(Refusal::TooDeep));
        let arrays = format!("{{\"a\":{}1{}}}", "[".repeat(60), "]".repeat(60));
        assert_eq!(fields(&arrays), Err(Refusal::TooDeep));
        let abyss = "[".repeat(60_000);
        assert_eq!(fields(&abyss), Err(Refusal::BrokenBody));
    }
}
