//! Configuration: what the operator typed becomes what the program runs on.
//!
//! In: the built-in `config/leadtrail.toml` (every key with its default), the operator's file, the environment. Out: a
//! checked [`Config`]; nothing later checks again. Refuses: a key that the built-in file doesn't have and a value of another
//! type, naming key, line and the nearest key there is. Promises: the built-in file is the only place where a default stands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../config/leadtrail.toml");

/// What the environment's names begin with: `LEADTRAIL_KAFKA__BROKERS` is `kafka.brokers`.
const ENVIRONMENT_PREFIX: &str = "LEADTRAIL_";

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read config file {path:?}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or value is wrong. The text names key, place and the nearest valid one.
    #[error("{0}")]
    Wrong(String),
}

fn wrong(text: impl Into<String>) -> ConfigError {
    ConfigError::Wrong(text.into())
}

/// Everything the program runs on. Field names are the keys of `config/leadtrail.toml`, which documents them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/leadtrail.toml documents each key")]
pub struct Config {
    pub data_dir: PathBuf,
    pub sites_file: String,
    pub edge: Edge,
    pub app: App,
    pub ops: Ops,
    pub limits: Limits,
    pub log: Log,
    pub journal: Journal,
    pub kafka: Kafka,
    pub consumer: Consumer,
    pub settle: Settle,
    pub warehouse: Warehouse,
    pub engine: Engine,
    pub enrich: Enrich,
    pub demo: Demo,
}

/// Declares the sections: plain records whose keys the built-in file documents.
macro_rules! sections {
    ($($name:ident { $($key:ident: $kind:ty),* $(,)? })*) => {$(
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "config/leadtrail.toml documents each key")]
        pub struct $name { $(pub $key: $kind),* }
    )*};
}

sections! {
    Edge {
        listen: SocketAddr, public_url: String, trusted_proxies: Vec<ipnet::IpNet>, connections_max: usize,
        header_timeout_ms: u64, body_timeout_ms: u64, idle_timeout_ms: u64, body_bytes_max: usize, fields_max: usize,
        drain_ms: u64, redirect_wait_ms: u64, threads: usize,
    }
    App { listen: SocketAddr, hosts: Vec<String> }
    Ops { listen: SocketAddr, hosts: Vec<String> }
    Limits { address_per_minute: u32, address_burst: u32, form_per_minute: u32, form_burst: u32 }
    Log { home: Home }
    Journal { bytes_max: u64, segment_bytes: u64, keep_hours: u64 }
    Kafka {
        brokers: String, topic: String, settle_topic: String, group: String, partitions: i32, replication: i32,
        answer_deadline_ms: u64, linger_ms: u64, properties: Vec<String>,
    }
    Consumer { batch_rows_max: usize, batch_bytes_max: usize, batch_age_ms: u64, ops_listen: SocketAddr }
    Settle { interval_ms: u64, click_window_days: u32, ops_listen: SocketAddr }
    Warehouse { url: String, database: String, user: String, password_file: String, timeout_ms: u64 }
    Engine { library: String, http_port: u16, memory_bytes_max: u64 }
    Enrich { place_database: String, channels_file: String }
    Demo { listen: SocketAddr }
}

/// Where the log is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Home {
    /// The journal is the whole log.
    Disk,
    /// Kafka is the log, the journal its spill.
    Kafka,
}

