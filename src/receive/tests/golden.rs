//! Golden requests: one raw request a file, the answer and the event beside it.
//!
//! In: `tests/fixtures/dialects/{dialect}/{case}.http`, a request as it was saved. Out: `{case}.snap` beside it. A difference fails and is
//! shown; after a look at it, `INSTA_UPDATE=always cargo test --lib golden` writes what is new.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::*;

const GOLDEN_SITES: &str = r#"
[[site]]
name = "shop"
origins = ["https://www.site.example", "http://www.site.example", "https://cars.site.example"]
visitor = "none"
hosts = ["forms.example"]

[[form]]
name = "contact"
site = "shop"

[[form]]
name = "trial"
site = "shop"
dialect = "hubspot_v3"
ids = ["ab937fd4"]

[[form]]
name = "strict"
site = "shop"
dialect = "hubspot_v3"
ids = ["7000007/strict"]
required = ["email"]
"#;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dialects");
    let folders = root.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| folder.read_dir().unwrap());
    let mut cases: Vec<_> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    cases.sort();
    cases
}

/// A saved request as it goes over the wire.
fn wire(saved: &[u8]) -> Vec<u8> {
    let end =
        saved.windows(2).position(|two| two == b"\n\n").expect("an empty line after the head");
    let (head, body) = (std::str::from_utf8(&saved[..end]).unwrap(), &saved[end + 2..]);
    let mut wire = head.replace('\n', "\r\n").into_bytes();
    let length = format!("\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    wire.extend_from_slice(length.as_bytes());
    wire.extend_from_slice(body);
    wire
}

fn told(answer: &Answer, running: &Running, before: usize) -> String {
    let receipt = answer.header("leadtrail-receipt");
    let mut text = format!("answer {}\n", answer.status);
    for name in ["location", "content-type", "access-control-allow-origin", "allow"] {
        if let Some(value) = answer.header(name) {
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
    if !is_page && !answer.body.is_empty() {
        let body = answer.text().replace(receipt.unwrap_or("\0"), "RECEIPT");
        let reference = answer.header("leadtrail-refusal").unwrap_or("\0");
        let _ = writeln!(text, "\n{}", body.replace(reference, "REFERENCE").trim_end());
    }
    for event in running.events().into_iter().skip(before) {
        let form = event.form.as_ref().unwrap();
        let dialect = running.edge.doors.dialects.get(&form.dialect).unwrap();
        let kind = serde_json::to_value(event.event_type).unwrap();
        let _ = writeln!(
            text,
            "\nevent {} of form {}, dialect {}",
            kind.as_str().unwrap(),
            form.form,
            form.dialect
        );
        if !event.flags.is_empty() {
            let _ = writeln!(text, "flags {}", event.flags.join(" "));
        }
        let origin = serde_json::to_string(&event.origin).unwrap();
        let _ = writeln!(text, "origin {origin}");
        for (name, value) in &form.fields {
            let column = dialect.column_of(name).map(|column| format!(" -> {}", column.name()));
            let (value, column) = (value.expose(), column.unwrap_or_default());
            let _ = writeln!(text, "{name:?} = {value:?}{column}");
        }
    }
    text
}

#[tokio::test]
async fn every_dialects_requests_are_answered_and_understood_as_before() {
    let mut dialects = std::collections::HashSet::new();
    let running = start_with(GOLDEN_SITES, |config| config.spam.posts_per_minute = 10_000).await;
    for case in cases() {
        let before = running.events().len();
        let answer = Answer::parse(&running.raw(&wire(&std::fs::read(&case).unwrap())).await);
        let folder = case.parent().unwrap();
        dialects.insert(folder.file_name().unwrap().to_owned());
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| {
            let name = case.file_stem().unwrap().to_str().unwrap();
            insta::assert_snapshot!(name, told(&answer, &running, before));
        });
    }
    for (_, dialect) in crate::check::dialects::Dialects::built_in().all() {
        assert!(dialects.contains(std::ffi::OsStr::new(dialect.name())), "{}", dialect.name());
    }
}
