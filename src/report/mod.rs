//! Reports: a [`Question`] becomes a typed [`Answer`], the answer becomes a terminal's table, CSV, JSON or a page.
//!
//! ```text
//!   words, URL  ->  question  ->  fetch (sql/*.sql)  ->  answer  ->  table  ->  text, export, page
//! ```
//!
//! In: what was asked, and the warehouse. Out: figures with the words that are needed to read them. Refuses: a question
//! that has no answer, with the nearest one that has. Promises: every format shows the same numbers; personal values are
//! masked unless they were asked for by somebody who may.

pub mod answer;
pub mod command;
pub mod export;
mod fetch;
mod layout;
pub mod page;

pub mod period;
pub mod question;
mod records;
pub mod table;
#[cfg(test)]
mod tests;
pub mod text;
pub mod words;

pub use answer::Answer;
pub use fetch::{answer, explain};
pub use question::{BadQuestion, Question};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// ClickHouse did not answer in time.
    #[error(
        "the {report} report took too long and was given up; ask for a shorter period or for one site"
    )]
    Slow {
        /// Which report.
        report: &'static str,
    },
    /// ClickHouse could not be reached.
    #[error(
        "cannot reach ClickHouse for the {report} report: {source}; check that it runs and `warehouse.url`"
    )]
    Unreachable {
        /// Which report.
        report: &'static str,
        /// What the client said.
        source: clickhouse::error::Error,
    },
    /// ClickHouse refused the query, or answered it with something else.
    #[error("ClickHouse refused the {report} report: {words}", words = crate::store::short(.source))]
    Refused {
        /// Which report.
        report: &'static str,
        /// What the client said.
        source: clickhouse::error::Error,
    },
}

impl ReportError {
    fn new(report: &'static str, source: clickhouse::error::Error) -> Self {
        match source {
            clickhouse::error::Error::Network(_) | clickhouse::error::Error::TimedOut => {
                Self::Unreachable { report, source }
            }
            source if is_time_limit(&source) => Self::Slow { report },
            source => Self::Refused { report, source },
        }
    }
}

/// True when ClickHouse stopped a query at `max_execution_time` (its errors 159 and 160).
fn is_time_limit(error: &clickhouse::error::Error) -> bool {
    matches!(error, clickhouse::error::Error::BadResponse(text)
        if text.starts_with("Code: 159.") || text.starts_with("Code: 160."))
}
