//! `compare`: what the edge costs above a bare hyper server. In: the edge's process id and the kinds.
//! Out: one Markdown row a kind: CPU per accepted event of both, their ratio, and latencies of both.
//! Both get the very same bytes at the same rate, in turns (edge, bare, bare, edge), so that a machine
//! that gets slower or busier does so for both. Connections stand before a turn is measured.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::bare::LISTENING;
use crate::generator::{Generator, Load, Observer};
use crate::histogram::Histogram;
use crate::mix::{Kind, Mix};
use crate::options::CompareOptions;
use crate::outcome::Finished;
use crate::processor_time::{per_event_us, processor_time};
use crate::requests::Requests;
use crate::run::{lateness_warning, new_run_name};
use crate::schedule::Schedule;
use crate::site::{Site, SiteError};
use crate::tally::{Tally, milliseconds, table};

/// Turns of each server and kind: their spread tells how far the machine's noise goes.
const TURNS: u32 = 4;
/// A server's first second fills caches and grows buffers; it is not measured.
const WARM_UP_SECONDS: u32 = 1;
/// The bare server stands at once.
const BARE_START_TIMEOUT: Duration = Duration::from_secs(10);
/// Below this share of accepted requests the CPU is that of refusals.
const ACCEPTED_SHARE_MIN: f64 = 0.99;

/// One of the two servers and what was measured of it.
struct Side {
    load: Load,
    pid: u32,
    tally: Rc<RefCell<Tally>>,
    /// Processor time and accepted requests of each turn.
    turns: Vec<(Duration, u64)>,
    lateness: Histogram,
}

impl Observer for Tally {
    fn finished(&mut self, finished: &Finished) {
        self.count(finished);
    }
}

impl Side {
    fn new(load: Load, pid: u32) -> Self {
        let (tally, lateness) = (Rc::default(), Histogram::default());
        Self { load, pid, tally, turns: Vec::new(), lateness }
    }

    /// Sends one schedule and adds what it cost.
    async fn turn(
        &mut self,
        requests: &Rc<Requests>,
        schedule: Schedule,
        first: u64,
    ) -> anyhow::Result<()> {
        let observer = Rc::<RefCell<Tally>>::clone(&self.tally);
        let generator = Generator::connect(self.load, Rc::clone(requests), observer).await?;
        let accepted_before = self.tally.borrow().total().accepted();
        let before = processor_time(self.pid)?;
        let fired = generator.fire(schedule, first, &Cell::new(false)).await?;
        let spent = processor_time(self.pid)?.saturating_sub(before);
        let accepted = self.tally.borrow().total().accepted() - accepted_before;
        self.turns.push((spent, accepted));
        self.lateness.merge(&fired.lateness);
        Ok(())
    }

    /// Microseconds of processor time for each accepted request, over all turns.
    fn per_event_us(&self) -> Option<f64> {
        let spent = self.turns.iter().map(|(spent, _)| *spent).sum();
        per_event_us(spent, self.turns.iter().map(|(_, accepted)| accepted).sum())
    }
}

/// Measures each kind and prints the table; true when every row is valid.
///
/// # Errors
/// When a server cannot be reached or measured.
pub async fn compare(options: CompareOptions) -> anyhow::Result<bool> {
    let site = options.load.site()?;
    if options.kinds.contains(&Kind::Open) && site.open_tokens.is_empty() {
        return Err(SiteError::NoOpenToken.into());
    }
    let warm_up = Schedule::new(options.rate, WARM_UP_SECONDS)?;
    let schedule = Schedule::new(options.rate, options.seconds.div_ceil(TURNS))?;
    let bare = BareServer::start().await?;
    let edge_load = options.load.load();
    let bare_load = Load { target: bare.address, ..edge_load };
    let (run, mut first) = (new_run_name()?, 0);
    let (mut rows, mut warnings) = (Vec::new(), String::new());
    for &kind in &options.kinds {
        let requests = Rc::new(requests_of(kind, &site, options.load.seed, &run));
        let mut edge = Side::new(edge_load, options.pid);
        let mut floor = Side::new(bare_load, bare.pid);
        for side in [&edge, &floor] {
            Side::new(side.load, side.pid).turn(&requests, warm_up, first).await?;
        }
        first += warm_up.count();
        for turn in 0..TURNS {
            // Both get the same numbers; who is first alternates.
            let mut order = [&mut edge, &mut floor];
            if turn % 2 == 1 {
                order.reverse();
            }
            for side in order {
                side.turn(&requests, schedule, first).await?;
            }
            first += schedule.count();
        }
        rows.push(row(kind, &edge, &floor));
        warnings += &warnings_of(kind, &edge, &floor);
    }
    println!(
        "{}/s, {} connections, {} s for each kind and server, in {TURNS} turns\n",
        options.rate,
        options.load.connections,
        schedule.count() / u64::from(options.rate) * u64::from(TURNS)
    );
    print!("{}", table(&HEAD, rows));
    print!("{warnings}");
    Ok(warnings.is_empty())
}

