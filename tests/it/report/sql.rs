//! The SQL shell, as the analyst.

use leadtrail::sql_shell::query;

use super::facts::tables;

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
