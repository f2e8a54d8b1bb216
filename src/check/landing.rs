//! Landings: where a registered or signed link may lead.
//!
//! In: an address as a marketer or a token gives it, and the site. Out: the address as the URL standard writes it. Refuses: other schemes
//! than http, https and the site's app schemes; hosts that the site doesn't list; user names, backslashes, control characters, blanks,
//! encoded or non-ASCII hosts, anything that a browser could read as another host. Promises: what is given out is visible ASCII and
//! has exactly the scheme and host that were compared with the list.

use url::Url;

use crate::check::names::Name;
use crate::check::redact::looks_like_email;
use crate::registry::Site;

/// Longer ones don't fit a mail client's line, and need no redirect of ours.
pub const BYTES_MAX: usize = 2_048;

/// Schemes that are never an app's, whatever a list says: they run code or read files, or are not for browsers to follow.
pub const SCHEMES_NEVER: [&str; 14] = [
    "javascript",
    "data",
    "vbscript",
    "file",
    "blob",
    "about",
    "view-source",
    "filesystem",
    "ftp",
    "ws",
    "wss",
    "jar",
    "chrome",
    "intent",
];

/// Why an address is refused; words of ours, never the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLanding {
    /// Not an address, or one that can be read in two ways.
    #[error("{0}")]
    Shape(&'static str),
    /// Its scheme is no app's of the site.
    #[error("scheme `{scheme}` is neither http, https nor in link_schemes of site `{site}`")]
    Scheme {
        /// What was given; letters, digits, `+-.` only.
        scheme: String,
        /// Whose list.
        site: String,
    },
    /// Its host is not the site's.
    #[error("host `{host}` is not in link_hosts of site `{site}`")]
    Host {
        /// What was given, as the URL standard writes it.
        host: String,
        /// Whose list.
        site: String,
    },
}

/// An address taken apart: the scheme, the authority, and everything from the path on.
pub fn split(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, after) = url.split_once("://")?;
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    Some((scheme, &after[..end], &after[end..]))
}

/// True while the site admits this scheme and authority. Asked for each click, so that a list that was shortened counts at once.
pub fn admits(site: &Site, scheme: &str, authority: &str) -> bool {
    match scheme {
        "http" | "https" => site.leads_to(authority),
        _ => site.link_schemes.iter().any(|own| own == scheme),
    }
}

/// The address as it may be kept and sent.
///
/// # Errors
/// When it isn't one that the site admits.
pub fn accept(text: &str, site: &Site) -> Result<String, BadLanding> {
    accept_where(text, &site.name, |scheme, authority| admits(site, scheme, authority))
}

/// The same, where something else than the site's lists admits a scheme and authority; `whose` names it in errors.
///
/// # Errors
/// When it isn't one that is admitted.
pub fn accept_where(
    text: &str,
    whose: &str,
    admits: impl Fn(&str, &str) -> bool,
) -> Result<String, BadLanding> {
    let shape = |why| Err(BadLanding::Shape(why));
    if text.is_empty() || text.len() > BYTES_MAX {
        return shape("an address has 1 to 2,048 bytes");
    }
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'\\') {
        return shape("an address holds no blanks, control characters or backslashes");
    }
    let Some((scheme, authority, rest)) = split(text) else {
        return shape("an address is scheme://host/…");
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(plain)
    {
        return shape("an address is scheme://host/…");
    }
    let scheme = scheme.to_ascii_lowercase();
    let web = matches!(scheme.as_str(), "http" | "https");
    if !web && (SCHEMES_NEVER.contains(&scheme.as_str()) || !admits(&scheme, "")) {
        return Err(BadLanding::Scheme { scheme, site: whose.to_owned() });
    }
    let host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if (web && authority.is_empty()) || !authority.bytes().all(host_byte) {
        return shape("a host is plain ASCII (write xn--… for others), without user name or %");
    }
    if rest.starts_with("//") {
        return shape("a path does not begin with two slashes");
    }
    let Ok(url) = Url::parse(text) else { return shape("this is no address") };
    // Parsed once and written again: from here on only this text counts.
    let written = String::from(url);
    let Some((as_scheme, as_authority, _)) = split(&written) else {
        return shape("an address is scheme://host/…");
    };
    if as_scheme != scheme || !written.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return shape("this address reads differently once it is parsed");
    }
    if !admits(as_scheme, as_authority) {
        return Err(BadLanding::Host { host: as_authority.to_owned(), site: whose.to_owned() });
    }
    if written.len() > BYTES_MAX {
        return shape("an address has 1 to 2,048 bytes");
    }
    Ok(written)
}

/// True for an address whose query names a person: it would stand readable in every log on its way.
pub fn is_personal(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    looks_like_email(url)
        || crate::receive::pairs::pairs(query.as_bytes())
            .any(|pair| Name::of(&pair.name) == Name::Personal && !pair.value.is_empty())
}

#[cfg(test)]
#[path = "landing_tests.rs"]
mod tests;
