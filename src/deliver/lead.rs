//! The lead, complaint or request for help as a receiver gets it: JSON for a webhook, lines for a mail.
//!
//! In: a row of `leads` or `service_contacts` with what settling and `events` know of it. Out: the documented body (README, "A new lead reaches a human").
//! Refuses: nothing. Promises: personal values stand in what is made here and nowhere else; the id is the same for each attempt.

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::deliver::queue::Key;
use crate::ids::EventId;

/// A name and its value.
type Pair = (String, String);

/// A lead with its click. Has no `Debug`: it is personal.
#[derive(Clone, Row, Deserialize)]
pub struct Lead {
    site: String,
    event_time_ms: i64,
    id_seq: u32,
    id_node: u32,
    received_lag_ms: i64,
    /// `lead`, `complaint` or `service_contact`.
    kind: String,
    form: String,
    email: String,
    /// What has a meaning, by its canonical name, as it was typed.
    known: Vec<Pair>,
    /// The same in one spelling, where there is one.
    normalised: Vec<Pair>,
    /// What somebody wants and doesn't, by channel.
    consents: Vec<Pair>,
    /// Every other field, in order, repeats included.
    extra: Vec<Pair>,
    circumstances: Vec<Pair>,
    /// The click that it follows; empty: none is known.
    click: Vec<Pair>,
    click_time_ms: i64,
}

/// The id of a delivery: the same for every attempt, another for each endpoint. The lead's own id can be read from it.
pub fn delivery_id(endpoint: &str, lead: EventId) -> String {
    let hash = blake3::hash(endpoint.as_bytes()).to_hex();
    let lead = lead.to_string().replace('-', "");
    format!("msg_{lead}_{}", &hash[..8])
}

impl Lead {
    /// Which one it is.
    pub fn key(&self) -> Key {
        Key {
            event_time_ms: self.event_time_ms,
            id_seq: self.id_seq,
            id_node: self.id_node,
            site: self.site.clone(),
        }
    }

    /// The event's id.
    pub fn id(&self) -> EventId {
        let received_ms = self.event_time_ms + self.received_lag_ms;
        EventId::from_parts(u64::try_from(received_ms).unwrap_or(0), self.id_seq, self.id_node)
    }

    /// The address that an answer can go to, as it was typed.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Site and form: what a subject may say.
    pub fn origin(&self) -> (&str, &str) {
        (&self.site, &self.form)
    }

    /// What it is, for people.
    pub fn kind_words(&self) -> &'static str {
        match self.kind.as_str() {
            "complaint" => "complaint",
            "service_contact" => "request for help",
            _ => "lead",
        }
    }

    /// The webhook's body.
    pub fn to_json(&self) -> Vec<u8> {
        let object = |pairs: &[Pair]| -> Map<String, Value> {
            pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
        };
        let time = time(self.event_time_ms);
        let mut data = object(&self.circumstances);
        let mut click = object(&self.click);
        if !click.is_empty() {
            click.insert("click_time".into(), self::time(self.click_time_ms).into());
        }
        for (name, value) in [
            ("id", self.id().to_string().into()),
            ("site", self.site.as_str().into()),
            ("form", self.form.as_str().into()),
            ("time", time.as_str().into()),
            (if self.kind == "lead" { "lead" } else { "contact" }, object(&self.known).into()),
            ("normalised", object(&self.normalised).into()),
            ("consents", object(&self.consents).into()),
            ("fields", json!(self.extra)),
            ("attribution", if click.is_empty() { Value::Null } else { click.into() }),
        ] {
            data.insert(name.to_owned(), value);
        }
        let kind = format!("{}.created", self.kind);
        json!({"type": kind, "timestamp": time, "data": data}).to_string().into_bytes()
    }

    /// The mail's text: one line a field, what has several lines below its name.
    pub fn to_text(&self) -> String {
        let (kind, site, form) = (self.kind_words(), line(&self.site), line(&self.form));
        let mut text = format!("A new {kind} on {site}, form {form}.\n\n");
        for (name, value) in self.known.iter().chain(&self.extra) {
            if !value.trim().is_empty() {
                push(&mut text, &line(title(name)), value);
            }
        }
        for (channel, answer) in &self.consents {
            push(&mut text, &format!("May be written to by {}", line(channel)), answer);
        }
        text.push('\n');
        push(&mut text, "Time", &time(self.event_time_ms));
        for (name, value) in self.circumstances.iter().chain(&self.click) {
            // Where the network is stands below what was typed.
            let name = if name == "country" { "Seen in" } else { title(name) };
            push(&mut text, name, value);
        }
        let id = if self.kind == "lead" { "Id" } else { "Tracking number" };
        push(&mut text, id, &self.id().to_string());
        text
    }
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or_default().strftime("%FT%T%.3fZ").to_string()
}

