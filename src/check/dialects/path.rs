//! Paths: the vendors' own addresses.
//!
//! In: `/l/{account:digits}/{date}/{form}`, `/index.php?entryPoint=WebToLeadCapture`, `/*`. Out: a [`Path`] that says whether a request
//! is meant, with the form's id as the path has it. Refuses: a path that doesn't begin with `/`, an unknown kind of segment.
//! Promises: a request's path is decoded once and compared segment by segment.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::receive::pairs::pairs;

/// What a `{…}` segment takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Uuid,
    Digits,
    Email,
    Hex,
    Word,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(String),
    Id(Kind),
}

/// One of a vendor's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// As the file has it.
    pub text: String,
    /// `None`: any path.
    segments: Option<Vec<Segment>>,
    /// A parameter that the query must have.
    parameter: Option<(String, String)>,
}

/// How exactly a path is meant: the smaller, the more exactly.
pub type Vagueness = (usize, usize, Option<usize>);

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// With what is wrong about it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (path, query) = text.split_once('?').map_or((text, None), |(p, q)| (p, Some(q)));
        let Some(rest) = path.strip_prefix('/') else {
            return Err(format!("path `{text}` must begin with /"));
        };
        let parameter = match query.map(|query| query.split_once('=')) {
            None => None,
            Some(Some((name, value))) if !name.is_empty() => Some((name.into(), value.into())),
            Some(_) => return Err(format!("path `{text}`: after ? stands one name=value")),
        };
        let segments = if rest == "*" {
            None
        } else {
            Some(rest.split('/').map(|part| segment(text, part)).collect::<Result<_, _>>()?)
        };
        Ok(Self { text: text.to_owned(), segments, parameter })
    }

    /// True for `/*`: such a path says nothing, the fields have to.
    pub fn is_any(&self) -> bool {
        self.segments.is_none()
    }

    /// The first segment where it is a word of its own: tables are made by it.
    pub fn first_word(&self) -> Option<&str> {
        match self.segments.as_ref()?.first()? {
            Segment::Text(text) => Some(text),
            Segment::Id(_) => None,
        }
    }

    /// For sorting: exact segments before ids, ids of a narrow kind before wide ones, a demanded parameter before none.
    pub fn vagueness(&self) -> Vagueness {
        let without_parameter = usize::from(self.parameter.is_none());
        let Some(segments) = &self.segments else { return (usize::MAX, without_parameter, None) };
        let kinds = segments.iter().filter_map(|segment| match segment {
            Segment::Id(kind) => Some(*kind as usize),
            Segment::Text(_) => None,
        });
        (kinds.clone().count(), without_parameter, kinds.max())
    }

    /// The ids in the path, if it is meant.
    pub fn ids(&self, path: &str, query: &str) -> Option<Vec<String>> {
        if let Some((name, value)) = &self.parameter {
            let has = |pair: &crate::receive::pairs::Pair<'_>| {
                pair.name.eq_ignore_ascii_case(name) && pair.value.eq_ignore_ascii_case(value)
            };
            pairs(query.as_bytes()).find(has)?;
        }
        let Some(segments) = &self.segments else { return Some(Vec::new()) };
        let mut parts = path.strip_prefix('/')?.split('/');
        let mut ids = Vec::new();
        for segment in segments {
            let part = percent_decode_str(parts.next()?).decode_utf8().ok()?;
            match segment {
                Segment::Text(text) if part == text.as_str() => {}
                Segment::Id(kind) if kind.takes(&part) => ids.push(part.into_owned()),
                _ => return None,
            }
        }
        // A slash at the end, which some pages add to every address, is no other path.
        let end = parts.next().is_none_or(str::is_empty) && parts.next().is_none();
        end.then_some(ids)
    }
}

