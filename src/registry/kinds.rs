//! What stands in `sites.toml`: one type for each kind of entry, with the file's own names.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Deserialize;
use url::{Position, Url};

use crate::event::Duplicates;
use crate::language::Language;
use crate::money::{Amount, Currency};
use crate::receive::charset::Charset;

/// How a site's visitors are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitorMode {
    /// By a cookie that the redirect sets; the daily hash besides.
    Cookie,
    /// By the daily hash alone.
    DailyHash,
    /// Not at all.
    None,
}

/// What becomes of files that come with a form. None is ever kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Files {
    /// They are skipped; the lead says what they were.
    #[default]
    Skip,
    /// The post is refused.
    Refuse,
}

/// A site: whose events these are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// As reports show it.
    pub name: String,
    /// As visitors read it on our own pages; empty: the name.
    #[serde(default)]
    pub title: String,
    /// The language of our own pages where the visitor's wish is none of ours.
    pub language: Option<Language>,
    /// `scheme://host[:port]` of its pages: for CORS and for return URLs.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Further ones that a form may return to, and no more.
    #[serde(default)]
    pub return_origins: Vec<String>,
    /// Where a form without an allowed return URL goes; empty: our own page.
    #[serde(default)]
    pub thank_you: String,
    /// How browsers are known.
    pub visitor: VisitorMode,
    /// A cookie, as `name` or `name=value`, by which a browser shows consent to ours; empty: the site's policy is enough.
    #[serde(default)]
    pub consent_cookie: String,
    /// Hosts at which the vendors' own paths are forms of this site, in lower case and without port; `*` is every host.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The dialects whose paths are taken there; empty: all.
    #[serde(default)]
    pub dialects: Vec<String>,
    /// What becomes of files.
    #[serde(default)]
    pub files: Files,
    /// Where most of its visitors telephone from, as two letters: for numbers without a country.
    pub country: Option<CountryCode>,
    /// Where registered and signed links may lead: `host`, `host:port` or `*.host`; empty: the hosts of the origins.
    #[serde(default)]
    pub link_hosts: Vec<String>,
    /// Schemes of apps that links may open, such as `shopapp`.
    #[serde(default)]
    pub link_schemes: Vec<String>,
}

impl Site {
    /// True when `origin` (as in the `Origin` header) is one of the site's own.
    pub fn owns_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }

    /// True when a link may lead to this authority (`host`, or `host:port` where the port is not the scheme's own).
    pub fn leads_to(&self, authority: &str) -> bool {
        if self.link_hosts.is_empty() {
            let mut own = self.origins.iter().chain(&self.return_origins);
            return own.any(|own| own.split_once("://").is_some_and(|(_, own)| own == authority));
        }
        self.link_hosts.iter().any(|listed| lists(listed, authority))
    }

    /// True when a form may send the browser to a page there.
    pub fn returns_to(&self, origin: &str) -> bool {
        self.origins.iter().chain(&self.return_origins).any(|own| own == origin)
    }
}

/// A form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// As in `/f/{name}`.
    pub name: String,
    /// Whose it is.
    pub site: String,
    /// The language of the page that it stands on, if it isn't the site's.
    pub language: Option<Language>,
    /// True when its page puts a signed time of rendering into it: one that comes without is suspect.
    #[serde(default)]
    pub rendered_time: bool,
    /// Whose conventions it follows; empty: its fields tell.
    #[serde(default)]
    pub dialect: String,
    /// What the vendor calls it: ids from the path or from control fields, with slashes between them or one alone.
    #[serde(default)]
    pub ids: Vec<String>,
    /// Canonical lead fields without which a post is refused.
    #[serde(default)]
    pub required: Vec<String>,
    /// What its page is written in, if it isn't UTF-8 and doesn't say so.
    #[serde(default)]
    pub charset: Charset,
    /// What becomes of files, if it isn't what its site says.
    pub files: Option<Files>,
    /// Where its visitors telephone from, if it isn't where the site says.
    pub country: Option<CountryCode>,
}

