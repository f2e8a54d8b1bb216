//! Personal values stay where they belong: recognisable ones go through every door and every failure, and are then searched for in answers, logs, metrics, errors,
//! process arguments, files and tables.

use std::collections::BTreeSet;
use std::path::Path;

use clickhouse::Client;
use serde_json::{Map, Value, json};

use super::faults::kill_engine_of;
use super::{BROWSER, SOON, URLENCODED, expect_number};
use crate::env::program::{Installation, Reply};
use crate::env::wait_for;
use crate::env::warehouse;

const NAME: &str = "Quaxilda Vonderbeek";
const EMAIL: &str = "quaxilda.vonderbeek@zyx-mail.example";
const PHONE: &str = "+49 30 9018204477";
const WORDS: &str = "Please ring the brass bell at Quaxmill 7";
const ADDRESS: &str = "203.0.113.213";
const ADDRESS_6: &str = "2001:db8:77aa:1:2:3:4:5";

/// What is searched for, in lower case: no part of it can come from anything else.
const NEEDLES: [&str; 7] =
    ["quaxilda", "vonderbeek", "zyx-mail", "9018204477", "quaxmill", ADDRESS, ADDRESS_6];

/// Tables that are there for personal values (DESIGN.md, "Personal data"); `lead_profiles` is a view of leads.
const PERSONAL_TABLES: [&str; 5] =
    ["leads", "lead_profiles", "quarantine", "dead_letters", "service_contacts"];

const FORM: &str = "/f/contact";
const JSON: &str = "application/json";

/// The needles in a text. The middle dot joins what a log line may have cut.
fn found(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    NEEDLES.into_iter().filter(|needle| text.contains(needle)).collect()
}

fn clean(what: &str, text: &str) {
    assert_eq!(found(text), Vec::<&str>::new(), "in {what}: {text}");
}

/// Head and body of an answer hold none of it: neither a refusal quotes what was refused, nor a receipt what was taken.
fn clean_reply(what: &str, reply: &Reply) {
    clean(what, &format!("{} {:?} {}", reply.status, reply.headers, reply.text()));
}

/// From one address or the other, with the values in every header that is read.
fn from(address: &str) -> String {
    format!(
        "{BROWSER}X-Forwarded-For: {address}\r\nForwarded: for=\"{address}\"\r\nReferer: https://shop.example/cart?mail={EMAIL}\r\nCookie: name={EMAIL}; lt_v={EMAIL}\r\n"
    )
}

fn urlencoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Fields that we know and fields that nobody knows.
fn fields() -> Vec<(&'static str, &'static str)> {
    vec![
        ("name", NAME),
        ("email", EMAIL),
        ("phone", PHONE),
        ("message", WORDS),
        ("favourite_colour_of", NAME),
        ("second_mail", EMAIL),
        ("sub1", EMAIL),
        ("utm_source", EMAIL),
        ("gclid", EMAIL),
    ]
}

/// Forms in every way that a form may come; so many leads they make.
fn send_forms(installation: &Installation) -> u64 {
    let multipart: String = fields()
        .iter()
        .map(|(name, value)| {
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        })
        .chain([format!(
            "--XX\r\nContent-Disposition: form-data; name=\"cv\"; filename=\"{NAME}.pdf\"\r\nContent-Type: application/pdf\r\n\r\n{NAME}\r\n--XX--\r\n"
        )])
        .collect();
    let object: Map<String, Value> =
        fields().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let plain: String =
        fields().iter().map(|(name, value)| format!("{name}={value}\r\n")).collect();
    let bodies = [
        (URLENCODED, urlencoded(&fields())),
        ("multipart/form-data; boundary=XX", multipart),
        (JSON, json!(object).to_string()),
        ("text/plain", plain),
    ];
    for (kind, body) in &bodies {
        let reply = installation.post(FORM, kind, body, &from(ADDRESS));
        assert!(matches!(reply.status, 200 | 303), "{kind}: {} {}", reply.status, reply.text());
        clean_reply(kind, &reply);
    }
    let by_query = format!("{FORM}?{}", urlencoded(&fields()));
    let reply = installation.get(&by_query, &from(ADDRESS_6));
    assert!(matches!(reply.status, 200 | 303), "a form by GET: {}", reply.status);
    clean_reply("a form by GET", &reply);
    let trapped = format!("{}&_gotcha=x", urlencoded(&fields()));
    clean_reply("a trap", &installation.post(FORM, URLENCODED, &trapped, &from(ADDRESS)));
    bodies.len() as u64 + 2
}

