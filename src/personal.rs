//! Personal data: types that cannot be printed by accident.
//!
//! In: text and addresses that came from a person. Out: the same value, but only through [`Email::expose`] and its
//! siblings, which are called where the value is stored or shown to somebody entitled to it. Refuses: nothing.
//! Promises: `Debug` and `Display` are masked, so that no log line, error text or metric can hold a value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Declares a newtype over `String` whose `Debug` and `Display` show a mask only.
macro_rules! personal_text {
    ($(#[$documentation:meta])* $name:ident, $mask:expr) => {
        $(#[$documentation])*
        #[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the value as it came.
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            /// The value itself; for storing it, hashing it, or showing it to somebody entitled to it.
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// True when nothing was given.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// A form that shows what kind of value it is and not whose.
            pub fn masked(&self) -> String {
                let mask: fn(&str) -> String = $mask;
                mask(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.masked())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.masked())
            }
        }
    };
}

personal_text!(
    /// An e-mail address as it was typed.
    Email,
    mask_email
);
personal_text!(
    /// A telephone number as it was typed.
    Phone,
    mask_phone
);
personal_text!(
    /// Any other text a person typed: a name, a message, an unknown field.
    PersonalText,
    |text| if text.is_empty() { String::new() } else { "***".to_owned() }
);

impl Email {
    /// The form that keys are made from: trimmed, in lower case, the domain in ASCII (DOMAIN.md 4.4), without what people paste
    /// around it (`mailto:`, `Jane <…>`, a full stop). Empty when it is no address.
    pub fn normalised(&self) -> String {
        let text = self.0.trim().to_lowercase();
        let bare = match (text.rfind('<'), text.strip_suffix('>')) {
            (Some(at), Some(closed)) => &closed[at + 1..],
            _ => text.strip_prefix("mailto:").unwrap_or(&text),
        };
        let bare = bare.trim().trim_end_matches('.');
        let plausible = |user: &str, host: &str| {
            let one = user.starts_with('"') || !user.contains([' ', ',', ';', '<', '>']);
            one && !user.is_empty()
                && host.contains('.')
                && !host.contains(['@', ' ', '%', ',', '>'])
        };
        match bare.split_once('@') {
            Some((user, host)) if bare.len() <= 254 && plausible(user, host) => {
                match url::Host::parse(host) {
                    Ok(url::Host::Domain(domain)) if !host.is_ascii() => format!("{user}@{domain}"),
                    _ => bare.to_owned(),
                }
            }
            _ => String::new(),
        }
    }
}

impl Phone {
    /// Digits with a leading `+` where one was typed. The E.164 form needs a country and is made elsewhere.
    pub fn normalised(&self) -> String {
        let digits: String = self.0.chars().filter(char::is_ascii_digit).collect();
        if digits.len() < 5 || digits.len() > 15 {
            return String::new();
        }
        if self.0.trim_start().starts_with('+') { format!("+{digits}") } else { digits }
    }
}

/// `j***@e***.com`: enough for a rep to tell two leads apart, not enough to write to them.
fn mask_email(text: &str) -> String {
    let first = |part: &str| part.chars().next().map(String::from).unwrap_or_default();
    match text.split_once('@') {
        Some((user, host)) => {
            let ending = host.rsplit_once('.').map_or("", |(_, ending)| ending);
            format!("{}***@{}***.{}", first(user), first(host), ending)
        }
        None if text.is_empty() => String::new(),
        None => "***".to_owned(),
    }
}

/// `***67`: the last two digits.
fn mask_phone(text: &str) -> String {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    match digits.len() {
        0 if text.is_empty() => String::new(),
        0..5 => "***".to_owned(),
        count => format!("***{}{}", digits[count - 2], digits[count - 1]),
    }
}

/// The full address of a client. It lives in the edge's memory for one request and goes no further: it cannot be
/// serialised, and what is kept is [`ClientIp::cut`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// Takes the address; an IPv4 address mapped into IPv6 becomes IPv4 again, so that one client has one key.
    pub fn new(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(v6) => Self(v6.to_ipv4_mapped().map_or(address, IpAddr::V4)),
            IpAddr::V4(_) => Self(address),
        }
    }

    /// The address itself, for the daily hash only.
    pub fn expose(self) -> IpAddr {
        self.0
    }

    /// The network that may be stored: /24 of IPv4, /48 of IPv6 (DOMAIN.md 7).
    pub fn cut(self) -> CutAddress {
        CutAddress(match self.0 {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        })
    }

    /// The network that limits count by: /24 of IPv4, /64 of IPv6, as a number.
    pub fn limit_key(self) -> u64 {
        match self.0 {
            IpAddr::V4(v4) => u64::from(u32::from(v4) >> 8),
            IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
        }
    }
}

impl fmt::Debug for ClientIp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The network a client belongs to, with the host part cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CutAddress(IpAddr);

impl CutAddress {
    /// The network's first address.
    pub fn address(self) -> IpAddr {
        self.0
    }

    /// As ClickHouse's `IPv6` holds it: IPv4 is mapped.
    pub fn octets(self) -> [u8; 16] {
        match self.0 {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_value_names_nobody() {
        let email = Email::new("jane.roe@example.com");
        assert_eq!(format!("{email} {email:?}"), "j***@e***.com j***@e***.com");
        assert_eq!(Phone::new("+49 170 1234567").to_string(), "***67");
        assert_eq!(format!("{:?}", PersonalText::new("secret")), "***");
        let address = ClientIp::new("203.0.113.77".parse().unwrap());
        assert_eq!(format!("{address:?}"), "***");
        assert_eq!(address.cut().address().to_string(), "203.0.113.0");
    }

    #[test]
    fn a_mapped_address_is_the_same_client() {
        let mapped = ClientIp::new("::ffff:203.0.113.77".parse().unwrap());
        assert_eq!(mapped, ClientIp::new("203.0.113.77".parse().unwrap()));
        let six = ClientIp::new("2001:db8:1:2:3:4:5:6".parse().unwrap());
        assert_eq!(six.cut().address().to_string(), "2001:db8:1::");
    }

    #[test]
    fn keys_are_made_from_one_spelling() {
        assert_eq!(Email::new(" Jane@Example.COM ").normalised(), "jane@example.com");
        for pasted in
            ["mailto:jane@example.com", "Jane Roe <Jane@Example.com>", "jane@example.com."]
        {
            assert_eq!(Email::new(pasted).normalised(), "jane@example.com", "{pasted}");
        }
        for none in [
            "not an address",
            "a@b.example, c@d.example",
            "Jane jane@b.example",
            "<>",
            "a@<b.example>",
        ] {
            assert_eq!(Email::new(none).normalised(), "", "{none}");
        }
        assert_eq!(Email::new("jane@BÜCHER.example").normalised(), "jane@xn--bcher-kva.example");
        assert_eq!(Phone::new("+49 (170) 123-45 67").normalised(), "+491701234567");
    }
}
