//! `Peer`: a machine on the overlay as a source outside the store describes it, and `Denial`: why a
//! machine that is known is not let in.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// See the module. What it stands for (user or machine, display name) is worked out where snapshots are
/// compiled, alike for every source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub id: String,
    pub name: String,
    /// Overlay addresses.
    pub addresses: Vec<IpAddr>,
    /// Owner; a machine has none.
    pub user_id: Option<String>,
    pub user_email: Option<String>,
    /// Group ids.
    pub groups: Vec<String>,
    /// `None`: it is let in.
    pub denial: Option<Denial>,
}

/// Why a peer is a stranger to the data plane and to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// By `keyway peers block`.
    Blocked,
    SourceOff,
    SourceStale,
    OwnerUnknown,
    OwnerBlocked,
    OwnerPending,
    OwnerInactive,
    ApprovalRequired,
    LoginExpired,
    NoAddress,
    AddressShared,
    KeyUnknown,
    NetworksOnly,
}

impl Denial {
    /// In answers of the API and in metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::SourceOff => "source_off",
            Self::SourceStale => "source_stale",
            Self::OwnerUnknown => "owner_unknown",
            Self::OwnerBlocked => "owner_blocked",
            Self::OwnerPending => "owner_pending",
            Self::OwnerInactive => "owner_inactive",
            Self::ApprovalRequired => "approval_required",
            Self::LoginExpired => "login_expired",
            Self::NoAddress => "no_address",
            Self::AddressShared => "address_shared",
            Self::KeyUnknown => "key_unknown",
            Self::NetworksOnly => "networks_only",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked => "it is blocked",
            Self::SourceOff => "identity.source does not name its source",
            Self::SourceStale => "its source was not read for too long",
            Self::OwnerUnknown => "its owner is not among the users",
            Self::OwnerBlocked => "its owner is blocked",
            Self::OwnerPending => "its owner waits for approval",
            Self::OwnerInactive => "its owner is not active",
            Self::ApprovalRequired => "it waits for approval",
            Self::LoginExpired => "its login has expired",
            Self::NoAddress => "it has no overlay address",
            Self::AddressShared => "another peer has its address too",
            Self::KeyUnknown => "the overlay's device does not know its key",
            Self::NetworksOnly => "its key may use whole networks, which name nobody",
        })
    }
}