/// Forms by other systems' own paths and words; so many leads they make.
fn send_by_vendors_paths(installation: &Installation) -> u64 {
    let page = format!("http://localhost:8082/page?mail={EMAIL}");
    let salesforce = urlencoded(&[
        ("oid", "00D000000000001"),
        ("retURL", &page),
        ("last_name", NAME),
        ("email", EMAIL),
        ("phone", PHONE),
        ("description", WORDS),
        ("00N000000000001", EMAIL),
        ("lead_source", EMAIL),
    ]);
    let zoho = urlencoded(&[
        ("xnQsjsdp", EMAIL),
        ("Last Name", NAME),
        ("Email", EMAIL),
        ("LEADCF1", PHONE),
        ("returnURL", &page),
    ]);
    let hubspot = json!({
        "fields": [
            {"objectTypeId": "0-1", "name": "email", "value": EMAIL},
            {"name": "lastname", "value": NAME},
            {"name": "shoe", "value": WORDS},
        ],
        "context": {"hutk": EMAIL, "pageUri": page, "pageName": NAME, "ipAddress": ADDRESS},
        "legalConsentOptions": {"consent": {"consentToProcess": true, "text": WORDS}},
    });
    let jotform = urlencoded(&[
        ("q3_email", EMAIL),
        ("q4_name", NAME),
        ("q5_typeA", PHONE),
        ("simple_spc", EMAIL),
    ]);
    let posts = [
        ("/servlet/servlet.WebToLead?encoding=UTF-8", URLENCODED, salesforce),
        ("/crm/WebToLeadForm", URLENCODED, zoho),
        ("/submissions/v3/integration/submit/1/contact", JSON, hubspot.to_string()),
        ("/submit/1", URLENCODED, jotform),
    ];
    for (path, kind, body) in &posts {
        let path = format!("{path}{}mc={EMAIL}", if path.contains('?') { '&' } else { '?' });
        let mut reply = installation.post_at("127.0.0.1", &path, kind, body, &from(ADDRESS));
        assert!(reply.status < 400, "{path}: {} {}", reply.status, reply.text());
        // Where its author's page leads back to, it leads query and all.
        reply.headers.retain(|(name, _)| name != "location");
        clean_reply(&path, &reply);
    }
    posts.len() as u64
}

/// An address of ours with mail addresses wherever a stranger may put them.
fn with_query(path: &str) -> String {
    let extra = urlencoded(&[
        ("sub1", EMAIL),
        ("sub2", EMAIL),
        ("utm_source", EMAIL),
        ("utm_campaign", EMAIL),
        ("gclid", EMAIL),
        ("placement", EMAIL),
        ("order", EMAIL),
        ("mail", EMAIL),
        ("to", &format!("http://localhost:8082/?mail={EMAIL}")),
    ]);
    format!("{path}{}{extra}", if path.contains('?') { '&' } else { '?' })
}

/// Clicks, opens, impressions, pixels, postbacks.
fn send_links(installation: &Installation) {
    let open = installation.says(&["link", "open", "spring-mail", "7"]);
    let open = &open[open.find("/o/").expect("an address")..];
    let doors = [
        "/c/summer-ad",
        "/a/blogger/spring",
        "/i.gif?ad=summer-shoes",
        "/i.gif?form=contact",
        "/x.gif?goal=sale&amount=5&currency=EUR",
        "/x.html?goal=signup",
        "/postback/network?payout=5.00&currency=EUR&status=sale&tid=T-1",
        open,
    ];
    for door in doors {
        let mut reply = installation.get(&with_query(door), &from(ADDRESS));
        // A deep link leads where its author wrote that it leads, query and all.
        reply.headers.retain(|(name, _)| name != "location" || !door.starts_with("/a/"));
        assert!(reply.status < 400, "{door}: {} {}", reply.status, reply.text());
        clean_reply(door, &reply);
    }
}

