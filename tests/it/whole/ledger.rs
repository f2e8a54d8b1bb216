//! Ledgers worked out by hand, sent as real requests: a click first, then what networks, browsers and the shop's server say of it; read
//! back from ClickHouse, and from the reports.

use serde_json::{Value, json};

use super::{BROWSER, expect_number, installation, text};
use crate::env::program::{Installation, Reply};
use crate::env::wait_for;

const SECRET: &str = "a-secret-of-the-network";

/// Each story has an offer of its own; what they pay, and how.
const OFFERS: &[(&str, &str)] = &[
    ("refund", "payout = \"5\""),
    ("rejection", "payout = \"5\""),
    ("rivals", "payout = \"5\""),
    ("coupon", "payout_percent = \"12.5\"\ncoupons = { \"BLOG10\" = \"blogger\" }"),
    ("late", "payout = \"5\""),
    ("ignore", "payout_percent = \"12.5\""),
    ("update", "payout_percent = \"12.5\""),
    ("add", "payout_percent = \"12.5\""),
    ("replace", "payout_percent = \"12.5\""),
    ("rebill", "payout = \"5\""),
    ("currency", "payout = \"5\""),
    ("cap", "payout = \"5\"\npayout_cap_day = 2"),
    ("tier", "payout = \"5\"\ntiers = [{ from = 3, payout = \"7\" }]"),
    ("pixel", "payout = \"5\"\namount = \"20\""),
    ("dispute", "payout = \"5\"\ncoupons = { \"DEAL5\" = \"dealsite\" }"),
    ("doors", "payout = \"5\""),
    ("ceiling", "payout = \"5\"\namount_max = \"100\""),
    ("pasted", "payout = \"5\""),
    ("zero", "payout = \"5\""),
    ("test", "payout = \"5\""),
    ("other", "payout = \"5\""),
    ("list", "payout = \"5\""),
];

fn sites(secret: &str) -> String {
    let mut text = "[[site]]\nname = \"shop\"\nvisitor = \"cookie\"\nhosts = [\"127.0.0.1\"]\n\
        [[affiliate]]\nnumber = 1\nname = \"blogger\"\n[[affiliate]]\nnumber = 2\nname = \"dealsite\"\n"
        .to_owned();
    for (number, (name, terms)) in (1..).zip(OFFERS) {
        let mode = if ["update", "add", "replace"].contains(name) { name } else { "ignore" };
        text.push_str(&format!(
            "[[offer]]\nnumber = {number}\nname = \"{name}\"\nsite = \"shop\"\ndestination = \"http://shop.example/\"\ncurrency = \"EUR\"\n{terms}\n\
             [[postback]]\nname = \"{name}\"\nprofile = \"generic\"\nsite = \"shop\"\noffer = \"{name}\"\nsecret_file = \"{secret}\"\n\
             duplicates = \"{mode}\"\n"
        ));
    }
    text
}

/// The program with a key of the shop's.
struct Doors<'a> {
    installation: &'a Installation,
    key: String,
}

impl Doors<'_> {
    /// Follows an affiliate's link; gives our click id and the browser's cookie.
    fn click(&self, affiliate: &str, offer: &str, query: &str, cookie: &str) -> (String, String) {
        let reply = self
            .installation
            .get(&format!("/a/{affiliate}/{offer}{query}"), &format!("{BROWSER}{cookie}"));
        assert_eq!(reply.status, 302, "{}", reply.text());
        let (_, click) = reply.header("location").unwrap().split_once("lt=").unwrap();
        let set = reply.header("set-cookie").and_then(|set| set.split(';').next());
        let cookie = set.map_or_else(|| cookie.to_owned(), |set| format!("Cookie: {set}\r\n"));
        (click.to_owned(), cookie)
    }

    fn postback(&self, name: &str, query: &str) {
        let reply = self.installation.get(&format!("/postback/{name}/{SECRET}?{query}"), "");
        assert_eq!((reply.status, reply.text().as_str()), (200, "OK"), "{name} {query}");
        // What is told next is told later: within a millisecond of an approval it would still be evidence for it.
        let told_ms = leadtrail::ids::now_millis();
        while leadtrail::ids::now_millis() == told_ms {
            std::thread::yield_now();
        }
    }

    fn pixel(&self, query: &str, cookie: &str) {
        let reply =
            self.installation.get(&format!("/x.gif?{query}"), &format!("{BROWSER}{cookie}"));
        assert_eq!(reply.status, 200, "{query}");
    }

    fn events(&self, events: &Value) -> Reply {
        let headers =
            format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.key);
        self.installation.ask_app("POST", "/v1/events", &headers, &events.to_string())
    }

    fn event(&self, event: &Value) {
        let reply = self.events(&json!([event]));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains("\"accepted\":1"), "{}", reply.text());
    }
}

