//! The command line. In: words. Out: checked options. Everything has a default that fits `leadtrail up`
//! with the demo site.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::drain::DrainOptions;
use crate::faults::FaultsOptions;
use crate::generator::Load;
use crate::mix::{Kind, Mix};
use crate::overload::OverloadOptions;
use crate::site::{SiteError, read_small};
use crate::target::Target;
use crate::warehouse::{Patience, Warehouse};

/// Open-loop load for Leadtrail, reconciled with its warehouse.
#[derive(Parser)]
#[command(name = "leadtrail-load")]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Send a mix at a fixed rate, then hold every receipt against ClickHouse
    Run(RunOptions),
    /// Hold the receipts of an earlier run against ClickHouse
    Reconcile(ReconcileOptions),
    /// CPU per event and latency of the edge, beside a bare hyper server, as a Markdown table
    Compare(CompareOptions),
    /// How long from the answer until the event can be queried
    Queryable(QueryableOptions),
    /// The bare hyper server alone: reads the body, answers 204
    Bare(BareOptions),
    /// A form from each of ten million networks: how much memory does the edge take?
    Flood(FloodOptions),
    /// Kill, hang, wipe and fill a whole installation under load, and reconcile after each
    Faults(FaultsOptions),
    /// Fill the spill while the broker is down, and drain it: how much memory, how fast, and is anything lost?
    Drain(DrainOptions),
    /// Ten times of what the edge can do for a while, with thousands of slow clients: how does it do, and is anything lost?
    Overload(OverloadOptions),
}

/// Where the load goes, and what is asked.
#[derive(Args)]
pub struct LoadOptions {
    /// The edge; loopback only
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub target: Target,
    /// Keep-alive connections
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// Seconds a request may wait for a connection, and then for its answer
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=300))]
    pub timeout: u16,
    /// Requests with the same seed are the same
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Host header, for sites told apart by host [default: that of --target]
    #[arg(long)]
    pub host: Option<String>,
    /// Origin header of form posts [default: none]
    #[arg(long)]
    pub origin: Option<String>,
    /// A registered link; may be given again
    #[arg(long = "link", default_value = "summer-ad")]
    pub links: Vec<String>,
    /// A form; may be given again
    #[arg(long = "form", default_value = "contact")]
    pub forms: Vec<String>,
    /// An ad for impressions; may be given again
    #[arg(long = "ad", default_value = "summer-shoes")]
    pub ads: Vec<String>,
    /// An affiliate; may be given again
    #[arg(long = "affiliate", default_value = "blogger")]
    pub affiliates: Vec<String>,
    /// The offer of affiliate clicks
    #[arg(long, default_value = "spring")]
    pub offer: String,
    /// The postback that networks report to, speaking as Keitaro does; `name/secret` where it has one
    #[arg(long, default_value = "network")]
    pub postback: String,
    /// A signed token of a mail, for opens; may be given again
    #[arg(long = "open-token")]
    pub open_tokens: Vec<String>,
    /// A file with one such token a line
    #[arg(long)]
    pub open_tokens_file: Option<PathBuf>,
    /// A further form field as name=value; may be given again
    #[arg(long = "field", value_parser = name_and_value)]
    pub fields: Vec<(String, String)>,
    /// Source addresses to tell in X-Forwarded-For (the edge must trust 127.0.0.1); 0 tells none
    #[arg(long, default_value_t = 100_000)]
    pub addresses: u32,
    /// Share of forms and pixels that name an earlier click
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    pub join_share: f64,
}

/// Which warehouse.
#[derive(Args)]
pub struct WarehouseOptions {
    /// ClickHouse's HTTP address
    #[arg(long, default_value = "http://127.0.0.1:8123")]
    pub clickhouse: String,
    /// The database
    #[arg(long, default_value = "leadtrail")]
    pub database: String,
    /// A user who may read events and dead_letters
    #[arg(long, default_value = "default")]
    pub user: String,
    /// The password; other users of this machine can see it here, so rather use a file
    #[arg(long, conflicts_with = "password_file")]
    pub password: Option<String>,
    /// A file with the password; its last line end is cut
    #[arg(long)]
    pub password_file: Option<PathBuf>,
}

/// How long to wait for the warehouse.
#[derive(Args)]
pub struct PatienceOptions {
    /// Seconds to wait for events that are not there yet, e.g. 60 or 60s
    #[arg(long, default_value = "60s", value_parser = seconds)]
    pub wait: Duration,
    /// Seconds without a change before all is called well; more after an outage, when copies come late
    #[arg(long, default_value = "2s", value_parser = seconds)]
    pub quiet: Duration,
}

/// Options of `run`.
#[derive(Args)]
pub struct RunOptions {
    #[command(flatten)]
    pub load: LoadOptions,
    /// Requests a second
    #[arg(long, default_value_t = 1_000)]
    pub rate: u32,
    /// Seconds to send
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
    /// Kinds and weights [default: click=30,impression=36,open=10,form=8,json=6,affiliate=5,pixel=5]
    #[arg(long)]
    pub mix: Option<Mix>,
    /// The receipts file, which must not exist yet [default: a new one in the temporary folder]
    #[arg(long)]
    pub receipts: Option<PathBuf>,
    /// Leave the reconciliation to a later `reconcile`
    #[arg(long)]
    pub no_reconcile: bool,
    #[command(flatten)]
    pub warehouse: WarehouseOptions,
    #[command(flatten)]
    pub patience: PatienceOptions,
}

