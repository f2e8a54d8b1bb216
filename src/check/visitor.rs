//! Visitors: how a browser is known, and the address that a request really came from.
//!
//! In: the site's mode, the cookie and the day's hash; the peer's address and `X-Forwarded-For`. Out: [`Known`]; the client's
//! address. Refuses: a cookie that isn't ours to the digit. Promises: no id where the site's mode says none; no new cookie
//! for somebody who sends `Sec-GPC: 1`, nor for a prefetch; where the site names a cookie of consent, none is set or read without it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::ProxyHeader;
use crate::event::VisitorBasis;
use crate::ids::{DayHash, VisitorId};
use crate::personal::ClientIp;
use crate::registry::VisitorMode;

/// The cookie's name.
pub const COOKIE: &str = "lt_v";

/// What follows the cookie's value. 34,560,000 s are 400 days: browsers cap cookies there (DOMAIN.md 7).
const SECURE_COOKIE: &str = "; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=None";
const PLAIN_COOKIE: &str = "; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax";

/// How the browser behind an event is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id, or none.
    pub visitor: VisitorId,
    /// How it is known.
    pub basis: VisitorBasis,
    /// The hash of its day, in modes that make one.
    pub day_hash: DayHash,
    /// True when `visitor` is new and the answer has to set the cookie.
    pub set_cookie: bool,
}

/// Identifies the browser. `may_set` says whether this answer may set the cookie.
pub fn identify(
    mode: VisitorMode,
    presented: Option<VisitorId>,
    may_set: bool,
    day_hash: impl FnOnce() -> DayHash,
) -> Known {
    if mode == VisitorMode::None {
        return Known {
            visitor: VisitorId::NONE,
            basis: VisitorBasis::None,
            day_hash: DayHash(0),
            set_cookie: false,
        };
    }
    let day_hash = day_hash();
    let cookie =
        |visitor, set_cookie| Known { visitor, basis: VisitorBasis::Cookie, day_hash, set_cookie };
    if mode == VisitorMode::Cookie {
        if let Some(visitor) = presented {
            return cookie(visitor, false);
        }
        // Without a random source no id is better than one that others share.
        if may_set && let Ok(visitor) = VisitorId::random() {
            return cookie(visitor, true);
        }
    }
    let basis = if day_hash.is_none() { VisitorBasis::None } else { VisitorBasis::DailyHash };
    Known { visitor: VisitorId::from_day_hash(day_hash), basis, day_hash, set_cookie: false }
}

/// The visitor in a `Cookie` header; the first that is one of ours where there are several.
pub fn presented(cookies: &str) -> Option<VisitorId> {
    cookies.split(';').find_map(|cookie| {
        let (name, value) = cookie.split_once('=')?;
        (name.trim() == COOKIE).then(|| VisitorId::from_cookie(value.trim())).flatten()
    })
}

/// True when a `Cookie` header says that this browser's owner consents: it has a cookie of this name, or of this `name=value` exactly.
pub fn consents(cookies: &str, wanted: &str) -> bool {
    cookies.split(';').map(str::trim).any(|cookie| match wanted.contains('=') {
        true => cookie == wanted,
        false => cookie.split_once('=').is_some_and(|(name, _)| name == wanted),
    })
}

/// The `Set-Cookie` header's value. On https the cookie crosses sites (a form on www.shop posts to track.shop); without
/// it browsers refuse `SameSite=None`.
pub fn set_cookie(visitor: VisitorId, secure: bool) -> String {
    let mut digits = [0; 32];
    let visitor = uuid::Uuid::from_u128(visitor.as_u128()).simple().encode_lower(&mut digits);
    let reach = if secure { SECURE_COOKIE } else { PLAIN_COOKIE };
    [COOKIE, "=", visitor, reach].concat()
}

