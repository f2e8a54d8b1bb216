//! A profile's file: `config/dialects/postbacks/{name}.toml`.
//!
//! In: TOML. Out: [`File`]. Refuses: an unknown key or role, naming file, line and the nearest valid one. Promises: everything that
//! differs between networks stands in these files; a network that isn't there yet needs a file, no code.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::money::{Decimal, Unit};
use super::status::StatusMap;
use crate::event::Duplicates;

/// What a parameter is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "README.md lists them")]
pub enum Role {
    ClickId,
    Transaction,
    Order,
    Amount,
    Currency,
    Status,
    Event,
    Coupon,
    Customer,
    Tax,
    Shipping,
    Discount,
    Offer,
    Time,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::ClickId,
        Self::Transaction,
        Self::Order,
        Self::Amount,
        Self::Currency,
        Self::Status,
        Self::Event,
        Self::Coupon,
        Self::Customer,
        Self::Tax,
        Self::Shipping,
        Self::Discount,
        Self::Offer,
        Self::Time,
    ];

    /// As the files have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::ClickId => "click_id",
            Self::Transaction => "transaction",
            Self::Order => "order",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::Status => "status",
            Self::Event => "event",
            Self::Coupon => "coupon",
            Self::Customer => "customer",
            Self::Tax => "tax",
            Self::Shipping => "shipping",
            Self::Discount => "discount",
            Self::Offer => "offer",
            Self::Time => "time",
        }
    }
}

/// What the network's conversions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// Goals of any kind.
    #[default]
    Conversion,
    /// Sales: of a shop.
    Sale,
}

/// The money of a profile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Money {
    /// The sign before decimals.
    pub decimal: Decimal,
    /// What a whole number counts.
    pub unit: Unit,
    /// The currency, where no parameter says it.
    pub currency: String,
    /// Signs between the amounts of a list that is summed; empty: no list.
    pub list: String,
}

/// How the lines of an order come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStyle {
    /// `ITEM1`, `ITEM2`: the names have a `#` where the number stands.
    Numbered,
    /// One parameter holds all, with a sign between.
    List,
    /// Each parameter comes once for a line: JSON arrays, groups in a path.
    Repeated,
    /// One parameter holds `GROUP:amount|GROUP:amount`.
    Parts,
}

/// The lines of an order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "README.md lists them")]
pub struct Items {
    pub style: ItemStyle,
    #[serde(default)]
    pub sku: String,
    #[serde(default)]
    pub quantity: String,
    #[serde(default)]
    pub price: String,
    /// True where the price is of the whole line.
    #[serde(default)]
    pub price_is_total: bool,
    /// Between the entries of a list.
    #[serde(default)]
    pub separator: String,
}

/// How the network wants to be answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// What it takes for success; `gif` is the pixel.
    pub accepted: String,
    /// What it takes for failure; `{code}` and `{message}` are ours.
    pub refused: String,
    /// The status of a refusal; 0: the refusal's own.
    pub refused_status: u16,
}

impl Default for Reply {
    fn default() -> Self {
        Self { accepted: "OK".to_owned(), refused: "ERROR {code}".to_owned(), refused_status: 0 }
    }
}

/// How a path beyond the door's name is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathStyle {
    /// It isn't.
    #[default]
    None,
    /// `/key:value/[key:value/key:value]`: Partnerize.
    Colon,
    /// `/key/value/key/value`: Admitad.
    Pairs,
    /// `/key(value)key(value)`: Tradedoubler.
    Parentheses,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the functions' own")]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
    HmacMd5,
    HmacSha1,
    HmacSha256,
    HmacSha512,
}

/// How the sender proves who it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "README.md lists them")]
pub enum Authentication {
    /// A secret in the path, a parameter or a header.
    Secret {
        #[serde(default)]
        parameters: Vec<String>,
        #[serde(default)]
        headers: Vec<String>,
    },
    /// A checksum or HMAC over a text.
    Digest {
        algorithm: Algorithm,
        /// Where it stands; empty: in `header`.
        #[serde(default)]
        parameter: String,
        #[serde(default)]
        header: String,
        /// What stands before it.
        #[serde(default)]
        prefix: String,
        /// `{name}` a parameter as it was sent (decoded), `{secret}`, `{body}`, `{sorted}`.
        text: String,
        /// One parameter in `{sorted}`: `{name}`, `{NAME}`, `{value}`, `{secret}`.
        #[serde(default)]
        each: String,
        /// Between two of them.
        #[serde(default)]
        join: String,
        /// True where it is written in base64.
        #[serde(default)]
        base64: bool,
    },
    /// Stripe's way: a header with the time and HMAC-SHA-256 in hex, over both the time and the body.
    Timestamped {
        /// The header: `t=1790000000,v1=5257…`; several signatures may stand in it.
        header: String,
        /// The name of the time in it, in seconds.
        #[serde(default = "usual_time")]
        time: String,
        /// The name of a signature.
        #[serde(default = "usual_signature")]
        signature: String,
        /// Between the parts of the header.
        #[serde(default = "usual_separator")]
        separator: String,
        /// Between time and body.
        #[serde(default = "usual_join")]
        join: String,
    },
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks,
    /// ClickBank's INS: to be able to read it is the proof.
    Clickbank,
}

/// A profile, as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "README.md lists them")]
pub struct File {
    pub network: String,
    /// Where the facts come from.
    pub source: String,
    /// True where the network's own page or real traffic was seen.
    #[serde(default)]
    pub verified: bool,
    /// The network's own paths: what is before the part that `path` reads. `{secret}` stands for a segment.
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    pub path: PathStyle,
    /// Segments of the path after the name, by parameter: `["click", "", "account"]`; empty ones are passed over.
    #[serde(default)]
    pub segments: Vec<String>,
    #[serde(default)]
    pub records: Records,
    #[serde(default)]
    pub duplicates: Duplicates,
    /// What must be there; `a|b`: one of them.
    #[serde(default = "usual_required")]
    pub required: Vec<String>,
    #[serde(default)]
    pub parameters: BTreeMap<Role, Vec<String>>,
    /// True where the same names may stand inside `data`, `payload`, `order` and other wrappers.
    #[serde(default)]
    pub nested: bool,
    /// Their names of sub ids, in order: `sub1`, `sub2`, …
    #[serde(default)]
    pub subs: Vec<String>,
    /// Parameters whose presence is an event of their name.
    #[serde(default)]
    pub event_flags: Vec<String>,
    #[serde(default)]
    pub placeholders: Vec<String>,
    #[serde(default)]
    pub status: StatusMap,
    #[serde(default)]
    pub money: Money,
    pub items: Option<Items>,
    #[serde(default)]
    pub reply: Reply,
    pub authentication: Option<Authentication>,
    /// Parameters and the values that make a test of it.
    #[serde(default)]
    pub test: BTreeMap<String, Vec<String>>,
    /// Words for a new and for a returning customer, in lower case.
    #[serde(default)]
    pub new_customer: Vec<String>,
    #[serde(default)]
    pub returning_customer: Vec<String>,
}

fn usual_time() -> String {
    "t".to_owned()
}

fn usual_signature() -> String {
    "v1".to_owned()
}

fn usual_separator() -> String {
    ",".to_owned()
}

fn usual_join() -> String {
    ".".to_owned()
}

fn usual_required() -> Vec<String> {
    vec!["click_id|transaction|order".to_owned()]
}
