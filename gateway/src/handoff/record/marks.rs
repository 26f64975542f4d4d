//! `Marks`: the steps of an exchange in time.

use serde::{Deserialize, Serialize};

/// How far an exchange had come when, in microseconds after the request's first byte; 0 for what it did not
/// reach. With several attempts those of the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Marks {
    /// The request was read, as far as it is before it is sent: a streamed body follows later.
    pub received_us: u64,
    /// Policy permits it, and its limits have set aside what it may use.
    pub reserved_us: u64,
    /// All of it was sent to the provider.
    pub sent_us: u64,
    /// The head of the provider's answer was there.
    pub first_byte_us: u64,
}
