//! Attribute: an enriched event becomes the rows of its tables.
//!
//! In: an [`Enriched`] event and its place in the log. Out: [`Rows`]. Refuses: an event whose fixed time contradicts its id, which
//! goes to the dead letters. Promises: every event gives one row in `events` or one dead letter, never both; personal values go
//! to `leads` and `service_contacts` alone, or to `quarantine` while they are held; `events` gets keyed hashes.

mod held;
mod lead;
pub mod meaning;

pub use lead::preview as spam_preview;

use std::collections::{BTreeSet, HashSet};

use sha2::{Digest as _, Sha256};

use crate::attribute::lead::Lead;
use crate::attribute::meaning::Meaning;
use crate::check::fraud;
use crate::consume::assignment::Entry;
use crate::consume::batch::Batch;
use crate::enrich::Enriched;
use crate::enrich::spam::{Judge, Judgement};
use crate::event::{CLAIM_FUTURE_MAX_MS, CLAIM_PAST_MAX_MS, Event, EventType};
use crate::keys::Keys;
use crate::refusals::Report;
use crate::store::native::{Address, Amounts, Key16, Millis, Pairs, Seconds, Texts, Uuid};
use crate::store::rows::{
    ConversionRow, DeadLetterRow, EventRow, LeadRow, QuarantineRow, RefusalRow, ServiceContactRow,
    TouchKeyRow, touch_kind,
};

pub use held::QUARANTINED;

/// Where a record stood.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Which life of the log.
    pub epoch: u64,
    /// Which partition.
    pub partition: u16,
    /// Which offset.
    pub offset: u64,
}

/// The rows of a batch.
#[derive(Debug, Default)]
pub struct Rows {
    /// Of `events`.
    pub events: Vec<EventRow>,
    /// Of `leads`.
    pub leads: Vec<LeadRow>,
    /// Of `service_contacts`.
    pub service_contacts: Vec<ServiceContactRow>,
    /// Of `quarantine`.
    pub quarantine: Vec<QuarantineRow>,
    /// Of `conversions`.
    pub conversions: Vec<ConversionRow>,
    /// Of `touch_keys`.
    pub touch_keys: Vec<TouchKeyRow>,
    /// Of `refusals`.
    pub refusals: Vec<RefusalRow>,
    /// Of `dead_letters`.
    pub dead: Vec<DeadLetterRow>,
}

/// What rows are made with besides the event.
#[derive(Clone, Copy)]
pub struct Basis<'a> {
    /// Where the record stood.
    pub place: Place,
    /// For the keyed hashes of personal values.
    pub keys: &'a Keys,
    /// Says what is spam.
    pub judge: &'a Judge,
    /// Says what a form's fields mean.
    pub meaning: &'a Meaning,
}

impl Rows {
    /// Adds an event's rows. `held_before`: what an earlier attempt made of it, which stands.
    pub fn add(&mut self, mut enriched: Enriched, basis: Basis<'_>, held_before: Option<bool>) {
        let place = basis.place;
        let lead = lead::of(&enriched, basis);
        let judgement = lead
            .as_ref()
            .map_or_else(Judgement::default, |lead| lead.judge(&enriched.event, basis.judge));
        // Whoever wants no more mail is heard, whatever else the post says.
        let may_hold = enriched.event.event_type != EventType::Unsubscribe;
        if lead.is_some() && may_hold && held_before.unwrap_or(judgement.hold) {
            self.hold(&mut enriched, judgement, place);
            // Without its keys: while it is held it identifies nobody.
            self.events.push(event_row(enriched, place, Key16::default(), Key16::default()));
            return;
        }
        let (email_key, phone_key) =
            lead.as_ref().map_or_else(Default::default, |lead| (lead.email_key, lead.phone_key));
        self.add_facts(&enriched, lead, judgement, place);
        self.events.push(event_row(enriched, place, email_key, phone_key));
    }

