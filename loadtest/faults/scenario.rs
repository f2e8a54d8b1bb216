//! The scenarios. In: a name. Out: what is done to an installation under load, and healed again. Refuses nothing itself.
//! Promises: after [`Scenario::strike`] everything runs that ran before; what it returns says which answered events may be missing,
//! because the fault destroyed the only log, or a part of it.

mod broker;
mod brokers;
mod clock;
mod commit;
mod disk;
mod flipped;
mod kill;
mod network;
mod poison;
mod refused;
mod sleep;
mod spill;
mod storm;
mod tokens;
mod torn;
mod wipe;

use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::faults::installation::{Installation, Part, Special};
use crate::faults::options::Home;
use crate::faults::wires::Far;

/// Copies come at most this late: 30 s after the brokers came back, what an earlier process left is sent again.
const LATE_COPIES: Duration = Duration::from_secs(40);
const QUIET: Duration = Duration::from_secs(3);

/// What hangs or is cut for less than this is hardly noticed.
const HANG_MIN: Duration = Duration::from_secs(5);

/// Which answered events may be missing after a fault that destroyed them itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Excuse {
    /// Those that were answered before this moment: the log is gone.
    pub before: Option<Instant>,
    /// Rows of events that came before this moment: kill -9 struck the consumer in the midst of a batch, whose log is gone.
    pub halves_before: Option<Instant>,
    /// So many: their bytes in the log were changed.
    pub spoiled: u64,
}

impl Excuse {
    /// Whether anything may be missing.
    pub fn is_any(self) -> bool {
        self.before.is_some() || self.spoiled > 0
    }

    /// Both.
    pub fn and(self, other: Self) -> Self {
        Self {
            before: other.before.or(self.before),
            halves_before: other.halves_before.or(self.halves_before),
            spoiled: self.spoiled + other.spoiled,
        }
    }
}

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
    /// The edge sleeps.
    SleepEdge,
    /// Settling sleeps.
    SleepSettle,
    /// The engine sleeps.
    SleepEngine,
    /// The edge can't reach the broker.
    CutEdgeBroker,
    /// The consumer can't reach the broker.
    CutConsumerBroker,
    /// Settling can't reach the broker.
    CutSettleBroker,
    /// The consumer can't reach the engine.
    CutConsumerEngine,
    /// Settling can't reach the engine.
    CutSettleEngine,
    /// Nobody hears of the broker any more, and nobody is told.
    SilentBroker,
    /// The broker answers late.
    SlowBroker,
    /// Consumers join and leave every two seconds.
    RebalanceStorm,
    /// The journal's last write was torn.
    TornJournal,
    /// Records that can't be read.
    PoisonRecords,
    /// The spill is full: the broker hangs for longer than it lasts.
    SpillFull,
    /// The engine's disk is full.
    EngineDiskFull,
    /// Of three brokers one, then two are away.
    BrokersAway,
    /// The clock jumps by an hour, and back.
    ClockJumps,
    /// Bits of the journal flip before they are read.
    FlippedJournal,
    /// ClickHouse refuses one row of a hundred.
    RefusedRows,
    /// The warehouse's schema is one version too old.
    OldSchema,
    /// The window of deduplication tokens is overrun.
    TokensOverrun,
}

/// The homes of the log that a scenario can happen with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Homes {
    Both,
    Only(Home),
}

const BOTH: Homes = Homes::Both;
const DISK: Homes = Homes::Only(Home::Disk);
const KAFKA: Homes = Homes::Only(Home::Kafka);

