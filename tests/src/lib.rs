//! What whole-node tests stand on: a strict stand-in for the providers that cannot be reached
//! ([`standin`]), a real `keyway serve` process ([`node`]), and an agent that calls it ([`agent`]).

pub mod agent;
pub mod certificate;
pub mod frame;
pub mod kernel;
pub mod memory;
pub mod namespace;
pub mod node;
pub mod standin;
mod unix_http;
