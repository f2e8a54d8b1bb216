//! A vendor's own answer, as a dialect's file has it.
//!
//! In: a template with `{receipt}`, `{next}`, `{code}`, `{message}`, `{field}`, `{form}`, `{callback}`. Out: status, type and body. Refuses: an
//! unknown `{word}`, a status that is none. Promises: what is put in is escaped for JSON and for a script's string alike; a
//! callback is a name or nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::path::Path;
use crate::check::Refusal;
use crate::config::nearest;

/// For whom an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// For everybody.
    Always,
    /// For who prefers JSON, or sent it.
    Json,
    /// For all but a browser that loads a page.
    Scripts,
}

/// As the file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplyFile {
    when: When,
    #[serde(default)]
    path: String,
    #[serde(default)]
    query: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default = "json", rename = "type")]
    content_type: String,
    #[serde(default)]
    body: String,
    next_body: Option<String>,
    error_body: Option<String>,
    #[serde(default)]
    error_status: BTreeMap<String, u16>,
    #[serde(default)]
    error_codes: BTreeMap<String, String>,
}

fn ok() -> u16 {
    200
}

fn json() -> String {
    "application/json".to_owned()
}

/// What is put into a template.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the names are the placeholders' own")]
pub struct Slots<'a> {
    pub receipt: &'a str,
    pub next: &'a str,
    pub code: &'a str,
    pub message: &'a str,
    pub field: &'a str,
    pub form: &'a str,
    pub callback: &'a str,
}

const SLOTS: [&str; 7] = ["receipt", "next", "code", "message", "field", "form", "callback"];

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Slot(&'static str),
}

#[derive(Clone, Debug)]
struct Template(Vec<Piece>);

/// A vendor's own answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// For whom.
    pub when: When,
    /// Only for this path of the dialect's; empty: for all.
    pub path: String,
    /// Only with this parameter in the query; empty: with any. Its value is the callback.
    pub query: String,
    /// `Content-Type`.
    pub content_type: String,
    status: u16,
    body: Template,
    next_body: Option<Template>,
    error_body: Option<Template>,
    error_status: BTreeMap<String, u16>,
    error_codes: BTreeMap<String, String>,
}

/// Status and body.
pub type Written = (u16, String);

impl Reply {
    pub(super) fn read(file: ReplyFile, paths: &[Path]) -> Result<Self, String> {
        if !file.path.is_empty() && !paths.iter().any(|path| path.text == file.path) {
            let near = nearest(&file.path, paths.iter().map(|path| path.text.as_str()));
            return Err(format!(
                "replies: path `{}` is none of the dialect's; did you mean `{near}`?",
                file.path
            ));
        }
        let statuses = std::iter::once(&file.status).chain(file.error_status.values());
        if let Some(wrong) = statuses.into_iter().find(|status| !(200..600).contains(*status)) {
            return Err(format!("replies: {wrong} is no status; give 200 to 599"));
        }
        if !file.content_type.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err("replies: type is no Content-Type".to_owned());
        }
        for code in file.error_status.keys().chain(file.error_codes.keys()) {
            let known = || Refusal::ALL.iter().map(|refusal| refusal.code());
            if known().all(|known| known != code) {
                let near = nearest(code, known());
                return Err(format!("replies: unknown reason `{code}`; did you mean `{near}`?"));
            }
        }
        Ok(Self {
            body: Template::parse(&file.body)?,
            next_body: file.next_body.as_deref().map(Template::parse).transpose()?,
            error_body: file.error_body.as_deref().map(Template::parse).transpose()?,
            when: file.when,
            path: file.path,
            query: file.query,
            content_type: file.content_type,
            status: file.status,
            error_status: file.error_status,
            error_codes: file.error_codes,
        })
    }

    /// The answer to a post that was taken; `None` where the browser has to be sent to `slots.next` instead.
    pub fn taken(&self, slots: &Slots<'_>) -> Option<Written> {
        match &self.next_body {
            Some(body) if !slots.next.is_empty() => Some((self.status, body.fill(slots))),
            None if !slots.next.is_empty() && self.when == When::Scripts => None,
            _ => Some((self.status, self.body.fill(slots))),
        }
    }

    /// The answer to a refused one; `None` where the vendor has none of its own.
    pub fn refused(&self, refusal: Refusal, slots: &Slots<'_>) -> Option<Written> {
        let status = self.error_status.get(refusal.code()).copied();
        let code = self.error_codes.get(refusal.code()).map_or(refusal.code(), String::as_str);
        let slots = Slots { code, message: refusal.sentence(), ..*slots };
        let body = self.error_body.as_ref()?.fill(&slots);
        Some((status.unwrap_or_else(|| refusal.status().as_u16()), body))
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        let mut plain = String::new();
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let end = rest.find('}').unwrap_or(0);
            let word = rest.get(1..end).unwrap_or("");
            // JSON's own braces hold quotes, blanks or nothing.
            if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
                plain.push('{');
                rest = &rest[1..];
                continue;
            }
            let Some(slot) = SLOTS.iter().find(|slot| **slot == word) else {
                let near = nearest(word, SLOTS.into_iter());
                return Err(format!("replies: unknown {{{word}}}; did you mean {{{near}}}?"));
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Slot(slot));
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    fn fill(&self, slots: &Slots<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Slot("callback") => text.push_str(callback(slots.callback)),
                Piece::Slot(name) => escape(&mut text, value(slots, name)),
            }
        }
        text
    }
}

fn value<'a>(slots: &Slots<'a>, name: &str) -> &'a str {
    match name {
        "receipt" => slots.receipt,
        "next" => slots.next,
        "code" => slots.code,
        "message" => slots.message,
        "field" => slots.field,
        _ => slots.form,
    }
}

/// The name of a script's function; what is none is replaced, so that nobody can make us say a script of his own.
fn callback(name: &str) -> &str {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_$.".contains(&byte);
    let named = name.bytes().next().is_some_and(|first| !first.is_ascii_digit() && first != b'.');
    if named && name.len() <= 64 && name.bytes().all(plain) { name } else { "callback" }
}

/// For a string of JSON, of a script (in either quote), and inside a page.
fn escape(into: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '"' | '\'' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(into, "\\u{:04x}", u32::from(character));
            }
            plain => into.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(template: &str, slots: &Slots<'_>) -> String {
        Template::parse(template).unwrap().fill(slots)
    }

    #[test]
    fn braces_of_json_are_no_placeholders() {
        let slots = Slots { receipt: "R", ..Slots::default() };
        assert_eq!(filled(r#"{"a":{},"r":"{receipt}"}"#, &slots), r#"{"a":{},"r":"R"}"#);
        assert_eq!(
            Template::parse("{nxt}").unwrap_err(),
            "replies: unknown {nxt}; did you mean {next}?"
        );
    }

    #[test]
    fn a_callback_is_a_name() {
        for (given, used) in [
            ("jQuery1_2.x", "jQuery1_2.x"),
            ("alert(1)", "callback"),
            ("", "callback"),
            ("1a", "callback"),
        ] {
            assert_eq!(callback(given), used);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_put_in_stays_one_string(text in "(.|[\"'\\\\\u{0}-\u{1f}\u{2028}]){0,20}") {
            let slots = Slots { next: &text, ..Slots::default() };
            let json: serde_json::Value = serde_json::from_str(&filled(r#"{"next":"{next}"}"#, &slots)).unwrap();
            prop_assert_eq!(json["next"].as_str(), Some(text.as_str()));
            let script = filled("f('{next}')", &slots);
            prop_assert!(!script[3..script.len() - 2].contains(['\'', '<', '\n']));
        }
    }
}
