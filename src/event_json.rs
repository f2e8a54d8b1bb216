//! The event as one line of JSON, written by hand.
//!
//! In: an [`Event`]. Out: byte for byte what serde would write (a property test holds it to that). Promises: a quarter of serde's
//! instructions. Encoding was the largest part of a redirect's way through the edge (callgrind: 15,700 of 54,000
//! instructions), most of it in looking at each byte of each string; here eight are looked at together.

use std::io::Write as _;
use std::net::IpAddr;

use uuid::Uuid;

use crate::decision::{Act, Decision};
use crate::event::{
    Client, Duplicates, Event, EventType, FormPost, NewCustomer, Origin, Partner, Promotion,
    SourceKind, VisitorBasis, Worth,
};
use crate::money::{Amount, SCALE};
use crate::tokens::ClickClaim;

/// Most records are between 500 and 1,000 bytes; a block of this size still comes from the allocator's fast lists.
const RECORD_BYTES_USUAL: usize = 1_000;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The record's bytes.
pub fn write(event: &Event) -> Vec<u8> {
    let mut json = Json(Vec::with_capacity(RECORD_BYTES_USUAL));
    whole(&mut json, event);
    json.0
}

fn whole(json: &mut Json, event: &Event) {
    json.object(|json| {
        json.number("v", event.v.into());
        json.key("id").uuid(event.id.to_bytes());
        json.plain("type", type_word(event.event_type));
        json.plain("source", source_word(event.source));
        json.key("site").string(&event.site);
        json.number("event_time", event.event_time);
        if let Some(claimed) = event.claimed_time {
            json.number("claimed_time", claimed);
        }
        if !event.visitor.is_none() {
            json.key("visitor").hex(&event.visitor.as_u128().to_be_bytes());
        }
        json.plain("visitor_basis", basis_word(event.visitor_basis));
        if !event.day_hash.is_none() {
            json.key("day_hash").hex(&event.day_hash.0.to_be_bytes());
        }
        if !event.submission_key.is_none() {
            json.key("submission_key").hex(&event.submission_key.0.to_be_bytes());
        }
        if let Some(claim) = &event.parent_click {
            json.key("parent_click").object(|json| click(json, claim));
            json.comma();
        }
        json.key("promotion").object(|json| promotion(json, &event.promotion));
        json.comma();
        if let Some(currency) = &event.price_currency {
            json.plain("price_currency", currency.as_str());
        }
        json.key("origin").object(|json| origin(json, &event.origin));
        json.comma();
        json.key("client").object(|json| client(json, &event.client));
        json.comma();
        if let Some(post) = &event.form {
            json.key("form").object(|json| form(json, post));
            json.comma();
        }
        if let Some(claim) = &event.worth {
            json.key("worth").object(|json| worth(json, claim));
            json.comma();
        }
        if !event.recipient.is_none() {
            json.key("recipient").hex(&event.recipient.0.to_be_bytes());
        }
        if let Some(decided) = &event.decision {
            json.key("decision").object(|json| decision(json, decided));
            json.comma();
        }
        if let Some(report) = &event.partner {
            json.key("partner").object(|json| partner(json, report));
            json.comma();
        }
        if !event.others.is_empty() {
            json.key("others").list(&event.others, |json, shown| {
                json.object(|json| {
                    json.key("promotion").object(|json| promotion(json, &shown.promotion));
                    json.comma();
                    if let Some(currency) = &shown.price_currency {
                        json.plain("price_currency", currency.as_str());
                    }
                    if let Some(flags) = &shown.flags {
                        json.key("flags").list(flags, |json, flag| json.string(flag));
                    }
                });
                json.comma();
            });
        }
        if !event.flags.is_empty() {
            json.key("flags").list(&event.flags, |json, flag| json.string(flag));
        }
    });
}

fn decision(json: &mut Json, decision: &Decision) {
    let act = match decision.act {
        Act::Release => "release",
        Act::Drop => "drop",
    };
    json.plain("act", act);
    json.key("id").uuid(decision.id.to_bytes());
    json.number("event_time", decision.event_time);
    json.key("form").string(&decision.form);
    json.number("score", decision.score.into());
    json.key("reasons").list(&decision.reasons, |json, reason| json.string(reason));
    json.number("ruleset", decision.ruleset.into());
    if let Some(event) = &decision.event {
        whole(json.key("event"), event);
        json.comma();
    }
}

fn type_word(event_type: EventType) -> &'static str {
    match event_type {
        EventType::Impression => "impression",
        EventType::EmailOpen => "email_open",
        EventType::Click => "click",
        EventType::FormView => "form_view",
        EventType::Lead => "lead",
        EventType::LeadStage => "lead_stage",
        EventType::Purchase => "purchase",
        EventType::Complaint => "complaint",
        EventType::ServiceContact => "service_contact",
        EventType::Unsubscribe => "unsubscribe",
        EventType::ConversionStatus => "conversion_status",
        EventType::Conversion => "conversion",
    }
}