fn segment(path: &str, part: &str) -> Result<Segment, String> {
    let Some(inner) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        let plain = !part.contains(['{', '}', '*']);
        let text: Cow<'_, str> = percent_decode_str(part).decode_utf8_lossy();
        return if plain {
            Ok(Segment::Text(text.into_owned()))
        } else {
            Err(format!("path `{path}`: a segment is text or {{word}}; /* stands alone"))
        };
    };
    let kind = match inner.split_once(':').map_or("", |(_, kind)| kind) {
        "" => Kind::Word,
        "digits" => Kind::Digits,
        "hex" => Kind::Hex,
        "uuid" => Kind::Uuid,
        "email" => Kind::Email,
        other => {
            return Err(format!("path `{path}`: `{other}` is none of digits, hex, uuid and email"));
        }
    };
    Ok(Segment::Id(kind))
}

impl Kind {
    fn takes(self, part: &str) -> bool {
        let plain = |character: char| !character.is_control() && !character.is_whitespace();
        match self {
            Self::Word => !part.is_empty() && part.len() <= 128 && part.chars().all(plain),
            Self::Digits => !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Hex => part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Self::Uuid => part.len() == 36 && uuid::Uuid::try_parse(part).is_ok(),
            Self::Email => {
                let host = part.split_once('@').filter(|(user, _)| !user.is_empty());
                part.len() <= 254
                    && part.chars().all(plain)
                    && host.is_some_and(|(_, host)| host.contains('.') && !host.contains('@'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(path: &str, request: &str) -> Option<Vec<String>> {
        let (wanted, query) = request.split_once('?').unwrap_or((request, ""));
        Path::parse(path).unwrap().ids(wanted, query)
    }

    #[test]
    fn ids_are_taken_from_their_segments() {
        assert_eq!(
            ids("/l/{account:digits}/{date}/{form}", "/l/303201/2017-02-22/8vs").unwrap(),
            ["303201", "2017-02-22", "8vs"]
        );
        assert_eq!(ids("/{form:email}", "/list%40site.example").unwrap(), ["list@site.example"]);
        assert_eq!(ids("/e/f2", "/e/f2").unwrap(), [""; 0]);
        assert_eq!(ids("/e/f2", "/e/f2/").unwrap(), [""; 0]);
        for (path, request) in [
            ("/e/f2", "/e/f2//"),
            ("/e/f2", "/e/F2"),
            ("/f/{x:uuid}", "/f/mnngvnbg"),
            ("/l/{a:digits}/{b}/{c}", "/l/x/2/3"),
            ("/{a:email}", "/plain"),
            ("/{a}", "/"),
            ("/{a}", "/%ff"),
            ("/{a}", "/a%0ab"),
        ] {
            assert_eq!(ids(path, request), None, "{path} {request}");
        }
    }

    #[test]
    fn a_parameter_can_be_demanded() {
        let path = "/index.php?entryPoint=WebToLeadCapture";
        assert!(ids(path, "/index.php?key=x&entryPoint=WebToLeadCapture").is_some());
        assert!(
            ids(path, "/index.php?entryPoint=other").is_none() && ids(path, "/index.php").is_none()
        );
    }

    #[test]
    fn the_more_exact_path_comes_first() {
        let mut paths = ["/*", "/{f}", "/f/{f}", "/f/{f:uuid}", "/{f:email}", "/i", "/i?a=b"]
            .map(|p| Path::parse(p).unwrap());
        paths.sort_by_key(Path::vagueness);
        let order: Vec<_> = paths.iter().map(|path| path.text.as_str()).collect();
        assert_eq!(order, ["/i?a=b", "/i", "/f/{f:uuid}", "/{f:email}", "/{f}", "/f/{f}", "/*"]);
    }

    #[test]
    fn a_wrong_path_says_what_is_wrong() {
        for wrong in ["a", "/a*", "/{a:number}", "/a?b", "/x{y}"] {
            assert!(Path::parse(wrong).unwrap_err().starts_with(&format!("path `{wrong}`")));
        }
    }
}