/// Sends a story; gives what stands in the ledger for its offer, in the order of time:
/// `affiliate evidence state status amount payout currency rule taken_back`.
fn tell(doors: &Doors<'_>, offer: &str) -> Vec<&'static str> {
    let (click, cookie) = doors.click("blogger", offer, "", "");
    let sale = |id: &str, status: &str, amount: &str| {
        doors.postback(
            offer,
            &format!("lt={click}&txid={id}&status={status}&amount={amount}&currency=EUR"),
        );
    };
    let modes = |first: &str, second: &str| {
        sale("1", "pending", first);
        sale("1", "pending", second);
    };
    match offer {
        "list" => {
            // Several events in one body: each its own, and what can't be read is refused without the rest being lost.
            let list = format!(
                r#"{{"currency":"EUR","events":[{{"lt":"{click}","data":{{"txid":"1","amount":10}},"status":"pending"}},
                    {{"status":"pending"}}, {{"lt":"{click}","txid":"2","amount":"20","status":"pending"}}]}}"#
            );
            let path = format!("/postback/list/{SECRET}");
            let reply = doors.installation.post(&path, "application/json", &list, "");
            assert_eq!((reply.status, reply.text().as_str()), (400, "ERROR postback_incomplete"));
            let one = format!(
                r#"[{{"lt":"{click}","txid":"3","amount":30,"currency":"EUR","status":"pending"}}]"#
            );
            let reply = doors.installation.post(&path, "", &one, "");
            assert_eq!((reply.status, reply.text().as_str()), (200, "OK"));
            vec![
                "blogger click_id provisional pending 10 5 EUR fixed 0",
                "blogger click_id provisional pending 20 5 EUR fixed 0",
                "blogger click_id provisional pending 30 5 EUR fixed 0",
            ]
        }
        "refund" => {
            sale("1", "approved", "40");
            sale("1", "refund", "40");
            vec!["blogger click_id locked reversed 40 5 EUR fixed 5"]
        }
        "rejection" => {
            sale("1", "pending", "40");
            sale("1", "declined", "");
            vec!["blogger click_id provisional rejected 40 0 - - 0"]
        }
        "rivals" => {
            doors.click("dealsite", offer, "", &cookie);
            doors.pixel("site=shop&goal=sale&order=R-1&amount=40&currency=EUR", &cookie);
            vec!["dealsite last_affiliate_click_cookie provisional - 40 5 EUR fixed 0"]
        }
        "coupon" => {
            let (_, cookie) = doors.click("dealsite", offer, "", "");
            doors.event(&json!({"type": "purchase", "site": "shop", "order_id": "C-1", "amount": "40", "currency": "EUR",
                "coupon": "blog10", "status": "pending"}));
            doors.pixel("site=shop&goal=sale&order=C-1&amount=40&currency=EUR", &cookie);
            vec!["blogger coupon provisional pending 40 5 EUR percent 0"]
        }
        "late" => {
            // A click that comes after what it should have brought earns nothing; one that came before it does.
            doors.postback(offer, "click_id=NET-LATE&txid=1&status=pending&amount=40&currency=EUR");
            doors.click("dealsite", offer, "?clickid=NET-LATE", "");
            doors.click("blogger", offer, "?clickid=NET-EARLY", "");
            doors
                .postback(offer, "click_id=NET-EARLY&txid=2&status=pending&amount=40&currency=EUR");
            vec![
                "- none provisional pending 40 0 - - 0",
                "blogger network_click_id provisional pending 40 5 EUR fixed 0",
            ]
        }
        "ignore" => {
            modes("80", "40");
            vec!["blogger click_id provisional pending 80 10 EUR percent 0"]
        }
        "update" | "replace" => {
            modes("80", "40");
            vec!["blogger click_id provisional pending 40 5 EUR percent 0"]
        }
        "add" => {
            modes("80", "40");
            vec!["blogger click_id provisional pending 120 15 EUR percent 0"]
        }
        "rebill" => {
            sale("1", "approved", "40");
            sale("1", "approved", "40");
            sale("1-rebill", "approved", "40");
            vec!["blogger click_id locked approved 40 5 EUR fixed 0"; 2]
        }
        "currency" => {
            for (id, currency) in [("1", "CHF"), ("2", "SEK"), ("3", "EUR")] {
                let query =
                    format!("lt={click}&txid={id}&status=pending&amount=40&currency={currency}");
                doors.postback(offer, &query);
            }
            vec!["blogger click_id provisional pending 40 5 EUR fixed 0"; 3]
        }
        "cap" => {
            ["1", "2", "3"].iter().for_each(|id| sale(id, "pending", "10"));
            sale("1", "rejected", "");
            sale("4", "pending", "10");
            vec![
                "blogger click_id provisional rejected 10 0 - - 0",
                "blogger click_id provisional pending 10 5 EUR fixed 0",
                "blogger click_id provisional pending 10 0 - cap_day 0",
                "blogger click_id provisional pending 10 5 EUR fixed 0",
            ]
        }
        "tier" => {
            ["1", "2", "3"].iter().for_each(|id| sale(id, "approved", "10"));
            vec![
                "blogger click_id locked approved 10 5 EUR tier 1 0",
                "blogger click_id locked approved 10 5 EUR tier 1 0",
                "blogger click_id locked approved 10 7 EUR tier 2 0",
            ]
        }
        "pixel" => {
            // It claims much, and twice; and once for a click that our keys didn't sign.
            doors.pixel(
                &format!("goal=sale&lt={click}&order=P-1&amount=9999&currency=EUR&status=approved"),
                "",
            );
            doors.pixel(&format!("goal=sale&lt={click}&order=P-2&amount=9999&currency=EUR"), "");
            let mut forged = click.clone();
            forged.replace_range(30..31, if &click[30..31] == "A" { "B" } else { "A" });
            doors.pixel(&format!("goal=sale&lt={forged}&offer=pixel&order=P-3&amount=9999"), "");
            vec![
                "blogger click_id provisional - 20 5 EUR fixed 0",
                "- none provisional - 20 0 - - 0",
            ]
        }
        "dispute" => {
            sale("1", "approved", "40");
            doors.postback(offer, "txid=1&status=approved&amount=40&currency=EUR&coupon=DEAL5");
            sale("2", "pending", "40");
            vec![
                "blogger click_id locked approved 40 5 EUR fixed 0",
                "blogger click_id provisional pending 40 5 EUR fixed 0",
            ]
        }
        "doors" => {
            // The shop's server is quicker than the browser, and knows no click; the network says the same at night.
            doors.event(&json!({"type": "purchase", "site": "shop", "order_id": "D-1", "amount": "40", "currency": "EUR"}));
            doors.pixel("site=shop&goal=sale&order=D-1&amount=41&currency=EUR", &cookie);
            doors.postback(
                offer,
                "click_id=theirs&order_id=D-1&status=approved&amount=40&currency=EUR",
            );
            vec!["blogger last_affiliate_click_cookie locked approved 40 5 EUR fixed 0"]
        }
        "ceiling" => {
            sale("1", "pending", "100.01");
            vec!["blogger click_id provisional pending 100.01 5 EUR fixed 0"]
        }
        "pasted" => {
            doors.postback(offer, &format!("lt={click}&txid=1&status=reg,dep,lead&payout=5,&currency=rub,usd,eur&sub1=%7Bsub1%7D"));
            vec!["blogger click_id provisional pending 0 5 EUR fixed 0"]
        }
        "zero" => {
            sale("0", "approved", "0");
            vec!["blogger click_id locked approved 0 5 EUR fixed 0"]
        }
        "test" => {
            sale("1", "test", "40");
            vec!["blogger click_id provisional test 40 0 - - 0"]
        }
        // The click of one offer, used for another.
        "other" => {
            doors.postback(
                "zero",
                &format!("lt={click}&txid=foreign&status=pending&amount=1&currency=EUR"),
            );
            vec!["blogger click_id provisional pending 1 5 EUR fixed 0"]
        }
        story => panic!("a story that nobody tells: {story}"),
    }
}

