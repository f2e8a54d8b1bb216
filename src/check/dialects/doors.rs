//! Doors: which site, dialect and form a request at a vendor's own path is for.
//!
//! In: the registry and the dialects; later a host, a path and the fields. Out: a [`Door`], then what was [`Chosen`]. Refuses: a
//! `sites.toml` that names an unknown dialect, gives a host to two sites, or an id to two forms. Promises: a path is taken only on
//! a host that a site names; a form that nobody registered is taken under its dialect's name, so that nothing is lost.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Dialects, Recognised};
use crate::check::lead_field::LeadField;
use crate::config::{ConfigError, nearest};
use crate::registry::{Form, Registry, Site};

/// Stands for every host, in `sites.toml`.
const ANY_HOST: &str = "*";

/// A dialect's path on a host.
#[derive(Clone, Copy, Debug)]
struct Way {
    dialect: usize,
    path: usize,
}

#[derive(Debug)]
struct Host {
    site: Arc<Site>,
    /// By the path's first segment.
    by_word: HashMap<String, Vec<Way>>,
    /// Those that begin with an id, or take any path.
    others: Vec<Way>,
}

/// A dialect that may be meant by a path, and the form's id as far as the path has it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The dialect's place.
    pub dialect: usize,
    /// Which of its paths.
    pub path: usize,
    /// What the path says of the form.
    pub ids: Vec<String>,
    /// True where the path says nothing and the fields have to.
    pub vague: bool,
}

/// A vendor's path on a site's host.
#[derive(Clone, Debug)]
pub struct Door<'a> {
    /// Whose host it is.
    pub site: &'a Arc<Site>,
    /// Who may be meant, the most exact path first. Never empty.
    pub candidates: Vec<Candidate>,
}

/// How a dialect was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The form says so in `sites.toml`.
    Configured,
    /// By the vendor's path.
    Path,
    /// By the id of a registered form.
    FormId,
    /// By the names of its fields.
    Fields,
    /// Nothing says anything: the generic one.
    Default,
}

/// What a request is for.
#[derive(Clone, Debug)]
pub struct Chosen<'a> {
    /// Whose it is.
    pub site: &'a Arc<Site>,
    /// Which form.
    pub form: Arc<Form>,
    /// The dialect's place.
    pub dialect: usize,
    /// Which of its paths; `None` at `/f/…`.
    pub path: Option<usize>,
    /// How it was found.
    pub reason: Reason,
    /// The field that gave the dialect away, where one did.
    pub sign: String,
    /// What the vendor calls the form: ids from the path and from fields, with slashes.
    pub id: String,
    /// True where a part of the id stands in the path alone.
    pub id_in_path: bool,
    /// True where the form is registered.
    pub registered: bool,
}

/// Names and values, as they were posted.
pub type Posted = [(String, String)];

/// All doors.
#[derive(Debug)]
pub struct Doors {
    /// The dialects that they lead to.
    pub dialects: Arc<Dialects>,
    hosts: HashMap<String, Host>,
    /// By site, then by id.
    forms: HashMap<String, HashMap<String, Vec<Arc<Form>>>>,
    /// The form that takes what no id is registered for, by site and dialect.
    rest: HashMap<(String, usize), (Arc<Form>, bool)>,
    /// Dialects of forms that say theirs.
    configured: HashMap<String, usize>,
}

impl Doors {
    /// Builds them, and checks what `sites.toml` says of dialects.
    ///
    /// # Errors
    /// With what is wrong and the nearest valid word.
    pub fn new(registry: &Registry, dialects: Arc<Dialects>) -> Result<Self, ConfigError> {
        let mut doors = Self {
            dialects,
            hosts: HashMap::new(),
            forms: HashMap::new(),
            rest: HashMap::new(),
            configured: HashMap::new(),
        };
        let mut forms: Vec<_> = registry.forms().collect();
        forms.sort_by(|left, right| left.name.cmp(&right.name));
        for form in forms {
            doors.add_form(form).map_err(ConfigError::Wrong)?;
        }
        let mut sites: Vec<_> = registry.sites().collect();
        sites.sort_by(|left, right| left.name.cmp(&right.name));
        for site in sites {
            doors.add_site(site, registry).map_err(ConfigError::Wrong)?;
        }
        Ok(doors)
    }

