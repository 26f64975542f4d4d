//! Keyway: a keyless gateway node for fleets of AI agents.
//!
//! Two planes that share no thread: `data_plane` moves bytes (one pinned monoio thread per worker),
//! `control_plane` keeps state (one small tokio runtime). What crosses between them is plain data in
//! `handoff`. What a vendor's wire format means lives in `dialect`, who may do what in `policy`; both planes may
//! read them.

pub mod alloc;
pub mod app;
pub mod config;
pub mod secret;

pub mod dialect;
pub mod handoff;
pub mod policy;

pub mod agent_config;

pub mod control_plane;
pub mod data_plane;

pub mod cli;
