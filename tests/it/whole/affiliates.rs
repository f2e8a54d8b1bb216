//! Affiliates' links in the whole program: each network's own address, followed to a shop of ours that notes what arrives; and what is kept of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use leadtrail::check::clicks::Profiles;

use super::{BROWSER, SOON, expect_number, installation, nothing_is_doubled, number, text};
use crate::env::program::{Installation, Reply};
use crate::env::wait_for_async;

/// A shop that notes each request's target.
struct Shop {
    address: String,
    arrived: Arc<Mutex<Vec<String>>>,
}

impl Shop {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let arrived: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = arrived.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                if BufReader::new(&stream).read_line(&mut line).is_ok() {
                    let target = line.split(' ').nth(1).unwrap_or("").to_owned();
                    notes.lock().unwrap().push(target);
                }
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            }
        });
        Self { address, arrived }
    }

    /// Follows a redirect as a browser does; gives what arrived.
    fn visit(&self, reply: &Reply) -> url::Url {
        assert_eq!(reply.status, 302);
        let location = reply.header("location").unwrap();
        let path = location.strip_prefix(&format!("http://{}", self.address)).unwrap();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains("204"), "{answer}");
        let arrived = self.arrived.lock().unwrap().pop().unwrap();
        url::Url::parse(&format!("http://{}{arrived}", self.address)).unwrap()
    }
}

fn told(url: &url::Url, name: &str) -> String {
    let found = url.query_pairs().find(|(found, _)| found == name);
    found.map_or_else(String::new, |(_, value)| value.into_owned())
}

/// Whose ids are whose, for each profile's example.
fn network(profile: &str) -> String {
    let usual = "\naffiliate = \"blogger\"";
    let (offer, affiliates) = match profile {
        "everflow" => ("2CTPL", "\naffiliates = { \"9JZ1CT\" = \"blogger\" }"),
        "voluum" => ("3d1f3b4f-2c55-4b6e-9a39-0f2f1d0a7c11", usual),
        "redtrack" => ("6537c1a0e6d4b10001d5a1b2", usual),
        "keitaro" => ("spring-keitaro", usual),
        "binom" => ("8a1b2c3d4e5f6a7b8c9d", usual),
        _ => ("12", "\naffiliates = { \"1042\" = \"blogger\" }"),
    };
    let entry = format!("\n[[network]]\nname = \"{profile}\"\nhosts = [\"{profile}.go\"]\n");
    format!("{entry}offers = {{ \"{offer}\" = \"passing\" }}{affiliates}\n")
}

fn sites(shop: &Shop) -> String {
    let address = &shop.address;
    let demo = include_str!("../../../config/sites.toml")
        .replace("opens = \"aggregate\"", "opens = \"individual\"");
    let offers = format!(
        "\n[[offer]]\nnumber = 2\nname = \"passing\"\nsite = \"demo\"\n\
         destination = \"http://{address}/land?tid={{click_id}}&s1={{sub1}}&s2={{sub2}}&fixed=1\"\n\
         pass = {{ who = \"affiliate\", theirs = \"external_click_id\" }}\n\
         \n[[offer]]\nnumber = 3\nname = \"few\"\nsite = \"demo\"\ndestination = \"http://{address}/few\"\n\
         cap_day = 1\nfallback = \"http://{address}/others\"\namount = \"10.00\"\npayout = \"2.00\"\ncurrency = \"EUR\"\n\
         \n[[offer]]\nnumber = 4\nname = \"british\"\nsite = \"demo\"\ndestination = \"http://{address}/gb\"\n\
         countries = [\"GB\"]\nfallback = \"http://{address}/others\"\n"
    );
    let profiles = Profiles::load("").unwrap();
    let networks: String =
        profiles.all().filter(|one| !one.paths.is_empty()).map(|one| network(&one.name)).collect();
    [demo, offers, networks].concat()
}

