//! Netlink: the kernel's lists of links and addresses, and word of their changes (rtnetlink(7)); and lists of
//! what has a generic family (`netlink/generic.rs`). It speaks of the network namespace in which its sockets
//! are opened.

pub(super) mod generic;
mod watch;

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    socket,
};

pub use watch::LinkWatch;

/// Room for a message; the kernel sends dumps in pieces of at most 32 KiB.
const RECEIVE_BYTES: usize = 64 << 10;
/// A list that changed while it was sent is asked for again, this often.
const DUMP_TRIES: usize = 3;
/// `struct nlmsghdr`, and `struct nlattr`.
const MESSAGE_HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Messages and attributes begin at multiples of this.
const ALIGNMENT: usize = 4;

const DONE: u16 = libc::NLMSG_DONE as u16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;

/// Asks for a whole list and returns what `parse` makes of each message's body. `kind` is an `RTM_GET…`,
/// `body` its header and attributes.
///
/// # Errors
/// When the kernel refuses, or the list changes faster than it can be read.
pub(super) fn dump<T>(
    kind: u16,
    body: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    dump_of(SockProtocol::NetlinkRoute, kind, body, parse)
}

fn dump_of<T>(
    protocol: SockProtocol,
    kind: u16,
    body: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    for _ in 0..DUMP_TRIES {
        if let Some(list) = dump_once(protocol, kind, body, &parse)? {
            return Ok(list);
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// `None` when the list changed meanwhile.
fn dump_once<T>(
    protocol: SockProtocol,
    kind: u16,
    body: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<Vec<T>>> {
    let socket = open(protocol, 0, SockFlag::empty())?;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let length = (MESSAGE_HEADER_BYTES + body.len()) as u32;
    let mut request = Vec::with_capacity(length as usize);
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&flags.to_ne_bytes());
    // Sequence number and sender: one socket asks one thing.
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(body);
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;

    let mut list = Vec::new();
    let mut buffer = vec![0; RECEIVE_BYTES];
    let mut interrupted = false;
    loop {
        // With this flag the length is the message's own.
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC)?;
        let received = (buffer.get(..length)).ok_or(io::ErrorKind::InvalidData)?;
        for message in messages(received) {
            interrupted |= message.flags & INTERRUPTED != 0;
            match message.kind {
                DONE => return Ok((!interrupted).then_some(list)),
                ERROR => {
                    let code = number(message.body).map_or(0, u32::cast_signed);
                    return Err(io::Error::from_raw_os_error(-code));
                }
                _ => list.extend(parse(message.body)),
            }
        }
    }
}

/// A socket that hears these groups (`RTMGRP_*`).
fn open(protocol: SockProtocol, groups: u32, flags: SockFlag) -> io::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | flags,
        protocol,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

fn messages(received: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = received;
    std::iter::from_fn(move || {
        let length = number(rest)? as usize;
        let message = Message {
            kind: short(rest.get(4..)?)?,
            flags: short(rest.get(6..)?)?,
            body: rest.get(MESSAGE_HEADER_BYTES..length)?,
        };
        rest = rest
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some(message)
    })
}

/// Kind (without its flags) and value of each attribute.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(short(rest)?);
        let kind = short(rest.get(2..)?)? & libc::NLA_TYPE_MASK as u16;
        let value = rest.get(ATTRIBUTE_HEADER_BYTES..length)?;
        rest = rest
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some((kind, value))
    })
}

/// One attribute, padded for the next.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (ATTRIBUTE_HEADER_BYTES + value.len()) as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}

/// The number in the first four bytes.
pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

/// The number in the first two bytes.
pub(super) fn short(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attributes_end_where_they_stop_making_sense() {
        let mut bytes = attribute(3, b"eth0\0");
        bytes.extend(attribute(43 | 1 << 15, &[1, 2, 3, 4]));
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (43, &[1, 2, 3, 4])]);
        for length in 0..bytes.len() {
            assert!(attributes(&bytes[..length]).count() < 2, "{length}");
        }
        assert_eq!(attributes(&[0; 16]).count(), 0);
        assert_eq!(attributes(&[0xff; 16]).count(), 0);
    }

    #[test]
    fn messages_end_where_they_stop_making_sense() {
        let mut bytes = [20_u32.to_ne_bytes(), [16, 0, 2, 0], [0; 4], [0; 4], [7; 4]].concat();
        bytes.extend_from_within(..);
        let read: Vec<_> = messages(&bytes)
            .map(|one| (one.kind, one.flags, one.body.to_vec()))
            .collect();
        assert_eq!(read, [(16, 2, vec![7; 4]), (16, 2, vec![7; 4])]);
        for length in 0..bytes.len() {
            assert!(messages(&bytes[..length]).count() < 2, "{length}");
        }
        assert_eq!(messages(&[0; 64]).count(), 0);
    }

    #[test]
    fn a_refusal_is_an_error() {
        // No such request.
        let error = dump(u16::MAX - 1, &[0; 16], |_| Some(())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
    }
}
