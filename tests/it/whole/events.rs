//! A shop's own server: keys, `POST /v1/events`, and what comes of them, through the real program.

use std::time::Duration;

use serde_json::{Value, json};

use super::{BROWSER, expect_number, installation, nothing_is_doubled, text};
use crate::env::broker::Broker;
use crate::env::program::{Installation, Reply};
use crate::env::wait_for;

/// The promise: a revoked key is out within five seconds, without a restart.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

const JSON: &str = "application/json";

fn post(installation: &Installation, key: &str, kind: &str, more: &str, body: &str) -> Reply {
    let headers = format!("Authorization: Bearer {key}\r\nContent-Type: {kind}\r\n{more}");
    installation.ask_app("POST", "/v1/events", &headers, body)
}

fn parsed(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

/// The orders of the first story. The last one can't be read.
fn orders(click: &str) -> String {
    json!([
        {"type": "purchase", "order_id": "A-1", "amount": "79.90", "currency": "EUR", "click_id": click, "coupon": "SPRING",
         "items": [{"sku": "shoe", "quantity": 1, "amount": "79.90"}]},
        {"type": "refund", "order_id": "A-1", "amount": "20", "currency": "EUR"},
        {"type": "refund", "order_id": "A-1", "amount": "4.9001", "currency": "EUR"},
        {"type": "conversion", "goal": "signup", "order_id": "S-1"},
        {"type": "lead", "form": "contact", "fields": {"email": "jane.roe@example.com", "name": "Jane Roe"}},
        {"type": "purchase", "order_id": "A-2", "amount": "1.00001", "currency": "EUR"},
    ])
    .to_string()
}

/// As if the kill had come before the batch was marked as brought to its end: only the first line, which came before its events, is left.
fn forget_that_it_was_done(installation: &Installation) {
    let path = installation.data().join("idempotency/keys.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let first: String = text.split_inclusive('\n').take(2).collect();
    assert!(first.contains("\"commit\"") && !first.contains("\"done\":true"), "{first}");
    std::fs::write(&path, first).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_event_by_event_and_the_same_again_counts_once_also_after_kill_9() {
    let (installation, database) = installation("events").await;
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;
    let key = installation.says(&["key", "new", "--name", "web shop", "--role", "shop"]);
    // The running app follows within a second; the first request may come sooner.
    wait_for("the key to be admitted", REVOKED_WITHIN, || {
        post(&installation, &key, JSON, "", "[]").status == 400
    })
    .await;

    let affiliate = installation.get("/a/blogger/spring", BROWSER);
    let (_, click) = affiliate.header("location").unwrap().split_once("lt=").unwrap();
    let orders = orders(click);
    let once = "Idempotency-Key: batch-1\r\n";
    let first = post(&installation, &key, JSON, once, &orders);
    assert_eq!(first.status, 200, "{}", first.text());
    let told = parsed(&first);
    assert_eq!((&told["accepted"], &told["refused"]), (&json!(5), &json!(1)));
    let last = &told["results"][5];
    assert_eq!((&last["code"], &last["field"]), (&json!("bad_value"), &json!("amount")));
    let again = post(&installation, &key, JSON, once, &orders);
    assert_eq!((again.status, again.text()), (200, first.text()), "the same receipts");
    let other = post(&installation, &key, JSON, once, "[]\n");
    assert_eq!(other.status, 400, "an empty batch is none");
    let other = post(&installation, &key, JSON, once, r#"[{"type":"refund","order_id":"A-1"}]"#);
    assert_eq!(
        (other.status, parsed(&other)["error"].as_str()),
        (422, Some("idempotency_conflict"))
    );

    program.kill9();
    forget_that_it_was_done(&installation);
    let mut program = installation.ready(&["up"]).await;
    let after = post(&installation, &key, JSON, once, &orders);
    assert_eq!((after.status, after.text()), (200, first.text()), "after kill -9 too");

    let lines = "{\"type\":\"status\",\"order_id\":\"S-1\",\"goal\":\"signup\",\"status\":\"rejected\"}\nbroken\n";
    let lines = post(&installation, &key, "application/x-ndjson", "", lines);
    let told = parsed(&lines);
    assert_eq!((lines.status, told["results"][0]["status"].as_str()), (200, Some("accepted")));
    assert_eq!(told["results"][1]["code"], "broken_body");

    expect_number(client, "SELECT count() FROM events WHERE source_kind = 's2s'", 6).await;
    expect_number(client, "SELECT count() FROM leads WHERE email = 'jane.roe@example.com'", 1)
        .await;
    nothing_is_doubled(client).await;
    let ledger = "SELECT toString(groupUniqArray((status, toString(amount), toString(refunded), affiliate, messages))) FROM payout_attribution FINAL \
                  WHERE event_type = 'purchase'";
    let settled = "SELECT count() FROM payout_attribution FINAL WHERE event_type = 'purchase' AND messages = 3";
    expect_number(client, settled, 1).await;
    assert_eq!(text(client, ledger).await, "[('approved','79.9','24.9001','blogger',3)]");
    let rejected = "SELECT count() FROM payout_attribution FINAL WHERE event_type = 'conversion' AND status = 'rejected'";
    expect_number(client, rejected, 1).await;
    let sold = "SELECT toString((toString(amount), currency, status, coupon, item_skus)) FROM conversions FINAL WHERE order_id = 'A-1' AND event_type = 'purchase'";
    assert_eq!(text(client, sold).await, "('79.9','EUR','approved','SPRING',['shoe'])");
    // What was refused is counted through the log, when the edge stops at the latest; a killed one takes its counts with it.
    assert!(program.stop().success());
    let mut program = installation.ready(&["up"]).await;
    let refused =
        "SELECT sum(count) FROM refusals FINAL WHERE door = 'events' AND code = 'broken_body'";
    expect_number(client, refused, 1).await;
    assert!(program.stop().success());
    assert!(!installation.logs().contains(&key[15..]), "no key in a log line");
    assert!(!installation.logs().contains("jane.roe"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_role_may_and_a_revoked_one_is_out_within_five_seconds() {
    let (installation, _database) = installation("keys").await;
    let mut program = installation.ready(&["up"]).await;
    let key = |role: &str| installation.says(&["key", "new", "--name", role, "--role", role]);
    // In this order: when the last is known, all are.
    let (marketer, sales, shop) = (key("marketer"), key("sales"), key("shop"));
    let one = r#"[{"type":"conversion","goal":"signup"}]"#;
    wait_for("the keys to be admitted", REVOKED_WITHIN, || {
        post(&installation, &shop, JSON, "", one).status == 200
    })
    .await;
    let report = |key: &str| {
        installation
            .ask_app("GET", "/api/report/leads", &format!("Authorization: Bearer {key}\r\n"), "")
            .status
    };
    assert_eq!((report(&shop), report(&marketer), report(&sales)), (403, 200, 200));
    assert_eq!(post(&installation, &marketer, JSON, "", one).status, 403);

    // Nobody can tell an unknown key from one with a wrong secret or one that is revoked.
    let unknown = format!("ltk_0000000000_{}", &shop[15..]);
    let mut wrong = shop.clone();
    wrong.replace_range(20..21, if &shop[20..21] == "A" { "B" } else { "A" });
    let listed = installation.says(&["key", "list"]);
    let id = &marketer[4..14];
    assert!(listed.contains(id) && !listed.contains(&marketer[15..]), "{listed}");
    installation.says(&["key", "revoke", id]);
    wait_for("the key to be refused", REVOKED_WITHIN, || report(&marketer) == 401).await;
    let refusals: Vec<_> = [&unknown, &wrong, &marketer, &"nonsense".to_owned()]
        .map(|key| {
            let reply = post(&installation, key, JSON, "", one);
            let mut headers = reply.headers.clone();
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
            (reply.status, headers, reply.body)
        })
        .into();
    assert_eq!(refusals[0].0, 401);
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]));
    let none =
        installation.ask_app("POST", "/v1/events", "Content-Type: application/json\r\n", one);
    assert_eq!(none.status, 401);
    assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"leadtrail\""));

    let slow = ["key", "new", "--name", "slow", "--role", "shop", "--per-minute", "1"];
    let slow = installation.says(&slow);
    let many = format!("[{}]", vec!["{}"; 1_000].join(","));
    let mut limited = None;
    wait_for("the key to reach its limit", super::SOON, || {
        let reply = post(&installation, &slow, JSON, "", &many);
        let over = reply.status == 429;
        limited = over.then_some(reply);
        over
    })
    .await;
    assert!(limited.unwrap().header("retry-after").is_some());
    assert_eq!(post(&installation, &shop, JSON, "", one).status, 200, "others have their own");
    let too_many = format!("[{}]", vec!["{}"; 1_001].join(","));
    assert_eq!(post(&installation, &shop, JSON, "", &too_many).status, 413);
    assert_eq!(post(&installation, &shop, "text/csv", "", one).status, 415);
    assert_eq!(installation.ask_app("GET", "/v1/events", "", "").header("allow"), Some("POST"));
    assert!(program.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_its_own_hands_events_to_the_edge_and_says_so_when_there_is_none() {
    let (installation, database) = installation("alone").await;
    installation.says(&["schema", "apply"]);
    let mut edge = installation.ready(&["serve"]).await;
    let _consumer = installation.ready(&["consume"]).await;
    let key = installation.says(&["key", "new", "--name", "shop", "--role", "shop"]);
    let mut app = installation.start(&["app"]);
    wait_for("the app to answer", super::SOON, || installation.try_app("/openapi.json").is_some())
        .await;
    let once = "Idempotency-Key: 1\r\n";
    let body = r#"[{"type":"conversion","goal":"signup"},{"type":"conversion","goal":"trial"}]"#;
    let first = post(&installation, &key, JSON, once, body);
    assert_eq!(first.status, 200, "{}", first.text());
    expect_number(&database.admin, "SELECT count() FROM events", 2).await;
    assert!(edge.stop().success());
    let refused = post(&installation, &key, JSON, "Idempotency-Key: 2\r\n", body);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert_eq!(parsed(&refused)["results"][0]["code"], "log_slow");
    let _edge = installation.ready(&["serve"]).await;
    let taken = post(&installation, &key, JSON, "Idempotency-Key: 2\r\n", body);
    assert_eq!(taken.status, 200, "{}", taken.text());
    expect_number(&database.admin, "SELECT count() FROM events", 4).await;
    assert!(app.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_kafka_every_app_follows_one_topic_of_keys_and_produces_by_itself() {
    let broker = Broker::shared().await;
    let (mut one, database) = installation("access-one").await;
    one.use_kafka(&broker.address(), "access");
    one.says(&["schema", "apply"]);
    let _consumer = one.ready(&["consume"]).await;
    // Another machine: a data folder of its own, and the same signing keys.
    let mut other = Installation::new("access-other");
    other.use_warehouse(&database);
    other.use_kafka(&broker.address(), "access");
    let (from, to) = (one.data().join("keys"), other.data().join("keys"));
    std::fs::create_dir_all(&to).unwrap();
    for name in ["signing.key", "pseudonym.key"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let (_first, _second) = (one.start(&["app"]), other.start(&["app"]));
    let machines = [&one, &other];
    wait_for("both apps to answer", super::SOON, || {
        machines.iter().all(|machine| machine.try_app("/openapi.json").is_some())
    })
    .await;
    let key = one.says(&["key", "new", "--name", "shop", "--role", "shop"]);
    let statuses = || machines.map(|machine| post(machine, &key, JSON, "", "[]").status);
    wait_for("both to admit the key", REVOKED_WITHIN, || statuses() == [400, 400]).await;
    let body = r#"[{"type":"conversion","goal":"signup"}]"#;
    for machine in machines {
        assert_eq!(post(machine, &key, JSON, "", body).status, 200);
    }
    expect_number(&database.admin, "SELECT count() FROM events WHERE source_kind = 's2s'", 2).await;
    other.says(&["key", "revoke", &key[4..14]]);
    wait_for("both to refuse the key", REVOKED_WITHIN, || statuses() == [401, 401]).await;
    let list = one.says(&["key", "list"]);
    assert!(list.contains("revoked"), "{list}");
}
