//! Disposable mail: domains whose mailboxes are gone tomorrow.
//!
//! In: an address as it was typed. Out: whether its domain, or one that it lies under, is on the built-in list
//! (disposable-email-domains, CC0; `config/spam/README.md`). Promises: a search in one sorted list; nothing is asked of the network.

use std::sync::LazyLock;

/// One domain a line, in lower case and sorted.
const LIST: &str = include_str!("../../../config/spam/disposable_mail_domains.txt");

static DOMAINS: LazyLock<Vec<&str>> = LazyLock::new(|| LIST.lines().collect());

/// A domain has at most so many bytes.
const BYTES_MAX: usize = 253;

/// True for an address at a disposable domain.
pub fn is_disposable(address: &str) -> bool {
    let Some((_, domain)) = address.trim().rsplit_once('@') else { return false };
    let domain = domain.trim_end_matches(['.', '>']).to_ascii_lowercase();
    if domain.len() > BYTES_MAX {
        return false;
    }
    let mut rest = domain.as_str();
    while rest.contains('.') {
        if DOMAINS.binary_search(&rest).is_ok() {
            return true;
        }
        rest = rest.split_once('.').map_or("", |(_, parent)| parent);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_holds_plain_domains() {
        assert!(DOMAINS.len() > 8_000);
        assert!(DOMAINS.is_sorted_by(|left, right| left < right));
        for domain in DOMAINS.iter() {
            assert!(domain.contains('.') && *domain == domain.to_lowercase(), "{domain}");
        }
    }

    #[test]
    fn a_listed_domain_and_what_lies_under_it_are_disposable() {
        for address in ["a@mailinator.com", " A@MailInator.COM. ", "x@sub.mailinator.com"] {
            assert!(is_disposable(address), "{address}");
        }
        for address in [
            "jane@example.com",
            "jane@gmail.com",
            "x@mailinator.com.example.org",
            "mailinator.com",
            "@",
            "a@com",
            "",
            "grzegorz.b@example.pl",
        ] {
            assert!(!is_disposable(address), "{address}");
        }
    }
}
