//! Where a load may go. In: a URL. Out: a loopback address. Refuses every other address: a load
//! generator that can be pointed at somebody else's machine is a weapon.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use url::{Host, Url};

/// A service on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// Host and port as written, for the `Host` header.
    pub host: String,
}

/// Why a target is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Not a plain `http://host:port`.
    #[error("'{0}' is no http://host:port; write for example http://127.0.0.1:8080")]
    Url(String),
    /// Another machine.
    #[error(
        "'{0}' is not this machine; load goes to loopback addresses only (127.0.0.1, ::1, localhost)"
    )]
    NotLoopback(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let bad = || TargetError::Url(text.to_owned());
        let url = Url::parse(text).map_err(|_| bad())?;
        let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        if url.scheme() != "http" || !bare {
            return Err(bad());
        }
        let ip = match url.host().ok_or_else(bad)? {
            Host::Ipv4(ip) => IpAddr::V4(ip),
            Host::Ipv6(ip) => IpAddr::V6(ip),
            // Not looked up: a hosts file must not make another machine local.
            Host::Domain("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Host::Domain(name) => return Err(TargetError::NotLoopback(name.to_owned())),
        };
        if !ip.is_loopback() {
            return Err(TargetError::NotLoopback(ip.to_string()));
        }
        let port = url.port_or_known_default().ok_or_else(bad)?;
        let host = url.host_str().ok_or_else(bad)?;
        Ok(Self { address: SocketAddr::new(ip, port), host: format!("{host}:{port}") })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_taken() {
        for (text, address) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.9.9.9:1/", "127.9.9.9:1"),
            ("http://localhost:81", "127.0.0.1:81"),
            ("http://[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().address, address.parse().unwrap());
        }
        assert_eq!("http://localhost:81".parse::<Target>().unwrap().host, "localhost:81");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["http://10.0.0.1", "http://example.org", "http://0.0.0.0:80", "http://[::2]"] {
            assert!(matches!(text.parse::<Target>(), Err(TargetError::NotLoopback(_))), "{text}");
        }
        for text in ["127.0.0.1:80", "https://127.0.0.1", "http://127.0.0.1/x", "http://a@[::1]/"] {
            assert!(matches!(text.parse::<Target>(), Err(TargetError::Url(_))), "{text}");
        }
    }
}
