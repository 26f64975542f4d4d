//! What crosses between the planes: `Snapshot` goes down, `ExchangeRecord` and `Counters` come up.
//! Plain data; blind to both planes.

pub mod batch;
pub mod capture;
pub mod command;
pub mod counters;
mod huge;
pub mod ledger;
pub mod objects;
pub mod publish;
pub mod queue;
pub mod reason;
pub mod record;
pub mod snapshot;
pub mod trace;
