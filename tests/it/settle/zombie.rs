//! Two settlers, one of them a zombie: it took its version, worked out its run, and slept before one of its statements; another leads meanwhile, with higher versions, and
//! finishes runs of its own. Then the statement comes after all. Whatever statement it is and whenever it comes, the ledger is the one that the events alone make.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use leadtrail::registry::Registry;
use leadtrail::settle::{Counter, RunReport, SettleError, Settler, Versions};
use leadtrail::stop;
use tokio::task::JoinHandle;

use super::facts::{Click, Conversion, Fact, HOUR, Who, affiliate_click, click, sale, yesterday};
use super::order::{expected, history};
use super::world::{SITES, World, settings};
use crate::env::dice::Dice;
use crate::env::wait_for;

/// How long worlds are tried; each takes many runs on the engine.
const TIME: Duration = Duration::from_secs(20);

/// Worlds that are tried at least, however slow the machine.
const WORLDS_MIN: u64 = 3;

/// A statement on the real engine takes a tenth of a second, on a busy machine more.
const DEADLINE: Duration = Duration::from_secs(60);

/// Statements that write, of a run; the zombie sleeps before one of them.
const WRITES: u64 = 14;

/// What becomes of the zombie's statements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// So many more that write may pass.
    Open(u64),
    /// One waits.
    Held,
    /// The one that waited passes, and nothing after it: who woke up sees that it does not lead.
    Last,
    Closed,
}

/// The zombie's wire to the warehouse.
struct Wire {
    address: String,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

impl Wire {
    fn to(warehouse: &str, writes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let gate = Arc::new((Mutex::new(Gate::Open(writes)), Condvar::new()));
        let (passed, to) = (gate.clone(), warehouse.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&to).unwrap();
                let (answers, asker) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass(&answers, &asker, |_| true));
                let gate = passed.clone();
                std::thread::spawn(move || pass(&client, &server, |piece| may_pass(&gate, piece)));
            }
        });
        Self { address, gate }
    }

    fn is(&self, state: Gate) -> bool {
        *self.gate.0.lock().unwrap() == state
    }

    /// Lets the statement come that waited.
    fn wake(&self) {
        let mut gate = self.gate.0.lock().unwrap();
        if *gate == Gate::Held {
            *gate = Gate::Last;
        } else {
            *gate = Gate::Closed;
        }
        self.gate.1.notify_all();
    }
}

/// Passes pieces on for as long as they may.
fn pass(mut from: &TcpStream, mut into: &TcpStream, may: impl Fn(&[u8]) -> bool) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if !may(&piece[..count]) || into.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    for stream in [from, into] {
        // Either side may have ended it.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn may_pass((gate, changed): &(Mutex<Gate>, Condvar), piece: &[u8]) -> bool {
    const WRITE: &[u8] = b"INSERT INTO";
    let mut gate = gate.lock().unwrap();
    match *gate {
        Gate::Closed => return false,
        Gate::Last => {
            // The next statement of a zombie that has woken.
            if piece.starts_with(b"POST") {
                *gate = Gate::Closed;
                return false;
            }
            return true;
        }
        Gate::Open(_) | Gate::Held => {}
    }
    if !piece.windows(WRITE.len()).any(|window| window == WRITE) {
        return true;
    }
    if let Gate::Open(left @ 1..) = *gate {
        *gate = Gate::Open(left - 1);
        return true;
    }
    *gate = Gate::Held;
    changed.notify_all();
    let gate = changed.wait_while(gate, |gate| *gate == Gate::Held).unwrap();
    *gate == Gate::Last
}

type Outcome = (Result<RunReport, SettleError>, tempfile::TempDir, stop::Stopper);

/// A settler that fell asleep in the middle of a run.
struct Zombie {
    wire: Wire,
    running: JoinHandle<Outcome>,
}

impl Zombie {
    /// Lets one lead until it sleeps before its statement number `writes`, or has come to its end. Who leads afterwards has higher versions.
    async fn of(world: &World, records_max: u64, writes: u64) -> Self {
        let login = &world.database.access.ingest;
        let url = &world.database.access.url;
        let wire = Wire::to(url.strip_prefix("http://").unwrap(), writes);
        let client = world.database.client(login).with_url(format!("http://{}", wire.address));
        let folder = tempfile::tempdir().unwrap();
        let (stopper, stop) = stop::channel();
        let mut versions = Versions::Counter(Counter::open(folder.path()).unwrap());
        assert!(versions.lead(&stop).await.unwrap());
        // The two can't hold one counter's lock; they count as if it were one.
        let (ours, theirs) = (world.counter(), folder.path().join("settle.counter"));
        std::fs::write(&theirs, std::fs::read(&ours).unwrap()).unwrap();
        let registry = Registry::parse(SITES, "test").unwrap();
        let settler = Settler::new(client, &registry, settings(records_max));
        let running = tokio::spawn(async move {
            let outcome = settler.run_once(&mut versions).await;
            (outcome, folder, stopper)
        });
        wait_for("the zombie to sleep or end", DEADLINE, || {
            wire.is(Gate::Held) || running.is_finished()
        })
        .await;
        std::fs::write(&ours, std::fs::read(&theirs).unwrap()).unwrap();
        Self { wire, running }
    }

    /// It wakes: its statement comes, and the next one finds that it does not lead.
    async fn wake(self) -> bool {
        let slept = self.wire.is(Gate::Held);
        self.wire.wake();
        let (outcome, ..) = tokio::time::timeout(DEADLINE, self.running).await.unwrap().unwrap();
        assert!(slept || outcome.is_ok(), "{outcome:?}");
        slept
    }
}

