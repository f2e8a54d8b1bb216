//! The generator against a fake edge that is slow, refuses, drops, dies and comes back.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use uuid::Uuid;

use crate::fake_edge::{FakeEdge, Faults};
use crate::generator::{Generator, Load, LoadError, Observer};
use crate::mix::Mix;
use crate::options::{Command, Options};
use crate::outcome::{Finished, Outcome, Trouble};
use crate::receipts::Ledger;
use crate::requests::{Requests, tag};
use crate::run::run;
use crate::schedule::Schedule;
use crate::site::tests::site;

/// Keeps every end.
#[derive(Default)]
struct Ends(Vec<Finished>);

impl Observer for Ends {
    fn finished(&mut self, finished: &Finished) {
        self.0.push(*finished);
    }
}

impl Ends {
    /// By tag; fails when a request ended twice.
    fn by_tag(&self) -> HashMap<String, Outcome> {
        let ends = self.0.iter().map(|end| (tag("run", end.number), end.outcome()));
        let by_tag: HashMap<String, Outcome> = ends.collect();
        assert_eq!(by_tag.len(), self.0.len(), "a request ended twice");
        by_tag
    }

    fn longest(&self) -> Duration {
        self.0.iter().map(|end| end.ended - end.planned).max().unwrap()
    }
}

fn local<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

fn requests(mix: &str) -> Rc<Requests> {
    let mix: Mix = mix.parse().unwrap();
    Rc::new(Requests { site: site(), mix, seed: 5, run: "run".into() })
}

fn load(edge: &FakeEdge, connections: usize, timeout: Duration) -> Load {
    Load { target: edge.address, connections, timeout }
}

const EVERYTHING: &str =
    "click=30,affiliate=5,impression=20,open=10,pixel=10,form=10,multipart=5,json=10";
const LONG: Duration = Duration::from_secs(20);

#[test]
fn what_the_generator_says_is_what_the_edge_did() {
    local(async {
        let faults = Faults {
            refuse_every: 7,
            without_receipt_every: 11,
            drop_every: 13,
            ..Faults::default()
        };
        let edge = FakeEdge::start(faults).await;
        let ends = Rc::new(RefCell::new(Ends::default()));
        let generator =
            Generator::connect(load(&edge, 16, LONG), requests(EVERYTHING), ends.clone())
                .await
                .unwrap();
        let schedule = Schedule::new(1_000, 1).unwrap();
        let fired = generator.fire(schedule, 0, &Cell::new(false)).await.unwrap();
        assert_eq!(fired.count, 1_000);
        let outcomes = ends.borrow().by_tag();
        assert_eq!(outcomes.len(), 1_000);
        let seen = edge.seen.lock().unwrap();
        assert_eq!(seen.requests, 1_000, "each was sent once, never again");
        let durable: HashMap<String, Uuid> = outcomes
            .iter()
            .filter_map(|(tag, outcome)| match outcome {
                Outcome::Durable(id) => Some((tag.clone(), *id)),
                _ => None,
            })
            .collect();
        assert_eq!(durable, seen.durable);
        assert!(seen.refused.iter().all(|tag| outcomes[tag] == Outcome::Refused));
        let open = [Outcome::Unconfirmed, Outcome::Unknown];
        assert!(seen.open.iter().all(|tag| open.contains(&outcomes[tag])));
        assert!(seen.refused.len() > 100 && seen.open.len() > 100);
    });
}

#[test]
fn connections_are_kept_alive() {
    local(async {
        let edge = FakeEdge::start(Faults::default()).await;
        let ends = Rc::new(RefCell::new(Ends::default()));
        let generator =
            Generator::connect(load(&edge, 8, LONG), requests("click=1,json=1"), ends.clone())
                .await
                .unwrap();
        let schedule = Schedule::new(500, 1).unwrap();
        generator.fire(schedule, 0, &Cell::new(false)).await.unwrap();
        generator.fire(schedule, 500, &Cell::new(false)).await.unwrap();
        assert_eq!(ends.borrow().by_tag().len(), 1_000);
        assert_eq!(edge.seen.lock().unwrap().connections, 8);
    });
}

