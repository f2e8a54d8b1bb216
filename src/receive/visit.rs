//! A visit: what every door reads from a request's head, and the event that it begins with.
//!
//! In: the head, the client's address, the time of receipt. Out: an [`Event`] with visitor, client and flags filled in. Promises:
//! header values are cut to their columns; the full address goes no further than the hash of the day.

use std::borrow::Cow;

use hyper::header::{
    ACCEPT_LANGUAGE, COOKIE, FORWARDED, HeaderName, HeaderValue, ORIGIN, REFERER, USER_AGENT,
};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use crate::check::flags::{Flag, Flags};
use crate::check::limits::Standing;
use crate::check::origin::Trail;
use crate::check::redact;
use crate::check::visitor::{self, Known};
use crate::config::ProxyHeader;
use crate::event::{Client, Event, EventType, Promotion, SCHEMA_VERSION, SourceKind, VisitorBasis};
use crate::ids::{DayHash, EventId, RecipientKey, SubmissionKey, VisitorId};
use crate::personal::ClientIp;
use crate::receive::Edge;
use crate::registry::Site;

/// Agents are cut here (event.rs).
const AGENT_BYTES_MAX: usize = 1_024;

/// The longest language tag that is kept; BCP 47 asks for room for 35.
const LANGUAGE_BYTES_MAX: usize = 35;

/// Words such as `prefetch;prerender` and `document` are shorter.
const WORD_BYTES_MAX: usize = 64;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_USER: HeaderName = HeaderName::from_static("sec-fetch-user");

/// All four have been seen (DOMAIN.md 5, signal 2).
const PURPOSES: [HeaderName; 4] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-purpose"),
    HeaderName::from_static("x-moz"),
];

/// One request, as the doors see it.
pub struct Visit<'a> {
    /// Where it arrived.
    pub edge: &'a Edge,
    /// Its head.
    pub parts: &'a Parts,
    /// When it arrived, milliseconds since 1970.
    pub now_ms: i64,
    /// Who sent it.
    pub client: ClientIp,
    /// True when a proxy of ours brought it, whose word on the visitor's side counts.
    pub by_proxy: bool,
    /// How that network, or everybody together, stands to its limit; `None` where nothing is counted.
    pub standing: Option<Standing>,
}

/// Who came: what the client said of itself, and how the browser is known.
pub struct Met {
    client: Client,
    /// How the browser is known.
    pub known: Known,
    /// What is odd about it.
    pub flags: Flags,
}

/// A header's value as text; bytes that are no UTF-8 are replaced.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    // The strict reader is several times as fast as the lossy one, and nearly always enough.
    std::str::from_utf8(value.as_bytes())
        .map_or_else(|_| String::from_utf8_lossy(value.as_bytes()), Cow::Borrowed)
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    headers.get(name).map_or(Cow::Borrowed(""), text)
}

/// True for a request that nobody has asked for yet.
fn is_speculative(purpose: &str) -> bool {
    let purpose = purpose.to_ascii_lowercase();
    ["prefetch", "prerender", "preview"].iter().any(|word| purpose.contains(word))
}

/// True for a request that a browser or mail program makes before anybody asked for it.
pub fn looks_ahead(headers: &HeaderMap) -> bool {
    PURPOSES.iter().filter_map(|name| headers.get(name)).any(|value| is_speculative(&text(value)))
}

