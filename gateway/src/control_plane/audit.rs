//! The audit log: every change of what operators set, with who made it. An entry is written in the same
//! transaction as its change, so that neither is there alone, and holds the hash of the one before it, so that
//! none can be altered or taken out unseen.
//!
//! `append` writes, `read` answers and verifies, `subject` says what is recorded and what of it is shown.

mod append;
mod read;
mod subject;

use std::net::IpAddr;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    resource::Role,
    store::{Store, StoreError, Transaction},
};
pub use append::commit;
pub use read::{AuditFilter, Verified, entry, page, verify};

/// Keys in the store.
mod key {
    pub(super) const HEAD: &str = "audit/head";
    /// And the sequence in 16 hexadecimal digits.
    pub(super) const ENTRIES: &str = "audit/entries/";
}

/// How long entries stay. One beyond either bound goes when the next one comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub days: usize,
    pub entries: usize,
}

/// Who makes changes, and how long that is remembered: for what changes the store by itself.
#[derive(Debug, Clone, Copy)]
pub struct Recorder<'a> {
    pub author: &'a Author,
    pub retention: Retention,
}

impl Recorder<'_> {
    /// See [`commit`].
    ///
    /// # Errors
    /// As the store's.
    pub async fn commit(
        &self,
        store: &dyn Store,
        transaction: Transaction,
    ) -> Result<bool, StoreError> {
        commit(store, self.retention, self.author, transaction).await
    }
}

/// One change of one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct Entry {
    /// One more than that of the entry before.
    pub id: u64,
    pub time: Timestamp,
    /// `agent_network.<kind>.<create|update|delete>`, as NetBird has it.
    pub event: String,
    pub actor: Author,
    pub target: Target,
    /// What it was: the fields that differ, or all of what is gone. `null` where there was nothing.
    #[schema(value_type = Option<serde_json::Value>, required)]
    pub before: Option<Map<String, Value>>,
    #[schema(value_type = Option<serde_json::Value>, required)]
    pub after: Option<Map<String, Value>>,
    /// Hash of the entry before.
    pub previous: String,
}

/// Who made a change, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditActor)]
pub struct Author {
    /// `uid:<id>`, `token:<id>` or `peer:<id>`.
    pub id: String,
    /// Of the token or peer.
    #[schema(required)]
    pub name: Option<String>,
    #[schema(required)]
    pub role: Option<Role>,
    pub via: Via,
    /// `null` on the unix socket.
    #[schema(value_type = Option<String>, required)]
    pub address: Option<IpAddr>,
}

/// What a caller is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The user id at the other end of the unix socket.
    Socket,
    Token,
    /// The session of a browser.
    Cookie,
    /// The overlay address of a peer.
    Tunnel,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditTarget)]
pub struct Target {
    pub kind: String,
    /// Empty where there is only one.
    pub id: String,
    pub name: String,
}

/// The two ends of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// Id of the oldest entry that is kept; one more than `last` when there is none.
    first: u64,
    last: u64,
    /// What the oldest entry's `previous` is.
    anchor: String,
    /// Of the newest entry.
    hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            first: 1,
            last: 0,
            anchor: hash(b""),
            hash: hash(b""),
        }
    }
}

fn entry_key(id: u64) -> String {
    format!("{}{id:016x}", key::ENTRIES)
}

/// SHA-256 in hexadecimal.
fn hash(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
