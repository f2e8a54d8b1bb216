//! Two libraries in the journal's place, each behind the same group commit.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use anyhow::Result;
use redb::{ReadableDatabase, ReadableTable};
use tokio::sync::Notify;

use crate::{BUSY_RECORDS, COMMIT_INTERVAL, COMMIT_INTERVAL_BUSY, RECORD_BYTES, Store};

const TABLE: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("log");

/// A library that stores a group of records in one durable commit.
pub trait Library: Send + Sync + 'static {
    fn commit(&self, first: u64, records: &[u8]) -> Result<()>;
    fn read_all(&self) -> Result<u64>;
}

/// Group commit for a library: the journal's own way of waiting, so that only storing differs.
pub struct Grouped<L> {
    shared: Arc<Shared<L>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared<L> {
    library: L,
    filling: Mutex<Filling>,
    wake: Condvar,
    end: AtomicU64,
}

#[derive(Default)]
struct Filling {
    records: Vec<u8>,
    group: Arc<Group>,
    closing: bool,
}

#[derive(Default)]
struct Group {
    is_durable: AtomicBool,
    notify: Notify,
}

impl<L: Library> Grouped<L> {
    pub fn open(library: L) -> Result<Self> {
        let shared = Arc::new(Shared {
            library,
            filling: Mutex::default(),
            wake: Condvar::new(),
            end: AtomicU64::new(0),
        });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        });
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl<L: Library> Shared<L> {
    fn run(&self) {
        loop {
            let filling = self.filling.lock().expect("nothing panics with the lock held");
            let waited = self
                .wake
                .wait_while(filling, |filling| filling.records.is_empty() && !filling.closing);
            let mut filling = waited.expect("nothing panics with the lock held");
            if filling.records.is_empty() {
                return;
            }
            let records = std::mem::take(&mut filling.records);
            let group = std::mem::take(&mut filling.group);
            drop(filling);
            let started = Instant::now();
            let first = self.end.load(Ordering::Relaxed);
            self.library.commit(first, &records).expect("the disk works");
            self.end.store(first + (records.len() / RECORD_BYTES) as u64, Ordering::Relaxed);
            group.is_durable.store(true, Ordering::Release);
            group.notify.notify_waiters();
            let is_busy = records.len() / RECORD_BYTES > BUSY_RECORDS;
            let interval = if is_busy { COMMIT_INTERVAL_BUSY } else { COMMIT_INTERVAL };
            std::thread::sleep(interval.saturating_sub(started.elapsed()));
        }
    }
}

impl<L: Library> Store for Grouped<L> {
    async fn append(&self, payload: &[u8]) {
        let group = {
            let mut filling =
                self.shared.filling.lock().expect("nothing panics with the lock held");
            if filling.records.is_empty() {
                self.shared.wake.notify_one();
            }
            filling.records.extend_from_slice(payload);
            Arc::clone(&filling.group)
        };
        let mut notified = std::pin::pin!(group.notify.notified());
        notified.as_mut().enable();
        if !group.is_durable.load(Ordering::Acquire) {
            notified.await;
        }
    }

    fn read_all(&self) -> Result<u64> {
        self.shared.library.read_all()
    }
}

impl<L> Drop for Grouped<L> {
    fn drop(&mut self) {
        self.shared.filling.lock().expect("nothing panics with the lock held").closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the commit thread does not panic");
        }
    }
}

pub struct Redb(redb::Database);

impl Redb {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self(redb::Database::create(path.join("redb"))?))
    }
}

impl Library for Redb {
    fn commit(&self, first: u64, records: &[u8]) -> Result<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (offset, record) in (first..).zip(records.chunks_exact(RECORD_BYTES)) {
                table.insert(offset, record)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn read_all(&self) -> Result<u64> {
        let transaction = self.0.begin_read()?;
        let mut count = 0;
        for entry in transaction.open_table(TABLE)?.iter()? {
            let (_, value) = entry?;
            count += u64::from(value.value().len() == RECORD_BYTES);
        }
        Ok(count)
    }
}

pub struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
}

impl Fjall {
    pub fn open(path: &Path) -> Result<Self> {
        let database = fjall::Database::builder(path.join("fjall")).open()?;
        let keyspace = database.keyspace("log", fjall::KeyspaceCreateOptions::default)?;
        Ok(Self { database, keyspace })
    }
}

impl Library for Fjall {
    fn commit(&self, first: u64, records: &[u8]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for (offset, record) in (first..).zip(records.chunks_exact(RECORD_BYTES)) {
            batch.insert(&self.keyspace, offset.to_be_bytes(), record);
        }
        Ok(batch.commit()?)
    }

    fn read_all(&self) -> Result<u64> {
        let mut count = 0;
        for entry in self.keyspace.iter() {
            let (_, value) = entry.into_inner()?;
            count += u64::from(value.len() == RECORD_BYTES);
        }
        Ok(count)
    }
}
