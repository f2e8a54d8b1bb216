//! The engine's C interface: everything unsafe about it, and nothing else.
//!
//! In: the path of `libchdb.so` and the arguments of `clickhouse local`. Out: a call that lasts as long as the engine
//! runs, and the signals that ask this process to end, as a file descriptor. Refuses: a library without the two
//! functions, or one that the refusals of a disk can't be watched in. Promises: nothing of Rust's own state is shared with the library.
#![expect(
    unsafe_code,
    reason = "a C library is called, and signals are blocked, which std has no interface for"
)]

mod refusals;

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

pub(super) use refusals::DISK_REFUSED;

type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
type SetSignalHandlersEnabled = unsafe extern "C" fn(c_int);

/// The loaded engine, which can be run once in the life of a process (a second run aborts inside the library).
pub(super) struct EngineLibrary {
    query_cmdline: QueryCmdline,
    // The library starts threads that outlive the call (about 11 were counted), so it is never unloaded.
    _library: std::mem::ManuallyDrop<Library>,
}

impl EngineLibrary {
    /// Loads the library and turns its signal handlers off.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        // SAFETY: loading runs the library's constructors. The file is the pinned, checksummed build that
        // `deploy/parts/clickhouse-engine` fetched; its constructors were measured to leave signals, locale and working
        // directory alone.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?;
        let handle = library.into_raw();
        // SAFETY: the handle was just given and stays open; apart from its constructors nothing of the library ran yet.
        unsafe { refusals::end_at_refusals(handle) }.map_err(anyhow::Error::msg)?;
        // SAFETY: the handle is the one from above, and nobody else owns it.
        let library = unsafe { Library::from_raw(handle) };
        // SAFETY: name and signature are those of this version's C header: `void chdb_set_signal_handlers_enabled(int)`
        // and `chdb_result * chdb_query_cmdline(int argc, char ** argv)`.
        let (set_handlers, query_cmdline) = unsafe {
            (
                *library.get::<SetSignalHandlersEnabled>(b"chdb_set_signal_handlers_enabled\0")?,
                *library.get::<QueryCmdline>(b"chdb_query_cmdline\0")?,
            )
        };
        // SAFETY: takes a flag by value and has no precondition other than coming before the first run.
        unsafe { set_handlers(0) };
        Ok(Self { query_cmdline, _library: std::mem::ManuallyDrop::new(library) })
    }

    /// Runs the engine until it ends. The result object tells nothing (its error stays empty even when a port is
    /// taken), so it is neither read nor freed: the process ends next.
    pub(super) fn run(self, arguments: &[CString]) {
        let mut pointers: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).expect("a dozen arguments");
        pointers.push(std::ptr::null_mut());
        // SAFETY: `pointers` holds `count` NUL-terminated strings and a closing null, as `main` receives them; strings
        // and array live until the call returns. The library does not write to the strings: it copies them first.
        unsafe { (self.query_cmdline)(count, pointers.as_mut_ptr()) };
    }
}

/// Blocks TERM and INT for this thread and every later one, and gives a descriptor that is readable once one came. Has
/// to be called before the first thread is started.
pub(super) fn block_stop_signals() -> std::io::Result<OwnedFd> {
    // SAFETY: `set` is initialised by sigemptyset before any other use, all pointers are to live locals, and the
    // descriptor that signalfd returns belongs to nobody else.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        let error = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        if error != 0 {
            return Err(std::io::Error::from_raw_os_error(error));
        }
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC);
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Sets a variable of the environment. What is set so is not in `/proc/self/environ`, which SQL can read.
pub(super) fn set_variable(name: &str, value: &str) {
    // SAFETY: the child has one thread when it calls this; no other can be reading the environment.
    unsafe { std::env::set_var(name, value) }
}

/// Ends the process at once, without the library's destructors: for an engine that did not stop in time.
pub(super) fn end_at_once(code: c_int) -> ! {
    // SAFETY: ends the process; nothing follows.
    unsafe { libc::_exit(code) }
}