/// Stores the events in random batches and settles now and then; now and then a zombie sleeps, and wakes later, between two runs or beside one. Gives how many slept.
async fn haunted(world: &mut World, facts: &[Fact], dice: &mut Dice) -> u64 {
    let (mut rest, mut asleep, mut slept) = (facts, None::<Zombie>, 0);
    while !rest.is_empty() {
        let size = usize::try_from(1 + dice.roll(30)).unwrap().min(rest.len());
        let (batch, later) = rest.split_at(size);
        rest = later;
        world.store_in(usize::try_from(dice.roll(2)).unwrap(), batch).await;
        match (dice.roll(3), asleep.take()) {
            (0, Some(zombie)) => slept += u64::from(zombie.wake().await),
            (1, Some(zombie)) => {
                let pause = Duration::from_millis(dice.roll(300));
                let waking = async {
                    tokio::time::sleep(pause).await;
                    zombie.wake().await
                };
                let (woken, _) = tokio::join!(waking, world.settle());
                slept += u64::from(woken);
            }
            (_, Some(zombie)) => {
                asleep = Some(zombie);
                world.settle().await;
            }
            (0, None) => {
                world.settle().await;
            }
            (_, None) => {
                asleep = Some(Zombie::of(world, 1 + dice.roll(100), dice.roll(WRITES)).await);
            }
        }
    }
    world.settle().await;
    if let Some(zombie) = asleep {
        slept += u64::from(zombie.wake().await);
        // What it left is mended by the next run, which the next event brings.
    }
    slept
}

/// A sale becomes a repeat of an earlier one whose record was late, until a click comes that makes the earlier one another click's: only who knows of the late sale and
/// not of the click would touch the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_knew_less_and_whose_statement_comes_late_touches_nothing() {
    let noon = yesterday() + 12 * HOUR;
    let me = Who::Cookie(1);
    let first = Click { who: me, ..affiliate_click(1, noon - 2 * HOUR, "blogger", "summer") };
    let sold = Conversion { named: first.named(), ..sale(11, noon) };
    let late = Conversion { who: me, ..sale(12, noon - HOUR) };
    let click_between = Click { who: me, ..click(2, noon - HOUR - 1) };
    let mut whole = World::new().await;
    let facts: [Fact; 4] = [first.into(), sold.into(), late.into(), click_between.into()];
    whole.store(facts.clone()).await;
    whole.settle().await;
    let expected = whole.outcomes().await;
    assert_eq!(whole.counted().await, [1, 1]);
    for writes in 0..WRITES {
        let mut world = World::new().await;
        world.store(facts[..2].iter().cloned()).await;
        world.settle().await;
        world.store(facts[2..3].iter().cloned()).await;
        let zombie = Zombie::of(&world, 1_000, writes).await;
        world.store(facts[3..].iter().cloned()).await;
        world.settle().await;
        let slept = zombie.wake().await;
        println!("before statement {writes}: slept {slept}");
        assert_eq!(world.outcomes().await, expected, "it slept before its statement {writes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_had_under_way_is_over_before_the_next_one_reads() {
    let mut world = World::new().await;
    world.store([sale(11, yesterday()).into()]).await;
    let query_id = format!("settle-{}", world.database.name);
    let killed = world.database.client(&world.database.access.ingest);
    let under_way = tokio::spawn(async move {
        let query = killed
            .query("SELECT sum(sleepEachRow(1)) FROM numbers(600) SETTINGS max_block_size = 1");
        query.with_setting("query_id", query_id).fetch_one::<u64>().await
    });
    let runs = format!(
        "SELECT count() FROM system.processes WHERE query_id = 'settle-{}'",
        world.database.name
    );
    crate::env::wait_for_async("the statement to run", DEADLINE, async || {
        world.number(&runs).await == 1
    })
    .await;
    tokio::time::timeout(DEADLINE, world.settle()).await.unwrap();
    assert_eq!(world.counted().await, [1]);
    let ended = tokio::time::timeout(DEADLINE, under_way).await.unwrap().unwrap().unwrap_err();
    assert!(ended.to_string().contains("QUERY_WAS_CANCELLED"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_leader_changes_nothing_whatever_it_still_had_under_way() {
    let first_seed = std::env::var("SETTLE_SEED").ok().and_then(|text| text.parse().ok());
    let first_seed: u64 = first_seed.unwrap_or_else(|| getrandom::u64().unwrap() % 1_000_000);
    let (began, mut slept) = (Instant::now(), 0);
    for number in 0.. {
        if number >= WORLDS_MIN && began.elapsed() > TIME {
            println!("{number} worlds, {slept} zombies");
            break;
        }
        let seed = first_seed + number;
        let mut dice = Dice(seed);
        let mut facts = history(&mut dice);
        dice.shuffle(&mut facts);
        let expected = expected(&facts);
        let mut world = World::with(settings(1 + dice.roll(100))).await;
        slept += haunted(&mut world, &facts, &mut dice).await;
        let outcomes = world.outcomes().await;
        assert_eq!(outcomes.len(), expected.len(), "with SETTLE_SEED={seed}");
        for (found, expected) in outcomes.iter().zip(&expected) {
            assert_eq!(found, expected, "with SETTLE_SEED={seed}");
        }
    }
    assert!(slept > 0, "no zombie slept");
}