/// Options of `reconcile`.
#[derive(Args)]
pub struct ReconcileOptions {
    /// The receipts file of the run
    #[arg(long)]
    pub receipts: PathBuf,
    #[command(flatten)]
    pub warehouse: WarehouseOptions,
    #[command(flatten)]
    pub patience: PatienceOptions,
}

/// Options of `compare`.
#[derive(Args)]
pub struct CompareOptions {
    #[command(flatten)]
    pub load: LoadOptions,
    /// The edge's process
    #[arg(long)]
    pub pid: u32,
    /// A kind to compare; may be given again, or with commas
    #[arg(long = "kind", value_delimiter = ',', default_values = ["form", "json", "click", "impression"])]
    pub kinds: Vec<Kind>,
    /// Requests a second
    #[arg(long, default_value_t = 10_000)]
    pub rate: u32,
    /// Seconds for each kind and server
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
}

/// Options of `queryable`.
#[derive(Args)]
pub struct QueryableOptions {
    #[command(flatten)]
    pub load: LoadOptions,
    /// Requests a second
    #[arg(long, default_value_t = 1_000)]
    pub rate: u32,
    /// Seconds to send
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,
    /// Kinds and weights [default: as in run]
    #[arg(long)]
    pub mix: Option<Mix>,
    /// Events a second that are watched
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub samples: u32,
    /// Milliseconds between two looks
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub look_ms: u16,
    #[command(flatten)]
    pub warehouse: WarehouseOptions,
    /// Seconds to wait for the last ones
    #[arg(long, default_value = "30s", value_parser = seconds)]
    pub wait: Duration,
}

/// Options of `bare`.
#[derive(Args)]
pub struct BareOptions {
    /// Where to listen; loopback only, port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// End when standard input does
    #[arg(long, hide = true)]
    pub with_parent: bool,
}

/// How to flood.
#[derive(Args)]
pub struct FloodOptions {
    /// The edge; loopback only
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub target: Target,
    /// Its process, whose memory is looked at
    #[arg(long)]
    pub pid: u32,
    /// So many addresses, each in a network of its own and each with one form
    #[arg(long, default_value_t = 10_000_000)]
    pub addresses: u64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// The form
    #[arg(long, default_value = "contact")]
    pub form: String,
    /// Fails when the process ever held more than so many MiB
    #[arg(long, default_value_t = 100)]
    pub memory_max: u64,
}

impl LoadOptions {
    /// Where to and how.
    pub fn load(&self) -> Load {
        Load {
            target: self.target.address,
            connections: self.connections.into(),
            timeout: Duration::from_secs(self.timeout.into()),
        }
    }
}

impl WarehouseOptions {
    /// The warehouse, with its password read.
    ///
    /// # Errors
    /// When the password's file cannot be read.
    pub fn warehouse(&self) -> Result<Warehouse, SiteError> {
        let password = self.password()?;
        Ok(Warehouse::new(&self.clickhouse, &self.database, &self.user, &password))
    }

    fn password(&self) -> Result<String, SiteError> {
        match (&self.password, &self.password_file) {
            (Some(password), _) => Ok(password.clone()),
            (None, Some(path)) => Ok(read_small(path)?.trim_end_matches(['\r', '\n']).to_owned()),
            (None, None) => Ok(String::new()),
        }
    }
}

impl PatienceOptions {
    /// As durations.
    pub fn patience(&self) -> Patience {
        Patience { wait: self.wait, quiet: self.quiet }
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write name=value")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("a field's name has letters, digits and -_. only".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "write a number from 0 to 1")?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("write a number from 0 to 1".into()) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let seconds: u32 = number.parse().map_err(|_| "write seconds, as 60 or 60s")?;
    Ok(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from([&["leadtrail-load"], words].concat())
    }

    fn run(words: &[&str]) -> RunOptions {
        match parse(&[&["run"], words].concat()).map(|options| options.command) {
            Ok(Command::Run(options)) => options,
            Ok(_) => panic!("not run"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn wrong_values_are_refused() {
        for words in [
            ["run", "--target", "http://8.8.8.8"],
            ["run", "--join-share", "2"],
            ["run", "--field", "a b=c"],
            ["run", "--wait", "soon"],
            ["run", "--connections", "0"],
            ["run", "--mix", "form"],
        ] {
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_password_comes_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "secret\n").unwrap();
        let given = run(&["--password-file", path.to_str().unwrap()]);
        assert_eq!(given.warehouse.password().unwrap(), "secret");
        let missing = run(&["--password-file", "/nonexistent/password"]);
        assert!(matches!(missing.warehouse.warehouse(), Err(SiteError::File(..))));
    }
}
