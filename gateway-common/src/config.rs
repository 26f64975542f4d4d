//! What the programs judge by. The node writes it, the programs read it.

use core::{fmt, net::IpAddr, time::Duration};

use crate::{Address, Network};

/// Most addresses of the endpoint, over both families.
pub const ADDRESSES_MAX: usize = 16;
/// Most networks of the overlay, over both families.
pub const NETWORKS_MAX: usize = 16;
/// A program that began before the other slot became active may still read the old one; it is not written
/// again before this time has passed. Programs run without sleeping, so this is ages.
pub const CONFIG_GRACE: Duration = Duration::from_millis(10);
/// Most ports of the endpoint: one with TLS, one plain, and room for both to be replaced.
pub const PORTS_MAX: usize = 4;

/// The endpoint and the overlay. The empty one (all zero) matches nothing: everything passes.
///
/// Lists in an array instead of maps, because they are short, and a comparison costs a tenth of a lookup.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Config {
    // What every packet asks for comes first, in one cache line with the first addresses.
    /// As they lie in a packet. Zero is no port, so that empty places match nothing.
    ports: [u16; PORTS_MAX],
    addresses_len: u32,
    networks_len: u32,
    /// Lines about drops that each CPU may log per second; 0 is none.
    log_lines_per_second: u32,
    reserved: u32,
    addresses: [Address; ADDRESSES_MAX],
    networks: [Network; NETWORKS_MAX],
}

const _: () = assert!(size_of::<Config>() == 16 * 16 + 16 * 32 + 4 * 2 + 4 * 4);

/// Why there is no such configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// More than [`ADDRESSES_MAX`].
    TooManyAddresses,
    /// More than [`NETWORKS_MAX`].
    TooManyNetworks,
    /// More than [`PORTS_MAX`].
    TooManyPorts,
    /// Port 0 cannot be listened on.
    PortZero,
}

impl Config {
    /// TCP packets to one of `addresses` and `ports` are the endpoint's; only sources within `networks`
    /// may be peers. Drops are not logged.
    ///
    /// # Errors
    /// When a list is longer than the program looks, or a port is 0.
    pub fn new(
        addresses: &[IpAddr],
        ports: &[u16],
        networks: &[Network],
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if addresses.len() > ADDRESSES_MAX {
            return Err(ConfigError::TooManyAddresses);
        }
        for (place, address) in config.addresses.iter_mut().zip(addresses) {
            *place = Address::from(*address);
            config.addresses_len += 1;
        }
        if networks.len() > NETWORKS_MAX {
            return Err(ConfigError::TooManyNetworks);
        }
        for (place, network) in config.networks.iter_mut().zip(networks) {
            *place = *network;
            config.networks_len += 1;
        }
        if ports.len() > PORTS_MAX {
            return Err(ConfigError::TooManyPorts);
        }
        if ports.contains(&0) {
            return Err(ConfigError::PortZero);
        }
        for (place, port) in config.ports.iter_mut().zip(ports) {
            *place = port.to_be();
        }
        Ok(config)
    }

    /// Lets each CPU log so many drops per second.
    #[must_use]
    pub const fn with_log(mut self, lines_per_second: u32) -> Self {
        self.log_lines_per_second = lines_per_second;
        self
    }

    /// Lines about drops that each CPU may log per second.
    #[inline(always)]
    pub const fn log_lines_per_second(&self) -> u32 {
        self.log_lines_per_second
    }

    /// Is it a port of the endpoint? `port` as it lies in the packet.
    #[inline(always)]
    pub const fn has_port(&self, port: u16) -> bool {
        let own = &self.ports;
        port != 0 && (port == own[0] || port == own[1] || port == own[2] || port == own[3])
    }

    /// Is it an address of the endpoint?
    // Counted loops with the length as a way out: the verifier sees that the index stays in the array.
    #[inline(always)]
    pub fn has_address(&self, address: &Address) -> bool {
        for place in 0..ADDRESSES_MAX {
            if place >= self.addresses_len as usize {
                break;
            }
            if self.addresses[place].is(address) {
                return true;
            }
        }
        false
    }

    /// Is it inside the overlay?
    #[inline(always)]
    pub fn has_in_overlay(&self, address: &Address) -> bool {
        for place in 0..NETWORKS_MAX {
            if place >= self.networks_len as usize {
                break;
            }
            if self.networks[place].contains(address) {
                return true;
            }
        }
        false
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyAddresses => write!(f, "more than {ADDRESSES_MAX} endpoint addresses"),
            Self::TooManyNetworks => write!(f, "more than {NETWORKS_MAX} overlay networks"),
            Self::TooManyPorts => write!(f, "more than {PORTS_MAX} endpoint ports"),
            Self::PortZero => write!(f, "port 0"),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use core::net::Ipv4Addr;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn it_knows_what_it_was_given_and_nothing_else() {
        let networks = [Network::new(ip("100.64.0.0"), 16).unwrap()];
        let config =
            Config::new(&[ip("100.64.0.1"), ip("fd00::1")], &[443, 80], &networks).unwrap();
        for (address, expected) in [
            ("100.64.0.1", true),
            ("fd00::1", true),
            ("100.64.0.2", false),
            ("0.0.0.0", false),
            ("::", false),
        ] {
            assert_eq!(
                config.has_address(&ip(address).into()),
                expected,
                "{address}"
            );
        }
        for (port, expected) in [(443, true), (80, true), (444, false), (0, false)] {
            assert_eq!(config.has_port(u16::to_be(port)), expected, "{port}");
        }
        assert!(config.has_in_overlay(&ip("100.64.255.255").into()));
        assert!(!config.has_in_overlay(&ip("100.65.0.0").into()));
    }

    #[test]
    fn the_empty_one_matches_nothing() {
        let config = Config::default();
        for address in ["0.0.0.0", "::", "100.64.0.1"] {
            assert!(!config.has_address(&ip(address).into()), "{address}");
            assert!(!config.has_in_overlay(&ip(address).into()), "{address}");
        }
        assert!(!config.has_port(0));
    }

    #[test]
    fn lists_are_bounded() {
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST); ADDRESSES_MAX + 1];
        let networks = [Network::default(); NETWORKS_MAX + 1];
        assert!(Config::new(&addresses[1..], &[1, 2, 3, 4], &networks[1..]).is_ok());
        for (addresses, ports, networks, expected) in [
            (
                &addresses[..],
                &[][..],
                &[][..],
                ConfigError::TooManyAddresses,
            ),
            (&[], &[1, 2, 3, 4, 5], &[], ConfigError::TooManyPorts),
            (&[], &[], &networks[..], ConfigError::TooManyNetworks),
            (&[], &[443, 0], &[], ConfigError::PortZero),
        ] {
            assert_eq!(Config::new(addresses, ports, networks), Err(expected));
        }
    }
}