fn source_word(source: SourceKind) -> &'static str {
    match source {
        SourceKind::WebForm => "web_form",
        SourceKind::Redirect => "redirect",
        SourceKind::Pixel => "pixel",
        SourceKind::Manual => "manual",
        SourceKind::S2s => "s2s",
    }
}

fn basis_word(basis: VisitorBasis) -> &'static str {
    match basis {
        VisitorBasis::None => "none",
        VisitorBasis::Cookie => "cookie",
        VisitorBasis::DailyHash => "daily_hash",
    }
}

fn click(json: &mut Json, claim: &ClickClaim) {
    json.key("id").uuid(claim.id.to_bytes());
    for (key, number) in
        [("link", claim.link), ("offer", claim.offer), ("affiliate", claim.affiliate)]
    {
        if number != 0 {
            json.number(key, number.into());
        }
    }
}

fn promotion(json: &mut Json, promotion: &Promotion) {
    json.text("link", &promotion.link);
    json.text("campaign", &promotion.campaign);
    json.text("ad", &promotion.ad);
    json.text("creative", &promotion.creative);
    json.text("placement", &promotion.placement);
    json.text("mailing", &promotion.mailing);
    json.text("affiliate", &promotion.affiliate);
    json.text("offer", &promotion.offer);
    json.text("product", &promotion.product);
    json.text("price_variant", &promotion.price_variant);
    if let Some(price) = promotion.price_shown {
        json.amount("price_shown", price);
    }
}

fn origin(json: &mut Json, origin: &Origin) {
    json.text("utm_source", &origin.utm_source);
    json.text("utm_medium", &origin.utm_medium);
    json.text("utm_campaign", &origin.utm_campaign);
    json.text("utm_term", &origin.utm_term);
    json.text("utm_content", &origin.utm_content);
    for (key, ids) in [
        ("tags", &origin.tags),
        ("click_ids", &origin.click_ids),
        ("sub_ids", &origin.sub_ids),
        ("macros", &origin.macros),
    ] {
        if !ids.is_empty() {
            json.key(key).list(ids, |json, (name, value)| json.pair(name, value));
        }
    }
    json.text("external_click", &origin.external_click);
    json.text("referrer_host", &origin.referrer_host);
    json.text("referrer_path", &origin.referrer_path);
    json.text("landing_host", &origin.landing_host);
    json.text("landing_path", &origin.landing_path);
}

fn client(json: &mut Json, client: &Client) {
    if let Some(network) = client.network {
        json.address("network", network.address());
    }
    json.text("agent", &client.agent);
    json.text("language", &client.language);
    json.text("purpose", &client.purpose);
    json.text("fetch_dest", &client.fetch_dest);
    json.text("fetch_mode", &client.fetch_mode);
    json.text("fetch_site", &client.fetch_site);
    if client.fetch_user {
        json.key("fetch_user").0.extend_from_slice(b"true,");
    }
    json.text("method", &client.method);
    if client.gpc {
        json.key("gpc").0.extend_from_slice(b"true,");
    }
}

fn form(json: &mut Json, post: &FormPost) {
    json.key("form").string(&post.form);
    json.text("dialect", &post.dialect);
    json.key("fields").list(&post.fields, |json, (name, value)| json.pair(name, value.expose()));
}

fn worth(json: &mut Json, worth: &Worth) {
    json.text("goal", &worth.goal);
    if let Some(amount) = worth.amount {
        json.amount("amount", amount);
    }
    if let Some(currency) = &worth.currency {
        json.plain("currency", currency.as_str());
    }
    json.text("order_id", &worth.order_id);
    json.text("status", &worth.status);
}

fn partner(json: &mut Json, report: &Partner) {
    json.key("postback").string(&report.postback);
    json.text("transaction", &report.transaction);
    json.key("key").string(&report.key);
    json.text("external_click", &report.external_click);
    json.text("original_status", &report.original_status);
    json.text("coupon", &report.coupon);
    json.plain("customer", customer_word(report.customer));
    json.plain("duplicates", duplicates_word(report.duplicates));
    if report.test {
        json.key("test").0.extend_from_slice(b"true,");
    }
    for (key, amount) in
        [("tax", report.tax), ("shipping", report.shipping), ("discount", report.discount)]
    {
        if let Some(amount) = amount {
            json.amount(key, amount);
        }
    }
    json.text("amount_text", &report.amount_text);
    if !report.items.is_empty() {
        json.key("items").list(&report.items, |json, item| {
            json.object(|json| {
                json.key("sku").string(&item.sku);
                json.amount("quantity", item.quantity);
                json.amount("amount", item.amount);
            });
            json.comma();
        });
    }
    if !report.odd.is_empty() {
        json.key("odd").list(&report.odd, |json, (name, flag)| json.pair(name, flag));
    }
}

fn customer_word(customer: NewCustomer) -> &'static str {
    match customer {
        NewCustomer::Unknown => "unknown",
        NewCustomer::New => "new",
        NewCustomer::Returning => "returning",
    }
}

