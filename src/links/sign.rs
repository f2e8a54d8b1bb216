//! Signing: links, unsubscription and open addresses for mails.
//!
//! In: what a link stands for; recipients one by one, or as a column of CSV. Out: addresses. Refuses: an unknown link, mailing or site, an address
//! that the site does not admit, an address that names a person. Promises: nothing personal goes into an address but as a keyed hash.

use std::io::{Read, Write};

use anyhow::{Context as _, Result, anyhow, bail};
use csv::{ReaderBuilder, StringRecord, Writer};

use super::book::Book;
use super::edit;
use super::token::{self, LinkClaim};
use crate::keys::Keys;
use crate::registry::Registry;
use crate::tokens;

/// What is signed, the recipient aside.
pub struct Signer<'a> {
    keys: &'a Keys,
    /// `edge.public_url`, without a slash at its end.
    edge: &'a str,
    claim: LinkClaim,
}

/// What a command asks for.
#[derive(Debug, Default)]
pub struct Wish<'a> {
    /// A registered link's name.
    pub link: Option<&'a str>,
    /// An address.
    pub to: Option<&'a str>,
    /// Whose.
    pub site: Option<&'a str>,
    /// The mailing that it is in.
    pub mailing: Option<&'a str>,
    /// As reports show it.
    pub campaign: Option<&'a str>,
    /// Until when.
    pub expires: Option<&'a str>,
}

impl<'a> Signer<'a> {
    /// Checks the wish.
    ///
    /// # Errors
    /// When there is no such link, site or mailing, or the address is not admitted.
    pub fn new(
        wish: &Wish<'_>,
        (keys, edge): (&'a Keys, &'a str),
        registry: &Registry,
        book: impl FnOnce() -> Result<Book>,
    ) -> Result<Self> {
        let mut claim = LinkClaim::default();
        if let Some(mailing) = wish.mailing {
            let known = registry.mailing(mailing);
            let known = known.ok_or_else(|| anyhow!("no mailing `{mailing}` in sites.toml"))?;
            claim.mailing = known.number;
            claim.site.clone_from(&known.site);
        }
        if let Some(campaign) = wish.campaign {
            edit::check_word("campaign", campaign)?;
            campaign.clone_into(&mut claim.campaign);
        }
        claim.expires_ms = edit::instant(wish.expires.unwrap_or(""))?;
        match (wish.link, wish.to) {
            (Some(name), None) => (claim.link, claim.site) = registered(name, registry, book)?,
            (None, Some(to)) => {
                if let Some(site) = wish.site {
                    site.clone_into(&mut claim.site);
                }
                let only = registry.only_site().map(|site| site.name.clone());
                if claim.site.is_empty() {
                    claim.site = only.context("which site? name it with --site")?;
                }
                let site = registry.site(&claim.site);
                let site = site.ok_or_else(|| anyhow!("no site `{}` in sites.toml", claim.site))?;
                claim.destination = edit::address("destination", to, site)?;
            }
            _ => bail!("name either a registered link (--link) or an address (--to)"),
        }
        Ok(Self { keys, edge: edge.trim_end_matches('/'), claim })
    }

    /// The address for a recipient; an empty reference: for everybody.
    pub fn address(&mut self, reference: &str) -> String {
        self.claim.recipient =
            if reference.is_empty() { 0 } else { tokens::recipient(self.keys, reference) };
        [self.edge, "/r/", &token::sign(self.keys, &self.claim)].concat()
    }

