//! The batch commands of bpf(2) on the peers' map (Linux 5.6), which aya does not have, and the one that
//! reads an entry and removes it at once (5.14).

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::maps::MapData;
use gateway_common::{Address, PeerFlows};

/// `enum bpf_cmd` (`linux/bpf.h`).
const LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;
const LOOKUP_BATCH: libc::c_long = 24;
const LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;
const UPDATE_BATCH: libc::c_long = 26;

/// Entries per call: 144 KiB of keys and values. A bucket of the map has to fit in whole.
pub(super) const BATCH: usize = 1024;

/// An error number that is the kernel's own (`linux/errno.h`).
const ENOTSUPP: i32 = 524;

/// `union bpf_attr` as commands on one element use it.
#[repr(C)]
struct ElementCommand {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `union bpf_attr` as commands on many elements use it.
#[repr(C)]
struct BatchCommand {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The kernel has no such command, or not for this map.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | ENOTSUPP)
    )
}

/// Adds addresses that are not in the map, at most [`BATCH`], with nothing counted. An address that is
/// there would lose its counts. Returns how many were added, which is less than all with an error.
pub(super) fn insert(map: &MapData, addresses: &[Address]) -> (usize, io::Result<()>) {
    let addresses = &addresses[..addresses.len().min(BATCH)];
    let flows = vec![PeerFlows::default(); addresses.len()];
    let mut command = BatchCommand {
        in_batch: 0,
        out_batch: 0,
        keys: addresses.as_ptr() as u64,
        values: flows.as_ptr() as u64,
        count: addresses.len() as u32,
        map_fd: descriptor(map),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads as many keys and values as there are, of the map's sizes.
    let done = unsafe { call(UPDATE_BATCH, &mut command) };
    match done {
        Ok(()) => (addresses.len(), Ok(())),
        // A kernel that does not know the command leaves the count as it was.
        Err(error) if is_unsupported(&error) => (0, Err(error)),
        Err(error) => (command.count as usize, Err(error)),
    }
}

/// Every entry.
pub(super) fn read(map: &MapData) -> io::Result<Vec<(Address, PeerFlows)>> {
    all(map, LOOKUP_BATCH)
}

/// Removes every entry and returns them: nothing is counted between the two.
pub(super) fn take_all(map: &MapData) -> io::Result<Vec<(Address, PeerFlows)>> {
    all(map, LOOKUP_AND_DELETE_BATCH)
}

fn all(map: &MapData, what: libc::c_long) -> io::Result<Vec<(Address, PeerFlows)>> {
    let mut list = Vec::new();
    let mut keys = vec![Address::default(); BATCH];
    let mut values = vec![PeerFlows::default(); BATCH];
    // Where the next call goes on, in the kernel's own terms; at most as long as a key.
    let mut from = None;
    loop {
        let mut next = Address::default();
        let mut command = BatchCommand {
            in_batch: (from.as_ref()).map_or(0, |from| std::ptr::from_ref::<Address>(from) as u64),
            out_batch: &raw mut next as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: BATCH as u32,
            map_fd: descriptor(map),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel writes at most `count` keys and values of the map's sizes, and a place to go
        // on from that is no longer than a key.
        let done = unsafe { call(what, &mut command) };
        let is_last = match done {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        let count = (command.count as usize).min(BATCH);
        list.extend(
            keys[..count]
                .iter()
                .copied()
                .zip(values[..count].iter().copied()),
        );
        if is_last {
            return Ok(list);
        }
        from = Some(next);
    }
}

/// Removes an entry and returns its last counts: nothing is counted between the two.
pub(super) fn take(map: &MapData, address: &Address) -> io::Result<PeerFlows> {
    let mut flows = PeerFlows::default();
    let mut command = ElementCommand {
        map_fd: descriptor(map),
        padding: 0,
        key: std::ptr::from_ref(address) as u64,
        value: std::ptr::from_mut(&mut flows) as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads a key and writes a value of the map's sizes.
    unsafe { call(LOOKUP_AND_DELETE_ELEM, &mut command) }.map(|()| flows)
}

fn descriptor(map: &MapData) -> u32 {
    map.fd().as_fd().as_raw_fd() as u32
}

/// # Safety
/// `command` is what bpf(2) takes for `what`, and its pointers lead to what it reads and writes.
unsafe fn call<T>(what: libc::c_long, command: &mut T) -> io::Result<()> {
    // SAFETY: the caller's promise; the command lives over the call.
    let done = unsafe { libc::syscall(libc::SYS_bpf, what, &raw mut *command, size_of::<T>()) };
    match done {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
