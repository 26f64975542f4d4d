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
        mman::{
            MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, mprotect, munmap,
        },
        prctl,
        resource::{Resource, setrlimit},
    },
};

use super::arena::Protection;

/// Makes the process undumpable: no core file, and no other process of the same user may attach to it
/// or read its memory. Called once at the start of the service.
///
/// # Errors
/// When the kernel refuses.
pub fn process_hardening() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    Ok(())
}

/// Smallest unit of protection; at most 64 KiB on every architecture of Linux.
pub(super) fn page_bytes() -> usize {
    // SAFETY: only reads a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("every system has a page size")
}

/// Pages of their own, with an inaccessible page on both sides.
pub(super) struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and is not bound to a thread.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps `len` bytes (a multiple of [`page_bytes`]) in the strongest way the system offers. `None`
    /// when there is no memory at all.
    pub(super) fn map(len: usize) -> Option<(Self, Protection)> {
        match Self::map_secret_memory(len) {
            Ok(pages) => Some((pages, Protection::SecretMemory)),
            Err(_not_offered) => Self::map_locked(len).ok(),
        }
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// memfd_secret(2): the pages leave the kernel's own direct map and are locked by nature.
    fn map_secret_memory(len: usize) -> nix::Result<Self> {
        // SAFETY: takes flags and returns a descriptor or -1; no memory is passed.
        let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
        let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just returned this descriptor; nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let outer = Self::with_guards(len)?;
        let file_len = i64::try_from(outer.get()).map_err(|_| Errno::EINVAL)?;
        nix::unistd::ftruncate(&fd, file_len)?;
        // The kernel accepts only shared mappings of secret memory.
        let (access, flags) = (ProtFlags::PROT_NONE, MapFlags::MAP_SHARED);
        // SAFETY: a fresh mapping at an address the kernel chooses touches nothing that exists.
        let outer = unsafe { mmap(None, outer, access, flags, &fd, 0)? };
        Self::between_guards(outer, len)
    }

    /// Ordinary pages: in no dump, and locked if the limit allows.
    fn map_locked(len: usize) -> nix::Result<(Self, Protection)> {
        let outer = Self::with_guards(len)?;
        let (access, flags) = (ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE);
        // SAFETY: a fresh mapping at an address the kernel chooses touches nothing that exists.
        let outer = unsafe { mmap_anonymous(None, outer, access, flags)? };
        let pages = Self::between_guards(outer, len)?;
        let start = pages.start.cast();
        // SAFETY: the range is mapped; the advice changes no content. A kernel built without core dumps
        // may refuse it, and then there is nothing to keep out of.
        let _refused = unsafe { madvise(start, len, MmapAdvise::MADV_DONTDUMP) };
        // SAFETY: the range is mapped.
        let protection = match unsafe { mlock(start, len) } {
            Ok(()) => Protection::Locked,
            Err(errno) => Protection::Unlocked(errno),
        };
        Ok((pages, protection))
    }

    fn with_guards(len: usize) -> nix::Result<NonZeroUsize> {
        NonZeroUsize::new(len + 2 * page_bytes()).ok_or(Errno::EINVAL)
    }

    /// Opens the middle of a mapping that was made inaccessible as a whole.
    fn between_guards(outer: NonNull<c_void>, len: usize) -> nix::Result<Self> {
        // SAFETY: the mapping is `len` and two pages long.
        let start = unsafe { outer.cast::<u8>().add(page_bytes()) };
        let pages = Self { start, len };
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the range lies in the mapping, which nothing points into yet.
        unsafe { mprotect(start.cast(), len, access)? };
        // SAFETY: the range is mapped; the advice changes no content. If it is refused, a child sees
        // the pages only until it executes another program.
        let _refused = unsafe { madvise(start.cast(), len, MmapAdvise::MADV_DONTFORK) };
        Ok(pages)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping begins one page in front of `start`.
        let outer = unsafe { self.start.sub(page_bytes()) };
        // SAFETY: the whole mapping belongs to this value, and nothing points into it any more.
        // It cannot fail for a range that is mapped.
        let _unmapped = unsafe { munmap(outer.cast::<c_void>(), self.len + 2 * page_bytes()) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_pages_hold_bytes() {
        let (locked, protection) = Pages::map_locked(page_bytes()).unwrap();
        assert_ne!(protection, Protection::SecretMemory);
        let (best, _) = Pages::map(page_bytes()).unwrap();
        for pages in [locked, best] {
            let start = pages.start().as_ptr();
            // SAFETY: the pages are mapped, writable and unshared.
            let bytes = unsafe { std::slice::from_raw_parts_mut(start, page_bytes()) };
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.fill(1);
        }
    }

    #[test]
    fn pages_have_guards() {
        let (pages, _) = Pages::map(page_bytes()).unwrap();
        let (first, last) = (
            pages.start().addr().get(),
            pages.start().addr().get() + page_bytes(),
        );
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let accessible = |address: usize| {
            maps.lines().any(|line| {
                let (range, rest) = line.split_once(' ').unwrap();
                let (start, end) = range.split_once('-').unwrap();
                let parse = |text| usize::from_str_radix(text, 16).unwrap();
                (parse(start)..parse(end)).contains(&address) && rest.starts_with("rw")
            })
        };
        assert!(accessible(first) && accessible(last - 1));
        assert!(!accessible(first - 1) && !accessible(last));
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
