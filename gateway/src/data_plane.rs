//! Moves bytes: one pinned thread per worker, each with its own runtime, sockets, pools and counters.
//! accept → admit → parse → route → policy → inject → upstream → stream (+ meter) → record.

pub mod authority;
pub mod inject;
pub mod policy;
pub mod route;
pub mod worker;
