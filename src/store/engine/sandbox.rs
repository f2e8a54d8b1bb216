//! The engine's sandbox: what its process may still touch, whatever SQL asks of it.
//!
//! In: the engine's folders, its library and its port. Out: how much of the sandbox the kernel enforces. Refuses:
//! nothing; a kernel without Landlock gives [`Sandbox::None`], and the caller then opens no analyst user. Promises: the
//! restrictions hold for every thread started later, and can't be undone.
//!
//! Why: the scalar SQL function `file('/etc/passwd')` of this build reads any file for any user, without a grant
//! (measured). Grants can't close that; the kernel can.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// How much of the sandbox holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// Files and network (Linux 6.12 and later).
    Full,
    /// Files; the kernel is too old to hold back all of the network (Linux 5.13 and later). Grants do that alone.
    Files,
    /// Nothing. No analyst is opened.
    None,
}

/// The rights asked for. The kernel enforces those of them that it knows.
const RIGHTS: ABI = ABI::V6;

/// What the engine reads beside its own folders: the loader's and the resolver's files, time zones, memory and
/// processor figures. Missing ones are passed over. Of `/proc` only what is about this process and the machine: the
/// command lines of others are none of an analyst's business.
const READ_ONLY: &[&str] = &[
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/pressure",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
    "/sys/block",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/urandom",
];

/// Devices that are written to as well. The terminal is not among them: it is open before the sandbox is shut.
const READ_WRITE: &[&str] = &["/dev/null"];

/// What one engine may touch.
pub(super) struct Borders<'a> {
    /// Read and written: the engine's data.
    pub data: &'a Path,
    /// Read: the engine's config.
    pub config: &'a Path,
    /// Read and run: the engine itself.
    pub library: &'a Path,
    /// Listened on and, for dictionaries, connected to.
    pub http_port: u16,
}

/// Restricts this thread and all that it starts.
pub(super) fn enter(borders: &Borders<'_>) -> Result<Sandbox, RulesetError> {
    let all = AccessFs::from_all(RIGHTS);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(RIGHTS))?
        .scope(Scope::from_all(RIGHTS))?
        .create()?
        .add_rules(rules(&[borders.data.to_owned()], all))?
        .add_rules(rules(READ_WRITE, AccessFs::from_file(RIGHTS) | AccessFs::ReadDir))?
        .add_rules(rules(READ_ONLY, AccessFs::from_read(RIGHTS)))?
        .add_rules(rules(&[borders.config, borders.library], AccessFs::from_read(RIGHTS)))?
        .add_rule(NetPort::new(borders.http_port, AccessNet::from_all(RIGHTS)))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Sandbox::Full,
        // Reading and writing files is in the first version already: what can be missing is the network.
        RulesetStatus::PartiallyEnforced => Sandbox::Files,
        RulesetStatus::NotEnforced => Sandbox::None,
    })
}

fn rules<P: AsRef<Path>>(
    paths: &[P],
    access: BitFlags<AccessFs>,
) -> impl Iterator<Item = Result<landlock::PathBeneath<landlock::PathFd>, RulesetError>> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
    path_beneath_rules(paths, access)
}
