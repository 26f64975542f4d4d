//! The host's network interfaces, as the kernel lists them for this process's network namespace.

use std::{
    collections::BTreeMap,
    ffi::c_char,
    io,
    net::IpAddr,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use gateway_common::Link;
use nix::{
    ifaddrs::getifaddrs,
    net::if_::{InterfaceFlags, if_nameindex},
    sys::socket::SockaddrStorage,
};

/// `ARPHRD_RAWIP` (`linux/if_arp.h`).
const RAW_IP: u16 = 519;

/// One interface at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    /// `ARPHRD_*` (`linux/if_arp.h`).
    pub(super) kind: u16,
    pub(super) is_loopback: bool,
    pub(super) is_up: bool,
    /// With the lengths of their prefixes.
    pub(super) addresses: Vec<(IpAddr, u8)>,
}

/// All interfaces.
///
/// # Errors
/// When the kernel does not tell.
pub(super) fn list() -> io::Result<Vec<Interface>> {
    let mut interfaces = BTreeMap::new();
    let socket = socket()?;
    for one in &if_nameindex()? {
        let name = one.name().to_string_lossy().into_owned();
        // One that vanished meanwhile is not there.
        let Ok(kind) = kind(&socket, &name) else {
            continue;
        };
        let interface = Interface {
            index: one.index(),
            name: name.clone(),
            kind,
            is_loopback: kind == libc::ARPHRD_LOOPBACK,
            is_up: false,
            addresses: Vec::new(),
        };
        interfaces.insert(name, interface);
    }
    for entry in getifaddrs()? {
        let Some(interface) = interfaces.get_mut(&entry.interface_name) else {
            continue;
        };
        interface.is_up |= entry.flags.contains(InterfaceFlags::IFF_UP);
        if let (Some(address), Some(mask)) = (
            entry.address.as_ref().and_then(ip),
            entry.netmask.as_ref().and_then(ip),
        ) {
            interface.addresses.push((address, prefix(mask)));
        }
    }
    Ok(interfaces.into_values().collect())
}

impl Interface {
    /// What its frames begin with; `None` for a kind whose header the programs cannot read.
    pub(super) fn link(&self) -> Option<Link> {
        match self.kind {
            libc::ARPHRD_ETHER => Some(Link::Ethernet),
            libc::ARPHRD_NONE
            | libc::ARPHRD_PPP
            | RAW_IP
            | libc::ARPHRD_TUNNEL
            | libc::ARPHRD_TUNNEL6
            | libc::ARPHRD_SIT
            | libc::ARPHRD_IPGRE => Some(Link::Ip),
            _ => None,
        }
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|address| IpAddr::V6(address.ip()))
    })
}

fn prefix(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    ones as u8
}

fn socket() -> io::Result<OwnedFd> {
    // SAFETY: plain numbers in, a new descriptor or -1 out.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The hardware type. Not from `/sys/class/net`, which may show another namespace's devices.
fn kind(socket: &OwnedFd, name: &str) -> io::Result<u16> {
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name[..room].iter_mut().zip(name.bytes()) {
        *to = from as c_char;
    }
    // SAFETY: the kernel reads and writes within one `ifreq`.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: this request fills the hardware address.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_listed_as_what_it_is() {
        let interfaces = list().unwrap();
        let lo = interfaces.iter().find(|one| one.name == "lo").unwrap();
        assert!(lo.is_loopback && lo.index > 0);
        assert_eq!(lo.link(), None);
    }

    #[test]
    fn prefixes_are_counted() {
        for (mask, length) in [("255.255.0.0", 16), ("0.0.0.0", 0), ("ffff:ffff::", 32)] {
            assert_eq!(prefix(mask.parse().unwrap()), length, "{mask}");
        }
    }
}
