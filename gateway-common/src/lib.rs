//! What the kernel programs (`gateway-ebpf`) and the node share: the types that lie in maps, the packet
//! decoder, and the rules from a packet to a reason and from a reason to a verdict.
//!
//! Nothing here knows whether it runs in the kernel or on the host. That is the point: the host tests and
//! fuzzes what the kernel runs, and is the reference for `BPF_PROG_TEST_RUN`.

#![no_std]

mod address;
mod config;
mod decode;
mod flow;
mod judge;
mod names;
mod packet;
mod reason;
#[cfg(feature = "user")]
mod user;

pub use address::{Address, Network, PrefixTooLong};
pub use config::{ADDRESSES_MAX, CONFIG_GRACE, Config, ConfigError, NETWORKS_MAX, PORTS_MAX};
pub use decode::{Datagram, EXTENSION_HEADERS_MAX, Kind, Link, Tcp, VLAN_TAGS_MAX, decode};
pub use flow::{Counter, Counters, Flow, INTERFACES_MAX, PEERS_MAX, PeerFlows, Weight};
pub use judge::{Judgement, judge_egress, judge_ingress, judge_outer};
pub use names::{ABI_VERSION, global, map, program};
pub use packet::Packet;
pub use reason::{REASONS, Reason, Verdict};
