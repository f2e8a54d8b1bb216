use super::*;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leadtrail.toml");
    std::fs::write(&path, text).unwrap();
    let pairs = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Config::load(Some(&path), pairs)
}

fn refusal(text: &str, environment: &[(&str, &str)]) -> String {
    let error = load(text, environment).unwrap_err().to_string();
    error.rsplit_once("leadtrail.toml, ").map_or(error.clone(), |(_, tail)| tail.to_owned())
}

#[test]
fn the_built_in_file_is_a_config() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.log.home, Home::Disk);
    assert_eq!(config.edge.listen.port(), 8080);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let config = load(
        "[kafka]\nbrokers = \"a:1\"\ntopic = \"t\"\n",
        &[("LEADTRAIL_KAFKA__BROKERS", "b:2"), ("LEADTRAIL_EDGE__TRUSTED_PROXIES", "127.0.0.0/8")],
    )
    .unwrap();
    assert_eq!((config.kafka.brokers.as_str(), config.kafka.topic.as_str()), ("b:2", "t"));
    assert_eq!(config.edge.trusted_proxies.len(), 1);
}

#[test]
fn a_wrong_config_names_the_key_the_line_and_the_nearest_valid_one() {
    assert_eq!(
        refusal("[edge]\n\nlisten_on = \"127.0.0.1:1\"\n", &[]),
        "line 3: unknown key `edge.listen_on`; did you mean `edge.listen`?"
    );
    assert_eq!(
        refusal("[edge]\nfields_max = \"many\"\n", &[]),
        "line 2: `edge.fields_max` must be integer, not string (for example: 100)"
    );
    assert_eq!(
        refusal("", &[("LEADTRAIL_KAFKA__BROKER", "x")]),
        "environment: LEADTRAIL_KAFKA__BROKER is no key; did you mean …BROKERS?"
    );
    assert!(refusal("[edge]\nfields_max = 0\n", &[]).contains("edge.fields_max is 0"));
    let disc = refusal("[log]\nhome = \"disc\"\n", &[]);
    assert!(disc.starts_with("line 2: `log.home`: ") && disc.contains("disk"), "{disc}");
    let listen = refusal("[edge]\nlisten = \"localhost:8080\"\n", &[]);
    assert!(listen.starts_with("line 2: `edge.listen`: "), "{listen}");
    assert!(refusal("", &[("LEADTRAIL_LOG__HOME", "x")]).starts_with("environment: `log.home`"));
    assert!(refusal("[edge]\nlisten = \n", &[]).starts_with("line 2: "));
}

#[test]
fn variables_of_others_are_passed_over() {
    assert!(load("", &[("LEADTRAIL_PARTS", "/somewhere"), ("HOME", "/root")]).is_ok());
}

#[test]
fn a_session_that_is_shorter_than_an_insert_may_last_is_refused() {
    let session = |ms: u32| format!("[kafka]\nproperties = [\"session.timeout.ms = {ms}\"]\n");
    assert!(refusal(&session(6_000), &[]).contains("session.timeout.ms=6000 is less than 12000"));
    assert!(load(&session(12_000), &[]).is_ok());
}
