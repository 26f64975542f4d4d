//! A program attached to an interface.

use aya::programs::{tc::SchedClassifierLink, xdp::XdpLink};
use serde::{Deserialize, Serialize};

/// Detaches when dropped.
#[expect(dead_code, reason = "held for what dropping it does")]
pub(super) enum Hook {
    Xdp(XdpLink),
    Tc(SchedClassifierLink),
}

/// How an interface is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookMode {
    /// XDP in the driver.
    Native,
    /// XDP in the kernel's network stack.
    Generic,
    Tc,
    /// Not at all, because the configuration says so.
    Excluded,
    /// Not at all.
    None,
}

impl HookMode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
            Self::Excluded => "excluded",
            Self::None => "none",
        }
    }
}