fn duplicates_word(duplicates: Duplicates) -> &'static str {
    match duplicates {
        Duplicates::Ignore => "ignore",
        Duplicates::Update => "update",
        Duplicates::Add => "add",
        Duplicates::Replace => "replace",
    }
}

/// JSON under way. Each value is followed by a comma; what closes an object or list writes over the last one.
struct Json(Vec<u8>);

impl Json {
    fn comma(&mut self) {
        self.0.push(b',');
    }

    fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.0.push(b'{');
        members(self);
        self.close(b'}');
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.0.push(b'[');
        for each in items {
            item(self, each);
        }
        self.close(b']');
        self.comma();
    }

    fn close(&mut self, bracket: u8) {
        if self.0.last() == Some(&b',') {
            self.0.pop();
        }
        self.0.push(bracket);
    }

    /// `key` is a word of ours: nothing in it needs an escape.
    fn key(&mut self, key: &'static str) -> &mut Self {
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
        self
    }

    /// A member that is left out when it is empty.
    fn text(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.key(key).string(value);
        }
    }

    /// A member whose value needs no escapes.
    fn plain(&mut self, key: &'static str, value: &str) {
        self.key(key).quoted(value.as_bytes());
    }

    fn number(&mut self, key: &'static str, value: i64) {
        self.key(key).decimal(value);
        self.comma();
    }

    fn decimal(&mut self, value: i64) {
        // 19 digits and a sign.
        let mut text = [0; 20];
        let mut at = text.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            text[at] = b'-';
        }
        self.0.extend_from_slice(&text[at..]);
    }

    /// As [`Amount`]'s `Display`: at least two decimal places, more only where they are not zero.
    fn amount(&mut self, key: &'static str, amount: Amount) {
        self.key(key).0.push(b'"');
        let (scaled, scale) = (amount.scaled(), SCALE);
        if scaled < 0 && scaled / scale == 0 {
            self.0.push(b'-');
        }
        self.decimal(scaled / scale);
        let fraction = scaled.unsigned_abs() % scale.unsigned_abs();
        let digit = |divisor: u64| b'0' + (fraction / divisor % 10) as u8;
        let digits = [b'.', digit(1_000), digit(100), digit(10), digit(1)];
        let shown = if digits[4] != b'0' {
            5
        } else if digits[3] != b'0' {
            4
        } else {
            3
        };
        self.0.extend_from_slice(&digits[..shown]);
        self.0.extend_from_slice(b"\",");
    }

    fn address(&mut self, key: &'static str, address: IpAddr) {
        self.key(key).0.push(b'"');
        match address {
            IpAddr::V4(v4) => {
                for (index, octet) in v4.octets().into_iter().enumerate() {
                    if index > 0 {
                        self.0.push(b'.');
                    }
                    self.decimal(octet.into());
                }
            }
            IpAddr::V6(v6) => write!(self.0, "{v6}").expect("a Vec takes every write"),
        }
        self.0.extend_from_slice(b"\",");
    }

    fn pair(&mut self, name: &str, value: &str) {
        self.0.push(b'[');
        self.string(name);
        self.string(value);
        self.close(b']');
        self.comma();
    }

    fn quoted(&mut self, plain: &[u8]) {
        self.0.push(b'"');
        self.0.extend_from_slice(plain);
        self.0.extend_from_slice(b"\",");
    }

    /// At most 16 bytes.
    fn hex(&mut self, bytes: &[u8]) {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 0xF)];
        }
        self.quoted(&digits[..bytes.len() * 2]);
    }

    fn uuid(&mut self, bytes: [u8; 16]) {
        let mut digits = [0; 36];
        self.quoted(Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut digits).as_bytes());
    }

    fn string(&mut self, text: &str) {
        self.0.push(b'"');
        let mut rest = text.as_bytes();
        loop {
            let plain = plain_length(rest);
            self.0.extend_from_slice(&rest[..plain]);
            let Some((special, tail)) = rest[plain..].split_first() else { break };
            self.escape(*special);
            rest = tail;
        }
        self.0.extend_from_slice(b"\",");
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0A => b'n',
            0x0C => b'f',
            0x0D => b'r',
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]];
                self.0.extend_from_slice(b"\\u00");
                self.0.extend_from_slice(&digits);
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }
}

/// How many bytes at the beginning need no escape.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let mut length = 0;
    for chunk in bytes.chunks_exact(8) {
        let eight = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        // A byte below n makes its high bit borrow; a byte that equals c is zero after the exclusive or, so below 1.
        let below = |value: u64, n: u64| value.wrapping_sub(ONES * n) & !value & HIGHS;
        let quote = below(eight ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(eight ^ (ONES * u64::from(b'\\')), 1);
        if below(eight, 0x20) | quote | backslash != 0 {
            break;
        }
        length += 8;
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    bytes[length..].iter().position(special).map_or(bytes.len(), |at| length + at)
}

#[cfg(test)]
#[path = "event_json_tests.rs"]
mod tests;
