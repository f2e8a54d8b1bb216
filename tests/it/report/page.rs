//! The report page and its files, over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use leadtrail::report::page::{App, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::facts::{FRAUD, NOON, conversions, insert, joined, sites, tables, touches};
use super::http::{get, send};

const HOST: &str = "reports.example:8081";

/// The largest page: what STYLE.md C2 allows over the wire.
const PAGE_BYTES_MAX: usize = 60_000;

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn start(client: Client) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let app = Arc::new(App::new(client, vec![HOST.to_owned()], sites(), 30, FRAUD));
    let task = tokio::spawn(serve(listener, app, stopped));
    Running { address, stop, task }
}

/// One ad with a name that would be a script, one lead.
async fn some_facts(client: &Client) {
    let name = "<script>alert(1)</script>";
    let hits: Vec<_> = (1..=3)
        .map(|sequence| {
            let kind = if sequence == 1 { "click" } else { "impression" };
            ("demo", NOON, sequence, kind, "summer&co", name, "", "", "human")
        })
        .collect();
    touches(client, &hits).await;
    conversions(client, NOON, &[(1, "purchase", "79.90", "EUR", "pending", "human")]).await;
    joined(client, NOON, &[(1, "purchase", "click_id", "summer&co", name, "", 1, 1)]).await;
    let columns = "site, event_time, id_seq, id_node, form, email, phone, full_name, traffic_class";
    let lead = "('demo', '2026-11-11 12:00:00', 2, 2, 'contact', 'jane.roe@example.com', '+49 170 1234567', \
                '<img src=x onerror=alert(1)>', 'human')";
    insert(client, "leads", columns, lead).await;
}

#[tokio::test]
async fn the_page_shows_the_figures_and_is_complete_without_a_script() {
    let database = tables().await;
    some_facts(&database.admin).await;
    let running = start(database.admin.clone()).await;
    let page = get(running.address, HOST, "/?from=2026-11-11&to=2026-11-11&site=demo").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let row = "<tr><th scope=\"row\">summer&amp;co</th><td>&lt;script&gt;alert(1)&lt;/script&gt;</td><td class=\"n\">2</td>\
               <td class=\"n\">1</td><td class=\"n\">50.00 %</td><td class=\"n\">0</td><td class=\"n\">1</td>\
               <td class=\"n\">100.00 %</td><td class=\"n\">79.90</td></tr>";
    assert!(page.body.contains(row), "{}", page.body);
    assert!(page.body.contains("pending EUR"));
    assert!(!page.body.contains("<script") && !page.body.contains("<img"), "{}", page.body);
    assert!(page.body.contains("j***@e***.com"));
    assert!(
        !page.body.contains("jane")
            && !page.body.contains("onerror")
            && !page.body.contains("1234567")
    );
    for report in ["ads", "affiliates", "leads"] {
        for format in ["csv", "json"] {
            let link = format!(
                "href=\"/api/report/{report}?from=2026-11-11&amp;to=2026-11-11&amp;site=demo&amp;format={format}\""
            );
            assert!(page.body.contains(&link), "{link} in {}", page.body);
        }
    }
    assert!(page.body.contains("href=\"/?period=7d&amp;site=demo\""));
    // Nothing is fetched from anybody else: the one address of others is a link, which the licence of the places asks for.
    let credit = "<a href=\"https://db-ip.com\">";
    assert!(page.body.contains(credit));
    assert!(!page.body.replace(credit, "").contains("//"), "{}", page.body);
    let style = get(running.address, HOST, "/page.css").await;
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(!style.body.contains("url(") && !style.body.contains("@import"));
}

#[tokio::test]
async fn every_answer_forbids_scripts_frames_and_caches() {
    let database = tables().await;
    let running = start(database.admin.clone()).await;
    for path in
        ["/", "/page.css", "/api/report/ads", "/api/report/ads?format=csv", "/none", "/?period=x"]
    {
        let response = get(running.address, HOST, path).await;
        let policy = response.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; img-src 'self';"),
            "{path}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(response.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(response.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(response.header("cache-control"), "no-store", "{path}");
        assert_eq!(response.header("access-control-allow-origin"), "", "{path}");
    }
}

