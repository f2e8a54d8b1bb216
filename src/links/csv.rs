//! Importing: links from CSV.
//!
//! In: lines with a head that names the fields. Out: links in a batch that counts whole. Refuses: an unknown column, a link that stands already
//! (unless it is to be updated), a bad value: with line and column. Promises: one error, and nothing is imported; a file of a million lines
//! needs no more memory than its links.

use std::io::Read;

use anyhow::{Result, bail};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::book::Book;
use super::edit::{self, FIELDS};
use super::record::{Change, Link};
use super::store::Batch;
use crate::config::nearest;
use crate::registry::Registry;

/// Errors that are told: whoever has more has one cause.
const ERRORS_MAX: usize = 20;

/// What an import did, or would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// New links.
    pub added: usize,
    /// Links that stood already and say something else now.
    pub changed: usize,
    /// Links that stood already, just so.
    pub same: usize,
}

/// Reads all lines into the batch and the book. `source` names them in errors.
///
/// # Errors
/// When a line is wrong: then don't commit the batch.
pub fn import(
    input: impl Read,
    source: &str,
    update: bool,
    (registry, book): (&Registry, &mut Book),
    batch: &mut Batch<'_>,
) -> Result<Imported> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(input);
    let columns = columns(reader.headers()?, source)?;
    let mut imported = Imported::default();
    let mut errors = Vec::new();
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => bail!("{source}: {error}"),
        }
        let line = record.position().map_or(0, csv::Position::line);
        let outcome = link(&record, &columns, update, registry, book);
        match outcome {
            _ if errors.len() >= ERRORS_MAX => {
                errors.push("and perhaps more".to_owned());
                break;
            }
            Err(error) => errors.push(format!("{source}, line {line}, column {error}")),
            Ok(link) => {
                match book.link(&link.name) {
                    None => imported.added += 1,
                    Some(known) if known == link => {
                        imported.same += 1;
                        continue;
                    }
                    Some(_) => imported.changed += 1,
                }
                let change = Change::Link(link);
                book.apply(&change)?;
                batch.put(&change)?;
            }
        }
    }
    if errors.is_empty() {
        Ok(imported)
    } else {
        bail!("nothing was imported:\n{}", errors.join("\n"))
    }
}

fn columns(head: &StringRecord, source: &str) -> Result<Vec<&'static str>> {
    let mut columns = Vec::new();
    for name in head {
        let Some(field) = FIELDS.into_iter().find(|field| field.eq_ignore_ascii_case(name)) else {
            let near = nearest(name, FIELDS.into_iter());
            bail!("{source}, line 1: no column `{name}`; did you mean `{near}`?");
        };
        if columns.contains(&field) {
            bail!("{source}, line 1: column `{field}` stands twice");
        }
        columns.push(field);
    }
    if !columns.contains(&"name") {
        bail!(
            "{source}, line 1: a column `name` is needed; these are known: {}",
            FIELDS.join(", ")
        );
    }
    Ok(columns)
}

/// The link of one line: a known one with the line's fields, or a new one.
fn link(
    record: &StringRecord,
    columns: &[&'static str],
    update: bool,
    registry: &Registry,
    book: &Book,
) -> Result<Link<'static>, edit::BadField> {
    let name_at = columns.iter().position(|column| *column == "name");
    let name = name_at.and_then(|at| record.get(at)).unwrap_or("");
    let known = book.link(name).map(Link::into_owned);
    if known.is_some() && !update {
        let why = "stands already; --update changes it".to_owned();
        return Err(edit::BadField { field: "name", why });
    }
    if record.len() > columns.len() {
        let field = columns.last().copied().unwrap_or("name");
        return Err(edit::BadField {
            field,
            why: "the line has more cells than the first".to_owned(),
        });
    }
    let mut link = known.unwrap_or_default();
    for (field, text) in columns.iter().zip(record) {
        // Without a number a link gets one, and keeps it.
        if *field != "number" || !text.is_empty() {
            edit::set(&mut link, field, text)?;
        }
    }
    edit::number(&mut link, book)?;
    edit::check(&mut link, registry)?;
    Ok(link)
}
