//! Configuration: what the operator typed becomes what the program runs on.
//!
//! In: the built-in `config/leadtrail.toml` (every key with its default), the operator's file, the environment. Out: a
//! checked [`Config`]; nothing later checks again. Refuses: a key that the built-in file doesn't have and a value of another
//! type, naming key, line and the nearest key there is. Promises: the built-in file is the only place where a default stands.

mod overlay;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

pub use overlay::nearest;

use self::overlay::{Places, blame, overlay, overlay_environment};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("../../config/leadtrail.toml");

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

/// Two seconds more than an insert may still be sent after its border was kept.
const SESSION_MS_MIN: u64 = 12_000;

/// Everything the program runs on. Field names are the keys of `config/leadtrail.toml`, which documents them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/leadtrail.toml documents each key")]
pub struct Config {
    pub data_dir: PathBuf,
    pub sites_file: String,
    pub dialects_dir: String,
    pub edge: Edge,
    pub app: App,
    pub ops: Ops,
    pub limits: Limits,
    pub spam: Spam,
    pub fraud: Fraud,
    pub log: Log,
    pub journal: Journal,
    pub kafka: Kafka,
    pub consumer: Consumer,
    pub settle: Settle,
    pub deliver: Deliver,
    pub warehouse: Warehouse,
    pub engine: Engine,
    pub enrich: Enrich,
    pub forms: Forms,
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
        listen: SocketAddr, public_url: String, trusted_proxies: Vec<ipnet::IpNet>, proxy_header: ProxyHeader, connections_max: usize,
        header_timeout_ms: u64, body_timeout_ms: u64, idle_timeout_ms: u64, body_bytes_max: usize, fields_max: usize,
        name_bytes_max: usize, value_bytes_max: usize,
        edges: u32, drain_ms: u64, refusals_interval_s: u64, redirect_wait_ms: u64, lag_max_ms: u64, threads: usize,
    }
    App {
        listen: SocketAddr, hosts: Vec<String>, https: bool, open: bool, session_hours: u32, sign_ins_per_minute: u32,
        events_per_request: usize, body_bytes_max: usize,
    }
    Ops { listen: SocketAddr, hosts: Vec<String> }
    Limits {
        address_per_minute: u32, address_burst: u32, form_per_minute: u32, form_burst: u32, site_per_minute: u32, site_burst: u32,
        global_per_minute: u32, global_burst: u32, key_per_minute: u32, key_burst: u32,
    }
    Spam {
        hold_score: u32, rendered_min_ms: i64, rendered_max_hours: i64, repeats_per_hour: u32, posts_per_minute: u32, links_free: u32,
        weight_honeypot: u32, weight_rendered_forged: u32, weight_rendered_too_fast: u32, weight_rendered_too_late: u32,
        weight_rendered_missing: u32, weight_link: u32, weight_link_markup: u32, weight_link_in_name: u32,
        weight_disposable_mail: u32, weight_gibberish_name: u32, weight_gibberish_text: u32, weight_same_values: u32,
        weight_repeated_characters: u32, weight_repeated_text: u32, weight_many_posts: u32,
    }
    Fraud {
        soon_ms: i64, clicks_min: u64, clicks_per_conversion_max: u64, address_conversions_max: u64, address_clicks_max: u64,
    }
    Log { home: Home }
    Journal { bytes_max: u64, segment_bytes: u64, keep_hours: u64, redirect_wait_ms: u64 }
    Kafka {
        brokers: String, topic: String, settle_topic: String, shared_topic: String, links_topic: String, access_topic: String,
        group: String, partitions: i32,
        replication: i32, answer_deadline_ms: u64, linger_ms: u64, properties: Vec<String>,
    }
    Consumer { batch_rows_max: usize, batch_bytes_max: usize, batch_age_ms: u64, ops_listen: SocketAddr }
    Settle { interval_ms: u64, click_window_days: u32, repeat_window_minutes: u32, base_currency: String, rate_days: u16,
        ops_listen: SocketAddr }
    Deliver {
        file: String, retry_first_ms: u64, retry_longest_ms: u64, give_up_hours: u32, timeout_ms: u64,
    }
    Warehouse {
        url: String, database: String, user: String, password_file: String, analyst_user: String, analyst_password_file: String,
        ca_file: String, timeout_ms: u64,
    }
    Engine { library: String, http_port: u16, memory_bytes_max: u64 }
    Enrich { place_database: String, channels_file: String }
    Forms { aliases_file: String, mapping_file: String }
    Demo { listen: SocketAddr }
}

