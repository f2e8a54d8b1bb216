//! The event as one line of JSON, written by hand.
//!
//! In: an [`Event`]. Out: byte for byte what serde would write (a property test holds it to that). Promises: a quarter of serde's
//! instructions. Encoding was the largest part of a redirect's way through the edge (callgrind: 15,700 of 54,000
//! instructions), most of it in looking at each byte of each string; here eight are looked at together.

use super::json_text::Json;
use super::{
    Client, Duplicates, Event, EventType, FormPost, NewCustomer, Origin, Partner, Promotion,
    SourceKind, VisitorBasis, Worth,
};
use crate::decision::{Act, Decision};
use crate::tokens::ClickClaim;

/// Most records are between 500 and 1,000 bytes; a block of this size still comes from the allocator's fast lists.
const RECORD_BYTES_USUAL: usize = 1_000;

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

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
