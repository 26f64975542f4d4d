//! What a usage report says of work that the price table does not cover.

use super::Metered;
use crate::handoff::record::{LeftOut, Usage};

/// Usage, and what its price leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) usage: Usage,
    pub(super) left_out: LeftOut,
}

impl Reported {
    /// Replaces the usage that was known.
    pub(super) fn add_to(self, metered: &mut Metered) {
        metered.usage = Some(self.usage);
        metered.left_out.add(self.left_out);
    }
}

/// Tiers at list price. `auto` is only ever asked for; `on_demand` is what some compatible vendors call it.
const STANDARD_TIERS: [&str; 5] = ["", "auto", "default", "standard", "on_demand"];

/// A service tier as it is echoed: flex, priority, batch, and whatever comes next, have other prices.
pub(super) fn service_tier(tier: Option<&str>) -> LeftOut {
    match tier {
        Some(tier) if !STANDARD_TIERS.contains(&tier) => LeftOut::SERVICE_TIER,
        Some(_) | None => LeftOut::default(),
    }
}
