//! A process that is held to a share of one core. In: its number and the share. Out: nothing; the kernel does it. Refuses: without the
//! right to make a control group (root). Promises: the group is gone with this value, once the process is let out of it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Short, so that no request waits long for the process's next turn.
const PERIOD_US: u64 = 20_000;

/// Where control groups of the first and second version lie.
const FIRST: &str = "/sys/fs/cgroup/cpu";
const SECOND: &str = "/sys/fs/cgroup";

/// A control group with one process.
pub struct Share {
    group: PathBuf,
    root: PathBuf,
    pid: u32,
}

impl Share {
    /// Holds the process to `share` of a core.
    pub fn of_one_core(pid: u32, share: f64) -> anyhow::Result<Self> {
        let root = PathBuf::from(if Path::new(FIRST).is_dir() { FIRST } else { SECOND });
        let group = root.join(format!("leadtrail-overload-{}", std::process::id()));
        let quota = (PERIOD_US as f64 * share) as u64;
        let hold = || -> std::io::Result<()> {
            std::fs::create_dir(&group)?;
            if root == Path::new(FIRST) {
                std::fs::write(group.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                std::fs::write(group.join("cpu.cfs_quota_us"), quota.to_string())?;
            } else {
                std::fs::write(group.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
            }
            std::fs::write(group.join("cgroup.procs"), pid.to_string())
        };
        hold().with_context(|| {
            format!("cannot hold a process to a share of a core with {group:?}; it needs root")
        })?;
        Ok(Self { group, root, pid })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // A process that has ended left the group by itself; nothing can be done about another failure.
        let _ = std::fs::write(self.root.join("cgroup.procs"), self.pid.to_string());
        let _ = std::fs::remove_dir(&self.group);
    }
}
