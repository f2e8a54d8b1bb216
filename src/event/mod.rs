//! The one noun that travels: an event, as the log holds it.
//!
//! In: what `check` found in a request. Out: one line of JSON with its schema version, readable with kcat. Refuses: a
//! version that this program doesn't know, and JSON of another shape. Promises: what is written is read back equal, and a
//! field that is empty takes no room.

mod json;
mod json_text;
mod origin;
mod worth;

use serde::{Deserialize, Serialize};

pub use self::origin::{Client, Origin, Promotion, Shown};
pub use self::worth::{Duplicates, Item, NewCustomer, Partner, Worth};

use crate::decision::Decision;
use crate::ids::{DayHash, EventId, RecipientKey, SubmissionKey, VisitorId};
use crate::money::Currency;
use crate::personal::PersonalText;
use crate::tokens::ClickClaim;

/// The version of the record's shape. A reader refuses what it doesn't know: to the dead letters, not to a guess.
pub const SCHEMA_VERSION: u8 = 1;

/// How far back a claimed time may lie: 400 days, longer than the longest attribution window (DESIGN.md).
pub const CLAIM_PAST_MAX_MS: i64 = 400 * 86_400_000;

/// How far ahead a claimed time may lie: ten minutes of wrong clocks (DESIGN.md).
pub const CLAIM_FUTURE_MAX_MS: i64 = 10 * 60_000;

/// What happened. The numbers are those of the `events.event_type` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
#[expect(missing_docs, reason = "the names are the field's own and say it all")]
pub enum EventType {
    Impression = 1,
    EmailOpen = 3,
    Click = 4,
    FormView = 6,
    Lead = 7,
    /// What a person decided about a lead: today, whether it leaves the quarantine.
    LeadStage = 8,
    Purchase = 12,
    /// Somebody is not content, and says so.
    Complaint = 16,
    /// Somebody asks for help with what they have: a case, and no lead.
    ServiceContact = 17,
    /// Somebody wants no more mail. Never a lead, also where a form of leads carries it.
    Unsubscribe = 19,
    /// What became of a conversion that was reported before: rejected, reversed, paid. No conversion by itself.
    ConversionStatus = 15,
    /// A conversion that is neither a lead nor a sale: a goal that a page or a network names.
    Conversion = 20,
}

impl EventType {
    /// True for what settling looks for a click for.
    pub fn is_conversion(self) -> bool {
        matches!(self, Self::Lead | Self::Purchase | Self::Conversion | Self::ConversionStatus)
    }
}

/// By which door the event came. The numbers are those of the `events.source_kind` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
#[expect(missing_docs, reason = "the names are the field's own and say it all")]
pub enum SourceKind {
    WebForm = 1,
    Redirect = 2,
    Pixel = 3,
    Manual = 6,
    S2s = 4,
}

/// How the visitor is known. The numbers are those of the `events.visitor_basis` column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(i8)]
pub enum VisitorBasis {
    /// Not at all.
    #[default]
    None = 0,
    /// By our cookie, or by the one that this answer sets.
    Cookie = 1,
    /// By the hash of the browser's day: weak.
    DailyHash = 2,
}

