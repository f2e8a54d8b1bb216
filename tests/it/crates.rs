//! What may be in the binary: `deny.toml`, held against `cargo metadata`.
//!
//! `cargo deny` checks the same file, and advisories besides; but it takes minutes to compile on a fresh machine, which is more than CI has to give for what a second does.

use std::process::Command;

use serde_json::Value;

const RULES: &str = include_str!("../../deny.toml");

fn rules() -> toml::Table {
    RULES.parse().unwrap()
}

fn words(rules: &toml::Table, section: &str, key: &str) -> Vec<String> {
    let list = rules[section][key].as_array().unwrap();
    let name =
        |value: &toml::Value| value.get("name").unwrap_or(value).as_str().unwrap().to_owned();
    list.iter().map(name).collect()
}

/// The crates that the binary is built from on Linux, and their features' ones.
fn packages() -> Vec<Value> {
    let arguments = [
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        "x86_64-unknown-linux-gnu",
    ];
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// True when a licence expression can be met by allowed licences alone: `A OR (B AND C)`, and the old `A/B`.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    either(&mut tokens, allowed)
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(tokens: &mut Tokens<'_>, allowed: &[String]) -> bool {
    let mut met = both(tokens, allowed);
    while tokens.next_if_eq(&"OR").is_some() {
        met |= both(tokens, allowed);
    }
    met
}

fn both(tokens: &mut Tokens<'_>, allowed: &[String]) -> bool {
    let mut met = one(tokens, allowed);
    while tokens.next_if_eq(&"AND").is_some() {
        met &= one(tokens, allowed);
    }
    met
}

fn one(tokens: &mut Tokens<'_>, allowed: &[String]) -> bool {
    if tokens.next_if_eq(&"(").is_some() {
        let met = either(tokens, allowed);
        assert_eq!(tokens.next(), Some(")"));
        return met;
    }
    let mut name = tokens.next().unwrap_or("").to_owned();
    if tokens.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", tokens.next().unwrap_or(""));
    }
    allowed.contains(&name)
}

#[test]
fn every_crate_has_an_allowed_licence_and_source_and_is_not_banned() {
    let rules = rules();
    let (allowed, banned) = (words(&rules, "licenses", "allow"), words(&rules, "bans", "deny"));
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    // All of them come from one registry, none from a git address.
    let (mut wrong, mut registries) = (Vec::new(), std::collections::HashSet::new());
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let expression = package["license"].as_str().unwrap_or("");
        if !is_met(expression, &allowed) {
            wrong.push(format!("{name}: licence {expression:?}"));
        }
        if banned.iter().any(|banned| banned == name) {
            wrong.push(format!("{name}: banned"));
        }
        match package["source"].as_str() {
            None if name == "leadtrail" => {}
            Some(source) if source.starts_with("registry+") => drop(registries.insert(source)),
            other => wrong.push(format!("{name}: source {other:?}")),
        }
    }
    assert_eq!(registries.len(), 1, "{registries:?}");
    assert!(wrong.is_empty(), "deny.toml does not admit:\n{}", wrong.join("\n"));
}

#[test]
fn an_expression_is_met_only_by_what_it_asks_for() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    for met in [
        "MIT",
        "MIT/GPL-3.0",
        "GPL-3.0 OR MIT",
        "MIT AND ISC",
        "(MIT OR GPL-3.0) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT AND GPL-3.0) OR GPL-3.0", "Apache-2.0"] {
        assert!(!is_met(unmet, &allowed), "{unmet}");
    }
}
