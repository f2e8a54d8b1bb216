//! One dialect, with its tables.
//!
//! In: its file, those of the dialects it falls back to, the generic one. Out: what a posted name is. Promises: its own file wins over
//! those it falls back to; within a file a name of its own wins over a pattern.

use std::collections::HashMap;

use super::file::{Controls, File, Listed, Source};
use super::path::Path;
use super::pattern::Pattern;
use super::reply::{Reply, When};
use crate::check::lead_field::LeadField;
use crate::config::{ConfigError, nearest};
use crate::event::EventType;

/// The longest name that is looked up: the longest one that a form may send.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A lead's own: this canonical field.
    Column(LeadField),
    /// Filled or ticked, somebody wants no mail, calls, …: which.
    OptOut(&'static str),
    /// Likewise: somebody wants them.
    OptIn(&'static str),
    /// Of the system's own; kept among the rest of the fields, never taken for lead data.
    Kept,
    /// A captcha's or session's token, a fingerprint: never stored.
    Dropped,
    /// Where to go afterwards.
    ReturnUrl,
    /// Where to go after a refusal.
    ErrorUrl,
    /// People leave it empty.
    Honeypot,
    /// The page's own address.
    Page,
    /// A client's address: only its network is kept.
    Address,
    /// JSON that may hold the page's and the client's address.
    Context,
    /// Nothing that the dialect knows.
    Unknown,
}

/// Channels that one can want or not.
const CHANNELS: [&str; 7] = ["email", "phone", "sms", "fax", "mail", "privacy", "all"];

/// What a post is when a field has one of these values.
#[derive(Debug)]
struct Rule {
    event: EventType,
    /// `None`: any field.
    field: Option<Pattern>,
    /// In lower case.
    values: Vec<String>,
    length_max: usize,
}

/// What a name is, by its lower case; where its case counts, with the name itself.
type Names = HashMap<Box<[u8]>, Vec<(Option<Box<str>>, Role)>>;

/// A dialect.
#[derive(Debug)]
pub struct Dialect {
    /// Its file, as it was given.
    pub file: File,
    /// The vendor's own paths, and whether pages may read the answer.
    pub paths: Vec<(Path, bool)>,
    /// What the vendor insists on.
    pub required: Vec<LeadField>,
    event: EventType,
    rules: Vec<Rule>,
    names: Names,
    patterns: Vec<(Pattern, Role)>,
    wraps: Vec<Pattern>,
    replies: Vec<Reply>,
}

/// A name as tables are asked for it; `None` when it is longer than any.
pub(super) fn lower<'a>(name: &str, room: &'a mut [u8; NAME_BYTES_MAX]) -> Option<&'a [u8]> {
    let name = name.trim();
    let lower = room.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    Some(lower)
}

impl Dialect {
    /// Builds the first of `line`; the others are those it falls back to.
    pub(super) fn build(sources: &[Source], line: &[usize]) -> Result<Self, ConfigError> {
        let own = &sources[line[0]];
        let file = &own.file;
        let mut paths = Vec::new();
        for (text, shared) in file
            .paths
            .iter()
            .map(|text| (text, true))
            .chain(file.secure_paths.iter().map(|text| (text, false)))
        {
            paths.push((Path::parse(text).map_err(|what| own.wrong(text, &what))?, shared));
        }
        let known: Vec<Path> = paths.iter().map(|(path, _)| path.clone()).collect();
        let replies = file.replies.iter().map(|reply| Reply::read(reply.clone(), &known));
        let replies =
            replies.collect::<Result<_, _>>().map_err(|what| own.wrong("[[replies]]", &what))?;
        for method in &file.methods {
            if !["GET", "POST", "PUT"].contains(&method.as_str()) {
                return Err(own.wrong("methods", "methods are GET, POST and PUT"));
            }
        }
        let mut dialect = Self {
            event: event(own, &file.event)?,
            required: Vec::new(),
            rules: Vec::new(),
            names: HashMap::new(),
            patterns: Vec::new(),
            wraps: Vec::new(),
            file: file.clone(),
            paths,
            replies,
        };
        for required in &file.required {
            dialect.required.push(field(own, required)?);
        }
        for place in line {
            dialect.learn(&sources[*place])?;
        }
        Ok(dialect)
    }

