//! Names in the object, at most 15 bytes as the kernel shortens longer ones, and the version of the whole.

/// Grows when a map's layout or the meaning of a value changes; pinned maps of another version are not
/// reused.
pub const ABI_VERSION: u32 = 1;

/// Maps.
pub mod map {
    /// Array of two [`Config`](crate::Config).
    pub const CONFIG: &str = "kw_config";
    /// Array of one `u32`: which of the two holds.
    pub const ACTIVE: &str = "kw_active";
    /// Hash from [`Address`](crate::Address) to [`PeerFlows`](crate::PeerFlows).
    pub const PEERS: &str = "kw_peers";
    /// Per-CPU hash from interface index (`u32`) to [`Counters`](crate::Counters).
    pub const INTERFACES: &str = "kw_interfaces";
    /// Per-CPU array: the log's rate limit. Only the programs use it.
    pub const LOG_BUDGET: &str = "kw_log_budget";
    /// aya-log's ring buffer.
    pub const LOGS: &str = "AYA_LOGS";
}

/// Programs.
pub mod program {
    /// XDP with fragments (Linux 5.18 and later): every interface but the overlay's and loopback.
    pub const OUTER_XDP: &str = "kw_outer_xdp";
    /// The same for kernels that do not know XDP fragments.
    pub const OUTER_XDP_LINEAR: &str = "kw_outer_linear";
    /// TC ingress: the same where XDP is taken or cannot be had.
    pub const OUTER_TC: &str = "kw_outer_tc";
    /// TC ingress of the overlay's device.
    pub const OVERLAY_INGRESS: &str = "kw_overlay_in";
    /// TC egress of the overlay's device.
    pub const OVERLAY_EGRESS: &str = "kw_overlay_out";
}

/// Constants that the loader sets before it loads.
pub mod global {
    /// `u8`: [`Link`](crate::Link) of the interfaces that this copy of the programs is for.
    pub const LINK: &str = "KW_LINK";
}
