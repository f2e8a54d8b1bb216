//! File descriptors: how many connections may this process hold?
//!
//! In: `edge.connections_max`. Out: as many as the kernel gives, less what the log needs. Refuses: nothing; fewer connections are better than none. Promises:
//! connections never take the descriptor that the journal needs for its next segment, for a log that can't open a file refuses every lead.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for the journal's segments, keys, brokers, the warehouse, databases and listeners: some fifty are used.
const RESERVED: usize = 256;

/// The soft limit of a shell is often 1024: raises it to what the process may have, and says how many connections then fit.
pub fn connections_max(configured: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // None: there is no limit.
    let may_have = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            limit.current
        }
    };
    let fit = fitting(configured, may_have);
    if fit < configured {
        tracing::warn!(
            configured,
            fit,
            "edge.connections_max is more than this process may open files; raise LimitNOFILE or `ulimit -Hn`"
        );
    }
    fit
}

fn fitting(configured: usize, may_have: Option<u64>) -> usize {
    let room = may_have.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    configured.min(room.saturating_sub(RESERVED).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_log() {
        assert_eq!(fitting(10_000, Some(524_288)), 10_000);
        assert_eq!(fitting(10_000, None), 10_000);
        assert_eq!(fitting(10_000, Some(1_024)), 768);
        assert_eq!(fitting(10_000, Some(100)), 1, "so few that nothing fits: one at a time");
        assert_eq!(connections_max(1), 1);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum, "the soft limit is raised");
    }
}
