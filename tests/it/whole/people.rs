//! People: users made by a command, the sign-in, and who sees whom a lead is from, through the real program.

use std::time::Duration;

use super::{BROWSER, URLENCODED, expect_number, installation};
use crate::env::program::{Installation, Reply};
use crate::env::wait_for;

/// A disabled user is out, and a new one in, within five seconds.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);

fn sign_in(installation: &Installation, name: &str, password: &str, more: &str) -> Reply {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("name", name), ("password", password), ("next", "/?period=7d")])
        .finish();
    installation.ask_app(
        "POST",
        "/sign-in",
        &format!("Content-Type: {URLENCODED}\r\n{more}"),
        &body,
    )
}

fn cookie(reply: &Reply) -> String {
    let set = reply.header("set-cookie").unwrap();
    format!("Cookie: {}\r\n", set.split(';').next().unwrap())
}

fn page(installation: &Installation, path: &str, cookie: &str) -> Reply {
    installation.ask_app("GET", path, cookie, "")
}

/// Everything about an answer that could tell one reason from another.
fn shape(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let mut headers = reply.headers.clone();
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    (reply.status, headers, reply.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_values_are_for_signed_in_people_whose_role_may_see_them() {
    let (mut installation, database) = installation("people").await;
    installation.set("APP__SIGN_INS_PER_MINUTE", "1000");
    let mut program = installation.ready(&["up"]).await;
    let lead = "email=jane.roe%40example.com&phone=%2B491701234567&name=Jane+Roe";
    assert_eq!(installation.post("/f/contact", URLENCODED, lead, BROWSER).status, 200);
    expect_number(&database.admin, "SELECT count() FROM leads", 1).await;
    let max = installation.says(&["user", "new", "max", "--role", "marketer"]);
    let ada = installation.says(&["user", "new", "ada", "--role", "sales"]);
    let mut entered = None;
    wait_for("ada to be let in", FOLLOWED_WITHIN, || {
        let reply = sign_in(&installation, "ada", &ada, "");
        let is_in = reply.status == 303;
        entered = is_in.then_some(reply);
        is_in
    })
    .await;
    let entered = entered.unwrap();
    assert_eq!(entered.header("location"), Some("/?period=7d"));
    let set = entered.header("set-cookie").unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Strict") && set.contains("Max-Age=43200"), "{set}");
    let (ada_in, max_in) = (cookie(&entered), cookie(&sign_in(&installation, "max", &max, "")));

    let shows =
        |path: &str, cookie: &str| page(&installation, path, cookie).text().contains("jane.roe");
    for path in ["/?period=today", "/api/report/leads", "/api/report/leads?format=csv"] {
        assert!(!shows(path, ""), "{path}: nobody");
        assert!(!shows(path, &max_in), "{path}: a marketer");
        assert!(shows(path, &ada_in), "{path}: sales");
        assert!(!shows(path, &ada_in.replace("lt_session=", "lt_session=A")), "{path}: changed");
    }
    let nobody = page(&installation, "/", "").text();
    assert!(nobody.contains("j***@e***.com") && nobody.contains("/sign-in?next="), "{nobody}");
    let hers = page(&installation, "/", &ada_in).text();
    assert!(hers.contains("+491701234567") && hers.contains("Signed in as <strong>ada</strong>"));
    assert!(!hers.contains("<script"));

    // The log says who looked, and not at whom.
    let logs = installation.logs();
    assert!(logs.contains("personal values were read") && logs.contains("user ada"), "{logs}");
    for secret in ["jane.roe", "1234567", &ada, &max] {
        assert!(!logs.contains(secret), "{secret} in a log line");
    }

    // Another site's page can neither sign somebody out nor in.
    let word = hers.split("name=\"word\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let leave = |more: &str, word: &str| {
        let headers = format!("{ada_in}Content-Type: {URLENCODED}\r\n{more}");
        installation.ask_app("POST", "/sign-out", &headers, &format!("word={word}"))
    };
    assert_eq!(leave("Sec-Fetch-Site: cross-site\r\n", word).status, 400);
    assert_eq!(leave("Origin: http://evil.example\r\n", word).status, 400);
    assert_eq!(leave("", "AAAAAAAAAAAAAAAAAAAAAA").status, 400);
    assert_eq!(sign_in(&installation, "ada", &ada, "Origin: null\r\n").status, 400);
    assert!(shows("/", &ada_in), "still in");
    let own = format!("Origin: http://127.0.0.1:{}\r\n", installation.app);
    let left = leave(&own, word);
    assert_eq!((left.status, left.header("location")), (303, Some("/")));
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(!shows("/", &ada_in), "the session is over, not only the cookie");
    program.kill9();
    let mut program = installation.ready(&["up"]).await;
    assert!(!shows("/", &ada_in), "and stays so");

    let ada_in = cookie(&sign_in(&installation, "ada", &ada, &own));
    assert!(shows("/", &ada_in));
    installation.says(&["user", "disable", "ada"]);
    wait_for("ada to be out", FOLLOWED_WITHIN, || !shows("/", &ada_in)).await;
    assert_eq!(sign_in(&installation, "ada", &ada, "").status, 403);
    assert!(program.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_and_a_wrong_password_are_the_same_and_tries_are_limited() {
    let (mut installation, _database) = installation("guess").await;
    installation.set("APP__SIGN_INS_PER_MINUTE", "4");
    installation.set("APP__OPEN", "false");
    let mut program = installation.ready(&["up"]).await;
    // Closed: nothing is read without a user or a key.
    let home = page(&installation, "/", "");
    assert_eq!((home.status, home.header("location")), (303, Some("/sign-in")));
    assert_eq!(page(&installation, "/api/report/ads", "").status, 401);
    assert_eq!(page(&installation, "/sign-in", "").status, 200);

    let weak = installation.run(&["user", "new", "Ada@example.com", "--role", "sales"]);
    assert!(!weak.status.success(), "a name is no address");
    assert!(!installation.run(&["user", "new", "bot", "--role", "shop"]).status.success());
    let ada = installation.says(&["user", "new", "ada", "--role", "operator"]);
    let taken = installation.run(&["user", "new", "ada", "--role", "sales"]);
    assert!(String::from_utf8_lossy(&taken.stderr).contains("user password ada"));
    wait_for("the users to be known", FOLLOWED_WITHIN, || {
        installation.logs().contains("keys and users changed")
    })
    .await;
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let known = sign_in(&installation, "ada", "wrong password", &from("203.0.113.1"));
    let unknown = sign_in(&installation, "nobody", "wrong password", &from("203.0.113.1"));
    let long = sign_in(&installation, "ada", &"x".repeat(300), &from("203.0.113.1"));
    assert_eq!(known.status, 403);
    assert_eq!(shape(&known), shape(&unknown));
    assert_eq!(shape(&known), shape(&long));
    assert_eq!(sign_in(&installation, "ada", &ada, &from("203.0.113.1")).status, 303);
    for name in ["ada", "nobody"] {
        let limited = sign_in(&installation, name, &ada, &from("203.0.113.1"));
        assert_eq!((limited.status, limited.header("retry-after")), (429, Some("60")), "{name}");
    }
    assert_eq!(
        sign_in(&installation, "ada", &ada, &from("198.51.100.1")).status,
        303,
        "another network"
    );
    assert!(program.stop().success());
}