    /// Takes a file's names in, behind those that are known already.
    fn learn(&mut self, source: &Source) -> Result<(), ConfigError> {
        let file = &source.file;
        for rule in &file.events {
            self.rules.push(Rule {
                event: event(source, &rule.event)?,
                field: match rule.field.as_str() {
                    "{*}" => None,
                    name => Some(Pattern::parse(name).map_err(|what| source.wrong(name, &what))?),
                },
                length_max: rule.is.iter().map(String::len).max().unwrap_or(0),
                values: rule.is.iter().map(|value| value.to_lowercase()).collect(),
            });
        }
        for wrap in &file.wraps {
            self.wraps.push(Pattern::parse(wrap).map_err(|what| source.wrong(wrap, &what))?);
        }
        let mut names: Vec<(&str, Role)> = Vec::new();
        for (canonical, aliases) in &file.aliases {
            let column = Role::Column(field(source, canonical)?);
            names.extend(aliases.iter().map(|alias| (alias.as_str(), column)));
        }
        for (channel, aliases) in &file.opt_outs {
            let role = Role::OptOut(self::channel(source, channel)?);
            names.extend(aliases.iter().map(|alias| (alias.as_str(), role)));
        }
        for (channel, aliases) in &file.opt_ins {
            let role = Role::OptIn(self::channel(source, channel)?);
            names.extend(aliases.iter().map(|alias| (alias.as_str(), role)));
        }
        names.extend(controls(&file.controls));
        // A name that has a role already (the campaign's id is the form's id, too) keeps it.
        names.extend(file.id_fields.iter().map(|name| (name.as_str(), Role::Kept)));
        for (text, role) in names {
            let pattern = Pattern::parse(text).map_err(|what| source.wrong(text, &what))?;
            self.add(pattern, role);
        }
        Ok(())
    }

    fn add(&mut self, pattern: Pattern, role: Role) {
        let Some((text, exact)) = pattern.literal() else {
            self.patterns.push((pattern, role));
            return;
        };
        let known = self.names.entry(text.to_ascii_lowercase().into_bytes().into()).or_default();
        let exact: Option<Box<str>> = exact.then(|| text.into());
        if known.iter().all(|(other, _)| other.is_some() && *other != exact) {
            known.push((exact, role));
        }
    }

    /// The word in `sites.toml` and in rows.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// What this field is.
    pub fn role(&self, name: &str) -> Role {
        match self.direct(name) {
            // What is wrapped has the meaning of what is inside.
            Role::Unknown if !self.wraps.is_empty() => match self.plain_name(name) {
                inner if inner.len() < name.len() => self.direct(inner),
                _ => Role::Unknown,
            },
            role => role,
        }
    }

    fn direct(&self, name: &str) -> Role {
        let mut room = [0; NAME_BYTES_MAX];
        let Some(key) = lower(name, &mut room) else { return Role::Unknown };
        if let Some(known) = self.names.get(key) {
            let exactly = known.iter().find(|(exact, _)| exact.as_deref() == Some(name.trim()));
            let any = || known.iter().find(|(exact, _)| exact.is_none());
            if let Some((_, role)) = exactly.or_else(any) {
                return *role;
            }
        }
        let pattern = self.patterns.iter().find(|(pattern, _)| pattern.matches(name.trim()));
        pattern.map_or(Role::Unknown, |(_, role)| *role)
    }

    /// The canonical field that this name is for, as the dialect knows it.
    pub fn column_of(&self, name: &str) -> Option<LeadField> {
        match self.role(name) {
            Role::Column(column) => Some(column),
            Role::OptOut("email" | "all") => Some(LeadField::OptOutEmail),
            Role::OptOut("phone") => Some(LeadField::OptOutPhone),
            Role::OptOut("fax") => Some(LeadField::OptOutFax),
            Role::OptIn("privacy") => Some(LeadField::ConsentPrivacy),
            Role::OptIn(_) => Some(LeadField::ConsentMarketing),
            _ => None,
        }
    }

