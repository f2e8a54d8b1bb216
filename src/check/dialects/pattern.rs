//! Name patterns: how a dialect's file writes the name of a field.
//!
//! In: `retURL`, `=URL`, `entry.{n}`, `b_{hex}_{hex}`, `mauticform[{*}]`. Out: a [`Pattern`] that says whether a posted name is meant,
//! and what stands where `{*}` is. Refuses: an unknown `{word}`, a second `{*}`, anything but text after it. Promises: a name is
//! compared in one pass, in any ASCII case unless the pattern begins with `=`.

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Digits,
    Hex,
    Any,
}

/// How names are written that one rule is meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
    /// True when the case counts.
    exact: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// With what is wrong about it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (exact, mut rest) = match text.strip_prefix('=') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let at = rest.find('{').unwrap_or(rest.len());
            if at > 0 {
                pieces.push(Piece::Text(rest[..at].to_owned()));
            }
            rest = &rest[at..];
            let Some(end) = rest.find('}') else {
                if rest.is_empty() {
                    break;
                }
                return Err(format!("`{text}`: {{ without }}"));
            };
            pieces.push(match &rest[..=end] {
                "{n}" => Piece::Digits,
                "{hex}" => Piece::Hex,
                "{*}" => Piece::Any,
                other => {
                    return Err(format!("`{text}`: {other} is none of {{n}}, {{hex}} and {{*}}"));
                }
            });
            rest = &rest[end + 1..];
        }
        let any = pieces.iter().position(|piece| *piece == Piece::Any);
        let after = any.map_or(&[][..], |at| &pieces[at + 1..]);
        if pieces.is_empty() || after.iter().any(|piece| !matches!(piece, Piece::Text(_))) {
            return Err(format!("`{text}`: a name, with at most one {{*}} and only text after it"));
        }
        Ok(Self { pieces, exact })
    }

    /// The name itself where the pattern is nothing else, and whether its case counts.
    pub fn literal(&self) -> Option<(&str, bool)> {
        match &self.pieces[..] {
            [Piece::Text(text)] => Some((text, self.exact)),
            _ => None,
        }
    }

    /// True when `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        self.inner(name).is_some()
    }

    /// What stands where `{*}` is (nothing where there is none), if `name` is meant.
    pub fn inner<'a>(&self, name: &'a str) -> Option<&'a str> {
        let mut rest = name;
        for (place, piece) in self.pieces.iter().enumerate() {
            rest = match piece {
                Piece::Text(text) => self.strip(rest, text)?,
                Piece::Digits => after_run(rest, |byte| byte.is_ascii_digit())?,
                Piece::Hex => after_run(rest, |byte| byte.is_ascii_hexdigit())?,
                Piece::Any => {
                    let ending = match &self.pieces[place + 1..] {
                        [Piece::Text(text), ..] => text.as_str(),
                        _ => "",
                    };
                    let length = rest.len().checked_sub(ending.len())?;
                    let tail = rest.get(length..)?;
                    return (length > 0 && self.strip(tail, ending) == Some(""))
                        .then(|| &rest[..length]);
                }
            };
        }
        rest.is_empty().then_some("")
    }

    fn strip<'a>(&self, text: &'a str, start: &str) -> Option<&'a str> {
        let head = text.get(..start.len())?;
        let same = if self.exact { head == start } else { head.eq_ignore_ascii_case(start) };
        same.then(|| &text[start.len()..])
    }
}

/// What follows a run of at least one such byte.
fn after_run(text: &str, is_in: impl Fn(&u8) -> bool) -> Option<&str> {
    let length = text.bytes().position(|byte| !is_in(&byte)).unwrap_or(text.len());
    (length > 0).then(|| &text[length..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn names_are_compared_in_any_case_unless_told() {
        assert!(matches("elqSiteID", "elqSiteId") && matches("retURL", "RETURL"));
        assert!(matches("=URL", "URL") && !matches("=URL", "url"));
        assert!(!matches("oid", "oid ") && !matches("oid", "void") && !matches("oid", ""));
    }

    #[test]
    fn numbers_and_hexadecimal_names_are_told_from_words() {
        assert!(matches("entry.{n}", "entry.805276147") && !matches("entry.{n}", "entry.x"));
        assert!(matches("b_{hex}_{hex}", "b_46d4ca194e984dd223cf00000_07980a0000"));
        assert!(!matches("b_{hex}_{hex}", "b_name_first") && !matches("b_{hex}_{hex}", "b__1"));
        assert!(matches("q{n}_name[first]", "q5_name[first]"));
    }

    #[test]
    fn what_is_wrapped_is_found() {
        let wrap = Pattern::parse("mauticform[{*}]").unwrap();
        assert_eq!(wrap.inner("mauticform[first_name]"), Some("first_name"));
        assert_eq!(wrap.inner("mauticform[privacy_consent]["), None);
        assert_eq!(wrap.inner("mauticform[]"), None);
        assert_eq!(wrap.inner("mauticform[é]"), Some("é"));
        let start = Pattern::parse("inf_field_{*}").unwrap();
        assert_eq!(start.inner("inf_field_FirstName"), Some("FirstName"));
    }

    #[test]
    fn a_wrong_pattern_says_what_is_wrong() {
        for (text, says) in [
            ("a{digits}", "`a{digits}`: {digits} is none of {n}, {hex} and {*}"),
            ("a{n", "`a{n`: { without }"),
            ("", "``: a name, with at most one {*} and only text after it"),
            ("{*}_{*}", "`{*}_{*}`: a name, with at most one {*} and only text after it"),
        ] {
            assert_eq!(Pattern::parse(text), Err(says.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn any_name_is_judged_without_panic(name in "(.|[q_b\\[\\]0-9a-fé]){0,30}") {
            for pattern in ["q{n}_a", "b_{hex}_{hex}", "x[{*}]", "{*}", "{*}é"] {
                let _ = matches(pattern, &name);
            }
            let anything = matches("{*}", &name);
            prop_assert_eq!(anything, !name.is_empty());
        }
    }
}
