//! Spam through the real program: answered like success, held, and released or dropped by a person.

use serde_json::Value;

use super::{BROWSER, URLENCODED, expect_number, installation, nothing_is_doubled, number, text};
use crate::env::program::{Installation, Reply};

/// Real forms' fields, and whether their trap was filled (one third of the systems of DOMAIN.md 2; made-up people).
const SUBMISSIONS: &str = include_str!("../../fixtures/spam/submissions.jsonl");

const HELD: &str = "SELECT count() FROM quarantine FINAL WHERE state = 'held'";

fn urlencoded(pairs: &Value) -> String {
    let pairs = pairs.as_array().unwrap().iter();
    let pairs = pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Everything about an answer that the sender sees and that is the same for everybody.
fn shape(reply: &Reply) -> (u16, Vec<String>, usize) {
    let names = reply.headers.iter().map(|(name, _)| name.clone()).collect();
    (reply.status, names, reply.body.len())
}

fn said(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let output = installation.run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn spam_is_answered_like_success_held_and_released_as_a_lead_with_its_first_time() {
    let (installation, database) = installation("quarantine").await;
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;

    let from = format!("{BROWSER}X-Forwarded-For: 198.51.100.7\r\n");
    let plain = installation.post("/f/contact", URLENCODED, "email=a%40b.example&_honey=", &from);
    let trap = installation.post("/f/contact", URLENCODED, "email=a%40b.example&_honey=1", &from);
    assert_eq!(shape(&plain), shape(&trap), "an answer says what was judged");
    let (mut traps, mut sent) = (1, 2);
    for (place, line) in SUBMISSIONS.lines().enumerate() {
        let submission: Value = serde_json::from_str(line).unwrap();
        let from = format!("{BROWSER}X-Forwarded-For: 203.0.{place}.7\r\n");
        let body = urlencoded(&submission["pairs"]);
        let reply = installation.post("/f/contact", URLENCODED, &body, &from);
        assert!(matches!(reply.status, 200 | 303), "{}", submission["id"]);
        traps += u64::from(submission["verdict"] == "honeypot");
        sent += 1;
    }
    assert!(traps > 3 && sent > traps * 3, "{traps} of {sent}");

    let click = installation.get("/c/summer-ad", BROWSER);
    let location = click.header("location").unwrap();
    let (_, click_id) = location.split_once("lt=").unwrap();
    let body = format!(
        "email=jane.doe%40example.com&name=Jane+Doe&message=Hi&_honey=x&g-recaptcha-response=token-7&lt={click_id}"
    );
    let held = installation.post("/f/contact", URLENCODED, &body, BROWSER);
    assert_eq!(held.status, 200);
    let dropped = installation.post("/f/contact", URLENCODED, "a=b&bot-field=x", BROWSER);
    let (id, dropped_id) = (held.event_id().to_string(), dropped.event_id().to_string());

    let submitted =
        "SELECT count() FROM events WHERE event_type IN ('lead', 'service_contact', 'complaint')";
    expect_number(client, submitted, sent + 2).await;
    expect_number(client, HELD, traps + 2).await;
    let taken = "SELECT assumeNotNull((SELECT count() FROM leads)) + assumeNotNull((SELECT count() FROM service_contacts))";
    expect_number(client, taken, sent - traps).await;
    let leads = number(client, "SELECT count() FROM leads").await;
    let counted = "SELECT count() FROM conversions WHERE event_type = 'lead'";
    assert_eq!(number(client, counted).await, leads, "held ones earn nothing");
    let marked = "SELECT count() FROM events WHERE has(flags, 'quarantined') AND traffic_class != 'human' AND ruleset > 0";
    assert_eq!(number(client, marked).await, traps + 2);
    let tokens = "SELECT count() FROM quarantine WHERE payload LIKE '%token-7%'";
    assert_eq!(number(client, tokens).await, 0, "captcha tokens are dropped");

    let list = said(&installation, &["quarantine", "list", "--reason", "honeypot", "--json"], 0);
    let list: Value = serde_json::from_str(&list).unwrap();
    let rows = list.as_array().unwrap();
    assert_eq!(rows.len() as u64, traps + 2);
    assert!(rows.iter().any(|row| row["id"] == id.as_str() && row["email"] == "j***@e***.com"));
    let table = said(&installation, &["quarantine", "list"], 0);
    assert!(table.contains(&id) && !table.contains("jane.doe"), "{table}");
    let shown = said(&installation, &["quarantine", "show", &id], 0);
    assert!(shown.contains("honeypot") && !shown.contains("Jane"), "{shown}");
    assert!(
        said(&installation, &["quarantine", "show", &id, "--personal"], 0).contains("Jane Doe")
    );
    said(&installation, &["quarantine", "list", "--form", "other"], 1);
    said(&installation, &["quarantine", "show", "nonsense"], 2);

    said(&installation, &["quarantine", "release", &id, "--dry-run"], 0);
    assert_eq!(number(client, HELD).await, traps + 2, "a dry run does nothing");
    said(&installation, &["quarantine", "release", &id], 0);
    said(&installation, &["quarantine", "drop", &dropped_id], 0);
    expect_number(client, HELD, traps).await;
    let lead = format!(
        "SELECT count() FROM leads AS l JOIN events AS e ON l.event_time = e.event_time AND l.id_seq = e.id_seq AND l.id_node = e.id_node \
         WHERE e.event_id = '{id}' AND l.email = 'jane.doe@example.com' AND l.message = 'Hi' AND l.traffic_class = 'human'"
    );
    expect_number(client, &lead, 1).await;
    let joined = format!(
        "SELECT count() FROM conversion_clicks FINAL WHERE basis = 'click_id' AND ad = 'summer-shoes' AND \
         (conversion_time, conversion_seq) IN (SELECT event_time, id_seq FROM events WHERE event_id = '{id}')"
    );
    expect_number(client, &joined, 1).await;
    let decisions = "SELECT toString(groupArray(status)) FROM (SELECT status FROM events WHERE event_type = 'lead_stage' ORDER BY event_time)";
    assert_eq!(text(client, decisions).await, "['released','dropped']");
    let states = "SELECT toString(groupArray((state, payload = '', reasons))) FROM (SELECT * FROM quarantine FINAL WHERE state != 'held' ORDER BY event_time)";
    assert_eq!(
        text(client, states).await,
        "[('released',1,['honeypot']),('dropped',1,['honeypot'])]"
    );

    let kept = format!(
        "SELECT count() FROM quarantine WHERE payload != '' AND toString(event_id) IN ('{id}', '{dropped_id}')"
    );
    assert_eq!(number(client, &kept).await, 0, "not even where FINAL would hide it");

    // Once more changes nothing; nor does the held row when it comes again, as a replay brings it.
    said(&installation, &["quarantine", "release", &id], 1);
    let again = format!(
        "INSERT INTO quarantine SELECT * REPLACE ('held' AS state, 1 AS version, '{{}}' AS payload) FROM quarantine FINAL WHERE toString(event_id) = '{id}'"
    );
    client.query(&again).execute().await.unwrap();
    assert_eq!(number(client, HELD).await, traps);
    nothing_is_doubled(client).await;

    let all = said(&installation, &["quarantine", "release", "--all", "--reason", "honeypot"], 0);
    assert_eq!(all.lines().count() as u64, traps, "{all}");
    expect_number(client, HELD, 0).await;
    expect_number(client, taken, sent + 1).await;
    let leads = number(client, "SELECT count() FROM leads").await;
    let settled = "SELECT uniqExact(conversion_seq, conversion_node) FROM conversion_clicks";
    expect_number(client, settled, leads).await;
    nothing_is_doubled(client).await;
    program.stop();
    let words = said(&installation, &["quarantine", "drop", &dropped_id], 1);
    assert!(words.is_empty(), "it was decided before: {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_over_its_limit_is_told_when_to_come_back() {
    let (mut installation, _database) = installation("limits").await;
    installation.set("LIMITS__SITE_PER_MINUTE", "6");
    installation.set("LIMITS__SITE_BURST", "3");
    let mut program = installation.ready(&["serve"]).await;
    let mut refused = None;
    for sender in 0..4 {
        let from = format!("X-Forwarded-For: 203.0.{sender}.7\r\nAccept: application/json\r\n");
        let reply = installation.post("/f/contact", URLENCODED, "a=b", &from);
        assert!(reply.header("ratelimit-policy").is_some());
        if sender < 3 {
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("ratelimit-policy"), Some("\"address\";q=600;w=60"));
            assert_eq!(reply.header("ratelimit"), Some("\"address\";r=199;t=1"));
        } else {
            refused = Some(reply);
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("rate_site"), "{}", refused.text());
    assert_eq!(refused.header("ratelimit-policy"), Some("\"site\";q=6;w=60"));
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    assert_eq!(
        refused.header("ratelimit").unwrap(),
        format!("\"site\";r=0;t={seconds}"),
        "both say the same"
    );
    // Browsers are sent on and images stay images, whatever the site's limit.
    assert_eq!(installation.get("/c/summer-ad", BROWSER).status, 302);
    let pixel = installation.get("/i.gif?ad=summer-shoes", BROWSER);
    assert_eq!((pixel.status, pixel.header("content-type")), (200, Some("image/gif")));
    program.stop();
}
