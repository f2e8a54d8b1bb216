//! Kill-switches: what an operator has switched off.
//!
//! In: switches, on or off. Out: whether a link, host, affiliate or recipient is switched off. Promises: a host takes all below it along; where nothing is
//! switched off, asking costs nothing.

use std::borrow::Cow;
use std::collections::HashSet;

use super::record::{Kill, Switch};

/// A recipient's name in a switch: its keyed hash, as reports and `link explain` show it.
pub fn recipient_name(key: u64) -> String {
    format!("{key:016x}")
}

/// Kill-switches that are on.
#[derive(Default)]
pub struct Kills {
    links: HashSet<String>,
    hosts: HashSet<String>,
    affiliates: HashSet<String>,
    recipients: HashSet<String>,
}

impl Kills {
    /// Sets one.
    pub fn set(&mut self, kill: &Kill<'_>) {
        let set = match kill.what {
            Switch::Link => &mut self.links,
            Switch::Host => &mut self.hosts,
            Switch::Affiliate => &mut self.affiliates,
            Switch::Recipient => &mut self.recipients,
        };
        if kill.on {
            set.insert(kill.name.to_string());
        } else {
            set.remove(&*kill.name);
        }
    }

    /// True for a link that must not be followed.
    pub fn stops_link(&self, name: &str) -> bool {
        !self.links.is_empty() && self.links.contains(name)
    }

    /// True for a host that must not be led to: it, or one above it, is switched off.
    pub fn stops_host(&self, host: &str) -> bool {
        if self.hosts.is_empty() {
            return false;
        }
        let host = host.split(':').next().unwrap_or("").trim_end_matches('.').to_ascii_lowercase();
        let ends = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        std::iter::once(host.as_str()).chain(ends).any(|name| self.hosts.contains(name))
    }

    /// True for an affiliate whose clicks must not be followed.
    pub fn stops_affiliate(&self, name: &str) -> bool {
        !self.affiliates.is_empty() && self.affiliates.contains(name)
    }

    /// True for a recipient of mails under whose name nothing is to be kept any more.
    pub fn stops_recipient(&self, key: u64) -> bool {
        !self.recipients.is_empty() && self.recipients.contains(&recipient_name(key))
    }

    /// How many are on.
    pub fn len(&self) -> usize {
        let Self { links, hosts, affiliates, recipients } = self;
        [links, hosts, affiliates, recipients].into_iter().map(HashSet::len).sum()
    }

    /// True when none is on.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are on.
    pub fn iter(&self) -> impl Iterator<Item = Kill<'_>> {
        let kill = |what| move |name: &String| (what, name.clone());
        let links = self.links.iter().map(kill(Switch::Link));
        let hosts = self.hosts.iter().map(kill(Switch::Host));
        let affiliates = self.affiliates.iter().map(kill(Switch::Affiliate));
        let recipients = self.recipients.iter().map(kill(Switch::Recipient));
        let all = links.chain(hosts).chain(affiliates).chain(recipients);
        all.map(|(what, name)| Kill { what, name: Cow::Owned(name), on: true })
    }
}
