//! The salt of the day: what the daily hash of a browser is made with, and why it can't be made again later.
//!
//! In: the keys folder. Out: hashes that link one browser's requests within one UTC day. Refuses: to hash with another day's salt.
//! Promises: a salt is deleted 48 hours after its day began; a salt that the other machines agreed on takes the place of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockWriteGuard};

use super::{
    KeyError, file_error, hex, make_folder, random_key, read_or_make, unhex, write_private,
};
use crate::ids::DayHash;
use crate::personal::ClientIp;

/// Milliseconds in a day.
pub(super) const DAY_MS: i64 = 86_400_000;

/// Salts older than this many days before today are deleted: no salt outlives 48 hours from the beginning of its day.
pub(super) const SALT_DAYS_KEPT: i64 = 1;

/// The salts of today and yesterday, shared by the processes of one machine through files.
///
/// With it the edge turns (site, full address, agent, language) into a number that links one browser's requests within one
/// UTC day and nothing else (DESIGN.md, "Joining a form to its click").
pub struct DailySalt {
    folder: PathBuf,
    current: RwLock<(i64, [u8; 32])>,
}

impl DailySalt {
    /// Uses `folder`/salt-DAY files; deletes what is too old.
    pub fn open(folder: &Path, now_ms: i64) -> Result<Self, KeyError> {
        make_folder(folder)?;
        let day = now_ms.div_euclid(DAY_MS);
        let salt = read_salt(folder, day)?;
        delete_old_salts(folder, day);
        Ok(Self { folder: folder.to_owned(), current: RwLock::new((day, salt)) })
    }

    /// The hash of one browser's day at `now_ms`; never zero. When the next day's salt can't be made, the hash is left out
    /// (zero) rather than made with a stale salt.
    pub fn hash(
        &self,
        now_ms: i64,
        site: &str,
        address: ClientIp,
        agent: &[u8],
        language: &[u8],
    ) -> DayHash {
        let day = now_ms.div_euclid(DAY_MS);
        let Some(salt) = self.salt(day) else { return DayHash(0) };
        let mut hasher = blake3::Hasher::new_keyed(&salt);
        hasher.update(site.as_bytes()).update(&[0]);
        match address.expose() {
            std::net::IpAddr::V4(v4) => hasher.update(&v4.octets()),
            std::net::IpAddr::V6(v6) => hasher.update(&v6.octets()),
        };
        hasher.update(&(agent.len() as u64).to_le_bytes()).update(agent).update(language);
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        DayHash(u64::from_le_bytes(bytes).max(1))
    }

    /// This machine's salt of a day, made when there is none: what it proposes to the others.
    pub(super) fn own(&self, day: i64) -> Result<[u8; 32], KeyError> {
        read_salt(&self.folder, day)
    }

    /// Takes the salt that the machines agreed on for a day. True when ours was another.
    pub(super) fn adopt(&self, day: i64, salt: [u8; 32]) -> Result<bool, KeyError> {
        if self.own(day)? == salt {
            return Ok(false);
        }
        let mut current = self.write();
        let path = salt_path(&self.folder, day);
        let fresh = path.with_extension(format!("agreed-{}", std::process::id()));
        write_private(&fresh, &format!("{}\n", hex(&salt)))?;
        fs::rename(&fresh, &path).map_err(file_error("replace", &path))?;
        if current.0 == day {
            current.1 = salt;
        }
        Ok(true)
    }

    fn write(&self) -> RwLockWriteGuard<'_, (i64, [u8; 32])> {
        self.current.write().unwrap_or_else(|poison| poison.into_inner())
    }

    fn salt(&self, day: i64) -> Option<[u8; 32]> {
        {
            let current = self.current.read().unwrap_or_else(|poison| poison.into_inner());
            if current.0 == day {
                return Some(current.1);
            }
        }
        let mut current = self.write();
        if current.0 != day {
            match read_salt(&self.folder, day) {
                Ok(salt) => *current = (day, salt),
                Err(error) => {
                    tracing::error!(%error, "no salt for today; daily hashes are left out");
                    return None;
                }
            }
            delete_old_salts(&self.folder, day);
        }
        Some(current.1)
    }
}

fn salt_path(folder: &Path, day: i64) -> PathBuf {
    folder.join(format!("salt-{day}"))
}

fn read_salt(folder: &Path, day: i64) -> Result<[u8; 32], KeyError> {
    let path = salt_path(folder, day);
    let text = read_or_make(&path, || format!("{}\n", hex(&random_key())))?;
    unhex(text.trim()).ok_or(KeyError::Line { path, line: 1 })
}

fn delete_old_salts(folder: &Path, today: i64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let day = name.to_str().and_then(|name| name.strip_prefix("salt-")?.parse::<i64>().ok());
        if day.is_some_and(|day| day < today - SALT_DAYS_KEPT)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::error!(path = ?entry.path(), %error, "cannot delete an old salt; delete it by hand");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_is_gone_after_two_days() {
        let folder = tempfile::tempdir().unwrap();
        let salt = DailySalt::open(folder.path(), 10 * DAY_MS).unwrap();
        let address = ClientIp::new("203.0.113.77".parse().unwrap());
        let hash = |now| salt.hash(now, "shop", address, b"agent", b"en");
        assert_eq!(hash(10 * DAY_MS), hash(11 * DAY_MS - 1));
        assert_ne!(hash(10 * DAY_MS), hash(11 * DAY_MS));
        hash(12 * DAY_MS);
        assert!(!folder.path().join("salt-10").exists());
        assert!(folder.path().join("salt-11").exists());
    }

    #[test]
    fn an_agreed_salt_takes_the_place_of_ours_here_and_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let salt = DailySalt::open(folder.path(), 10 * DAY_MS).unwrap();
        let address = ClientIp::new("203.0.113.77".parse().unwrap());
        let hash = |salt: &DailySalt| salt.hash(10 * DAY_MS, "shop", address, b"agent", b"en");
        let before = hash(&salt);
        assert!(salt.adopt(10, [7; 32]).unwrap());
        assert!(!salt.adopt(10, [7; 32]).unwrap());
        assert_ne!(hash(&salt), before);
        let again = DailySalt::open(folder.path(), 10 * DAY_MS).unwrap();
        assert_eq!(hash(&again), hash(&salt));
    }
}