#[tokio::test]
async fn the_files_have_the_same_numbers() {
    let database = tables().await;
    some_facts(&database.admin).await;
    let running = start(database.admin.clone()).await;
    let question = "from=2026-11-11&to=2026-11-11";
    let json = get(running.address, HOST, &format!("/api/report/ads?{question}")).await;
    assert_eq!((json.status, json.header("content-type")), (200, "application/json"));
    let row = &json.json()["rows"][0];
    assert_eq!((&row["impressions"], &row["click_throughs"]), (&2.into(), &1.into()));
    assert_eq!(row["pending"]["EUR"], "79.90");
    let csv = get(running.address, HOST, &format!("/api/report/ads?{question}&format=csv")).await;
    assert_eq!(csv.status, 200);
    assert_eq!(
        csv.header("content-disposition"),
        "attachment; filename=\"leadtrail-ads-all-sites-2026-11-11-UTC.csv\""
    );
    let expected =
        "summer&co,<script>alert(1)</script>,2,1,0.5000,0,1,1.0000,79.90,2026-11-11,UTC,";
    assert_eq!(csv.body.lines().nth(1), Some(expected));
    let leads =
        get(running.address, HOST, &format!("/api/report/leads?{question}&format=csv")).await;
    assert!(leads.body.contains("j***@e***.com") && !leads.body.contains("jane"), "{}", leads.body);
}

