//! `leadtrail link …`: what can be done with links, as a command line.
//!
//! In: arguments. Out: words or CSV on standard output, and an exit code: 0 done, 1 nothing found or not ours, 2 refused. Promises: what it says was
//! done is kept; edges follow within seconds.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};

use super::arguments::{Addressed, Edited, Killed, LinkCommand, Listed, Signed, Target};
use super::csv;
use super::edit::{self, FIELDS};
use super::kills::recipient_name;
use super::record::{Change, Kill, Link, Switch};
use super::sign::{self, Signer, Wish};
use super::store::{self, Store};
use crate::ids::now_millis;
use crate::receive::explain_click;
use crate::say::say;
use crate::service::Installation;
use crate::tokens;

/// Does it.
///
/// # Errors
/// When it is refused, with what would be right.
pub fn run(command: &LinkCommand, installation: &Installation) -> Result<ExitCode> {
    match command {
        LinkCommand::Add(edited) => put(installation, edited, false)?,
        LinkCommand::Edit(edited) => put(installation, edited, true)?,
        LinkCommand::Retire { name } => retire(installation, name)?,
        LinkCommand::List(listed) => return list(installation, listed),
        LinkCommand::Import { file, update, dry_run } => {
            import(installation, file, *update, *dry_run)?;
        }
        LinkCommand::Kill(killed) => kill(installation, killed)?,
        LinkCommand::Sign(signed) => sign(installation, signed)?,
        LinkCommand::Explain { token } => return Ok(explain(installation, token, true)),
        LinkCommand::Verify { token } => return Ok(explain(installation, token, false)),
        LinkCommand::Unsubscribe(addressed) => {
            let (edge, mailing, reference) = addressee(installation, addressed)?;
            let token = tokens::sign_unsubscribe(&installation.keys, mailing, &reference);
            say(&format!("List-Unsubscribe: <{edge}/u/{token}>"));
            say("List-Unsubscribe-Post: List-Unsubscribe=One-Click");
        }
        LinkCommand::Open(addressed) => {
            let (edge, mailing, reference) = addressee(installation, addressed)?;
            let token = tokens::sign_mail(&installation.keys, mailing, &reference);
            say(&format!("{edge}/o/{token}.gif"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Edited {
    /// What was given, by field.
    fn given(&self) -> impl Iterator<Item = (&'static str, String)> {
        let to = (!self.to.is_empty()).then(|| self.to.join(" "));
        let texts = [
            Some(self.name.clone()),
            self.number.clone(),
            self.site.clone(),
            to,
            self.campaign.clone(),
            self.ad.clone(),
            self.creative.clone(),
            self.placement.clone(),
            self.mailing.clone(),
            self.product.clone(),
            self.price_variant.clone(),
            self.price.clone(),
            self.currency.clone(),
            self.kind.clone(),
            self.expires.clone(),
            self.fallback.clone(),
            self.state.clone(),
        ];
        FIELDS.into_iter().zip(texts).filter_map(|(field, text)| Some((field, text?)))
    }
}

fn put(installation: &Installation, edited: &Edited, known: bool) -> Result<()> {
    let (mut store, mut book) = Store::open(&installation.config)?;
    let name = &edited.name;
    let mut link = match (book.link(name).map(Link::into_owned), known) {
        (Some(link), true) => link,
        (None, false) => Link::default(),
        (Some(link), false) => {
            let state = if link.retired { ", retired" } else { "" };
            bail!(
                "link `{name}` stands already (number {}{state}); change it with: leadtrail link edit {name} …",
                link.number
            )
        }
        (None, true) if installation.registry.link(name).is_some() => {
            bail!("link `{name}` is one of sites.toml: change it there, and restart")
        }
        (None, true) => bail!("no link `{name}`; add it with: leadtrail link add {name} …"),
    };
    if !known && let Some(site) = installation.registry.only_site() {
        link.site = site.name.clone().into();
    }
    for (field, text) in edited.given() {
        edit::set(&mut link, field, &text)?;
    }
    edit::number(&mut link, &book)?;
    edit::check(&mut link, &installation.registry)?;
    let words = format!(
        "link {} {}: {}/c/{}",
        link.number,
        if known { "changed" } else { "added" },
        edge(installation),
        link.name
    );
    keep(&mut store, &mut book, &Change::Link(link))?;
    say(&words);
    Ok(())
}

fn keep(store: &mut Store, book: &mut super::book::Book, change: &Change<'_>) -> Result<()> {
    book.apply(change)?;
    let mut batch = store.begin()?;
    batch.put(change)?;
    batch.commit()?;
    store.tidy(book)
}

fn retire(installation: &Installation, name: &str) -> Result<()> {
    let (mut store, mut book) = Store::open(&installation.config)?;
    let link = book.link(name).map(Link::into_owned);
    let mut link = link.ok_or_else(|| anyhow!("no link `{name}`; see: leadtrail link list"))?;
    link.retired = true;
    keep(&mut store, &mut book, &Change::Link(link))?;
    say(&format!("link `{name}` is retired"));
    Ok(())
}

fn list(installation: &Installation, listed: &Listed) -> Result<ExitCode> {
    let book = store::load(&installation.config)?;
    let mut writer = ::csv::Writer::from_writer(io::stdout().lock());
    let now_ms = now_millis();
    let wanted = book.links().filter(|link| {
        link.name.contains(&listed.name) && (listed.site.is_empty() || link.site == listed.site)
    });
    let mut count = 0;
    if listed.csv {
        writer.write_record(FIELDS)?;
    }
    for link in wanted {
        count += 1;
        if listed.csv {
            writer.write_record(cells(&link))?;
            continue;
        }
        let state = match (link.retired, link.is_over(now_ms), book.kills().stops_link(&link.name))
        {
            (_, _, true) => "switched off",
            (true, ..) => "retired",
            (_, true, _) => "expired",
            _ => "live",
        };
        let [_, number, site, to, campaign, ..] = cells(&link);
        say(&[&link.name, &*number, &site, state, &campaign, &to].join("\t"));
    }
    writer.flush()?;
    drop(writer);
    if !listed.csv && listed.name.is_empty() {
        for kill in book.kills().iter() {
            count += 1;
            say(&format!("{}\tswitched off\t{}", kill.name, kill.what.word()));
        }
    }
    Ok(if count == 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// In the order of [`FIELDS`], as an import reads them.
fn cells(link: &Link<'_>) -> [String; 17] {
    let ways: Vec<String> = match &link.to[..] {
        [way] => vec![way.url.to_string()],
        ways => ways.iter().map(|way| format!("{}*{}", way.weight, way.url)).collect(),
    };
    let expires = match link.expires_ms {
        0 => String::new(),
        ms => jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string(),
    };
    [
        link.name.to_string(),
        link.number.to_string(),
        link.site.to_string(),
        ways.join(" "),
        link.campaign.to_string(),
        link.ad.to_string(),
        link.creative.to_string(),
        link.placement.to_string(),
        link.mailing.to_string(),
        link.product.to_string(),
        link.price_variant.to_string(),
        link.price.map(|price| price.to_string()).unwrap_or_default(),
        link.currency.map(|currency| currency.as_str().to_owned()).unwrap_or_default(),
        link.kind.word().to_owned(),
        expires,
        link.fallback.to_string(),
        if link.retired { "retired" } else { "live" }.to_owned(),
    ]
}

fn input(file: &str) -> Result<Box<dyn Read>> {
    if file == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(File::open(file).with_context(|| format!("cannot read {file:?}"))?))
}

fn import(installation: &Installation, file: &str, update: bool, dry_run: bool) -> Result<()> {
    let (mut store, mut book) = Store::open(&installation.config)?;
    let input = input(file)?;
    let source = if file == "-" { "standard input" } else { file };
    let mut batch = store.begin()?;
    let with = (&*installation.registry, &mut book);
    let imported = csv::import(input, source, update, with, &mut batch)?;
    let csv::Imported { added, changed, same } = imported;
    if dry_run {
        drop(batch);
        say(&format!(
            "nothing was done; {added} links would be added, {changed} changed, {same} are just so already"
        ));
        return Ok(());
    }
    batch.commit()?;
    store.tidy(&book)?;
    say(&format!("{added} links added, {changed} changed, {same} were just so already"));
    Ok(())
}

fn kill(installation: &Installation, killed: &Killed) -> Result<()> {
    let registry = &installation.registry;
    let (mut store, mut book) = Store::open(&installation.config)?;
    let Target { link, host, affiliate, recipient } = &killed.target;
    let (what, name) = match (link, host, affiliate) {
        (Some(link), ..) if registry.link(link).is_some() || book.link(link).is_some() => {
            (Switch::Link, link.clone())
        }
        (Some(link), ..) => bail!("no link `{link}`; see: leadtrail link list"),
        (_, Some(host), _) => (Switch::Host, host_name(host)?),
        (_, _, Some(one)) if registry.affiliate(one).is_some() => (Switch::Affiliate, one.clone()),
        (_, _, Some(one)) => bail!("no affiliate `{one}` in sites.toml"),
        _ => match recipient {
            Some(text) => {
                let key = tokens::recipient(&installation.keys, &reference(text)?);
                (Switch::Recipient, recipient_name(key))
            }
            None => bail!("name a --link, a --host, an --affiliate or a --recipient"),
        },
    };
    let words =
        format!("{} `{name}` is switched {}", what.word(), if killed.undo { "on" } else { "off" });
    let change = Change::Kill(Kill { what, name: name.into(), on: !killed.undo });
    keep(&mut store, &mut book, &change)?;
    say(&words);
    Ok(())
}

/// A host as redirects name it.
fn host_name(text: &str) -> Result<String> {
    let url = url::Url::parse(&format!("http://{text}/")).ok();
    let host = url.as_ref().filter(|url| url.path() == "/" && url.port().is_none());
    let host = host.and_then(url::Url::host_str).map(|host| host.trim_end_matches('.').to_owned());
    host.filter(|host| !host.is_empty())
        .ok_or_else(|| anyhow!("`{text}` is no host; give it as www.shop.example"))
}

fn edge(installation: &Installation) -> &str {
    installation.config.edge.public_url.trim_end_matches('/')
}

/// A person is named by a number, or on standard input.
fn reference(text: &str) -> Result<String> {
    let text = if text == "-" {
        io::read_to_string(io::stdin())?.trim().to_owned()
    } else {
        text.to_owned()
    };
    if text.is_empty() { Err(anyhow!("the recipient is empty")) } else { Ok(text) }
}

fn addressee<'a>(
    installation: &'a Installation,
    addressed: &Addressed,
) -> Result<(&'a str, u32, String)> {
    let known = installation.registry.mailing(&addressed.mailing);
    let known = known.ok_or_else(|| anyhow!("no mailing `{}` in sites.toml", addressed.mailing))?;
    Ok((edge(installation), known.number, reference(&addressed.recipient)?))
}

fn sign(installation: &Installation, signed: &Signed) -> Result<()> {
    let wish = Wish {
        link: signed.link.as_deref(),
        to: signed.to.as_deref(),
        site: signed.site.as_deref(),
        mailing: signed.mailing.as_deref(),
        campaign: signed.campaign.as_deref(),
        expires: signed.expires.as_deref(),
    };
    let with = (&*installation.keys, edge(installation));
    let book = || store::load(&installation.config);
    let mut signer = Signer::new(&wish, with, &installation.registry, book)?;
    if let Some(file) = &signed.batch {
        let output = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
        signer.batch(input(file)?, &signed.column, output)?;
        return Ok(());
    }
    let reference = signed.recipient.as_deref().map(reference).transpose()?;
    say(&signer.address(reference.as_deref().unwrap_or("")));
    io::stdout().flush()?;
    Ok(())
}

fn explain(installation: &Installation, token: &str, whole: bool) -> ExitCode {
    let now_ms = now_millis();
    let registry = &installation.registry;
    let Some(words) = sign::explain(&installation.keys, registry, token, now_ms) else {
        if whole
            && let Some(words) = explain_click::address(registry, &installation.networks, token)
        {
            say(&words);
            return ExitCode::SUCCESS;
        }
        say("not ours: no key of this installation signed it");
        return ExitCode::from(1);
    };
    let over = words.ends_with(" (over)");
    let short = if over { "ours, but over" } else { "ours" };
    say(if whole { &words } else { short });
    if over && !whole { ExitCode::from(1) } else { ExitCode::SUCCESS }
}
