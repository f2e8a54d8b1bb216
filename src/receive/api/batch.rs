//! A batch: one body becomes its events' texts.
//!
//! In: a body and its type. Out: the text of each event, in order. Refuses: another type, an array that can't be read, none or too many events. Promises: of NDJSON a line that is no
//! JSON is one event's trouble, not the batch's; of an array nothing is taken unless all of it can be read.

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde_json::value::RawValue;

use crate::check::Refusal;

/// How a body is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON array.
    Array,
    /// One JSON object a line.
    Lines,
}

/// Which form a request's body has.
///
/// # Errors
/// When it is neither, or compressed.
pub fn form(headers: &HeaderMap) -> Result<Form, Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let encoding = text(CONTENT_ENCODING);
    if headers.contains_key(CONTENT_ENCODING) && !encoding.eq_ignore_ascii_case("identity") {
        return Err(Refusal::UnsupportedEncoding);
    }
    let kind = text(CONTENT_TYPE).split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/json" => Ok(Form::Array),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Form::Lines),
        _ => Err(Refusal::UnsupportedType),
    }
}

/// Cuts a body.
///
/// # Errors
/// When an array can't be read, or there are no events or too many.
pub fn split(form: Form, body: &[u8], events_max: usize) -> Result<Vec<&[u8]>, Refusal> {
    let items: Vec<&[u8]> = match form {
        Form::Array => {
            let raw: Vec<&RawValue> =
                serde_json::from_slice(body).map_err(|_| Refusal::BrokenBody)?;
            raw.into_iter().map(|item| item.get().as_bytes()).collect()
        }
        Form::Lines => body
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .collect(),
    };
    match items.len() {
        0 => Err(Refusal::Empty),
        count if count > events_max => Err(Refusal::TooManyEvents),
        _ => Ok(items),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_array_and_lines_give_the_same_events_in_order() {
        let array = split(Form::Array, br#"[{"a":1}, {"b":[2]}]"#, 2).unwrap();
        let lines = split(Form::Lines, b"{\"a\":1}\r\n\n {\"b\":[2]} \n", 2).unwrap();
        assert_eq!(array, [&b"{\"a\":1}"[..], b"{\"b\":[2]}"]);
        assert_eq!(lines, array);
        assert_eq!(split(Form::Array, b"[1,2,3]", 2), Err(Refusal::TooManyEvents));
        assert_eq!(split(Form::Array, b"[]", 2), Err(Refusal::Empty));
        assert_eq!(split(Form::Lines, b" \n", 2), Err(Refusal::Empty));
        for broken in [&b"{}"[..], b"[1", b"", b"[1]x", b"\xff"] {
            assert_eq!(split(Form::Array, broken, 2), Err(Refusal::BrokenBody));
        }
        assert_eq!(split(Form::Lines, b"broken", 2).unwrap(), [b"broken"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = split(Form::Array, &body, 10);
            let _ = split(Form::Lines, &body, 10);
        }
    }
}
