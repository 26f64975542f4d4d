//! What the kernel says about a network device.

use std::{collections::BTreeSet, io, net::IpAddr};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    net::if_::{InterfaceFlags, if_nametoindex},
};

/// A device as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Changes when a device is removed and another one takes its name.
    pub index: u32,
    pub up: bool,
    pub addresses: BTreeSet<IpAddr>,
}

/// Looks a device up by name; `None` when there is none.
pub(super) fn look(interface: &str) -> io::Result<Option<Device>> {
    let index = match if_nametoindex(interface) {
        Ok(index) => index,
        Err(Errno::ENODEV) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut device = Device {
        index,
        up: false,
        addresses: BTreeSet::new(),
    };
    for entry in getifaddrs()?.filter(|entry| entry.interface_name == interface) {
        device.up |= entry.flags.contains(InterfaceFlags::IFF_UP);
        let Some(address) = entry.address else {
            continue;
        };
        if let Some(v4) = address.as_sockaddr_in() {
            device.addresses.insert(IpAddr::V4(v4.ip()));
        } else if let Some(v6) = address.as_sockaddr_in6() {
            device.addresses.insert(IpAddr::V6(v6.ip()));
        }
    }
    Ok(Some(device))
}