/// All, in the order in which they are run, with their names on the command line and in the log.
const ALL: [(Scenario, &str, Homes); 38] = [
    (Scenario::Kill9Edge, "kill9-edge", BOTH),
    (Scenario::Kill9Consumer, "kill9-consumer", BOTH),
    (Scenario::Kill9Settle, "kill9-settle", BOTH),
    (Scenario::Kill9Engine, "kill9-engine", BOTH),
    (Scenario::Kill9EngineOften, "kill9-engine-often", BOTH),
    (Scenario::Kill9EngineAtCommit, "kill9-engine-at-commit", BOTH),
    (Scenario::Kill9Tree, "kill9-tree", BOTH),
    (Scenario::Kill9Up, "kill9-up", BOTH),
    (Scenario::Kill9Broker, "kill9-broker", KAFKA),
    (Scenario::HangBroker, "hang-broker", KAFKA),
    (Scenario::RestartBroker, "restart-broker", KAFKA),
    (Scenario::Kill9EdgeInOutage, "kill9-edge-in-outage", KAFKA),
    (Scenario::SleepConsumer, "sleep-consumer", BOTH),
    (Scenario::SleepEdge, "sleep-edge", BOTH),
    (Scenario::SleepSettle, "sleep-settle", BOTH),
    (Scenario::SleepEngine, "sleep-engine", BOTH),
    (Scenario::CutEdgeBroker, "cut-edge-broker", KAFKA),
    (Scenario::CutConsumerBroker, "cut-consumer-broker", KAFKA),
    (Scenario::CutSettleBroker, "cut-settle-broker", KAFKA),
    (Scenario::CutConsumerEngine, "cut-consumer-engine", BOTH),
    (Scenario::CutSettleEngine, "cut-settle-engine", BOTH),
    (Scenario::SilentBroker, "silent-broker", KAFKA),
    (Scenario::SlowBroker, "slow-broker", KAFKA),
    (Scenario::RebalanceStorm, "rebalance-storm", KAFKA),
    (Scenario::TornJournal, "torn-journal", DISK),
    (Scenario::PoisonRecords, "poison-records", KAFKA),
    (Scenario::SpillFull, "spill-full", KAFKA),
    (Scenario::WipeJournal, "wipe-journal", DISK),
    (Scenario::RecreateTopicRunning, "recreate-topic-running", KAFKA),
    (Scenario::RecreateTopicDown, "recreate-topic-down", KAFKA),
    (Scenario::DiskFull, "disk-full", BOTH),
    (Scenario::EngineDiskFull, "engine-disk-full", BOTH),
    (Scenario::BrokersAway, "brokers-away", KAFKA),
    (Scenario::ClockJumps, "clock-jumps", BOTH),
    (Scenario::FlippedJournal, "flipped-journal", DISK),
    (Scenario::RefusedRows, "refused-rows", BOTH),
    (Scenario::OldSchema, "old-schema", BOTH),
    (Scenario::TokensOverrun, "tokens-overrun", BOTH),
];

impl Scenario {
    /// All that can happen with this home of the log.
    pub fn of(home: Home) -> impl Iterator<Item = Self> {
        let fits = move |homes: Homes| homes == BOTH || homes == Homes::Only(home);
        ALL.into_iter().filter(move |(_, _, homes)| fits(*homes)).map(|(one, ..)| one)
    }