    fn add_form(&mut self, form: &Arc<Form>) -> Result<(), String> {
        let name = &form.name;
        for field in &form.required {
            if LeadField::parse(field).is_none() {
                let near = nearest(field, LeadField::ALL.iter().map(|known| known.name()));
                return Err(format!(
                    "sites: form `{name}`: required: unknown lead field `{field}`; did you mean `{near}`?"
                ));
            }
        }
        if !form.dialect.is_empty() {
            let place = self.dialects.known(&form.dialect).map_err(|near| {
                let dialect = &form.dialect;
                format!("sites: form `{name}`: unknown dialect `{dialect}`; did you mean `{near}`?")
            })?;
            self.configured.insert(name.clone(), place);
            if form.ids.is_empty() {
                let key = (form.site.clone(), place);
                if let Some((other, _)) = self.rest.insert(key, (form.clone(), true)) {
                    return Err(format!(
                        "sites: forms `{}` and `{name}` have the same dialect and no `ids` to tell them apart",
                        other.name
                    ));
                }
            }
        }
        for id in &form.ids {
            let known =
                self.forms.entry(form.site.clone()).or_default().entry(id.clone()).or_default();
            let same =
                |other: &&Arc<Form>| other.dialect == form.dialect || other.dialect.is_empty();
            if let Some(other) = known.iter().find(same) {
                return Err(format!(
                    "sites: forms `{}` and `{name}` have the same id `{id}`",
                    other.name
                ));
            }
            known.push(form.clone());
        }
        Ok(())
    }

    fn add_site(&mut self, site: &Arc<Site>, registry: &Registry) -> Result<(), String> {
        let dialects = self.dialects.clone();
        let name = &site.name;
        let mut allowed = Vec::new();
        for dialect in &site.dialects {
            allowed.push(dialects.known(dialect).map_err(|near| {
                format!("sites: site `{name}`: unknown dialect `{dialect}`; did you mean `{near}`?")
            })?);
        }
        let mut ways: Vec<Way> = Vec::new();
        for (place, dialect) in dialects.all() {
            if !allowed.is_empty() && !allowed.contains(&place) {
                continue;
            }
            ways.extend((0..dialect.paths.len()).map(|path| Way { dialect: place, path }));
            self.rest
                .entry((name.clone(), place))
                .or_insert_with(|| (unregistered(dialect.name(), site, registry), false));
        }
        ways.sort_by_key(|way| dialects.at(way.dialect).paths[way.path].0.vagueness());
        for host in &site.hosts {
            let plain = host == ANY_HOST
                || (!host.is_empty()
                    && host.bytes().all(|byte| {
                        byte.is_ascii_lowercase()
                            || byte.is_ascii_digit()
                            || b"-.:[]".contains(&byte)
                    }));
            if !plain
                || host
                    .split(':')
                    .nth(1)
                    .is_some_and(|port| !host.contains('[') && port.parse::<u16>().is_ok())
            {
                return Err(format!(
                    "sites: site `{name}`: host `{host}` is a name in lower case, without scheme and port"
                ));
            }
            let mut doors =
                Host { site: site.clone(), by_word: HashMap::new(), others: Vec::new() };
            for way in &ways {
                match dialects.at(way.dialect).paths[way.path].0.first_word() {
                    Some(word) => doors.by_word.entry(word.to_owned()).or_default().push(*way),
                    None => doors.others.push(*way),
                }
            }
            if let Some(other) = self.hosts.insert(host.clone(), doors) {
                let other = &other.site.name;
                return Err(format!(
                    "sites: host `{host}` stands at the sites `{other}` and `{name}`"
                ));
            }
        }
        Ok(())
    }

    /// The dialect that the form says it has, in `sites.toml`.
    pub fn configured(&self, form: &Form) -> Option<usize> {
        self.configured.get(&form.name).copied()
    }