/// `proto` of an element of `Forwarded` (RFC 7239).
fn proto(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
    named.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// The first language of `Accept-Language`: `de-AT,de;q=0.9` gives `de-AT`.
fn first_language(header: &str) -> &str {
    let first = header.split([',', ';']).next().unwrap_or("").trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if first.len() <= LANGUAGE_BYTES_MAX && first.bytes().all(plain) { first } else { "" }
}

impl<'a> Visit<'a> {
    /// The query, without its `?`.
    pub fn query(&self) -> &'a str {
        self.parts.uri.query().unwrap_or("")
    }

    /// The `Referer`.
    pub fn referer(&self) -> Cow<'a, str> {
        header(&self.parts.headers, &REFERER)
    }

    /// True when the browser speaks https, as far as we know: `edge.public_url` says so, or a proxy of ours does, in the first word of the header
    /// that it sets. A browser that says it through the proxy only spoils its own cookie.
    pub fn is_https(&self) -> bool {
        let first = |name: &HeaderName| {
            self.parts.headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim)
        };
        let said = || match self.edge.settings.proxy_header {
            ProxyHeader::XForwardedFor => first(&X_FORWARDED_PROTO),
            ProxyHeader::Forwarded => first(&FORWARDED).and_then(proto),
        };
        self.edge.secure_cookies
            || (self.by_proxy && said().is_some_and(|word| word.eq_ignore_ascii_case("https")))
    }

    /// The `Origin`, if it is one of the site's own.
    pub fn own_origin(&self, site: &Site) -> Option<&'a HeaderValue> {
        self.parts
            .headers
            .get(ORIGIN)
            .filter(|origin| origin.to_str().is_ok_and(|text| site.owns_origin(text)))
    }

    /// What the client said of itself. `usual` is the door's own method.
    fn client(&self, usual: &Method, flags: &mut Flags) -> Client {
        let headers = &self.parts.headers;
        let word = |name: &HeaderName, flags: &mut Flags| {
            redact::cut(&header(headers, name), WORD_BYTES_MAX, flags).to_owned()
        };
        let purpose = PURPOSES.into_iter().find(|name| headers.contains_key(name));
        Client {
            network: Some(self.client.cut()),
            agent: redact::cut(&header(headers, &USER_AGENT), AGENT_BYTES_MAX, flags).to_owned(),
            language: first_language(&header(headers, &ACCEPT_LANGUAGE)).to_owned(),
            purpose: purpose.map(|name| word(&name, flags)).unwrap_or_default(),
            fetch_dest: word(&SEC_FETCH_DEST, flags),
            fetch_mode: word(&SEC_FETCH_MODE, flags),
            fetch_site: word(&SEC_FETCH_SITE, flags),
            fetch_user: headers.get(SEC_FETCH_USER).is_some_and(|value| value == "?1"),
            method: if self.parts.method == *usual {
                String::new()
            } else {
                self.parts.method.to_string()
            },
            gpc: headers.get(SEC_GPC).is_some_and(|value| value == "1"),
        }
    }

    fn identify(&self, site: &Site, client: &Client, sets_cookies: bool) -> Known {
        let headers = &self.parts.headers;
        let wanted = &site.consent_cookie;
        let consents = wanted.is_empty()
            || headers
                .get_all(COOKIE)
                .iter()
                .any(|cookies| visitor::consents(&text(cookies), wanted));
        let cookies = headers.get_all(COOKIE).iter().filter(|_| consents);
        let presented = { cookies }.find_map(|cookies| visitor::presented(&text(cookies)));
        // A prefetch or a HEAD is nobody's visit yet, and who sends GPC has asked not to be marked.
        let speculative = !client.purpose.is_empty() && is_speculative(&client.purpose);
        let may_set =
            sets_cookies && consents && !client.gpc && client.method.is_empty() && !speculative;
        visitor::identify(site.visitor, presented, may_set, || {
            let agent = headers.get(USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
            self.edge.salt.hash(
                self.now_ms,
                &site.name,
                self.client,
                agent,
                client.language.as_bytes(),
            )
        })
    }

    /// Looks who came. Once a request: a browser that is new gets its id here.
    pub fn meet(&self, source: SourceKind, site: &Site) -> Met {
        let usual = if source == SourceKind::WebForm { Method::POST } else { Method::GET };
        let mut flags = Flags::default();
        let client = self.client(&usual, &mut flags);
        let known = self.identify(site, &client, source == SourceKind::Redirect);
        if self.standing.is_some_and(|standing| !standing.is_within()) {
            flags.set(Flag::OverLimit);
        }
        Met { client, known, flags }
    }

    /// The event that this visit makes. The second part says whether the answer has to set the visitor's cookie.
    pub fn event(
        &self,
        what: EventType,
        source: SourceKind,
        site: &Site,
        trail: Trail,
    ) -> (Event, bool) {
        let met = self.meet(source, site);
        self.event_of(met, what, source, site, trail)
    }

    /// The same, of somebody who was met already.
    pub fn event_of(
        &self,
        met: Met,
        what: EventType,
        source: SourceKind,
        site: &Site,
        trail: Trail,
    ) -> (Event, bool) {
        let set_cookie = met.known.set_cookie;
        let id = self.edge.minter.mint(self.now_ms);
        (self.begin(met, (id, what, source), site, trail), set_cookie)
    }

    /// The first of `count` events that this visit makes at once; the others take the ids after its own.
    pub fn events_of(
        &self,
        met: Met,
        count: usize,
        what: EventType,
        source: SourceKind,
        site: &Site,
        trail: Trail,
    ) -> Event {
        let id = self.edge.minter.mint_several(self.now_ms, u32::try_from(count).unwrap_or(1));
        self.begin(met, (id, what, source), site, trail)
    }

    /// The event that a server reports: who sends it is no visitor and has no browser's day.
    pub fn server_event(&self, id: EventId, what: EventType, site: &Site, trail: Trail) -> Event {
        let mut flags = Flags::default();
        // Both methods are usual.
        let client = self.client(&self.parts.method, &mut flags);
        let known = Known {
            visitor: VisitorId::NONE,
            basis: VisitorBasis::None,
            day_hash: DayHash(0),
            set_cookie: false,
        };
        self.begin(Met { client, known, flags }, (id, what, SourceKind::S2s), site, trail)
    }

    fn begin(
        &self,
        Met { client, known, mut flags }: Met,
        (id, what, source): (EventId, EventType, SourceKind),
        site: &Site,
        trail: Trail,
    ) -> Event {
        flags.merge(trail.flags);
        Event {
            v: SCHEMA_VERSION,
            id,
            event_type: what,
            source,
            site: site.name.clone(),
            event_time: self.now_ms,
            claimed_time: None,
            visitor: known.visitor,
            visitor_basis: known.basis,
            day_hash: known.day_hash,
            submission_key: SubmissionKey::default(),
            parent_click: None,
            promotion: Promotion::default(),
            price_currency: None,
            origin: trail.origin,
            client,
            form: None,
            worth: None,
            recipient: RecipientKey::default(),
            decision: None,
            partner: None,
            others: Vec::new(),
            flags: flags.words(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_is_kept_when_it_is_one() {
        assert_eq!(first_language("de-AT,de;q=0.9,en;q=0.8"), "de-AT");
        assert_eq!(first_language(" en ;q=1"), "en");
        assert_eq!(first_language("*"), "");
        assert_eq!(first_language(""), "");
    }
}
