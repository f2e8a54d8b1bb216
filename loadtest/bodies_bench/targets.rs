//! The parsers that strangers' bytes reach, each with seeds and what it promises.
//!
//! In: nothing. Out: the targets, by name. Fails: where the built-in files can't be read. Promises: a target asserts what its parser promises for any
//! input: bounded output, nothing proven that wasn't, no address that leads away.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use leadtrail::attribute::meaning::{Meaning, name, phone, vocabulary::Vocabulary};
use leadtrail::check::destination::Destination;
use leadtrail::check::dialects::{Dialects, doors::Doors};
use leadtrail::check::names::Name;
use leadtrail::check::origin::Trail;
use leadtrail::check::postbacks::{Postbacks, Profiles, Request, judge};
use leadtrail::check::return_url::{self, Wish};
use leadtrail::check::{flags::Flags, visitor};
use leadtrail::config::{Config, ProxyHeader};
use leadtrail::event::Event;
use leadtrail::ids::EventId;
use leadtrail::keys::Keys;
use leadtrail::language::Language;
use leadtrail::links::token::{self, LinkClaim};
use leadtrail::receive::charset::Charset;
use leadtrail::receive::explain::{self, Knowledge};
use leadtrail::receive::fields::{BodyType, Fields};
use leadtrail::receive::pairs::pairs;
use leadtrail::refusals;
use leadtrail::registry::Registry;
use leadtrail::tokens;
use url::{Position, Url};

const VECTORS: &str = include_str!("../../tests/fixtures/bodies/vectors.jsonl");

const POSTBACKS: &str = include_str!("../../tests/fixtures/postbacks/cases.jsonl");

const NOW_MS: i64 = 1_790_000_000_000;

const SITES: &str = "[[site]]\nname = \"shop\"\nvisitor = \"none\"\nhosts = [\"*\"]\norigins = [\"https://www.site.example\"]\n\
    [[form]]\nname = \"contact\"\nsite = \"shop\"\n\
    [[offer]]\nnumber = 1\nname = \"spring\"\nsite = \"shop\"\ndestination = \"http://a.example/\"\ncurrency = \"EUR\"\namount_max = \"500\"\n";

/// Reads an input; panics where a promise is broken.
type Read = Box<dyn FnMut(&[u8])>;

/// A parser.
pub struct Target {
    /// As it is chosen by.
    pub name: &'static str,
    /// What it reads, in a few words.
    pub about: &'static str,
    /// Inputs that the others are made from.
    pub seeds: Vec<Vec<u8>>,
    /// The parser with its checks.
    pub read: Read,
}

fn target(
    name: &'static str,
    about: &'static str,
    seeds: Vec<Vec<u8>>,
    read: impl FnMut(&[u8]) + 'static,
) -> Target {
    Target { name, about, seeds, read: Box::new(read) }
}

/// All of them.
pub fn targets() -> Vec<Target> {
    let mut targets = bodies();
    targets.extend([
        content_type(),
        form_request(),
        log_record(),
        refusal_report(),
        names_and_values(),
        postback(),
        link_token(),
        other_tokens(),
        click_query(),
        return_address(),
        headers(),
    ]);
    targets
}

