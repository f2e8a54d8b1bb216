//! A part's header lines, and the boundary in the `Content-Type`.
//!
//! In: bytes. Out: what the part is called and whether it is a file. Refuses: headers over 8 KiB or without an end. Promises: names as
//! browsers of the last twenty years wrote them: a quote as `%22`, as `\"` or raw, a whole path, `filename*`.

use std::borrow::Cow;

use crate::check::Refusal;
use crate::receive::charset::Charset;

/// The longest header of one part: a name of 128 bytes and a file's name are far below.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// RFC 2046 allows 70 characters; some clients write more.
const BOUNDARY_BYTES_MAX: usize = 200;

/// File names are cut here, as file systems do.
const FILE_NAME_CHARACTERS_MAX: usize = 255;

/// What a part's header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Raw bytes: the charset is known later.
    pub name: Option<Vec<u8>>,
    file: Option<Vec<u8>>,
    /// Read from `filename*`, which says its own charset.
    file_star: Option<String>,
    /// As it was given.
    pub content_type: Option<String>,
    /// `Content-Transfer-Encoding`, which browsers don't send and libraries do.
    pub transfer: Option<String>,
}

impl Head {
    /// Reads the lines up to the empty one; gives where the content begins.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), Refusal> {
        let mut head = Self::default();
        let mut at = 0;
        loop {
            let line_end = memchr::memchr(b'\n', &bytes[at..]).ok_or(Refusal::BrokenBody)?;
            let mut end = at + line_end + 1;
            if bytes[at..end].trim_ascii().is_empty() {
                return Ok((head, end));
            }
            // A line that begins with a blank goes on with the one before it.
            while matches!(bytes.get(end), Some(b' ' | b'\t')) {
                end += memchr::memchr(b'\n', &bytes[end..]).ok_or(Refusal::BrokenBody)? + 1;
            }
            if end > HEAD_BYTES_MAX {
                return Err(Refusal::BrokenBody);
            }
            head.line(&bytes[at..end]);
            at = end;
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        let text = || Some(String::from_utf8_lossy(value).into_owned());
        if name.eq_ignore_ascii_case(b"content-disposition") {
            self.disposition(value);
        } else if name.eq_ignore_ascii_case(b"content-type") {
            self.content_type = text();
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            self.transfer = text();
        }
    }

    fn disposition(&mut self, value: &[u8]) {
        for (key, value) in Parameters(value) {
            if key.eq_ignore_ascii_case(b"name") && self.name.is_none() {
                self.name = Some(value);
            } else if key.eq_ignore_ascii_case(b"filename") && self.file.is_none() {
                self.file = Some(value);
            } else if key.eq_ignore_ascii_case(b"filename*") {
                self.file_star = extended(&value);
            }
        }
    }

    /// A file has a file's name, or a type that no field has.
    pub fn is_file(&self) -> bool {
        let no_text = |kind: &String| {
            let kind = kind.trim_start().to_ascii_lowercase();
            !["text/", "application/json", "multipart/"].iter().any(|known| kind.starts_with(known))
        };
        self.file.is_some()
            || self.file_star.is_some()
            || self.content_type.as_ref().is_some_and(no_text)
    }

    /// True for the file of a file input that was left alone.
    pub fn is_unnamed_file(&self) -> bool {
        self.file_star.is_none() && self.file.as_ref().is_none_or(Vec::is_empty)
    }

    /// The file's name without its folders and without characters that steer.
    pub fn file_name(&self, charset: Charset) -> String {
        let raw = match (&self.file_star, &self.file) {
            (Some(name), _) => Cow::Borrowed(name.as_str()),
            (None, Some(name)) => charset.text(Cow::Borrowed(name)).0,
            (None, None) => Cow::Borrowed(""),
        };
        let name = raw.rsplit(['/', '\\']).next().unwrap_or("");
        name.chars()
            .filter(|character| !character.is_control() && !is_direction(*character))
            .take(FILE_NAME_CHARACTERS_MAX)
            .collect()
    }
}

/// True for the invisible characters that turn the direction of writing.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `UTF-8''na%C3%AFve.txt`.
fn extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let charset = Charset::of_label(parts.next()?)?;
    let (_, encoded) = (parts.next()?, parts.next()?);
    let bytes: Vec<u8> = percent_encoding::percent_decode(encoded).collect();
    Some(charset.text(Cow::Owned(bytes)).0.into_owned())
}

/// `; name=value` after a header's first word; values unquoted.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let begin = memchr::memchr(b';', self.0)? + 1;
            let rest = self.0[begin..].trim_ascii_start();
            let equals = rest.iter().position(|byte| matches!(byte, b'=' | b';'))?;
            if rest[equals] == b';' {
                self.0 = &rest[equals..];
                continue;
            }
            let name = rest[..equals].trim_ascii();
            let value = rest[equals + 1..].trim_ascii_start();
            let (value, rest) = match value.split_first() {
                Some((b'"', quoted)) => quoted_value(quoted),
                _ => {
                    let end = memchr::memchr(b';', value).unwrap_or(value.len());
                    (value[..end].trim_ascii().to_vec(), &value[end..])
                }
            };
            self.0 = rest;
            return Some((name, value));
        }
    }
}

