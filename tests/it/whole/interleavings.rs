//! Two consumers, zombies among them, against a model: whatever is killed, stopped or cut in whatever order, every offset below a committed one was stored, dead-lettered or
//! filtered as a twin, and in the end each record is exactly where the model says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clickhouse::Client;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;

use super::BROWSER;
use crate::env::broker::Broker;
use crate::env::dice::Dice;
use crate::env::program::{Installation, Program};
use crate::env::proxy::Proxy;
use crate::env::warehouse::Warehouse;
use crate::env::{free_port, wait_for_async};

const NAME: &str = "weave";
const TOPIC: &str = "weave.events";
const PARTITIONS: i32 = 2;
const CONSUMERS: usize = 2;

/// How long is woven; then all is let go on and must come to its end within the deadline.
const WEAVE: Duration = Duration::from_secs(25);
const END: Duration = Duration::from_secs(120);

/// A silent consumer's partitions go to the other after this long: longer than an insert may be sent after its border (10 s).
const SESSION: Duration = Duration::from_secs(12);

/// Longer, so that who sleeps wakes as a zombie.
const SLEEP: Duration = Duration::from_secs(14);

/// What must become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    Dead,
    /// A twin that was sent again: its original is stored, it is not.
    Filtered,
}

/// The log as it should be read: by partition, the fate of each offset from 0 on.
struct Model {
    partitions: Vec<Vec<(Fate, String)>>,
    record: String,
    next_id: u64,
}

impl Model {
    /// The next record for a partition: seldom nonsense, or a twin of a record before it.
    fn next(&mut self, partition: usize, dice: &mut Dice) -> (String, bool) {
        let sort = dice.roll(20);
        let originals: Vec<String> = self.partitions[partition]
            .iter()
            .filter(|(fate, text)| *fate == Fate::Stored && !text.is_empty())
            .map(|(_, text)| text.clone())
            .collect();
        let (fate, text) = if sort == 0 {
            (Fate::Dead, format!("{{\"v\":1,\"nonsense\":{}}}", dice.roll(1_000)))
        } else if sort == 1 && !originals.is_empty() {
            let at = usize::try_from(dice.roll(originals.len() as u64)).unwrap();
            (Fate::Filtered, originals[at].clone())
        } else {
            self.next_id += 1;
            (Fate::Stored, with_id(&self.record, self.next_id))
        };
        self.partitions[partition].push((fate, text.clone()));
        (text, fate == Fate::Filtered)
    }

    fn offsets(&self, partition: usize, fate: Fate, below: usize) -> BTreeSet<u64> {
        let fates = self.partitions[partition].iter().take(below).enumerate();
        fates.filter(|(_, (found, _))| *found == fate).map(|(offset, _)| offset as u64).collect()
    }
}

/// The same event under another id of the same millisecond: the process's number stands above the last ten bits, which are always 0.
fn with_id(record: &str, number: u64) -> String {
    let number = number << 10;
    let at = record.find("\"id\":\"").expect("a record has an id") + 6;
    let id = &record[at..at + 36];
    format!("{}{}-7000-8000-{number:012x}{}", &record[..at], &id[..13], &record[at + 36..])
}

/// What surrounds the consumers.
struct Scene {
    installation: Installation,
    broker: &'static Broker,
    wire: Proxy,
    client: Client,
    consumers: Vec<Option<Program>>,
    asleep: Option<(usize, Instant)>,
}

impl Scene {
    fn start(&mut self, number: usize) {
        self.installation.set("CONSUMER__OPS_LISTEN", &format!("127.0.0.1:{}", free_port()));
        self.consumers[number] = Some(self.installation.start(&["consume"]));
    }

    fn wake(&mut self) {
        if let Some((number, _)) = self.asleep.take() {
            self.consumers[number].as_ref().unwrap().signal(Signal::CONT);
        }
    }