#[test]
fn a_connection_that_says_too_much_is_not_used_again() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let connections = Rc::new(Cell::new(0));
        let counted = Rc::clone(&connections);
        tokio::task::spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.set(counted.get() + 1);
                tokio::task::spawn_local(async move {
                    let mut buffer = [0; 4096];
                    while matches!(stream.read(&mut buffer).await, Ok(1..)) {
                        stream.write_all(&b"HTTP/1.1 204 \r\n\r\n".repeat(2)).await.unwrap();
                    }
                });
            }
        });
        let ends = Rc::new(RefCell::new(Ends::default()));
        let load = Load { target, connections: 1, timeout: LONG };
        let generator = Generator::connect(load, requests("click=1"), ends.clone()).await.unwrap();
        let schedule = Schedule::new(5, 1).unwrap();
        generator.fire(schedule, 0, &Cell::new(false)).await.unwrap();
        assert_eq!(ends.borrow().by_tag().len(), 5);
        assert!(connections.get() >= 5, "{} connections", connections.get());
    });
}

#[test]
fn clicks_are_joined_once_each() {
    local(async {
        let edge = FakeEdge::start(Faults::default()).await;
        let ends = Rc::new(RefCell::new(Ends::default()));
        let mix = requests("click=2,form=1,json=1,multipart=1,pixel=1");
        let generator = Generator::connect(load(&edge, 4, LONG), mix, ends).await.unwrap();
        let schedule = Schedule::new(1_000, 1).unwrap();
        generator.fire(schedule, 0, &Cell::new(false)).await.unwrap();
        let seen = edge.seen.lock().unwrap();
        let mut joined = seen.clicks_joined.clone();
        assert!((200..500).contains(&joined.len()), "about a third: {}", joined.len());
        assert!(joined.iter().all(|click| seen.clicks_given.contains(click)));
        joined.sort();
        joined.dedup();
        assert_eq!(joined.len(), seen.clicks_joined.len());
    });
}

#[test]
fn a_stall_is_counted_from_the_planned_moment() {
    local(async {
        // One connection and 20 ms an answer: 50 a second of 100 that are due. The last is a second late.
        let faults = Faults { delay: Duration::from_millis(20), ..Faults::default() };
        let edge = FakeEdge::start(faults).await;
        let ends = Rc::new(RefCell::new(Ends::default()));
        let generator = Generator::connect(load(&edge, 1, LONG), requests("click=1"), ends.clone())
            .await
            .unwrap();
        let schedule = Schedule::new(100, 1).unwrap();
        let fired = generator.fire(schedule, 0, &Cell::new(false)).await.unwrap();
        assert!(ends.borrow().longest() >= Duration::from_secs(1));
        assert!(fired.elapsed >= Duration::from_secs(2));
        let late = fired.lateness.quantile_ms(0.5).unwrap();
        assert!(late < 500.0, "the edge's slowness is not the generator's: {late} ms");
    });
}

#[test]
fn a_silent_edge_makes_unknown_and_unsent_requests() {
    local(async {
        let faults = Faults { delay: Duration::from_secs(600), ..Faults::default() };
        let edge = FakeEdge::start(faults).await;
        let ends = Rc::new(RefCell::new(Ends::default()));
        let short = Duration::from_millis(300);
        let generator = Generator::connect(load(&edge, 2, short), requests("form=1"), ends.clone())
            .await
            .unwrap();
        let schedule = Schedule::new(100, 2).unwrap();
        generator.fire(schedule, 0, &Cell::new(false)).await.unwrap();
        let ends = ends.borrow();
        assert_eq!(ends.by_tag().len(), 200);
        let count = |trouble| ends.0.iter().filter(|end| end.result == Err(trouble)).count();
        let (silent, unsent) = (count(Trouble::TimedOut), count(Trouble::Unsent));
        assert_eq!(silent + unsent, 200);
        assert!(silent >= 2 && unsent >= 100, "{silent} timed out, {unsent} unsent");
        assert!(ends.longest() < Duration::from_millis(1_500), "each wait has its own limit");
    });
}