/// What a form brought, exactly and in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FormPost {
    /// The registered form.
    pub form: String,
    /// Whose conventions the field names follow, by the name in `config/dialects`; empty where the form's view is recorded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dialect: String,
    /// Every field that isn't a control of ours, repeats included.
    pub fields: Vec<(String, PersonalText)>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// [`SCHEMA_VERSION`].
    pub v: u8,
    /// Minted at the edge; holds the time of receipt.
    pub id: EventId,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// By which door.
    pub source: SourceKind,
    /// Whose site.
    pub site: String,
    /// When it happened, milliseconds since 1970; fixed here for ever.
    pub event_time: i64,
    /// The time that the sender claimed, where it was out of bounds and `event_time` is the time of receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_time: Option<i64>,
    /// The browser.
    #[serde(default, skip_serializing_if = "VisitorId::is_unknown")]
    pub visitor: VisitorId,
    /// How the browser is known.
    #[serde(default)]
    pub visitor_basis: VisitorBasis,
    /// The hash of the browser's day, kept beside a cookie as the weakest way to join.
    #[serde(default, skip_serializing_if = "DayHash::is_none")]
    pub day_hash: DayHash,
    /// What the same submission of a form has again.
    #[serde(default, skip_serializing_if = "SubmissionKey::is_none")]
    pub submission_key: SubmissionKey,
    /// The click that this event says it follows, verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_click: Option<ClickClaim>,
    /// The ad, mail or affiliate.
    #[serde(default)]
    pub promotion: Promotion,
    /// Currency of `promotion.price_shown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_currency: Option<Currency>,
    /// Where the visitor came from.
    #[serde(default)]
    pub origin: Origin,
    /// What the client said of itself.
    #[serde(default)]
    pub client: Client,
    /// A form's fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<FormPost>,
    /// A conversion's worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worth: Option<Worth>,
    /// The recipient of the mail that this came from.
    #[serde(default, skip_serializing_if = "RecipientKey::is_none")]
    pub recipient: RecipientKey,
    /// What a person decided about a submission that was held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What a network or tracker said besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<Partner>,
    /// Further ads of the same request: each is an impression of its own ([`Event::unfold`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Shown>,
    /// What was odd: `claimed_time_out_of_range`, `click_id_not_ours`, … Closed words, never values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl VisitorId {
    fn is_unknown(&self) -> bool {
        self.is_none()
    }
}

/// Why a log record is no event.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The JSON is broken or of another shape. Says where, never what stood there: records hold personal data.
    #[error("record is no event: {category} at line {line}, column {column}")]
    Shape {
        /// `syntax`, `data` or `eof`.
        category: &'static str,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A version that this program doesn't know.
    #[error(
        "record has schema version {0}, this program reads {SCHEMA_VERSION}; upgrade the consumer"
    )]
    Version(u8),
}

impl Unreadable {
    /// What the reader says, without what it read.
    pub fn shape(error: &serde_json::Error) -> Self {
        let category = match error.classify() {
            serde_json::error::Category::Io => "io",
            serde_json::error::Category::Syntax => "syntax",
            serde_json::error::Category::Data => "data",
            serde_json::error::Category::Eof => "eof",
        };
        Self::Shape { category, line: error.line(), column: error.column() }
    }
}

impl Event {
    /// The record's bytes: one line of JSON.
    pub fn to_record(&self) -> Vec<u8> {
        json::write(self)
    }

    /// The events that one record stands for: itself, and one for each further ad, with the id that was minted for it. The same record
    /// always gives the same events.
    pub fn unfold(mut self) -> impl Iterator<Item = Self> {
        let others = std::mem::take(&mut self.others);
        let (first, model) = (self.id, (!others.is_empty()).then(|| self.clone()));
        let rest = others.into_iter().zip(1..).filter_map(move |(shown, place)| {
            let mut event = model.clone()?;
            event.id = first.later(place);
            event.promotion = shown.promotion;
            event.price_currency = shown.price_currency;
            if let Some(flags) = shown.flags {
                event.flags = flags;
            }
            Some(event)
        });
        std::iter::once(self).chain(rest)
    }

    /// Reads a record.
    pub fn from_record(bytes: &[u8]) -> Result<Self, Unreadable> {
        let event: Self = match serde_json::from_slice(bytes) {
            Ok(event) => event,
            Err(error) => return Err(Self::why_unreadable(bytes, &error)),
        };
        if event.v == SCHEMA_VERSION { Ok(event) } else { Err(Unreadable::Version(event.v)) }
    }

    fn why_unreadable(bytes: &[u8], error: &serde_json::Error) -> Unreadable {
        #[derive(Deserialize)]
        struct Versioned {
            v: u8,
        }
        if let Ok(Versioned { v }) = serde_json::from_slice(bytes)
            && v != SCHEMA_VERSION
        {
            return Unreadable::Version(v);
        }
        Unreadable::shape(error)
    }

