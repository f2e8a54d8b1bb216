//! One real ClickHouse engine for the whole test run, and a database of its own for each test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use clickhouse::Client;
use leadtrail::store::engine::{Access, Engine, EngineSettings, Login};

/// Databases that the engine's users are given rights on; a test takes one. Users can't be changed while it runs.
const DATABASES: usize = 200;

/// More than it ever touches (0.6 GiB): each table that was written to keeps buffers of its deduplication log, about half a MiB that is
/// allocated and hardly used, and here are some thirty tables for each test.
const MEMORY_BYTES_MAX: u64 = 16 << 30;

/// Settings for an engine of one's own in this folder.
pub fn settings(folder: impl Into<std::path::PathBuf>) -> EngineSettings {
    let library = super::part("LEADTRAIL_ENGINE__LIBRARY", "engine");
    let mut settings = EngineSettings::new(library, folder);
    settings.program = env!("CARGO_BIN_EXE_leadtrail").into();
    settings.memory_bytes_max = MEMORY_BYTES_MAX;
    settings
}

/// A client of the engine as this user.
pub fn client(access: &Access, login: &Login) -> Client {
    Client::default()
        .with_url(&access.url)
        .with_user(&login.user)
        .with_password(login.password.expose())
}

/// The engine that all tests share. Tests that stop or kill an engine start their own with [`settings`].
pub struct Warehouse {
    engine: Engine,
    next: AtomicUsize,
}

/// A database for one test.
pub struct Database {
    /// Its name, to be given to the program under test.
    pub name: String,
    /// How to reach the engine.
    pub access: Access,
    /// A client with all rights, on this database.
    pub admin: Client,
}

impl Warehouse {
    /// Starts it at the first call.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Warehouse> = OnceLock::new();
        SHARED.get_or_init(|| {
            // On a runtime of its own, because a test's runtime ends with the test.
            let started = std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .unwrap();
                let mut settings = settings(super::folder("warehouse"));
                settings.databases.extend((0..DATABASES).map(name));
                let engine = runtime.block_on(Engine::start(settings)).unwrap();
                std::mem::forget(runtime);
                engine
            });
            Self { engine: started.join().unwrap(), next: AtomicUsize::new(0) }
        })
    }

    /// How to reach the engine.
    pub fn access(&self) -> &Access {
        self.engine.access()
    }

    /// An empty database that no other test has.
    pub async fn database(&self) -> Database {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(number < DATABASES, "more tests than databases; raise DATABASES");
        let name = name(number);
        let access = self.access().clone();
        let admin = client(&access, &access.admin);
        admin.query(&format!("CREATE DATABASE {name} ENGINE = Atomic")).execute().await.unwrap();
        Database { admin: admin.with_database(&name), name, access }
    }
}

impl Database {
    /// A client of this user, on this database.
    pub fn client(&self, login: &Login) -> Client {
        client(&self.access, login).with_database(&self.name)
    }
}

fn name(number: usize) -> String {
    format!("leadtrail_t{number:03}")
}
