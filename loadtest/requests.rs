//! The bytes of each request. In: its number, a seed and what the site has (links, forms, ads). Out:
//! one whole HTTP/1.1 request, the same for the same number, but for the click it joins to. Refuses
//! names that would need escaping. All persons are made up (`example.org`).

use std::collections::BTreeMap;
use std::io::Write as _;

use crate::click_pool::ClickPool;
use crate::dice::Dice;
use crate::mix::{Kind, Mix};
use crate::site::Site;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
];
const LANGUAGES: [&str; 4] =
    ["en-GB,en;q=0.9", "de-DE,de;q=0.9,en;q=0.5", "fr-FR,fr;q=0.9", "es-ES"];
const FIRST_NAMES: [&str; 6] = ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Zoë"];
const LAST_NAMES: [&str; 6] = ["Muster", "Sample", "Exemple", "Ejemplo", "Esempio", "Näide"];
const PRICES: [&str; 4] = ["9.90", "12.50", "19.00", "49.90"];
const BOUNDARY: &str = "----leadtrail-load-7MA4YWxkTrZu0gW";

/// Makes requests.
pub struct Requests {
    /// What is drawn from.
    pub site: Site,
    /// The kinds and their weights.
    pub mix: Mix,
    /// Decides everything but the clicks.
    pub seed: u64,
    /// The run's name: the first part of each tag.
    pub run: String,
}

impl Requests {
    /// The kind of request `number`.
    pub fn kind(&self, number: u64) -> Kind {
        self.mix.throw(&mut Dice::of(self.seed, number))
    }

    /// Writes request `number` to the end of `out` and tells its kind.
    pub fn write(&self, number: u64, clicks: &mut ClickPool, out: &mut Vec<u8>) -> Kind {
        let dice = &mut Dice::of(self.seed, number);
        let kind = self.mix.throw(dice);
        let site = &self.site;
        let tag = tag(&self.run, number);
        match kind {
            Kind::Click => {
                let link = dice.pick(&site.links);
                self.get(out, dice, format_args!("/c/{link}?sub1={tag}"));
            }
            Kind::Affiliate => {
                let affiliate = dice.pick(&site.affiliates);
                let path = format_args!("/a/{affiliate}/{}?sub1={tag}", site.offer);
                self.get(out, dice, path);
            }
            Kind::Open => {
                let token = dice.pick(&site.open_tokens);
                self.get(out, dice, format_args!("/o/{token}.gif?sub1={tag}"));
            }
            Kind::Impression => {
                let (ad, price) = (dice.pick(&site.ads), dice.pick(&PRICES));
                self.get(out, dice, format_args!("/i.gif?ad={ad}&price={price}&sub1={tag}"));
            }
            Kind::Pixel => {
                let (amount, click) = (dice.pick(&PRICES), self.click(dice, clicks));
                let (before, click) = click.map_or(("", String::new()), |click| ("&lt=", click));
                let path = format_args!(
                    "/x.gif?goal=sale&amount={amount}&currency=EUR&order={tag}&sub1={tag}{before}{click}"
                );
                self.get(out, dice, path);
            }
            Kind::Postback => {
                let (amount, click) = (dice.pick(&PRICES), self.click(dice, clicks));
                let (name, click) = (&site.postback, click.unwrap_or_default());
                let path = format_args!(
                    "/postback/{name}?subid={click}&payout={amount}&currency=EUR&status=sale&tid={tag}&sub_id_1={tag}"
                );
                self.get(out, dice, path);
            }
            Kind::Form | Kind::Multipart | Kind::Json => self.post(kind, &tag, dice, clicks, out),
        }
        kind
    }

    fn click(&self, dice: &mut Dice, clicks: &mut ClickPool) -> Option<String> {
        if dice.chance(self.site.join_share) { clicks.draw(dice) } else { None }
    }

    fn get(&self, out: &mut Vec<u8>, dice: &mut Dice, path: std::fmt::Arguments<'_>) {
        write(out, format_args!("GET {path} HTTP/1.1\r\nAccept: */*\r\n"));
        self.common_headers(out, dice);
        write(out, format_args!("\r\n"));
    }

    fn post(
        &self,
        kind: Kind,
        tag: &str,
        dice: &mut Dice,
        clicks: &mut ClickPool,
        out: &mut Vec<u8>,
    ) {
        let fields = self.fields(tag, dice, clicks);
        let (content_type, boundary, accept, body) = match kind {
            Kind::Json => ("application/json", "", "application/json", json(&fields)),
            Kind::Multipart => {
                ("multipart/form-data; boundary=", BOUNDARY, "text/html", multipart(&fields))
            }
            _ => ("application/x-www-form-urlencoded", "", "text/html", urlencoded(&fields)),
        };
        let form = dice.pick(&self.site.forms);
        write(
            out,
            format_args!(
                "POST /f/{form} HTTP/1.1\r\nAccept: {accept}\r\nContent-Type: {content_type}{boundary}\r\nContent-Length: {}\r\n",
                body.len()
            ),
        );
        if let Some(origin) = &self.site.origin {
            write(out, format_args!("Origin: {origin}\r\n"));
        }
        self.common_headers(out, dice);
        write(out, format_args!("\r\n"));
        out.extend_from_slice(&body);
    }

