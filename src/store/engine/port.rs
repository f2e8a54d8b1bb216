//! The engine's port: which one, and who holds it when it is taken.
//!
//! In: the port asked for and the one of last time. Out: a free port of loopback. Refuses: a port that is held,
//! naming the process where `/proc` tells. Promises: nothing stays bound; a port can still be taken in between, which
//! the authenticated readiness check then finds out.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

/// Descriptors looked at in the search for a holder. A machine with more gets the answer "another process".
const DESCRIPTORS_MAX: usize = 200_000;

/// The process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name, as the kernel keeps it (15 bytes).
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} ({})", self.pid, self.name)
    }
}

/// Where a free port is looked for: below the range from which Linux gives ports to outgoing connections (32768 and
/// up). Inside it, a client that tries to reach an engine that is down can be given the engine's own port, connects to
/// itself, and so keeps the engine from coming back.
const FREE_PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Tries before giving up; that many in a row are taken only on a machine with no free port at all.
const TRIES_MAX: u16 = 200;

/// Binds the port for a moment, to learn whether it is free.
pub(super) fn try_port(port: u16) -> std::io::Result<()> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map(drop)
}

/// A free port of loopback, from a random place of [`FREE_PORTS`] on.
pub(super) fn free_port() -> Option<u16> {
    let count = FREE_PORTS.end - FREE_PORTS.start;
    let first = u16::try_from(getrandom::u32().ok()? % u32::from(count)).expect("below a u16");
    let candidates = (0..TRIES_MAX).map(|step| FREE_PORTS.start + (first + step) % count);
    candidates.into_iter().find(|port| try_port(*port).is_ok())
}

/// Who listens on this TCP port of this machine. `None` when nobody does, or when it is another user's process and we
/// are not root.
pub fn holder_of(port: u16) -> Option<Holder> {
    let inodes = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| PathBuf::from(format!("socket:[{inode}]")))
        .collect::<Vec<_>>();
    if inodes.is_empty() {
        return None;
    }
    let descriptors = processes().flat_map(|pid| {
        let folder = std::fs::read_dir(format!("/proc/{pid}/fd"));
        folder.into_iter().flatten().flatten().map(move |entry| (pid, entry.path()))
    });
    let (pid, _) = descriptors.take(DESCRIPTORS_MAX).find(|(_, descriptor)| {
        std::fs::read_link(descriptor).is_ok_and(|target| inodes.contains(&target))
    })?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder { pid, name: name.trim_end().to_owned() })
}

fn processes() -> impl Iterator<Item = u32> {
    let folder = std::fs::read_dir("/proc");
    folder
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The inodes of the sockets that listen on `port`, from a table like `/proc/net/tcp`: column 1 is the local address
/// (`0100007F:1F90`), column 3 the state (`0A` listens), column 9 the inode.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().take(10).collect();
            let (_, hexadecimal) = columns.get(1)?.rsplit_once(':')?;
            let here = u16::from_str_radix(hexadecimal, 16).ok()? == port;
            (here && *columns.get(3)? == "0A").then(|| columns.get(9)?.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_taken_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(try_port(port).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        let holder = holder_of(port).unwrap();
        assert_eq!(holder.pid, std::process::id());
        drop(listener);
        try_port(port).unwrap();
        assert!(FREE_PORTS.contains(&free_port().unwrap()));
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                        0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n\
                        1: 0100007F:1F90 0100007F:AAAA 01 00000000:00000000 00:00000000 00000000 0 0 4712 1\n\
                        torn";
        assert_eq!(listening_inodes(table, 8080), [4711]);
        assert!(listening_inodes(table, 8081).is_empty());
    }
}
