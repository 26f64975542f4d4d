//! Why the kernel program is not in front, and what to do about it.

use std::{error::Error, io, path::Path};

/// For the operator: the reason and the remedy in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(String);

const CAPABILITIES: &str = "the process lacks CAP_BPF, CAP_NET_ADMIN or CAP_PERFMON: grant them \
     (AmbientCapabilities= in the unit), or go on without: admission.mode \"preferred\" tries, \"off\" does not";

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Of a failed call on a file; `doing` completes "cannot … FILE".
    pub(super) fn of_file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::of(&format!("{doing} {}", path.display()), error)
    }

    /// Of a failed call to the kernel; `doing` completes "cannot …".
    pub(super) fn of(doing: &str, error: &(dyn Error + 'static)) -> Self {
        let remedy = match errno(error) {
            Some(libc::EPERM | libc::EACCES) => CAPABILITIES,
            Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP) => {
                "the kernel may be too old or built without BPF: Linux 5.15 or later is needed"
            }
            Some(_) | None => "see the reason",
        };
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            let text = deeper.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            cause = deeper.source();
        }
        // The verifier's log may follow, over many lines.
        let reason = reason.lines().next().unwrap_or_default();
        Self(format!("cannot {doing}: {reason} ({remedy})"))
    }
}

/// The system's error number at the bottom of an error.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(code);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_fits_the_reason() {
        for (code, remedy) in [
            (libc::EPERM, "CAP_BPF"),
            (libc::ENOSYS, "5.15"),
            (libc::EBUSY, "see the reason"),
        ] {
            let error = io::Error::from_raw_os_error(code);
            let text = Problem::of("load the programs", &error).to_string();
            assert!(text.starts_with("cannot load the programs: "), "{text}");
            assert!(text.contains(remedy), "{text}");
        }
    }
}
