//! `leadtrail key …` and `leadtrail user …`: their arguments.
//!
//! In: a command line. Out: a [`KeyCommand`] or [`UserCommand`]. Refuses: what clap refuses.

use clap::{Args, Subcommand};

use super::record::Role;

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key. It is printed once, alone on standard output, and kept nowhere; the words about it go to standard error.
    New(NewKey),
    /// List the keys, without their secrets.
    List,
    /// End a key. Every running app refuses it within seconds.
    Revoke {
        /// Its id: what stands between the two underscores.
        id: String,
    },
}

/// A key to be made.
#[derive(Debug, Args)]
pub struct NewKey {
    /// What it is for, in your words.
    #[arg(long)]
    pub name: String,
    /// What it may do.
    #[arg(long, value_enum)]
    pub role: Role,
    /// Whose events it may send; again for more. Needed where there are several sites.
    #[arg(long = "site")]
    pub sites: Vec<String>,
    /// It may send every site's events.
    #[arg(long, conflicts_with = "sites")]
    pub all_sites: bool,
    /// Events that it may send a minute; without: limits.key_per_minute.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub per_minute: Option<u32>,
}

/// What to do with people who sign in.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user. Without --password-stdin a password is made and printed once, alone on standard output.
    New {
        /// As it is typed at the sign-in: lower case letters, digits, dots, hyphens.
        name: String,
        /// What the user may do.
        #[arg(long, value_enum)]
        role: Role,
        /// Read the password from standard input, one line.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users.
    List,
    /// Give a new password; sessions end.
    Password {
        /// Who.
        name: String,
        /// Read the password from standard input, one line.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Let a user in no more; sessions end within seconds.
    Disable {
        /// Who.
        name: String,
    },
    /// Let a user in again.
    Enable {
        /// Who.
        name: String,
    },
    /// End all of a user's sessions.
    SignOut {
        /// Who.
        name: String,
    },
}
