//! Where the kernel program takes its place in front of the listeners.

use anyhow::bail;
use tracing::{info, warn};

use crate::config::AdmissionMode;

/// Called before any listener opens, so that no packet reaches one unjudged. This build carries no
/// kernel program; user space admits by itself, and `required` is an error.
pub(super) fn stand_in_front(mode: AdmissionMode) -> anyhow::Result<()> {
    match mode {
        AdmissionMode::Required => bail!(
            "admission.mode is \"required\", and this build has no kernel program to put in front: \
             set it to \"preferred\" or \"off\""
        ),
        AdmissionMode::Preferred => {
            warn!(
                mode = "none",
                "no kernel program is in front: user space admits alone"
            );
        }
        AdmissionMode::Off => info!(
            mode = "off",
            "kernel admission is off: user space admits alone"
        ),
    }
    Ok(())
}
