//! One short round of the fault suite on each home of the log: the whole of Leadtrail is killed, and the broker is, under load, and nothing is lost or doubled.
//! `make faults` has all scenarios and long series.

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
