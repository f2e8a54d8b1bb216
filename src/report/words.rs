//! The words around an answer: what it is about, how it counts, how new it is.
//!
//! In: an [`Answer`]. Out: sentences. Refuses: nothing. Promises: every format says the same, so that two tables that differ can
//! be told apart by what stands above them.

use jiff::Timestamp;

use super::answer::{Answer, Freshness};
use super::period::{Period, Preset};
use super::question::ReportName;

/// What a conversion rate is here. DOMAIN.md 3.3 knows another one, by cohort: say which.
pub const RATE: &str =
    "conversion rate by period: conversions divided by click-throughs of the same period";

/// What `pending` means.
pub const PENDING: &str =
    "pending: claimed, by a browser for example, and not confirmed; it is not in the amount";

/// What the report is about, in one line.
pub fn title(answer: &Answer) -> String {
    let question = &answer.question;
    let site =
        question.site.as_deref().map_or("all sites".to_owned(), |site| format!("site {site}"));
    format!("{}, {}, {site}", question.report.name(), period(&question.period))
}

/// `the last 30 days (2026-10-24 to 2026-11-22, UTC)`.
pub fn period(period: &Period) -> String {
    match period.preset {
        Some(Preset::All) => format!("{} ({})", Preset::All.words(), period.zone_name()),
        Some(preset) => format!("{} ({}, {})", preset.words(), period.dates(), period.zone_name()),
        None => format!("{} ({})", period.dates(), period.zone_name()),
    }
}

/// How leads and conversions came to their row.
pub fn attribution(answer: &Answer) -> String {
    let days = answer.question.click_window_days;
    let window = format!("within {days} days unless the offer says otherwise");
    match answer.question.report {
        ReportName::Ads | ReportName::Leads => format!(
            "attribution: the click that the lead or conversion names (click id), else the last one of its cookie, else of \
             its daily hash; {window}"
        ),
        ReportName::Postbacks => "a row without a reason is the postback's own; the others are its flags and refusals, with the parameter \
            that each is about. Accepted are all messages, updates those of them that say what became of a conversion; duplicates and \
            without a click are settled. Times are medians: from click to conversion, and from conversion to receipt"
            .to_owned(),
        ReportName::Fraud => format!(
            "flagged and kept; rules of version {}, thresholds of [fraud]. A row without an affiliate is of conversions whose click is \
             nobody's or not known",
            crate::check::fraud::RULESET
        ),
        ReportName::Refusals => "counted by each edge and told every 20 seconds (edge.refusals_interval_s); a killed edge takes the \
            counts since then with it. Each sender was told the code; a sample has names of fields, kinds and lengths of values, \
            no values"
            .to_owned(),
        ReportName::Conversions => "one row a conversion; payout by the strongest evidence of its messages up to the lock; what was \
            considered, disputes and all messages stand with it"
            .to_owned(),
        ReportName::Affiliates | ReportName::Offers => format!(
            "payout by evidence: the affiliate click that the conversion names (click id), else the one with the network's \
             id, else the coupon's owner, else the last one of its cookie, else of its daily hash; {window}; leads earn none"
        ),
    }
}

/// How new the figures are, and what settling still has to do.
pub fn freshness(answer: &Answer) -> String {
    let Freshness { newest_batch, records_unsettled, unsettled_since, .. } = answer.freshness;
    let period = &answer.question.period;
    let Some(stored) = newest_batch else {
        return "no data yet: nothing has been stored".to_owned();
    };
    let stored = clock(stored, period);
    match (records_unsettled, unsettled_since) {
        (0, _) => format!("data up to {stored}, all of it settled"),
        (count, Some(since)) => {
            let since = clock(since, period);
            format!("data up to {stored}, {count} records not settled yet, waiting since {since}")
        }
        (count, None) => format!("data up to {stored}, {count} records not settled yet"),
    }
}

/// What fell into the period and is in no figure; nothing when there is nothing to say.
pub fn left_out(answer: &Answer) -> Option<String> {
    let (not_human, repeats) = (answer.left_out.not_human, answer.left_out.repeats);
    let parts: Vec<String> = [
        (not_human, format!("{not_human} not judged human")),
        (
            repeats,
            format!("{repeats} reported again (one counts per click and goal, per order, and per submission of a form)"),
        ),
    ]
    .into_iter()
    .filter_map(|(count, words)| (count > 0).then_some(words))
    .collect();
    (!parts.is_empty()).then(|| format!("not counted: {}", parts.join("; ")))
}

/// How many rows of how many; nothing when all are there.
pub fn rows_cut(answer: &Answer, shown: usize) -> Option<String> {
    let (shown, all) = (shown as u64, answer.row_count);
    (shown < all).then(|| {
        let totals = match answer.question.report {
            ReportName::Leads | ReportName::Conversions | ReportName::Fraud => "",
            _ => "; the totals are of all",
        };
        format!("{shown} rows of {all} (raise the limit for more){totals}")
    })
}

/// What to do when there is nothing.
pub fn nothing_found(answer: &Answer) -> &'static str {
    let narrow =
        answer.question.site.is_some() || answer.question.period.preset != Some(Preset::All);
    match (answer.question.report, narrow) {
        (_, true) if answer.freshness.newest_batch.is_some() => {
            "Nothing in this period. Try the period «all», or all sites."
        }
        (ReportName::Ads, _) => {
            "No ad was shown or clicked yet. Put a registered link, /c/<link>, behind an ad (sites.toml)."
        }
        (ReportName::Conversions, _) => {
            "No conversion yet. Put the pixel /x.gif on the page after a sale, or install a postback (sites.toml)."
        }
        (ReportName::Affiliates | ReportName::Offers, _) => {
            "No affiliate has sent anybody yet. Give an affiliate its link: /a/<affiliate>/<offer>."
        }
        (ReportName::Postbacks, _) => {
            "No postback came yet. Install one in sites.toml and give the network its address: /postback/<name>."
        }
        (ReportName::Fraud, _) => "No sign of fraud.",
        (ReportName::Refusals, _) => "Nothing was refused.",
        (ReportName::Leads, _) => {
            "No lead yet. Let a form post to /f/<form>; the demo shop has one to try."
        }
    }
}

/// True for a report about conversions and what they are worth.
pub fn has_money(answer: &Answer) -> bool {
    matches!(answer.question.report, ReportName::Ads | ReportName::Affiliates | ReportName::Offers)
}

/// All that stands above a table.
pub fn header(answer: &Answer) -> Vec<String> {
    let mut lines = vec![title(answer), freshness(answer)];
    if has_money(answer) {
        lines.push(RATE.to_owned());
    }
    lines.push(attribution(answer));
    if has_money(answer) {
        lines.push(PENDING.to_owned());
    }
    lines.extend(left_out(answer));
    lines
}

/// `12:03:04` where it is the day the period ends with, else with its date.
fn clock(instant: Timestamp, period: &Period) -> String {
    let local = period.local(instant);
    let last_day = period
        .local(period.to.saturating_sub(jiff::SignedDuration::from_secs(1)).unwrap_or(period.to));
    let format = if local.date() == last_day.date() { "%T" } else { "%F %T" };
    local.strftime(format).to_string()
}
