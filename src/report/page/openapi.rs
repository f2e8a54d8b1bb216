//! `/openapi.json`: what the app listener's API does.
//!
//! In: nothing. Out: the document. Promises: names of reports and periods, limits and the version are those of the program, not copies of them; that each answer is described is tried
//! with schemathesis against the running server (loadtest/README.md).

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::report::period::PRESETS;
use crate::report::question::{ROWS_MAX, ReportName};

/// Where it is.
pub const PATH: &str = "/openapi.json";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(include_str!("openapi.json"))
        .expect("the file is JSON: a test reads it");
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    let reports: Vec<_> = ReportName::ALL.iter().map(|report| report.name()).collect();
    let periods: Vec<_> = PRESETS.iter().map(|preset| preset.name()).collect();
    let parameters = &mut document["paths"]["/api/report/{name}"]["get"]["parameters"];
    for parameter in parameters.as_array_mut().into_iter().flatten() {
        match parameter["name"].as_str() {
            Some("name") => parameter["schema"]["enum"] = json!(reports),
            Some("period") => parameter["schema"]["enum"] = json!(periods),
            Some("limit") => parameter["schema"]["maximum"] = json!(ROWS_MAX),
            _ => {}
        }
    }
    document.to_string()
});

/// The document.
pub fn document() -> &'static str {
    &DOCUMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_is_whole_and_names_every_report_and_period() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        let parameters = &document["paths"]["/api/report/{name}"]["get"]["parameters"];
        assert_eq!(
            parameters[0]["schema"]["enum"].as_array().unwrap().len(),
            ReportName::ALL.len()
        );
        assert_eq!(parameters[1]["schema"]["enum"].as_array().unwrap().len(), PRESETS.len());
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
