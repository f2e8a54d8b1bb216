//! Keys: one signing key, any number of verify-only keys, and the salt of the day.
//!
//! In: the keys folder. Out: [`Keys`] and [`DailySalt`]. Refuses: a key file that others can read, or that cannot be
//! understood. Promises: keys are made at the first start, in files of mode 0600, by whichever process comes first. Where there
//! are several machines, [`shared`] sees to it that their keys agree and their salts are one.

mod fingerprint;
mod salt;
mod seal;
pub mod shared;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use fingerprint::{Fingerprint, KeysDiffer};
pub use salt::DailySalt;

/// Why the keys can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file could not be read or made.
    #[error("cannot {action} {path:?}: {source}; check that this user owns the keys folder")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file lets others in.
    #[error("key file {path:?} can be read by others (mode {mode:o}); run: chmod 600 {path:?}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A line is no key.
    #[error(
        "key file {path:?}, line {line}: expected `<number 0-255> <64 hex digits> sign|verify`"
    )]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// No line, or more than one, may sign.
    #[error(
        "key file {path:?} must have exactly one line ending in `sign`, and no key number twice"
    )]
    Signer {
        /// Which file.
        path: PathBuf,
    },
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::File { action, path: path.to_owned(), source }
}

/// One master key and the keys derived from it, each for one purpose only.
pub struct KeySet {
    /// The number that tokens name it by.
    pub number: u8,
    /// For click ids.
    pub click: [u8; 32],
    /// For receipts.
    pub receipt: [u8; 32],
    /// For references to refusals.
    pub refusal: [u8; 32],
    /// For tokens in mails.
    pub mail: [u8; 32],
    /// For links that carry their destination.
    pub link: [u8; 32],
    /// For unsubscribing from a mailing.
    pub unsubscribe: [u8; 32],
    /// For the time at which a form was rendered.
    pub rendered: [u8; 32],
    /// For the sessions of people who sign in.
    pub session: [u8; 32],
    /// For what the operator's own commands ask a running process to record.
    pub order: [u8; 32],
}

impl KeySet {
    fn derive(number: u8, master: &[u8; 32]) -> Self {
        let key = |context| blake3::derive_key(context, master);
        Self {
            number,
            click: key("leadtrail 2026-11 click id mac"),
            receipt: key("leadtrail 2026-11 receipt mac"),
            refusal: key("leadtrail 2026-11 refusal mac"),
            mail: key("leadtrail 2026-11 mail token mac"),
            link: key("leadtrail 2026-11 link token mac"),
            unsubscribe: key("leadtrail 2026-11 unsubscribe mac"),
            rendered: key("leadtrail 2026-11 form rendered mac"),
            session: key("leadtrail 2026-11 session mac"),
            order: key("leadtrail 2026-11 operator order mac"),
        }
    }
}

/// The installation's keys.
pub struct Keys {
    sets: Vec<KeySet>,
    pseudonym: [u8; 32],
    submission: [u8; 32],
    fingerprint: Fingerprint,
}

impl Keys {
    /// Reads `signing.key` and `pseudonym.key` in `folder`; makes what is missing.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        make_folder(folder)?;
        let (sets, signing) = read_signing(&folder.join("signing.key"))?;
        let path = folder.join("pseudonym.key");
        let text = read_or_make(&path, || format!("{}\n", hex(&random_key())))?;
        let pseudonym = unhex(text.trim()).ok_or(KeyError::Line { path, line: 1 })?;
        let submission = blake3::derive_key("leadtrail 2026-11 submission key", &pseudonym);
        let fingerprint = Fingerprint::of(&pseudonym, &signing);
        Ok(Self { sets, pseudonym, submission, fingerprint })
    }

    /// The key that signs: the first of the list.
    pub fn signer(&self) -> &KeySet {
        &self.sets[0]
    }

    /// The key with this number, if we still know it.
    pub fn find(&self, number: u8) -> Option<&KeySet> {
        self.sets.iter().find(|set| set.number == number)
    }

    /// Names the keys without giving anything away: edges whose keys don't agree must not run side by side.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// What seals a day's salt for the others who have these keys.
    fn seal_key(&self) -> [u8; 32] {
        blake3::derive_key("leadtrail 2026-11 daily salt seal", &self.pseudonym)
    }

    /// Begins the keyed hash that tells whether a submission came before.
    pub fn submission_hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.submission)
    }

    /// The keyed hash under which a normalised personal value stands in `events`; zero for an empty value.
    pub fn pseudonym(&self, kind: &str, normalised: &str) -> [u8; 16] {
        let mut key = [0; 16];
        if !normalised.is_empty() {
            let mut hasher = blake3::Hasher::new_keyed(&self.pseudonym);
            hasher.update(kind.as_bytes()).update(&[0]).update(normalised.as_bytes());
            hasher.finalize_xof().fill(&mut key);
        }
        key
    }
}

