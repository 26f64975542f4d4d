//! The loader's side: these types as keys and values of aya's maps.

use crate::{Address, Config, Counters, PeerFlows};

// SAFETY: each is `repr(C)`, `Copy`, made of integers only, without padding (the tests of each type's file
// compare sizes), and every bit pattern is valid.
unsafe impl aya::Pod for Address {}
// SAFETY: as above.
unsafe impl aya::Pod for Config {}
// SAFETY: as above.
unsafe impl aya::Pod for PeerFlows {}
// SAFETY: as above.
unsafe impl aya::Pod for Counters {}
