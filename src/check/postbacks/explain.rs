//! Explaining: what one request would become, and why, for the person who sets a network up.
//!
//! In: a request as text (`GET /postback/…` with header lines and body, or an address alone) and the installed postbacks. Out: lines that
//! name each parameter that was read, and what it became. Refuses: what is no request, a path that no postback takes. Promises:
//! nothing is recorded; what is shown is what would be stored, so nothing personal.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::file::Role;
use super::several;
use super::status::Why;
use super::{Installed, Judged, Postbacks, Profiles, Reading, Refused, Request, judge};
use crate::ids::Minter;
use crate::keys::Keys;
use crate::registry::{Postback, Registry};

/// What each event of a list is, whatever the request called the whole.
const JSON: &str = "application/json";

/// A request, read from text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Sent {
    /// Reads it: a request line or an address, header lines, an empty line, a body.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((text.as_str(), ""));
        let mut lines = head.lines();
        let first = lines.next().unwrap_or("").trim();
        let target = first.split_ascii_whitespace().find(|word| word.contains('/'));
        let target = target.ok_or("no request: begin with GET /postback/… or an address")?;
        let target = target
            .split_once("://")
            .map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self {
            target: target.to_owned(),
            headers,
            body: body.trim_end_matches('\n').to_owned(),
        })
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    }

    fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or("")
    }

    fn query(&self) -> &str {
        let target = self.target.split('#').next().unwrap_or("");
        target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// What explaining needs besides the request.
pub struct Known<'a> {
    #[expect(missing_docs, reason = "the name says it all")]
    pub registry: &'a Registry,
    #[expect(missing_docs, reason = "the name says it all")]
    pub postbacks: &'a Postbacks,
    #[expect(missing_docs, reason = "the name says it all")]
    pub profiles: &'a Profiles,
    #[expect(missing_docs, reason = "the name says it all")]
    pub keys: &'a Keys,
    #[expect(missing_docs, reason = "the name says it all")]
    pub fields_max: usize,
    #[expect(missing_docs, reason = "the name says it all")]
    pub now_ms: i64,
}

/// Explains a request. `profile` reads it by a profile that isn't installed; then nothing is proven.
///
/// # Errors
/// When no postback takes it.
pub fn explain(known: &Known<'_>, sent: &Sent, profile: Option<&str>) -> Result<String, String> {
    let lent;
    let (installed, rest) = match profile {
        Some(name) => {
            lent = lend(known, name)?;
            (&lent, after_door(sent.path()).map_or("", |(_, rest)| rest))
        }
        None => find(known, sent)?,
    };
    let header = |name: &str| sent.header(name);
    let content_type = sent.header("content-type").unwrap_or_default();
    let whole = sent.body.as_bytes();
    let several = several::split(whole);
    let bodies: Vec<&[u8]> = match &several {
        Some(events) => events.iter().map(String::as_bytes).collect(),
        None => vec![whole],
    };
    let minter = Minter::new().map_err(|error| error.to_string())?;
    let mut lines = Lines::default();
    let (entry, profile) = (&installed.entry, &installed.profile);
    lines.add(
        "postback",
        &format!("{} (profile {}, {})", entry.name, profile.name, profile.network),
    );
    lines.add(
        "facts from",
        &format!("{}{}", profile.source, if profile.verified { "" } else { " (not verified)" }),
    );
    for (place, body) in (1..).zip(bodies) {
        if several.is_some() {
            lines.add("of the list", &format!("event {place}"));
        }
        let request = Request {
            rest,
            query: sent.query(),
            content_type: if several.is_some() { JSON } else { &content_type },
            body,
            signed: whole,
            header: &header,
            // Nobody's: a list of addresses is told, and can't be tried out here.
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            now_ms: known.now_ms,
            fields_max: known.fields_max,
        };
        let id = minter.mint(known.now_ms);
        let look = &mut |reading: &Reading<'_>| lines.reading(reading);
        match judge(installed, known.registry, known.keys, id, &request, look) {
            Ok(judged) => lines.judged(&judged, installed),
            Err(refused) => lines.refused(&refused, installed),
        }
    }
    Ok(lines.0)
}

/// A profile as if it were installed, without a secret.
fn lend(known: &Known<'_>, name: &str) -> Result<Installed, String> {
    let profile = known
        .profiles
        .get(name)
        .map_err(|near| format!("unknown profile `{name}`; did you mean `{near}`?"))?;
    let site = known.registry.sites().map(|site| site.name.as_str()).min().unwrap_or("");
    let entry: Postback = toml::from_str(&format!("name = \"{name}\"\nsite = \"{site}\"\n"))
        .map_err(|error| error.to_string())?;
    Ok(Installed {
        entry: Arc::new(entry),
        profile: profile.clone(),
        secrets: Vec::new(),
        terms: crate::check::fraud::Terms { window_days: 30, soon_ms: 15_000 },
    })
}

