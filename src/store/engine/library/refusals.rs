//! A disk that refuses a byte ends the engine.
//!
//! In: the loaded library. Out: its calls of `write`, `pwrite`, `fsync` and `fdatasync` go through this module. Refuses: a library that
//! does not call all four through its table of jumps. Promises: after a failed write to a file, or a failed sync, the process ends at once with
//! [`DISK_REFUSED`], before anything is answered.
//!
//! Why: 26.7.2.1 counts a failed write (`WriteBufferFromFileDescriptorWriteFailed`) and goes on as if it had succeeded. On a disk that
//! became full between its look for room and its write, an insert was answered with OK whose part had fourteen empty files, and merges
//! replaced good parts by empty ones (found by the fault suite's `engine-disk-full`; in a race made for it 1,157 inserts
//! were answered with OK beside 781 failed writes). What a
//! part lacks shows at the next start, which sets it aside; while the engine runs, every question about the table fails, or worse, does not.
//! An engine that is killed is something the rest of Leadtrail is made for: nothing that was not answered counts.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{off_t, size_t, ssize_t};

/// The exit code of an engine whose disk refused a write: EX_IOERR of `sysexits.h`.
pub const DISK_REFUSED: i32 = 74;

/// `R_X86_64_JUMP_SLOT` or `R_AARCH64_JUMP_SLOT` of the processor's ELF supplement.
const JUMP_SLOT: u32 = if cfg!(target_arch = "x86_64") { 7 } else { 1026 };

/// `DT_*` of `elf.h`.
const END: i64 = 0;
const JUMPS_BYTES: i64 = 2;
const STRINGS: i64 = 5;
const SYMBOLS: i64 = 6;
const JUMPS: i64 = 23;

/// `struct link_map` of `link.h`, as far as it is public.
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
    dynamic: *const Dynamic,
}

/// `Elf64_Dyn`.
#[repr(C)]
struct Dynamic {
    tag: i64,
    value: usize,
}

/// `Elf64_Rela`.
#[repr(C)]
struct Jump {
    slot: usize,
    info: u64,
    _addend: i64,
}

/// `Elf64_Sym`.
#[repr(C)]
struct Symbol {
    name: u32,
    _rest: [u8; 20],
}

/// What a library calls, and what it is to call instead.
type Detour = (&'static CStr, usize);

/// Leads the library's calls through this module.
///
/// # Errors
/// With the name of what it does not call through its table.
///
/// # Safety
/// `handle` is what `dlopen` gave for a library of 64 bits that stays loaded, and none of its code runs meanwhile.
pub(super) unsafe fn end_at_refusals(handle: *mut c_void) -> Result<(), String> {
    let detours: [Detour; 4] = [
        (c"write", write_or_end as *const () as usize),
        (c"pwrite", pwrite_or_end as *const () as usize),
        (c"fsync", fsync_or_end as *const () as usize),
        (c"fdatasync", fdatasync_or_end as *const () as usize),
    ];
    for (name, detour) in detours {
        // SAFETY: as promised by the caller.
        if !unsafe { divert(handle, name, detour) } {
            return Err(format!(
                "the engine's library does not call {name:?} in the known way, so a full disk could cost rows unnoticed; \
                 use the version that `deploy/parts/fetch` has"
            ));
        }
    }
    Ok(())
}

/// Writes `detour` over the library's address of `name`; false when it has none.
///
/// # Safety
/// As for [`end_at_refusals`]; `detour` is a function of the same signature.
unsafe fn divert(handle: *mut c_void, name: &CStr, detour: usize) -> bool {
    let mut map: *const LinkMap = std::ptr::null();
    // SAFETY: the handle is live, and this request writes one pointer to a `link_map`, which lives as long as the library. Its dynamic
    // section ends with a zero tag; glibc has made the addresses in it absolute. Tables are read within the bounds that it states, and
    // are aligned as the ELF format wants it. The table of jumps lies outside of what is made read-only after loading, since the library is
    // linked without BIND_NOW; were it not, the engine would end right here, at its start.
    unsafe {
        if libc::dlinfo(handle, libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) != 0 {
            return false;
        }
        let (mut jumps, mut bytes, mut symbols, mut strings) = (0, 0, 0, 0);
        let mut entry = (*map).dynamic;
        while (*entry).tag != END {
            match (*entry).tag {
                JUMPS => jumps = (*entry).value,
                JUMPS_BYTES => bytes = (*entry).value,
                SYMBOLS => symbols = (*entry).value,
                STRINGS => strings = (*entry).value,
                _ => {}
            }
            entry = entry.add(1);
        }
        if jumps == 0 || symbols == 0 || strings == 0 {
            return false;
        }
        let count = bytes / size_of::<Jump>();
        for jump in std::slice::from_raw_parts(jumps as *const Jump, count) {
            let symbol = &*(symbols as *const Symbol).add((jump.info >> 32) as usize);
            let called = CStr::from_ptr((strings as *const c_char).add(symbol.name as usize));
            if jump.info as u32 == JUMP_SLOT && called == name {
                let slot = ((*map).base + jump.slot) as *const AtomicUsize;
                (*slot).store(detour, Ordering::Release);
                return true;
            }
        }
    }
    false
}

unsafe extern "C" fn write_or_end(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the arguments are the library's own.
    let written = unsafe { libc::write(file, bytes, count) };
    if written < 0 {
        end_if_refused(file);
    }
    written
}

unsafe extern "C" fn pwrite_or_end(
    file: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the arguments are the library's own.
    let written = unsafe { libc::pwrite(file, bytes, count, offset) };
    if written < 0 {
        end_if_refused(file);
    }
    written
}

unsafe extern "C" fn fsync_or_end(file: c_int) -> c_int {
    // SAFETY: the argument is the library's own.
    let outcome = unsafe { libc::fsync(file) };
    if outcome != 0 {
        end_if_refused(file);
    }
    outcome
}

unsafe extern "C" fn fdatasync_or_end(file: c_int) -> c_int {
    // SAFETY: the argument is the library's own.
    let outcome = unsafe { libc::fdatasync(file) };
    if outcome != 0 {
        end_if_refused(file);
    }
    outcome
}

/// Ends the process when a file's disk is full, over its quota, broken or gone; `errno` is that of the call before. Pipes, sockets
/// and the terminal have errors of their own, which the library handles.
#[cold]
fn end_if_refused(file: c_int) {
    // SAFETY: `errno` is this thread's; `about` is written by `fstat` before it is read, and only after its success.
    unsafe {
        let refused = *libc::__errno_location();
        if matches!(refused, libc::ENOSPC | libc::EDQUOT | libc::EIO | libc::EFBIG | libc::EROFS) {
            let mut about = std::mem::zeroed::<libc::stat>();
            let is_file = libc::fstat(file, &raw mut about) == 0
                && matches!(about.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR);
            if is_file {
                super::end_at_once(DISK_REFUSED);
            }
        }
        *libc::__errno_location() = refused;
    }
}
