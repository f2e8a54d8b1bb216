//! A dialect's file: its keys, and a folder of the operator's laid over the built-in ones.
//!
//! In: TOML. Out: [`File`]s in a fixed order. Refuses: an unknown key, naming file, line and the nearest one; a name given twice in the
//! folder. Promises: a file of the operator's replaces the built-in one of its name, or goes before it where it says `extend`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::reply::ReplyFile;
use crate::config::ConfigError;
use crate::registry::checks::explain;

/// Declares the built-in files.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// The built-in files, in the order in which a tie between recognised dialects is decided.
        const BUILT_IN: &[(&str, &str)] = &[$((
            concat!("built-in config/dialects/", $name, ".toml"),
            include_str!(concat!("../../../config/dialects/", $name, ".toml")),
        )),*];
    };
}

built_in![
    "salesforce_lead",
    "salesforce_case",
    "pardot",
    "hubspot_v3",
    "hubspot_v2",
    "dynamics",
    "eloqua",
    "emarsys",
    "marketo",
    "mautic",
    "zoho",
    "zoho_case",
    "sugarcrm",
    "vtiger",
    "odoo",
    "formspree",
    "getform",
    "netlify",
    "web3forms",
    "jotform",
    "formsubmit",
    "mailchimp",
    "formbricks",
    "google_forms",
    "activecampaign",
    "infusionsoft",
    "contact_form_7",
    "generic",
];

/// The dialect that every other falls back to.
pub const GENERIC: &str = "generic";

/// A dialect as its file has it; `config/dialects/generic.toml` documents the keys.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "config/dialects/generic.toml documents the keys")]
pub struct File {
    pub name: String,
    pub title: String,
    pub extend: bool,
    pub also: Vec<String>,
    pub paths: Vec<String>,
    pub secure_paths: Vec<String>,
    pub methods: Vec<String>,
    pub id_fields: Vec<String>,
    pub recognise: Vec<String>,
    pub event: String,
    pub events: Vec<EventFile>,
    pub required: Vec<String>,
    pub page_is_return: Option<bool>,
    pub wraps: Vec<String>,
    pub controls: Controls,
    pub aliases: BTreeMap<String, Vec<String>>,
    pub opt_outs: BTreeMap<String, Vec<String>>,
    pub opt_ins: BTreeMap<String, Vec<String>>,
    pub json: Option<Listed>,
    pub(super) replies: Vec<ReplyFile>,
}

/// An exception to what a post is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/dialects/generic.toml documents the keys")]
pub struct EventFile {
    pub event: String,
    pub field: String,
    pub is: Vec<String>,
}

/// Names that are no lead data.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "config/dialects/generic.toml documents the keys")]
pub struct Controls {
    pub return_url: Vec<String>,
    pub error_url: Vec<String>,
    pub honeypots: Vec<String>,
    pub dropped: Vec<String>,
    pub addresses: Vec<String>,
    pub pages: Vec<String>,
    pub context: Vec<String>,
    pub kept: Vec<String>,
}

/// A JSON body that lists its fields: `{"fields":[{"name":"email","value":"…"}]}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The member that is the list.
    pub list: String,
    /// An item's member with the field's name.
    pub name: String,
    /// An item's member with its value.
    pub value: String,
    /// An item's member that says what kind of record the field belongs to; written before the name, with a slash.
    #[serde(default)]
    pub kind: String,
    /// The kind that is not written before the name.
    #[serde(default)]
    pub plain_kind: String,
}

/// A file, where it came from, and its text for messages.
pub(super) struct Source {
    pub file: File,
    pub place: String,
    pub text: String,
}

impl Source {
    fn parse(text: &str, place: &str) -> Result<Self, ConfigError> {
        let file: File =
            toml::from_str(text).map_err(|error| wrong(explain(&error, text, place)))?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if file.name.is_empty() || file.name.len() > 40 || !file.name.bytes().all(plain) {
            return Err(wrong(format!("{place}: `name` is 1 to 40 of a-z 0-9 _")));
        }
        Ok(Self { file, place: place.to_owned(), text: text.to_owned() })
    }

    /// An error about this file: its place, and the line that has `word`.
    pub fn wrong(&self, word: &str, what: &str) -> ConfigError {
        let with = |text: &str| self.text.lines().position(|line| line.contains(text));
        let line = with(&format!("\"{word}\"")).or_else(|| with(word));
        let line = line.map_or_else(String::new, |line| format!(", line {}", line + 1));
        wrong(format!("{}{line}: {what}", self.place))
    }
}

fn wrong(text: String) -> ConfigError {
    ConfigError::Wrong(text)
}

