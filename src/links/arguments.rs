//! The arguments of `leadtrail link …`.
//!
//! In: what was typed. Out: a [`LinkCommand`]. Refuses: what clap refuses, with the nearest word.

use clap::{Args, Subcommand};

/// What to do with links.
#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Add a registered link: `link add sale --site shop --to https://www.shop.example/sale`.
    Add(Edited),
    /// Change a registered link; what isn't named stays.
    Edit(Edited),
    /// Retire a link: it leads to its fallback, or to a page that says so. Its name and number are never given again.
    Retire {
        /// The link's name.
        name: String,
    },
    /// Show registered links, and what is switched off.
    List(Listed),
    /// Add many links from CSV, all or none; the first line names the columns.
    Import {
        /// The file; `-` reads standard input.
        file: String,
        /// Change those that stand already, too.
        #[arg(long)]
        update: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Switch a link, a destination's host, an affiliate or a recipient's name off, at once: `link kill --host evil.example`.
    Kill(Killed),
    /// Sign a link that carries its destination, for one recipient or a whole list.
    Sign(Signed),
    /// Say what a token or an address of ours stands for: an affiliate's or a network's click address, too.
    Explain {
        /// A token, an address that ends in one, or a click address of an affiliate's or network's.
        token: String,
    },
    /// Say whether a token or an address is ours and not over; the exit code is 0 or 1.
    Verify {
        /// A token, or an address that ends in one.
        token: String,
    },
    /// Print the List-Unsubscribe headers (RFC 8058) for one recipient of a mailing.
    Unsubscribe(Addressed),
    /// Print the address of an open pixel for one recipient of a mailing.
    Open(Addressed),
}

/// A recipient of a mailing.
#[derive(Debug, Args)]
pub struct Addressed {
    /// The mailing's name, as in sites.toml.
    pub mailing: String,
    /// Your own reference to the recipient (not an address: it is hashed, but a number is safer); `-` reads it from
    /// standard input.
    pub recipient: String,
}

/// A link's fields.
#[derive(Debug, Args)]
#[expect(missing_docs, reason = "clap needs no help where the option says it")]
pub struct Edited {
    /// As in `/c/{name}`.
    pub name: String,
    #[arg(long)]
    pub site: Option<String>,
    /// Where it leads; several with weights share it: `--to '3*https://a.example/' --to '1*https://b.example/'`.
    #[arg(long)]
    pub to: Vec<String>,
    #[arg(long)]
    pub campaign: Option<String>,
    #[arg(long)]
    pub ad: Option<String>,
    #[arg(long)]
    pub creative: Option<String>,
    #[arg(long)]
    pub placement: Option<String>,
    #[arg(long)]
    pub mailing: Option<String>,
    #[arg(long)]
    pub product: Option<String>,
    #[arg(long)]
    pub price_variant: Option<String>,
    #[arg(long)]
    pub price: Option<String>,
    #[arg(long)]
    pub currency: Option<String>,
    /// 302, 307 or meta (a page that refreshes itself and hides the referrer).
    #[arg(long)]
    pub kind: Option<String>,
    /// A day (to its end, UTC), a time like 2026-12-31T18:00:00Z, or `never`.
    #[arg(long)]
    pub expires: Option<String>,
    /// Where it leads once it is over.
    #[arg(long)]
    pub fallback: Option<String>,
    /// `live` or `retired`.
    #[arg(long)]
    pub state: Option<String>,
    /// Its number in click ids; without it the next one is given.
    #[arg(long)]
    pub number: Option<String>,
}

/// Which links.
#[derive(Debug, Args)]
pub struct Listed {
    /// Those whose name holds this.
    #[arg(default_value = "")]
    pub name: String,
    /// Those of this site.
    #[arg(long, default_value = "")]
    pub site: String,
    /// As CSV that `link import --update` reads.
    #[arg(long)]
    pub csv: bool,
}

/// What is switched.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Target {
    /// A link, also one of sites.toml.
    #[arg(long)]
    pub link: Option<String>,
    /// A destination's host, and all hosts below it.
    #[arg(long)]
    pub host: Option<String>,
    /// An affiliate.
    #[arg(long)]
    pub affiliate: Option<String>,
    /// A recipient of mails who has withdrawn consent, by your own reference or `-` for standard input: opens and clicks are kept without a name from now on.
    #[arg(long)]
    pub recipient: Option<String>,
}

/// A kill-switch.
#[derive(Debug, Args)]
pub struct Killed {
    #[command(flatten)]
    /// What.
    pub target: Target,
    /// Switch it on again.
    #[arg(long)]
    pub undo: bool,
}

/// What is signed.
#[derive(Debug, Args)]
pub struct Signed {
    /// A registered link.
    #[arg(long, conflicts_with = "to")]
    pub link: Option<String>,
    /// An address that the site admits.
    #[arg(long)]
    pub to: Option<String>,
    /// The site, where it isn't the mailing's.
    #[arg(long)]
    pub site: Option<String>,
    /// The mailing that it is in.
    #[arg(long)]
    pub mailing: Option<String>,
    /// As reports show it.
    #[arg(long)]
    pub campaign: Option<String>,
    /// A day (to its end, UTC) or a time like 2026-12-31T18:00:00Z; without it the link lives as long as the key.
    #[arg(long)]
    pub expires: Option<String>,
    /// Your own reference to the recipient; `-` reads it from standard input.
    #[arg(long, conflicts_with = "batch")]
    pub recipient: Option<String>,
    /// A list as CSV, `-` for standard input: each line comes out with its addresses added.
    #[arg(long)]
    pub batch: Option<String>,
    /// The column of the list that holds your references.
    #[arg(long, default_value = "recipient", requires = "batch")]
    pub column: String,
}