/// The saved bodies.
fn saved_bodies() -> Vec<Vec<u8>> {
    let body = |line: &str| {
        let vector: serde_json::Value = serde_json::from_str(line).expect("the vectors are JSON");
        let hex = vector["body_hex"].as_str().unwrap_or("").to_owned();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (0..hex.len()).step_by(2).map(byte).collect()
    };
    VECTORS.lines().map(body).chain([br#"{"a":{"b":[1,"x",null]},"c":"d"}"#.to_vec()]).collect()
}

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn bodies() -> Vec<Target> {
    let japanese = Charset::of_label(b"iso-2022-jp").expect("a charset");
    let (boundary, charset) = ("B".to_owned(), Charset::default());
    let kinds = [
        ("urlencoded", BodyType::Urlencoded),
        ("urlencoded-charset", BodyType::UrlencodedIn(japanese)),
        ("multipart", BodyType::Multipart { boundary, charset }),
        ("text-plain", BodyType::Plain(charset)),
        ("json", BodyType::Json),
    ];
    kinds.map(|(name, kind)| target(name, "a body of this type", saved_bodies(), body(kind))).into()
}

fn body(kind: BodyType) -> impl FnMut(&[u8]) {
    move |input| {
        if let Ok(fields) = Fields::read(&kind, input, 100) {
            let bytes: usize =
                fields.list.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(fields.list.len() <= 100, "more fields than may come");
            // One byte becomes at most three (U+FFFD), nested names repeat at most eight times, a file's line has up to 2 KiB.
            assert!(bytes <= input.len() * 24 + 100 * 2_048, "more bytes than may come");
        }
    }
}

fn content_type() -> Target {
    let seeds = texts(&[
        "application/x-www-form-urlencoded; charset=windows-1250",
        "multipart/form-data; boundary=\"a;b\\\"c\"; charset=utf-8",
        "application/vnd.api+json",
        "text/plain;charset=UTF-8",
    ]);
    target("content-type", "the header that says what a body is", seeds, |input| {
        drop(BodyType::parse(&String::from_utf8_lossy(input)));
    })
}

/// Whole requests, through dialects, return URLs, spam traps and meaning: what `form explain` does, and a real post does.
fn form_request() -> Target {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dialects");
    let folders = folder.read_dir().expect("the saved requests").flatten();
    let files = folders.flat_map(|entry| entry.path().read_dir().into_iter().flatten().flatten());
    let http = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "http"));
    let mut seeds: Vec<_> =
        http.map(|path| std::fs::read(path).expect("a saved request")).collect();
    seeds.sort();
    let registry = Arc::new(Registry::parse(SITES, "the fuzzer's").expect("the sites are right"));
    let dialects = Arc::new(Dialects::load("").expect("the built-in dialects are tested"));
    let doors = Doors::new(&registry, dialects.clone()).expect("the doors are tested");
    let config = config();
    let meaning = Meaning::open(&config.forms, dialects, registry.clone())
        .expect("the built-in words are tested");
    target(
        "form-request",
        "a whole request, through dialect, spam and meaning",
        seeds,
        move |input| {
            let knowledge = Knowledge {
                registry: &registry,
                doors: &doors,
                meaning: &meaning,
                config: &config,
            };
            drop(black_box(explain::request(input, &knowledge, true)));
        },
    )
}

fn config() -> Config {
    Config::load(None, std::iter::empty()).expect("the defaults are tested")
}

fn log_record() -> Target {
    let record = r#"{"v":1,"id":"0199c5f2-6c00-7000-8000-000000000001","event_type":"lead"}"#;
    let mut seeds = saved_bodies();
    seeds.extend(texts(&[record]));
    target("log-record", "a record of the log", seeds, |input| {
        drop(black_box(Event::from_record(input)));
    })
}

