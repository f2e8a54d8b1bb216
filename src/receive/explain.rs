//! Explaining: what one raw request would become, and why.
//!
//! In: a request's bytes, head and body, as they were saved. Out: text: site, dialect and how it was chosen, form, what the post is, each
//! field with the rule that decided, the return URL, the answer. Refuses: what is no request. Promises: it goes the way of a real
//! post, through the same functions, and records nothing; personal values are masked unless they are asked for.

use std::fmt::Write as _;

use comfy_table::{Table, TableStyle};

use crate::attribute::meaning::{Meaning, Means};
use crate::attribute::spam_preview;
use crate::check::Refusal;
use crate::check::dialects::doors::{Chosen, Door, Doors, Reason};
use crate::check::dialects::{Dialect, Role};
use crate::check::spam;
use crate::config::Config;
use crate::enrich::spam::Judge;
use crate::event::FormPost;
use crate::personal::{Email, PersonalText};
use crate::receive::fields::BodyType;
use crate::receive::reply::Form;
use crate::receive::submission::{self, Address, Fate, Message, Submission, Witness};
use crate::receive::vendor_reply::Speech;
use crate::registry::Registry;
use crate::report::text::plain;

/// What a request is explained with.
#[derive(Clone, Copy)]
pub struct Knowledge<'a> {
    /// Sites and forms.
    pub registry: &'a Registry,
    /// The vendors' paths.
    pub doors: &'a Doors,
    /// What names mean.
    pub meaning: &'a Meaning,
    /// Caps and weights.
    pub config: &'a Config,
}

/// A request, read.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn parse(bytes: &'a [u8]) -> anyhow::Result<Self> {
        let find = |blank: &[u8]| bytes.windows(blank.len()).position(|part| part == blank);
        let (end, body) = match (find(b"\r\n\r\n"), find(b"\n\n")) {
            (Some(end), Some(bare)) if bare < end => (bare, bare + 2),
            (Some(end), _) => (end, end + 4),
            (None, Some(end)) => (end, end + 2),
            (None, None) => (bytes.len(), bytes.len()),
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| {
            anyhow::anyhow!("the request's head is no UTF-8; it ends with an empty line")
        })?;
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or("").split_ascii_whitespace();
        let (Some(method), Some(target)) = (first.next(), first.next()) else {
            anyhow::bail!(
                "no request on standard input; it begins like `POST /f/contact HTTP/1.1`, then header lines, an empty line, the body"
            );
        };
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let target = target.split('#').next().unwrap_or("");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self { method, path, query, headers, body: &bytes[body..] })
    }

    fn header(&self, name: &str) -> &'a str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// What became of each field.
#[derive(Default)]
struct Notes(Vec<(String, String, Role, Fate)>);

impl Witness for Notes {
    fn takes(&mut self, name: &str, _: &str) -> bool {
        name == spam::RENDERED_FIELD || spam::is_captcha_token(name)
    }

    fn field(&mut self, name: &str, value: &str, role: Role, fate: Fate) {
        self.0.push((name.to_owned(), value.to_owned(), role, fate));
    }
}

impl Notes {
    /// Name, value, what it becomes, and why.
    fn table(&self, knowledge: Knowledge<'_>, post: &FormPost, show_values: bool) -> Table {
        let mut table = Table::new();
        table.load_style(TableStyle::new());
        table.set_header(["field", "value", "becomes", "because of"]);
        let dialects = &knowledge.doors.dialects;
        let meaning = knowledge.meaning.of(post);
        for (name, value, role, fate) in &self.0 {
            let means = meaning.field(name, value);
            let of_dialect = dialects.get(&post.dialect);
            let rule = of_dialect.and_then(|dialect| dialects.rule_for(dialect, name));
            let why = match (fate, rule, means, role) {
                (Fate::Dropped, None, ..) => {
                    "a captcha's answer, or the time of rendering".to_owned()
                }
                (Fate::Origin, None, ..) => "a click id, campaign value or sub id".to_owned(),
                (_, Some(rule), ..) => rule,
                (_, None, Means::Nothing, Role::ReturnUrl) => "a return URL by its name".to_owned(),
                (_, None, Means::Nothing, _) => "no rule knows it".to_owned(),
                (_, None, ..) => "the form's mapping, or the common words".to_owned(),
            };
            let shown = if show_values { plain(value) } else { masked(value) };
            table.add_row([plain(name), shown, becomes(*fate, means, value), why]);
        }
        table
    }
}