    /// The name on the command line and in the log.
    pub fn name(self) -> &'static str {
        let found = ALL.into_iter().find(|(one, ..)| *one == self);
        found.expect("the table has all of them").1
    }

    /// What the installation must have for it.
    pub fn special(self) -> Special {
        match self {
            Self::DiskFull => Special::SmallJournalDisk,
            Self::EngineDiskFull => Special::SmallEngineDisk,
            Self::SpillFull => Special::SmallSpill,
            Self::BrokersAway => Special::ThreeBrokers,
            Self::ClockJumps => Special::Clock,
            Self::CutEdgeBroker
            | Self::CutConsumerBroker
            | Self::CutSettleBroker
            | Self::CutConsumerEngine
            | Self::CutSettleEngine
            | Self::SilentBroker
            | Self::SlowBroker => Special::Wires,
            _ => Special::None,
        }
    }

    /// Whether what was answered before may be gone after it.
    pub fn destroys_the_log(self) -> bool {
        matches!(self, Self::WipeJournal | Self::RecreateTopicRunning | Self::RecreateTopicDown)
    }

    /// Whether one strike takes all of a round's load: the log goes, or the engine is killed as long as there are parts.
    pub fn strikes_once(self) -> bool {
        self.destroys_the_log() || self == Self::Kill9EngineAtCommit
    }

    /// How long something sleeps in it, by which the load lasts longer.
    pub fn sleeps(self, hang: Duration) -> Duration {
        match self {
            Self::HangBroker
            | Self::SleepConsumer
            | Self::SleepEdge
            | Self::SleepSettle
            | Self::SleepEngine
            | Self::RebalanceStorm
            | Self::SpillFull
            | Self::EngineDiskFull
            | Self::ClockJumps
            | Self::RefusedRows
            | Self::OldSchema => hang,
            Self::BrokersAway => hang * 2,
            _ if self.special() == Special::Wires => hang,
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
                | Self::SleepEdge
                | Self::CutEdgeBroker
                | Self::SilentBroker
                | Self::RecreateTopicRunning
                | Self::RecreateTopicDown
        );
        if copies && home == Home::Kafka { LATE_COPIES } else { QUIET }
    }

    /// Does it, and heals it. What it gives says which answered events may be missing.
    pub async fn strike(
        self,
        installation: &mut Installation,
        dice: &mut Dice,
        hang: Duration,
    ) -> anyhow::Result<Excuse> {
        let before = |moment| Excuse { before: Some(moment), ..Excuse::default() };
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
            Self::WipeJournal => return wipe::journal(installation, dice).await,
            Self::RecreateTopicRunning => {
                return wipe::topic(installation, false).await.map(before);
            }
            Self::RecreateTopicDown => return wipe::topic(installation, true).await.map(before),
            Self::DiskFull => disk::full(installation, dice).await?,
            Self::SleepEdge => sleep::part(installation, Part::Edge, dice, hang).await?,
            Self::SleepSettle => sleep::part(installation, Part::Settle, dice, hang).await?,
            Self::SleepEngine => sleep::engine(installation, dice, hang).await?,
            Self::CutEdgeBroker
            | Self::CutConsumerBroker
            | Self::CutSettleBroker
            | Self::CutConsumerEngine
            | Self::CutSettleEngine => {
                network::cut(installation, self.pair(), dice, hang).await?;
            }
            Self::SilentBroker => network::silent_broker(installation, dice, hang).await?,
            Self::SlowBroker => network::slow_broker(installation, dice, hang).await?,
            Self::RebalanceStorm => storm::rebalances(installation, dice, hang).await?,
            Self::TornJournal => torn::journal(installation, dice).await?,
            Self::PoisonRecords => poison::records(installation, dice).await?,
            Self::SpillFull => spill::full(installation).await?,
            Self::EngineDiskFull => disk::engine_full(installation, dice, hang).await?,
            Self::BrokersAway => brokers::away(installation, dice, hang).await?,
            Self::ClockJumps => clock::jumps(installation, dice, hang).await?,
            Self::FlippedJournal => {
                let spoiled = flipped::bits(installation, dice).await?;
                return Ok(Excuse { spoiled, ..Excuse::default() });
            }
            Self::RefusedRows => refused::rows(installation, dice, hang).await?,
            Self::OldSchema => refused::schema(installation, dice, hang).await?,
            Self::TokensOverrun => tokens::overrun(installation, dice).await?,
        }
        Ok(Excuse::default())
    }

    /// The pair whose wire is cut.
    fn pair(self) -> (Part, Far) {
        match self {
            Self::CutEdgeBroker => (Part::Edge, Far::Broker),
            Self::CutConsumerBroker => (Part::Consumer, Far::Broker),
            Self::CutSettleBroker => (Part::Settle, Far::Broker),
            Self::CutSettleEngine => (Part::Settle, Far::Engine),
            _ => (Part::Consumer, Far::Engine),
        }
    }
}

/// A random time from 5 s to `hang`.
fn between(dice: &mut Dice, hang: Duration) -> Duration {
    let more = hang.saturating_sub(HANG_MIN);
    HANG_MIN + more.mul_f64(dice.below(1000) as f64 / 1000.0)
}

/// Sleeps for a random time below `milliseconds`.
async fn pause(dice: &mut Dice, milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(dice.below(milliseconds))).await;
}
