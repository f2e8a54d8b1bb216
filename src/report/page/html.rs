//! The report page as HTML.
//!
//! In: answers, or the reason why there are none. Out: one page, complete without a script. Refuses: nothing. Promises: every
//! text that isn't from this file is escaped; personal values are masked.

use std::fmt::Write as _;

use crate::report::answer::Answer;
use crate::report::period::{PRESETS, Preset};
use crate::report::question::ReportName;
use crate::report::table::{Cell, Personal, Table};
use crate::report::text::{cell_text, is_numeric, plain};
use crate::report::words;

use super::link::Link;
use super::sign_in::{SIGN_IN, SIGN_OUT};
use crate::access::record::Role;

/// Where the pages' style is.
pub const STYLE_PATH: &str = "/page.css";

/// What the reports are called on the page.
fn heading(report: ReportName) -> &'static str {
    match report {
        ReportName::Ads => "Ads",
        ReportName::Affiliates => "Affiliates",
        ReportName::Offers => "Offers",
        ReportName::Conversions => "Conversions",
        ReportName::Leads => "Leads, newest first",
        ReportName::Postbacks => "Postbacks",
        ReportName::Fraud => "Signs of fraud",
        ReportName::Refusals => "Refused requests",
    }
}

/// Text as HTML shows it, in an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A page with this body.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<link rel=\"stylesheet\" href=\"{STYLE_PATH}\">\n</head>\n<body>\n{body}</body>\n</html>\n",
        title = escape(title),
    )
}

/// The page with its tables.
pub fn reports(
    answers: &[Answer],
    link: &Link,
    sites: &[String],
    (personal, visitor): (Personal, &Visitor<'_>),
) -> String {
    let mut body = String::from(
        "<a class=\"skip\" href=\"#reports\">To the reports</a>\n<header>\n<h1>Leadtrail</h1>\n",
    );
    body.push_str(&visitor.line(link));
    body.push_str(&periods(link));
    body.push_str(&filters(link, sites));
    if let Some(answer) = answers.first() {
        let period = words::period(&answer.question.period);
        let fresh = words::freshness(answer);
        let _ = writeln!(
            body,
            "<p class=\"about\"><strong>{}</strong>; {}</p>",
            escape(&period),
            escape(&fresh)
        );
    }
    body.push_str("</header>\n<main id=\"reports\">\n");
    for answer in answers {
        section(&mut body, answer, link, personal);
    }
    body.push_str(
        "<footer>Places: <a href=\"https://db-ip.com\">IP Geolocation by DB-IP</a></footer>\n",
    );
    body.push_str("</main>\n");
    page("Leadtrail reports", &body)
}

/// Whom the page is for.
pub enum Visitor<'a> {
    /// Nobody signs in here.
    Unasked,
    /// Somebody who could sign in.
    Unknown,
    /// A person, what that may do, and the word of the session's forms.
    Known(&'a str, Role, &'a str),
    /// A program.
    Program,
}

impl Visitor<'_> {
    /// Who is signed in, or where to sign in.
    fn line(&self, link: &Link) -> String {
        match self {
            Self::Unasked | Self::Program => String::new(),
            Self::Unknown => {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("next", &link.page())
                    .finish();
                let url = format!("{SIGN_IN}?{query}");
                format!(
                    "<p class=\"who\">Personal values are masked. <a href=\"{}\">Sign in</a></p>\n",
                    escape(&url)
                )
            }
            Self::Known(name, role, word) => {
                let masked = if role.sees_personal() { "" } else { ", personal values masked" };
                format!(
                    "<form class=\"who\" method=\"post\" action=\"{SIGN_OUT}\">\n<p>Signed in as <strong>{}</strong> ({}{masked})</p>\n\
                     <input type=\"hidden\" name=\"word\" value=\"{}\">\n<button>Sign out everywhere</button>\n</form>\n",
                    escape(name),
                    role.word(),
                    escape(word),
                )
            }
        }
    }
}

/// The sign-in page. `wrong`: what was wrong with the last try.
pub fn sign_in(wrong: Option<&str>, next: &str) -> String {
    let mut body = String::from("<main>\n<h1>Leadtrail</h1>\n");
    if let Some(wrong) = wrong {
        let _ = writeln!(body, "<p class=\"empty\" role=\"alert\">{}</p>", escape(wrong));
    }
    let _ = write!(
        body,
        "<form method=\"post\" action=\"{SIGN_IN}\">\n\
         <input type=\"hidden\" name=\"next\" value=\"{}\">\n\
         <label>Name <input name=\"name\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required maxlength=\"32\"></label>\n\
         <label>Password <input name=\"password\" type=\"password\" autocomplete=\"current-password\" required maxlength=\"256\"></label>\n\
         <button>Sign in</button>\n</form>\n\
         <p>Users are made where Leadtrail runs: <code>leadtrail user new NAME --role sales</code></p>\n</main>\n",
        escape(next),
    );
    page("Sign in to Leadtrail", &body)
}

