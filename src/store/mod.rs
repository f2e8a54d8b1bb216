//! The warehouse: rows and the range of the log they came from become safe to commit.
//!
//! In: rows and a token. Out: `Ok` when ClickHouse holds them. Refuses: rows that ClickHouse refuses ([`StoreError::Rows`]); what
//! may succeed later is [`StoreError::Transient`]. Promises: one insert is one block, so a token's insert is there or not, whole;
//! an insert sent twice under one token is there once.

pub mod engine;
pub mod native;
pub mod rows;
pub mod schema;
pub mod tls;

use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error as ClientError;
use rustls::RootCertStore;

use crate::config::{self, Config};
use crate::store::engine::Login;
use crate::store::native::Row;

/// Why an insert or a question failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The server can't be reached, is busy or out of room: the same request may succeed later.
    #[error(
        "warehouse: {action} did not succeed: {reason}; the same may succeed later: is the server up at warehouse.url, and /ready of `leadtrail up` or `consume` well?"
    )]
    Transient {
        /// What was tried.
        action: String,
        /// What the server or the network said.
        reason: String,
    },
    /// The server refuses the rows themselves.
    #[error("warehouse refuses rows of {table}: {reason}")]
    Rows {
        /// The table.
        table: &'static str,
        /// The server's error code and its name, without the values that it quotes.
        reason: String,
    },
}

/// Server errors that say that the rows are wrong, whenever they are sent. Everything else is taken for transient: to wait with
/// a good row loses nothing, to dead-letter a good row does.
///
/// Codes of ClickHouse's `ErrorCodes.cpp`: 6 CANNOT_PARSE_TEXT, 27 CANNOT_PARSE_INPUT_ASSERTION_FAILED, 38 CANNOT_PARSE_DATE,
/// 41 CANNOT_PARSE_DATETIME, 53 TYPE_MISMATCH, 69 ARGUMENT_OUT_OF_BOUND, 70 CANNOT_CONVERT_TYPE, 72 CANNOT_PARSE_NUMBER,
/// 117 INCORRECT_DATA, 131 TOO_LARGE_STRING_SIZE, 321 VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, 349 CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN,
/// 407 DECIMAL_OVERFLOW, 469 VIOLATED_CONSTRAINT, 691 UNKNOWN_ELEMENT_OF_ENUM.
const ROW_ERRORS: [u32; 15] = [6, 27, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 407, 469, 691];

/// Where a ClickHouse is and who asks it. Has no `Debug`: it holds a password.
pub struct Server {
    url: String,
    user: String,
    password: String,
    /// The authorities that its certificate is checked against; none: the public ones.
    authorities: Option<RootCertStore>,
}

impl Server {
    /// As configured; reads the files of password and authorities.
    pub fn configured(settings: &config::Warehouse) -> Result<Self, config::ConfigError> {
        Self::as_user(settings, &settings.user, &settings.password_file)
    }

    /// As configured, for the analyst.
    pub fn configured_analyst(settings: &config::Warehouse) -> Result<Self, config::ConfigError> {
        Self::as_user(settings, &settings.analyst_user, &settings.analyst_password_file)
    }

    fn as_user(
        settings: &config::Warehouse,
        user: &str,
        password_file: &str,
    ) -> Result<Self, config::ConfigError> {
        let password = match password_file {
            "" => String::new(),
            path => std::fs::read_to_string(path)
                .map(|text| text.trim_end().to_owned())
                .map_err(|source| config::ConfigError::Read { path: path.into(), source })?,
        };
        let authorities = match settings.ca_file.as_str() {
            "" => None,
            path => Some(tls::authorities(path)?),
        };
        Ok(Self { url: settings.url.clone(), user: user.to_owned(), password, authorities })
    }

    /// The embedded engine at `url`.
    pub fn embedded(url: &str, login: &Login) -> Self {
        let password = login.password.expose().to_owned();
        Self { url: url.to_owned(), user: login.user.clone(), password, authorities: None }
    }
}

/// A connection to ClickHouse, a server's or the embedded engine's.
#[derive(Clone)]
pub struct Warehouse {
    client: Client,
    timeout: Duration,
}

