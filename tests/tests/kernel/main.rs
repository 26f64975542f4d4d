//! The kernel's programs against the host's reading of the same packets, by `BPF_PROG_TEST_RUN`: same
//! verdict, same counters. Loading needs root; `cargo xtask test kernel` says so where there is none.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod config;
mod golden;
mod random;
mod reference;
mod split;

use std::net::IpAddr;

use gateway_common::{Config, Link, Network};
use gateway_tests::kernel::Kernel;
use reference::Reference;

/// The endpoint's addresses in every test; its ports are 443 and 8080.
const ENDPOINT: [&str; 2] = ["100.64.0.1", "fd00::1"];
const NETWORKS: [(&str, u8); 2] = [("100.64.0.0", 16), ("fd00::", 64)];
/// The last one is outside the overlay's networks: the map's mistake, which must not matter.
const PEERS: [&str; 4] = ["100.64.0.7", "100.64.200.200", "fd00::7", "192.0.2.7"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn configuration() -> Config {
    let networks = NETWORKS.map(|(address, prefix)| Network::new(ip(address), prefix).unwrap());
    Config::new(&ENDPOINT.map(ip), &[443, 8080], &networks).unwrap()
}

fn kernel(link: Link) -> Kernel {
    let mut kernel = Kernel::load(link).unwrap();
    kernel.configure(configuration()).unwrap();
    for peer in PEERS {
        kernel.add_peer(ip(peer)).unwrap();
    }
    kernel
}

fn reference(link: Link) -> Reference {
    Reference::new(link, configuration(), PEERS.map(ip))
}

/// The programs and their reference, configured alike.
fn both(link: Link) -> (Kernel, Reference) {
    (kernel(link), reference(link))
}

/// Counters and every peer's flows are what the reference has.
fn assert_counted(kernel: &mut Kernel, reference: &Reference) {
    assert_eq!(kernel.counters().unwrap(), reference.counters);
    for peer in PEERS {
        let mut flows = kernel.flows(ip(peer)).unwrap();
        for flow in [&mut flows.ingress, &mut flows.egress] {
            let seen = flow.packets > 0;
            assert_eq!(flow.first_seen_ns > 0, seen, "{peer}");
            assert!(flow.last_seen_ns >= flow.first_seen_ns, "{peer}");
            (flow.first_seen_ns, flow.last_seen_ns) = (0, 0);
        }
        assert_eq!(flows, reference.flows(ip(peer)), "{peer}");
    }
}