fn after_door(path: &str) -> Option<(&str, &str)> {
    let tail = path.strip_prefix("/postback/")?;
    Some(tail.split_once('/').unwrap_or((tail, "")))
}

fn find<'a>(known: &Known<'a>, sent: &'a Sent) -> Result<(&'a Installed, &'a str), String> {
    let host = sent.header("host").unwrap_or_default();
    let named = after_door(sent.path()).or_else(|| known.postbacks.by_path(&host, sent.path()));
    let (name, rest) = named.ok_or("no postback takes this path; name a profile with --profile")?;
    let installed = known.postbacks.get(name).ok_or_else(|| {
        format!("sites.toml has no [[postback]] `{name}`; name a profile with --profile")
    })?;
    Ok((installed, rest))
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            let _ = writeln!(self.0, "{name:<16}{text}");
        }
    }

    fn reading(&mut self, reading: &Reading<'_>) {
        let parameters: Vec<String> = Role::ALL
            .into_iter()
            .filter_map(|role| Some(format!("{} <- {}", role.word(), reading.get(role)?.name)))
            .collect();
        self.add("read", &parameters.join(", "));
        for (name, flag) in &reading.odd {
            self.add("odd", &format!("{name}: {flag}"));
        }
        if let Some((status, why)) = reading.status {
            let why = match why {
                Why::Absent => "no word for it; what the profile says of none".to_owned(),
                Why::Carried(list) => format!("the list {list} in the request has their word"),
                Why::Mapped => "the profile's map has their word".to_owned(),
                Why::Unknown => "nobody knows their word".to_owned(),
            };
            self.add("status read", &format!("{} ({why})", status.word()));
        }
    }

    fn judged(&mut self, judged: &Judged, installed: &Installed) {
        let Judged { worth, partner, .. } = judged;
        let event = serde_json::to_string(&judged.event_type).unwrap_or_default();
        self.add("answer", &format!("200, {}", installed.profile.reply.accepted));
        self.add("event", event.trim_matches('"'));
        self.add("site", &installed.entry.site);
        self.add("offer", &judged.offer);
        match &judged.parent {
            Some(claim) => self.add(
                "click",
                &format!(
                    "ours: {}, offer {}, affiliate {}",
                    claim.id, claim.offer, claim.affiliate
                ),
            ),
            None => self.add(
                "click",
                if partner.external_click.is_empty() { "none" } else { "not one of ours" },
            ),
        }
        self.add("their click id", &partner.external_click);
        self.add("transaction", &partner.transaction);
        self.add("order", &worth.order_id);
        self.add("goal", &worth.goal);
        self.add("status", &worth.status);
        self.add("their status", &partner.original_status);
        let money = |amount: Option<crate::money::Amount>| {
            amount.map(|amount| amount.to_string()).unwrap_or_default()
        };
        let currency = worth
            .currency
            .map_or_else(|| "without a currency".to_owned(), |code| code.as_str().to_owned());
        if let Some(amount) = worth.amount {
            self.add("amount", &format!("{amount} {currency}"));
        }
        self.add("amount as text", &partner.amount_text);
        self.add("tax", &money(partner.tax));
        self.add("shipping", &money(partner.shipping));
        self.add("discount", &money(partner.discount));
        self.add("coupon", &partner.coupon);
        for item in &partner.items {
            self.add("line", &format!("{} x {}: {}", item.sku, item.quantity, item.amount));
        }
        for (name, value) in &judged.subs {
            self.add(name, value);
        }
        self.add("same as", &partner.key.replace('\u{1f}', " / "));
        let mode = serde_json::to_string(&partner.duplicates).unwrap_or_default();
        self.add("if it repeats", mode.trim_matches('"'));
        self.add("test", if partner.test { "yes: in no figure" } else { "" });
        self.add("proven", if judged.proven { "yes" } else { "no: never more than pending" });
        self.add("flags", &judged.flags.words().join(", "));
    }

    fn refused(&mut self, refused: &Refused, installed: &Installed) {
        let code = refused.refusal.code();
        let own = installed.profile.reply.refused_status;
        let status = if own == 0 { refused.refusal.status().as_u16() } else { own };
        let words = installed
            .profile
            .reply
            .refused
            .replace("{code}", code)
            .replace("{message}", refused.refusal.sentence());
        self.add("answer", &format!("{status}, {words}"));
        self.add("refused", &format!("{code}: {}", refused.refusal.sentence()));
        self.add("because of", &refused.about);
    }
}
