//! The demo shop: a newspaper with ads, a mail and two products, to try Leadtrail with.
//!
//! In: GET requests. Out: plain pages without a script, whose links, pixels and form point at the edge. Refuses: other methods
//! and paths. Promises: what a URL brings is shown only if it has the alphabet of our tokens, so that nothing can be smuggled
//! into a page; the shop stores nothing.
//!
//! A browser calls it `http://localhost:8082` while the edge is `http://127.0.0.1:8080`: two sites, as in real life.

mod pages;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::report::page::listener::{self, Reply};

/// The pages' style.
const STYLE: &str = include_str!("demo.css");

/// The longest click id or order number that a page repeats: `tokens` makes none that is longer.
const TOKEN_CHARACTERS_MAX: usize = 96;

/// What the demo shop needs to know of the installation.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    /// The edge as browsers reach it (`edge.public_url`), without a slash at its end.
    pub edge_url: String,
    /// The report page as browsers reach it.
    pub app_url: String,
    /// The shop itself as browsers reach it: `http://localhost:8082`. The site `demo` lists it among its origins.
    pub shop_url: String,
    /// A token for the mail's open pixel, made by `tokens::sign_mail` for the mailing `spring-mail`.
    pub mail_token: String,
}

/// Something to buy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Product {
    /// Its name in `/buy?product=`.
    key: &'static str,
    /// Its page.
    path: &'static str,
    name: &'static str,
    text: &'static str,
    /// In euros. The prices of `config/sites.toml`, where the ads are.
    price: &'static str,
}

const SHOES: Product = Product {
    key: "shoes",
    path: "/shoes",
    name: "Summer running shoes",
    text: "Light, airy, and made for long evenings.",
    price: "79.90",
};

const SPRING_SHOES: Product = Product {
    key: "spring-shoes",
    price: "69.90",
    text: "The same shoes at the mail's price.",
    ..SHOES
};

const BOOTS: Product = Product {
    key: "boots",
    path: "/boots",
    name: "Winter hiking boots",
    text: "Warm and dry down to twenty below.",
    price: "129.00",
};

/// Serves until `stop` turns true.
pub async fn serve(listener: TcpListener, settings: DemoSettings, stop: watch::Receiver<bool>) {
    let settings = Arc::new(settings);
    listener::serve(listener, stop, move |request| {
        let settings = settings.clone();
        async move { respond(&settings, &request) }
    })
    .await;
}

/// What a URL brought that a page may repeat.
#[derive(Debug, Default)]
struct Brought {
    click: Option<String>,
    order: Option<String>,
    product: Option<Product>,
    from_mail: bool,
}

impl Brought {
    fn read(query: &str) -> Self {
        let mut brought = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "lt" => brought.click = token(&value),
                "order" => brought.order = token(&value),
                "product" => {
                    let all = [SHOES, SPRING_SHOES, BOOTS];
                    brought.product = all.into_iter().find(|product| product.key == value);
                }
                "utm_campaign" => brought.from_mail = value == "spring",
                _ => {}
            }
        }
        brought
    }
}

/// The text, if it is made of what our tokens are made of.
fn token(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let good = (1..=TOKEN_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(plain);
    good.then(|| text.to_owned())
}

fn respond(settings: &DemoSettings, request: &Request<Incoming>) -> Reply {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return page(settings, StatusCode::METHOD_NOT_ALLOWED, pages::lost(settings));
    }
    let brought = Brought::read(request.uri().query().unwrap_or(""));
    let body = match request.uri().path() {
        "/" => pages::newspaper(settings),
        "/mail" => pages::mail(settings),
        "/shoes" if brought.from_mail => pages::product(settings, SPRING_SHOES, &brought),
        "/shoes" => pages::product(settings, SHOES, &brought),
        "/boots" => pages::product(settings, BOOTS, &brought),
        "/contact" => pages::contact(settings),
        "/buy" => return buy(&brought),
        "/thank-you" => pages::sold(settings, &brought),
        "/thanks" => pages::thanks(settings),
        "/demo.css" => return style(),
        _ => return page(settings, StatusCode::NOT_FOUND, pages::lost(settings)),
    };
    page(settings, StatusCode::OK, body)
}

