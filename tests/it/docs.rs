//! The README says what the code says: the config table, the refusals, the links.

use std::fmt::Write as _;
use std::path::Path;

use leadtrail::config::DEFAULTS;

const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
const CHECK: &str = include_str!("../../src/check/mod.rs");

/// The table of all keys, from the built-in file: one row a section, one a key.
fn config_table() -> String {
    let mut table = String::from("| key | default | why |\n|---|---|---|\n");
    let mut section = String::new();
    for line in DEFAULTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (code, why) = line.split_once(" #").unwrap_or((line, ""));
        let (code, why) = (code.trim(), why.trim());
        if let Some(name) = code.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
            writeln!(table, "| **{code}** | | {why} |").unwrap();
        } else {
            let (key, default) = code.split_once(" = ").unwrap();
            writeln!(table, "| `{section}{key}` | `{default}` | {why} |").unwrap();
        }
    }
    table
}

#[test]
fn the_readme_has_every_config_key_with_its_default_and_why() {
    let table = config_table();
    assert!(table.contains("| `edge.redirect_wait_ms` | `20` | how long"), "{table}");
    let begin = README.find("<!-- config: ").unwrap();
    let begin = begin + README[begin..].find('\n').unwrap() + 1;
    let end = README.find("<!-- /config -->").unwrap();
    assert!(
        README[begin..end] == table,
        "README.md and config/leadtrail.toml differ; the table has to be:\n{table}"
    );
}

#[test]
fn the_readme_has_every_refusal() {
    let rows: Vec<&str> = CHECK
        .lines()
        .filter_map(|line| line.strip_prefix("//! ").filter(|row| row.starts_with('|')))
        .collect();
    assert!(rows.len() > 10, "no table in src/check/mod.rs");
    let table = format!("{}\n", rows.join("\n"));
    assert!(README.contains(&table), "README.md lacks the table of src/check/mod.rs:\n{table}");
}

#[test]
fn links_into_the_repository_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = 0;
    for document in [README, ARCHITECTURE] {
        for tail in document.split("](").skip(1) {
            let target = tail.split(')').next().unwrap().split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                assert!(root.join(target).exists(), "{target} is linked and does not exist");
                found += 1;
            }
        }
    }
    assert!(found > 5, "{found} links");
}
