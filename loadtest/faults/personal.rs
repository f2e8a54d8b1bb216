//! Personal values astray. In: an installation after a round's load, whose forms hold names, addresses, numbers and messages. Out: each
//! place outside the personal tables that holds one. Refuses: an engine that can't be asked. Promises: looks at all that was said since the start.

use std::path::Path;

use anyhow::Context as _;
use clickhouse::Client;
use regex::Regex;

use crate::faults::ask;
use crate::faults::installation::Installation;

/// What the load's forms hold, as it was typed and as it may be written down, and the addresses it comes from. The last number of such an
/// address is 1 to 3; networks end with 0.
const PERSONAL: &str = r"@example\.org|%40example\.org|\+49 ?30|%2[Bb]49|call me back|call\+me\+back|\b(?:1[1-9]|[2-9][0-9])\.[0-9]{1,3}\.[0-9]{1,3}\.[1-3]\b";

/// The tables whose purpose is to hold them.
const PERSONAL_TABLES: [&str; 5] =
    ["leads", "lead_profiles", "quarantine", "dead_letters", "service_contacts"];

/// The places.
pub async fn astray(installation: &Installation, admin: &Client) -> anyhow::Result<Vec<String>> {
    let personal = Regex::new(PERSONAL)?;
    let mut places = Vec::new();
    let mut look = |place: String, text: &str| {
        let found = text.lines().find(|line| personal.is_match(line));
        places.extend(found.map(|line| format!("{place}: {line}")));
    };
    for entry in std::fs::read_dir(installation.folder())? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "log") {
            let text = std::fs::read(&path)?;
            look(path.display().to_string(), &String::from_utf8_lossy(&text));
        }
    }
    for &part in installation.usual_parts() {
        for path in ["/metrics", "/ready"] {
            let text = ask::text(installation.ops_port(part), path).await?;
            look(format!("{path} of {part:?}"), &text);
        }
    }
    for arguments in arguments_of_all(installation.folder())? {
        look("the arguments of a process".to_owned(), &arguments);
    }
    places.extend(in_tables(admin).await?);
    Ok(places)
}

/// Of every process of this installation.
fn arguments_of_all(folder: &Path) -> anyhow::Result<Vec<String>> {
    let folder = folder.display().to_string();
    let lines = std::fs::read_dir("/proc")?.flatten().map(|entry| {
        // A process may have ended since.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    });
    Ok(lines.filter(|line| line.contains(&folder)).collect())
}

async fn in_tables(admin: &Client) -> anyhow::Result<Vec<String>> {
    let sql =
        "SELECT name FROM system.tables WHERE database = 'leadtrail' AND engine LIKE '%MergeTree'";
    let tables: Vec<String> = admin.query(sql).fetch_all().await?;
    anyhow::ensure!(tables.iter().any(|name| name == "events"), "no table of events: {tables:?}");
    let mut places = Vec::new();
    for table in tables {
        let sql = "SELECT toValidUTF8(formatRowNoNewline('JSONEachRow', *)) AS line FROM leadtrail.? WHERE match(line, ?) LIMIT 1";
        let identifier = clickhouse::sql::Identifier(&table);
        let found: Vec<String> = admin
            .query(sql)
            .bind(identifier)
            .bind(PERSONAL)
            .fetch_all()
            .await
            .with_context(|| format!("searching table {table}"))?;
        if !PERSONAL_TABLES.contains(&table.as_str()) {
            places.extend(found.into_iter().map(|line| format!("table {table}: {line}")));
        } else if table == "leads" {
            anyhow::ensure!(!found.is_empty(), "the search finds nothing in the leads");
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_load_types_in_is_found_and_what_may_be_written_down_is_not() {
        let personal = Regex::new(PERSONAL).unwrap();
        for text in [
            "to=m1abc-17@example.org",
            "email=m1abc-17%40example.org",
            "phone +49 30 0012345",
            "\"+49300012345\"",
            "phone=%2B49+30+0012345",
            "Please call me back: which",
            "message=Please+call+me+back",
            "from 57.12.240.3 over",
        ] {
            assert!(personal.is_match(text), "{text}");
        }
        for text in [
            "m***@e***.org",
            "57.12.240.0/24",
            "127.0.0.1:8080",
            "Chrome/131.0.0.0",
            "sub1=m1abc-17",
        ] {
            assert!(!personal.is_match(text), "{text}");
        }
    }
}