/// The built-in files with those of `folder` (none when it is empty) laid over them.
pub(super) fn read(folder: &str) -> Result<Vec<Source>, ConfigError> {
    let mut sources = Vec::new();
    for (place, text) in BUILT_IN {
        sources.push(Source::parse(text, place)?);
    }
    let mut given: Vec<String> = Vec::new();
    for path in list(folder)? {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        let mut source = Source::parse(&text, &place)?;
        let name = source.file.name.clone();
        if given.contains(&name) {
            return Err(source
                .wrong("name", &format!("the dialect `{name}` stands in two files of {folder}")));
        }
        given.push(name.clone());
        let built_in = sources.iter().position(|known| known.file.name == name);
        match built_in {
            Some(at) => {
                if source.file.extend {
                    source.file = std::mem::take(&mut source.file).over(sources[at].file.clone());
                }
                sources[at] = source;
            }
            None if source.file.extend => {
                let known = sources.iter().map(|known| known.file.name.as_str());
                let near = crate::config::nearest(&name, known);
                let what = format!(
                    "extend = true, but there is no dialect `{name}`; did you mean `{near}`?"
                );
                return Err(source.wrong("extend", &what));
            }
            None => sources.insert(0, source),
        }
    }
    Ok(sources)
}

fn list(folder: &str) -> Result<Vec<std::path::PathBuf>, ConfigError> {
    if folder.is_empty() {
        return Ok(Vec::new());
    }
    let error = |source| ConfigError::Read { path: Path::new(folder).to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

impl File {
    /// Laid over `base`: what both have comes from here first.
    fn over(self, base: Self) -> Self {
        fn lists(mut own: Vec<String>, base: Vec<String>) -> Vec<String> {
            own.extend(base);
            own
        }
        fn tables(
            mut own: BTreeMap<String, Vec<String>>,
            base: BTreeMap<String, Vec<String>>,
        ) -> BTreeMap<String, Vec<String>> {
            for (key, names) in base {
                own.entry(key).or_default().extend(names);
            }
            own
        }
        let base = base.without(&self.names());
        let (controls, under) = (self.controls, base.controls);
        Self {
            name: self.name,
            title: if self.title.is_empty() { base.title } else { self.title },
            extend: false,
            also: lists(self.also, base.also),
            paths: lists(self.paths, base.paths),
            secure_paths: lists(self.secure_paths, base.secure_paths),
            methods: if self.methods.is_empty() { base.methods } else { self.methods },
            id_fields: if self.id_fields.is_empty() { base.id_fields } else { self.id_fields },
            recognise: lists(self.recognise, base.recognise),
            event: if self.event.is_empty() { base.event } else { self.event },
            events: [self.events, base.events].concat(),
            required: if self.required.is_empty() { base.required } else { self.required },
            page_is_return: self.page_is_return.or(base.page_is_return),
            wraps: lists(self.wraps, base.wraps),
            controls: Controls {
                return_url: lists(controls.return_url, under.return_url),
                error_url: lists(controls.error_url, under.error_url),
                honeypots: lists(controls.honeypots, under.honeypots),
                dropped: lists(controls.dropped, under.dropped),
                addresses: lists(controls.addresses, under.addresses),
                pages: lists(controls.pages, under.pages),
                context: lists(controls.context, under.context),
                kept: lists(controls.kept, under.kept),
            },
            aliases: tables(self.aliases, base.aliases),
            opt_outs: tables(self.opt_outs, base.opt_outs),
            opt_ins: tables(self.opt_ins, base.opt_ins),
            json: self.json.or(base.json),
            replies: [self.replies, base.replies].concat(),
        }
    }

    /// Every list of names that have a meaning.
    fn lists(&mut self) -> impl Iterator<Item = &mut Vec<String>> {
        let Controls { return_url, error_url, honeypots, dropped, addresses, pages, context, kept } =
            &mut self.controls;
        let controls = [return_url, error_url, honeypots, dropped, addresses, pages, context, kept];
        let tables = [&mut self.aliases, &mut self.opt_outs, &mut self.opt_ins];
        controls.into_iter().chain(tables.into_iter().flat_map(BTreeMap::values_mut))
    }

    fn names(&self) -> Vec<String> {
        self.clone().lists().flat_map(std::mem::take).collect()
    }

    /// Without what somebody else gives a meaning of his own.
    fn without(mut self, names: &[String]) -> Self {
        for list in self.lists() {
            list.retain(|name| !names.iter().any(|other| other.eq_ignore_ascii_case(name)));
        }
        self
    }

    /// Every name with the key that it stands under, in the order in which they count.
    pub fn entries(&self) -> Vec<(String, &str)> {
        let tables =
            [("aliases", &self.aliases), ("opt_outs", &self.opt_outs), ("opt_ins", &self.opt_ins)];
        let of_tables = tables.into_iter().flat_map(|(table, names)| {
            names.iter().map(move |(key, names)| (format!("{table}.{key}"), names))
        });
        let controls = &self.controls;
        let of_controls = [
            ("dropped", &controls.dropped),
            ("honeypots", &controls.honeypots),
            ("return_url", &controls.return_url),
            ("error_url", &controls.error_url),
            ("addresses", &controls.addresses),
            ("pages", &controls.pages),
            ("context", &controls.context),
            ("kept", &controls.kept),
        ];
        let of_controls =
            of_controls.into_iter().map(|(key, names)| (format!("controls.{key}"), names));
        let ids = std::iter::once(("id_fields".to_owned(), &self.id_fields));
        let all = of_tables.chain(of_controls).chain(ids);
        all.flat_map(|(key, names)| names.iter().map(move |name| (key.clone(), name.as_str())))
            .collect()
    }
}
