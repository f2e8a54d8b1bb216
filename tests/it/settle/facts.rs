//! What happened in a small world: clicks and conversions, and the rows that the consumer makes of them.

use leadtrail::ids::EventId;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;

const NODE: u32 = 7;

/// Yesterday at 00:00 UTC: rows about a day's hash are deleted four days after the click.
pub fn yesterday() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap() / DAY * DAY - DAY
}

/// How a browser is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Who {
    #[default]
    Nobody,
    Cookie(u64),
    Hash(u64),
}

impl Who {
    pub fn visitor(self) -> u128 {
        match self {
            Self::Nobody => 0,
            Self::Cookie(number) => (1 << 100) + u128::from(number),
            Self::Hash(hash) => u128::from(hash),
        }
    }

    fn basis(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Cookie(_) => "cookie",
            Self::Hash(_) => "daily_hash",
        }
    }
}

/// A click. Its id holds the time of receipt, `time + lag`.
#[derive(Clone, Debug, Default)]
pub struct Click {
    pub seq: u32,
    pub time: i64,
    pub lag: i64,
    pub site: &'static str,
    pub who: Who,
    pub hash: u64,
    pub class: &'static str,
    pub link: &'static str,
    pub affiliate: &'static str,
    pub offer: &'static str,
    /// What the affiliate's network calls the click.
    pub network: &'static str,
}

impl Click {
    pub fn id(&self) -> EventId {
        EventId::from_parts(u64::try_from(self.time + self.lag).unwrap(), self.seq, NODE)
    }

    /// As a signed click id tells it.
    pub fn named(&self) -> Named {
        let number = |names: &[&str], name: &str| {
            names.iter().position(|known| *known == name).map_or(0, |index| index as u32 + 1)
        };
        Named {
            id: self.id().as_u128(),
            link: number(&["ad-link", "club-link"], self.link),
            offer: number(&["spring", "summer", "share", "steps", "capped", "lasting"], self.offer),
            affiliate: number(&["blogger", "dealsite"], self.affiliate),
        }
    }
}

/// What a conversion says of its click.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named {
    pub id: u128,
    pub link: u32,
    pub offer: u32,
    pub affiliate: u32,
}

/// A lead or conversion.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    pub seq: u32,
    pub time: i64,
    pub site: &'static str,
    pub kind: &'static str,
    pub who: Who,
    pub hash: u64,
    pub named: Named,
    pub order: &'static str,
    pub goal: &'static str,
    /// What the same submission of a form has again; 0: none.
    pub submission: u64,
    /// How it was judged; empty: human.
    pub class: &'static str,
    pub told: Option<Told>,
    pub coupon: &'static str,
    /// What the network calls the click.
    pub network: &'static str,
    /// Of a message's amount; empty: euros.
    pub currency: &'static str,
    /// How much later than it happened an edge took it.
    pub lag: i64,
    /// True for a message of the shop's own server.
    pub by_api: bool,
    /// The offer that it names.
    pub said_offer: &'static str,
}

/// What a server's message says.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub transaction: &'static str,
    pub status: &'static str,
    /// In whole units.
    pub amount: Option<i64>,
    pub mode: &'static str,
}

impl Conversion {
    pub fn is_lead(&self) -> bool {
        self.kind == "lead"
    }
}

/// A click on `ad-link` in `shop` by a human.
pub fn click(seq: u32, time: i64) -> Click {
    Click { seq, time, site: "shop", class: "human", link: "ad-link", ..Click::default() }
}

/// The same by an affiliate's link.
pub fn affiliate_click(seq: u32, time: i64, affiliate: &'static str, offer: &'static str) -> Click {
    Click { affiliate, offer, link: "", ..click(seq, time) }
}

/// A sale that a pixel in `shop` reports.
pub fn sale(seq: u32, time: i64) -> Conversion {
    Conversion { seq, time, site: "shop", kind: "purchase", ..Conversion::default() }
}

