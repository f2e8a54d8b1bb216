//! What every harness on this machine needs: where parts lie, a free port, waiting for a condition. In: names and
//! deadlines. Out: paths and ports. Refuses by panicking, with the line that helps. Shared with `loadtest/faults`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Where a part lies: what the variable says, else what `deploy/parts/fetch path NAME` says.
pub fn part(variable: &str, name: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| path_in_cache(name), PathBuf::from);
    assert!(path.exists(), "{path:?} is missing; fetch it with `make fetch`");
    path
}

fn path_in_cache(name: &str) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/parts/fetch");
    let output = Command::new(script).args(["path", name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A free port of loopback for something that is stopped and started again. It lies below the range that outgoing
/// connections get theirs from: a client that tries to reach a dead server inside that range can connect to itself.
pub fn free_port() -> u16 {
    const PORTS: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = getrandom::u32().unwrap();
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + u16::try_from(start.wrapping_add(step) % PORTS).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 20000 and 32000");
}

/// Waits until the condition holds; panics with `what` when it does not within the deadline.
pub async fn wait_for(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    wait_for_async(what, deadline, async || condition()).await;
}

/// The same for a condition that has to ask somebody.
pub async fn wait_for_async(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let give_up = Instant::now() + deadline;
    while !condition().await {
        assert!(Instant::now() < give_up, "waited {deadline:?} in vain for: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
