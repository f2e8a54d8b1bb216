//! The gate: whom a request of the app listener is from.
//!
//! In: a request's head; a name and a password. Out: an [`Asker`]; a session. Refuses: a key that is not admitted, more tries to sign in than `app.sign_ins_per_minute` from one network or
//! [`TRIES_PER_NAME_AN_HOUR`] under one name. Promises: a request with a wrong key is nobody's, even where its cookie is somebody's; an unknown name and a wrong password get the same answer in the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE};

use super::book::{Access, Admission};
use super::password::{Checker, PasswordError};
use super::record::{Change, Role, User};
use super::session::{self, Session};
use super::{Holder, store};
use crate::check::limits::Frequency;
use crate::config::Config;
use crate::ids::now_millis;
use crate::keys::Keys;
use crate::personal::ClientIp;

/// Tries under one name, from wherever: a person who forgot is not stopped, a list of passwords is. What somebody else uses up keeps a user from signing in anew, not from going on.
const TRIES_PER_NAME_AN_HOUR: u32 = 60;

const HOUR_MS: i64 = 3_600_000;

/// Whom a request is from.
pub enum Asker {
    /// It says nothing, or shows a session that is over.
    Nobody,
    /// A program.
    Key(Admission),
    /// A person.
    Person(Session, Role),
    /// A key that is not admitted.
    Wrong,
}

impl Asker {
    /// What it may do; `None`: what everybody may.
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Nobody | Self::Wrong => None,
            Self::Key(admission) => Some(admission.key.role),
            Self::Person(_, role) => Some(*role),
        }
    }

    /// Who, for the audit.
    pub fn holder(&self) -> Option<Holder> {
        match self {
            Self::Nobody | Self::Wrong => None,
            Self::Key(admission) => Some(Holder::Key(admission.key.id.clone())),
            Self::Person(session, _) => Some(Holder::User(session.name.clone())),
        }
    }
}

/// What became of a try to sign in.
pub enum Tried {
    /// The session's token.
    In(String),
    /// Name or password is wrong, or the user is disabled.
    Wrong,
    /// Too many tries.
    Limited,
    /// Too many people at this moment, or no random numbers.
    Busy,
}

/// The gate of one app process.
pub struct Gate {
    /// Keys and users.
    pub access: Arc<Access>,
    keys: Arc<Keys>,
    config: Arc<Config>,
    checker: Checker,
    by_network: Frequency,
    by_name: Frequency,
    names: RandomState,
}

impl Gate {
    /// Makes one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new(
        access: Arc<Access>,
        keys: Arc<Keys>,
        config: Arc<Config>,
    ) -> Result<Self, PasswordError> {
        Ok(Self {
            access,
            keys,
            checker: Checker::new()?,
            by_network: Frequency::per_minute(config.app.sign_ins_per_minute),
            by_name: Frequency::per_hour(TRIES_PER_NAME_AN_HOUR),
            names: RandomState::new(),
            config,
        })
    }

    /// The session's cookie. The prefix `__Host-` makes browsers refuse it from any other host and over http.
    pub fn cookie(&self) -> &'static str {
        if self.config.app.https { "__Host-lt_session" } else { "lt_session" }
    }

    /// True when everybody may read the reports, with personal values masked.
    pub fn is_open(&self) -> bool {
        self.config.app.open
    }

    /// True when it is reached by https.
    pub fn https(&self) -> bool {
        self.config.app.https
    }

    /// The life of a session, in seconds.
    pub fn session_s(&self) -> u64 {
        u64::from(self.config.app.session_hours) * 3_600
    }

    /// Whom a request is from.
    pub fn who(&self, headers: &HeaderMap) -> Asker {
        if headers.contains_key(AUTHORIZATION) {
            let mut all = headers.get_all(AUTHORIZATION).iter();
            let text = match (all.next(), all.next()) {
                (Some(only), None) => only.to_str().ok(),
                _ => None,
            };
            let key = text.and_then(|text| {
                let (scheme, key) = text.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
            });
            return key.and_then(|key| self.access.admit(key)).map_or(Asker::Wrong, Asker::Key);
        }
        match self.session(headers) {
            Some((session, role)) => Asker::Person(session, role),
            None => Asker::Nobody,
        }
    }

    fn session(&self, headers: &HeaderMap) -> Option<(Session, Role)> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs =
            lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, token) = pairs.find(|(name, _)| *name == self.cookie())?;
        let lasts_ms = i64::from(self.config.app.session_hours) * HOUR_MS;
        let session = session::verify(&self.keys, token, now_millis(), lasts_ms)?;
        let user = self.access.read(|book| book.user(&session.name).cloned())?;
        let good = !user.disabled && session.began_ms >= user.sessions_from_ms;
        good.then_some((session, user.role))
    }

    /// Tries to sign in.
    pub async fn sign_in(&self, client: ClientIp, name: &str, password: String) -> Tried {
        let network = self.by_network.is_over(client.limit_key());
        // Counted under names that don't exist too: the limit must not tell one from the other.
        if network || self.by_name.is_over(self.names.hash_one(name)) {
            return Tried::Limited;
        }
        let user = self.access.read(|book| book.user(name).cloned()).filter(|user| !user.disabled);
        let kept = user.as_ref().map(|user| user.password.clone());
        match self.checker.check(kept, password).await {
            Ok(true) => {}
            Ok(false) => return Tried::Wrong,
            Err(_) => return Tried::Busy,
        }
        session::sign(&self.keys, name, now_millis()).map_or(Tried::Busy, Tried::In)
    }

    /// Ends every session of a user, here at once and everywhere within a second.
    ///
    /// # Errors
    /// When the home can't be written.
    pub async fn sign_out(&self, name: &str) -> anyhow::Result<()> {
        let (config, name) = (self.config.clone(), name.to_owned());
        let ended = tokio::task::spawn_blocking(move || {
            store::change(&config, |book| {
                let user = book.user(&name).ok_or_else(|| anyhow::anyhow!("the user is gone"))?;
                let user = User { sessions_from_ms: now_millis() + 1, ..user.clone() };
                Ok((user.clone(), Change::User(user)))
            })
        });
        let user = ended.await??;
        self.access.write(|book| {
            let _ = book.apply(Change::User(user));
        });
        Ok(())
    }
}