/// What is refused or not found, by edge and app: the words of the refusal are ours alone.
fn send_what_is_refused(installation: &Installation) {
    let many: String = (0..200).map(|number| format!("{NAME}{number}={EMAIL}&")).collect();
    let long = format!("message={}", WORDS.repeat(500));
    let large = format!("message={}", WORDS.repeat(2_000));
    for (kind, body) in [
        (JSON, format!("{{\"email\": \"{EMAIL}\", \"name\": ")),
        (JSON, format!("[\"{EMAIL}\"]")),
        (
            "multipart/form-data; boundary=XX",
            format!("--XX\r\nContent-Disposition: form-data; name=\"{EMAIL}\"\r\n\r\n{NAME}"),
        ),
        ("multipart/form-data", format!("--XX\r\n{EMAIL}")),
        (&*format!("application/{EMAIL}"), EMAIL.to_owned()),
        (URLENCODED, many),
        (URLENCODED, long),
        (URLENCODED, large),
    ] {
        // A browser's page gives its sender all fields back, so that nothing must be typed again; a program gets the reason alone.
        let headers = from(ADDRESS).replace("Accept: text/html", "Accept: application/json");
        let reply = installation.post(FORM, kind, &body, &headers);
        assert!((400..500).contains(&reply.status), "{kind}: {}", reply.status);
        clean_reply(kind, &reply);
        if let Some(reference) = reply.header("leadtrail-refusal") {
            clean_reply(
                "a refusal's receipt",
                &installation.get(&format!("/receipt/{reference}"), ""),
            );
        }
    }
    for path in ["/f/", "/c/", "/r/", "/u/", "/o/", "/receipt/", "/postback/", "/a/blogger/", "/"] {
        for reply in [
            installation.get(&format!("{path}{EMAIL}"), &from(ADDRESS)),
            installation.post(&format!("{path}{EMAIL}"), URLENCODED, EMAIL, &from(ADDRESS_6)),
        ] {
            clean_reply(path, &reply);
        }
    }
    let bad = format!("/postback/network?payout={EMAIL}&currency={EMAIL}&status={EMAIL}");
    clean_reply("a postback", &installation.get(&bad, &from(ADDRESS)));
    for path in
        ["/api/report/", "/api/report/leads?form=", "/api/report/ads?site=", "/?period=", "/"]
    {
        clean_reply(path, &installation.ask_app("GET", &format!("{path}{EMAIL}"), "", ""));
    }
    let sign_in = urlencoded(&[("name", EMAIL), ("password", WORDS), ("next", EMAIL)]);
    let kind = format!("Content-Type: {URLENCODED}\r\n");
    clean_reply("a sign-in", &installation.ask_app("POST", "/sign-in", &kind, &sign_in));
}

/// A shop's server: events, one of them bad in each way.
fn send_events(installation: &Installation, key: &str) -> u64 {
    let events = json!([
        {"type": "lead", "form": "contact", "fields": {"email": EMAIL, "name": NAME, "shoe": WORDS}},
        {"type": "purchase", "order_id": "A-1", "amount": "5.00", "currency": "EUR", "email": EMAIL, "phone": PHONE},
        {"type": "purchase", "order_id": "A-2", "amount": EMAIL, "currency": "EUR"},
        {"type": EMAIL},
        {"type": "lead", "form": EMAIL, "fields": {"email": EMAIL}},
        {EMAIL: NAME},
    ]);
    let headers = format!(
        "Authorization: Bearer {key}\r\nContent-Type: {JSON}\r\nIdempotency-Key: {EMAIL}\r\nX-Forwarded-For: {ADDRESS}\r\n"
    );
    let reply = installation.ask_app("POST", "/v1/events", &headers, &events.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    clean_reply("events", &reply);
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    let broken = format!("[{{\"type\":\"lead\",\"fields\":{{\"email\":\"{EMAIL}\"");
    clean_reply("broken events", &installation.ask_app("POST", "/v1/events", &headers, &broken));
    told["results"][0]["receipt"].is_string().into()
}

/// Bytes of every file in a folder that hold a needle, but for journal segments, which hold the records themselves.
fn search_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            search_files(&path);
        } else if path.extension().is_none_or(|end| end != "seg") {
            // The engine may have removed it since; a socket or lock can't be read.
            let bytes = std::fs::read(&path).unwrap_or_default();
            let found = found(&String::from_utf8_lossy(&bytes));
            assert!(found.is_empty(), "{found:?} in {}", path.display());
        }
    }
}

/// Arguments of every process of this installation.
fn search_arguments(installation: &Installation) {
    let folder = installation.folder.display().to_string();
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&folder) {
            seen += 1;
            clean("the arguments of a process", &line);
        }
    }
    assert!(seen > 0, "no process of the installation was seen");
}