    /// One turn of fate.
    async fn turn(&mut self, dice: &mut Dice) -> &'static str {
        if self.asleep.is_some_and(|(_, until)| Instant::now() >= until) {
            self.wake();
            return "the zombie wakes";
        }
        let number = usize::try_from(dice.roll(CONSUMERS as u64)).unwrap();
        let sleeps = self.asleep.is_some_and(|(asleep, _)| asleep == number);
        match dice.roll(6) {
            0 if !sleeps => {
                self.consumers[number].take().unwrap().kill9();
                self.start(number);
                "kill -9"
            }
            1 if self.asleep.is_none() => {
                self.consumers[number].as_ref().unwrap().signal(Signal::STOP);
                self.asleep = Some((number, Instant::now() + SLEEP));
                "one falls asleep"
            }
            2 => {
                self.wire.cut();
                tokio::time::sleep(Duration::from_millis(dice.roll(1_500))).await;
                self.wire.mend();
                "the warehouse was away"
            }
            _ => {
                tokio::time::sleep(Duration::from_millis(dice.roll(800))).await;
                "nothing"
            }
        }
    }

    fn group(&self) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", self.broker.address())
            .set("group.id", NAME)
            .set("enable.auto.commit", "false")
            .create()
            .unwrap()
    }

    /// The committed offset of each partition; 0 for none.
    fn committed(&self) -> Vec<usize> {
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition(TOPIC, partition);
        }
        let list = self.group().committed_offsets(list, Duration::from_secs(10)).unwrap();
        let offset = |offset| match offset {
            Offset::Offset(offset) => usize::try_from(offset).unwrap(),
            _ => 0,
        };
        list.elements().iter().map(|element| offset(element.offset())).collect()
    }

    async fn held(&self, table: &str, partition: usize, below: usize) -> BTreeSet<u64> {
        let sql = format!(
            "SELECT DISTINCT log_offset FROM {table} WHERE log_partition = {partition} AND log_offset < {below}"
        );
        self.client.query(&sql).fetch_all::<u64>().await.unwrap().into_iter().collect()
    }

    /// The invariant: all below the committed offsets is where the model says.
    async fn check(&self, model: &Model, seed: u64, after: &str) {
        for (partition, below) in self.committed().into_iter().enumerate() {
            for (table, fate) in [("events", Fate::Stored), ("dead_letters", Fate::Dead)] {
                let held = self.held(table, partition, below).await;
                let expected = model.offsets(partition, fate, below);
                assert_eq!(
                    held, expected,
                    "seed {seed}: {table} of partition {partition} below the committed {below}, after {after}"
                );
            }
        }
    }
}

/// One real record of the edge: a click.
fn a_record(broker: &Broker) -> (Vec<usize>, String) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("group.id", "weave-looker")
        .create()
        .unwrap();
    let (mut counts, mut list) = (Vec::new(), TopicPartitionList::new());
    for partition in 0..PARTITIONS {
        let (_, high) = consumer.fetch_watermarks(TOPIC, partition, SESSION).unwrap();
        counts.push(usize::try_from(high).unwrap());
        list.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let message = consumer.poll(Duration::from_secs(30)).expect("a record").unwrap();
    (counts, String::from_utf8(message.payload().unwrap().to_vec()).unwrap())
}

async fn scene() -> (Scene, Model) {
    let broker = Broker::shared().await;
    let database = Warehouse::shared().database().await;
    let wire = Proxy::before(database.access.url.strip_prefix("http://").unwrap());
    let mut installation = Installation::new(NAME);
    installation.use_warehouse(&database);
    installation.use_kafka(&broker.address(), NAME);
    installation.set("KAFKA__PARTITIONS", &PARTITIONS.to_string());
    let session = format!("session.timeout.ms={}", SESSION.as_millis());
    installation.set("KAFKA__PROPERTIES", &format!("{session},heartbeat.interval.ms=1000"));
    installation.says(&["schema", "apply"]);
    let mut edge = installation.ready(&["serve"]).await;
    assert_eq!(installation.get("/c/summer-ad", BROWSER).status, 302);
    assert!(edge.stop().success());
    let (counts, record) = a_record(broker);
    let first = |count: &usize| vec![(Fate::Stored, String::new()); *count];
    let model = Model { partitions: counts.iter().map(first).collect(), record, next_id: 0 };
    installation.set("WAREHOUSE__URL", &format!("http://{}", wire.address));
    let consumers = (0..CONSUMERS).map(|_| None).collect();
    let client = database.admin.clone();
    let mut scene = Scene { installation, broker, wire, client, consumers, asleep: None };
    (0..CONSUMERS).for_each(|number| scene.start(number));
    (scene, model)
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_committed_offset_all_is_stored_dead_or_a_twin_whoever_sleeps_or_dies() {
    let seed = std::env::var("LEADTRAIL_TEST_SEED")
        .map_or_else(|_| getrandom::u64().unwrap(), |seed| seed.parse().unwrap());
    println!("LEADTRAIL_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let (mut scene, mut model) = scene().await;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", scene.broker.address())
        .set("enable.idempotence", "true")
        .create()
        .unwrap();
    let end = Instant::now() + WEAVE;
    while Instant::now() < end || scene.asleep.is_some() {
        for _ in 0..dice.roll(120) {
            let partition = usize::try_from(dice.roll(PARTITIONS as u64)).unwrap();
            let (payload, resent) = model.next(partition, &mut dice);
            let record = BaseRecord::<[u8], [u8]>::to(TOPIC)
                .partition(i32::try_from(partition).unwrap())
                .payload(payload.as_bytes());
            let mark = OwnedHeaders::new().insert(Header { key: "resent", value: Some("1") });
            let record = if resent { record.headers(mark) } else { record };
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(SESSION).unwrap();
        let after = scene.turn(&mut dice).await;
        scene.check(&model, seed, after).await;
    }
    let all: Vec<usize> = model.partitions.iter().map(Vec::len).collect();
    wait_for_async(&format!("seed {seed}: all to be committed"), END, async || {
        scene.committed() == all
    })
    .await;
    scene.check(&model, seed, "the end").await;
    super::nothing_is_doubled(&scene.client).await;
    for consumer in scene.consumers.iter_mut().flatten() {
        assert!(consumer.stop().success());
    }
}