fn refusal_report() -> Target {
    let seeds = texts(&[r#"{"refusals":[],"life":1,"report":2,"v":1}"#]);
    target("refusal-report", "a record of refusals in the log", seeds, |input| {
        if refusals::is_report(input) {
            drop(black_box(refusals::Report::from_record(input)));
        }
    })
}

fn names_and_values() -> Target {
    let words = Vocabulary::load("").expect("the built-in vocabulary is tested");
    let mut seeds = saved_bodies();
    seeds.extend(texts(&["+48 600 100 200", "600 100 200", "contact[e-mail]", "নাম", "téléphone"]));
    target("names-and-values", "names of fields, telephone numbers", seeds, move |input| {
        let text = String::from_utf8_lossy(input);
        black_box((name::folded(&text).len(), words.field_of(&text), words.is_nothing(&text)));
        let number = phone::e164(&text, &["PL", "DE"]);
        assert!(number.len() <= 22, "a number is longer than numbers are");
    })
}

/// Every profile, installed once with a secret and once without. The first byte chooses; then come the target, an empty line and the body.
fn postback() -> Target {
    let folder = tempfile::tempdir().expect("a folder for the secret").keep();
    let file = folder.join("secret");
    std::fs::write(&file, "a-secret-of-the-fuzzer\n").expect("the secret can be written");
    let profiles = Profiles::load("").expect("the built-in profiles are tested");
    let mut text = SITES.to_owned();
    let mut names = Vec::new();
    for profile in profiles.all() {
        let own = &profile.name;
        for (suffix, secret) in
            [("-open", String::new()), ("-own", format!("secret_file = {file:?}\n"))]
        {
            if own == "clickbank" && secret.is_empty() {
                continue;
            }
            let name = format!("{own}{suffix}");
            text += &format!(
                "[[postback]]\nname = \"{name}\"\nprofile = \"{own}\"\nsite = \"shop\"\n{secret}"
            );
            names.push(name);
        }
    }
    let registry = Registry::parse(&text, "the fuzzer's").expect("the entries are right");
    let installed = Postbacks::open(&config(), &registry).expect("the postbacks are right");
    let keys = keys();
    let seed = |line: &str| {
        let case: serde_json::Value = serde_json::from_str(line).expect("the cases are JSON");
        let part = |name: &str| case["example"][name].as_str().unwrap_or("").to_owned();
        format!("\u{7}{}\n{}\n{}", part("target"), part("content_type"), part("body")).into_bytes()
    };
    let seeds = POSTBACKS.lines().map(seed).collect();
    target(
        "postback",
        "what networks report, by every profile, with and without a secret",
        seeds,
        move |input| {
            let (which, rest) = input.split_first().unwrap_or((&0, b""));
            let text = String::from_utf8_lossy(rest);
            let mut lines = text.splitn(3, '\n');
            let mut line = || lines.next().unwrap_or("");
            let (asked, content_type, body) = (line(), line(), line());
            let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
            for offset in [0, 57] {
                let name = &names[(usize::from(*which) + offset) % names.len()];
                let one = installed.get(name).expect("it was installed");
                let request = Request {
                    rest: path,
                    query,
                    content_type,
                    body: body.as_bytes(),
                    signed: body.as_bytes(),
                    header: &|_| None,
                    client: std::net::IpAddr::from([203, 0, 113, 9]),
                    now_ms: NOW_MS,
                    fields_max: 100,
                };
                let id = EventId::from_parts(NOW_MS as u64, 1, 2);
                if let Ok(found) = judge(one, &registry, &keys, id, &request, &mut |_| {}) {
                    assert!(
                        found.proven || found.worth.status == "pending",
                        "{name} believed a stranger"
                    );
                    assert!(
                        !found.proven || name.ends_with("-own"),
                        "{name} proven without a secret"
                    );
                }
            }
        },
    )
}

fn keys() -> Keys {
    let folder = tempfile::tempdir().expect("a folder for keys");
    Keys::open(folder.path()).expect("keys can be made")
}

fn link_token() -> Target {
    let keys = keys();
    let claims = [
        LinkClaim {
            site: "shop".into(),
            destination: "https://a.example/x?y=1".into(),
            ..LinkClaim::default()
        },
        LinkClaim {
            link: 7,
            mailing: 3,
            recipient: 9,
            campaign: "autumn".into(),
            expires_ms: NOW_MS / 60_000 * 60_000,
            ..LinkClaim::default()
        },
    ];
    let signed: Vec<String> = claims.iter().map(|claim| token::sign(&keys, claim)).collect();
    let seeds = signed.iter().map(|text| text.as_bytes().to_vec()).collect();
    target("link-token", "what stands in /r/{token}", seeds, move |input| {
        let text = String::from_utf8_lossy(input);
        if token::verify(&keys, &text).is_some() {
            assert!(
                signed.iter().any(|own| *own == text),
                "a token was believed that nobody signed"
            );
        }
    })
}

fn other_tokens() -> Target {
    let keys = keys();
    let signed = [
        tokens::sign_mail(&keys, 7, "x"),
        tokens::sign_unsubscribe(&keys, 7, "x"),
        tokens::sign_receipt(&keys, EventId::from_parts(1, 2, 3)),
        tokens::sign_refusal(&keys, NOW_MS, "empty"),
        tokens::sign_rendered(&keys, "contact", NOW_MS),
    ];
    let seeds = signed.iter().map(|text| text.as_bytes().to_vec()).collect();
    target("other-tokens", "click ids, opens, receipts, times of rendering", seeds, move |input| {
        let text = String::from_utf8_lossy(input);
        let believed = tokens::verify_click(&keys, &text).is_some()
            || tokens::verify_mail(&keys, &text).is_some()
            || tokens::verify_unsubscribe(&keys, &text).is_some()
            || tokens::verify_receipt(&keys, &text).is_some()
            || tokens::verify_refusal(&keys, &text).is_some()
            || tokens::verify_rendered(&keys, "contact", &text).is_some();
        assert!(
            !believed || signed.iter().any(|own| *own == text),
            "a token was believed that nobody signed"
        );
    })
}

/// What a click's query does to the redirect, and what of it is kept.
fn click_query() -> Target {
    let bases =
        ["https://shop.example", "https://shop.example/p?a=1", "http://shop.example:8082/p/#f"]
            .map(|text| Url::parse(text).expect("an address"));
    let seeds = texts(&[
        "utm_source=news&utm_campaign=%C3%A9t%C3%A9&gclid=abc&sub1=x&email=a%40b.example&lt=forged&keep=1",
        "a=1&a=2&&=x&b&c=%zz#f?://@evil.example",
        "fbclid=IwAR0&aff_sub=1&mc_eid=2&first_name=Jane",
    ]);
    target(
        "click-query",
        "the query of a click, on its way to the destination",
        seeds,
        move |input| {
            let mut trail = Trail::default();
            let named: Vec<_> = pairs(input)
                .map(|pair| (trail.take_parameter(&pair.name, &pair.value), pair))
                .collect();
            trail.referrer(&String::from_utf8_lossy(input));
            for base in &bases {
                let destination = Destination::new(base, "lt");
                let mut passage = destination.begin();
                for (_, pair) in &named {
                    passage.pass(
                        &pair.name,
                        &pair.value,
                        Name::of(&pair.name),
                        &mut Flags::default(),
                    );
                }
                let text = passage.finish("CLICK-ID_1");
                let url = Url::parse(&text).expect("a redirect leads to an address");
                assert_eq!(
                    url[..Position::AfterPath],
                    base[..Position::AfterPath],
                    "the redirect leads away"
                );
                assert!(
                    text.bytes().all(|byte| (0x21..0x7f).contains(&byte)),
                    "no header holds {text:?}"
                );
                assert_eq!(
                    url.query_pairs().filter(|(name, _)| name == "lt").count(),
                    1,
                    "one click id"
                );
            }
        },
    )
}

fn return_address() -> Target {
    let registry = Registry::parse(SITES, "the fuzzer's").expect("the sites are right");
    let site = registry.site("shop").expect("the site is there").clone();
    let seeds = texts(&[
        "https://www.site.example/thanks?a=1#b\nhttps://www.site.example/form",
        "/thanks\nhttps://www.site.example/a/b",
        "//evil.example/\nhttps://evil.example/",
        "https:\\\\www.site.example@evil.example/\n",
    ]);
    target(
        "return-url",
        "where a form asks to go, and the page that it stands on",
        seeds,
        move |input| {
            let text = String::from_utf8_lossy(input);
            let (wanted, page) = text.split_once('\n').unwrap_or((&text, ""));
            if let Wish::Allowed(url) = return_url::judge(&site, wanted, page) {
                assert!(site.returns_to(&url.origin().ascii_serialization()), "it leads away");
            }
        },
    )
}

fn headers() -> Target {
    let trusted = ["10.0.0.0/8".parse().expect("a network")];
    let peer = std::net::IpAddr::from([10, 0, 0, 1]);
    let seeds = texts(&[
        "a=b; lt_v=0199c5f26c0070008000000000000001; c",
        "198.51.100.7, 10.0.0.2",
        "for=\"[2001:db8::1]:4711\";proto=https, for=10.1.1.1",
        "de-AT,de;q=0.9,en;q=0.8,*;q=0.1",
    ]);
    target("headers", "cookies, languages, and who a proxy says came", seeds, move |input| {
        let text = String::from_utf8_lossy(input);
        black_box((visitor::presented(&text), Language::choose(&text, [None, None])));
        for header in [ProxyHeader::XForwardedFor, ProxyHeader::Forwarded] {
            black_box(visitor::client(peer, &trusted, header, text.lines()));
        }
    })
}