impl Form {
    /// What becomes of files that come with it.
    pub fn files(&self, site: &Site) -> Files {
        self.files.unwrap_or(site.files)
    }
}

/// Two capital letters, as ISO 3166-1 has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// The letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl TryFrom<String> for CountryCode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Ok(Self([*a, *b])),
            _ => Err(format!("`{text}` is no country: two capital letters, such as PL")),
        }
    }
}

/// A registered link: an ad's or a mail's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key; the names are the field's own")]
pub struct Link {
    pub number: u32,
    pub name: String,
    pub site: String,
    pub destination: Url,
    #[serde(default)]
    pub campaign: String,
    #[serde(default)]
    pub ad: String,
    #[serde(default)]
    pub creative: String,
    #[serde(default)]
    pub placement: String,
    #[serde(default)]
    pub mailing: String,
    #[serde(default)]
    pub product: String,
    #[serde(default)]
    pub price_variant: String,
    pub price: Option<Amount>,
    pub currency: Option<Currency>,
}

/// An affiliate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key")]
pub struct Affiliate {
    pub number: u32,
    pub name: String,
    /// How its links at our own door are written: a file in `config/dialects/clicks`; empty: our own way.
    #[serde(default)]
    pub profile: String,
}

/// A network or tracker whose own click addresses are taken here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// For the one who reads the file.
    pub name: String,
    /// A file in `config/dialects/clicks`; empty: the name's own.
    #[serde(default)]
    pub profile: String,
    /// Hosts at which its paths are taken, in lower case and without port; `*`: every host.
    pub hosts: Vec<String>,
    /// Their offer or campaign ids, to our offers.
    #[serde(default)]
    pub offers: BTreeMap<String, String>,
    /// Their affiliate ids, to our affiliates.
    #[serde(default)]
    pub affiliates: BTreeMap<String, String>,
    /// The offer, where an address names none.
    #[serde(default)]
    pub offer: String,
    /// The affiliate, where an address names none.
    #[serde(default)]
    pub affiliate: String,
}

/// An offer that affiliates send visitors to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key; the names are the field's own")]
pub struct Offer {
    pub number: u32,
    pub name: String,
    pub site: String,
    pub destination: Url,
    #[serde(default = "default_click_parameter")]
    pub click_parameter: String,
    #[serde(default)]
    pub affiliates: Vec<String>,
    /// Where deep links may lead besides: `host`, `host:port` or `*.host`; empty: the destination's own host.
    #[serde(default)]
    pub deep_hosts: Vec<String>,
    /// What the destination gets besides our click id: its parameter, and the word for what stands there (`sub1`, `affiliate`, …).
    #[serde(default)]
    pub pass: BTreeMap<String, String>,
    /// For visitors of these countries only; empty: of all.
    #[serde(default)]
    pub countries: Vec<CountryCode>,
    /// Clicks of a day (UTC) that go there.
    pub cap_day: Option<u64>,
    /// Clicks of a month (UTC) that go there.
    pub cap_month: Option<u64>,
    /// The same, of each affiliate.
    pub affiliate_cap_day: Option<u64>,
    /// The same, of each affiliate.
    pub affiliate_cap_month: Option<u64>,
    /// Where a visitor goes who is not for the offer, or comes when it is full.
    pub fallback: Option<Url>,
    pub amount: Option<Amount>,
    pub currency: Option<Currency>,
    /// The most that a conversion is believed to be worth; more is flagged.
    pub amount_max: Option<Amount>,
    pub payout: Option<Amount>,
    pub window_days: Option<u32>,
    /// In place of `payout`: so many per cent of the amount.
    pub payout_percent: Option<Amount>,
    /// From which conversion of the month on, by affiliate, another payout counts.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// Conversions of one affiliate and day that are paid.
    pub payout_cap_day: Option<u32>,
    /// Conversions of one affiliate and month that are paid.
    pub payout_cap_month: Option<u32>,
    /// How long a payout stays provisional without an approval; not given: until the approval.
    pub lock_after_days: Option<u32>,
    /// Coupon codes, and the affiliates that own them.
    #[serde(default)]
    pub coupons: BTreeMap<String, String>,
}