fn becomes(fate: Fate, means: Means, value: &str) -> String {
    match (fate, means) {
        (Fate::Kept, Means::Field(field)) if !value.trim().is_empty() => field.name().to_owned(),
        (Fate::Kept, Means::Consent { channel, wanted }) => {
            let word = if wanted { "wants" } else { "doesn't want" };
            format!("consent: {word} {channel}")
        }
        (Fate::Kept, _) => "extra".to_owned(),
        (Fate::Cut, _) => "extra, without the address".to_owned(),
        (Fate::Origin, _) => "where the visitor came from".to_owned(),
        (Fate::Followed, _) => "the way back".to_owned(),
        (Fate::Dropped, _) => "nothing: never stored".to_owned(),
    }
}

fn masked(value: &str) -> String {
    let email = Email::new(value.trim());
    match value.trim() {
        "" => String::new(),
        _ if !email.normalised().is_empty() => email.masked(),
        text => {
            format!("{} ({} characters)", PersonalText::new(text).masked(), text.chars().count())
        }
    }
}

/// Says what a request would become.
///
/// # Errors
/// When it is no request.
pub fn request(
    bytes: &[u8],
    knowledge: &Knowledge<'_>,
    show_values: bool,
) -> anyhow::Result<String> {
    let Knowledge { registry, doors, .. } = *knowledge;
    let request = Request::parse(bytes)?;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "request  {} {} at {}",
        request.method,
        plain(request.path),
        plain(request.header("host"))
    );
    let own = request
        .path
        .strip_prefix("/f/")
        .map(|name| name.strip_suffix('/').unwrap_or(name))
        .and_then(|name| registry.form(name))
        .and_then(|form| Some((form, registry.site(&form.site)?)));
    let vendor = match own {
        Some(_) => None,
        None => doors.find(request.header("host"), request.path, request.query),
    };
    let address = match (own, &vendor) {
        (Some((form, site)), _) => Address::Own(form, site),
        (None, Some(door)) => Address::Vendor(door),
        (None, None) => {
            text.push_str("door     none: 404 not_found. A form is registered as [[form]] for /f/{name}; a vendor's path is taken on the `hosts` of a [[site]].\n");
            return Ok(text);
        }
    };
    tell_door(&mut text, &address, vendor.as_ref(), doors);
    match tell_rest(&mut text, &request, address, *knowledge, show_values) {
        Ok(()) => {}
        Err(refusal) => {
            let _ = writeln!(
                text,
                "answer   {}: refused as {}. {}",
                refusal.status().as_u16(),
                refusal.code(),
                refusal.sentence()
            );
        }
    }
    Ok(text)
}

fn tell_door(text: &mut String, address: &Address<'_>, vendor: Option<&Door<'_>>, doors: &Doors) {
    let door = match vendor {
        None => "our own".to_owned(),
        Some(door) => {
            let paths = door.candidates.iter().map(|one| {
                let dialect = doors.dialects.at(one.dialect);
                format!("{} of {}", dialect.paths[one.path].0.text, dialect.name())
            });
            format!("a vendor's path: {}", paths.collect::<Vec<_>>().join(", or "))
        }
    };
    let _ = writeln!(text, "door     {door}\nsite     {}", address.site().name);
}