/// Links to the preset periods.
fn periods(link: &Link) -> String {
    let mut nav = String::from("<nav aria-label=\"Period\">\n<ul>\n");
    for preset in PRESETS {
        let named = if link.period.is_empty() { Preset::default().name() } else { &link.period };
        let current = named == preset.name() && link.from.is_empty();
        let mark = if current { " aria-current=\"page\"" } else { "" };
        let url = link.with_period(preset.name()).page();
        let _ = writeln!(nav, "<li><a href=\"{}\"{mark}>{}</a></li>", escape(&url), preset.words());
    }
    nav.push_str("</ul>\n</nav>\n");
    nav
}

/// Days, site and zone, as a form that needs no script.
fn filters(link: &Link, sites: &[String]) -> String {
    let mut options = String::from("<option value=\"\">all sites</option>");
    for site in sites {
        let selected = if *site == link.site { " selected" } else { "" };
        let site = escape(site);
        let _ = write!(options, "<option value=\"{site}\"{selected}>{site}</option>");
    }
    // A preset stays only as long as no days are given: both together are a bad question.
    format!(
        "<form method=\"get\" action=\"/\">\n\
         <label>First day <input type=\"date\" name=\"from\" value=\"{from}\" min=\"2000-01-01\" max=\"2199-12-31\"></label>\n\
         <label>Last day <input type=\"date\" name=\"to\" value=\"{to}\" min=\"2000-01-01\" max=\"2199-12-31\"></label>\n\
         <label>Site <select name=\"site\">{options}</select></label>\n\
         <label>Time zone <input name=\"zone\" value=\"{zone}\" placeholder=\"UTC\" maxlength=\"64\"></label>\n\
         <button>Show</button>\n</form>\n",
        from = escape(&link.from),
        to = escape(&link.to),
        zone = escape(&link.zone),
    )
}

/// One report.
fn section(body: &mut String, answer: &Answer, link: &Link, personal: Personal) {
    let report = answer.question.report;
    let (name, heading) = (report.name(), heading(report));
    let _ =
        writeln!(body, "<section aria-labelledby=\"{name}\">\n<h2 id=\"{name}\">{heading}</h2>");
    if answer.is_empty() {
        let _ = writeln!(body, "<p class=\"empty\">{}</p>", escape(words::nothing_found(answer)));
    } else {
        let table = Table::new(answer, personal);
        let _ = writeln!(
            body,
            "<div class=\"scroll\" role=\"region\" aria-labelledby=\"{name}\" tabindex=\"0\">"
        );
        draw(body, &table, answer);
        body.push_str("</div>\n");
        if let Some(line) = words::rows_cut(answer, table.rows.len()) {
            let _ = writeln!(body, "<p>{}</p>", escape(&line));
        }
    }
    body.push_str("<p class=\"notes\">");
    for line in notes(answer) {
        let _ = write!(body, "{}. ", escape(&line));
    }
    let (csv, json) = (link.file(report, "csv"), link.file(report, "json"));
    let _ = writeln!(
        body,
        "<a href=\"{}\">CSV</a> <a href=\"{}\">JSON</a></p>\n</section>",
        escape(&csv),
        escape(&json)
    );
}

/// What has to be said of this report beside what the page's head says of all.
fn notes(answer: &Answer) -> Vec<String> {
    let mut notes = vec![words::attribution(answer)];
    if words::has_money(answer) {
        notes.push(words::PENDING.to_owned());
    }
    notes.extend(words::left_out(answer));
    notes
}

fn draw(body: &mut String, table: &Table, answer: &Answer) {
    let numeric =
        |index: usize| table.rows.first().and_then(|row| row.get(index)).is_some_and(is_numeric);
    let class = |index: usize| if numeric(index) { " class=\"n\"" } else { "" };
    let caption = words::title(answer);
    let _ = writeln!(body, "<table>\n<caption>{}</caption>\n<thead>\n<tr>", escape(&caption));
    for (index, column) in table.columns.iter().enumerate() {
        let _ = write!(body, "<th scope=\"col\"{}>{}</th>", class(index), escape(&column.title));
    }
    body.push_str("</tr>\n</thead>\n<tbody>\n");
    let row = |body: &mut String, cells: &[Cell]| {
        body.push_str("<tr>");
        for (index, cell) in cells.iter().enumerate() {
            let text = escape(&plain(&cell_text(cell, &answer.question.period)));
            let _ = match index {
                0 => write!(body, "<th scope=\"row\">{text}</th>"),
                _ => write!(body, "<td{}>{text}</td>", class(index)),
            };
        }
        body.push_str("</tr>\n");
    };
    for cells in &table.rows {
        row(body, cells);
    }
    body.push_str("</tbody>\n");
    if let Some(cells) = &table.totals {
        body.push_str("<tfoot>\n");
        row(body, cells);
        body.push_str("</tfoot>\n");
    }
    body.push_str("</table>\n");
}

/// A page that says what went wrong, and where to go from there.
pub fn trouble(what: &str, next: Option<(&str, &str)>) -> String {
    let mut body = format!("<main>\n<h1>Leadtrail</h1>\n<p class=\"empty\">{}</p>\n", escape(what));
    if let Some((url, words)) = next {
        let _ = writeln!(body, "<p><a href=\"{}\">{}</a></p>", escape(url), escape(words));
    }
    body.push_str("</main>\n");
    page("Leadtrail", &body)
}
