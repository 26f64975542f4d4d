//! What a start would meet on this machine, found out without starting anything.

use std::{net::TcpListener, path::Path};

use nix::unistd::{AccessFlags, access};

use crate::{
    config::{AdmissionMode, Config},
    control_plane::{admission::Admission, listeners},
};

/// One line per obstacle, for `keyway check`; none when nothing stands in the way.
pub(super) fn obstacles(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    match listeners::look(&config.overlay.interface) {
        Ok(Some(device)) => notes.extend(
            config
                .overlay
                .addresses
                .iter()
                .filter(|address| !device.addresses.contains(address))
                .map(|address| {
                    format!(
                        "device {} does not have {address}",
                        config.overlay.interface
                    )
                }),
        ),
        Ok(None) => notes.push(format!(
            "there is no device {}; the node waits for it",
            config.overlay.interface
        )),
        Err(error) => notes.push(format!("cannot look at devices: {error}")),
    }
    for (key, listen) in [
        ("admin.listen", config.admin.listen),
        ("telemetry.listen", config.telemetry.listen),
    ] {
        if let Some(Err(error)) = listen.map(TcpListener::bind) {
            notes.push(format!("{key}: {error}"));
        }
    }
    for (key, path) in [
        ("store.path", &config.store.path),
        ("usage.path", &config.usage.path),
    ] {
        if !existing_parent(path).is_some_and(is_writable) {
            notes.push(format!("{key}: {} cannot be written", path.display()));
        }
    }
    if config.admission.mode == AdmissionMode::Required {
        notes.extend(Admission::obstacle(config).map(|problem| problem.to_string()));
    }
    notes
}

fn existing_parent(path: &Path) -> Option<&Path> {
    path.ancestors().find(|ancestor| ancestor.exists())
}

fn is_writable(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}