fn tell_rest(
    text: &mut String,
    request: &Request<'_>,
    address: Address<'_>,
    knowledge: Knowledge<'_>,
    show_values: bool,
) -> Result<(), Refusal> {
    let Knowledge { doors, config, .. } = knowledge;
    let kind = match request.method {
        "GET" => None,
        _ => Some(BodyType::parse(request.header("content-type"))?),
    };
    if request.body.len() > config.edge.body_bytes_max {
        return Err(Refusal::BodyTooLarge);
    }
    let origin = request.header("origin");
    let message = Message {
        kind: kind.as_ref(),
        body: request.body,
        query: request.query,
        path: request.path,
        referer: request.header("referer"),
        origin_is_foreign: !origin.is_empty() && !address.site().owns_origin(origin),
    };
    let (chosen, fields) = submission::read(address, &message, doors, config.edge.fields_max)?;
    let dialect = doors.dialects.at(chosen.dialect);
    tell_choice(text, &chosen, dialect);
    let mut notes = Notes::default();
    let mut sorted = submission::sort(&chosen, fields, &message, dialect, &mut notes);
    let mut post = FormPost {
        form: chosen.form.name.clone(),
        dialect: dialect.name().to_owned(),
        ..FormPost::default()
    };
    if let Ok(submission) = &mut sorted {
        post.fields = std::mem::take(&mut submission.fields);
    }
    let table = notes.table(knowledge, &post, show_values);
    match sorted {
        Ok(submission) => {
            tell_outcome(text, &submission);
            let judge = Judge::new(&config.spam);
            let flags = submission.trail.flags.words();
            let judged = spam_preview(&post, &flags, knowledge.meaning, &judge);
            let fate = if judged.hold { "held in quarantine" } else { "let through" };
            let why = match judged.reasons.is_empty() {
                true => String::new(),
                false => format!(" ({})", judged.reasons.join(", ")),
            };
            let _ = writeln!(text, "spam     score {}, {fate}{why}", judged.score);
            let _ = writeln!(text, "\n{table}\n");
            tell_answer(text, request, &chosen, dialect, submission, kind == Some(BodyType::Json));
            Ok(())
        }
        Err(unfit) => {
            let _ = writeln!(text, "\n{table}\n");
            if !unfit.missing.is_empty() {
                let _ = writeln!(text, "missing  {}", unfit.missing.join(", "));
            }
            Err(unfit.refusal)
        }
    }
}

fn tell_choice(text: &mut String, chosen: &Chosen<'_>, dialect: &Dialect) {
    let reason = match chosen.reason {
        Reason::Configured => "the form says so in sites.toml".to_owned(),
        Reason::Path => "by the path".to_owned(),
        Reason::FormId => "by the path, and the id of a registered form".to_owned(),
        Reason::Fields => format!("by its fields, `{}` first", plain(&chosen.sign)),
        Reason::Default => "nothing says another".to_owned(),
    };
    let _ = writeln!(text, "dialect  {} ({}): {reason}", dialect.name(), dialect.file.title);
    let form = match chosen.registered {
        true => "",
        false => " (nobody registered it; it stands for all such forms)",
    };
    let _ = writeln!(text, "form     {}{form}", chosen.form.name);
    if !chosen.id.is_empty() {
        let _ = writeln!(text, "id       {}", plain(&chosen.id));
    }
}

fn tell_outcome(text: &mut String, submission: &Submission) {
    let event = serde_json::to_string(&submission.event).unwrap_or_default();
    let _ = writeln!(text, "event    {}", event.trim_matches('"'));
    let flags = submission.trail.flags.words();
    if !flags.is_empty() {
        let _ = writeln!(text, "flags    {}", flags.join(", "));
    }
    let origin = &submission.trail.origin;
    let named = [
        ("utm_source", &origin.utm_source),
        ("utm_medium", &origin.utm_medium),
        ("utm_campaign", &origin.utm_campaign),
        ("page", &origin.landing_host),
    ];
    let named: Vec<_> = named.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    if !named.is_empty() {
        let words: Vec<_> =
            named.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect();
        let _ = writeln!(text, "origin   {}", words.join(", "));
    }
}

