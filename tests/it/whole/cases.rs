//! Real requests of networks (tests/fixtures/postbacks) through the real program: a click that brings the network's id first, then the
//! postback at our door; and what stands of it in ClickHouse against what a right reading gives.

use std::collections::{BTreeMap, BTreeSet};

use leadtrail::check::postbacks::{Profile, Profiles};
use leadtrail::money::Amount;
use serde_json::Value;

use super::{BROWSER, expect_number, installation};
use crate::env::program::{Installation, Reply};

const SECRET: &str = "test-secret";

/// Who is not paid although a click has the id, and why.
const NOBODY: &[(&str, &str)] = &[("clickbank-1", "it says to have happened before the click")];

/// Which profile a case is of, by the beginning of its id.
fn profile_of(case: &str) -> &str {
    match case.rsplit_once('-').map_or(case, |(network, _)| network) {
        "binom1" | "binom2" => "binom",
        "digistore" => "digistore24",
        "pap" => "post_affiliate_pro",
        other => other,
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("")
}

fn cases() -> Vec<Value> {
    let text = include_str!("../../fixtures/postbacks/cases.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A postback for each case, with the secret that the case is signed with.
fn sites(installation: &Installation, cases: &[Value]) -> String {
    let mut sites = "[[site]]\nname = \"shop\"\nvisitor = \"cookie\"\nhosts = [\"127.0.0.1\"]\n[[affiliate]]\nnumber = 1\nname = \"blogger\"\n\
        [[offer]]\nnumber = 1\nname = \"spring\"\nsite = \"shop\"\ndestination = \"http://shop.example/\"\npayout = \"5\"\ncurrency = \"EUR\"\n"
        .to_owned();
    for case in cases {
        let name = text(case, "id");
        let path = installation.folder.join(format!("{name}.secret"));
        let own = case["expect"]["signature_ok_with"].as_str();
        std::fs::write(&path, own.unwrap_or(SECRET)).unwrap();
        sites.push_str(&format!(
            "[[postback]]\nname = \"{name}\"\nprofile = \"{}\"\nsite = \"shop\"\noffer = \"spring\"\nsecret_file = \"{}\"\n",
            profile_of(name),
            path.display()
        ));
    }
    sites
}

fn send(installation: &Installation, profile: &Profile, case: &Value) -> Reply {
    use leadtrail::check::postbacks::file::Authentication;
    let example = &case["example"];
    let (path, query) = {
        let target = text(example, "target");
        target.split_once('?').unwrap_or((target, ""))
    };
    let own = profile.paths.iter().filter_map(|own| path.strip_prefix(own.as_str()));
    let mut rest = own.min_by_key(|rest| rest.len()).unwrap_or("").trim_matches('/');
    if profile.name == "zeeto" {
        rest = path.trim_start_matches("/postback/");
    }
    let secret = match profile.authentication {
        Authentication::Secret { .. } => format!("{SECRET}/"),
        _ => String::new(),
    };
    let path = format!("/postback/{}/{secret}{rest}?{query}", text(case, "id"));
    match example["body"].as_str() {
        Some(body) => installation.post(&path, text(example, "content_type"), body, ""),
        None => installation.get(&path, ""),
    }
}

fn any(expected: &Value) -> Vec<&str> {
    match expected {
        Value::Array(list) => list.iter().map(|one| one.as_str().unwrap_or("")).collect(),
        one => vec![one.as_str().unwrap_or("")],
    }
}

/// What differs between a row and what is expected of it.
fn differences(name: &str, expect: &Value, row: &[String]) -> Vec<String> {
    let words = ["click_id", "txid", "status", "original_status", "event", "currency"];
    let found: BTreeMap<&str, &str> =
        words.into_iter().zip(row[1..7].iter().map(String::as_str)).collect();
    let mut wrong = Vec::new();
    for (key, expected) in expect.as_object().unwrap() {
        let fits = match (key.as_str(), found.get(key.as_str())) {
            (_, Some(found)) => any(expected).contains(found),
            ("amount", _) => any(expected).iter().any(|one| match *one {
                "" => row[7].is_empty(),
                one => Amount::parse(one).ok() == Amount::parse(&row[7]).ok(),
            }),
            ("flags", _) => any(expected).iter().all(|flag| row[8].contains(flag)),
            // Who signs wrongly is refused, and has no row.
            ("signature_ok_with", _) => true,
            (other, _) => panic!("{name}: an expectation that nobody looks at: {other}"),
        };
        if !fits {
            wrong.push(format!("{name}: {key} should be {expected}: {row:?}"));
        }
    }
    let is_told = !any(&expect["click_id"]).iter().all(|id| id.is_empty());
    let nobody = NOBODY.iter().any(|(case, _)| *case == name);
    let evidence = if is_told && !nobody { "blogger network_click_id" } else { " none" };
    if row[9] != evidence {
        wrong.push(format!("{name}: the winner should be {evidence}: {row:?}"));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_networks_real_request_ends_in_the_row_that_it_means() {
    let (mut installation, database) = installation("cases").await;
    let client = &database.admin;
    let cases = cases();
    let file = installation.folder.join("sites.toml");
    std::fs::write(&file, sites(&installation, &cases)).unwrap();
    installation.set("SITES_FILE", &file.display().to_string());
    let mut program = installation.ready(&["up"]).await;

    let clicks: BTreeSet<&str> =
        cases.iter().flat_map(|case| any(&case["expect"]["click_id"])).collect();
    for id in clicks.into_iter().filter(|id| !id.is_empty()) {
        let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let reply = installation.get(&format!("/a/blogger/spring?clickid={id}"), BROWSER);
        assert_eq!(reply.status, 302, "{id}");
    }
    let profiles = Profiles::load("").unwrap();
    let mut accepted = 0;
    for case in &cases {
        let name = text(case, "id");
        let profile = profiles.get(profile_of(name)).unwrap();
        let reply = send(&installation, profile, case);
        if case["expect"]["refused"] == true {
            assert_ne!(reply.text(), profile.reply.accepted, "{name}");
            assert!(reply.header("leadtrail-refusal").is_some(), "{name}");
            continue;
        }
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert!(
            profile.reply.accepted == "gif" || reply.text() == profile.reply.accepted,
            "{name}"
        );
        accepted += 1;
    }
    expect_number(client, "SELECT count() FROM conversion_clicks FINAL", accepted).await;

    let sql = "SELECT [f.source_profile, f.external_click_id, f.transaction_id, if(f.traffic_class = 'test', 'test', f.status), f.original_status, \
        f.goal, f.currency, if(f.has_amount, toString(f.amount), ''), toString(f.flags), concat(toString(p.affiliate), ' ', \
        if(p.evidence = 'repeat', toString(p.found_by), toString(p.evidence)))] FROM (SELECT * FROM conversions FINAL) AS f \
        INNER JOIN (SELECT * FROM payout_attribution FINAL) AS p ON f.site = p.site AND f.event_time = p.conversion_time \
        AND f.id_seq = p.conversion_seq AND f.id_node = p.conversion_node";
    let rows: Vec<Vec<String>> = client.query(sql).fetch_all().await.unwrap();
    let rows: BTreeMap<&str, &Vec<String>> =
        rows.iter().map(|row| (row[0].as_str(), row)).collect();
    assert_eq!(rows.len() as u64, accepted, "one row a case");
    let told = cases.iter().filter(|case| case["expect"]["refused"] != true);
    let wrong: Vec<String> = told
        .flat_map(|case| differences(text(case, "id"), &case["expect"], rows[text(case, "id")]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(program.stop().success());
}
