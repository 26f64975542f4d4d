//! What a start would meet on this machine, found out without starting anything.

use std::{net::TcpListener, path::Path};

use nix::{
    net::if_::if_nameindex,
    unistd::{AccessFlags, access},
};

use crate::{
    config::{AdmissionMode, Config, InterfacePattern},
    control_plane::{admission::Admission, identity, listeners},
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
    if let Some(netbird) = &config.identity.netbird {
        let obstacle = identity::netbird_obstacle(netbird);
        notes.extend(obstacle.map(|problem| format!("identity: NetBird: {problem}")));
    }
    if config.admission.mode == AdmissionMode::Required {
        notes.extend(Admission::obstacle(config).map(|problem| problem.to_string()));
    }
    let interfaces = if_nameindex().into_iter().flat_map(|all| {
        let names = all
            .iter()
            .map(|one| one.name().to_string_lossy().into_owned());
        names.collect::<Vec<_>>()
    });
    let include = &config.admission.include;
    notes.extend(
        missing(include, &interfaces.collect::<Vec<_>>()).map(|pattern| {
            format!(
                "admission.include: no interface is called {pattern}; all others are left alone"
            )
        }),
    );
    notes
}

/// A typing mistake here would leave a whole network uncovered.
fn missing<'a>(
    include: &'a [InterfacePattern],
    interfaces: &[String],
) -> impl Iterator<Item = &'a InterfacePattern> {
    let is_missing =
        |pattern: &&InterfacePattern| !interfaces.iter().any(|name| pattern.matches(name));
    include.iter().filter(is_missing)
}

fn existing_parent(path: &Path) -> Option<&Path> {
    path.ancestors().find(|ancestor| ancestor.exists())
}

fn is_writable(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_fits_no_interface_is_found() {
        let include = ["eth*", "ehh0", "l?"].map(|text| text.parse::<InterfacePattern>().unwrap());
        let interfaces = ["lo", "eth7"].map(str::to_owned);
        let found: Vec<_> = missing(&include, &interfaces)
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["ehh0"]);
    }
}
