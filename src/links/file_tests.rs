//! The file, written by one and read by another.

use super::*;
use crate::links::record::{Kill, Switch};

fn kill(name: &str) -> Change<'static> {
    let name = name.to_owned().into();
    Change::Kill(Kill { what: Switch::Host, name, on: true })
}

fn write(path: &Path, names: &[&str]) {
    let mut writer = Writer::open(path.to_owned()).unwrap();
    let mut batch = writer.begin().unwrap();
    names.iter().for_each(|name| batch.put(&kill(name)).unwrap());
    batch.commit(7).unwrap();
}

/// The names that a look brings, and whether the file was another.
fn read(reader: &mut Reader) -> (Vec<String>, bool) {
    let seen = reader.look().unwrap();
    let (Seen::More(end) | Seen::Another(end)) = seen else { return (Vec::new(), false) };
    let mut names = Vec::new();
    reader
        .read(end, |line| match serde_json::from_slice(line).unwrap() {
            Change::Kill(kill) => names.push(kill.name.into_owned()),
            Change::Link(link) => names.push(link.name.into_owned()),
        })
        .unwrap();
    (names, matches!(seen, Seen::Another(_)))
}

#[test]
fn a_batch_counts_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(folder.path());
    let mut reader = Reader::new(path.clone());
    assert_eq!(read(&mut reader), (vec![], false), "there is no file yet");
    write(&path, &["a", "b"]);
    assert_eq!(read(&mut reader), (vec!["a".into(), "b".into()], true));
    assert_eq!(reader.commit.next, 7);
    let mut writer = Writer::open(path.clone()).unwrap();
    let mut batch = writer.begin().unwrap();
    batch.put(&kill("c")).unwrap();
    drop(batch);
    assert_eq!(read(&mut reader), (vec![], false), "it was given up");
    drop(writer);
    // A writer that was killed half way.
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"{\"kill\":{\"what\":\"host\",\"name\":\"half\",\"on\":true}}\n{\"ki").unwrap();
    assert_eq!(read(&mut reader), (vec![], false));
    write(&path, &["d"]);
    assert_eq!(read(&mut reader), (vec!["d".into()], false));
    let mode = fs::metadata(&path).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_new_file_is_told_from_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(folder.path());
    write(&path, &["a"]);
    let mut reader = Reader::new(path.clone());
    assert!(read(&mut reader).1);
    let mut writer = Writer::open(path.clone()).unwrap();
    assert!(matches!(Writer::open(path.clone()), Err(FileError::Busy(_))));
    let mut batch = writer.begin_anew().unwrap();
    batch.put(&kill("b")).unwrap();
    assert_eq!(read(&mut reader), (vec![], false), "not yet");
    batch.commit(0).unwrap();
    assert_eq!(read(&mut reader), (vec!["b".into()], true));
}

#[test]
fn damage_is_told_and_nothing_behind_it_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(folder.path());
    write(&path, &["a"]);
    let end = fs::metadata(&path).unwrap().len();
    write(&path, &["bad"]);
    let text = fs::read_to_string(&path).unwrap().replace("bad", "bat");
    fs::write(&path, text).unwrap();
    let mut reader = Reader::new(path.clone());
    let damaged = |error| matches!(error, FileError::Damaged { at, .. } if at == end);
    assert!(damaged(reader.look().unwrap_err()));
    let mut writer = Writer::open(path).unwrap();
    assert!(damaged(writer.begin().err().unwrap()));
}