    /// Adds to each line of a mailing list: `link`, and with a mailing `unsubscribe`, `open` and `recipient`, the keyed hash that events show.
    /// Gives the number of lines.
    ///
    /// # Errors
    /// When the list has no such column, or can't be read or written.
    pub fn batch(&mut self, input: impl Read, column: &str, output: impl Write) -> Result<u64> {
        let mut reader = ReaderBuilder::new().from_reader(input);
        let mut writer = Writer::from_writer(output);
        let head = reader.headers()?.clone();
        let at = head.iter().position(|name| name.trim().eq_ignore_ascii_case(column));
        let Some(at) = at else {
            let known: Vec<&str> = head.iter().collect();
            bail!(
                "the list has no column `{column}`, only: {}; name yours with --column",
                known.join(", ")
            );
        };
        let mailing = self.claim.mailing;
        let mut head = head;
        head.push_field("recipient");
        head.push_field("link");
        if mailing != 0 {
            head.push_field("unsubscribe");
            head.push_field("open");
        }
        writer.write_record(&head)?;
        let mut line = StringRecord::new();
        let mut count = 0;
        while reader.read_record(&mut line)? {
            let reference = line.get(at).unwrap_or("").trim().to_owned();
            if reference.is_empty() {
                let number = line.position().map_or(0, csv::Position::line);
                bail!(
                    "line {number}: column `{column}` is empty; {count} lines were written before it"
                );
            }
            let link = self.address(&reference);
            line.push_field(&format!("{:016x}", self.claim.recipient));
            line.push_field(&link);
            if mailing != 0 {
                let unsubscribe = tokens::sign_unsubscribe(self.keys, mailing, &reference);
                line.push_field(&[self.edge, "/u/", &unsubscribe].concat());
                let open = tokens::sign_mail(self.keys, mailing, &reference);
                line.push_field(&[self.edge, "/o/", &open, ".gif"].concat());
            }
            writer.write_record(&line)?;
            count += 1;
        }
        writer.flush()?;
        Ok(count)
    }
}

fn registered(
    name: &str,
    registry: &Registry,
    book: impl FnOnce() -> Result<Book>,
) -> Result<(u32, String)> {
    if let Some(link) = registry.link(name) {
        return Ok((link.number, link.site.clone()));
    }
    let book = book()?;
    let link =
        book.link(name).ok_or_else(|| anyhow!("no link `{name}`; see: leadtrail link list"))?;
    if link.retired {
        bail!(
            "link `{name}` is retired; bring it back with: leadtrail link edit {name} --state live"
        );
    }
    Ok((link.number, link.site.into_owned()))
}

/// What a token says, in lines of `name: value`; `None` when it is none of ours.
pub fn explain(keys: &Keys, registry: &Registry, text: &str, now_ms: i64) -> Option<String> {
    let token = text.trim().rsplit('/').next().unwrap_or("");
    let token = token.split(['?', '#']).next().unwrap_or("");
    let token = token.strip_suffix(".gif").unwrap_or(token);
    let mut lines = Vec::new();
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name}: {value}"));
        }
    };
    let mailing = |number| {
        registry
            .mailing_numbered(number)
            .map_or_else(|| format!("number {number}, not in sites.toml"), |one| one.name.clone())
    };
    let time = |ms| jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string();
    if let Some(claim) = token::verify(keys, token) {
        say("kind", "signed link".to_owned());
        say("site", claim.site.clone());
        if claim.link != 0 {
            let name = registry.link_numbered(claim.link).map(|link| format!(" ({})", link.name));
            say("link", format!("number {}{}", claim.link, name.unwrap_or_default()));
        }
        say("destination", claim.destination.clone());
        say("campaign", claim.campaign.clone());
        say("mailing", if claim.mailing == 0 { String::new() } else { mailing(claim.mailing) });
        say(
            "recipient",
            if claim.recipient == 0 { String::new() } else { format!("{:016x}", claim.recipient) },
        );
        let over = if claim.is_over(now_ms) { " (over)" } else { "" };
        say(
            "expires",
            if claim.expires_ms == 0 { "never".to_owned() } else { time(claim.expires_ms) + over },
        );
    } else if let Some(claim) = tokens::verify_unsubscribe(keys, token) {
        say("kind", "unsubscription".to_owned());
        say("mailing", mailing(claim.mailing));
        say("recipient", format!("{:016x}", claim.recipient));
    } else if let Some(claim) = tokens::verify_mail(keys, token) {
        say("kind", "open pixel".to_owned());
        say("mailing", mailing(claim.mailing));
        say("recipient", format!("{:016x}", claim.recipient));
    } else if let Some(claim) = tokens::verify_click(keys, token) {
        say("kind", "click id".to_owned());
        say("time", time(claim.id.millis()));
        say("event", uuid::Uuid::from_u128(claim.id.as_u128()).to_string());
        for (name, number) in
            [("link", claim.link), ("offer", claim.offer), ("affiliate", claim.affiliate)]
        {
            say(name, if number == 0 { String::new() } else { format!("number {number}") });
        }
    } else if let Some(id) = tokens::verify_receipt(keys, token) {
        say("kind", "receipt".to_owned());
        say("time", time(id.millis()));
        say("event", uuid::Uuid::from_u128(id.as_u128()).to_string());
    } else {
        return None;
    }
    Some(lines.join("\n"))
}