/// The client's address: the right-most hop of `X-Forwarded-For` (or `Forwarded`, as configured) that is no proxy of ours, and only
/// when the peer is one. `forwarded` gives the header's lines, last first. One header counts, never both: a proxy sets one and lets the
/// other through as the client wrote it.
pub fn client<'a>(
    peer: IpAddr,
    trusted: &[IpNet],
    header: ProxyHeader,
    forwarded: impl Iterator<Item = &'a str>,
) -> ClientIp {
    let ours = |client: ClientIp| is_one_of(client.expose(), trusted);
    let mut client = ClientIp::new(peer);
    if !is_one_of(peer, trusted) {
        return client;
    }
    for hop in forwarded.flat_map(|line| line.rsplit(',')) {
        // What can't be read was written by somebody unknown: what stands left of it is worth nothing.
        let address = match header {
            ProxyHeader::XForwardedFor => parse_hop(hop.trim_matches([' ', '\t'])),
            ProxyHeader::Forwarded => forwarded_for(hop).and_then(parse_hop),
        };
        let Some(address) = address else { break };
        client = ClientIp::new(address);
        if !ours(client) {
            break;
        }
    }
    client
}

/// True for an address in these networks.
pub fn is_one_of(address: IpAddr, networks: &[IpNet]) -> bool {
    !networks.is_empty() && {
        let address = ClientIp::new(address).expose();
        networks.iter().any(|network| network.contains(&address))
    }
}

