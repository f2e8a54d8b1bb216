//! How many random cases a property test tries.
//!
//! In: the number for every day. Out: a configuration. Promises: `PROPTEST_CASES` wins wherever it is set, so that any property can be tried a million
//! times (loadtest/README.md); a failing case is printed whole and not kept in a file.

use proptest::test_runner::Config;

/// So many random cases, or as many as `PROPTEST_CASES` says.
pub(crate) fn cases(count: u32) -> Config {
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { count };
    Config { cases, failure_persistence: None, ..default }
}
