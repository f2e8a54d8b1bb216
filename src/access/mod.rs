//! Access: who may do what. API keys for programs, users with passwords for people.
//!
//! In: commands, and what a request presents. Out: a [`Holder`] with its [`Role`], or nothing. Refuses: a key that is unknown, wrong or revoked, and a
//! password that is unknown or wrong, each with the same answer in the same time. Promises: only hashes are kept; a key that is revoked and a user that is
//! disabled are out within a second on every process that reads the same home, without a restart.
//!
//! The home is that of links ([`crate::links`]): a file of whole batches on one machine, a compacted topic with Kafka, of which each app keeps a mirror.

pub mod arguments;
pub mod book;
pub mod command;
pub mod follow;
pub mod gate;
pub mod password;
pub mod record;
pub mod secret;
pub mod session;
pub mod store;

use self::record::Role;

/// Who asks, once it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A program with an API key, by the key's public id.
    Key(String),
    /// A person, by the name that the operator gave.
    User(String),
}

/// Who asks, and what that may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who.
    pub holder: Holder,
    /// What it may do.
    pub role: Role,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(id) => write!(formatter, "key {id}"),
            Self::User(name) => write!(formatter, "user {name}"),
        }
    }
}
