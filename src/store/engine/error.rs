//! What can go wrong with the engine, and what to do about it.

use std::path::PathBuf;

/// Why the engine is not there.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file or folder of the engine could not be used.
    #[error("cannot use {path:?} of the clickhouse engine: {source}")]
    Folder {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The library is not where it was said to be.
    #[error(
        "cannot find the clickhouse engine at {path:?}; fetch it with `deploy/parts/fetch up` and set \
         LEADTRAIL_ENGINE__LIBRARY to what `deploy/parts/fetch path engine` prints"
    )]
    LibraryMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// `access.json` is not what we wrote.
    #[error("cannot read {path:?}: it is damaged; delete it, and new passwords are made")]
    AccessFile {
        /// Where it is.
        path: PathBuf,
    },
    /// The key of the stored data is gone.
    #[error(
        "the key {path:?} is {state}, and without it the stored data cannot be read; restore it, or move the whole \
         folder away to begin with an empty warehouse"
    )]
    DataKey {
        /// Where it should be.
        path: PathBuf,
        /// Missing or damaged.
        state: &'static str,
    },
    /// No engine ever ran here.
    #[error("no clickhouse engine was ever started in {folder:?}; start one with `leadtrail up`")]
    NeverStarted {
        /// The engine's folder.
        folder: PathBuf,
    },
    /// Another engine works on the data.
    #[error(
        "the clickhouse data in {folder:?} is in use by {holder}; stop it first, or use another data_dir"
    )]
    Held {
        /// The engine's folder.
        folder: PathBuf,
        /// Which process.
        holder: String,
    },
    /// The port is taken, or not ours to take.
    #[error(
        "cannot listen on 127.0.0.1:{port} for clickhouse: {reason}; choose another port with engine.http_port \
         (LEADTRAIL_ENGINE__HTTP_PORT, --engine-port; 0 takes any free one)"
    )]
    Port {
        /// The port.
        port: u16,
        /// Who holds it, where that can be told.
        reason: String,
    },
    /// The system gave no random numbers.
    #[error("cannot get random numbers for the passwords: {0}")]
    Random(#[from] getrandom::Error),
    /// The engine's process could not be started.
    #[error("cannot start the clickhouse engine's process {program:?}: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The process ended before it answered.
    #[error("the clickhouse engine ended before it was ready ({status}); it said: {said}")]
    EndedEarly {
        /// How it ended.
        status: String,
        /// The last lines of its standard error.
        said: String,
    },
    /// The process lives and does not answer.
    #[error(
        "the clickhouse engine did not answer within {seconds} s and was killed; it said: {said}"
    )]
    NotReady {
        /// How long it was given.
        seconds: u64,
        /// The last lines of its standard error.
        said: String,
    },
    /// The engine had to be killed.
    #[error(
        "the clickhouse engine did not stop within {seconds} s and was killed; its data is safe, the next start recovers it"
    )]
    StoppedByForce {
        /// How long it was given.
        seconds: u64,
    },
}