/// In which header our proxies say who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ProxyHeader {
    /// What nearly every proxy sends.
    #[serde(rename = "X-Forwarded-For")]
    XForwardedFor,
    /// The standard's (RFC 7239).
    Forwarded,
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
            ("edge.name_bytes_max", self.edge.name_bytes_max as u64),
            ("edge.value_bytes_max", self.edge.value_bytes_max as u64),
            ("edge.edges", u64::from(self.edge.edges)),
            ("edge.lag_max_ms", self.edge.lag_max_ms),
            ("limits.address_per_minute", u64::from(self.limits.address_per_minute)),
            ("limits.address_burst", u64::from(self.limits.address_burst)),
            ("limits.form_per_minute", u64::from(self.limits.form_per_minute)),
            ("limits.form_burst", u64::from(self.limits.form_burst)),
            ("spam.hold_score", u64::from(self.spam.hold_score)),
            ("spam.repeats_per_hour", u64::from(self.spam.repeats_per_hour)),
            ("spam.posts_per_minute", u64::from(self.spam.posts_per_minute)),
            ("limits.site_per_minute", u64::from(self.limits.site_per_minute)),
            ("limits.site_burst", u64::from(self.limits.site_burst)),
            ("limits.global_per_minute", u64::from(self.limits.global_per_minute)),
            ("limits.global_burst", u64::from(self.limits.global_burst)),
            ("limits.key_per_minute", u64::from(self.limits.key_per_minute)),
            ("limits.key_burst", u64::from(self.limits.key_burst)),
            ("app.session_hours", u64::from(self.app.session_hours)),
            ("app.sign_ins_per_minute", u64::from(self.app.sign_ins_per_minute)),
            ("app.events_per_request", self.app.events_per_request as u64),
            ("app.body_bytes_max", self.app.body_bytes_max as u64),
            ("consumer.batch_rows_max", self.consumer.batch_rows_max as u64),
            ("settle.interval_ms", self.settle.interval_ms),
            ("deliver.retry_first_ms", self.deliver.retry_first_ms),
            ("deliver.retry_longest_ms", self.deliver.retry_longest_ms),
            ("deliver.give_up_hours", u64::from(self.deliver.give_up_hours)),
            ("deliver.timeout_ms", self.deliver.timeout_ms),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(wrong(format!("config: {key} is 0; give a number of at least 1")));
        }
        if self.consumer.batch_rows_max > 50_000 {
            return Err(wrong(
                "config: consumer.batch_rows_max is over 50000: an insert would no longer be one block",
            ));
        }
        if self.limits.key_burst < u32::try_from(self.app.events_per_request).unwrap_or(u32::MAX) {
            return Err(wrong(
                "config: limits.key_burst is less than app.events_per_request: a full batch would never pass",
            ));
        }
        url::Url::parse(&self.edge.public_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                wrong("config: edge.public_url must be http://host[:port] or https://host[:port]")
            })?;
        if self.warehouse.analyst_user.is_empty()
            && !self.warehouse.analyst_password_file.is_empty()
        {
            return Err(wrong(
                "config: warehouse.analyst_password_file is given without warehouse.analyst_user",
            ));
        }
        if let Some(bad) = self.kafka.properties.iter().find(|property| !property.contains('=')) {
            let name = bad.split_whitespace().next().unwrap_or("");
            return Err(wrong(format!("config: kafka.properties: {name:?} is not name=value")));
        }
        self.check_session()
    }

    /// A consumer that fell silent may still send an insert for 10 s (`consume::writer`): nobody may have its partitions before.
    fn check_session(&self) -> Result<(), ConfigError> {
        let pairs = self.kafka.properties.iter().filter_map(|property| property.split_once('='));
        let mut sessions = pairs.filter(|(name, _)| name.trim() == "session.timeout.ms");
        match sessions
            .find_map(|(_, ms)| ms.trim().parse::<u64>().ok().filter(|ms| *ms < SESSION_MS_MIN))
        {
            Some(ms) => Err(wrong(format!(
                "config: kafka.properties: session.timeout.ms={ms} is less than {SESSION_MS_MIN}; a consumer that slept could then store what another has stored"
            ))),
            None => Ok(()),
        }
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

    /// How long a redirect waits to be durable. An fsync's tail is long, and what is written outlives a killed process; a
    /// record that Kafka has not confirmed would be copied into the spill, which costs more than the wait.
    pub fn redirect_wait(&self) -> Duration {
        Duration::from_millis(match self.log.home {
            Home::Disk => self.journal.redirect_wait_ms,
            Home::Kafka => self.edge.redirect_wait_ms,
        })
    }

    /// Where the embedded engine lives.
    pub fn engine_dir(&self) -> PathBuf {
        self.data_dir.join("engine")
    }
}
