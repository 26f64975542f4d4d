//! The kernel's side of keeping secrets: memory that is never swapped, dumped or shared, and a process
//! that leaves no core file.

use std::{
    ffi::c_void,
    io,
    num::NonZeroUsize,
    os::fd::{FromRawFd, OwnedFd},
    ptr::NonNull,
};

use nix::{
    errno::Errno,
    sys::{
        mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap},
        prctl,
        resource::{Resource, setrlimit},
    },
};

use super::arena::Protection;

/// Makes the process undumpable: no core file, and no other process of the same user may attach to it
/// or read its memory. Called once at the start of the service.
pub fn process_hardening() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    Ok(())
}

/// Smallest unit of protection.
pub(super) const PAGE_BYTES: usize = 4096;

/// Pages of their own, with an inaccessible page on both sides.
pub(super) struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and is not bound to a thread.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps `len` bytes (a multiple of [`PAGE_BYTES`]) in the strongest way the system offers. `None`
    /// when there is no memory at all.
    pub(super) fn map(len: usize) -> Option<(Self, Protection)> {
        let outer = NonZeroUsize::new(len + 2 * PAGE_BYTES)?;
        // SAFETY: a fresh mapping at an address the kernel chooses touches nothing that exists.
        let reserved = unsafe {
            mmap_anonymous(None, outer, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE).ok()?
        };
        let start = reserved.cast::<u8>();
        // SAFETY: the reservation is `len` and two pages long.
        let start = unsafe { start.add(PAGE_BYTES) };
        let pages = Self { start, len };
        let protection = match map_secret_memory(start, len) {
            Ok(()) => Protection::SecretMemory,
            Err(_not_offered) => map_locked(start, len).ok()?,
        };
        Some((pages, protection))
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `map` reserved one page in front of `start`.
        let reserved = unsafe { self.start.sub(PAGE_BYTES) };
        // SAFETY: the whole reservation belongs to this value, and nothing points into it any more.
        // It cannot fail for a range that is mapped.
        let _unmapped = unsafe { munmap(reserved.cast::<c_void>(), self.len + 2 * PAGE_BYTES) };
    }
}

/// memfd_secret(2): the pages leave the kernel's own direct map and are locked by nature.
fn map_secret_memory(start: NonNull<u8>, len: usize) -> nix::Result<()> {
    // SAFETY: takes flags and returns a descriptor or -1; no memory is passed.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    nix::unistd::ftruncate(&fd, i64::try_from(len).map_err(|_| Errno::EINVAL)?)?;
    let len = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // The kernel accepts only shared mappings of secret memory.
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
    // SAFETY: replaces pages of the caller's own reservation, which nothing points into yet.
    unsafe { mmap(Some(start.addr()), len, access, flags, &fd, 0)? };
    keep_from_children(start.cast(), len.get());
    Ok(())
}

/// Ordinary pages: locked if the limit allows, and in no dump.
fn map_locked(start: NonNull<u8>, len: usize) -> nix::Result<Protection> {
    let size = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
    // SAFETY: replaces pages of the caller's own reservation, which nothing points into yet.
    let start = unsafe { mmap_anonymous(Some(start.addr()), size, access, flags)? };
    keep_from_children(start, len);
    // SAFETY: the range is mapped; the advice changes no content. A kernel built without core dumps may
    // refuse it, and then there is nothing to keep out of.
    let _refused = unsafe { madvise(start, len, MmapAdvise::MADV_DONTDUMP) };
    // SAFETY: the range is mapped.
    match unsafe { mlock(start, len) } {
        Ok(()) => Ok(Protection::Locked),
        Err(errno) => Ok(Protection::Unlocked(errno)),
    }
}

fn keep_from_children(start: NonNull<c_void>, len: usize) {
    // SAFETY: the range is mapped; the advice changes no content. If it is refused, a child sees the
    // pages only until it executes another program.
    let _refused = unsafe { madvise(start, len, MmapAdvise::MADV_DONTFORK) };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_pages_hold_bytes() {
        let (pages, protection) = Pages::map(PAGE_BYTES).unwrap();
        // Ordinary pages over the same range, so that the second way is run on every machine.
        let locked = map_locked(pages.start(), PAGE_BYTES).unwrap();
        assert_ne!(locked, Protection::SecretMemory);
        assert_ne!(protection, Protection::Unlocked(Errno::UnknownErrno));
        // SAFETY: the pages are mapped, writable and unshared.
        let bytes = unsafe { std::slice::from_raw_parts_mut(pages.start().as_ptr(), PAGE_BYTES) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.fill(1);
    }

    /// In a child, because it cannot be undone and hides the process from its own tests.
    #[test]
    fn a_hardened_process_leaves_no_dump() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "secret::sys::tests::hardened_child", "--ignored"])
            .env(CHILD, "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }

    const CHILD: &str = "KEYWAY_TEST_HARDENED_CHILD";

    #[test]
    #[ignore = "run by another test, as its child"]
    fn hardened_child() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        assert!(prctl::get_dumpable().unwrap());
        process_hardening().unwrap();
        assert!(!prctl::get_dumpable().unwrap());
        let limits = nix::sys::resource::getrlimit(Resource::RLIMIT_CORE).unwrap();
        assert_eq!(limits, (0, 0));
        // Secrets can still be made.
        assert_eq!(crate::secret::Secret::copy_of(b"s").expose(), b"s");
    }
}