/// Each network's documented address through the edge and out at the shop.
fn every_network(installation: &Installation, shop: &Shop) -> u64 {
    let mut count = 0;
    for profile in Profiles::load("").unwrap().all() {
        let name = &profile.name;
        let own = profile.paths.is_empty();
        let host = if own { "track".to_owned() } else { format!("{name}.go") };
        // Our own door's example goes to the demo's offer; here it must lead to the shop.
        let path = profile.file.example.replace("/a/blogger/spring", "/a/blogger/passing");
        let path = path.split("&to=").next().unwrap();
        let more = "&gclid=G-1&utm_id=77&mtm_campaign=Spring%2520Sale&hsa_ad={adid}";
        let reply = installation.get_at(&host, &format!("{path}{more}"), BROWSER);
        let arrived = shop.visit(&reply);
        assert_eq!(arrived.path(), "/land", "{name}");
        for (parameter, value) in [
            ("s1", "top"),
            ("s2", "banner 7"),
            ("who", "blogger"),
            ("theirs", "ext-1"),
            ("gclid", "G-1"),
            ("fixed", "1"),
        ] {
            assert_eq!(told(&arrived, parameter), value, "{name}: {parameter} in {arrived}");
        }
        let explained = installation.run(&["link", "explain", &told(&arrived, "tid")]);
        let words = String::from_utf8(explained.stdout).unwrap();
        assert!(
            words.contains("offer: number 2") && words.contains("affiliate: number 1"),
            "{words}"
        );
        let address = format!("http://{host}{path}");
        let explained = installation.run(&["link", "explain", &address]);
        let words = String::from_utf8(explained.stdout).unwrap();
        assert!(
            words.contains(&format!("read as: {name} ")) && words.contains("sub id: sub1 = top"),
            "{words}"
        );
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn every_networks_address_leads_to_the_shop_with_its_sub_ids_and_into_rows() {
    let (mut installation, database) = installation("affiliates").await;
    let client = &database.admin;
    let shop = Shop::open();
    let file = installation.folder.join("sites.toml");
    std::fs::write(&file, sites(&shop)).unwrap();
    installation.set("SITES_FILE", file.to_str().unwrap());
    let places = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/geo/GeoIP2-City-Test.mmdb");
    installation.set("ENRICH__PLACE_DATABASE", places);
    let mut program = installation.ready(&["up"]).await;

    let clicks = every_network(&installation, &shop);
    assert_eq!(clicks, 11);
    expect_number(client, "SELECT count() FROM events WHERE offer = 'passing'", clicks).await;
    for (sql, why) in [
        (
            "external_click_id = 'ext-1' AND sub_ids['sub1'] = 'top' AND sub_ids['sub2'] = 'banner 7'",
            "ids",
        ),
        (
            "click_ids['gclid'] = 'G-1' AND click_id_times['gclid'] = event_time",
            "click ids with their time",
        ),
        (
            "tags['utm_id'] = '77' AND tags['mtm_campaign'] = 'Spring%20Sale' AND utm_campaign_group = 'spring sale'",
            "raw and normalised",
        ),
        (
            "macros['hsa_ad'] = '{adid}' AND has(flags, 'macro_unexpanded') AND NOT mapContains(tags, 'hsa_ad')",
            "macros",
        ),
    ] {
        let sql = format!("SELECT count() FROM events WHERE offer = 'passing' AND {sql}");
        assert_eq!(number(client, &sql).await, clicks, "{why}");
    }

    let from = |address: &str| format!("{BROWSER}X-Forwarded-For: {address}\r\n");
    assert_eq!(
        shop.visit(&installation.get("/a/blogger/british", &from("2.125.160.216"))).path(),
        "/gb"
    );
    assert_eq!(
        shop.visit(&installation.get("/a/blogger/british", &from("216.160.83.56"))).path(),
        "/others"
    );
    let first = shop.visit(&installation.get("/a/blogger/few", &from("203.0.113.50")));
    let second = shop.visit(&installation.get("/a/blogger/few", &from("203.0.113.51")));
    assert_eq!((first.path(), second.path()), ("/few", "/others"), "one a day");
    for (url, address) in [(&first, "203.0.113.50"), (&second, "203.0.113.51")] {
        let path =
            format!("/x.gif?goal=sale&site=demo&offer=few&order={address}&lt={}", told(url, "lt"));
        assert_eq!(installation.get(&path, &from(address)).status, 200);
    }
    // The cap is kept over a restart.
    assert!(program.stop().success());
    let mut program = installation.ready(&["up"]).await;
    assert_eq!(
        shop.visit(&installation.get("/a/blogger/few", &from("203.0.113.52"))).path(),
        "/others"
    );
    let reasons = "SELECT toString(groupArray((reason, n))) FROM (SELECT arrayJoin(flags) AS reason, count() AS n FROM events \
        WHERE has(flags, 'fallback') GROUP BY 1 ORDER BY 1)";
    wait_for_async("the clicks that were turned away", SOON, async || {
        text(client, reasons).await
            == "[('cap_reached',2),('country_not_allowed',1),('fallback',3)]"
    })
    .await;
    // Who was turned away was sent for nothing, whatever trail leads back to the click.
    expect_number(
        client,
        "SELECT uniqExact(conversion_seq, conversion_node) FROM payout_attribution",
        2,
    )
    .await;
    let earned =
        "SELECT count() FROM (SELECT * FROM payout_attribution FINAL) WHERE affiliate = 'blogger'";
    expect_number(client, earned, 1).await;

    opens_and_batches(&installation, client).await;
    nothing_is_doubled(client).await;
    assert!(program.stop().success());
}

/// Opens by recipient; three ads in one request.
async fn opens_and_batches(installation: &Installation, client: &clickhouse::Client) {
    for recipient in ["recipient-7", "recipient-8", "recipient-7"] {
        let opened = installation.run(&["link", "open", "spring-mail", recipient]);
        let address = String::from_utf8(opened.stdout).unwrap();
        let path = address
            .trim()
            .strip_prefix(&format!("http://127.0.0.1:{}", installation.edge))
            .unwrap();
        let agent =
            if recipient == "recipient-8" { "User-Agent: Mozilla/5.0\r\n" } else { BROWSER };
        assert_eq!(installation.get(path, agent).status, 200);
    }
    let batch = "/i.gif?ads=summer-shoes,winter-boots,summer-shoes&prices=75.00,,&placements=a,b,c";
    let reply = installation.get(batch, BROWSER);
    assert_eq!(reply.status, 200);
    expect_number(client, "SELECT count() FROM events WHERE event_type = 'impression'", 3).await;
    let shown = "SELECT toString(groupArray((ad, placement, toString(price_shown)))) FROM (SELECT * FROM events WHERE event_type = 'impression' ORDER BY id_seq)";
    assert_eq!(
        text(client, shown).await,
        "[('summer-shoes','a','75'),('winter-boots','b','129'),('summer-shoes','c','79.9')]"
    );
    let places = "SELECT count() FROM (SELECT DISTINCT log_offset FROM events WHERE event_type = 'impression')";
    assert_eq!(number(client, places).await, 1, "one record");
    assert_eq!(
        number(
            client,
            &format!("SELECT count() FROM events WHERE event_id = '{}'", reply.event_id())
        )
        .await,
        1
    );
    expect_number(client, "SELECT count() FROM events WHERE event_type = 'email_open'", 3).await;
    let opens = "SELECT toString(arraySort(groupArray((n, people)))) FROM (SELECT recipient, count() AS n, countIf(traffic_class = 'human') AS people \
        FROM events WHERE event_type = 'email_open' GROUP BY recipient)";
    assert_eq!(
        text(client, opens).await,
        "[(1,0),(2,2)]",
        "a proxy's fetch is kept and is no person"
    );
}
