//! The rows of the fact tables, one type for each, in the order of their columns (`deploy/schema/001_facts.sql`).

use crate::money::Amount;
use crate::row;
use crate::store::native::{Address, Amounts, Key16, Millis, Pairs, Seconds, Texts, Uuid};

row! {
    /// A row of `events`.
    EventRow in "events" at log_offset {
        site: String, visitor: u128, event_time: Millis, id_seq: u32, id_node: u32, event_type: i8, received_lag_ms: i64,
        claimed_time_ms: i64, source_kind: i8, visitor_basis: i8, day_hash: u64, email_key: Key16, phone_key: Key16,
        channel: String, utm_source: String, utm_medium: String, utm_campaign: String, utm_term: String, utm_content: String,
        link: String, campaign: String, ad: String, creative: String, placement: String, mailing: String,
        affiliate: String, offer: String, parent_click: u128, sub_ids: Pairs, click_ids: Pairs,
        landing_host: String, landing_path: String, referrer_host: String, referrer_path: String, language: String,
        product: String, price_variant: String, price_shown: Amount, price_currency: String, amount: Amount, currency: String,
        order_id: String, goal: String, status: String, form: String,
        country: String, region: String, city: String, device_type: &'static str, browser: String, browser_major: u16, os: String,
        ua_hash: u64, ip_net: Address, traffic_class: i8, ivt: i8, reasons: Texts, score: u8, ruleset: u16, gpc: u8, flags: Texts, recipient: u64,
        source_profile: String, transaction_id: String, external_click_id: String, coupon: String,
        tags: Pairs, macros: Pairs, purpose: String, method: String, fetch_dest: String, fetch_mode: String, fetch_site: String, fetch_user: u8,
        log_epoch: u64, log_partition: u16, log_offset: u64,
    }
}

row! {
    /// A row of `leads`: personal.
    LeadRow in "leads" at log_offset {
        site: String, event_time: Millis, id_seq: u32, id_node: u32, received_lag_ms: i64, visitor: u128, form: String,
        dialect: String, email: String, email_normalised: String, email_key: Key16, phone: String, phone_e164: String,
        mobile: String, mobile_e164: String, phone_key: Key16, first_name: String, last_name: String, full_name: String,
        company: String, job_title: String, website: String, street: String, city: String, state: String, postcode: String,
        country_typed: String, country_code: &'static str, subject: String, message: String, product: String,
        lead_source: String, traits: Pairs, consents: Pairs, extra: Pairs, country: String, traffic_class: &'static str,
        spam_score: u8, spam_reasons: Texts, spam_ruleset: u16, submission_key: u64,
        log_epoch: u64, log_partition: u16, log_offset: u64,
    }
}

row! {
    /// A row of `service_contacts`: personal.
    ServiceContactRow in "service_contacts" at log_offset {
        site: String, event_time: Millis, id_seq: u32, id_node: u32, received_lag_ms: i64, visitor: u128, kind: i8, form: String,
        dialect: String, status: &'static str, case_type: String, case_reason: String, case_priority: String, subject: String,
        message: String, order_id: String, product: String, email: String, email_normalised: String, email_key: Key16,
        phone: String, phone_e164: String, phone_key: Key16, first_name: String, last_name: String, full_name: String,
        company: String, traits: Pairs, extra: Pairs, consents: Pairs, country: String, traffic_class: &'static str,
        spam_score: u8, spam_reasons: Texts, spam_ruleset: u16, submission_key: u64,
        log_epoch: u64, log_partition: u16, log_offset: u64,
    }
}

row! {
    /// A row of `quarantine`: personal.
    QuarantineRow in "quarantine" at log_offset {
        site: String, event_time: Millis, id_seq: u32, id_node: u32, received_lag_ms: i64, form: String, state: &'static str,
        score: u8, reasons: Texts, ruleset: u16, payload: Vec<u8>, at: Millis, version: u8,
        log_epoch: u64, log_partition: u16, log_offset: u64,
    }
}

row! {
    /// A row of `conversions`.
    ConversionRow in "conversions" at log_offset {
        site: String, event_type: i8, event_time: Millis, visitor: u128, id_seq: u32, id_node: u32, received_lag_ms: i64,
        source_kind: i8, visitor_basis: i8, day_hash: u64, parent_click: u128, parent_link: u32, parent_offer: u32,
        parent_affiliate: u32, amount: Amount, currency: String, order_id: String, goal: String, status: String, form: String,
        country: String, traffic_class: &'static str, submission_key: u64,
        offer: String, source_profile: String, transaction_key: String, transaction_id: String, external_click_id: String,
        original_status: String, has_amount: u8, duplicate_mode: i8, coupon: String, new_customer: i8, tax: Amount, shipping: Amount, discount: Amount,
        amount_text: String, item_skus: Texts, item_quantities: Amounts, item_amounts: Amounts, flags: Texts, odd: Pairs,
        signals: Texts, signals_ruleset: u16, log_epoch: u64, log_partition: u16, log_offset: u64,
    }
}

row! {
    /// A row of `touch_keys`.
    TouchKeyRow in "touch_keys" at log_offset {
        site: String, kind: i8, key: u128, event_time: Millis, id_seq: u32, id_node: u32, received_lag_ms: i64, visitor: u128,
        log_epoch: u64, log_partition: u16, log_offset: u64,
    }
}

row! {
    /// A row of `refusals`.
    RefusalRow in "refusals" at log_offset {
        minute: Seconds, site: String, form: String, door: String, code: String, parameter: String, life: u64, report: u32,
        count: u64, sample: String,
        log_epoch: u64, log_partition: u16, log_offset: u64,
    }
}

row! {
    /// A row of `dead_letters`: personal.
    DeadLetterRow in "dead_letters" at log_offset {
        log_epoch: u64, log_partition: u16, log_offset: u64, event_id: Uuid, reason: &'static str, detail: String,
        payload: Vec<u8>, at: Millis,
    }
}

row! {
    /// A row of `ingest_batches`: written last.
    IngestBatchRow in "ingest_batches" at from_offset {
        log_epoch: u64, log_partition: u16, from_offset: u64, to_offset: u64, records: u32, dead: u32, at: Millis,
    }
}

/// Numbers of `touch_keys.kind`.
pub mod touch_kind {
    /// The key is the click's own id.
    pub const CLICK_ID: i8 = 1;
    /// The key is the hash of the browser's day.
    pub const DAY_HASH: i8 = 2;
    /// The key is made from what the affiliate's network calls the click.
    pub const NETWORK_CLICK_ID: i8 = 3;
}
