//! `leadtrail key …` and `leadtrail user …`: what is done.
//!
//! In: arguments. Out: a new key or password alone on standard output, words on standard error, lists on standard output; exit code 1 where nothing of that name is found.
//! Promises: a secret is printed once and kept nowhere; what it says was done is kept, and running apps follow within a second.

use std::io::BufRead as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use comfy_table::{LineStyle, Table, TableStyle};

use super::arguments::{KeyCommand, NewKey, UserCommand};
use super::password;
use super::record::{Change, Key, Role, User};
use super::{secret, store};
use crate::config::nearest;
use crate::ids::now_millis;
use crate::say::say;
use crate::service::Installation;

/// The longest words for what a key is for.
const KEY_NAME_CHARACTERS_MAX: usize = 60;

/// The longest name of a user.
const USER_NAME_BYTES_MAX: usize = 32;

#[expect(
    clippy::print_stderr,
    reason = "words beside a secret, which stands alone on standard output"
)]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// Does something with keys.
///
/// # Errors
/// When it is refused, with what would be right.
pub fn key(command: &KeyCommand, installation: &Installation) -> Result<ExitCode> {
    let config = &installation.config;
    match command {
        KeyCommand::New(wish) => {
            let fresh = secret::make().context("no random numbers")?;
            let key = Key {
                id: fresh.id.clone(),
                name: key_name(&wish.name)?,
                role: wish.role,
                sites: sites(wish, installation)?,
                hash: fresh.hash,
                per_minute: wish.per_minute,
                made_ms: now_millis(),
                revoked_ms: None,
            };
            let about =
                format!("key {} made: role {}, {}", key.id, key.role.word(), of_sites(&key));
            store::change(config, |_| Ok(((), Change::Key(key))))?;
            say(&fresh.text);
            tell(&about);
            tell(&format!(
                "It is shown this once. Keep it where only its program can read it; end it with: leadtrail key revoke {}",
                fresh.id
            ));
        }
        KeyCommand::List => {
            let book = store::load(config)?;
            let mut table = table(&["id", "name", "role", "sites", "a minute", "made", "state"]);
            for key in book.keys() {
                let own = key.per_minute.unwrap_or(config.limits.key_per_minute);
                table.add_row([
                    key.id.clone(),
                    key.name.clone(),
                    key.role.word().to_owned(),
                    of_sites(key),
                    own.to_string(),
                    time(key.made_ms),
                    key.revoked_ms
                        .map_or_else(|| "good".to_owned(), |at| format!("revoked {}", time(at))),
                ]);
            }
            say(&table.to_string());
        }
        KeyCommand::Revoke { id } => {
            let found = store::change(config, |book| {
                let Some(key) = book.key(id) else {
                    let near = nearest(id, book.keys().map(|key| key.id.as_str()));
                    bail!("{}", unknown("key", id, near))
                };
                let revoked_ms = key.revoked_ms.or_else(|| Some(now_millis()));
                Ok((key.name.clone(), Change::Key(Key { revoked_ms, ..key.clone() })))
            })?;
            say(&format!(
                "key {id} ({found}) is revoked; running apps refuse it within a second or so"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn key_name(name: &str) -> Result<String> {
    let plain = !name.trim().is_empty() && !name.chars().any(char::is_control);
    if !plain || name.chars().count() > KEY_NAME_CHARACTERS_MAX {
        bail!(
            "--name takes 1 to {KEY_NAME_CHARACTERS_MAX} characters in one line, such as \"web shop\""
        );
    }
    Ok(name.trim().to_owned())
}

/// Whose events a key may send. A key that only reads has no sites: reports are of all.
fn sites(wish: &NewKey, installation: &Installation) -> Result<Vec<String>> {
    let registry = &installation.registry;
    if !wish.role.sends() && !wish.sites.is_empty() {
        bail!(
            "--site is for keys that send events; a {} reads the reports of every site",
            wish.role.word()
        );
    }
    for name in &wish.sites {
        if registry.site(name).is_none() {
            let names: Vec<&str> = registry.sites().map(|site| site.name.as_str()).collect();
            bail!("no site `{name}`; did you mean `{}`?", nearest(name, names.into_iter()));
        }
    }
    match registry.only_site() {
        _ if wish.all_sites || !wish.role.sends() || !wish.sites.is_empty() => {
            Ok(wish.sites.clone())
        }
        Some(site) => Ok(vec![site.name.clone()]),
        None => bail!("there are several sites: say --site NAME, or --all-sites"),
    }
}

fn of_sites(key: &Key) -> String {
    if key.sites.is_empty() { "every site".to_owned() } else { key.sites.join(" ") }
}

fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(line));
    table.set_header(heads.iter().copied());
    table
}

fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| String::new(), |at| at.strftime("%F %H:%M UTC").to_string())
}

/// Does something with users.
///
/// # Errors
/// When it is refused, with what would be right.
pub fn user(command: &UserCommand, installation: &Installation) -> Result<ExitCode> {
    let config = &installation.config;
    match command {
        UserCommand::New { name, role, password_stdin } => {
            user_name(name)?;
            if *role == Role::Shop {
                bail!("a shop is a program: give it a key (leadtrail key new --role shop)");
            }
            let (made, password) = new_password(*password_stdin)?;
            store::change(config, |book| {
                if book.user(name).is_some() {
                    bail!(
                        "user `{name}` is there already; a new password: leadtrail user password {name}"
                    )
                }
                let now = now_millis();
                let (name, role) = (name.clone(), *role);
                let user = User {
                    name,
                    role,
                    password,
                    made_ms: now,
                    sessions_from_ms: now,
                    disabled: false,
                };
                Ok(((), Change::User(user)))
            })?;
            tell(&format!("user {name} made: role {}", role.word()));
            show(made);
        }
        UserCommand::List => {
            let mut table = table(&["name", "role", "made", "state"]);
            for user in store::load(config)?.users() {
                let state = if user.disabled { "disabled" } else { "good" };
                table.add_row([&user.name, user.role.word(), &time(user.made_ms), state]);
            }
            say(&table.to_string());
        }
        UserCommand::Password { name, password_stdin } => {
            let (made, password) = new_password(*password_stdin)?;
            edit(installation, name, |user| user.password = password)?;
            tell(&format!("user {name} has a new password; sessions have ended"));
            show(made);
        }
        UserCommand::Disable { name } => {
            edit(installation, name, |user| user.disabled = true)?;
            say(&format!("user {name} is disabled; sessions end within a second or so"));
        }
        UserCommand::Enable { name } => {
            edit(installation, name, |user| user.disabled = false)?;
            say(&format!("user {name} may sign in"));
        }
        UserCommand::SignOut { name } => {
            edit(installation, name, |_| {})?;
            say(&format!("the sessions of user {name} end within a second or so"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Names appear in log lines: they are plain, and no e-mail addresses.
fn user_name(name: &str) -> Result<()> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if name.is_empty() || name.len() > USER_NAME_BYTES_MAX || !name.bytes().all(plain) {
        bail!(
            "a user's name has 1 to {USER_NAME_BYTES_MAX} lower case letters, digits, dots and hyphens, such as ada.l"
        );
    }
    Ok(())
}

/// The password to be shown, if it was made here, and its hash.
fn new_password(from_stdin: bool) -> Result<(Option<String>, String)> {
    if from_stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
        return Ok((None, password::hash(line.trim_end_matches(['\r', '\n']))?));
    }
    let made = password::make().context("no random numbers")?;
    let hash = password::hash(&made)?;
    Ok((Some(made), hash))
}

fn show(made: Option<String>) {
    if let Some(password) = made {
        say(&password);
        tell("The password is shown this once. Sign in at /sign-in of the app.");
    }
}

/// That there is no such key or user, with the nearest there is.
fn unknown(what: &str, name: &str, near: &str) -> String {
    if near.is_empty() {
        return format!("no {what} `{name}`, nor any other: leadtrail {what} new makes one");
    }
    format!("no {what} `{name}`; the nearest is `{near}` (leadtrail {what} list)")
}

/// Changes a user. Whatever changes, sessions from before are over.
fn edit(installation: &Installation, name: &str, change: impl FnOnce(&mut User)) -> Result<()> {
    store::change(&installation.config, |book| {
        let Some(user) = book.user(name) else {
            let near = nearest(name, book.users().map(|user| user.name.as_str()));
            bail!("{}", unknown("user", name, near))
        };
        let mut user = user.clone();
        change(&mut user);
        user.sessions_from_ms = now_millis();
        Ok(((), Change::User(user)))
    })
}
