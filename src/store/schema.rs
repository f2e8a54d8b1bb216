//! The schema: numbered files, applied in order, each once.
//!
//! In: `deploy/schema/*.sql`, built in. Out: a database of this version. Refuses: a database of a newer version, and one whose
//! applied files differ from ours. Promises: applying twice changes nothing; what was applied is recorded with its checksum.

use clickhouse::{Client, Row};
use serde::Deserialize;

use crate::config::Config;

/// The files, in order. A file that was ever released is never edited: changes come as a new file.
const FILES: &[(&str, &str)] = &[
    ("001_facts.sql", include_str!("../../deploy/schema/001_facts.sql")),
    ("002_settled.sql", include_str!("../../deploy/schema/002_settled.sql")),
    ("003_checks.sql", include_str!("../../deploy/schema/003_checks.sql")),
    ("004_meaning.sql", include_str!("../../deploy/schema/004_meaning.sql")),
    ("005_quarantine.sql", include_str!("../../deploy/schema/005_quarantine.sql")),
    ("006_refusals.sql", include_str!("../../deploy/schema/006_refusals.sql")),
    ("006_submissions.sql", include_str!("../../deploy/schema/006_submissions.sql")),
    ("007_deliveries.sql", include_str!("../../deploy/schema/007_deliveries.sql")),
    ("008_recipient.sql", include_str!("../../deploy/schema/008_recipient.sql")),
    ("009_postbacks.sql", include_str!("../../deploy/schema/009_postbacks.sql")),
    ("010_clicks.sql", include_str!("../../deploy/schema/010_clicks.sql")),
    ("011_signals.sql", include_str!("../../deploy/schema/011_signals.sql")),
    ("012_contacts.sql", include_str!("../../deploy/schema/012_contacts.sql")),
    ("013_ledger.sql", include_str!("../../deploy/schema/013_ledger.sql")),
    ("014_doors.sql", include_str!("../../deploy/schema/014_doors.sql")),
    ("015_worth.sql", include_str!("../../deploy/schema/015_worth.sql")),
];

/// Characters of a server's error that are told.
const WORDS_MAX: usize = 600;

/// Why the schema can't be applied or used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The server refused or can't be reached.
    #[error("schema: {action} failed: {reason}")]
    Server {
        /// What was tried.
        action: String,
        /// What the server said.
        reason: String,
    },
    /// The database was made by a newer program.
    #[error("schema: the database has {0:?}, which this program doesn't know; upgrade leadtrail")]
    Newer(String),
    /// A file differs from the one that was applied.
    #[error(
        "schema: {0:?} differs from the file that was applied; files that were applied are never edited"
    )]
    Changed(String),
    /// Files are missing.
    #[error("schema: the database lacks {0:?}; run: leadtrail schema apply")]
    Missing(String),
}

#[derive(Row, Deserialize)]
struct Applied {
    name: String,
    checksum: String,
}

/// How the files are to be read for this server.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// The database.
    pub database: String,
    /// The cluster's name, or empty for one server. Written and linted; not run here on a cluster.
    pub cluster: String,
}

impl Dialect {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self { database: config.warehouse.database.clone(), cluster: String::new() }
    }

    fn fill(&self, text: &str) -> String {
        let (replicated, on_cluster) = if self.cluster.is_empty() {
            ("", String::new())
        } else {
            ("Replicated", format!("ON CLUSTER '{}'", self.cluster))
        };
        text.replace("{database}", &self.database)
            .replace("{replicated}", replicated)
            .replace("{on_cluster}", &on_cluster)
    }
}

