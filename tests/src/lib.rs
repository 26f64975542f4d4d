//! What whole-node tests stand on: a strict stand-in for the providers that cannot be reached
//! ([`standin`]) and for NetBird ([`netbird`]), a real `keyway serve` process ([`node`]), and an agent that calls it ([`agent`]).

pub mod agent;
pub mod certificate;
pub mod collector;
pub mod frame;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod namespace;
pub mod netbird;
pub mod node;
pub mod postgresql;
pub mod prometheus;
pub mod standin;
pub mod terminal;
mod unix_http;
pub mod wire;
pub mod wireguard;

use std::io::Write as _;

/// Says that a test is skipped, and why. Past the capture of output, so that `cargo xtask test` counts it.
pub fn skip(test: &str, reason: &str) {
    // One write, on lines of its own. Where nobody can be told, nobody counts.
    let _ = std::io::stdout().write_all(format!("\nSKIPPED: {test}, {reason}\n").as_bytes());
}