fn requests_of(kind: Kind, site: &Site, seed: u64, run: &str) -> Requests {
    // Clicks to join with come from one side only and would make the bytes differ.
    let site = Site { join_share: 0.0, ..site.clone() };
    Requests { site, mix: Mix::only(kind), seed, run: run.to_owned() }
}

const HEAD: [&str; 12] = [
    "kind",
    "edge us/event",
    "bare us/event",
    "ratio",
    "by turn",
    "edge p50 ms",
    "bare p50",
    "edge p99",
    "bare p99",
    "added p99",
    "accepted",
    "not accepted",
];

fn row(kind: Kind, edge: &Side, bare: &Side) -> Vec<String> {
    let (edge_total, bare_total) = (edge.tally.borrow().total(), bare.tally.borrow().total());
    let (edge_us, bare_us) = (edge.per_event_us(), bare.per_event_us());
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let ratio = edge_us.zip(bare_us).map(|(edge, bare)| edge / bare);
    let (edge_p99, bare_p99) =
        (edge_total.latency.quantile_ms(0.99), bare_total.latency.quantile_ms(0.99));
    let added = edge_p99.zip(bare_p99).map(|(edge, bare)| edge - bare);
    vec![
        kind.to_string(),
        figure(edge_us),
        figure(bare_us),
        ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
        spread(&edge.turns, &bare.turns),
        milliseconds(edge_total.latency.quantile_ms(0.5)),
        milliseconds(bare_total.latency.quantile_ms(0.5)),
        milliseconds(edge_p99),
        milliseconds(bare_p99),
        milliseconds(added),
        edge_total.accepted().to_string(),
        (edge_total.planned - edge_total.accepted()).to_string(),
    ]
}

/// The lowest and the highest ratio of two turns that got the same requests.
fn spread(edge: &[(Duration, u64)], bare: &[(Duration, u64)]) -> String {
    let each = |turn: &(Duration, u64)| per_event_us(turn.0, turn.1);
    let pairs = edge.iter().map(each).zip(bare.iter().map(each));
    let mut ratios: Vec<f64> =
        pairs.filter_map(|(edge, bare)| Some(edge? / bare.filter(|bare| *bare > 0.0)?)).collect();
    ratios.sort_by(f64::total_cmp);
    match (ratios.first(), ratios.last()) {
        (Some(lowest), Some(highest)) => format!("{lowest:.2}-{highest:.2}"),
        _ => "-".to_owned(),
    }
}

/// Why a row is not to be trusted; empty when it is.
fn warnings_of(kind: Kind, edge: &Side, bare: &Side) -> String {
    let mut text = String::new();
    for (name, side) in [("edge", edge), ("bare server", bare)] {
        let total = side.tally.borrow().total();
        if (total.accepted() as f64) < total.planned as f64 * ACCEPTED_SHARE_MIN {
            text += &format!(
                "WARNING: {kind}: the {name} accepted {} of {}; its figures are those of refusals too\n{}",
                total.accepted(),
                total.planned,
                side.tally.borrow().text(),
            );
        }
        let late = lateness_warning(side.lateness.quantile_ms(0.99));
        if !late.is_empty() {
            text += &format!("{kind}, {name}: {late}");
        }
    }
    text
}

/// The bare server as a child process; ends with this value, or with this process.
struct BareServer {
    address: SocketAddr,
    pid: u32,
    _child: Child,
}

impl BareServer {
    async fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program's own file")?;
        let mut child = Command::new(program)
            .args(["bare", "--with-parent"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the bare server")?;
        let pid = child.id().context("the bare server has just been started")?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        let mut reader = BufReader::new(output);
        let read = tokio::time::timeout(BARE_START_TIMEOUT, reader.read_line(&mut line));
        read.await.context("the bare server did not start within 10 s")??;
        let address = line.trim_end().strip_prefix(LISTENING).unwrap_or_default();
        let address = address.parse().with_context(|| format!("the bare server said '{line}'"))?;
        Ok(Self { address, pid, _child: child })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_over_turns_with_the_same_requests() {
        let turns = |micros: [u64; 3]| micros.map(|micros| (Duration::from_micros(micros), 1));
        assert_eq!(spread(&turns([20, 30, 20]), &turns([10, 10, 20])), "1.00-3.00");
        assert_eq!(spread(&turns([20, 30, 20]), &turns([0, 10, 0])), "3.00-3.00");
        assert_eq!(spread(&[], &[]), "-");
    }

    #[test]
    fn a_row_shows_processor_time_for_each_accepted_request_and_the_ratio() {
        let load = Load {
            target: "127.0.0.1:1".parse().unwrap(),
            connections: 1,
            timeout: Duration::from_secs(1),
        };
        let side = |turns: [(u64, u64); 2]| {
            let turns = turns.map(|(millis, count)| (Duration::from_millis(millis), count));
            Side { turns: turns.to_vec(), ..Side::new(load, 1) }
        };
        let row =
            row(Kind::Form, &side([(20, 1_000), (40, 1_000)]), &side([(10, 500), (10, 1_500)]));
        assert_eq!(row[..5], ["form", "30.0", "10.0", "3.00", "1.00-6.00"]);
    }
}
