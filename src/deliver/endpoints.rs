//! The endpoints: where new leads go, as the operator wrote it in `deliver.file`.
//!
//! In: the text of that file, secrets from files of mode 0600 or from the environment. Out: checked [`Endpoint`]s. Refuses: an unknown key, a
//! form that doesn't exist, a name given twice, http and private networks that aren't allowed by name, a secret that others can read.
//! Promises: an endpoint that is taken can be tried as it is; no secret stands in the file itself or is ever printed.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use crate::config::{ConfigError, nearest};
use crate::deliver::guard::Guard;
use crate::deliver::mail::{Mailer, Tls};
use crate::deliver::secret::Secrets;
use crate::deliver::webhook::Webhook;
use crate::registry::Registry;

/// Each has a task and a queue in memory.
const ENDPOINTS_MAX: usize = 100;

/// Attempts at once to one endpoint: a receiver should not feel a flood.
const CONCURRENCY_MAX: usize = 32;

/// Who reads a mail for each lead is a handful of people.
const RECIPIENTS_MAX: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    webhook: Vec<WebhookEntry>,
    #[serde(default)]
    mail: Vec<MailEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookEntry {
    name: String,
    #[serde(default)]
    forms: Vec<String>,
    #[serde(default)]
    kinds: Vec<Kind>,
    url: String,
    #[serde(default)]
    secret_file: String,
    #[serde(default)]
    secret_variable: String,
    #[serde(default)]
    allow_http: bool,
    #[serde(default)]
    allow_networks: Vec<IpNet>,
    #[serde(default)]
    ca_file: String,
    #[serde(default = "usual_concurrency")]
    concurrency: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailEntry {
    name: String,
    #[serde(default)]
    forms: Vec<String>,
    #[serde(default)]
    kinds: Vec<Kind>,
    host: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    tls: Tls,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password_file: String,
    #[serde(default)]
    password_variable: String,
    from: String,
    to: Vec<String>,
    #[serde(default)]
    ca_file: String,
}

fn usual_concurrency() -> usize {
    4
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To be contacted.
    Lead,
    /// That something be put right.
    Complaint,
    /// Help with what they have.
    ServiceContact,
}

impl Kind {
    /// All of them: what an endpoint gets that names none. A complaint must not wait because nobody thought of it.
    const ALL: [Self; 3] = [Self::Lead, Self::Complaint, Self::ServiceContact];

    /// As tables and the file spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Complaint => "complaint",
            Self::ServiceContact => "service_contact",
        }
    }

    fn of_entry(named: Vec<Self>) -> Vec<Self> {
        if named.is_empty() { Self::ALL.to_vec() } else { named }
    }
}

/// How a lead gets there.
#[derive(Debug)]
pub enum Way {
    /// By HTTP.
    Webhook(Webhook),
    /// By SMTP.
    Mail(Mailer),
}

impl Way {
    /// As `webhook list` shows it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mail(_) => "mail",
        }
    }

    /// The host alone: a path may hold a secret.
    pub fn host(&self) -> &str {
        match self {
            Self::Webhook(webhook) => webhook.host(),
            Self::Mail(mailer) => mailer.host(),
        }
    }
}

/// Somewhere that leads go to.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name; part of each delivery's id.
    pub name: String,
    /// The forms whose leads it gets; none: all.
    pub forms: Vec<String>,
    /// What it gets of them.
    pub kinds: Vec<Kind>,
    /// Attempts at once.
    pub concurrency: usize,
    /// How.
    pub way: Way,
}

/// Where a secret's text comes from when it is a variable.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the file; an empty path means that leads go nowhere.
pub fn load(path: &str, registry: &Registry) -> Result<Vec<Endpoint>, ConfigError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: Path::new(path).to_owned(), source })?;
    parse(&text, path, registry, &|name| std::env::var(name).ok())
}

