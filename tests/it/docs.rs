//! The README says what the code says: the config table, the refusals, the links.

use std::fmt::Write as _;
use std::path::Path;

use leadtrail::config::DEFAULTS;
use leadtrail::telemetry::{METRICS, Sort};

const README: &str = include_str!("../../README.md");
const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");
const ALERTS: &str = include_str!("../../deploy/alerts.yml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/leadtrail.json");
const ANALYST: &str = include_str!("../../deploy/analyst.sql");
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

/// A metric as it is asked for: counters end in `_total`.
fn scraped(metric: &leadtrail::telemetry::Metric) -> String {
    let end = if metric.sort == Sort::Counter { "_total" } else { "" };
    format!("{}{end}", metric.name)
}

#[test]
fn the_readme_has_every_metric() {
    let mut table = String::from("| metric | of | labels | what |\n|---|---|---|---|\n");
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, shown) = (scraped(metric), format!("{:?}", metric.shown).to_lowercase());
        writeln!(table, "| `{name}` | {shown} | {} | {} |", labels.join(", "), metric.help)
            .unwrap();
    }
    assert!(
        README.contains(&format!("{table}\n")),
        "README.md and src/telemetry.rs differ; the table has to be:\n{table}"
    );
}

/// Each word of these expressions that is called like a metric of ours is one.
fn assert_metrics_exist<'a>(expressions: impl Iterator<Item = &'a str>) {
    let mut names = Vec::new();
    for expression in expressions {
        let words = expression.split(|at: char| !at.is_ascii_alphanumeric() && at != '_');
        names.extend(words.filter(|word| word.starts_with("leadtrail_")));
    }
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(METRICS.iter().any(|metric| scraped(metric) == name), "no metric is called {name}");
    }
}

#[test]
fn the_dashboard_shows_metrics_that_exist() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    assert_metrics_exist(targets.map(|target| target["expr"].as_str().unwrap()));
}

#[test]
fn alerts_speak_of_metrics_that_exist_and_of_every_readiness_condition() {
    let expressions = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    assert_metrics_exist(expressions);
    let begin = README.find("| check | fails when |").unwrap();
    let rows = README[begin..].lines().skip(2).take_while(|line| line.starts_with('|'));
    let checks: Vec<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert!(checks.contains(&"journal") && checks.contains(&"settle"), "{checks:?}");
    for check in checks {
        let rule = format!("leadtrail_ready{{check=\"{check}\"}} == 0");
        assert!(ALERTS.contains(&rule), "deploy/alerts.yml has no rule for the check {check}");
    }
}

#[test]
fn the_analyst_of_a_server_reads_no_personal_table() {
    for table in leadtrail::store::engine::PERSONAL_TABLES {
        let revoked = format!("REVOKE SHOW, SELECT, dictGet ON leadtrail.{table} FROM");
        assert!(ANALYST.contains(&revoked), "deploy/analyst.sql leaves {table} readable");
    }
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