/// Gives the order its number and goes to the page that reports the sale. The number is in that page's URL, so that a reload
/// reports the same order again and not another one.
fn buy(brought: &Brought) -> Reply {
    let product = brought.product.unwrap_or(SHOES);
    // Without random bits there is no order number; the sale is then reported without one.
    let order = getrandom::u64().map_or(String::new(), |bits| format!("&order=demo-{bits:016x}"));
    let click = brought.click.as_ref().map_or(String::new(), |click| format!("&lt={click}"));
    let location = format!("/thank-you?product={}{order}{click}", product.key);
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::from_str(&location).expect("tokens and our own words are ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn style() -> Reply {
    let mut response = Response::new(Full::new(Bytes::from_static(STYLE.as_bytes())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A page. Images and form may reach the edge; nothing else may, and no script runs.
fn page(settings: &DemoSettings, status: StatusCode, body: String) -> Reply {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src {edge}; form-action 'self' {edge}; base-uri 'none'; \
         frame-ancestors 'none'",
        edge = settings.edge_url
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A URL that no header can hold is no URL that a browser could go to; the page then shows no images.
    let policy =
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> DemoSettings {
        DemoSettings {
            edge_url: "http://127.0.0.1:8080".to_owned(),
            app_url: "http://127.0.0.1:8081".to_owned(),
            shop_url: "http://localhost:8082".to_owned(),
            mail_token: "TOKEN".to_owned(),
        }
    }

    #[test]
    fn a_page_repeats_a_click_id_and_nothing_else() {
        let good = Brought::read("lt=Ab_-9&order=o1");
        assert!(pages::product(&settings(), SHOES, &good).contains("name=\"lt\" value=\"Ab_-9\""));
        for bad in [
            "lt=%22%3E%3Cscript%3E",
            "lt=a%20b",
            "lt=",
            &format!("lt={}", "a".repeat(97)),
            "lt=%C3%A9",
        ] {
            let brought = Brought::read(bad);
            assert_eq!(brought.click, None, "{bad}");
            assert!(!pages::product(&settings(), SHOES, &brought).contains("name=\"lt\""), "{bad}");
            assert!(!pages::sold(&settings(), &brought).contains("&amp;lt="), "{bad}");
        }
    }

    #[test]
    fn the_contact_page_knows_no_click() {
        let page = pages::contact(&settings());
        assert!(page.contains("action=\"http://127.0.0.1:8080/f/contact\""));
        assert!(page.contains("name=\"retURL\" value=\"http://localhost:8082/thanks\""));
        assert!(!page.contains("name=\"lt\""));
    }

    #[test]
    fn prices_and_doors_are_those_of_the_built_in_registry() {
        let registry = crate::registry::Registry::load("").unwrap();
        for (link, product) in
            [("summer-ad", SHOES), ("winter-ad", BOOTS), ("spring-mail-link", SPRING_SHOES)]
        {
            let link = registry.link(link).unwrap();
            assert_eq!(link.price.unwrap().to_string(), product.price);
            assert_eq!(link.destination.path(), product.path);
        }
        let all =
            [pages::newspaper(&settings()), pages::mail(&settings()), pages::contact(&settings())]
                .concat();
        for door in [
            "/c/summer-ad",
            "/c/winter-ad",
            "/c/spring-mail-link",
            "/a/blogger/spring?sub1=demo",
            "/f/contact",
        ] {
            assert!(all.contains(&format!("\"http://127.0.0.1:8080{door}\"")), "{door}");
        }
        let offer = registry.offer("spring").unwrap();
        assert!(
            registry.form("contact").is_some()
                && offer.affiliates.iter().any(|name| name == "blogger")
        );
    }

    #[test]
    fn no_page_has_a_script() {
        let brought = Brought::read("lt=abc&product=boots&order=o-1&utm_campaign=spring");
        let pages = [
            pages::newspaper(&settings()),
            pages::mail(&settings()),
            pages::product(&settings(), BOOTS, &brought),
            pages::contact(&settings()),
            pages::sold(&settings(), &brought),
            pages::thanks(&settings()),
            pages::lost(&settings()),
        ];
        for page in pages {
            let lower = page.to_lowercase();
            assert!(
                !lower.contains("<script")
                    && !lower.contains("javascript:")
                    && !lower.contains(" onclick")
            );
        }
    }
}
