//! One short round of the fault suite on each home of the log: the whole of Leadtrail is killed, and the broker is, under load, and nothing is lost or doubled.
//! `make faults` has all scenarios and long series.

use std::path::Path;
use std::process::Command;

/// Runs one round of a scenario; the moment of the strike is another each time.
fn round(home: &str, scenario: &str) {
    let seed = getrandom::u32().unwrap();
    let folder = crate::env::folder("faults");
    let output = Command::new(env!("CARGO_BIN_EXE_leadtrail-load"))
        .args(["faults", "--program", env!("CARGO_BIN_EXE_leadtrail"), "--home", home])
        .args(["--scenario", scenario, "--rate", "100", "--seconds", "8", "--seed"])
        .arg(seed.to_string())
        .arg("--folder")
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}: {said}{errors}");
    assert!(said.contains(" lost=0 doubled=0 unexpected=0 mistagged=0 "), "{said}");
}

#[test]
fn killing_all_of_leadtrail_under_load_loses_and_doubles_nothing() {
    round("disk", "kill9-tree");
}

#[test]
fn killing_the_broker_under_load_loses_and_doubles_nothing() {
    round("kafka", "kill9-broker");
}

/// The lines that a hunk takes out or leaves, as they stand in the file.
fn old_lines(hunk: &str) -> String {
    let lines = hunk.lines().skip(1).filter(|line| !line.starts_with('+'));
    lines
        .map(|line| line.get(1..).unwrap_or(""))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn every_patch_that_takes_a_protection_out_fits_the_code_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("loadtest/faults/broken").read_dir().unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let mut hunks_seen = 0;
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "patch")) {
        let patch = std::fs::read_to_string(&path).unwrap();
        assert!(patch.contains("\nRun: --home "), "{path:?} does not say how it is run");
        for file in patch.split("\n--- a/").skip(1) {
            let file = file.split("\ndiff --git ").next().unwrap();
            let (name, rest) = file.split_once('\n').unwrap();
            let code = std::fs::read_to_string(root.join(name)).unwrap();
            for hunk in rest.split("\n@@ ").skip(1) {
                let old = old_lines(hunk);
                assert_eq!(code.matches(&old).count(), 1, "{path:?} does not fit {name}:\n{old}");
                hunks_seen += 1;
            }
        }
    }
    assert!(hunks_seen > 10, "{hunks_seen} hunks");
}
