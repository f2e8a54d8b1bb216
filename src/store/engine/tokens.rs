//! Forgets the token of an insert that a kill cut short, so that its retry is not taken for a duplicate.
//!
//! In: the logs of deduplication tokens and the tables' folders, while no engine runs. Out: the same logs without a
//! closing record whose part is not there. Refuses: nothing. Promises: no other record is touched.
//!
//! Why: a MergeTree table writes the token to its log first and renames the part into place after that (both under one
//! lock, so one insert at most is between the two). An engine killed in between has the token and not the rows; it
//! answers the retry with "ok" and drops it, and the rows are lost (seen once in 90 kills, and every time when the kill
//! is put there with strace; the same on a plain disk). ClickHouse itself never compares the two.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::layout::Layout;

/// Longer than any record: number, part and two hashes come to about 100 bytes.
const TAIL_BYTES: u64 = 4096;

/// Goes through all tables. Gives the number of tokens forgotten.
pub(super) fn forget_unfinished(layout: &Layout) -> io::Result<usize> {
    let mut forgotten = 0;
    for group in folders(&layout.tokens().join("store"))? {
        for table in folders(&group)? {
            let Some(log) = newest_log(&table.join("deduplication_logs"))? else { continue };
            let inside = table.strip_prefix(layout.tokens()).expect("found inside it");
            let parts = names(&layout.tables().join(inside))?;
            forgotten += usize::from(cut_unfinished(&log, &parts)?);
        }
    }
    Ok(forgotten)
}

/// Cuts the log's last record if it adds a part that is not there, or if it is torn. True when it did.
fn cut_unfinished(log: &Path, parts: &[String]) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).write(true).open(log)?;
    let length = file.metadata()?.len();
    let tail_start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(tail_start))?;
    let mut tail = String::new();
    file.read_to_string(&mut tail)?;
    let whole = tail.strip_suffix('\n');
    let last_start = whole.unwrap_or(&tail).rfind('\n').map_or(0, |end| end + 1);
    // Operation 1 adds, 2 drops.
    let keep =
        whole.is_some_and(|whole| match whole[last_start..].split('\t').collect::<Vec<_>>()[..] {
            ["1", part, _] => parts.iter().any(|there| covers(there, part)),
            _ => true,
        });
    if keep {
        return Ok(false);
    }
    file.set_len(tail_start + last_start as u64)?;
    file.sync_all()?;
    Ok(true)
}

/// Whether the rows of `part` are in the part `there`: the same partition, and its blocks within. The name is
/// `partition_firstblock_lastblock_level`, with the number of a mutation behind it perhaps.
fn covers(there: &str, part: &str) -> bool {
    fn parse(name: &str) -> Option<(&str, u64, u64)> {
        let mut pieces = name.split('_');
        let partition = pieces.next()?;
        let (first, last) = (pieces.next()?.parse().ok()?, pieces.next()?.parse().ok()?);
        let _level: u32 = pieces.next()?.parse().ok()?;
        Some((partition, first, last))
    }
    match (parse(there), parse(part)) {
        (Some((a, a_first, a_last)), Some((b, b_first, b_last))) => {
            a == b && a_first <= b_first && b_last <= a_last
        }
        _ => there == part,
    }
}

/// The newest log that has a record: `deduplication_log_7.txt`. Rotation begins a new one before its first record.
fn newest_log(folder: &Path) -> io::Result<Option<PathBuf>> {
    let number = |name: &str| -> Option<u64> {
        name.strip_prefix("deduplication_log_")?.strip_suffix(".txt")?.parse().ok()
    };
    let mut logs: Vec<u64> = names(folder)?.iter().filter_map(|name| number(name)).collect();
    logs.sort_unstable_by(|a, b| b.cmp(a));
    for number in logs {
        let path = folder.join(format!("deduplication_log_{number}.txt"));
        if File::open(&path)?.metadata()?.len() > 0 {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn folders(of: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = names(of)?.into_iter().map(|name| of.join(name));
    Ok(paths.filter(|path| path.is_dir()).collect())
}

/// The names in a folder; none when it does not exist.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log after the cut, which had `records`, beside `parts`.
    fn after(records: &str, parts: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("deduplication_log_1.txt");
        std::fs::write(&log, records).unwrap();
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        cut_unfinished(&log, &parts).unwrap();
        std::fs::read_to_string(&log).unwrap()
    }

    #[test]
    fn only_a_closing_record_without_its_part_is_cut() {
        let first = "1\t202611_1_1_0\tx\n";
        let both = format!("{first}1\t202611_2_2_0\ty\n");
        assert_eq!(after(&both, &["202611_2_2_0"]), both);
        assert_eq!(after(&both, &["202611_1_7_2_9"]), both, "merged and mutated");
        assert_eq!(after(&both, &["202611_1_1_0", "tmp_insert_202611_2_2_0"]), first);
        assert_eq!(after(&both, &["202612_2_2_0"]), first, "another partition");
        assert_eq!(after(first, &[]), "");
        let dropped = format!("{first}2\t202611_1_1_0\tx\n");
        assert_eq!(after(&dropped, &[]), dropped);
        assert_eq!(after(&format!("{first}1\t2026"), &["202611_1_1_0"]), first, "torn");
    }

    #[test]
    fn a_log_longer_than_the_tail_is_cut_at_its_end() {
        let long: String = (0..500).map(|n| format!("1\tall_{n}_{n}_0\thash\n")).collect();
        assert_eq!(after(&format!("{long}1\tall_500_500_0\thash\n"), &["all_499_499_0"]), long);
        assert_eq!(after(&long, &["all_0_499_9"]), long);
    }

    #[test]
    fn the_newest_log_with_a_record_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest_log(&folder.path().join("none")).unwrap(), None);
        for (number, text) in [(9, "a\n"), (10, "b\n"), (11, "")] {
            std::fs::write(folder.path().join(format!("deduplication_log_{number}.txt")), text)
                .unwrap();
        }
        let newest = newest_log(folder.path()).unwrap().unwrap();
        assert!(newest.ends_with("deduplication_log_10.txt"));
    }
}