fn tell_answer(
    text: &mut String,
    request: &Request<'_>,
    chosen: &Chosen<'_>,
    dialect: &Dialect,
    submission: Submission,
    sent_json: bool,
) {
    let (next, whose) = match submission.return_url {
        Some(url) => (url, "the form's return URL"),
        None if !chosen.site.thank_you.is_empty() => {
            (chosen.site.thank_you.clone(), "the site's thank_you")
        }
        None => (String::new(), ""),
    };
    let accept = request.header("accept");
    let form = Form::preferred(Some(accept), sent_json);
    let loads_page = accept.contains("text/html") && !sent_json;
    let speech = match (chosen.path, chosen.reason) {
        (Some(path), _) => {
            let path = &dialect.paths[path].0.text;
            Speech::new(dialect, path, request.query, form, loads_page)
        }
        (None, Reason::Configured) => Speech::new(dialect, "", request.query, form, loads_page),
        (None, _) => Speech::ours(),
    };
    let answer = match (speech.taken_in_words("RECEIPT", &next, &chosen.id), form) {
        (Some((status, body)), _) => format!("{status}, as the vendor would: {}", plain(&body)),
        (None, Form::Json) => "200 with our JSON: {\"receipt\":…}".to_owned(),
        (None, _) if !next.is_empty() => format!("303 to {}, {whose}", plain(&next)),
        (None, _) => "200 with our own page".to_owned(),
    };
    let _ = writeln!(text, "answer   {answer}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::dialects::Dialects;
    use std::sync::Arc;

    const SITES: &str = "[[site]]\nname = \"shop\"\nvisitor = \"none\"\norigins = [\"https://www.shop.example\"]\nhosts = [\"forms.example\"]\n\
        [[form]]\nname = \"contact\"\nsite = \"shop\"\n";

    fn try_to_explain(saved: &str, show_values: bool) -> anyhow::Result<String> {
        let config = Config::load(None, std::iter::empty()).unwrap();
        let registry = Arc::new(Registry::parse(SITES, "test").unwrap());
        let dialects = Arc::new(Dialects::built_in());
        let doors = Doors::new(&registry, dialects.clone()).unwrap();
        let meaning = Meaning::open(&config.forms, dialects, registry.clone()).unwrap();
        let (registry, doors, meaning) = (&*registry, &doors, &meaning);
        let knowledge = Knowledge { registry, doors, meaning, config: &config };
        request(saved.as_bytes(), &knowledge, show_values)
    }

    fn explained(saved: &str, show_values: bool) -> String {
        try_to_explain(saved, show_values).unwrap()
    }

    const LEAD: &str = "POST /servlet/servlet.WebToLead?encoding=UTF-8 HTTP/1.1\nHost: forms.example\nAccept: text/html\n\
        Content-Type: application/x-www-form-urlencoded\n\n\
        oid=00D3X0&last_name=Roe&email=jane%40example.com&retURL=https%3A%2F%2Fwww.shop.example%2Fok&utm_source=news&g-recaptcha-response=03AG";

    #[test]
    fn each_field_has_its_fate_and_the_rule_that_decided() {
        let text = explained(LEAD, false);
        for says in [
            "site     shop",
            "dialect  salesforce_lead (Salesforce Web-to-Lead): by the path",
            "event    lead",
            "flags    required_missing",
            "spam     score 0, let through",
            "salesforce_lead: aliases.last_name \"last_name\"",
            "generic: controls.dropped \"g-recaptcha-response\"",
            "nothing: never stored",
            "origin   utm_source news",
            "answer   303 to https://www.shop.example/ok, the form's return URL",
        ] {
            assert!(text.contains(says), "{says} in\n{text}");
        }
    }

    #[test]
    fn personal_values_are_masked_unless_they_are_asked_for() {
        let text = explained(LEAD, false);
        assert!(
            text.contains("j***@e***.com") && !text.contains("jane") && !text.contains("Roe"),
            "{text}"
        );
        let text = explained(LEAD, true);
        assert!(text.contains("jane@example.com") && text.contains("Roe"), "{text}");
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let head = "POST /f/contact HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n";
        assert!(explained(&format!("{head}a="), false).contains("answer   400: refused as empty"));
        assert!(
            explained("POST /f/none HTTP/1.1\n\n", false).contains("door     none: 404 not_found")
        );
        let json = "POST /submissions/v3/integration/submit/1/2 HTTP/1.1\nHost: forms.example\nContent-Type: application/json\n\n\
            {\"fields\":[{\"name\":\"email\",\"value\":\"jane@example.com\"}]}";
        let text = explained(json, false);
        assert!(text.contains("answer   200, as the vendor would: {\"inlineMessage\""), "{text}");
        assert!(try_to_explain("", false).is_err());
    }
}
