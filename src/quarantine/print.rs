//! Printing: what the command says.
//!
//! In: held submissions. Out: a table, lines or JSON on standard output; words on standard error. Promises: a personal value is printed masked,
//! or because `--personal` asked for it, and then without what moves a terminal's cursor.

use std::io::Write as _;

use comfy_table::{Table, TableStyle};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::decision::Act;
use crate::personal::{Email, PersonalText};
use crate::quarantine::Decide;
use crate::quarantine::ask::Held;
use crate::report::text::plain;

fn print(text: &str) {
    // A reader that has seen enough (`| head`) is no error.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Says what went wrong.
pub fn complain(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "leadtrail: {}", plain(words));
}

fn time(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%F %H:%M:%SZ").to_string()
}

/// The first address that stands in it.
fn address(held: &Held, personal: bool) -> String {
    let event = held.event();
    let fields = event.as_ref().and_then(|event| event.form.as_ref()).map(|form| &form.fields);
    let found = fields.and_then(|fields| {
        let emails = fields.iter().map(|(_, value)| Email::new(value.expose()));
        emails.into_iter().find(|email| !email.normalised().is_empty())
    });
    let Some(email) = found else { return String::new() };
    if personal { email.expose().trim().to_owned() } else { email.masked() }
}

fn value(text: &PersonalText, personal: bool) -> String {
    if personal { text.expose().to_owned() } else { text.masked() }
}

/// All of them.
pub fn list(held: &[Held], json: bool, personal: bool) {
    if json {
        let rows: Vec<Value> = held
            .iter()
            .map(|held| {
                let mut object = head(held);
                object["email"] = Value::from(address(held, personal));
                object
            })
            .collect();
        return print(&format!("{}\n", Value::from(rows)));
    }
    if held.is_empty() {
        return complain("nothing matches in quarantine");
    }
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header(["id", "time", "site", "form", "state", "score", "reasons", "e-mail"]);
    for held in held {
        table.add_row([
            held.id.clone(),
            time(held.event_time_ms),
            plain(&held.site),
            plain(&held.form),
            held.state.clone(),
            held.score.to_string(),
            plain(&held.reasons.join(" ")),
            plain(&address(held, personal)),
        ]);
    }
    print(&format!("{table}\n"));
    let row_count = held.first().map_or(0, |held| held.row_count);
    if row_count > held.len() as u64 {
        complain(&format!("{} of {row_count} shown; --limit shows more", held.len()));
    }
}

fn head(held: &Held) -> Value {
    json!({
        "id": held.id, "site": held.site, "form": held.form, "state": held.state, "time": time(held.event_time_ms),
        "decided_or_held_at": time(held.at_ms), "score": held.score, "reasons": held.reasons, "ruleset": held.ruleset,
    })
}

/// One of them, whole.
pub fn show(held: &Held, json: bool, personal: bool) {
    let event = held.event();
    let form = event.as_ref().and_then(|event| event.form.as_ref());
    let fields: Vec<(String, String)> = form
        .map(|form| &form.fields[..])
        .unwrap_or_default()
        .iter()
        .map(|(name, text)| (name.clone(), value(text, personal)))
        .collect();
    if json {
        let mut object = head(held);
        object["fields"] = json!(fields);
        object["flags"] = json!(event.as_ref().map(|event| &event.flags));
        return print(&format!("{object}\n"));
    }
    let mut lines = format!(
        "id       {}\nsite     {}\nform     {}\nstate    {} at {}\nreceived {}\nscore    {} (rules {})\nreasons  {}\n",
        held.id,
        plain(&held.site),
        plain(&held.form),
        held.state,
        time(held.at_ms),
        time(held.event_time_ms),
        held.score,
        held.ruleset,
        plain(&held.reasons.join(" ")),
    );
    for (name, value) in fields {
        lines.push_str(&format!("  {}: {}\n", plain(&name), plain(&value)));
    }
    print(&lines);
}

fn done(act: Act) -> &'static str {
    act.state()
}

/// It was decided before.
pub fn already(held: &Held) {
    complain(&format!("{} was {} before", held.id, held.state));
}

/// One was decided.
pub fn decided(act: Act, held: &Held, dry_run: bool) {
    let would = if dry_run { "would be " } else { "" };
    let reasons = plain(&held.reasons.join(" "));
    print(&format!("{would}{} {} ({reasons})\n", done(act), held.id));
}

/// How many were decided, and what is left.
pub fn total(act: Act, count: usize, row_count: u64, decide: &Decide) {
    let would = if decide.dry_run { " would be" } else { "" };
    complain(&format!("{count}{would} {}", done(act)));
    if decide.all && row_count > count as u64 {
        complain(&format!("{} more match; run it again", row_count - count as u64));
    }
}