/// Reads and checks the text; `source` names it in errors.
pub fn parse(
    text: &str,
    source: &str,
    registry: &Registry,
    variables: Variables<'_>,
) -> Result<Vec<Endpoint>, ConfigError> {
    let file: File = toml::from_str(text)
        .map_err(|error| ConfigError::Wrong(crate::registry::explain(&error, text, source)))?;
    let wrong = |what: String| ConfigError::Wrong(format!("{source}: {what}"));
    let mut endpoints = Vec::new();
    for entry in file.webhook {
        let name = entry.name.clone();
        let made = webhook(entry, registry, variables);
        endpoints.push(made.map_err(|what| wrong(format!("webhook `{name}`: {what}")))?);
    }
    for entry in file.mail {
        let name = entry.name.clone();
        let made = mail(entry, registry, variables);
        endpoints.push(made.map_err(|what| wrong(format!("mail `{name}`: {what}")))?);
    }
    let mut seen = HashSet::new();
    if let Some(twice) = endpoints.iter().find(|one| !seen.insert(one.name.as_str())) {
        return Err(wrong(format!("the name `{}` stands twice", twice.name)));
    }
    if endpoints.len() > ENDPOINTS_MAX {
        return Err(wrong(format!("more than {ENDPOINTS_MAX} endpoints")));
    }
    Ok(endpoints)
}

fn check_names(name: &str, forms: &[String], registry: &Registry) -> Result<(), String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err("a name is 1 to 64 of a-z A-Z 0-9 - _ .".to_owned());
    }
    for form in forms {
        if registry.form(form).is_none() {
            let near = nearest(form, registry.forms().map(|form| form.name.as_str()));
            return Err(format!("unknown form `{form}`; did you mean `{near}`?"));
        }
    }
    Ok(())
}

fn webhook(
    entry: WebhookEntry,
    registry: &Registry,
    variables: Variables<'_>,
) -> Result<Endpoint, String> {
    check_names(&entry.name, &entry.forms, registry)?;
    let url = Url::parse(&entry.url).map_err(|error| format!("url: {error}"))?;
    match (url.scheme(), entry.allow_http) {
        ("https", _) | ("http", true) => {}
        ("http", false) => {
            return Err(
                "url is http: leads would travel in the clear. Use https, or set allow_http = true"
                    .into(),
            );
        }
        _ => return Err("url must begin with https://".into()),
    }
    if !url.has_host() || !url.username().is_empty() || url.password().is_some() {
        return Err("url needs a host and no user name in it".into());
    }
    if url.fragment().is_some() {
        return Err("url has a part after #, which is never sent".into());
    }
    if entry.concurrency == 0 || entry.concurrency > CONCURRENCY_MAX {
        return Err(format!("concurrency is 1 to {CONCURRENCY_MAX}"));
    }
    let text = secret(&entry.secret_file, &entry.secret_variable, variables, "secret")?.ok_or(
        "give secret_file or secret_variable; `leadtrail webhook secret` prints a new secret",
    )?;
    let secrets = Secrets::parse(&text)?;
    let authorities = authorities(&entry.ca_file)?;
    let guard = Guard::new(entry.allow_networks);
    let webhook = Webhook::new(url, secrets, guard, authorities)?;
    Ok(Endpoint {
        name: entry.name,
        forms: entry.forms,
        kinds: Kind::of_entry(entry.kinds),
        concurrency: entry.concurrency,
        way: Way::Webhook(webhook),
    })
}

fn mail(
    entry: MailEntry,
    registry: &Registry,
    variables: Variables<'_>,
) -> Result<Endpoint, String> {
    check_names(&entry.name, &entry.forms, registry)?;
    if entry.to.is_empty() || entry.to.len() > RECIPIENTS_MAX {
        return Err(format!("`to` names 1 to {RECIPIENTS_MAX} addresses"));
    }
    let password = secret(&entry.password_file, &entry.password_variable, variables, "password")?;
    if password.is_some() == entry.user.is_empty() {
        return Err("user and password_file (or password_variable) go together".into());
    }
    let mut mailer = Mailer::new(&entry.host, entry.port, entry.tls, &entry.from, &entry.to)?;
    if let Some(password) = password {
        mailer = mailer.with_login(entry.user, password.trim_end().to_owned());
    }
    if !entry.ca_file.is_empty() {
        let pem = std::fs::read(&entry.ca_file)
            .map_err(|error| format!("cannot read ca_file {:?}: {error}", entry.ca_file))?;
        mailer = mailer.with_authority(&pem)?;
    }
    // A mail server wants one connection from a sender, not many.
    Ok(Endpoint {
        name: entry.name,
        forms: entry.forms,
        kinds: Kind::of_entry(entry.kinds),
        concurrency: 1,
        way: Way::Mail(mailer),
    })
}