#[test]
fn it_goes_on_through_a_kill_and_restart() {
    local(async {
        let mut edge = FakeEdge::start(Faults::default()).await;
        let ends = Rc::new(RefCell::new(Ends::default()));
        let generator =
            Generator::connect(load(&edge, 8, LONG), requests(EVERYTHING), ends.clone())
                .await
                .unwrap();
        let stop = Cell::new(false);
        let fire = generator.fire(Schedule::new(500, 2).unwrap(), 0, &stop);
        let kill = async {
            wait_until(|| ends.borrow().0.len() >= 200).await;
            edge.kill().await;
            let before = ends.borrow().0.len();
            // How long the outage lasts; nothing is waited for.
            tokio::time::sleep(Duration::from_millis(300)).await;
            edge.restart().await;
            before
        };
        let (fired, before) = tokio::join!(fire, kill);
        assert_eq!(fired.unwrap().count, 1_000);
        let ends = ends.borrow();
        let outcomes = ends.by_tag();
        assert_eq!(outcomes.len(), 1_000);
        let durable =
            outcomes.values().filter(|outcome| matches!(outcome, Outcome::Durable(_))).count();
        let unknown =
            outcomes.values().filter(|outcome| matches!(outcome, Outcome::Unknown)).count();
        assert_eq!(durable + unknown, 1_000, "what waited was sent after the restart");
        assert!(unknown <= 8, "one a connection at most: {unknown}");
        assert!(before < 500 && ends.longest() >= Duration::from_millis(200));
        let seen = edge.seen.lock().unwrap();
        assert!(outcomes.iter().all(|(tag, outcome)| match outcome {
            Outcome::Durable(id) => seen.durable.get(tag) == Some(id),
            _ => true,
        }));
    });
}

#[test]
fn stop_ends_it_early_with_all_accounted_for() {
    local(async {
        let edge = FakeEdge::start(Faults::default()).await;
        let ends = Rc::new(RefCell::new(Ends::default()));
        let generator = Generator::connect(load(&edge, 4, LONG), requests("click=1"), ends.clone())
            .await
            .unwrap();
        let stop = Cell::new(false);
        let fire = generator.fire(Schedule::new(200, 60).unwrap(), 0, &stop);
        let interrupt = async {
            wait_until(|| ends.borrow().0.len() >= 50).await;
            stop.set(true);
        };
        let (fired, ()) = tokio::join!(fire, interrupt);
        let count = fired.unwrap().count;
        assert!((50..1_000).contains(&count), "{count}");
        assert_eq!(ends.borrow().by_tag().len() as u64, count);
    });
}

#[test]
fn run_writes_a_ledger_that_agrees_with_the_edge() {
    local(async {
        let edge = FakeEdge::start(Faults { refuse_every: 9, ..Faults::default() }).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receipts");
        let target = format!("http://{}", edge.address);
        let words = ["leadtrail-load", "run", "--no-reconcile", "--rate", "400", "--seconds", "1"];
        let more = ["--target", &target, "--receipts", path.to_str().unwrap()];
        let options = Options::parse_from(words.into_iter().chain(more));
        let Command::Run(options) = options.command else { panic!("not run") };
        assert!(run(options).await.unwrap());
        let ledger = Ledger::read(&path).unwrap();
        assert!(ledger.complete);
        let durable: HashMap<String, Uuid> =
            ledger.durable().map(|(number, _, id)| (tag(&ledger.run, number), id)).collect();
        assert_eq!(durable, edge.seen.lock().unwrap().durable);
        assert_eq!(durable.len(), 400 - 400 / 9);
    });
}

#[test]
fn without_an_edge_there_is_an_error_that_says_so() {
    local(async {
        let mut edge = FakeEdge::start(Faults::default()).await;
        edge.kill().await;
        let ends = Rc::new(RefCell::new(Ends::default()));
        let refused = Generator::connect(load(&edge, 2, LONG), requests("click=1"), ends).await;
        let error = refused.err().expect("nobody listens");
        assert!(matches!(error, LoadError::NotConnected { connected: 0, wanted: 2, .. }));
        assert!(error.to_string().contains("is it running?"));
    });
}

async fn wait_until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("the condition comes true");
}
