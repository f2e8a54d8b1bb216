//! Several events in one JSON body: a list of objects, or an object that holds such a list.
//!
//! In: a body. Out: one body for each event, each an object; what stands beside the list is added to each of them that doesn't say it
//! itself. One object may be around that one: `data`, `payload`. Refuses: nothing here; a body that is no such list stays as it is. Promises: no number goes through a float; a list of names
//! with values is one event, as forms send it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Members that hold a list of events. Lines of an order stand under other names.
const LISTS: &[&str] =
    &["events", "conversions", "transactions", "postbacks", "actions", "notifications"];

/// Members that wrap the object with the list.
const WRAPPERS: &[&str] = &["data", "payload", "body", "result", "response"];

/// Events in one body: `edge.body_bytes_max` bounds them too.
const EVENTS_MAX: usize = 1_000;

type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The events of a body, each as an object; `None` when it is one event, or none that can be told apart.
pub fn split(body: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(body).ok()?.trim_start_matches('\u{feff}').trim_start();
    match text.as_bytes().first() {
        Some(b'[') => objects(text, &Members::new()),
        Some(b'{') if LISTS.iter().any(|name| text.contains(name)) => {
            let mut beside: Members<'_> = serde_json::from_str(text).ok()?;
            if list_in(&beside).is_none() {
                let wrapper = WRAPPERS.iter().find_map(|name| {
                    let inner: Members<'_> = serde_json::from_str(beside.get(*name)?.get()).ok()?;
                    list_in(&inner).map(|_| (*name, inner))
                });
                let (name, inner) = wrapper?;
                beside.remove(name);
                beside.extend(inner);
            }
            let list = beside.remove(list_in(&beside)?)?;
            objects(list.get(), &beside)
        }
        _ => None,
    }
}

/// The name of the list that an object holds.
fn list_in(members: &Members<'_>) -> Option<&'static str> {
    let is_list =
        |name: &&&str| members.get(**name).is_some_and(|value| value.get().starts_with('['));
    LISTS.iter().find(is_list).copied()
}

fn objects(list: &str, beside: &Members<'_>) -> Option<Vec<String>> {
    let items: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    if items.is_empty() || items.len() > EVENTS_MAX {
        return None;
    }
    items.into_iter().map(|item| object(item, beside)).collect()
}

fn object(item: &RawValue, beside: &Members<'_>) -> Option<String> {
    let own: Members<'_> = serde_json::from_str(item.get()).ok()?;
    let is_pair = own.len() == 2 && own.contains_key("name") && own.contains_key("value");
    if own.is_empty() || is_pair {
        return None;
    }
    let more = beside.iter().filter(|(name, _)| !own.contains_key(*name));
    let members: Members<'_> =
        own.iter().chain(more).map(|(name, value)| (name.clone(), *value)).collect();
    serde_json::to_string(&members).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_its_events_and_what_stands_beside_it_is_of_each() {
        let list = r#"[{"txid":"1","amount":1.10},{"txid":"2","amount":12345678901234567890.5}]"#;
        let events = split(list.as_bytes()).unwrap();
        assert_eq!(events[0], r#"{"amount":1.10,"txid":"1"}"#);
        assert!(events[1].contains("12345678901234567890.5"), "{}", events[1]);
        let held = r#"{"currency":"EUR","events":[{"txid":"1"},{"txid":"2","currency":"USD"}]}"#;
        let events = split(held.as_bytes()).unwrap();
        assert_eq!(
            events,
            [r#"{"currency":"EUR","txid":"1"}"#, r#"{"currency":"USD","txid":"2"}"#]
        );
    }

    #[test]
    fn a_list_inside_a_wrapper_is_found_and_what_stands_around_is_of_each() {
        let held =
            r#"{"sent":1,"data":{"currency":"EUR","conversions":[{"txid":"1"},{"txid":"2"}]}}"#;
        let events = split(held.as_bytes()).unwrap();
        let event = |number| format!(r#"{{"currency":"EUR","sent":1,"txid":"{number}"}}"#);
        assert_eq!(events, [event(1), event(2)]);
    }

    #[test]
    fn what_is_one_event_or_none_stays_as_it_is() {
        for one in [
            r#"{"txid":"1","items":[{"sku":"a"},{"sku":"b"}]}"#,
            r#"[{"name":"txid","value":"1"},{"name":"payout","value":"2"}]"#,
            r#"{"events":"2","txid":"1"}"#,
            r#"{"events":[]}"#,
            r#"{"data":{"events":[]}}"#,
            r#"{"txid":"1","data":[{"events":"a"},{"events":"b"}]}"#,
            r#"{"data":{"order":{"events":[{"txid":"1"}]}}}"#,
            "[]",
            "[1,2]",
            "[{}]",
            "[",
            "events=1",
            "",
        ] {
            assert_eq!(split(one.as_bytes()), None, "{one}");
        }
    }
}