/// Up to the quote that ends the value: one before `;` or the end. Old browsers wrote quotes inside as they are.
fn quoted_value(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::with_capacity(bytes.len().min(64));
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        match (byte, next) {
            // `C:\temp` is no escape; `\"` and `\\` are.
            (b'\\', Some(escaped @ (b'"' | b'\\'))) => {
                value.push(*escaped);
                at += 2;
                continue;
            }
            (b'"', _) => {
                let rest = &bytes[at + 1..];
                let follows = rest.trim_ascii_start();
                if follows.first().is_none_or(|byte| *byte == b';') {
                    return (escapes(value), rest);
                }
                value.push(b'"');
            }
            (byte, _) => value.push(*byte),
        }
        at += 1;
    }
    (escapes(value), &[])
}

/// The three characters that browsers escape in names (HTML, «multipart/form-data encoding algorithm»), and no other.
fn escapes(value: Vec<u8>) -> Vec<u8> {
    if !value.contains(&b'%') {
        return value;
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, length) = match rest {
            [b'%', b'2', b'2', ..] => (b'"', 3),
            [b'%', b'0', b'd' | b'D', ..] => (b'\r', 3),
            [b'%', b'0', b'a' | b'A', ..] => (b'\n', 3),
            _ => (*first, 1),
        };
        plain.push(byte);
        rest = if length == 3 { &rest[3..] } else { tail };
    }
    plain
}

/// The boundary that a `Content-Type` names. Characters that should be quoted and are not are taken as they are.
pub fn boundary(content_type: &str) -> Option<String> {
    let (_, value) = Parameters(content_type.as_bytes())
        .find(|(key, _)| key.eq_ignore_ascii_case(b"boundary"))?;
    let boundary = String::from_utf8(value).ok()?;
    (!boundary.is_empty() && boundary.len() <= BOUNDARY_BYTES_MAX).then_some(boundary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(line: &str) -> Head {
        Head::read(format!("{line}\r\n\r\n").as_bytes()).unwrap().0
    }

    #[test]
    fn names_are_read_however_they_were_quoted() {
        for (given, expected) in [
            ("name=\"a\"", "a"),
            ("name=a", "a"),
            ("NAME = \"Last Name\" ; x=y", "Last Name"),
            ("name=\"a%22b%0D%0Ac%41\"", "a\"b\r\nc%41"),
            ("name=\"a\\\"b\"", "a\"b"),
            ("x; name=\"f[a;b][]\"", "f[a;b][]"),
            ("name=\"\"", ""),
        ] {
            let head = head(&format!("Content-Disposition: form-data; {given}"));
            assert_eq!(head.name.as_deref(), Some(expected.as_bytes()), "{given}");
            assert!(!head.is_file());
        }
    }

    #[test]
    fn a_files_name_is_a_name_and_no_path() {
        for (given, expected) in [
            ("filename=\"C:\\temp\\cv.pdf\"", "cv.pdf"),
            ("filename=\"../../etc/passwd\"", "passwd"),
            ("filename=\" ? % * | \" < > . ; ' @ # ~.txt\"", " ? % * | \" < > . ; ' @ # ~.txt"),
            ("filename=\"old.txt\"; filename*=UTF-8''na%C3%AFve%20\u{2713}.txt", "naïve ✓.txt"),
            ("filename=\"a\u{202e}gpj.exe\u{0}\"", "agpj.exe"),
            (
                "filename=\"\\\"human\\\" genome.jpeg\"; modification-date=\"Wed, 12 Feb\";",
                "\"human\" genome.jpeg",
            ),
        ] {
            let head = head(&format!("content-disposition: attachment; name=\"f\"; {given}"));
            assert!(head.is_file(), "{given}");
            assert_eq!(head.file_name(Charset::default()), expected, "{given}");
        }
    }

    #[test]
    fn a_header_without_end_is_broken_and_a_folded_one_is_whole() {
        assert_eq!(Head::read(b"a: b\r\n").unwrap_err(), Refusal::BrokenBody);
        assert_eq!(Head::read(&[b'x'; 20_000]).unwrap_err(), Refusal::BrokenBody);
        let long = format!("{}\r\n\r\n", "a: b\r\n".repeat(2_000));
        assert_eq!(Head::read(long.as_bytes()).unwrap_err(), Refusal::BrokenBody);
        let folded = head("Content-Disposition: form-data;\r\n name=\"a\"");
        assert_eq!(folded.name.as_deref(), Some(&b"a"[..]));
    }

    #[test]
    fn any_boundary_is_found() {
        let of = |text: &str| boundary(&format!("multipart/form-data; {text}"));
        assert_eq!(of("boundary=\"AaB:03x\"").as_deref(), Some("AaB:03x"));
        assert_eq!(of("charset=utf-8; Boundary=\\/\\/\\/").as_deref(), Some("\\/\\/\\/"));
        assert_eq!(of("boundary=--b=1").as_deref(), Some("--b=1"));
        assert_eq!(of("boundary="), None);
        assert_eq!(of(&format!("boundary={}", "x".repeat(201))), None);
    }
}
