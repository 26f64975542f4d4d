//! Keeps state and serves everything but traffic, on one small tokio runtime. Running streams never
//! wait for anything in here.

pub mod resource;
pub mod store;

mod backoff;
mod semantics;
mod server;
mod token;

pub mod ca;
pub mod catalog;
pub mod diagnosis;
pub mod discovery;
pub mod explain;
pub mod identity;
pub mod ledger;
pub mod mint;
pub mod outbound;
pub mod redact;
pub mod resolve;
pub mod seal;
pub mod snapshot;

pub mod admission;
pub mod api;
pub mod audit;
pub mod listeners;
pub mod metrics;
pub mod netlink;
pub mod spans;
pub mod telemetry;
pub mod usage;
