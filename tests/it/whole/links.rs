//! Links that are made while the real program runs, signed ones, and unsubscription: commands in, rows out.

use std::time::{Duration, Instant};

use super::{BROWSER, URLENCODED, expect_number, installation, nothing_is_doubled, text};
use crate::env::broker::Broker;
use crate::env::program::Installation;
use crate::env::wait_for;

/// What the issue asks for; the edge looks twice a second.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// A command takes its time on a busy machine, a request too.
const DEADLINE: Duration = Duration::from_secs(60);

fn said(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let output = installation.run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    if code == 2 { errors } else { String::from_utf8(output.stdout).unwrap() }
}

/// Runs a command, waits until the edge answers as it has to, and says how long that took from the command's end.
async fn followed(
    installation: &Installation,
    arguments: &[&str],
    path: &str,
    expected: &str,
) -> Duration {
    said(installation, arguments, 0);
    let begun = Instant::now();
    wait_for(&format!("{path} -> {expected}"), DEADLINE, || {
        let reply = installation.get(path, BROWSER);
        let location = reply.header("location").unwrap_or("");
        format!("{} {location}", reply.status).starts_with(expected)
    })
    .await;
    begun.elapsed()
}

/// Adds, changes, retires and switches off, and says how long the slowest was not seen.
async fn life_of_a_link(installation: &Installation) -> Duration {
    let mut slowest = Duration::ZERO;
    for (arguments, path, expected) in [
        (
            &["link", "add", "sale", "--to", "http://localhost:8082/a", "--campaign", "autumn"][..],
            "/c/sale",
            "302 http://localhost:8082/a?lt=",
        ),
        (
            &["link", "edit", "sale", "--to", "http://localhost:8082/b", "--campaign", "winter"],
            "/c/sale",
            "302 http://localhost:8082/b?lt=",
        ),
        (&["link", "kill", "--host", "localhost"], "/c/summer-ad", "410 "),
        (&["link", "kill", "--host", "localhost", "--undo"], "/c/summer-ad", "302 "),
        (&["link", "kill", "--affiliate", "blogger"], "/a/blogger/spring", "410 "),
        (&["link", "retire", "sale"], "/c/sale", "410 "),
    ] {
        slowest = slowest.max(followed(installation, arguments, path, expected).await);
    }
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_made_signed_and_left_while_the_edge_runs() {
    let (installation, database) = installation("links").await;
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;

    let slowest = life_of_a_link(&installation).await;
    assert!(slowest < SEEN_WITHIN, "an edge needed {slowest:?} to follow");
    let refused =
        said(&installation, &["link", "add", "sale", "--to", "http://localhost:8082/"], 2);
    assert!(refused.contains("stands already (number 1000000, retired)"), "{refused}");
    let refused = said(&installation, &["link", "add", "x", "--to", "http://evil.example/"], 2);
    assert!(
        refused.contains("host `evil.example` is not in link_hosts of site `demo`"),
        "{refused}"
    );

    let file = installation.folder.join("links.csv");
    let csv = |lines: &str| {
        std::fs::write(&file, format!("name,site,destination,price,currency\n{lines}")).unwrap();
    };
    let file = file.to_str().unwrap();
    csv(
        "one,demo,http://localhost:8082/1,1.50,EUR\ntwo,demo,http://evil.example/,,\nthree,dmeo,http://localhost:8082/3,,\n",
    );
    let refused = said(&installation, &["link", "import", file], 2);
    assert!(
        refused.contains("links.csv, line 3, column `destination`: host `evil.example`"),
        "{refused}"
    );
    assert!(
        refused.contains("line 4, column `site`: unknown site `dmeo`; did you mean `demo`?"),
        "{refused}"
    );
    csv("one,demo,http://localhost:8082/1,1.50,EUR\ntwo,demo,http://localhost:8082/2,,\n");
    let dry = said(&installation, &["link", "import", file, "--dry-run"], 0);
    assert!(dry.contains("2 links would be added"), "{dry}");
    assert!(!said(&installation, &["link", "list"], 0).contains("one"), "nothing was done");
    followed(&installation, &["link", "import", file], "/c/two", "302 http://localhost:8082/2?lt=")
        .await;
    assert!(
        said(&installation, &["link", "list", "one", "--csv"], 0)
            .contains("one,1000001,demo,http://localhost:8082/1")
    );

    let signed = [
        "link",
        "sign",
        "--to",
        "http://localhost:8082/letter",
        "--mailing",
        "spring-mail",
        "--recipient",
        "customer-17",
    ];
    let address = said(&installation, &signed, 0);
    let path = address.trim().split_once("/r/").unwrap().1;
    let explained = said(&installation, &["link", "explain", path], 0);
    assert!(
        explained.contains("destination: http://localhost:8082/letter\n")
            && !explained.contains("customer-17"),
        "{explained}"
    );
    assert_eq!(said(&installation, &["link", "verify", path], 0), "ours\n");
    assert!(said(&installation, &["link", "verify", &path[1..]], 1).starts_with("not ours"));
    let reply = installation.get(&format!("/r/{path}"), BROWSER);
    assert!(reply.header("location").unwrap().starts_with("http://localhost:8082/letter?lt="));

    let headers = said(&installation, &["link", "unsubscribe", "spring-mail", "customer-17"], 0);
    assert!(headers.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"), "{headers}");
    let token = headers.split_once("/u/").unwrap().1.split('>').next().unwrap();
    let path = format!("/u/{token}");
    assert_eq!(installation.get(&path, BROWSER).status, 200);
    assert_eq!(
        installation.post(&path, URLENCODED, "List-Unsubscribe=One-Click", BROWSER).status,
        200
    );

    let left = "SELECT count() FROM events WHERE event_type = 'unsubscribe' AND mailing = 'spring-mail' AND has(flags, 'one_click') AND recipient = \
        (SELECT any(recipient) FROM events WHERE event_type = 'click' AND landing_path = '/letter' AND recipient != 0)";
    expect_number(client, left, 1).await;
    let campaigns = "SELECT arrayStringConcat(arraySort(groupUniqArray(campaign)), ',') FROM events WHERE link = 'sale'";
    assert_eq!(text(client, campaigns).await, "autumn,winter", "old events keep what they said");
    nothing_is_doubled(client).await;
    assert!(program.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_kafka_links_are_in_a_topic_and_an_edge_starts_without_it() {
    let broker = Broker::shared().await;
    let mut installation = Installation::new("links-kafka");
    installation.use_kafka(&broker.address(), "links-kafka");
    let mut program = installation.ready(&["serve"]).await;
    let slowest = life_of_a_link(&installation).await;
    assert!(slowest < SEEN_WITHIN, "an edge needed {slowest:?} to follow");
    said(&installation, &["link", "edit", "sale", "--state", "live"], 0);
    wait_for("the link to live again", DEADLINE, || {
        installation.get("/c/sale", BROWSER).status == 302
    })
    .await;
    assert!(program.stop().success());

    // The brokers are away: nobody listens there.
    installation.set("KAFKA__BROKERS", "127.0.0.1:9");
    let _program = installation.start(&["serve"]);
    wait_for("the edge to know its links", DEADLINE, || {
        installation.try_get("/c/sale").is_some_and(|reply| reply.status == 302)
    })
    .await;
}
