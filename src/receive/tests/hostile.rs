//! Ten thousand tries to be led elsewhere, over a real socket: destinations, tokens, queries. No answer leaves the allowed hosts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::*;
use crate::links::record::{Change, Link, Way};
use crate::links::token::{self, LinkClaim};

/// Those of the registry above.
const ALLOWED: [&str; 3] = ["www.shop.example", "localhost", "quiet.example"];

const TRIES: usize = 10_000;

/// A destination as somebody would write it who got a key's hands to sign it, or a way past the check of an import.
fn destinations() -> impl Strategy<Value = String> {
    "(https?|javascript|data|HTTPS|vbscript|ht\ttp|)(://|:/|:|:///|//|:\\\\|)(www\\.shop\\.example[@:.\\\\%]?|user:pw@|%77ww|\u{0}|)\
     (evil\\.example|www\\.shop\\.example|\\[::1\\]|2130706433|xn--shp-tna\\.example|www\\.sh\u{43e}p\\.example|)(:80|:443|\\.|)(/|//|\\\\|\\?|#|)\
     (evil\\.example|%0d%0aLocation:|\r\n|https://evil\\.example|[a-z]{0,4})"
}

fn is_safe(answer: &Answer) -> bool {
    let allowed = |url: &str| {
        let url = url::Url::parse(url).unwrap();
        let web = matches!(url.scheme(), "http" | "https");
        web && url.username().is_empty() && ALLOWED.contains(&url.host_str().unwrap())
    };
    let page = String::from_utf8_lossy(&answer.body);
    answer.header("location").is_none_or(allowed)
        && answer.head.to_ascii_lowercase().matches("\nlocation:").count() <= 1
        && !page.contains("evil.example")
        && matches!(answer.status, 302 | 307 | 400 | 404 | 410)
}

/// One answer on a connection that stays, made anew when the edge has closed it.
async fn ask(running: &Running, stream: &mut Option<TcpStream>, path: &str) -> Answer {
    let mut open = match stream.take() {
        Some(open) => open,
        None => running.connect().await,
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n");
    open.write_all(request.as_bytes()).await.unwrap();
    let answer = read_one(&mut open).await;
    let closes = answer.header("connection").is_some_and(|word| word == "close");
    *stream = (!closes && answer.status != 400).then_some(open);
    answer
}

#[tokio::test]
async fn no_redirect_leaves_the_allowed_hosts() {
    let running = start(|config| {
        config.limits.address_per_minute = u32::MAX;
        config.limits.address_burst = u32::MAX;
        config.limits.global_per_minute = u32::MAX;
        config.limits.global_burst = u32::MAX;
    })
    .await;
    let others = tempfile::tempdir().unwrap();
    let others = Keys::open(others.path()).unwrap();
    let keys = running.edge.keys.clone();
    let mut runner = TestRunner::deterministic();
    let mut stream = None;
    let (mut followed, mut refused) = (0, 0);
    for number in 0..TRIES {
        let destination = destinations().new_tree(&mut runner).unwrap().current();
        let claim = LinkClaim {
            site: ["shop", "quiet", ""][number % 3].into(),
            destination: destination.clone(),
            ..LinkClaim::default()
        };
        let good = LinkClaim { destination: "https://www.shop.example/x".into(), ..claim.clone() };
        let path = match number % 8 {
            // Signed by our own key: the site's list still counts.
            0..=2 => format!("/r/{}", token::sign(&keys, &claim)),
            // In the store: past every check of the command.
            3 | 4 => {
                let name = format!("h{number}");
                let link = Link {
                    number: 2_000_000 + number as u32,
                    name: name.clone().into(),
                    site: claim.site.clone().into(),
                    to: vec![Way { url: destination.into(), weight: 1 }],
                    retired: number % 2 == 1,
                    fallback: claim.destination.clone().into(),
                    ..Link::default()
                };
                running.edge.links.apply(&[Change::Link(link)]);
                format!("/c/{name}")
            }
            5 => format!("/r/{}", token::sign(&others, &good)),
            // A good token, with one bit turned, a piece cut off, or something after it.
            6 => {
                let mut bytes = URL_SAFE_NO_PAD.decode(token::sign(&keys, &good)).unwrap();
                let bit = number * 7 % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes.truncate(bytes.len() - number % 3);
                format!("/r/{}", URL_SAFE_NO_PAD.encode(bytes))
            }
            // Everything that others call a destination, on good links.
            _ => {
                let word = ["url", "u", "to", "redirect", "destination", "lt", "next"][number % 7];
                let value: String =
                    form_urlencoded::byte_serialize(destination.as_bytes()).collect();
                let door = ["/c/summer", "/a/blogger/spring", "/c/still", "/r/x"][number / 8 % 4];
                format!("{door}?{word}={value}&{value}")
            }
        };
        let answer = ask(&running, &mut stream, &path).await;
        assert!(is_safe(&answer) || passes_a_query(&answer), "{path}: {answer:?}");
        if answer.status == 302 { followed += 1 } else { refused += 1 }
    }
    assert!(followed > TRIES / 20 && refused > TRIES / 2, "{followed} followed, {refused} refused");
}

/// A query that is passed on may hold any words, encoded, behind the registry's own host.
fn passes_a_query(answer: &Answer) -> bool {
    let location = answer.header("location").and_then(|url| url::Url::parse(url).ok());
    location.is_some_and(|url| ALLOWED.contains(&url.host_str().unwrap()))
}

#[tokio::test]
async fn a_token_that_is_sent_twice_leads_to_the_same_place_twice() {
    let running = start(|_| {}).await;
    let claim = LinkClaim {
        site: "shop".into(),
        destination: "https://www.shop.example/x".into(),
        ..LinkClaim::default()
    };
    let path = format!("/r/{}", token::sign(&running.edge.keys, &claim));
    for _ in 0..2 {
        let answer = running.get(&path, &[]).await;
        assert!(answer.header("location").unwrap().starts_with("https://www.shop.example/x?lt="));
    }
    let long = format!("/r/{}", "A".repeat(9_000));
    assert_eq!(running.get(&long, &[]).await.status, 404);
}
