//! One real form of each dialect, unchanged but for its host, sent by a real browser with script off.
//!
//! The pages are in `tests/fixtures/pages`: the markup of public forms, with invented ids. Each is reached by a click on a registered link of its own, and
//! says in its second line where its form returns to. Those of systems that take only JSON from a script (HubSpot v3, Dynamics,
//! Formbricks) post the same fields to the same path as a browser without script can: urlencoded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clickhouse::Client;
use serde_json::{Value, json};

use crate::env::program::Installation;
use crate::env::wait_for_async;
use crate::env::warehouse::Warehouse;

/// Rows are settled well within this time, also in a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A page by its dialect.
struct Pages(BTreeMap<String, String>);

impl Pages {
    fn load() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pages");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let page = |path: std::path::PathBuf| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        };
        Self(files.map(page).collect())
    }

    /// Where the form of this page sends the browser.
    fn returns(&self, name: &str) -> &str {
        let page = &self.0[name];
        let (_, rest) = page.split_once("<!-- returns: ").expect("the second line says where");
        rest.split_once(" -->").unwrap().0
    }

    /// Serves them on a port, as another site than the edge's; every other path is a page that says thanks.
    fn serve(&self, edge: &str) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let shop = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let fill = |page: &String| page.replace("{edge}", edge).replace("{shop}", &shop);
        let pages: BTreeMap<String, String> =
            self.0.iter().map(|(name, page)| (name.clone(), fill(page))).collect();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let pages = pages.clone();
                std::thread::spawn(move || answer(stream, &pages));
            }
        });
        shop
    }
}

