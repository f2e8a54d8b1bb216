//! Records: one key or user, as it is kept.
//!
//! In: a command's wish, or a line of JSON. Out: a [`Change`]. Refuses: unknown keys and roles. Promises: a record is the whole key or user, so the latest of
//! a name is all that counts; it holds hashes, never a key or password.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What a key or user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A shop's own server: sends events, which are believed, and reads nothing.
    Shop,
    /// Reads reports, with personal values masked.
    Marketer,
    /// Reads reports, and sees whom a lead is from.
    Sales,
    /// All of it.
    Operator,
}

impl Role {
    /// As commands and lists have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Marketer => "marketer",
            Self::Sales => "sales",
            Self::Operator => "operator",
        }
    }

    /// May send events.
    pub fn sends(self) -> bool {
        matches!(self, Self::Shop | Self::Operator)
    }

    /// May read reports.
    pub fn reads(self) -> bool {
        !matches!(self, Self::Shop)
    }

    /// May see personal values.
    pub fn sees_personal(self) -> bool {
        matches!(self, Self::Sales | Self::Operator)
    }
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its public part: in the key's own text, in lists and in log lines.
    pub id: String,
    /// What it is for, in the operator's words.
    pub name: String,
    #[expect(missing_docs, reason = "the name says it all")]
    pub role: Role,
    /// Whose events it may send; empty: every site's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// Of its secret part, as 64 hex digits.
    pub hash: String,
    /// Its own limit; `None`: that of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// Milliseconds since 1970.
    pub made_ms: i64,
    /// Since when it is no longer admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<i64>,
}

/// A person who signs in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// As it is typed at the sign-in.
    pub name: String,
    #[expect(missing_docs, reason = "the name says it all")]
    pub role: Role,
    /// Of the password, as argon2 writes it: with its salt and cost.
    pub password: String,
    /// Milliseconds since 1970.
    pub made_ms: i64,
    /// Sessions that began before are over.
    pub sessions_from_ms: i64,
    /// True when nobody signs in under this name.
    #[serde(default)]
    pub disabled: bool,
}

impl std::fmt::Debug for User {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "User({}, {})", self.name, self.role.word())
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A key, whole.
    Key(Key),
    /// A user, whole.
    User(User),
}

impl Change {
    /// What it is about: the latest of a key counts.
    pub fn key(&self) -> String {
        match self {
            Self::Key(key) => format!("key/{}", key.id),
            Self::User(user) => format!("user/{}", user.name),
        }
    }

    /// One line of JSON, without its end.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_equal_and_shows_no_hash_in_a_log_line() {
        let user = User {
            name: "ada".into(),
            role: Role::Sales,
            password: "$argon2id$secret".into(),
            made_ms: 1,
            sessions_from_ms: 2,
            disabled: false,
        };
        let change = Change::User(user);
        assert_eq!(serde_json::from_slice::<Change>(&change.to_json()).unwrap(), change);
        assert_eq!(change.key(), "user/ada");
        assert!(!format!("{change:?}").contains("argon2"));
        assert!(serde_json::from_slice::<Change>(br#"{"key":{"id":"1","role":"root"}}"#).is_err());
    }

    #[test]
    fn a_role_may_do_what_it_is_for_and_no_more() {
        let rights = |role: Role| (role.sends(), role.reads(), role.sees_personal());
        assert_eq!(rights(Role::Shop), (true, false, false));
        assert_eq!(rights(Role::Marketer), (false, true, false));
        assert_eq!(rights(Role::Sales), (false, true, true));
        assert_eq!(rights(Role::Operator), (true, true, true));
    }
}
