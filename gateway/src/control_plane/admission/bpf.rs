//! The two calls of `bpf(2)` that aya does not offer.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use gateway_common::Address;

/// `BPF_MAP_GET_NEXT_KEY` and `BPF_OBJ_GET` (`linux/bpf.h`).
const GET_NEXT_KEY: libc::c_long = 4;
const OBJECT_GET: libc::c_long = 7;
/// `BPF_F_RDONLY`: through this descriptor the map can only be read.
const READ_ONLY: u32 = 1 << 3;

/// Opens a pinned map for reading; reading permission on its file is enough.
///
/// # Errors
/// The system's.
pub(super) fn open_to_read(path: &Path) -> io::Result<OwnedFd> {
    /// `union bpf_attr` as this command uses it.
    #[repr(C)]
    struct Command {
        path: u64,
        fd: u32,
        flags: u32,
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut command = Command {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: READ_ONLY,
    };
    let fd = call(OBJECT_GET, &mut command)?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The key after `key`, or the first one, of a map whose keys are addresses, whatever its values are.
///
/// # Errors
/// The system's.
pub(super) fn next_address(map: impl AsFd, key: Option<&Address>) -> io::Result<Option<Address>> {
    /// As above.
    #[repr(C)]
    struct Command {
        map_fd: u32,
        padding: u32,
        key: u64,
        next: u64,
        flags: u64,
    }
    let mut next = Address::default();
    let mut command = Command {
        map_fd: map.as_fd().as_raw_fd() as u32,
        padding: 0,
        key: key.map_or(0, |key| std::ptr::from_ref(key) as u64),
        next: std::ptr::from_mut(&mut next) as u64,
        flags: 0,
    };
    match call(GET_NEXT_KEY, &mut command) {
        Ok(_) => Ok(Some(next)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Every pointer in `command` has to be valid for what the kernel reads and writes there.
fn call<T>(number: libc::c_long, command: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the command lives over the call, and its length is its own; what it points to is as the
    // callers above made it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            number,
            std::ptr::from_mut(command),
            size_of::<T>(),
        )
    };
    match done {
        ..0 => Err(io::Error::last_os_error()),
        done => Ok(done),
    }
}