    /// The rows of every table but `events`.
    fn add_facts(
        &mut self,
        enriched: &Enriched,
        lead: Option<Lead>,
        judgement: Judgement,
        place: Place,
    ) {
        let event = &enriched.event;
        if event.event_type == EventType::Click {
            self.add_touch_keys(event, place);
        }
        if event.event_type.is_conversion() {
            self.conversions.push(conversion_row(enriched, place));
        }
        match (lead, event.event_type) {
            (Some(lead), EventType::Lead) => {
                self.leads.push(lead.into_row(enriched, judgement, place));
            }
            (Some(lead), EventType::Complaint | EventType::ServiceContact) => {
                self.service_contacts.push(lead.into_contact(enriched, judgement, place));
            }
            // An unsubscription is in `events` with the keys of whom it is from.
            _ => {}
        }
    }

    /// Adds what an edge refused.
    pub fn add_refusals(&mut self, report: Report, place: Place) {
        self.refusals.extend(report.counts.into_iter().map(|count| RefusalRow {
            minute: Seconds(u32::try_from(count.minute.saturating_mul(60)).unwrap_or_default()),
            site: count.site,
            form: count.form,
            door: count.door,
            code: count.code,
            parameter: count.parameter,
            life: report.life,
            report: report.number,
            count: count.count,
            sample: count.sample,
            log_epoch: place.epoch,
            log_partition: place.partition,
            log_offset: place.offset,
        }));
    }

    /// Adds a record that could not be read.
    pub fn add_dead(
        &mut self,
        place: Place,
        id: u128,
        reason: &'static str,
        detail: String,
        payload: Vec<u8>,
        at: i64,
    ) {
        self.dead.push(DeadLetterRow {
            log_epoch: place.epoch,
            log_partition: place.partition,
            log_offset: place.offset,
            event_id: Uuid(id),
            reason,
            detail,
            payload,
            at: Millis(at),
        });
    }

    /// Moves the records at `bad` offsets, which `table` refuses, to the dead letters. What `events` refuses leaves every table; what
    /// only a narrower table refuses (a constraint that somebody added there) leaves that table.
    pub fn bury(&mut self, table: &str, bad: &HashSet<u64>, reason: &str, batch: &Batch, at: i64) {
        let everywhere = table == "events";
        let events = self.events.iter().map(|row| (row.log_epoch, row.log_partition));
        let refusals = self.refusals.iter().map(|row| (row.log_epoch, row.log_partition));
        let place_of = events.chain(refusals).next();
        for entry in &batch.entries {
            let Entry::Record { offset, payload, .. } = entry else { continue };
            let (Some((epoch, partition)), true) = (place_of, bad.contains(offset)) else {
                continue;
            };
            let id = Event::from_record(payload).map_or(0, |event| event.id.as_u128());
            let place = Place { epoch, partition, offset: *offset };
            let detail = format!("{table}: {reason}");
            self.add_dead(place, id, "refused_by_warehouse", detail, payload.clone(), at);
        }
        let keep = |offset: u64| !bad.contains(&offset);
        if everywhere {
            self.events.retain(|row| keep(row.log_offset));
        }
        if everywhere || table == "leads" {
            self.leads.retain(|row| keep(row.log_offset));
        }
        if everywhere || table == "service_contacts" {
            self.service_contacts.retain(|row| keep(row.log_offset));
        }
        if table == "refusals" {
            self.refusals.retain(|row| keep(row.log_offset));
        }
        if everywhere || table == "quarantine" {
            self.quarantine.retain(|row| keep(row.log_offset));
        }
        if everywhere || table == "conversions" {
            self.conversions.retain(|row| keep(row.log_offset));
        }
        if everywhere || table == "touch_keys" {
            self.touch_keys.retain(|row| keep(row.log_offset));
        }
    }