impl Offer {
    /// True when a payout depends on other conversions.
    pub fn has_rule(&self) -> bool {
        !self.tiers.is_empty() || self.payout_cap_day.is_some() || self.payout_cap_month.is_some()
    }
}

/// A step of an offer's payout.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key")]
pub struct Tier {
    pub from: u32,
    pub payout: Option<Amount>,
    pub payout_percent: Option<Amount>,
}

impl Offer {
    /// True when there are caps.
    pub fn is_capped(&self) -> bool {
        [self.cap_day, self.cap_month, self.affiliate_cap_day, self.affiliate_cap_month]
            .iter()
            .any(Option::is_some)
    }

    /// True when a deep link may lead to this authority.
    pub fn leads_to(&self, authority: &str) -> bool {
        if self.deep_hosts.is_empty() {
            return &self.destination[Position::BeforeHost..Position::BeforePath] == authority;
        }
        self.deep_hosts.iter().any(|listed| lists(listed, authority))
    }
}

/// True when an entry of a list of hosts means this authority. `*.shop.example` admits every host below it, and not itself.
fn lists(listed: &str, authority: &str) -> bool {
    match listed.strip_prefix('*') {
        Some(end) => authority.len() > end.len() && authority.ends_with(end),
        None => listed == authority,
    }
}

fn default_click_parameter() -> String {
    "lt".to_owned()
}

/// What is kept of a mail's open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opens {
    /// Whose mail it was, by the keyed hash of the sender's own reference, and by which browser. Needs consent in many places.
    Individual,
    /// That some mail of the mailing was opened; neither recipient nor browser.
    #[default]
    Aggregate,
    /// Nothing.
    Off,
}

/// A mailing, for open pixels and mail links.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/sites.toml shows each key")]
pub struct Mailing {
    pub number: u32,
    pub name: String,
    pub site: String,
    #[serde(default)]
    pub campaign: String,
    #[serde(default)]
    pub opens: Opens,
}

/// An installed postback: which network or tracker reports to which site, and how it proves itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Postback {
    /// As in `/postback/{name}`.
    pub name: String,
    /// A file in `config/dialects/postbacks`; empty: the name's own.
    #[serde(default)]
    pub profile: String,
    /// Whose conversions these are.
    pub site: String,
    /// Whose offer, where the network doesn't say.
    #[serde(default)]
    pub offer: String,
    /// Their offer ids, to ours.
    #[serde(default)]
    pub offers: BTreeMap<String, String>,
    /// A file of mode 0600 with one secret a line; any of them proves.
    #[serde(default)]
    pub secret_file: String,
    /// An environment variable with the secret, where there is no file.
    #[serde(default)]
    pub secret_env: String,
    /// Who may send; empty: everybody.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
    /// Hosts at which the network's own paths lead here, in lower case and without port.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The currency, where neither the postback nor its profile says one.
    pub currency: Option<Currency>,
    /// What a second message about a transaction means, where the profile's own way isn't meant.
    pub duplicates: Option<Duplicates>,
    /// True while it is tried out: everything is recorded as a test.
    #[serde(default)]
    pub test: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) site: Vec<Site>,
    #[serde(default)]
    pub(super) form: Vec<Form>,
    #[serde(default)]
    pub(super) link: Vec<Link>,
    #[serde(default)]
    pub(super) affiliate: Vec<Affiliate>,
    #[serde(default)]
    pub(super) offer: Vec<Offer>,
    #[serde(default)]
    pub(super) mailing: Vec<Mailing>,
    #[serde(default)]
    pub(super) postback: Vec<Postback>,
    #[serde(default)]
    pub(super) network: Vec<Network>,
}
