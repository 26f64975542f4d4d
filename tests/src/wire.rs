//! A packet socket on a machine's device: frames go out byte by byte, and whatever comes in is seen.

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::machine::Machine;

/// `PACKET_IGNORE_OUTGOING` (`linux/if_packet.h`), which libc lacks; Linux 4.20.
const IGNORE_OUTGOING: libc::c_int = 23;
const FRAME_BYTES_MAX: usize = 1 << 16;
/// Neighbours, routers and multicast groups finding each other.
const ICMPV6_BACKGROUND: std::ops::RangeInclusive<u8> = 130..=137;
const ICMPV6_GROUPS: u8 = 143;

/// See the module.
pub struct Wire {
    /// Not UDP: the type is borrowed for its calls on a descriptor.
    socket: UdpSocket,
}

impl Wire {
    /// On a device of the machine.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn tap(machine: &Machine, device: &str) -> Result<Self> {
        let index = machine.device_index(device)?;
        let socket = machine.within(|| open(index))?;
        Ok(Self {
            socket: socket.into(),
        })
    }

    /// # Errors
    /// When the device does not take the frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = self.socket.send(frame)?;
        ensure!(sent == frame.len(), "{sent} bytes of a frame");
        Ok(())
    }

    /// Frames of this device that satisfy `wanted`, in the time that passes until there are `count` of
    /// them, at most `limit`.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn receive(
        &self,
        count: usize,
        limit: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        let mut seen = Vec::new();
        let mut buffer = vec![0; FRAME_BYTES_MAX];
        while seen.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv(&mut buffer) {
                Ok(length) if wanted(&buffer[..length]) => seen.push(buffer[..length].to_vec()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(seen)
    }
}

/// Whether an Ethernet frame is no answer to anything: neighbours looking for each other, or WireGuard
/// (UDP from this port).
pub fn is_background(frame: &[u8], wireguard_port: u16) -> bool {
    let port = wireguard_port.to_be_bytes();
    match frame.get(12..).unwrap_or_default() {
        [0x08, 0x06, ..] => true,
        [0x08, 0x00, ip @ ..] => ip.get(9) == Some(&17) && ip.get(20..22) == Some(&port),
        [0x86, 0xdd, ip @ ..] => match ip.get(6) {
            Some(17) => ip.get(40..42) == Some(&port),
            Some(58) => is_neighbours(ip.get(40)),
            // A hop-by-hop header before a report of multicast groups.
            Some(0) if ip.get(40) == Some(&58) => is_neighbours(ip.get(48)),
            _ => false,
        },
        _ => false,
    }
}

fn is_neighbours(kind: Option<&u8>) -> bool {
    kind.is_some_and(|kind| ICMPV6_BACKGROUND.contains(kind) || *kind == ICMPV6_GROUPS)
}

fn open(index: u32) -> io::Result<OwnedFd> {
    let every = (libc::ETH_P_ALL as u16).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: plain numbers in, a new descriptor or -1 out.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let on: libc::c_int = 1;
    // SAFETY: the option is a number of this size, read during the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            IGNORE_OUTGOING,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all-zero bytes are a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every;
    address.sll_ifindex = index as libc::c_int;
    // SAFETY: the address has this size, and is read during the call.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}
