//! What the operator typed, laid over the defaults.
//!
//! In: the file's text, the environment. Out: the merged table. Refuses: a key that the defaults don't have and a value of another
//! type, naming key, place and the nearest key there is.

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::{Config, ConfigError, wrong};

/// What the environment's names begin with: `LEADTRAIL_KAFKA__BROKERS` is `kafka.brokers`.
const ENVIRONMENT_PREFIX: &str = "LEADTRAIL_";

/// Where the operator gave which key: `edge.listen` at `leadtrail.toml, line 3`.
pub(super) type Places = std::collections::HashMap<String, String>;

/// Names the value that can't be used: the one that alone, over the defaults, can't.
pub(super) fn blame(
    defaults: &Table,
    merged: &Table,
    places: &Places,
    error: &toml::de::Error,
) -> ConfigError {
    let sections = merged.iter().filter_map(|(section, value)| Some((section, value.as_table()?)));
    let keys = sections.flat_map(|(section, keys)| keys.iter().map(move |key| (section, key)));
    for (section, (key, value)) in keys {
        let mut alone = defaults.clone();
        if let Some(Value::Table(table)) = alone.get_mut(section) {
            table.insert(key.clone(), value.clone());
        }
        if let Err(error) = Value::Table(alone).try_into::<Config>() {
            let name = format!("{section}.{key}");
            let place = places.get(&name).map_or("environment", String::as_str);
            return wrong(format!("{place}: `{name}`: {}", one_line(&error)));
        }
    }
    wrong(format!("config: {}; see config/leadtrail.toml", one_line(error)))
}

/// Lays the operator's text over the defaults, refusing what they don't have.
pub(super) fn overlay(
    merged: &mut Table,
    text: &str,
    source: &str,
    places: &mut Places,
) -> Result<(), ConfigError> {
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_at(text, span.start));
        wrong(format!("{source}, line {line}: {}", one_line(&error)))
    })?;
    check_keys(document.get_ref(), merged, (text, source), "", places)?;
    let typed: Table =
        text.parse().map_err(|error| wrong(format!("{source}: {}", one_line(&error))))?;
    merge(merged, typed);
    Ok(())
}

fn line_at(text: &str, position: usize) -> usize {
    text[..position.min(text.len())].matches('\n').count() + 1
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', " ")
}

fn check_keys(
    given: &DeTable<'_>,
    known: &Table,
    (text, source): (&str, &str),
    prefix: &str,
    places: &mut Places,
) -> Result<(), ConfigError> {
    for (key, value) in given {
        let name: &str = key.get_ref();
        let line = line_at(text, key.span().start);
        places.insert(format!("{prefix}{name}"), format!("{source}, line {line}"));
        let Some(default) = known.get(name) else {
            let near = nearest(name, known.keys().map(String::as_str));
            return Err(wrong(format!(
                "{source}, line {line}: unknown key `{prefix}{name}`; did you mean `{prefix}{near}`?"
            )));
        };
        let given_kind = kind_of(value.get_ref());
        if given_kind != default.type_str() {
            return Err(wrong(format!(
                "{source}, line {line}: `{prefix}{name}` must be {}, not {given_kind} (for example: {default})",
                default.type_str()
            )));
        }
        if let (DeValue::Table(inner), Value::Table(inner_known)) = (value.get_ref(), default) {
            check_keys(inner, inner_known, (text, source), &format!("{prefix}{name}."), places)?;
        }
    }
    Ok(())
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "float",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "datetime",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "table",
    }
}

/// The known word that is closest to what was typed.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known.min_by_key(|word| strsim::damerau_levenshtein(typed, word)).unwrap_or("")
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(new)) => merge(inner, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Lays `LEADTRAIL_SECTION__KEY` variables over the table. Names without a section that aren't keys belong to others
/// (`LEADTRAIL_PARTS`, say) and are passed over; one with a section is meant for us and must be right.
pub(super) fn overlay_environment(
    merged: &mut Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (name, text) in environment {
        let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let path = path.to_lowercase();
        let (table, key) = match path.split_once("__") {
            None if merged.get(&path).is_none_or(Value::is_table) => continue,
            None => (&mut *merged, path.as_str()),
            Some((section, key)) => match merged.get_mut(section) {
                Some(Value::Table(table)) => (table, key),
                _ => {
                    let near = nearest(section, merged.keys().map(String::as_str)).to_uppercase();
                    return Err(wrong(format!(
                        "environment: {name} names no section; did you mean {ENVIRONMENT_PREFIX}{near}__…?"
                    )));
                }
            },
        };
        let Some(default) = table.get(key) else {
            let near = nearest(key, table.keys().map(String::as_str)).to_uppercase();
            return Err(wrong(format!("environment: {name} is no key; did you mean …{near}?")));
        };
        let value = parse_like(default, &text).ok_or_else(|| {
            wrong(format!(
                "environment: {name} must be {} (for example: {default})",
                default.type_str()
            ))
        })?;
        table.insert(key.to_owned(), value);
    }
    Ok(())
}

/// Reads an environment's text as the type that the default has; a list is comma-separated.
fn parse_like(default: &Value, text: &str) -> Option<Value> {
    match default {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}
