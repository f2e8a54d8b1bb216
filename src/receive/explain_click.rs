//! Explaining: where an affiliate's or a network's click address leads, and what would be kept of it.
//!
//! In: an address as it stands in somebody's link. Out: lines of `name: value`. Refuses: an address that is no affiliate's click here. Promises:
//! nothing is recorded or counted; it is read by the same functions that read a click.

use std::sync::Arc;

use super::affiliate::page_asked_for;
use super::click::read_query;
use super::target::{Target, Targets};
use crate::check::clicks::{Networks, Profile};
use crate::check::flags::Flag;
use crate::event::{Origin, Promotion};
use crate::registry::{Offer, Registry};

/// Stands where the click's own id will.
const CLICK_ID: &str = "CLICK-ID";

/// Explains an address; `None` when no affiliate sends by it.
pub fn address(registry: &Arc<Registry>, networks: &Networks, text: &str) -> Option<String> {
    let text = text.trim();
    let (host, rest) = match text.split_once("://") {
        Some((_, rest)) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        None => ("", text),
    };
    let rest = rest.split('#').next().unwrap_or("");
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if path.is_empty() { "/" } else { path };
    let mut own = path.strip_prefix("/a/").unwrap_or("").split('/');
    let (affiliate, offer, profile, words) = match (own.next(), own.next(), own.next()) {
        (Some(affiliate), Some(offer), None) if !affiliate.is_empty() => {
            (affiliate, offer, networks.of_affiliate(affiliate), [""; 3])
        }
        _ => {
            let found = networks.find(host, path, query)?;
            (found.affiliate, found.offer, found.profile, found.path)
        }
    };
    let targets = Targets::new(registry);
    let target = targets.offer(offer)?;
    registry.affiliate(affiliate)?;
    let mut promotion = target.promotion.clone();
    affiliate.clone_into(&mut promotion.affiliate);
    let [ad, creative, placement] = words;
    for (slot, word) in [
        (&mut promotion.ad, ad),
        (&mut promotion.creative, creative),
        (&mut promotion.placement, placement),
    ] {
        word.clone_into(slot);
    }
    Some(lines(target, profile, promotion, query).join("\n"))
}

fn lines(target: &Target, profile: &Profile, mut promotion: Promotion, query: &str) -> Vec<String> {
    let asked = page_asked_for(query, profile);
    let deep = asked.as_deref().map(|asked| target.of_deep_link(asked));
    let chosen = deep.as_ref().and_then(Option::as_ref).unwrap_or(target);
    let mut trail = chosen.trail.clone();
    if matches!(deep, Some(None)) {
        trail.flags.set(Flag::DeepLinkRefused);
    }
    let mut passage = chosen.destination.begin();
    read_query(query, Some(profile), &mut promotion, (&mut trail, &mut passage));
    for (name, fill) in &chosen.fills {
        passage.fill(name, fill.value(&promotion, &trail.origin));
    }
    let admitted = target.affiliates.is_empty() || target.affiliates.contains(&promotion.affiliate);
    let mut lines = vec![
        "kind: affiliate click".to_owned(),
        format!("read as: {} ({})", profile.name, profile.file.network),
        format!("affiliate: {}", promotion.affiliate),
        format!(
            "offer: {}{}",
            promotion.offer,
            if admitted { "" } else { " (does not admit this affiliate: 404)" }
        ),
    ];
    said(&mut lines, &promotion, &trail.origin);
    if let Some(of_offer) = &target.of_offer {
        limits(&mut lines, &of_offer.offer);
    }
    let flags = trail.flags.words();
    if !flags.is_empty() {
        lines.push(format!("flags: {}", flags.join(", ")));
    }
    lines.push(format!("leads to: {}", passage.finish(CLICK_ID)));
    lines
}

/// What a click would keep.
fn said(lines: &mut Vec<String>, promotion: &Promotion, origin: &Origin) {
    for (name, value) in [
        ("network's click id", &origin.external_click),
        ("ad", &promotion.ad),
        ("creative", &promotion.creative),
        ("placement", &promotion.placement),
        ("utm_source", &origin.utm_source),
        ("utm_medium", &origin.utm_medium),
        ("utm_campaign", &origin.utm_campaign),
        ("utm_term", &origin.utm_term),
        ("utm_content", &origin.utm_content),
    ] {
        if !value.is_empty() {
            lines.push(format!("{name}: {value}"));
        }
    }
    for (what, pairs) in [
        ("sub id", &origin.sub_ids),
        ("ad click id", &origin.click_ids),
        ("kept", &origin.tags),
        ("macro that nobody filled in", &origin.macros),
    ] {
        lines.extend(pairs.iter().map(|(name, value)| format!("{what}: {name} = {value}")));
    }
}

/// Who is turned away.
fn limits(lines: &mut Vec<String>, offer: &Offer) {
    if !offer.countries.is_empty() {
        let countries: Vec<&str> = offer.countries.iter().map(|one| one.as_str()).collect();
        lines.push(format!("countries: {}", countries.join(", ")));
    }
    for (name, cap) in [
        ("cap of a day", offer.cap_day),
        ("cap of a month", offer.cap_month),
        ("affiliate's cap of a day", offer.affiliate_cap_day),
        ("affiliate's cap of a month", offer.affiliate_cap_month),
    ] {
        if let Some(cap) = cap {
            lines.push(format!("{name}: {cap}"));
        }
    }
    if let Some(fallback) = &offer.fallback {
        lines.push(format!("fallback: {fallback}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_explained_as_a_click_would_be_read() {
        let sites = include_str!("../../config/sites.toml");
        let more = "[[network]]\nname = \"tune\"\nhosts = [\"go.shop.example\"]\noffers = { \"12\" = \"spring\" }\naffiliates = { \"7\" = \"blogger\" }\n";
        let registry = Arc::new(Registry::parse(&[sites, more].concat(), "test").unwrap());
        let networks = Networks::open("", registry.clone()).unwrap();
        let explained = |text: &str| address(&registry, &networks, text);
        let text = explained("https://go.shop.example/aff_c?offer_id=12&aff_id=7&aff_sub=top&aff_click_id=E1&aff_sub2={sub}&utm_source=x&url=https://evil.example/").unwrap();
        for line in [
            "read as: tune (TUNE / HasOffers)",
            "affiliate: blogger",
            "offer: spring",
            "network's click id: E1",
            "sub id: sub1 = top",
            "macro that nobody filled in: sub2 = {sub}",
            "flags: deep_link_refused, macro_unexpanded",
            "leads to: http://localhost:8082/shoes?utm_source=x&lt=CLICK-ID",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let own = explained("/a/dealsite/spring?to=/boots").unwrap();
        assert!(own.ends_with("leads to: http://localhost:8082/boots?lt=CLICK-ID"), "{own}");
        for nothing in [
            "https://go.shop.example/aff_c?offer_id=13&aff_id=7",
            "/a/nobody/spring",
            "/a/blogger/none",
            "x",
        ] {
            assert_eq!(explained(nothing), None, "{nothing}");
        }
    }
}
