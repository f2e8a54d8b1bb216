//! One visitor's story on the disk journal, and what is refused.

use serde_json::Value;

use super::{
    BROWSER, SOON, URLENCODED, expect_number, installation, nothing_is_doubled, number, text,
};
use crate::env::program::{Installation, Reply};
use crate::env::wait_for_async;

/// The click id that a redirect hands on.
fn click_id(reply: &Reply, parameter: &str) -> String {
    let location = reply.header("location").unwrap();
    let (_, tail) = location.split_once(&format!("{parameter}=")).unwrap();
    tail.split('&').next().unwrap().to_owned()
}

/// A client at its own address: the daily hash tells clients apart by it.
fn from(address: &str) -> String {
    format!("{BROWSER}X-Forwarded-For: {address}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_leads_to_rows_reports_and_the_right_click() {
    let (installation, database) = installation("doors").await;
    let client = &database.admin;
    let mut program = installation.ready(&["up"]).await;

    let click = installation.get("/c/summer-ad?gclid=Cj0_x&sub1=banner", &from("203.0.113.1"));
    assert_eq!(click.status, 302);
    let named = installation.post(
        "/f/contact",
        URLENCODED,
        &format!("email=jane%40example.com&name=Jane+Roe&colour=red&lt={}", click_id(&click, "lt")),
        &from("198.51.100.9"),
    );
    assert_eq!(named.status, 200);
    let json = installation.post(
        "/f/contact",
        "application/json",
        r#"{"email":"joe@example.com","phone":"+49 170 1234567"}"#,
        "Accept: application/json\r\nX-Forwarded-For: 203.0.113.1\r\nUser-Agent: nobody-clicked-with-this/1.0\r\n",
    );
    assert_eq!(json.status, 200);
    let receipt: Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(receipt["receipt"], json.header("leadtrail-receipt").unwrap());
    let multipart = installation.post(
        "/f/contact",
        "multipart/form-data; boundary=XX",
        "--XX\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\nhash@example.com\r\n--XX--\r\n",
        &from("203.0.113.1"),
    );
    assert_eq!(multipart.status, 200);
    let affiliate = installation.get("/a/blogger/spring?sub1=post-7", &from("203.0.113.2"));
    let sale = format!(
        "/x.gif?goal=sale&amount=55.00&currency=EUR&order=o-1&lt={}",
        click_id(&affiliate, "lt")
    );
    assert_eq!(installation.get(&sale, &from("203.0.113.2")).status, 200);
    assert_eq!(
        installation.get(&sale, &from("203.0.113.2")).status,
        200,
        "a repeat is answered alike"
    );
    let opened = installation.run(&["link", "open", "spring-mail", "recipient-7"]);
    let address = String::from_utf8(opened.stdout).unwrap();
    let path =
        address.trim().strip_prefix(&format!("http://127.0.0.1:{}", installation.edge)).unwrap();
    assert_eq!(installation.get(path, &from("203.0.113.3")).status, 200);
    assert_eq!(installation.get("/i.gif?ad=summer-shoes", &from("203.0.113.1")).status, 200);
    let cookie = click.header("set-cookie").unwrap().split(';').next().unwrap();
    let returning = format!("{}Cookie: {cookie}\r\n", from("192.0.2.77"));
    let kept = installation.get("/x.gif?goal=signup", &returning);

    expect_number(client, "SELECT count() FROM events", 10).await;
    let types = "SELECT toString(groupArray((event_type, n))) FROM (SELECT event_type, count() n FROM events GROUP BY 1 ORDER BY 1)";
    assert_eq!(
        text(client, types).await,
        "[('impression',1),('email_open',1),('click',2),('lead',3),('purchase',2),('conversion',1)]"
    );
    for reply in [&click, &named, &json, &multipart, &affiliate, &kept] {
        let id = reply.event_id();
        assert_eq!(
            number(client, &format!("SELECT count() FROM events WHERE event_id = '{id}'")).await,
            1
        );
    }
    let lead = "SELECT concat(email, ' ', full_name, ' ', toString(extra)) FROM leads WHERE email LIKE 'jane%'";
    assert_eq!(text(client, lead).await, "jane@example.com Jane Roe {'colour':'red'}");
    assert_eq!(
        text(client, "SELECT phone FROM leads WHERE email LIKE 'joe%'").await,
        "+49 170 1234567"
    );

    expect_number(
        client,
        "SELECT uniqExact(conversion_seq, conversion_node) FROM conversion_clicks",
        6,
    )
    .await;
    let basis_of = async |reply: &Reply| {
        let id = reply.event_id();
        let sql = format!(
            "SELECT concat(toString(basis), ' ', ad) FROM conversion_clicks FINAL WHERE (conversion_seq, conversion_node) = \
             (SELECT id_seq, id_node FROM events WHERE event_id = '{id}')"
        );
        text(client, &sql).await
    };
    assert_eq!(basis_of(&named).await, "click_id summer-shoes");
    assert_eq!(
        basis_of(&multipart).await,
        "daily_hash summer-shoes",
        "no cookie and no click id came with it"
    );
    assert_eq!(basis_of(&kept).await, "cookie summer-shoes");
    assert_eq!(
        basis_of(&json).await,
        "none ",
        "another agent at the same address is another browser"
    );
    let payout = "SELECT toString(groupArray((state, affiliate, evidence, payout, amount))) FROM \
                  (SELECT * FROM payout_attribution FINAL WHERE event_type = 'purchase' ORDER BY evidence)";
    assert_eq!(
        text(client, payout).await,
        "[('provisional','blogger','click_id',8,79.9),('provisional','blogger','repeat',0,79.9)]"
    );

    reports_show_it(&installation).await;
    nothing_is_doubled(client).await;
    assert!(program.stop().success());

    let mut again = installation.ready(&["up"]).await;
    let old_receipt = named.header("leadtrail-receipt").unwrap();
    assert_eq!(
        installation.get(&format!("/receipt/{old_receipt}"), "").status,
        200,
        "the keys were kept"
    );
    assert_eq!(installation.get("/c/winter-ad", BROWSER).status, 302);
    expect_number(client, "SELECT count() FROM events", 11).await;
    nothing_is_doubled(client).await;
    assert!(again.stop().success());
}

async fn reports_show_it(installation: &Installation) {
    let output = installation.run(&["report", "ads", "--format", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ads = String::from_utf8(output.stdout).unwrap();
    assert!(ads.contains("summer-shoes"), "{ads}");
    let page = installation.app("/");
    assert!(page.status == 200 && page.text().contains("summer-shoes"));
    assert!(!page.text().contains("jane@example.com"), "the page masks");
    for name in ["ads", "affiliates", "leads"] {
        let answer = installation.app(&format!("/api/report/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        serde_json::from_slice::<Value>(&answer.body).unwrap();
    }
    let affiliates = installation.app("/api/report/affiliates").text();
    assert!(affiliates.contains("blogger") && affiliates.contains("8.00"), "{affiliates}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_shows_in_the_first_report_within_two_seconds() {
    let (installation, _database) = installation("quick").await;
    let mut program = installation.ready(&["up"]).await;
    installation.get("/c/winter-ad", BROWSER);
    let clicked = std::time::Instant::now();
    wait_for_async("the click in the report", SOON, async || {
        installation.app("/api/report/ads").text().contains("winter-boots")
    })
    .await;
    assert!(clicked.elapsed().as_secs_f32() < 2.0, "it took {:?}", clicked.elapsed());
    program.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_personal_value_leaves_its_columns() {
    let (installation, database) = installation("personal").await;
    let mut program = installation.ready(&["up"]).await;
    let secret = "X-Forwarded-For: 203.0.113.213\r\nReferer: https://www.example.net/p?mail=sentinel.ref%40example.com\r\n";
    let body = "email=sentinel.mail%40example.com&phone=%2B4915900000777&name=Sentinel+Person&note=sentinel-note";
    let form = installation.post("/f/contact", URLENCODED, body, &format!("{BROWSER}{secret}"));
    assert_eq!(form.status, 200);
    for path in [
        "/c/summer-ad?email=sentinel.query%40example.com&utm_content=sentinel.utm%40example.com&sub1=sentinel.sub%40example.com",
        "/i.gif?ad=summer-shoes&utm_source=sentinel.pixel%40example.com",
        "/f/sentinel.unknown%40example.com",
        "/a/sentinel.affiliate%40example.com/spring",
        "/x.gif?goal=signup&order=sentinel.order%40example.com",
    ] {
        installation.get(path, &format!("{BROWSER}{secret}"));
    }
    expect_number(&database.admin, "SELECT count() FROM events", 4).await;
    let query = database.admin.query("SELECT * FROM events");
    let bytes = query.fetch_bytes("JSONEachRow").unwrap().collect().await.unwrap();
    let events = String::from_utf8_lossy(&bytes).into_owned();
    let metrics = installation.metrics();
    program.stop();
    for (place, found) in [("events", events), ("metrics", metrics), ("logs", installation.logs())]
    {
        let low = found.to_lowercase();
        for value in ["sentinel", "4915900000777", "203.0.113.213"] {
            assert!(!low.contains(value), "{value} stands in {place}: {}", around(&low, value));
        }
    }
}

fn around(text: &str, value: &str) -> String {
    let at = text.find(value).unwrap_or(0);
    text.chars().skip(at.saturating_sub(80)).take(200).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_start_says_what_to_do_next() {
    let (mut installation, _database) = installation("wrong").await;
    let file = installation.folder.join("leadtrail.toml");
    std::fs::write(&file, "[edge]\n\nlisten_on = \"127.0.0.1:1\"\n").unwrap();
    let output = installation.run(&["--config", file.to_str().unwrap(), "config", "check"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words.contains("line 3")
            && words.contains("`edge.listen_on`")
            && words.contains("`edge.listen`"),
        "{words}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    installation.set("EDGE__LISTEN", &address);
    let output = installation.run(&["serve"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words.contains(&address) && words.contains("edge.listen") && words.contains("held by"),
        "{words}"
    );
}