    /// The log key: the visitor, else the event's own id. It serves locality; nothing relies on it.
    pub fn log_key(&self) -> [u8; 16] {
        if self.visitor.is_none() {
            self.id.to_bytes()
        } else {
            self.visitor.as_u128().to_be_bytes()
        }
    }
}

/// Decides `event_time` from the sender's claim: outside [received - 400 days, received + 10 min] it is the time of
/// receipt, and the claim is kept beside it.
pub fn settle_time(received_ms: i64, claimed_ms: Option<i64>) -> (i64, Option<i64>) {
    match claimed_ms {
        None => (received_ms, None),
        Some(claim)
            if claim >= received_ms - CLAIM_PAST_MAX_MS
                && claim <= received_ms + CLAIM_FUTURE_MAX_MS =>
        {
            (claim, None)
        }
        Some(claim) => (received_ms, Some(claim)),
    }
}

/// When an event was received, without reading the whole record: the time in the id at the head of what [`Event::to_record`] wrote.
pub fn received_ms(record: &[u8]) -> Option<i64> {
    const HEAD: &[u8] = b"{\"v\":1,\"id\":\"";
    let id = record.strip_prefix(HEAD)?.first_chunk::<13>()?;
    let digits = [&id[..8], &id[9..]].concat();
    i64::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::money::Amount;

    /// A small event for tests of later stages.
    pub(crate) fn sample(event_type: EventType, id: EventId) -> Event {
        Event {
            v: SCHEMA_VERSION,
            id,
            event_type,
            source: SourceKind::Redirect,
            site: "demo".into(),
            event_time: id.millis(),
            claimed_time: None,
            visitor: VisitorId::NONE,
            visitor_basis: VisitorBasis::None,
            day_hash: DayHash(0),
            submission_key: SubmissionKey::default(),
            parent_click: None,
            promotion: Promotion::default(),
            price_currency: None,
            origin: Origin::default(),
            client: Client::default(),
            form: None,
            worth: None,
            recipient: RecipientKey::default(),
            decision: None,
            partner: None,
            others: Vec::new(),
            flags: Vec::new(),
        }
    }

    #[test]
    fn a_record_is_read_back_equal() {
        let mut event = sample(EventType::Lead, EventId::from_parts(1_790_000_000_000, 1, 2));
        event.visitor = VisitorId::from_day_hash(DayHash(9));
        event.form = Some(FormPost {
            form: "contact".into(),
            dialect: "salesforce_case".into(),
            fields: vec![("e-mail".into(), PersonalText::new("a@b.example"))],
        });
        event.worth =
            Some(Worth { amount: Some(Amount::from_scaled(125_000)), ..Worth::default() });
        let record = event.to_record();
        assert_eq!(Event::from_record(&record).unwrap(), event);
    }

    #[test]
    fn an_unreadable_record_says_where_and_never_what() {
        let error = Event::from_record(br#"{"v":1,"secret":"jane@example.com"}"#).unwrap_err();
        assert!(!error.to_string().contains("jane") && !error.to_string().contains("secret"));
        assert!(matches!(Event::from_record(br#"{"v":9}"#), Err(Unreadable::Version(9))));
        assert!(matches!(Event::from_record(b"\xff"), Err(Unreadable::Shape { .. })));
    }

    #[test]
    fn a_claimed_time_out_of_range_becomes_the_time_of_receipt() {
        let now = 1_790_000_000_000;
        assert_eq!(
            settle_time(now, Some(now - CLAIM_PAST_MAX_MS)),
            (now - CLAIM_PAST_MAX_MS, None)
        );
        assert_eq!(
            settle_time(now, Some(now - CLAIM_PAST_MAX_MS - 1)),
            (now, Some(now - CLAIM_PAST_MAX_MS - 1))
        );
        assert_eq!(
            settle_time(now, Some(now + CLAIM_FUTURE_MAX_MS + 1)),
            (now, Some(now + CLAIM_FUTURE_MAX_MS + 1))
        );
    }
}