fn answer(mut stream: TcpStream, pages: &BTreeMap<String, String>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let target = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let click = query.split('&').find_map(|pair| pair.strip_prefix("lt=")).unwrap_or("");
    let body = match path.strip_prefix("/page/").and_then(|name| pages.get(name)) {
        // As the README says: the page's template writes the click id into the form.
        Some(page) => page.replace("{lt}", click),
        None => "<!DOCTYPE html><title>Thanks</title><h1>Thank you</h1>".to_owned(),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

/// What the operator writes: one site, its pages' origin, the vendors' paths on this host, and a link for each page.
fn sites(shop: &str, pages: &Pages) -> String {
    let mut text = format!(
        "[[site]]\nname = \"shop\"\nvisitor = \"cookie\"\norigins = [\"{shop}\"]\nthank_you = \"{shop}/default\"\nhosts = [\"127.0.0.1\"]\n\
         [[form]]\nname = \"contact\"\nsite = \"shop\"\n"
    );
    for (name, number) in pages.0.keys().zip(1..) {
        let _ = write!(
            text,
            "[[link]]\nnumber = {number}\nname = \"{name}\"\nsite = \"shop\"\ndestination = \"{shop}/page/{name}\"\n"
        );
    }
    text
}

/// The README's form, in a file that is opened from disk.
const DISK: &str = "from_disk";

/// What the README shows, with the addresses of this test in place of its examples.
fn readme_form(edge: &str, shop: &str) -> String {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```html\n").expect("the README shows a form");
    let form = rest.split_once("```").unwrap().0;
    form.replace("https://track.shop.example", edge).replace("https://www.shop.example", shop)
}

/// What the visitor types into the one field that is left empty.
fn typed(name: &str) -> String {
    format!("{}@example.com", name.replace('_', "."))
}

async fn travel(pages: &Pages, edge: &str, disk: &Path) -> Value {
    let visit = |name: &str, link: String, field: &str, button: &str| json!({"name": name, "link": link, "field": field, "button": button, "typed": typed(name)});
    let mut visits: Vec<Value> = pages
        .0
        .keys()
        .map(|name| visit(name, format!("{edge}/c/{name}"), "#typed", "#send"))
        .collect();
    let file = format!("file://{}", disk.display());
    visits.push(visit(DISK, file, "input[name=email]", "form button"));
    let chromium = std::env::var("LEADTRAIL_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/dialects.mjs");
    let list = Value::from(visits).to_string();
    let run = move || Command::new("node").args([script, &chromium, &list]).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Stored {
    dialect: String,
    kind: String,
    values: String,
    link: String,
    basis: String,
    verdict: String,
}

async fn stored(client: &Client) -> Vec<Stored> {
    let question = "SELECT * FROM (SELECT toString(lead.dialect) AS dialect, 'lead' AS kind, \
            toString((email, phone, full_name, last_name, company, job_title, subject, message, traits, extra)) AS values, toString(click.link) AS link, \
            toString(click.basis) AS basis, toString(lead.traffic_class) AS verdict \
        FROM (SELECT * FROM leads FINAL) AS lead INNER JOIN (SELECT * FROM conversion_clicks FINAL) AS click \
        ON lead.event_time = click.conversion_time AND lead.id_seq = click.conversion_seq AND lead.id_node = click.conversion_node \
        UNION ALL \
        SELECT toString(dialect), toString(kind), toString((email, message, extra)), '', '', toString(traffic_class) \
        FROM service_contacts FINAL) ORDER BY dialect";
    client.query(question).fetch_all::<Stored>().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_form_of_each_dialect_returns_to_its_page_and_its_lead_finds_its_click_without_script()
 {
    let database = Warehouse::shared().database().await;
    let mut installation = Installation::new("dialects");
    installation.use_warehouse(&database);
    // One person sends them all, within seconds.
    installation.set("SPAM__POSTS_PER_MINUTE", "1000");
    installation.set("SPAM__REPEATS_PER_HOUR", "1000");
    let edge = format!("http://127.0.0.1:{}", installation.edge);
    let pages = Pages::load();
    let shop = pages.serve(&edge);
    let file = installation.folder.join("sites.toml");
    std::fs::write(&file, sites(&shop, &pages)).unwrap();
    installation.set("SITES_FILE", &file.display().to_string());
    let _program = installation.ready(&["up"]).await;
    let known: std::collections::BTreeSet<String> =
        leadtrail::check::dialects::Dialects::built_in()
            .all()
            .map(|(_, dialect)| dialect.name().to_owned())
            .collect();
    assert_eq!(
        pages.0.keys().cloned().collect::<std::collections::BTreeSet<_>>(),
        known,
        "a page for each dialect"
    );

    let disk = installation.folder.join("form.html");
    std::fs::write(&disk, readme_form(&edge, &shop)).unwrap();

    let seen = travel(&pages, &edge, &disk).await;
    assert_eq!(seen[DISK]["after"], format!("{shop}/thanks"), "{seen:#}");
    for name in pages.0.keys() {
        let page = seen[name]["page"].as_str().unwrap();
        assert!(page.starts_with(&format!("{shop}/page/{name}?lt=")), "{seen:#}");
        assert_eq!(
            seen[name]["after"],
            format!("{shop}{}", pages.returns(name)),
            "{name}: {seen:#}"
        );
    }

    let mut rows = Vec::new();
    wait_for_async("a settled row for each form", SOON, async || {
        rows = stored(&database.admin).await;
        rows.len() == pages.0.len() + 1
    })
    .await;
    // A page without an origin of its own is told by a flag, and its lead is taken.
    let flagged = "SELECT toUInt64(count()) FROM events WHERE has(flags, 'origin_foreign') AND (id_seq, id_node) IN \
        (SELECT id_seq, id_node FROM leads WHERE email = 'from.disk@example.com')";
    assert_eq!(database.admin.query(flagged).fetch_one::<u64>().await.unwrap(), 1);
    let rows = rows.iter().filter(|row| !row.values.contains(&typed(DISK)));
    for (row, name) in rows.zip(pages.0.keys()) {
        let is_case = ["salesforce_case", "zoho_case"].contains(&row.dialect.as_str());
        // What is no conversion is joined to no click; a form that carries the page's `lt` is known by it.
        let (kind, link, basis) = match row.dialect.as_str() {
            _ if is_case => ("service_contact", "", ""),
            "generic" => ("lead", "generic", "click_id"),
            // With method GET the form is a link like another, and the browser sends the cookie.
            "mailchimp" | "emarsys" => ("lead", &*row.dialect, "cookie"),
            other => ("lead", other, "daily_hash"),
        };
        assert_eq!(
            (&*row.dialect, &*row.kind, &*row.link, &*row.basis, &*row.verdict),
            (&**name, kind, link, basis, "human"),
            "{row:?}"
        );
        assert!(row.values.contains(&typed(name)), "{row:?}");
    }
}
