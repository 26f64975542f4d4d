//! XDP programs of others: an interface takes one, so theirs is in our way. It stays.

use aya::programs::loaded_programs;

use super::problem::Problem;

/// No program has this id: something is in the way, but not on the interface itself.
pub(super) const UNKNOWN: u32 = 0;

/// For the operator, where XDP is all that may be used.
pub(super) fn in_the_way(program: u32) -> Problem {
    Problem::new(format!(
        "{} is attached, and is not replaced: detach it, or allow \"tc\" in admission.hooks",
        describe(program)
    ))
}

/// For the operator, where TC is used instead.
pub(super) fn passed_by(program: u32) -> Problem {
    Problem::new(format!("{} is attached; TC is used", describe(program)))
}

/// For the operator, before anything is done.
pub(super) fn found(program: u32) -> String {
    format!("{} is attached, and stays", describe(program))
}

fn describe(program: u32) -> String {
    if program == UNKNOWN {
        return "another XDP program (on a device above or below)".to_owned();
    }
    // Only who may see all programs (CAP_SYS_ADMIN) reads the name.
    let info = loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == program);
    match info.as_ref().and_then(|info| info.name_as_str()) {
        Some(name) if !name.is_empty() => format!("XDP program {program} ({name})"),
        Some(_) | None => format!("XDP program {program}"),
    }
}