#[tokio::test]
async fn a_bad_question_gets_the_nearest_good_one() {
    let database = tables().await;
    let running = start(database.admin.clone()).await;
    let cases = [
        ("/api/report/add", 404, "/api/report/ads"),
        (
            "/api/report/ads?period=30&site=demo",
            400,
            "/api/report/ads?period=30d&site=demo&format=json",
        ),
        ("/api/report/ads?perod=7d", 400, "/api/report/ads?period=7d&format=json"),
        ("/api/report/ads?format=jsn&period=7d", 400, "/api/report/ads?period=7d&format=json"),
        ("/api/report/leads?limit=1000000", 400, "/api/report/leads?limit=50&format=json"),
        ("/api/report/leads?site=dem&format=csv", 400, "/api/report/leads?site=demo&format=csv"),
    ];
    for (path, status, nearest) in cases {
        let response = get(running.address, HOST, path).await;
        assert_eq!(response.status, status, "{path}: {response:?}");
        assert_eq!(response.json()["nearest"], nearest, "{path}");
        let good = get(running.address, HOST, nearest).await;
        assert_eq!(good.status, 200, "{nearest}: {good:?}");
    }
    let page = get(running.address, HOST, "/?period=30&site=%3Cb%3E").await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("unknown period `30`"), "{}", page.body);
    assert!(
        page.body.contains("href=\"/?period=30d&amp;site=demo\""),
        "both are corrected: {}",
        page.body
    );
    let page = get(running.address, HOST, "/?site=%3Cb%3E").await;
    assert!(page.body.contains("unknown site `&lt;b&gt;`"), "{}", page.body);
    // The form sends its empty fields too.
    let page = get(running.address, HOST, "/?from=&to=&site=&zone=").await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn a_foreign_host_name_is_refused() {
    let database = tables().await;
    let running = start(database.admin.clone()).await;
    for host in ["evil.example", "reports.example", "reports.example:8082", "127.0.0.1"] {
        let response = get(running.address, host, "/api/report/leads").await;
        assert_eq!(response.status, 421, "{host}");
    }
    let none = send(running.address, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(none.status, 421);
    let twice = format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    );
    assert!([400, 421].contains(&send(running.address, &twice).await.status));
    let absolute =
        format!("GET http://evil.example/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    assert_eq!(send(running.address, &absolute).await.status, 421);
    assert_eq!(get(running.address, &HOST.to_uppercase(), "/page.css").await.status, 200);
}

#[tokio::test]
async fn only_get_and_head_are_served() {
    let database = tables().await;
    let running = start(database.admin.clone()).await;
    let post = format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let response = send(running.address, &post).await;
    assert_eq!((response.status, response.header("allow")), (405, "GET, HEAD"));
    let head = format!("HEAD /page.css HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let response = send(running.address, &head).await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_warehouse_that_is_away_is_said_so() {
    let nobody =
        Client::default().with_url(format!("http://127.0.0.1:{}", crate::env::free_port()));
    let running = start(nobody).await;
    let page = get(running.address, HOST, "/?period=7d").await;
    assert_eq!((page.status, page.header("retry-after")), (503, "5"));
    assert!(
        page.body.contains("The warehouse does not answer")
            && page.body.contains("href=\"/?period=7d\"")
    );
    let file = get(running.address, HOST, "/api/report/ads").await;
    assert_eq!((file.status, &file.json()["error"]), (503, &"warehouse_away".into()));
    // Tables that aren't there: the reason is for the log, not for the page.
    let database = crate::env::warehouse::Warehouse::shared().database().await;
    let running = start(database.admin).await;
    let page = get(running.address, HOST, "/").await;
    assert_eq!(page.status, 503);
    assert!(!page.body.contains("Code:") && !page.body.contains("SELECT"), "{}", page.body);
}

#[tokio::test]
async fn a_full_page_stays_small() {
    let database = tables().await;
    let client = &database.admin;
    let fill = [
        "INSERT INTO events (site, visitor, event_time, id_seq, id_node, event_type, campaign, ad, affiliate, offer, \
         traffic_class) SELECT 'demo', number, '2026-11-11 12:00:00', number, 1, if(number % 2, 'click', 'impression'), \
         concat('campaign-of-the-autumn-', toString(number % 300)), concat('ad-with-a-long-name-', toString(number % 300)), \
         concat('affiliate-', toString(number % 200)), 'offer-of-the-year', 'human' FROM numbers(3000)",
        "INSERT INTO leads (site, event_time, id_seq, id_node, form, email, phone, full_name, country, traffic_class) SELECT \
         'demo', '2026-11-11 12:00:00', number, 1, 'contact', concat('somebody.', toString(number), '@example.com'), \
         '+49 170 1234567', 'Somebody With A Name', 'DE', 'human' FROM numbers(3000)",
    ];
    for statement in fill {
        client.query_raw(statement).execute().await.unwrap();
    }
    let running = start(client.clone()).await;
    let page = get(running.address, HOST, "/?from=2026-11-11").await;
    assert_eq!(page.status, 200);
    // The one offer has a head and a total too.
    assert_eq!(page.body.matches("<tr>").count(), 4 + 4 * 50 + 2 + 3);
    assert!(page.body.contains("50 rows of 300") && page.body.contains("50 rows of 3000"));
    let style = get(running.address, HOST, "/page.css").await;
    let bytes = page.body.len() + style.body.len();
    assert!(bytes < PAGE_BYTES_MAX, "{bytes} bytes");
}

#[tokio::test]
async fn an_empty_installation_says_what_to_do_next() {
    let database = tables().await;
    let running = start(database.admin.clone()).await;
    let page = get(running.address, HOST, "/").await;
    for words in [
        "/c/&lt;link&gt;",
        "/a/&lt;affiliate&gt;/&lt;offer&gt;",
        "/f/&lt;form&gt;",
        "nothing has been stored",
    ] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
}

#[tokio::test]
async fn a_stop_ends_the_listener_and_its_idle_connections() {
    let database = tables().await;
    let running = start(database.admin.clone()).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(format!("GET /page.css HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    running.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(4), running.task).await.expect("it stops").unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}