impl Config {
    /// Reads the defaults, then `file` if given, then the environment.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let defaults: Table =
            DEFAULTS.parse().map_err(|error| wrong(format!("built-in config: {error}")))?;
        let mut merged = defaults.clone();
        let mut places = Places::new();
        if let Some(path) = file {
            let source = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            overlay(&mut merged, &text, &source, &mut places)?;
        }
        overlay_environment(&mut merged, environment)?;
        let config = match Value::Table(merged.clone()).try_into::<Self>() {
            Ok(config) => config,
            Err(error) => return Err(blame(&defaults, &merged, &places, &error)),
        };
        config.check()?;
        Ok(config)
    }

    /// What types alone can't say.
    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("edge.connections_max", self.edge.connections_max as u64),
            ("edge.body_bytes_max", self.edge.body_bytes_max as u64),
            ("edge.fields_max", self.edge.fields_max as u64),
            ("limits.address_per_minute", u64::from(self.limits.address_per_minute)),
            ("limits.address_burst", u64::from(self.limits.address_burst)),
            ("limits.form_per_minute", u64::from(self.limits.form_per_minute)),
            ("limits.form_burst", u64::from(self.limits.form_burst)),
            ("consumer.batch_rows_max", self.consumer.batch_rows_max as u64),
            ("settle.interval_ms", self.settle.interval_ms),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(wrong(format!("config: {key} is 0; give a number of at least 1")));
        }
        if self.consumer.batch_rows_max > 50_000 {
            return Err(wrong(
                "config: consumer.batch_rows_max is over 50000: an insert would no longer be one block",
            ));
        }
        url::Url::parse(&self.edge.public_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                wrong("config: edge.public_url must be http://host[:port] or https://host[:port]")
            })?;
        if let Some(bad) = self.kafka.properties.iter().find(|property| !property.contains('=')) {
            let name = bad.split_whitespace().next().unwrap_or("");
            return Err(wrong(format!("config: kafka.properties: {name:?} is not name=value")));
        }
        Ok(())
    }

    /// Where keys live.
    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    /// Where the journal (or spill) lives.
    pub fn journal_dir(&self) -> PathBuf {
        match self.log.home {
            Home::Disk => self.data_dir.join("journal"),
            Home::Kafka => self.data_dir.join("spill"),
        }
    }

    /// Where the embedded engine lives.
    pub fn engine_dir(&self) -> PathBuf {
        self.data_dir.join("engine")
    }
}

/// Where the operator gave which key: `edge.listen` at `leadtrail.toml, line 3`.
type Places = std::collections::HashMap<String, String>;

/// Names the value that can't be used: the one that alone, over the defaults, can't.
fn blame(
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
fn overlay(
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
fn overlay_environment(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leadtrail.toml");
        std::fs::write(&path, text).unwrap();
        let pairs = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Config::load(Some(&path), pairs)
    }

    fn refusal(text: &str, environment: &[(&str, &str)]) -> String {
        let error = load(text, environment).unwrap_err().to_string();
        error.rsplit_once("leadtrail.toml, ").map_or(error.clone(), |(_, tail)| tail.to_owned())
    }

    #[test]
    fn the_built_in_file_is_a_config() {
        let config = load("", &[]).unwrap();
        assert_eq!(config.log.home, Home::Disk);
        assert_eq!(config.edge.listen.port(), 8080);
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let config = load(
            "[kafka]\nbrokers = \"a:1\"\ntopic = \"t\"\n",
            &[
                ("LEADTRAIL_KAFKA__BROKERS", "b:2"),
                ("LEADTRAIL_EDGE__TRUSTED_PROXIES", "127.0.0.0/8"),
            ],
        )
        .unwrap();
        assert_eq!((config.kafka.brokers.as_str(), config.kafka.topic.as_str()), ("b:2", "t"));
        assert_eq!(config.edge.trusted_proxies.len(), 1);
    }

    #[test]
    fn a_wrong_config_names_the_key_the_line_and_the_nearest_valid_one() {
        assert_eq!(
            refusal("[edge]\n\nlisten_on = \"127.0.0.1:1\"\n", &[]),
            "line 3: unknown key `edge.listen_on`; did you mean `edge.listen`?"
        );
        assert_eq!(
            refusal("[edge]\nfields_max = \"many\"\n", &[]),
            "line 2: `edge.fields_max` must be integer, not string (for example: 100)"
        );
        assert_eq!(
            refusal("", &[("LEADTRAIL_KAFKA__BROKER", "x")]),
            "environment: LEADTRAIL_KAFKA__BROKER is no key; did you mean …BROKERS?"
        );
        assert!(refusal("[edge]\nfields_max = 0\n", &[]).contains("edge.fields_max is 0"));
        let disc = refusal("[log]\nhome = \"disc\"\n", &[]);
        assert!(disc.starts_with("line 2: `log.home`: ") && disc.contains("disk"), "{disc}");
        let listen = refusal("[edge]\nlisten = \"localhost:8080\"\n", &[]);
        assert!(listen.starts_with("line 2: `edge.listen`: "), "{listen}");
        assert!(
            refusal("", &[("LEADTRAIL_LOG__HOME", "x")]).starts_with("environment: `log.home`")
        );
        assert!(refusal("[edge]\nlisten = \n", &[]).starts_with("line 2: "));
    }

    #[test]
    fn variables_of_others_are_passed_over() {
        assert!(load("", &[("LEADTRAIL_PARTS", "/somewhere"), ("HOME", "/root")]).is_ok());
    }
}
