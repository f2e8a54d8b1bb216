//! The SQL shell, as the analyst.

use leadtrail::sql_shell::query;

use super::facts::tables;
use crate::env::program::Installation;

#[tokio::test]
async fn the_analyst_reads_tables_and_nothing_personal() {
    let database = tables().await;
    let analyst = database.access.analyst.clone().expect("the sandbox holds here");
    let client = database.client(&analyst);
    let mut output = Vec::new();
    query(&client, "SELECT 1 AS one, '?' AS mark;\n", "TSVWithNames", &mut output).await.unwrap();
    assert_eq!(String::from_utf8(output).unwrap(), "one\tmark\n1\t?\n");
    let mut output = Vec::new();
    query(&client, "SELECT count() AS n FROM events", "PrettyCompact", &mut output).await.unwrap();
    assert!(String::from_utf8(output).unwrap().contains('┌'));
    for refused in ["SELECT * FROM leads", "INSERT INTO events (site) VALUES ('x')", "SELECT"] {
        let mut output = Vec::new();
        let error = query(&client, refused, "TSV", &mut output).await.unwrap_err();
        assert!(error.starts_with("Code: "), "{error}");
        assert!(output.is_empty());
    }
}

#[tokio::test]
async fn on_a_configured_server_the_shell_is_the_analyst_or_nobody() {
    let database = tables().await;
    let analyst = database.access.analyst.clone().expect("the sandbox holds here");
    let mut installation = Installation::new("sql-shell");
    installation.use_warehouse(&database);
    let ask = |installation: &Installation, sql: &str| {
        let output = installation.run(&["sql", "--format", "TSV", sql]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (good, _, said) = ask(&installation, "SELECT 1");
    assert!(!good && said.contains("set warehouse.analyst_user"), "{said}");

    let secret = installation.folder.join("analyst.password");
    std::fs::write(&secret, analyst.password.expose()).unwrap();
    installation.set("WAREHOUSE__ANALYST_PASSWORD_FILE", &secret.display().to_string());
    let (good, _, said) = ask(&installation, "SELECT 1");
    assert!(!good && said.contains("without warehouse.analyst_user"), "{said}");
    installation.set("WAREHOUSE__ANALYST_USER", &analyst.user);
    let (good, user, said) = ask(&installation, "SELECT currentUser()");
    assert!(good && user.trim() == analyst.user, "{said}");
    let (good, _, said) = ask(&installation, "SELECT count() FROM leads");
    assert!(!good && said.contains("ACCESS_DENIED"), "{said}");
}