/// The node of `for=` in one element of `Forwarded` (RFC 7239): `for="[2001:db8::1]:4711";proto=https`. Elements are cut at every comma,
/// quoted or not: our own proxy's element, the last, has none, and an open quote left of it must not swallow it.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        name.trim().eq_ignore_ascii_case("for").then_some(inner.unwrap_or(value))
    })
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]` or `[::1]:5`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: &str = "0123456789abcdef0123456789abcdef";

    fn known(mode: VisitorMode, cookie: Option<&str>, may_set: bool) -> Known {
        identify(mode, cookie.and_then(presented), may_set, || DayHash(9))
    }

    #[test]
    fn consent_is_a_cookie_of_that_name_or_that_very_value() {
        let cookies = "a=b; consent=yes;lt_v=x";
        assert!(consents(cookies, "consent") && consents(cookies, "consent=yes"));
        for other in ["consent=no", "consen", "yes", "consent=ye", "b"] {
            assert!(!consents(cookies, other), "{other}");
        }
    }

    #[test]
    fn a_site_without_visitors_gets_none() {
        let none = known(VisitorMode::None, Some(&format!("lt_v={OURS}")), true);
        assert_eq!(
            (none.visitor, none.day_hash, none.set_cookie),
            (VisitorId::NONE, DayHash(0), false)
        );
    }

    #[test]
    fn a_presented_cookie_is_used_and_not_set_again() {
        let cookie = format!("a=b; lt_v={OURS}; c");
        let seen = known(VisitorMode::Cookie, Some(&cookie), true);
        assert_eq!((seen.visitor.to_string().as_str(), seen.basis), (OURS, VisitorBasis::Cookie));
        assert_eq!((seen.day_hash, seen.set_cookie), (DayHash(9), false));
        let hashed = known(VisitorMode::DailyHash, Some(&cookie), true);
        assert_eq!((hashed.basis, hashed.set_cookie), (VisitorBasis::DailyHash, false));
        assert_eq!(hashed.visitor, VisitorId::from_day_hash(DayHash(9)));
    }

    #[test]
    fn a_cookie_is_made_only_where_it_may_be_set() {
        let new = known(VisitorMode::Cookie, None, true);
        assert!(new.set_cookie && VisitorId::from_cookie(&new.visitor.to_string()).is_some());
        let weak = known(VisitorMode::Cookie, Some("lt_v=short"), false);
        assert_eq!((weak.basis, weak.set_cookie), (VisitorBasis::DailyHash, false));
    }

    #[test]
    fn the_cookie_crosses_sites_on_https_alone() {
        let visitor = VisitorId::from_cookie(OURS).unwrap();
        assert_eq!(
            set_cookie(visitor, true),
            format!("lt_v={OURS}; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=None")
        );
        assert!(set_cookie(visitor, false).ends_with("HttpOnly; SameSite=Lax"));
    }

    #[test]
    fn only_our_proxies_are_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let from = |peer: &str, lines: &[&str]| {
            let lines = lines.iter().rev().copied();
            client(peer.parse().unwrap(), &trusted, ProxyHeader::XForwardedFor, lines)
                .expose()
                .to_string()
        };
        assert_eq!(from("198.51.100.1", &["203.0.113.7"]), "198.51.100.1");
        assert_eq!(from("10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(from("10.0.0.1", &["6.6.6.6, 203.0.113.7, 10.0.0.2"]), "203.0.113.7");
        assert_eq!(from("10.0.0.1", &["6.6.6.6", "203.0.113.7:1234"]), "203.0.113.7");
        assert_eq!(from("2001:db8::1", &["[2001:4860::1]:443"]), "2001:4860::1");
        assert_eq!(from("::ffff:10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(from("10.0.0.1", &["6.6.6.6, unknown"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
        // Spellings that parsers disagree about are no addresses: the hop before them counts.
        for hostile in [
            "203.0.113.07",
            "0xcb.0.113.7",
            "203.0.113.7:99999",
            "fe80::1%eth0",
            "[203.0.113.7",
            "203.0.113.7]",
            "[::1",
            "203.0.113.7;",
            "\"203.0.113.7\"",
            "localhost",
            "",
            "6.6.6.6 203.0.113.7",
            "203.0.113.7\u{a0}",
        ] {
            let line = format!("6.6.6.6, {hostile}, 10.0.0.2");
            assert_eq!(from("10.0.0.1", &[&line]), "10.0.0.2", "{hostile}");
        }
        assert_eq!(from("10.0.0.1", &["::ffff:203.0.113.7"]), "203.0.113.7");
        assert_eq!(from("10.0.0.1", &["6.6.6.6,203.0.113.7 ,\t10.0.0.2"]), "203.0.113.7");
    }

    #[test]
    fn the_standards_own_header_is_read_the_same_way() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let from = |lines: &[&str]| {
            let lines = lines.iter().rev().copied();
            let peer = "10.0.0.1".parse().unwrap();
            client(peer, &trusted, ProxyHeader::Forwarded, lines).expose().to_string()
        };
        assert_eq!(from(&["for=203.0.113.7;proto=https;by=10.0.0.1"]), "203.0.113.7");
        assert_eq!(from(&["for=6.6.6.6, For=\"203.0.113.7:4711\"", "for=10.0.0.2"]), "203.0.113.7");
        assert_eq!(from(&["proto=https; for=\"[2001:db8::1]:4711\""]), "2001:db8::1");
        assert_eq!(
            from(&["for=\"6.6.6.6, for=203.0.113.7"]),
            "203.0.113.7",
            "an open quote swallows nothing"
        );
        for nobody in
            ["for=unknown", "for=_hidden", "for=\"\"", "by=203.0.113.7", "203.0.113.7", "for"]
        {
            assert_eq!(from(&["for=6.6.6.6", nobody]), "10.0.0.1", "{nobody}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_left_of_the_last_strangers_hop_changes_nothing(noise in ".{0,40}", forwarded: bool) {
            let trusted = ["10.0.0.0/8".parse().unwrap()];
            let (header, line) = match forwarded {
                true => (ProxyHeader::Forwarded, format!("{noise}, for=203.0.113.7, for=10.9.9.9")),
                false => (ProxyHeader::XForwardedFor, format!("{noise}, 203.0.113.7, 10.9.9.9")),
            };
            let found = client("10.0.0.1".parse().unwrap(), &trusted, header, std::iter::once(line.as_str()));
            prop_assert_eq!(found.expose().to_string(), "203.0.113.7");
        }

        #[test]
        fn any_cookie_header_is_read_without_panic(noise in ".{0,60}", bits: u128) {
            let text = format!("{noise}; lt_v={bits:032x}");
            let found = presented(&text);
            if bits >> 64 != 0 && !noise.contains("lt_v") {
                prop_assert_eq!(found.map(|visitor| visitor.as_u128()), Some(bits));
            }
        }
    }
}