/// The keys, the one that signs first, and their masters in the same order.
fn read_signing(path: &Path) -> Result<(Vec<KeySet>, Vec<[u8; 32]>), KeyError> {
    let text = read_or_make(path, || format!("1 {} sign\n", hex(&random_key())))?;
    let (mut sets, mut masters) = (Vec::new(), Vec::new());
    let mut signers = 0;
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bad = || KeyError::Line { path: path.to_owned(), line: index + 1 };
        let mut words = line.split_whitespace();
        let number: u8 = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        let master = words.next().and_then(unhex).ok_or_else(bad)?;
        let signs = match words.next() {
            Some("sign") => true,
            Some("verify") => false,
            _ => return Err(bad()),
        };
        if sets.iter().any(|set: &KeySet| set.number == number) {
            return Err(KeyError::Signer { path: path.to_owned() });
        }
        let place = if signs { 0 } else { sets.len() };
        sets.insert(place, KeySet::derive(number, &master));
        masters.insert(place, master);
        signers += usize::from(signs);
    }
    if signers == 1 { Ok((sets, masters)) } else { Err(KeyError::Signer { path: path.to_owned() }) }
}

fn make_folder(folder: &Path) -> Result<(), KeyError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(file_error("create the folder", folder))
}

/// Reads a small secret file; when it is missing, writes `content` to a temporary file and links it into place, so that of
/// two processes that start together one wins and both read the same.
fn read_or_make(path: &Path, content: impl FnOnce() -> String) -> Result<String, KeyError> {
    if !path.exists() {
        let temporary = path.with_extension(format!("new-{}", std::process::id()));
        write_private(&temporary, &content())?;
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary).map_err(file_error("remove", &temporary))?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(file_error("link into place", path)(error)),
        }
    }
    let mode = fs::metadata(path).map_err(file_error("look at", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeyError::Open { path: path.to_owned(), mode: mode & 0o777 });
    }
    fs::read_to_string(path).map_err(file_error("read", path))
}

/// Writes a file that is its owner's alone, durably.
fn write_private(path: &Path, content: &str) -> Result<(), KeyError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(file_error("create", path))?;
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(file_error("write", path))
}

fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("the kernel's random source answers once the system is up");
    key
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write;
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// Reads 64 hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut key = [0; 32];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::open(folder.path()).unwrap();
        let second = Keys::open(folder.path()).unwrap();
        assert_eq!(first.signer().click, second.signer().click);
        assert_eq!(first.fingerprint(), second.fingerprint());
        let mode = fs::metadata(folder.path().join("signing.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path()).unwrap();
        let path = folder.path().join("signing.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Keys::open(folder.path()), Err(KeyError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn an_old_key_still_verifies_and_the_new_one_signs() {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path()).unwrap();
        let path = folder.path().join("signing.key");
        let old = fs::read_to_string(&path).unwrap().replace("sign", "verify");
        fs::write(&path, format!("{old}2 {} sign\n", hex(&random_key()))).unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        assert_eq!(keys.signer().number, 2);
        assert!(keys.find(1).is_some() && keys.find(3).is_none());
    }
}
