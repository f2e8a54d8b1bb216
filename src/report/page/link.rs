//! A question as a URL.
//!
//! In: a query string. Out: a [`Link`], and URLs made from it. Refuses: an unknown or repeated parameter: a misspelt filter that
//! is passed over would show figures that answer another question. Promises: what is read is written back equal.

use crate::config::nearest;
use crate::report::question::{Asked, BadQuestion, ReportName, told};

/// The longest query string that is read: seven short values.
const QUERY_BYTES_MAX: usize = 1_024;

/// The parameters that a question may have in a URL.
pub const PARAMETERS: [&str; 7] = ["period", "from", "to", "zone", "site", "limit", "format"];

/// The parameters of a question; empty: not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `Asked`, which documents them")]
pub struct Link {
    pub period: String,
    pub from: String,
    pub to: String,
    pub zone: String,
    pub site: String,
    pub limit: String,
    pub format: String,
}

impl Link {
    /// Reads a query string.
    pub fn parse(query: &str) -> Result<Self, BadQuestion> {
        if query.len() > QUERY_BYTES_MAX {
            let what = format!("the question is longer than {QUERY_BYTES_MAX} bytes");
            return Err(BadQuestion { what, nearest: vec![("period", "30d".to_owned())] });
        }
        let mut link = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(place) = link.place(&key) else {
                let near = nearest(&key, PARAMETERS.into_iter());
                let typed = told(&key);
                let near = PARAMETERS.into_iter().find(|name| *name == near).unwrap_or("period");
                let what = format!("unknown parameter `{typed}`");
                return Err(BadQuestion { what, nearest: vec![(near, told(&value))] });
            };
            if !place.is_empty() && *place != value {
                let what = format!("the parameter `{key}` is given twice");
                return Err(BadQuestion { what, nearest: vec![("period", "30d".to_owned())] });
            }
            *place = value.into_owned();
        }
        Ok(link)
    }

    fn place(&mut self, key: &str) -> Option<&mut String> {
        Some(match key {
            "period" => &mut self.period,
            "from" => &mut self.from,
            "to" => &mut self.to,
            "zone" => &mut self.zone,
            "site" => &mut self.site,
            "limit" => &mut self.limit,
            "format" => &mut self.format,
            _ => return None,
        })
    }

    /// As the question's parser takes it.
    pub fn asked(&self) -> Asked<'_> {
        Asked {
            period: &self.period,
            from: &self.from,
            to: &self.to,
            zone: &self.zone,
            site: &self.site,
            limit: &self.limit,
        }
    }

    /// The same question about a preset period.
    pub fn with_period(&self, preset: &str) -> Self {
        Self { period: preset.to_owned(), from: String::new(), to: String::new(), ..self.clone() }
    }

    /// The nearest good question.
    pub fn corrected(&self, bad: &BadQuestion) -> Self {
        let mut link = self.clone();
        for (key, value) in &bad.nearest {
            if let Some(place) = link.place(key) {
                place.clone_from(value);
            }
        }
        link
    }

    /// The page's URL for this question.
    pub fn page(&self) -> String {
        let query = self.query("");
        if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
    }

    /// A file's URL for this question.
    pub fn file(&self, report: ReportName, format: &str) -> String {
        format!("/api/report/{}?{}", report.name(), self.query(format))
    }

    fn query(&self, format: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let pairs = [
            ("period", &self.period),
            ("from", &self.from),
            ("to", &self.to),
            ("zone", &self.zone),
            ("site", &self.site),
            ("limit", &self.limit),
        ];
        for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(key, value);
        }
        if !format.is_empty() {
            query.append_pair("format", format);
        }
        query.finish()
    }
}