    fn add_touch_keys(&mut self, event: &Event, place: Place) {
        let row = |kind, key| TouchKeyRow {
            site: event.site.clone(),
            kind,
            key,
            event_time: Millis(event.event_time),
            id_seq: event.id.sequence(),
            id_node: event.id.node(),
            received_lag_ms: event.id.millis() - event.event_time,
            visitor: event.visitor.as_u128(),
            log_epoch: place.epoch,
            log_partition: place.partition,
            log_offset: place.offset,
        };
        self.touch_keys.push(row(touch_kind::CLICK_ID, event.id.as_u128()));
        // By what networks call the click: a postback may know no other id.
        if !event.promotion.affiliate.is_empty() {
            let ids = event.origin.click_ids.iter().map(|(_, id)| id);
            let ids = ids.chain([&event.origin.external_click]).filter(|id| !id.is_empty());
            let told: BTreeSet<u128> = ids.map(|id| network_click_key(id)).collect();
            self.touch_keys
                .extend(told.into_iter().map(|key| row(touch_kind::NETWORK_CLICK_ID, key)));
        }
        if !event.day_hash.is_none() {
            self.touch_keys.push(row(touch_kind::DAY_HASH, u128::from(event.day_hash.0)));
        }
    }
}

/// A network's click id as a key, as settling works it out from what a postback says: the first half of its SHA-256, little-endian.
fn network_click_key(id: &str) -> u128 {
    let hash = Sha256::digest(id.as_bytes());
    let (first, _) = hash.split_first_chunk::<16>().expect("a hash has 32 bytes");
    u128::from_le_bytes(*first)
}

/// True when an event's fixed time is one that `check` can have given it. Anything else would make table partitions at will.
pub fn time_is_possible(event: &Event) -> bool {
    let received = event.id.millis();
    (received - CLAIM_PAST_MAX_MS..=received + CLAIM_FUTURE_MAX_MS).contains(&event.event_time)
}

fn event_row(enriched: Enriched, place: Place, email_key: Key16, phone_key: Key16) -> EventRow {
    let Enriched { event, place: region, agent, agent_hash, channel, verdict } = enriched;
    let Event { promotion, origin, client, worth, partner, .. } = event;
    let worth = worth.unwrap_or_default();
    let partner = partner.unwrap_or_default();
    EventRow {
        site: event.site,
        visitor: event.visitor.as_u128(),
        event_time: Millis(event.event_time),
        id_seq: event.id.sequence(),
        id_node: event.id.node(),
        event_type: event.event_type as i8,
        received_lag_ms: event.id.millis() - event.event_time,
        claimed_time_ms: event.claimed_time.unwrap_or(0),
        source_kind: event.source as i8,
        visitor_basis: event.visitor_basis as i8,
        day_hash: event.day_hash.0,
        email_key,
        phone_key,
        channel: channel.to_owned(),
        utm_source: origin.utm_source,
        utm_medium: origin.utm_medium,
        utm_campaign: origin.utm_campaign,
        utm_term: origin.utm_term,
        utm_content: origin.utm_content,
        link: promotion.link,
        campaign: promotion.campaign,
        ad: promotion.ad,
        creative: promotion.creative,
        placement: promotion.placement,
        mailing: promotion.mailing,
        affiliate: promotion.affiliate,
        offer: promotion.offer,
        parent_click: event.parent_click.map_or(0, |claim| claim.id.as_u128()),
        sub_ids: Pairs(origin.sub_ids),
        click_ids: Pairs(origin.click_ids),
        landing_host: origin.landing_host,
        landing_path: origin.landing_path,
        referrer_host: origin.referrer_host,
        referrer_path: origin.referrer_path,
        language: client.language,
        product: promotion.product,
        price_variant: promotion.price_variant,
        price_shown: promotion.price_shown.unwrap_or_default(),
        price_currency: event
            .price_currency
            .map_or_else(String::new, |code| code.as_str().to_owned()),
        amount: worth.amount.unwrap_or_default(),
        currency: worth.currency.map_or_else(String::new, |code| code.as_str().to_owned()),
        order_id: worth.order_id,
        goal: worth.goal,
        status: worth.status,
        form: event.form.map_or_else(String::new, |form| form.form),
        country: region.country.clone(),
        region: region.region.clone(),
        city: region.city.clone(),
        device_type: agent.device_type.as_str(),
        browser: agent.browser.clone(),
        browser_major: agent.browser_major,
        os: agent.os.clone(),
        ua_hash: agent_hash,
        ip_net: Address(client.network.map_or([0; 16], |network| network.octets())),
        traffic_class: verdict.class as i8,
        ivt: verdict.ivt as i8,
        reasons: Texts(verdict.reasons.iter().map(|reason| (*reason).to_owned()).collect()),
        score: verdict.score,
        ruleset: verdict.ruleset,
        gpc: u8::from(client.gpc),
        flags: Texts(event.flags),
        recipient: event.recipient.0,
        source_profile: partner.postback,
        transaction_id: partner.transaction,
        external_click_id: if partner.external_click.is_empty() {
            origin.external_click
        } else {
            partner.external_click
        },
        coupon: partner.coupon,
        tags: Pairs(origin.tags),
        macros: Pairs(origin.macros),
        purpose: client.purpose,
        method: client.method,
        fetch_dest: client.fetch_dest,
        fetch_mode: client.fetch_mode,
        fetch_site: client.fetch_site,
        fetch_user: u8::from(client.fetch_user),
        log_epoch: place.epoch,
        log_partition: place.partition,
        log_offset: place.offset,
    }
}