fn title(name: &str) -> &str {
    match name {
        "full_name" => "Name",
        "first_name" => "First name",
        "last_name" => "Last name",
        "email" => "E-mail",
        "phone" => "Telephone",
        "mobile" => "Mobile",
        "company" => "Company",
        "job_title" => "Job title",
        "website" => "Website",
        "street" => "Street",
        "city" => "City",
        "state" => "State",
        "postcode" => "Postcode",
        "subject" => "Subject",
        "product" => "Product",
        "lead_source" => "Heard of us by",
        "message" => "Message",
        "order_id" => "Order",
        "case_type" => "Type",
        "case_reason" => "Reason",
        "case_priority" => "Priority",
        "page" => "Page",
        "referrer" => "Came from",
        "source" => "Source",
        "medium" => "Medium",
        "country" => "Country",
        "verdict" => "Judged",
        "basis" => "Click known by",
        "channel" => "Channel",
        "campaign" => "Campaign",
        "ad" => "Ad",
        "creative" => "Creative",
        "placement" => "Placement",
        "link" => "Link",
        "mailing" => "Mailing",
        "affiliate" => "Affiliate",
        other => other,
    }
}

/// One line without what steers a reader's screen.
fn line(text: &str) -> String {
    crate::report::text::plain(text.trim())
}

fn push(text: &mut String, name: &str, value: &str) {
    let mut lines = value.lines().map(line);
    let first = lines.next().unwrap_or_default();
    let rest: Vec<String> = lines.collect();
    if rest.is_empty() {
        text.push_str(&format!("{name}: {first}\n"));
        return;
    }
    text.push_str(&format!("{name}:\n  {first}\n"));
    for line in rest {
        text.push_str(&format!("  {line}\n"));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// A lead with a click.
    pub fn sample() -> Lead {
        Lead {
            site: "shop".into(),
            event_time_ms: 1_764_000_000_123,
            id_seq: 7,
            id_node: 9,
            received_lag_ms: 0,
            kind: "lead".into(),
            form: "contact".into(),
            email: "jane@shop.example".into(),
            known: pairs(&[
                ("full_name", "Jane Döe"),
                ("email", "jane@shop.example"),
                ("message", "Hi\r\nBcc: all@evil.example\n\u{202e}ecilA"),
            ]),
            normalised: pairs(&[("email", "jane@shop.example")]),
            consents: pairs(&[("email", "yes")]),
            extra: pairs(&[("size", "42"), ("size", "43"), ("empty", "")]),
            circumstances: pairs(&[
                ("page", "www.shop.example/contact"),
                ("source", "newsday"),
                ("country", "DE"),
                ("verdict", "human"),
            ]),
            click: pairs(&[("basis", "click_id"), ("campaign", "summer"), ("ad", "shoes")]),
            click_time_ms: 1_763_999_000_000,
        }
    }

    #[test]
    fn the_body_is_the_documented_one() {
        let body: Value = serde_json::from_slice(&sample().to_json()).unwrap();
        let expected = json!({
            "type": "lead.created",
            "timestamp": "2025-11-24T16:00:00.123Z",
            "data": {
                "id": sample().id().to_string(), "site": "shop", "form": "contact", "time": "2025-11-24T16:00:00.123Z",
                "lead": {"full_name": "Jane Döe", "email": "jane@shop.example", "message": "Hi\r\nBcc: all@evil.example\n\u{202e}ecilA"},
                "normalised": {"email": "jane@shop.example"}, "consents": {"email": "yes"},
                "fields": [["size", "42"], ["size", "43"], ["empty", ""]],
                "page": "www.shop.example/contact", "source": "newsday", "country": "DE", "verdict": "human",
                "attribution": {"basis": "click_id", "click_time": "2025-11-24T15:43:20.000Z", "campaign": "summer", "ad": "shoes"},
            },
        });
        assert_eq!(body, expected);
        let direct = Lead { click: Vec::new(), ..sample() };
        let body: Value = serde_json::from_slice(&direct.to_json()).unwrap();
        assert_eq!(body["data"]["attribution"], Value::Null);
    }

    #[test]
    fn a_complaint_is_called_one() {
        let complaint = Lead { kind: "complaint".into(), click: Vec::new(), ..sample() };
        let body: Value = serde_json::from_slice(&complaint.to_json()).unwrap();
        assert_eq!(body["type"], "complaint.created");
        assert_eq!(body["data"]["contact"]["email"], "jane@shop.example");
        assert_eq!(body["data"]["lead"], Value::Null);
        let text = complaint.to_text();
        assert!(text.starts_with("A new complaint on shop, form contact.\n"), "{text}");
        assert!(text.ends_with(&format!("Tracking number: {}\n", complaint.id())), "{text}");
    }

    #[test]
    fn a_mail_has_a_line_for_each_field_and_none_steers_the_screen() {
        let text = sample().to_text();
        assert!(
            text.starts_with(
                "A new lead on shop, form contact.\n\nName: Jane Döe\nE-mail: jane@shop.example\n"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "Message:\n  Hi\n  Bcc: all@evil.example\n  \u{FFFD}ecilA\nsize: 42\nsize: 43\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("Campaign: summer\n") && !text.contains('\r') && !text.contains("empty")
        );
    }

    #[test]
    fn a_delivery_has_one_id_for_each_lead_and_endpoint() {
        let id = sample().id();
        assert_eq!(delivery_id("crm", id), delivery_id("crm", id));
        assert_ne!(delivery_id("crm", id), delivery_id("erp", id));
        assert!(delivery_id("crm", id).contains(&id.to_string().replace('-', "")));
        assert!(
            !delivery_id("c.r.m", id).contains('.'),
            "a point would end the id in the signed text"
        );
    }
}
