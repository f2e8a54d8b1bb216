//! The options of `faults`. In: words. Out: checked options; the scenarios that are meant.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::faults::scenario::Scenario;

/// Where the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Home {
    /// The journal.
    Disk,
    /// A real broker.
    Kafka,
}

/// Options of `faults`.
#[derive(Args, Clone)]
pub struct FaultsOptions {
    /// The program under test
    #[arg(long, default_value = "target/release/leadtrail")]
    pub program: PathBuf,
    /// The log's home
    #[arg(long, value_enum, default_value = "disk")]
    pub home: Home,
    /// A scenario, or `all` that this home has; may be given again, or with commas
    #[arg(long = "scenario", value_delimiter = ',', default_value = "all")]
    pub scenarios: Vec<String>,
    /// Rounds of each scenario
    #[arg(long, default_value_t = 1)]
    pub rounds: u32,
    /// Decides the moments
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Requests a second
    #[arg(long, default_value_t = 500)]
    pub rate: u32,
    /// Seconds of load for each strike, besides the time that a process sleeps
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,
    /// Strikes in a round, one after the other under the same load; a scenario that destroys the log strikes once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub strikes: u32,
    /// Seconds that a process is stopped or a wire is cut; where the moments are random too, at most
    #[arg(long, default_value_t = 90)]
    pub hang: u32,
    /// Keep-alive connections
    #[arg(long, default_value_t = 64)]
    pub connections: u16,
    /// Seconds to wait for events that are not there yet before they are called lost
    #[arg(long, default_value_t = 150)]
    pub wait: u32,
    /// Add each round's line to this file, with date and commit
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Leave out rounds that the log has already, with this home, seed and rate and any commit
    #[arg(long, requires = "log")]
    pub resume: bool,
    /// Where the folders of the run are made; those of good rounds are removed [default: the temporary folder]
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Keep the folders of good rounds too
    #[arg(long)]
    pub keep: bool,
}

impl FaultsOptions {
    /// How long a stopped process is stopped.
    pub fn hang(&self) -> Duration {
        Duration::from_secs(self.hang.into())
    }

    /// The scenarios that are meant, in their order.
    ///
    /// # Errors
    /// When a name is unknown, or not of this home.
    pub fn chosen(&self) -> anyhow::Result<Vec<Scenario>> {
        if self.scenarios.iter().any(|name| name == "all") {
            return Ok(Scenario::of(self.home).collect());
        }
        let find = |name: &String| {
            Scenario::of(self.home).find(|one| one.name() == name).ok_or_else(|| {
                let names: Vec<&str> = Scenario::of(self.home).map(Scenario::name).collect();
                anyhow::anyhow!(
                    "no scenario '{name}' with this home; there are {}",
                    names.join(", ")
                )
            })
        };
        self.scenarios.iter().map(find).collect()
    }
}
