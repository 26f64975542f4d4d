//! Moves bytes: one pinned thread per worker, each with its own runtime, sockets, pools and counters.
//! accept → admit → parse → route → policy → inject → upstream → stream (+ meter) → record.

pub mod accept;
pub mod alarm;
pub mod attempt;
pub mod authority;
pub mod body;
pub mod buffer;
pub mod connection;
pub mod date;
pub mod downstream;
pub mod edit;
pub mod exchange;
pub mod failure;
pub mod frame_watch;
pub mod inject;
pub mod io;
pub mod join;
pub mod limits;
pub mod message;
pub mod parse;
pub mod record;
pub mod relay;
pub mod respond;
pub mod settle;
pub mod trace;
pub mod transport;
pub mod upstream;
pub mod websocket;
pub mod worker;

#[cfg(test)]
mod tests;
