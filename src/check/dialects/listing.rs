//! The list of dialects, for people: `leadtrail config dialects`.
//!
//! In: the dialects, and perhaps the name of one. Out: text. Refuses: an unknown name, with the nearest one. Promises: it shows what is in
//! force, the operator's files included.

use std::fmt::Write as _;

use comfy_table::{Table, TableStyle};

use super::{Dialect, Dialects};
use crate::config::ConfigError;

/// All dialects in a table, or all of one.
///
/// # Errors
/// When there is no such dialect.
pub fn of(dialects: &Dialects, name: Option<&str>) -> Result<String, ConfigError> {
    let Some(name) = name else { return Ok(table(dialects)) };
    match dialects.known(name) {
        Ok(place) => Ok(whole(dialects.at(place))),
        Err(near) => Err(ConfigError::Wrong(format!(
            "no dialect `{name}`; did you mean `{near}`? `leadtrail config dialects` lists all"
        ))),
    }
}

fn table(dialects: &Dialects) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header([
        "dialect",
        "for",
        "paths",
        "form's id",
        "controls",
        "aliases",
        "required",
        "answers",
    ]);
    for (_, dialect) in dialects.all() {
        let file = &dialect.file;
        let entries = file.entries();
        let count = |table: &str| entries.iter().filter(|(key, _)| key.starts_with(table)).count();
        let path = match dialect.paths.first() {
            None => "/f/{form} only".to_owned(),
            Some((path, _)) if dialect.paths.len() == 1 => path.text.clone(),
            Some((path, _)) => format!("{} and {} more", path.text, dialect.paths.len() - 1),
        };
        table.add_row([
            file.name.clone(),
            file.title.clone(),
            path,
            file.id_fields.join(", "),
            count("controls").to_string(),
            (count("aliases") + count("opt_")).to_string(),
            file.required.join(", "),
            if file.replies.is_empty() { "ours" } else { "the vendor's" }.to_owned(),
        ]);
    }
    format!("{table}\n\n`leadtrail config dialects --dialect NAME` shows all of one.\n")
}

fn whole(dialect: &Dialect) -> String {
    let file = &dialect.file;
    let mut text = format!("{}: {}\n", file.name, file.title);
    let mut line = |key: &str, values: &[String]| {
        if !values.is_empty() {
            let _ = writeln!(text, "  {key:<28} {}", values.join(", "));
        }
    };
    let usual = |values: &[String], usual: &str| match values.is_empty() {
        true => vec![usual.to_owned()],
        false => values.to_vec(),
    };
    line("paths", &file.paths);
    line("secure_paths (no CORS)", &file.secure_paths);
    line("methods", &usual(&file.methods, "POST"));
    line("id_fields", &file.id_fields);
    line("recognise", &file.recognise);
    line("also", &file.also);
    line("wraps", &file.wraps);
    line("required", &file.required);
    let event = if file.event.is_empty() { "lead" } else { &file.event };
    line("event", &[event.to_owned()]);
    for rule in &file.events {
        line(
            &format!("event {}", rule.event),
            &[format!("{} is {}", rule.field, rule.is.join(" | "))],
        );
    }
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for (key, name) in file.entries() {
        match sections.last_mut() {
            Some((last, names)) if *last == key => names.push(name.to_owned()),
            _ => sections.push((key, vec![name.to_owned()])),
        }
    }
    for (key, names) in &sections {
        line(key, names);
    }
    if let Some(json) = &file.json {
        line("json", &[format!("{}[] of {} and {}", json.list, json.name, json.value)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_each_dialect_and_the_whole_of_one_its_names() {
        let dialects = Dialects::built_in();
        let table = of(&dialects, None).unwrap();
        for (_, dialect) in dialects.all() {
            assert!(table.contains(dialect.name()), "{table}");
        }
        let pardot = of(&dialects, Some("pardot")).unwrap();
        for says in
            ["/l/{account:digits}/{date}/{form}", "success_location", "aliases.phone", "tel"]
        {
            assert!(pardot.contains(says), "{pardot}");
        }
        let error = of(&dialects, Some("pardott")).unwrap_err().to_string();
        assert!(error.contains("did you mean `pardot`?"), "{error}");
    }
}
