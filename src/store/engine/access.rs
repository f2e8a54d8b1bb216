//! How to reach the engine: its address, its users and their passwords, kept in files of mode 0600.
//!
//! In: the engine's folder. Out: [`Access`] for those who may read the folder. Refuses: a file that is not what this
//! module wrote. Promises: passwords are made once and kept, so that a saved connection goes on working; no password
//! is ever printed.
//!
//! Two files, because they differ in what their loss means: `access.json` is made anew when it is gone; without
//! `data.key` the stored data can't be read again, so it is never made anew beside data.

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::EngineError;
use super::sandbox::Sandbox;

/// The users' names, in the warehouse and in its config.
pub(super) const ADMIN: &str = "admin";
pub(super) const INGEST: &str = "ingest";
pub(super) const ANALYST: &str = "analyst";

const ACCESS_FILE: &str = "access.json";
const KEY_FILE: &str = "data.key";

/// A password or key. Its `Debug` shows a mask.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// 256 random bits in hexadecimal.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hexadecimal(&bytes)))
    }

    /// The secret itself, for whoever logs in with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A user of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Where the engine listens and who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// Everything: the schema, and the tests.
    pub admin: Login,
    /// Everything inside the installation's database.
    pub ingest: Login,
    /// Reads what is not personal. `None` where the kernel can't sandbox the engine.
    pub analyst: Option<Login>,
    /// How much of the sandbox holds.
    pub sandbox: Sandbox,
}

/// `access.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub http_port: u16,
    pub sandbox: Sandbox,
    pub admin: Secret,
    pub ingest: Secret,
    pub analyst: Secret,
}

impl Kept {
    /// Reads the file; `None` when there is none yet.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, EngineError> {
        let path = folder.join(ACCESS_FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(EngineError::Folder { path, source }),
        };
        let kept = serde_json::from_slice(&text).map_err(|_| EngineError::AccessFile { path })?;
        Ok(Some(kept))
    }

    /// Reads the file, or makes new passwords.
    pub(super) fn read_or_new(folder: &Path) -> Result<Self, EngineError> {
        if let Some(kept) = Self::read(folder)? {
            return Ok(kept);
        }
        let [admin, ingest, analyst] = [Secret::random()?, Secret::random()?, Secret::random()?];
        Ok(Self { http_port: 0, sandbox: Sandbox::None, admin, ingest, analyst })
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> Result<(), EngineError> {
        let text = serde_json::to_string_pretty(self).expect("a record of strings and numbers");
        write_private(folder, ACCESS_FILE, &text)
    }

    pub(super) fn access(&self) -> Access {
        let login = |user: &str, password: &Secret| Login {
            user: user.to_owned(),
            password: password.clone(),
        };
        Access {
            url: format!("http://127.0.0.1:{}", self.http_port),
            admin: login(ADMIN, &self.admin),
            ingest: login(INGEST, &self.ingest),
            analyst: (self.sandbox != Sandbox::None).then(|| login(ANALYST, &self.analyst)),
            sandbox: self.sandbox,
        }
    }
}

/// The key that the data is encrypted with: read, or made when there is no data yet.
pub(super) fn data_key(folder: &Path, has_data: bool) -> Result<Secret, EngineError> {
    let path = folder.join(KEY_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(Secret(text))
        }
        Ok(_) => Err(EngineError::DataKey { path, state: "damaged" }),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(EngineError::Folder { path, source: error })
        }
        Err(_) if has_data => Err(EngineError::DataKey { path, state: "missing" }),
        Err(_) => {
            let key = Secret::random()?;
            write_private(folder, KEY_FILE, key.expose())?;
            Ok(key)
        }
    }
}

/// How to reach the engine of this folder, for other processes of the installation. The engine need not be running.
pub fn read_access(data_dir: &Path) -> Result<Access, EngineError> {
    match Kept::read(data_dir)? {
        Some(kept) => Ok(kept.access()),
        None => Err(EngineError::NeverStarted { folder: data_dir.to_owned() }),
    }
}

/// Writes a file of mode 0600 beside its final name, makes it durable, and renames it.
fn write_private(folder: &Path, name: &str, text: &str) -> Result<(), EngineError> {
    let path = folder.join(name);
    let new = folder.join(format!("{name}.new"));
    let written = || -> std::io::Result<()> {
        // Left behind by a crash, perhaps with another mode: `mode` below counts for new files only.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    written().map_err(|source| EngineError::Folder { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn passwords_are_kept_private_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::read_or_new(folder.path()).unwrap();
        kept.http_port = 8123;
        kept.sandbox = Sandbox::Full;
        kept.write(folder.path()).unwrap();
        assert_eq!(Kept::read_or_new(folder.path()).unwrap(), kept);
        let mode = std::fs::metadata(folder.path().join(ACCESS_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let access = read_access(folder.path()).unwrap();
        assert_eq!(access.url, "http://127.0.0.1:8123");
        let printed = format!("{access:?}");
        assert!(!printed.contains(kept.admin.expose()) && printed.contains("***"), "{printed}");
    }

    #[test]
    fn the_key_of_existing_data_is_never_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(data_key(folder.path(), true), Err(EngineError::DataKey { .. })));
        let key = data_key(folder.path(), false).unwrap();
        assert_eq!(data_key(folder.path(), true).unwrap(), key);
        std::fs::write(folder.path().join(KEY_FILE), "torn").unwrap();
        assert!(matches!(data_key(folder.path(), true), Err(EngineError::DataKey { .. })));
    }

    #[test]
    fn without_a_sandbox_no_analyst_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::read_or_new(folder.path()).unwrap();
        assert_eq!(kept.sandbox, Sandbox::None);
        assert_eq!(kept.access().analyst, None);
    }
}