    /// The name without what the vendor writes around it: `mauticform[email]` is `email`.
    pub fn plain_name<'a>(&self, name: &'a str) -> &'a str {
        let trimmed = name.trim();
        self.wraps.iter().find_map(|wrap| wrap.inner(trimmed)).unwrap_or(name)
    }

    /// True for a field that people leave empty.
    pub fn is_honeypot(&self, name: &str) -> bool {
        self.role(name) == Role::Honeypot
    }

    /// What a post is, unless a field says otherwise.
    pub fn usual_event(&self) -> EventType {
        self.event
    }

    /// What a field says that the post is.
    pub fn event_by(&self, name: &str, value: &str) -> Option<EventType> {
        let value = value.trim();
        let rule = self.rules.iter().find(|rule| {
            !value.is_empty()
                && value.len() <= rule.length_max
                && rule.field.as_ref().is_none_or(|field| field.matches(name.trim()))
                && rule.values.contains(&value.to_lowercase())
        });
        rule.map(|rule| rule.event)
    }

    /// How a JSON body lists its fields, if it does.
    pub fn listed(&self) -> Option<&Listed> {
        self.file.json.as_ref()
    }

    /// True where the form posts to its own thank-you page.
    pub fn page_is_return(&self) -> bool {
        self.file.page_is_return.unwrap_or(false)
    }

    /// The methods that its paths take.
    pub fn takes(&self, method: &str) -> bool {
        match self.file.methods.is_empty() {
            true => method == "POST",
            false => self.file.methods.iter().any(|known| known == method),
        }
    }

    /// The vendor's own answer to such a client. `parameter` finds a value in the query.
    pub fn reply(
        &self,
        path: &str,
        wants_json: bool,
        wants_page: bool,
        parameter: impl Fn(&str) -> bool,
    ) -> Option<&Reply> {
        self.replies.iter().find(|reply| {
            let client = match reply.when {
                When::Always => true,
                When::Json => wants_json,
                When::Scripts => !wants_page,
            };
            client
                && (reply.path.is_empty() || reply.path == path)
                && (reply.query.is_empty() || parameter(&reply.query))
        })
    }
}

fn controls(controls: &Controls) -> Vec<(&str, Role)> {
    [
        (&controls.dropped, Role::Dropped),
        (&controls.honeypots, Role::Honeypot),
        (&controls.return_url, Role::ReturnUrl),
        (&controls.error_url, Role::ErrorUrl),
        (&controls.addresses, Role::Address),
        (&controls.pages, Role::Page),
        (&controls.context, Role::Context),
        (&controls.kept, Role::Kept),
    ]
    .into_iter()
    .flat_map(|(names, role)| names.iter().map(move |name| (name.as_str(), role)))
    .collect()
}

fn field(source: &Source, name: &str) -> Result<LeadField, ConfigError> {
    LeadField::parse(name).ok_or_else(|| {
        let near = nearest(name, LeadField::ALL.iter().map(|field| field.name()));
        source.wrong(name, &format!("unknown lead field `{name}`; did you mean `{near}`?"))
    })
}

fn channel(source: &Source, name: &str) -> Result<&'static str, ConfigError> {
    CHANNELS.into_iter().find(|known| *known == name).ok_or_else(|| {
        let near = nearest(name, CHANNELS.into_iter());
        source.wrong(name, &format!("unknown channel `{name}`; did you mean `{near}`?"))
    })
}

fn event(source: &Source, name: &str) -> Result<EventType, ConfigError> {
    const KNOWN: [(&str, EventType); 4] = [
        ("lead", EventType::Lead),
        ("service_contact", EventType::ServiceContact),
        ("complaint", EventType::Complaint),
        ("unsubscribe", EventType::Unsubscribe),
    ];
    if name.is_empty() {
        return Ok(EventType::Lead);
    }
    KNOWN.into_iter().find(|(known, _)| *known == name).map(|(_, event)| event).ok_or_else(|| {
        let near = nearest(name, KNOWN.into_iter().map(|(known, _)| known));
        source.wrong(name, &format!("unknown event `{name}`; did you mean `{near}`?"))
    })
}
