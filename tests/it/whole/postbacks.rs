//! What networks report, through the real program: told by report, looked at for fraud, and reconciled with the network's own file.

use serde_json::Value;

use super::{BROWSER, expect_number, installation};
use crate::env::program::Installation;

fn said(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let output = installation.run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The network's report as its program writes it: a title, semicolons, decimal commas, UTF-16.
fn report(today: &str) -> Vec<u8> {
    let text = format!(
        "Transactions of the network;;;;\r\n\r\nTID;Status;Payout;Currency;Date\r\nA-1;lead;12,50;EUR;{today}\r\nA-1;lead;12,50;EUR;{today}\r\n\
         B-2;sale;5,00;EUR;{today}\r\nD-4;lead;7,00;EUR;{today}\r\nX-9;sale;1,00;EUR;{today}\r\n;sale;1,00;EUR;{today}\r\n"
    );
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_networks_messages_are_reported_judged_and_reconciled() {
    let (mut installation, database) = installation("postbacks").await;
    installation.set("EDGE__REFUSALS_INTERVAL_S", "1");
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;

    let embedded = format!("{BROWSER}Sec-Fetch-Dest: image\r\nSec-Fetch-Mode: no-cors\r\n");
    let click = installation.get("/a/blogger/spring", &embedded);
    let (_, click_id) = click.header("location").unwrap().split_once("lt=").unwrap();
    let message = |query: &str| installation.get(&format!("/postback/network?{query}"), "");
    for query in [
        &*format!("subid={click_id}&payout=12.50&currency=EUR&status=sale&tid=A-1"),
        "subid=theirs&payout=%7Bpayout%7D&status=sale&tid=B-2",
        "subid=theirs&payout=7.00&currency=USD&status=sale&tid=D-4",
        "subid=theirs&payout=3.00&currency=EUR&status=sale&tid=E-5",
    ] {
        let reply = message(query);
        assert_eq!((reply.status, reply.text().as_str()), (200, "OK"), "{query}");
    }
    let refused = message("status=sale&payout=1");
    assert_eq!(
        (refused.status, refused.header("leadtrail-parameter")),
        (400, Some("subid or tid"))
    );
    let looked_up = format!("/receipt/{}", refused.header("leadtrail-refusal").unwrap());
    let looked_up = installation.get(&looked_up, "Accept: application/json\r\n").text();
    assert!(looked_up.contains("postback_incomplete"), "{looked_up}");

    expect_number(client, "SELECT count() FROM conversion_clicks FINAL", 4).await;
    expect_number(client, "SELECT sum(count) FROM refusals FINAL WHERE door = 'postback'", 1).await;
    let csv = said(&installation, &["report", "postbacks", "--format", "csv"], 0);
    let line = |begin: &str| {
        csv.lines()
            .find(|line| line.starts_with(begin))
            .unwrap_or_else(|| panic!("{begin} in {csv}"))
    };
    assert!(line("network,demo,,,").starts_with("network,demo,,,4,0,4,1,0,3,"), "{csv}");
    line("network,demo,postback_incomplete,subid or tid,0,0,0,1,");
    line("network,demo,macro_unexpanded,payout,0,0,1,0,");
    let fraud = said(&installation, &["report", "fraud", "--format", "csv"], 0);
    for sign in ["click_embedded", "conversion_of_embedded_click", "conversion_too_soon"] {
        assert!(fraud.contains(&format!("blogger,spring,demo,{sign},1,")), "{sign} in {fraud}");
    }
    let stored = "SELECT count() FROM conversions WHERE has(signals, 'conversion_too_soon') AND signals_ruleset = 1";
    expect_number(client, stored, 1).await;
    expect_number(client, "SELECT count() FROM conversions WHERE signals_ruleset != 1", 0).await;

    let today =
        jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%d.%m.%Y").to_string();
    let file = installation.data().join("network.csv");
    std::fs::write(&file, report(&today)).unwrap();
    let file = file.to_str().unwrap();
    let asked = ["reconcile", file, "--postback", "network", "--period", "7d", "--format", "json"];
    let found: Value = serde_json::from_str(&said(&installation, &asked, 1)).unwrap();
    let gaps = found["gaps"].as_array().unwrap().iter();
    let told: Vec<String> = gaps
        .map(|gap| {
            format!(
                "{} {}",
                gap["transaction"].as_str().unwrap_or("-"),
                gap["cause"].as_str().unwrap()
            )
        })
        .collect();
    let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
    told.sort_unstable();
    let expected = [
        "- unreadable",
        "A-1 twice_there",
        "B-2 amount_differs",
        "B-2 status_differs",
        "D-4 currency_differs",
        "E-5 missing_there",
        "X-9 refused_around_then",
    ];
    assert_eq!(told, expected, "{found:#}");
    assert_eq!(found["totals"]["rows"]["same"], 1);
    let csv = said(&installation, &asked[..6], 1);
    assert!(csv.starts_with("line,transaction,cause,detail,"), "{csv}");
    assert!(
        csv.contains("X-9,refused_around_then,postback_incomplete (subid or tid) x 1,sale"),
        "{csv}"
    );
    // What agrees says so by its exit code.
    let same = installation.data().join("same.csv");
    let rows = "tid,payout,currency\nA-1,12.50,EUR\nB-2,,\nD-4,7.00,USD\nE-5,3.00,EUR\n";
    std::fs::write(&same, rows).unwrap();
    let asked = ["reconcile", same.to_str().unwrap(), "--postback", "network"];
    said(&installation, &asked, 0);
    said(&installation, &["reconcile", file, "--postback", "netwrok"], 2);
    program.stop();
}
