//! Plain bodies: what `enctype="text/plain"` sends, and what scripts send without saying what it is.
//!
//! In: text. Out: fields in order; text before the first name under an empty one. Promises: nothing is lost. The type has no escapes, so a value that holds line ends
//! is told from the next field only by guessing: a line without `=` belongs to the value before it.

use crate::check::Refusal;
use crate::receive::fields::Fields;

/// What the text looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `name=value` lines, as browsers write them: each ends with a line end.
    Lines,
    /// One line of pairs: a script sent a query as text (`sendBeacon`, `fetch`).
    Pairs,
    /// An object: likewise.
    Json,
}

/// Says what the text looks like.
pub fn shape(body: &[u8]) -> Shape {
    let text = body.trim_ascii();
    if text.first() == Some(&b'{') && text.last() == Some(&b'}') {
        Shape::Json
    } else if !body.contains(&b'\n') && body.contains(&b'&') && body.contains(&b'=') {
        Shape::Pairs
    } else {
        Shape::Lines
    }
}

/// Reads `name=value` lines.
///
/// # Errors
/// When the fields are over a cap of [`Fields`].
pub fn read(text: &str, fields: &mut Fields) -> Result<(), Refusal> {
    let mut open: Option<(&str, String)> = None;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        match (line.split_once('='), &mut open) {
            (Some((name, value)), _) => {
                if let Some((name, value)) = open.replace((name, value.to_owned())) {
                    fields.push(name.to_owned(), value)?;
                }
            }
            (None, Some((_, value))) => {
                value.push_str("\r\n");
                value.push_str(line);
            }
            (None, None) if line.is_empty() => {}
            (None, None) => open = Some(("", line.to_owned())),
        }
    }
    match open {
        Some((name, value)) => fields.push(name.to_owned(), value),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::fields::Caps;
    use proptest::prelude::*;

    fn fields(text: &str) -> Vec<(String, String)> {
        let mut fields = Fields::new(Caps { name_bytes: 1_000, ..Caps::from(50) });
        read(text, &mut fields).unwrap();
        fields.list
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn lines_are_fields_and_what_has_no_name_goes_on() {
        let text = "name=Anna + Żółć\r\nmessage=one=1\r\n\r\ntwo & three\r\nempty=\r\n";
        let expected =
            [("name", "Anna + Żółć"), ("message", "one=1\r\n\r\ntwo & three"), ("empty", "")];
        assert_eq!(fields(text), pairs(&expected));
        assert_eq!(fields("a=1\nb=2"), pairs(&[("a", "1"), ("b", "2")]));
        assert_eq!(fields("\r\n"), []);
        assert_eq!(fields("no name at all\r\n"), pairs(&[("", "no name at all")]));
    }

    #[test]
    fn what_a_script_sent_as_text_is_known_by_its_looks() {
        assert_eq!(shape(b" {\"a\":1}\n"), Shape::Json);
        assert_eq!(shape(b"a=1&b=2"), Shape::Pairs);
        assert_eq!(shape(b"a=1&b=2\r\n"), Shape::Lines);
        assert_eq!(shape(b"a=1"), Shape::Lines);
        assert_eq!(shape(b""), Shape::Lines);
    }

    proptest! {
        #[test]
        fn fields_survive(list in prop::collection::vec(("[a-zA-Z_ é\\[\\]]{1,9}", "[^\r\n]{0,20}"), 1..8)) {
            let text: String = list.iter().map(|(name, value)| format!("{name}={value}\r\n")).collect();
            prop_assert_eq!(fields(&text), list);
        }

        #[test]
        fn any_text_is_read_and_none_of_it_lost(text in ".{0,80}(\r?\n.{0,40}){0,4}") {
            let read = fields(&text);
            let letters = |text: &str| text.chars().filter(|letter| !"\r\n=".contains(*letter)).count();
            let kept: usize = read.iter().map(|(name, value)| letters(name) + letters(value)).sum();
            prop_assert_eq!(kept, letters(&text));
        }
    }
}
