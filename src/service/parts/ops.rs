//! The ops listener as a part: `/live`, `/ready`, `/metrics` and what the operator's commands ask.
//!
//! In: a process' metrics and checks. Out: answers on a thread of its own. Refuses: a port that another program has. Promises: it answers
//! while all other threads are busy, and ends last.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::{Metrics, bind};
use crate::config::Config;
use crate::ops::{self, Check, Recorder};
use crate::stop::{self, Stop, Stopper};

/// The ops listener, serving on a thread of its own: whoever asks whether a process lives must not wait behind those who keep it busy.
pub struct Ops {
    stopper: Stopper,
    thread: std::thread::JoinHandle<()>,
}

impl Ops {
    /// Listens on `listen`, which the key `key` says. From `draining` on the process is not ready, and still answers.
    pub fn start(
        config: &Config,
        (listen, key): (SocketAddr, &str),
        mut metrics: Metrics,
        checks: Vec<Check>,
        recorder: Option<Recorder>,
        draining: &Stop,
    ) -> Result<Self> {
        let listener = bind(listen, key)?.into_std()?;
        let checks: Arc<[Check]> = checks.into();
        metrics.register_collector(Box::new(ops::ReadyMetric(checks.clone())));
        let hosts = config.ops.hosts.clone();
        let ops = ops::Ops { hosts, checks, metrics, recorder, draining: draining.clone() };
        let (stopper, stop) = stop::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let serve = move || match runtime.block_on(async { TcpListener::from_std(listener) }) {
            Ok(listener) => runtime.block_on(ops::serve(listener, Arc::new(ops), stop)),
            Err(error) => tracing::error!(%error, %listen, "the ops listener can't be served"),
        };
        let thread = std::thread::Builder::new()
            .name("ops".to_owned())
            .spawn(serve)
            .context("cannot start the thread of the ops listener")?;
        Ok(Self { stopper, thread })
    }

    /// Ends it: the last thing that a process does.
    pub fn end(self) -> Result<()> {
        self.stopper.stop();
        self.thread.join().map_err(|_| anyhow::anyhow!("the ops listener panicked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    #[tokio::test]
    async fn whether_a_process_lives_is_told_while_all_its_other_threads_are_busy() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let config = Config::load(None, std::iter::empty()).unwrap();
        let (_stopper, stop) = stop::channel();
        let ops =
            Ops::start(&config, (listen, "test"), Metrics::default(), Vec::new(), None, &stop);
        // This runtime has one thread, and it does not wait: nothing else can run on it.
        let mut stream = std::net::TcpStream::connect(listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
            .write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("live\n"), "{reply}");
        ops.unwrap().end().unwrap();
    }
}