/// Which columns of which tables hold any of it.
async fn columns_with_personal_values(client: &Client) -> BTreeSet<(String, String)> {
    let tables = "SELECT name FROM system.tables WHERE database = 'leadtrail' AND engine != 'Null'";
    let tables: Vec<String> = client.query(tables).fetch_all().await.unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    let mut columns = BTreeSet::new();
    for table in tables {
        let mut rows = client
            .query(&format!("SELECT * FROM leadtrail.{table}"))
            .fetch_bytes("JSONEachRow")
            .unwrap();
        let rows = rows.collect().await.unwrap();
        for line in rows.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // Keyed hashes are bytes and no text.
            let line = String::from_utf8_lossy(line);
            let row: Map<String, Value> = serde_json::from_str(&line).unwrap();
            for (column, value) in row {
                if !found(&value.to_string()).is_empty() {
                    columns.insert((table.clone(), column));
                }
            }
        }
    }
    columns
}

/// Statements in the engine's own log. The question must not find itself.
async fn search_statements(client: &Client) {
    client.query("SYSTEM FLUSH LOGS").execute().await.unwrap();
    for needle in NEEDLES {
        let (begin, end) = needle.split_at(4);
        let sql = format!(
            "SELECT query FROM system.query_log WHERE positionCaseInsensitive(concat(query, exception), concat('{begin}', '{end}')) > 0 LIMIT 1"
        );
        let statements: Vec<String> = client.query(&sql).fetch_all().await.unwrap();
        assert!(statements.is_empty(), "{needle} in a statement that was logged: {statements:?}");
    }
}

/// Commands whose answer an operator may copy into a ticket.
fn search_commands(installation: &Installation) {
    for words in [
        &["audit"][..],
        &["journal", "check"],
        &["journal", "stat"],
        &["quarantine", "list"],
        &["replay", "dead-letters", "--dry-run"],
        &["report", "leads"],
        &["report", "refusals"],
        &["report", "postbacks"],
        &["report", "fraud"],
    ] {
        let output = installation.run(words);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.is_empty(), "{words:?} says nothing");
        clean(&format!("{words:?}"), &said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_values_are_found_in_personal_tables_and_nowhere_else() {
    let mut installation = Installation::new("personal");
    installation.set("EDGE__REFUSALS_INTERVAL_S", "1");
    let mut program = installation.ready(&["up"]).await;
    let key = installation.says(&["key", "new", "--name", "web shop", "--role", "shop"]);
    let access =
        leadtrail::store::engine::read_access(&installation.data().join("engine")).unwrap();
    let client = warehouse::client(&access, &access.admin).with_database("leadtrail");

    let mut leads = send_forms(&installation);
    leads += send_by_vendors_paths(&installation);
    send_links(&installation);
    send_what_is_refused(&installation);
    wait_for("the key to be admitted", SOON, || {
        let headers = format!("Authorization: Bearer {key}\r\nContent-Type: {JSON}\r\n");
        installation.ask_app("POST", "/v1/events", &headers, "[]").status == 400
    })
    .await;
    leads += send_events(&installation, &key);
    let submitted = "SELECT count() FROM events WHERE event_type = 'lead'";
    expect_number(&client, submitted, leads).await;

    // The warehouse refuses a lead, which becomes a dead letter; then it is away for a moment.
    for refuse in [
        "ALTER TABLE events ADD CONSTRAINT fault CHECK event_type != 'lead'",
        "CREATE TABLE events_fault AS events ENGINE = Null",
        "EXCHANGE TABLES events_check AND events_fault",
    ] {
        client.query(refuse).execute().await.unwrap();
    }
    let form = || installation.post(FORM, URLENCODED, &urlencoded(&fields()), &from(ADDRESS));
    assert_eq!(form().status, 200);
    expect_number(&client, "SELECT count() FROM dead_letters", 1).await;
    for mend in [
        "ALTER TABLE events DROP CONSTRAINT fault",
        "EXCHANGE TABLES events_check AND events_fault",
    ] {
        client.query(mend).execute().await.unwrap();
    }
    kill_engine_of(&installation);
    assert_eq!(form().status, 200, "the edge takes leads while the engine is away");
    clean("/ready", &installation.readiness());
    leads += 1;
    expect_number(&client, submitted, leads).await;

    clean("the logs", &installation.logs());
    clean("the metrics", &installation.metrics());
    search_arguments(&installation);
    search_files(&installation.data());
    search_statements(&client).await;
    search_commands(&installation);
    let columns = columns_with_personal_values(&client).await;
    let astray: Vec<_> =
        columns.iter().filter(|(table, _)| !PERSONAL_TABLES.contains(&table.as_str())).collect();
    assert!(astray.is_empty(), "personal values where none belong: {astray:?}");
    for table in ["leads", "quarantine", "dead_letters"] {
        assert!(columns.iter().any(|(held, _)| held == table), "the search finds them in {table}");
    }
    assert!(program.stop().success());
    clean("the logs after the stop", &installation.logs());
}