fn conversion_row(enriched: &Enriched, place: Place) -> ConversionRow {
    let event = &enriched.event;
    let parent = event.parent_click;
    let worth = event.worth.clone().unwrap_or_default();
    let has_amount = u8::from(worth.amount.is_some());
    let partner = event.partner.clone().unwrap_or_default();
    let mut items = (Texts::default(), Amounts::default(), Amounts::default());
    for item in partner.items {
        items.0.0.push(item.sku);
        items.1.0.push(item.quantity);
        items.2.0.push(item.amount);
    }
    ConversionRow {
        site: event.site.clone(),
        event_type: event.event_type as i8,
        event_time: Millis(event.event_time),
        visitor: event.visitor.as_u128(),
        id_seq: event.id.sequence(),
        id_node: event.id.node(),
        received_lag_ms: event.id.millis() - event.event_time,
        source_kind: event.source as i8,
        visitor_basis: event.visitor_basis as i8,
        day_hash: event.day_hash.0,
        parent_click: parent.map_or(0, |claim| claim.id.as_u128()),
        parent_link: parent.map_or(0, |claim| claim.link),
        parent_offer: parent.map_or(0, |claim| claim.offer),
        parent_affiliate: parent.map_or(0, |claim| claim.affiliate),
        amount: worth.amount.unwrap_or_default(),
        currency: worth.currency.map_or_else(String::new, |code| code.as_str().to_owned()),
        order_id: worth.order_id,
        goal: worth.goal,
        status: worth.status,
        form: event.form.as_ref().map_or_else(String::new, |form| form.form.clone()),
        country: enriched.place.country.clone(),
        traffic_class: enriched.verdict.class.as_str(),
        submission_key: event.submission_key.0,
        offer: event.promotion.offer.clone(),
        source_profile: partner.postback,
        transaction_key: partner.key,
        transaction_id: partner.transaction,
        external_click_id: partner.external_click,
        original_status: partner.original_status,
        has_amount,
        duplicate_mode: if event.partner.is_some() { partner.duplicates as i8 } else { 0 },
        coupon: partner.coupon,
        new_customer: partner.customer as i8,
        tax: partner.tax.unwrap_or_default(),
        shipping: partner.shipping.unwrap_or_default(),
        discount: partner.discount.unwrap_or_default(),
        amount_text: partner.amount_text,
        item_skus: items.0,
        item_quantities: items.1,
        item_amounts: items.2,
        signals: Texts(fraud::signals(&event.flags)),
        signals_ruleset: fraud::RULESET,
        flags: Texts(event.flags.clone()),
        odd: Pairs(partner.odd),
        log_epoch: place.epoch,
        log_partition: place.partition,
        log_offset: place.offset,
    }
}
