//! What senders are told, and what the operator sees of it: refusals counted in ClickHouse, and one lead for a form sent twice.

use serde_json::Value;

use super::{BROWSER, URLENCODED, expect_number, installation, number, text};
use crate::env::program::Installation;

fn report(installation: &Installation, name: &str) -> Value {
    serde_json::from_slice(&installation.app(&format!("/api/report/{name}?period=today")).body)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_click_is_one_lead_and_every_refusal_is_counted_once() {
    let (mut installation, database) = installation("replies").await;
    let client = &database.admin;
    // Reports go to the log at the stop alone.
    installation.set("EDGE__REFUSALS_INTERVAL_S", "3600");
    let mut program = installation.ready(&["up"]).await;
    let post = |body: &str, lines: &str| {
        installation.post("/f/contact", URLENCODED, body, &format!("{BROWSER}{lines}"))
    };
    let body = "email=jane%40example.com&message=Please+call&csrf_token=1";
    for token in ["1", "2", "3"] {
        assert_eq!(post(&body.replace("=1", &format!("={token}")), "").status, 200);
    }
    assert_eq!(post("email=max%40example.com&message=Please+call", "").status, 200);
    // Nobody can say that this is one person.
    for _ in 0..2 {
        assert_eq!(post("message=Please+call", "").status, 200);
    }
    let refused = post("email=&message=+", "");
    assert_eq!(refused.status, 400);
    let reference = refused.header("leadtrail-refusal").unwrap().to_owned();
    post("", "Accept: application/json\r\n");
    installation.get("/c/none", BROWSER);

    expect_number(client, "SELECT count() FROM leads FINAL", 6).await;
    let settled = "SELECT count() FROM conversion_clicks FINAL WHERE event_type = 'lead'";
    expect_number(client, settled, 6).await;
    let repeats = "SELECT toString(groupArray((repeat_of, counted))) FROM (SELECT toString(repeat_of) AS repeat_of, counted \
                   FROM conversion_clicks FINAL ORDER BY conversion_time, conversion_seq)";
    assert_eq!(
        text(client, repeats).await,
        "[('none',1),('submission',0),('submission',0),('none',1),('none',1),('none',1)]"
    );
    let leads = report(&installation, "leads");
    let counts: Vec<_> =
        leads["rows"].as_array().unwrap().iter().map(|row| &row["count"]).collect();
    assert_eq!(counts, [1, 1, 1, 3], "{leads:#}");
    assert_eq!(report(&installation, "ads")["totals"]["leads"], 4);
    assert_eq!(number(client, "SELECT count() FROM refusals").await, 0, "not told yet");
    assert!(program.stop().success());

    // The stop told the log; the consumer reads it when it runs again.
    let mut program = installation.ready(&["up"]).await;
    expect_number(client, "SELECT sum(count) FROM refusals FINAL", 3).await;
    let stored = "SELECT toString(groupArray((site, form, door, code, count, sample))) FROM \
                  (SELECT * FROM refusals FINAL ORDER BY code)";
    assert_eq!(
        text(client, stored).await,
        "[('demo','contact','form','empty',2,'urlencoded 16 B: (5)=empty(0) message=empty(1)'),('','','click','not_found',1,'')]"
    );
    assert_eq!(number(client, "SELECT count() FROM dead_letters").await, 0);
    let refusals = report(&installation, "refusals");
    assert_eq!(
        (&refusals["rows"][0]["code"], &refusals["totals"]["refused"]),
        (&"empty".into(), &3.into())
    );
    assert!(installation.app("/").text().contains("Refused requests"));
    let told = installation.get(&format!("/receipt/{reference}"), "Accept: application/json\r\n");
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!((&told["status"], &told["error"]), (&"refused".into(), &"empty".into()));
    program.stop();
}