/// Applies what is missing; returns the names of the files it applied.
pub async fn apply(client: &Client, dialect: &Dialect) -> Result<Vec<&'static str>, SchemaError> {
    // The database may not exist yet, so these two must not name it in the connection.
    let bare = client.clone().with_database("default");
    for statement in [
        "CREATE DATABASE IF NOT EXISTS {database} {on_cluster} ENGINE = Atomic",
        "CREATE TABLE IF NOT EXISTS {database}.schema_files {on_cluster} (name String, checksum String, applied_at \
         DateTime('UTC') DEFAULT now()) ENGINE = {replicated}ReplacingMergeTree ORDER BY name",
    ] {
        run(&bare, &dialect.fill(statement), "making the database").await?;
    }
    let applied = read_applied(client, dialect).await?;
    check_known(&applied)?;
    let mut fresh = Vec::new();
    for &(name, text) in FILES {
        if applied.iter().any(|file| file.name == name) {
            continue;
        }
        for statement in statements(text) {
            run(&bare, &dialect.fill(&statement), name).await?;
        }
        let record =
            format!("INSERT INTO {}.schema_files (name, checksum) VALUES (?, ?)", dialect.database);
        let query = client.query(&record).bind(name).bind(checksum(text));
        query.execute().await.map_err(|error| server(name, &error))?;
        fresh.push(name);
    }
    Ok(fresh)
}

/// Refuses to run on a database of another version.
pub async fn check(client: &Client, dialect: &Dialect) -> Result<(), SchemaError> {
    let applied = read_applied(client, dialect).await?;
    check_known(&applied)?;
    match FILES.iter().find(|(name, _)| !applied.iter().any(|file| file.name == *name)) {
        Some((name, _)) => Err(SchemaError::Missing((*name).to_owned())),
        None => Ok(()),
    }
}

async fn read_applied(client: &Client, dialect: &Dialect) -> Result<Vec<Applied>, SchemaError> {
    let sql =
        format!("SELECT name, checksum FROM {}.schema_files FINAL ORDER BY name", dialect.database);
    client.query(&sql).fetch_all().await.map_err(|error| server("reading what was applied", &error))
}

fn check_known(applied: &[Applied]) -> Result<(), SchemaError> {
    for file in applied {
        match FILES.iter().find(|(name, _)| *name == file.name) {
            None => return Err(SchemaError::Newer(file.name.clone())),
            Some((_, text)) if checksum(text) != file.checksum => {
                return Err(SchemaError::Changed(file.name.clone()));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn run(client: &Client, statement: &str, what: &str) -> Result<(), SchemaError> {
    // `query` would take a `?` in a comment for a value to bind.
    client
        .query(&statement.replace('?', "??"))
        .execute()
        .await
        .map_err(|error| server(what, &error))
}

fn server(action: &str, error: &clickhouse::error::Error) -> SchemaError {
    // A statement of ours holds no value of anybody's, so the server's own words may be told.
    let mut reason = match error {
        clickhouse::error::Error::BadResponse(_) => error.to_string(),
        _ => super::short(error),
    };
    if reason.len() > WORDS_MAX {
        reason = format!("{}…", reason.chars().take(WORDS_MAX).collect::<String>());
    }
    SchemaError::Server { action: action.to_owned(), reason }
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// Splits a file at `;` at the ends of lines; whole-line comments are left out.
fn statements(text: &str) -> Vec<String> {
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let joined = code.join("\n");
    let parts = joined.split(";\n").map(|part| part.trim().trim_end_matches(';').trim());
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_statements() {
        let found = statements(
            "-- a; comment\nCREATE TABLE a (\n  x String -- why\n);\n\nCREATE TABLE b;\n",
        );
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("CREATE TABLE a"));
        assert_eq!(found[1], "CREATE TABLE b");
        let all: usize = FILES.iter().map(|(_, text)| statements(text).len()).sum();
        assert!(all >= 10, "{all} statements");
    }

    #[test]
    fn one_server_and_a_cluster_read_the_same_files() {
        let cluster = Dialect { database: "d".into(), cluster: "c".into() };
        let text = "CREATE TABLE {database}.t {on_cluster} ENGINE = {replicated}ReplacingMergeTree";
        assert_eq!(
            cluster.fill(text),
            "CREATE TABLE d.t ON CLUSTER 'c' ENGINE = ReplicatedReplacingMergeTree"
        );
        let one = Dialect { database: "d".into(), cluster: String::new() };
        assert_eq!(one.fill(text), "CREATE TABLE d.t  ENGINE = ReplacingMergeTree");
    }
}