/// Something that was stored.
#[derive(Clone, Debug)]
pub enum Fact {
    Click(Click),
    Conversion(Conversion),
}

impl From<Click> for Fact {
    fn from(click: Click) -> Self {
        Self::Click(click)
    }
}

impl From<Conversion> for Fact {
    fn from(conversion: Conversion) -> Self {
        Self::Conversion(conversion)
    }
}

fn time(millis: i64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

pub fn event(click: &Click) -> Value {
    json!({
        "site": click.site, "visitor": click.who.visitor().to_string(), "event_time": time(click.time), "id_seq": click.seq,
        "id_node": NODE, "event_type": "click", "received_lag_ms": click.lag, "source_kind": "redirect",
        "visitor_basis": click.who.basis(), "day_hash": click.hash, "link": click.link,
        "ad": if click.link == "ad-link" { "boots" } else { "" }, "affiliate": click.affiliate, "offer": click.offer,
        "traffic_class": click.class, "ivt": "none", "external_click_id": click.network,
    })
}

pub fn touch_keys(click: &Click) -> Vec<Value> {
    let row = |kind: &str, key: u128| {
        json!({
            "site": click.site, "kind": kind, "key": key.to_string(), "event_time": time(click.time), "id_seq": click.seq,
            "id_node": NODE, "received_lag_ms": click.lag, "visitor": click.who.visitor().to_string(),
        })
    };
    let mut rows = vec![row("click_id", click.id().as_u128())];
    if click.hash != 0 {
        rows.push(row("day_hash", u128::from(click.hash)));
    }
    rows
}

/// The key by which a postback finds a click that it knows by the network's id alone.
pub fn network_keys(click: &Click) -> Vec<Value> {
    if click.network.is_empty() {
        return Vec::new();
    }
    let hash = Sha256::digest(click.network.as_bytes());
    let key = u128::from_le_bytes(hash[..16].try_into().unwrap());
    let mut row = touch_keys(click).remove(0);
    row["kind"] = json!("network_click_id");
    row["key"] = json!(key.to_string());
    vec![row]
}

pub fn conversion_row(conversion: &Conversion) -> Value {
    let mut row = plain_row(conversion);
    if let Some(told) = conversion.told {
        let more = json!({
            "source_kind": "s2s", "source_profile": if conversion.by_api { "v1/key" } else { "network" },
            "transaction_key": if conversion.by_api { format!("api\u{1f}\u{1f}\u{1f}{}", told.transaction) } else { told.transaction.to_owned() }, "transaction_id": told.transaction,
            "status": told.status, "duplicate_mode": told.mode, "has_amount": u8::from(told.amount.is_some()),
            "amount": told.amount.unwrap_or(0).to_string(), "currency": match (told.amount, conversion.currency) { (None, _) => "", (_, "") => "EUR", (_, other) => other },
            "traffic_class": if told.status == "test" { "test" } else { "human" },
        });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    row
}

fn plain_row(conversion: &Conversion) -> Value {
    json!({
        "site": conversion.site, "event_type": conversion.kind, "event_time": time(conversion.time),
        "visitor": conversion.who.visitor().to_string(), "id_seq": conversion.seq, "id_node": NODE, "received_lag_ms": conversion.lag, "coupon": conversion.coupon, "external_click_id": conversion.network,
        "source_kind": if conversion.is_lead() { "web_form" } else { "pixel" }, "visitor_basis": conversion.who.basis(),
        "day_hash": conversion.hash, "parent_click": conversion.named.id.to_string(), "parent_link": conversion.named.link,
        "parent_offer": conversion.named.offer, "parent_affiliate": conversion.named.affiliate,
        "amount": if conversion.is_lead() { "0" } else { "12.50" }, "currency": if conversion.is_lead() { "" } else { "CHF" },
        "offer": conversion.said_offer, "order_id": conversion.order, "goal": conversion.goal, "submission_key": conversion.submission,
        "traffic_class": if conversion.class.is_empty() { "human" } else { conversion.class },
    })
}
