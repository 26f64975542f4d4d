//! What the process gives up, and the limits it needs, before it touches a secret.

use anyhow::Context;
use nix::{
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
    unistd::geteuid,
};
use tracing::{info, warn};

use crate::secret::{Protection, process_hardening, protection};

/// Descriptors beside connections: store, logs, listeners, runtimes.
const SPARE_DESCRIPTORS: u64 = 512;

/// No core dumps, no debugger, no new privileges, files for the owner only.
///
/// # Errors
/// When the kernel refuses: a node whose memory can be read must not hold keys.
pub(super) fn harden_process() -> anyhow::Result<()> {
    process_hardening().context("core dumps and debuggers")?;
    prctl::set_no_new_privs().context("PR_SET_NO_NEW_PRIVS")?;
    umask(Mode::from_bits_truncate(0o077));
    if geteuid().is_root() {
        warn!("running as root; the systemd unit runs the node as a user of its own");
    }
    Ok(())
}

/// Makes the first pages for keys and says how they are guarded. Where they cannot be locked the node
/// serves all the same, and a warning says what is missing.
pub(super) fn report_protection() {
    match protection() {
        // The warning is there: it came with the pages.
        Protection::Unlocked(_) => {}
        guarded @ (Protection::SecretMemory | Protection::Locked) => {
            info!(protection = %guarded, "keys are in memory of their own");
        }
    }
}

/// Raises the soft limit on descriptors to the hard one, and says when that is too few. Every exchange
/// may hold one connection on each side.
pub(super) fn raise_descriptor_limit(connections: u64) {
    let needed = connections
        .saturating_mul(2)
        .saturating_add(SPARE_DESCRIPTORS);
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(hard)
    });
    match raised {
        Ok(limit) if limit >= needed => {}
        Ok(limit) => warn!(
            limit,
            needed, "too few descriptors for workers.connections_limit: raise LimitNOFILE="
        ),
        Err(error) => warn!(%error, "cannot raise the limit on descriptors"),
    }
}