impl Warehouse {
    /// Prepares to ask `server`; nothing is sent yet.
    pub fn connect(config: &Config, server: &Server) -> Self {
        let client = server
            .authorities
            .clone()
            .map_or_else(Client::default, tls::client)
            .with_url(&server.url)
            .with_user(&server.user)
            .with_password(&server.password)
            .with_database(&config.warehouse.database);
        Self { client, timeout: Duration::from_millis(config.warehouse.timeout_ms) }
    }

    /// The client, with the database selected, for questions.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Inserts rows as one block under a token. `table` is `R::TABLE`, or its twin that only checks.
    pub async fn insert<'a, R: Row + 'a>(
        &self,
        table: &str,
        rows: impl ExactSizeIterator<Item = &'a R> + Clone,
        token: &str,
    ) -> Result<(), StoreError> {
        let sql = format!("INSERT INTO {table} ({}) FORMAT Native", R::COLUMNS.join(", "));
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_timeouts(Some(self.timeout), Some(self.timeout))
            .with_setting("insert_deduplication_token", token)
            .with_setting("async_insert", "0")
            .with_setting("optimize_on_insert", "0")
            .with_setting("max_execution_time", self.timeout.as_secs().to_string());
        let block = Bytes::from(R::block(rows));
        let sent = async {
            insert.send(block).await?;
            insert.end().await
        };
        sent.await.map_err(|error| explain_insert(R::TABLE, &error))
    }

    /// Asks and gives the rows back.
    pub async fn ask<T>(
        &self,
        action: &str,
        query: clickhouse::query::Query,
    ) -> Result<Vec<T>, StoreError>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let answer = tokio::time::timeout(self.timeout, query.fetch_all::<T>()).await;
        let transient =
            |reason: String| StoreError::Transient { action: action.to_owned(), reason };
        match answer {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(transient(short(&error))),
            Err(_) => Err(transient(format!("no answer within {} s", self.timeout.as_secs()))),
        }
    }

    /// Tells whether the warehouse answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.ask::<u8>("a ping", self.client.query("SELECT toUInt8(1)")).await.map(|_| ())
    }
}

fn explain_insert(table: &'static str, error: &ClientError) -> StoreError {
    match error_code(error) {
        Some(code) if ROW_ERRORS.contains(&code) => {
            StoreError::Rows { table, reason: short(error) }
        }
        _ => StoreError::Transient {
            action: format!("an insert into {table}"),
            reason: short(error),
        },
    }
}

/// The server's error code, from `Code: 469. DB::Exception: …`.
fn error_code(error: &ClientError) -> Option<u32> {
    let ClientError::BadResponse(text) = error else { return None };
    let digits = text.split_once("Code: ")?.1;
    digits[..digits.find(|character: char| !character.is_ascii_digit())?].parse().ok()
}

/// A server's error without what it quotes: its text may hold values of rows. `Code: 469 (VIOLATED_CONSTRAINT)`.
pub fn short(error: &ClientError) -> String {
    let ClientError::BadResponse(text) = error else {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            words = format!("{words}: {inner}");
            cause = inner.source();
        }
        return words;
    };
    let Some(code) = error_code(error) else { return "an answer without an error code".to_owned() };
    let is_name = |word: &&str| {
        word.len() > 3
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || b"_0123456789".contains(&byte))
    };
    let name = text
        .rsplit('(')
        .filter_map(|tail| tail.split_once(')').map(|(word, _)| word))
        .find(is_name)
        .unwrap_or("unnamed");
    format!("code {code} ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_error_is_told_without_the_values_it_quotes() {
        let error = ClientError::BadResponse(
            "Code: 469. DB::Exception: Constraint `site_is_named` for table leadtrail.leads violated at row 1. Expression: \
             (site != ''). Column values: email = 'jane@example.com'. (VIOLATED_CONSTRAINT) (version 26.7.2.1)"
                .to_owned(),
        );
        assert_eq!(short(&error), "code 469 (VIOLATED_CONSTRAINT)");
        assert!(matches!(explain_insert("leads", &error), StoreError::Rows { .. }));
        let busy = ClientError::BadResponse(
            "Code: 252. DB::Exception: Too many parts (TOO_MANY_PARTS)".into(),
        );
        assert!(matches!(explain_insert("leads", &busy), StoreError::Transient { .. }));
    }
}