    /// The vendor's path that is meant, if the host is a site's. `host` may have a port.
    pub fn find(&self, host: &str, path: &str, query: &str) -> Option<Door<'_>> {
        if self.hosts.is_empty() {
            return None;
        }
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
            _ => host,
        };
        let known =
            self.hosts.get(&bare.to_ascii_lowercase()).or_else(|| self.hosts.get(ANY_HOST))?;
        let word = path.strip_prefix('/')?.split('/').next().unwrap_or("");
        let ways = known.by_word.get(word).into_iter().flatten().chain(&known.others);
        let mut candidates = Vec::new();
        for way in ways {
            let (pattern, _) = &self.dialects.at(way.dialect).paths[way.path];
            if let Some(ids) = pattern.ids(path, query) {
                let Way { dialect, path } = *way;
                candidates.push(Candidate { dialect, path, ids, vague: pattern.is_any() });
            }
        }
        (!candidates.is_empty()).then_some(Door { site: &known.site, candidates })
    }

    /// What a post at one of our own paths is for.
    pub fn own<'a>(&self, form: &Arc<Form>, site: &'a Arc<Site>, posted: &Posted) -> Chosen<'a> {
        let dialects = &*self.dialects;
        let (dialect, reason, sign) = match self.configured(form) {
            Some(place) => (place, Reason::Configured, String::new()),
            None => match recognise(posted, dialects) {
                Some(found) => (found.place, Reason::Fields, found.sign.to_owned()),
                None => (dialects.generic(), Reason::Default, String::new()),
            },
        };
        let id = id(&[], &dialects.at(dialect).file.id_fields, posted).join("/");
        let form = form.clone();
        Chosen {
            site,
            form,
            dialect,
            path: None,
            reason,
            sign,
            id,
            id_in_path: false,
            registered: true,
        }
    }

    /// What a post at a vendor's path is for; `None` when the path says nothing and no field does.
    pub fn choose<'a>(&self, door: &Door<'a>, posted: &Posted) -> Option<Chosen<'a>> {
        let dialects = &*self.dialects;
        let site = door.site;
        let ids = |candidate: &Candidate| {
            id(&candidate.ids, &dialects.at(candidate.dialect).file.id_fields, posted)
        };
        for candidate in &door.candidates {
            let ids = ids(candidate);
            let dialect = candidate.dialect;
            let name = dialects.at(dialect).name();
            if let Some(form) = self.by_id(&site.name, &ids, name) {
                let (path, reason) = (Some(candidate.path), Reason::FormId);
                let (sign, id) = (String::new(), ids.join("/"));
                let id_in_path = !candidate.ids.is_empty();
                return Some(Chosen {
                    site,
                    form,
                    dialect,
                    path,
                    reason,
                    sign,
                    id,
                    id_in_path,
                    registered: true,
                });
            }
        }
        let found = recognise(posted, dialects);
        let by_fields = found.and_then(|found| {
            door.candidates.iter().find(|candidate| candidate.dialect == found.place)
        });
        let candidate =
            by_fields.or_else(|| door.candidates.iter().find(|candidate| !candidate.vague))?;
        let (form, registered) = self.rest.get(&(site.name.clone(), candidate.dialect))?.clone();
        let first = door.candidates.first().map(|first| first.dialect);
        let by_path = first == Some(candidate.dialect) && !candidate.vague;
        let (reason, sign) = match found.filter(|_| !by_path) {
            Some(found) => (Reason::Fields, found.sign.to_owned()),
            None => (Reason::Path, String::new()),
        };
        let (dialect, path, id) =
            (candidate.dialect, Some(candidate.path), ids(candidate).join("/"));
        let id_in_path = !candidate.ids.is_empty();
        Some(Chosen { site, form, dialect, path, reason, sign, id, id_in_path, registered })
    }

    /// The registered form with one of these ids: all of them together, else the last that is known.
    fn by_id(&self, site: &str, ids: &[String], dialect: &str) -> Option<Arc<Form>> {
        let known = self.forms.get(site)?;
        let whole = ids.join("/");
        let wanted = std::iter::once(&whole).chain(ids.iter().rev());
        wanted.filter_map(|id| known.get(id)).flatten().find_map(|form| {
            (form.dialect.is_empty() || form.dialect == dialect).then(|| form.clone())
        })
    }
}

fn recognise<'a>(posted: &'a Posted, dialects: &Dialects) -> Option<Recognised<'a>> {
    dialects.recognise(posted.iter().map(|(name, _)| name.as_str()))
}

/// The form's id: what the path says, then the first value of each field that makes it.
fn id(path: &[String], fields: &[String], posted: &Posted) -> Vec<String> {
    let mut ids = path.to_vec();
    for field in fields {
        let value = posted.iter().find(|(name, value)| {
            name.trim().eq_ignore_ascii_case(field) && !value.trim().is_empty()
        });
        if let Some((_, value)) = value
            && !ids.iter().any(|known| known == value.trim())
        {
            ids.push(value.trim().to_owned());
        }
    }
    ids
}

/// The form that stands for all of a dialect's forms which nobody registered.
fn unregistered(dialect: &str, site: &Site, registry: &Registry) -> Arc<Form> {
    let taken = registry.form(dialect).is_some_and(|form| form.site != site.name);
    let name = if taken { format!("{}-{dialect}", site.name) } else { dialect.to_owned() };
    Arc::new(Form { name, site: site.name.clone(), ..Form::default() })
}