/// The ledger's lines of an offer; those that nobody wins are found by what the message said.
async fn lines(client: &clickhouse::Client, offer: &str) -> Vec<String> {
    let own = match offer {
        // It was told to another postback.
        "other" => "f.transaction_id = 'foreign'".to_owned(),
        "zero" => "f.source_profile = 'zero' AND f.transaction_id != 'foreign'".to_owned(),
        "rivals" | "coupon" | "doors" => format!("f.order_id = '{}-1'", &offer[..1].to_uppercase()),
        "pixel" => "f.order_id LIKE 'P-%'".to_owned(),
        _ => format!("f.source_profile = '{offer}'"),
    };
    let sql = format!(
        "SELECT arrayStringConcat(arrayMap(word -> if(word = '', '-', word), [toString(p.affiliate), toString(p.evidence), toString(p.state), \
         toString(p.status), toString(p.amount), toString(p.payout), toString(p.payout_currency), toString(p.rule), toString(p.taken_back)]), ' ') \
         FROM (SELECT * FROM payout_attribution FINAL WHERE evidence != 'repeat') AS p \
         INNER JOIN (SELECT * FROM conversions FINAL) AS f ON p.site = f.site AND p.conversion_time = f.event_time \
         AND p.conversion_seq = f.id_seq AND p.conversion_node = f.id_node \
         WHERE {own} AND p.event_type != 'conversion_status' ORDER BY p.known_time, p.conversion_seq"
    );
    client.query(&sql).fetch_all::<String>().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_through_the_doors_end_in_the_ledgers_that_were_worked_out_by_hand() {
    let (mut installation, database) = installation("ledger").await;
    let client = &database.admin;
    let secret = installation.folder.join("network.secret");
    std::fs::write(&secret, SECRET).unwrap();
    let file = installation.folder.join("sites.toml");
    std::fs::write(&file, sites(&secret.display().to_string())).unwrap();
    installation.set("SITES_FILE", &file.display().to_string());
    let mut program = installation.ready(&["up"]).await;
    let key = installation.says(&["key", "new", "--name", "shop", "--role", "shop"]);
    let doors = Doors { installation: &installation, key };
    wait_for("the key to be admitted", super::SOON, || doors.events(&json!([])).status == 400)
        .await;

    let stories: Vec<(&str, Vec<&str>)> =
        OFFERS.iter().map(|(offer, _)| (*offer, tell(&doors, offer))).collect();
    // Written last.
    let rows = "SELECT count() FROM conversion_clicks FINAL WHERE site = 'shop'";
    expect_number(client, rows, MESSAGES).await;
    let mut wrong = Vec::new();
    for (offer, expected) in &stories {
        let found = lines(client, offer).await;
        if found != *expected {
            wrong.push(format!("{offer}:\n  should be {expected:#?}\n  is {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    proofs_disputes_and_signs(client).await;
    rates(&installation, client).await;
    reports(&installation, &doors).await;
    assert!(program.stop().success());
}

/// All messages of all stories.
const MESSAGES: u64 = 48;

async fn proofs_disputes_and_signs(client: &clickhouse::Client) {
    let disputes = "SELECT toString(groupArray((one.evidence, one.affiliate))) FROM (SELECT arrayJoin(disputes) AS one FROM payout_attribution FINAL)";
    assert_eq!(text(client, disputes).await, "[('coupon','dealsite')]");
    let proof = "SELECT toString(arrayMap(one -> (one.evidence, one.affiliate, one.verdict), proof)) FROM payout_attribution FINAL \
        WHERE evidence = 'click_id' AND offer = 'ignore'";
    assert_eq!(text(client, proof).await, "[('click_id','blogger','counts')]");
    for (signal, about, count) in [
        ("amount_over_ceiling", "source_profile = 'ceiling'", 1),
        ("value_is_a_list", "source_profile = 'pasted'", 1),
        ("macro_unexpanded", "source_profile = 'pasted'", 1),
        ("click_of_other_offer", "transaction_id = 'foreign'", 1),
        ("click_id_forged", "order_id = 'P-3'", 1),
    ] {
        let sql = format!(
            "SELECT count() FROM conversions FINAL WHERE has(signals, '{signal}') AND {about} AND signals_ruleset > 0"
        );
        assert_eq!(super::number(client, &sql).await, count, "{signal}");
    }
    let odd = "SELECT toString(mapKeys(odd)) FROM conversions WHERE source_profile = 'pasted'";
    let odd = text(client, odd).await;
    assert!(
        ["status", "payout", "currency", "sub1"].iter().all(|name| odd.contains(name)),
        "{odd}"
    );
}

const BASES: &str = "SELECT toString(groupArray((currency, told, source))) FROM (SELECT toString(p.currency) AS currency, \
    ifNull(toString(p.amount_base), 'none') AS told, toString(p.rate_source) AS source FROM (SELECT * FROM payout_attribution FINAL) AS p \
    WHERE p.offer = 'currency' ORDER BY currency)";

/// Rates that are imported later reach the rows that lacked them; a rate that stands is never changed.
async fn rates(installation: &Installation, client: &clickhouse::Client) {
    let none = "[('CHF','none',''),('EUR','40','base'),('SEK','none','')]";
    assert_eq!(text(client, BASES).await, none);
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let file = |name: &str, text: String| {
        let path = installation.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let wide =
        file("rates.csv", format!("Date,CHF,USD,\n{},0.93,N/A,\n", today.yesterday().unwrap()));
    assert_eq!(
        installation.says(&["rates", "import", &wide]),
        "1 rates imported, 0 were there already"
    );
    let francs = "SELECT count() FROM payout_attribution FINAL WHERE offer = 'currency' AND amount_base = 43.0108";
    expect_number(client, francs, 1).await;
    assert_eq!(
        installation.says(&["rates", "import", &wide]),
        "0 rates imported, 1 were there already"
    );
    let long = file("more.csv", format!("date;currency;rate\n{today};SEK;11.5\n"));
    installation.says(&["rates", "import", &long]);
    let crowns = "SELECT count() FROM payout_attribution FINAL WHERE offer = 'currency' AND amount_base = 3.4783";
    expect_number(client, crowns, 1).await;
    let all = "[('CHF','43.0108','rates.csv'),('EUR','40','base'),('SEK','3.4783','more.csv')]";
    assert_eq!(text(client, BASES).await, all);
    let other = file("other.csv", format!("date,currency,rate\n{today},SEK,11.6\n"));
    let refused = installation.run(&["rates", "import", &other]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("a rate is never changed"), "{words}");
    let listed = installation.says(&["rates", "list"]);
    assert!(listed.contains("1 EUR = 11.5 SEK") && listed.contains("rates.csv"), "{listed}");
}

/// The same rows as a table, CSV, JSON and on the app's page.
async fn reports(installation: &Installation, doors: &Doors<'_>) {
    let csv = installation.says(&["report", "conversions", "--limit", "100", "--format", "csv"]);
    let head = csv.lines().next().unwrap();
    assert!(head.starts_with("time,site,type,postback,transaction,goal,status,"), "{head}");
    let refund = csv
        .lines()
        .find(|line| line.contains(",refund,1,,reversed,"))
        .unwrap_or_else(|| panic!("{csv}"));
    assert!(
        refund.contains(" approved 40 EUR by refund; ")
            && refund.contains(" reversed -40 EUR by refund"),
        "{refund}"
    );
    assert!(refund.contains("click_id blogger (counts)"), "{refund}");
    let order = csv.lines().find(|line| line.contains("D-1")).unwrap();
    assert!(
        order.contains(" by pixel") && order.contains(" by doors") && order.contains("by v1/"),
        "{order}"
    );
    assert!(!csv.contains(",no rate,"), "{csv}");
    let json = installation.says(&["report", "conversions", "--limit", "100", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), csv.lines().count() - 1, "{json:#}");
    let offers = installation.says(&["report", "offers", "--format", "csv"]);
    let cap = offers.lines().find(|line| line.starts_with("cap,")).unwrap();
    assert!(cap.starts_with("cap,1,0,4,"), "{offers}");
    let table = installation.says(&["report", "offers", "--format", "table"]);
    assert!(table.contains("cap") && table.contains("total"), "{table}");
    let affiliates = installation.says(&["report", "affiliates", "--format", "csv"]);
    let rivals = affiliates.lines().find(|line| line.starts_with("dealsite,rivals,")).unwrap();
    assert!(rivals.starts_with("dealsite,rivals,1,0,1,"), "{affiliates}");
    let key = installation.says(&["key", "new", "--name", "boss", "--role", "marketer"]);
    let bearer = format!("Authorization: Bearer {key}\r\n");
    for (path, part) in [
        ("/api/report/conversions?format=csv&limit=100", "D-1"),
        ("/api/report/offers?format=csv", "cap,1,0,4,"),
        ("/api/report/conversions?format=json", "\"history\""),
        ("/", "<td>refund</td>"),
        ("/", "<th scope=\"row\">cap</th>"),
    ] {
        let ask = || doors.installation.ask_app("GET", path, &bearer, "");
        wait_for("the key to be admitted", super::SOON, || ask().status != 401).await;
        let reply = ask();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert!(reply.text().contains(part), "{path}: {}", reply.text());
    }
}