    fn common_headers(&self, out: &mut Vec<u8>, dice: &mut Dice) {
        let (host, agent, language) = (&self.site.host, dice.pick(&AGENTS), dice.pick(&LANGUAGES));
        write(
            out,
            format_args!("Host: {host}\r\nUser-Agent: {agent}\r\nAccept-Language: {language}\r\n"),
        );
        if self.site.addresses > 0 {
            let [a, b, c, d] = address(dice.below(u64::from(self.site.addresses)));
            write(out, format_args!("X-Forwarded-For: {a}.{b}.{c}.{d}\r\n"));
        }
    }

    fn fields(&self, tag: &str, dice: &mut Dice, clicks: &mut ClickPool) -> Vec<(&str, String)> {
        let (first, last) = (dice.pick(&FIRST_NAMES), dice.pick(&LAST_NAMES));
        let mut fields = vec![
            ("name", format!("{first} {last}")),
            ("email", format!("{tag}@example.org")),
            ("phone", format!("+49 30 {:07}", dice.below(10_000_000))),
            ("product", "Garden shed".to_owned()),
            ("message", "Please call me back: which sizes & colours are there?".to_owned()),
            ("sub1", tag.to_owned()),
        ];
        fields.extend(self.click(dice, clicks).map(|click| ("lt", click)));
        fields.extend(self.site.fields.iter().map(|(name, value)| (name.as_str(), value.clone())));
        fields
    }
}

/// The mark by which request `number` of `run` is found in the warehouse.
pub fn tag(run: &str, number: u64) -> String {
    format!("{run}-{number}")
}

/// Address `index` of the pool: spread over 11.0.0.0 .. 99.255.255.255, each in a network of its own
/// (/24) up to 65,536 and more of them, so that limits by cut address do not bite.
fn address(index: u64) -> [u8; 4] {
    // An odd factor makes this a permutation of the 24-bit numbers.
    let [_, high, middle, low] = ((index.wrapping_mul(0x9E_3779) & 0xFF_FFFF) as u32).to_be_bytes();
    [11 + low % 89, middle, high, 1 + low / 89]
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

fn urlencoded(fields: &[(&str, String)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::with_capacity(512))
        .extend_pairs(fields)
        .finish()
        .into_bytes()
}

fn json(fields: &[(&str, String)]) -> Vec<u8> {
    let object: BTreeMap<&str, &str> =
        fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    serde_json::to_vec(&object).expect("strings are always JSON")
}

fn multipart(fields: &[(&str, String)]) -> Vec<u8> {
    let mut body = Vec::with_capacity(1024);
    for (name, value) in fields {
        write(
            &mut body,
            format_args!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ),
        );
    }
    write(&mut body, format_args!("--{BOUNDARY}--\r\n"));
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::tests::site;

    fn text(requests: &Requests, number: u64, clicks: &mut ClickPool) -> String {
        let mut out = Vec::new();
        requests.write(number, clicks, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn only(kind: Kind) -> Requests {
        Requests { site: site(), mix: Mix::only(kind), seed: 3, run: "r".into() }
    }

    #[test]
    fn every_request_carries_its_tag_and_is_whole() {
        for kind in Kind::ALL {
            let request = text(&only(kind), 42, &mut ClickPool::default());
            assert!(request.contains("r-42"), "{request}");
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            assert_eq!(length.map_or(0, |length| length.parse().unwrap()), body.len(), "{request}");
            assert_eq!(request, text(&only(kind), 42, &mut ClickPool::default()), "not repeatable");
            assert_ne!(request, text(&only(kind), 43, &mut ClickPool::default()));
        }
    }

    #[test]
    fn the_three_encodings_hold_the_same_fields() {
        let requests = only(Kind::Form);
        let fields = requests.fields("r-1", &mut Dice::of(3, 1), &mut ClickPool::default());
        let owned = |fields: &[(&str, String)]| -> Vec<(String, String)> {
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let decoded: Vec<(String, String)> =
            form_urlencoded::parse(&urlencoded(&fields)).into_owned().collect();
        assert_eq!(decoded, owned(&fields));
        let decoded: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&json(&fields)).unwrap();
        assert_eq!(decoded.len(), fields.len());
        assert!(fields.iter().all(|(name, value)| decoded[*name] == value.as_str()));
        let parts = String::from_utf8(multipart(&fields)).unwrap();
        for (name, value) in &fields {
            assert!(parts.contains(&format!("name=\"{name}\"\r\n\r\n{value}\r\n")));
        }
    }

    #[test]
    fn half_of_the_forms_and_pixels_name_a_click_when_there_are_clicks() {
        for (kind, mark) in [(Kind::Form, "&lt=click"), (Kind::Pixel, "&lt=click")] {
            let (requests, mut clicks) = (only(kind), ClickPool::default());
            let joined = (0..1000)
                .filter(|&number| {
                    clicks.put(b"/?lt=click", &mut Dice::of(9, number));
                    text(&requests, number, &mut clicks).contains(mark)
                })
                .count();
            assert!((430..570).contains(&joined), "{joined}");
        }
    }

    #[test]
    fn the_address_pool_has_as_many_networks_as_addresses() {
        let networks: std::collections::HashSet<[u8; 3]> = (0..60_000)
            .map(|index| {
                let [a, b, c, d] = address(index);
                assert!((11..100).contains(&a) && d != 0);
                [a, b, c]
            })
            .collect();
        assert!(networks.len() > 59_000, "{}", networks.len());
    }
}