fn authorities(path: &str) -> Result<Option<rustls::RootCertStore>, String> {
    match path {
        "" => Ok(None),
        path => crate::store::tls::authorities(path)
            .map(Some)
            .map_err(|error| error.to_string().replace("warehouse.ca_file", "ca_file")),
    }
}

/// A secret from a file that nobody else can read, or from a variable of the environment.
fn secret(
    path: &str,
    variable: &str,
    variables: Variables<'_>,
    what: &str,
) -> Result<Option<String>, String> {
    match (path, variable) {
        ("", "") => Ok(None),
        ("", name) => variables(name)
            .map(Some)
            .ok_or_else(|| format!("{what}_variable: `{name}` is not set in the environment")),
        (path, "") => {
            let failed = |error| format!("cannot read {what}_file {path:?}: {error}");
            let mode = std::fs::metadata(path).map_err(failed)?.mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(format!(
                    "{what}_file {path:?} has mode {mode:03o}; others can read it: chmod 600"
                ));
            }
            std::fs::read_to_string(path).map(Some).map_err(failed)
        }
        _ => Err(format!("give {what}_file or {what}_variable, not both")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(text: &str) -> Result<Vec<Endpoint>, String> {
        let registry = Registry::load("").unwrap();
        let variables = |name: &str| (name == "HOOK").then(|| SECRET.to_owned());
        parse(text, "deliver.toml", &registry, &variables).map_err(|error| error.to_string())
    }

    #[test]
    fn a_webhook_and_a_mailbox_are_read() {
        let found = read(
            "[[webhook]]\nname = \"crm\"\nforms = [\"contact\"]\nurl = \"https://crm.example/hook\"\nsecret_variable = \"HOOK\"\n\
             [[mail]]\nname = \"sales\"\nhost = \"smtp.example\"\nfrom = \"Leads <leads@shop.example>\"\nto = [\"sales@shop.example\"]\n",
        )
        .unwrap();
        assert_eq!((found[0].way.kind(), found[0].way.host()), ("webhook", "crm.example"));
        assert_eq!((found[1].way.kind(), found[1].concurrency), ("mail", 1));
        assert_eq!(found[0].kinds, Kind::ALL, "nobody has to think of complaints");
        assert!(!format!("{found:?}").contains(&SECRET[6..]), "a secret was printed");
    }

    #[test]
    fn what_is_wrong_is_named_with_the_next_step() {
        let hook = "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example/\"\nsecret_variable = \"HOOK\"\n";
        let mail = "[[mail]]\nname = \"sales\"\nhost = \"smtp.example\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n";
        for (text, words) in [
            (format!("{hook}form = [\"contact\"]\n"), "line 5: unknown field `form`"),
            (
                format!("{hook}forms = [\"contct\"]\n"),
                "unknown form `contct`; did you mean `contact`?",
            ),
            (format!("{hook}kinds = [\"complain\"]\n"), "unknown variant `complain`"),
            (hook.replace("https", "http"), "allow_http = true"),
            (hook.replace("https://", "ftp://"), "must begin with https://"),
            (hook.replace("crm.example", "me:pw@crm.example"), "no user name"),
            (hook.replace("HOOK", "OTHER"), "`OTHER` is not set"),
            (hook.replace("secret_variable = \"HOOK\"", ""), "leadtrail webhook secret"),
            (format!("{hook}concurrency = 0\n"), "concurrency is 1 to 32"),
            (format!("{hook}{hook}"), "`crm` stands twice"),
            (mail.replace("c@d.example", "c d"), "to: `c d`"),
            (mail.replace("a@b.example", "a@b.example\\nBcc: x@y.example"), "from: "),
            (format!("{mail}user = \"me\"\n"), "go together"),
            (format!("{mail}tls = \"none\"\n"), "in the clear"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(words) && error.contains("deliver.toml"), "{text}\n{error}");
        }
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, SECRET).unwrap();
        let text = format!(
            "[[webhook]]\nname = \"crm\"\nurl = \"https://crm.example/\"\nsecret_file = {path:?}\n"
        );
        for (mode, taken) in [(0o644, false), (0o640, false), (0o600, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&text).is_ok(), taken, "{mode:o}");
        }
    }
}
