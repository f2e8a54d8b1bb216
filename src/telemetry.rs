//! Telemetry: the log lines of the process, and the name of every metric.
//!
//! In: `LEADTRAIL_LOG` (`info`, `debug`, `leadtrail::receive=trace`, …; default `info`). Out: lines on standard error, plain on a
//! terminal and JSON otherwise; names and help texts for the registries of the stages. Promises: no per-request line above
//! debug; labels come from closed enums only.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The environment variable that filters the log.
pub const FILTER_VARIABLE: &str = "LEADTRAIL_LOG";

/// A metric's name (without the `_total` that counters get) and its help text.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As it is scraped.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
}

/// Declares the metrics, and the list that the tests read.
macro_rules! metrics {
    ($($constant:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Metric = Metric { name: $name, help: $help };)*

        /// All metrics.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    RECEIVED "leadtrail_requests_received"
        "Requests that arrived, by kind; the sum of accepted, refused, unrecorded, answered and abandoned, but for those under way";
    ACCEPTED "leadtrail_requests_accepted" "Events that the log took, by kind";
    REFUSED "leadtrail_requests_refused" "Requests that were refused, by kind and reason code";
    UNRECORDED "leadtrail_requests_unrecorded"
        "Redirects and pixels that were answered although their event was not recorded, by kind and reason";
    ANSWERED "leadtrail_requests_answered" "Requests that carry no event (receipts, preflights, robots), by kind";
    ABANDONED "leadtrail_requests_abandoned"
        "Requests whose client left before the answer, by kind; the log may hold their event";
    CONNECTIONS "leadtrail_connections_open" "Connections to the edge that are open";
}

/// Sets up the log of this process. Called once, by `main`.
///
/// # Errors
/// When `LEADTRAIL_LOG` can't be read; says where.
pub fn start() -> Result<(), String> {
    let text = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .parse(&text)
        .map_err(|error| {
            format!("cannot read {FILTER_VARIABLE}: {error}; try {FILTER_VARIABLE}=info")
        })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = if std::io::stderr().is_terminal() {
        lines.with_target(false).try_init()
    } else {
        lines.with_ansi(false).json().flatten_event(true).try_init()
    };
    done.map_err(|error| format!("cannot set up the log: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_are_unique_and_plain() {
        let names: std::collections::HashSet<_> =
            METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(METRICS.iter().all(|metric| {
            metric.name.starts_with("leadtrail_")
                && metric.name.bytes().all(plain)
                && !metric.help.is_empty()
        }));
    }
}
