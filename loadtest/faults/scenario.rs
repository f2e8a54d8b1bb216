//! The scenarios. In: a name. Out: what is done to an installation under load, and healed again. Refuses nothing itself.
//! Promises: after [`Scenario::strike`] everything runs that ran before; what it returns is the moment before which answered
//! events may be missing, because the fault destroyed the only log.

mod broker;
mod commit;
mod disk;
mod kill;
mod sleep;
mod wipe;

use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::faults::installation::{Installation, Part};
use crate::faults::options::Home;

/// Copies come at most this late: 30 s after the brokers came back, what an earlier process left is sent again.
const LATE_COPIES: Duration = Duration::from_secs(40);
const QUIET: Duration = Duration::from_secs(3);

/// What happens to the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// kill -9 of `leadtrail serve`.
    Kill9Edge,
    /// kill -9 of `leadtrail consume`.
    Kill9Consumer,
    /// kill -9 of `leadtrail settle`.
    Kill9Settle,
    /// kill -9 of the ClickHouse engine.
    Kill9Engine,
    /// kill -9 of the engine, again and again.
    Kill9EngineOften,
    /// kill -9 of the engine right after a part's commit, before its answer.
    Kill9EngineAtCommit,
    /// kill -9 of all of them at once.
    Kill9Tree,
    /// kill -9 of `leadtrail up`, with or without its engine.
    Kill9Up,
    /// kill -9 of the broker.
    Kill9Broker,
    /// The broker is stopped and goes on.
    HangBroker,
    /// The broker ends at TERM and is started again.
    RestartBroker,
    /// kill -9 of the edge while the broker hangs.
    Kill9EdgeInOutage,
    /// The consumer sleeps in the middle of an insert.
    SleepConsumer,
    /// The journal's folder is deleted.
    WipeJournal,
    /// The topic is deleted and made anew while the consumer runs.
    RecreateTopicRunning,
    /// The same while the consumer is down.
    RecreateTopicDown,
    /// The journal's disk is full (with Kafka: while the broker hangs).
    DiskFull,
}

impl Scenario {
    /// All, in the order in which they are run.
    pub const ALL: [Self; 17] = [
        Self::Kill9Edge,
        Self::Kill9Consumer,
        Self::Kill9Settle,
        Self::Kill9Engine,
        Self::Kill9EngineOften,
        Self::Kill9EngineAtCommit,
        Self::Kill9Tree,
        Self::Kill9Up,
        Self::Kill9Broker,
        Self::HangBroker,
        Self::RestartBroker,
        Self::Kill9EdgeInOutage,
        Self::SleepConsumer,
        Self::WipeJournal,
        Self::RecreateTopicRunning,
        Self::RecreateTopicDown,
        Self::DiskFull,
    ];

    /// The name on the command line and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill9Edge => "kill9-edge",
            Self::Kill9Consumer => "kill9-consumer",
            Self::Kill9Settle => "kill9-settle",
            Self::Kill9Engine => "kill9-engine",
            Self::Kill9EngineOften => "kill9-engine-often",
            Self::Kill9EngineAtCommit => "kill9-engine-at-commit",
            Self::Kill9Tree => "kill9-tree",
            Self::Kill9Up => "kill9-up",
            Self::Kill9Broker => "kill9-broker",
            Self::HangBroker => "hang-broker",
            Self::RestartBroker => "restart-broker",
            Self::Kill9EdgeInOutage => "kill9-edge-in-outage",
            Self::SleepConsumer => "sleep-consumer",
            Self::WipeJournal => "wipe-journal",
            Self::RecreateTopicRunning => "recreate-topic-running",
            Self::RecreateTopicDown => "recreate-topic-down",
            Self::DiskFull => "disk-full",
        }
    }

    /// Whether it can happen with this home of the log.
    pub fn fits(self, home: Home) -> bool {
        match self {
            Self::Kill9Broker
            | Self::HangBroker
            | Self::RestartBroker
            | Self::Kill9EdgeInOutage
            | Self::RecreateTopicRunning
            | Self::RecreateTopicDown => home == Home::Kafka,
            Self::WipeJournal => home == Home::Disk,
            _ => true,
        }
    }

    /// Whether what was answered before may be gone after it.
    pub fn destroys_the_log(self) -> bool {
        matches!(self, Self::WipeJournal | Self::RecreateTopicRunning | Self::RecreateTopicDown)
    }

    /// How long something sleeps in it, by which the load lasts longer.
    pub fn sleeps(self, hang: Duration) -> Duration {
        match self {
            Self::HangBroker | Self::SleepConsumer => hang,
            _ => Duration::ZERO,
        }
    }

    /// How long nothing may change before all is called well.
    pub fn quiet(self, home: Home) -> Duration {
        let copies = matches!(
            self,
            Self::Kill9Edge
                | Self::Kill9Tree
                | Self::Kill9Up
                | Self::Kill9EdgeInOutage
                | Self::RecreateTopicRunning
                | Self::RecreateTopicDown
        );
        if copies && home == Home::Kafka { LATE_COPIES } else { QUIET }
    }

    /// Does it, and heals it. What was answered before the moment that it gives may be missing.
    pub async fn strike(
        self,
        installation: &mut Installation,
        dice: &mut Dice,
        hang: Duration,
    ) -> anyhow::Result<Option<Instant>> {
        match self {
            Self::Kill9Edge => kill::parts(installation, &[Part::Edge], dice).await?,
            Self::Kill9Consumer => kill::parts(installation, &[Part::Consumer], dice).await?,
            Self::Kill9Settle => kill::parts(installation, &[Part::Settle], dice).await?,
            Self::Kill9Engine => kill::engine(installation).await?,
            Self::Kill9EngineOften => kill::engine_often(installation, dice).await?,
            Self::Kill9EngineAtCommit => commit::kill9_engine(installation, dice).await?,
            Self::Kill9Tree => kill::tree(installation, dice).await?,
            Self::Kill9Up => kill::up(installation, dice).await?,
            Self::Kill9Broker => broker::kill9(installation, dice).await?,
            Self::HangBroker => broker::hang(installation, hang).await?,
            Self::RestartBroker => broker::restart(installation).await?,
            Self::Kill9EdgeInOutage => broker::kill9_edge_in_outage(installation, dice).await?,
            Self::SleepConsumer => sleep::consumer(installation, hang).await?,
            Self::WipeJournal => return wipe::journal(installation, dice).await.map(Some),
            Self::RecreateTopicRunning => return wipe::topic(installation, false).await.map(Some),
            Self::RecreateTopicDown => return wipe::topic(installation, true).await.map(Some),
            Self::DiskFull => disk::full(installation, dice).await?,
        }
        Ok(None)
    }
}

/// Sleeps for a random time below `milliseconds`.
async fn pause(dice: &mut Dice, milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(dice.below(milliseconds))).await;
}
