//! What must hold between values, and between values and the machine: no two listeners on one port,
//! each time limit smaller than the one around it, and every file that is named can be read.

use std::{collections::BTreeSet, fs::File, path::Path, time::Duration};

use super::{Config, EndpointTls, InterfacePattern, MasterKeySource, TokenSource, reader::Reader};

/// Longest host name (RFC 1035 2.3.4), and longest label of one.
const HOST_NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Longest device name (`IFNAMSIZ` with its terminator).
const INTERFACE_BYTES_MAX: usize = libc::IFNAMSIZ - 1;

/// Checks that need nothing but the values.
pub(super) fn values(config: &Config, reader: &mut Reader<'_>) {
    names(config, reader);
    ports(config, reader);
    directories(config, reader);
    workers(config, reader);
    timeouts(config, reader);
}

/// Checks that look at the machine: every file that is referred to.
pub(super) fn files(config: &Config, reader: &mut Reader<'_>) {
    if let EndpointTls::Files { certificate, key } = &config.endpoint.tls {
        readable(reader, "endpoint", "tls_certificate", certificate);
        readable(reader, "endpoint", "tls_key", key);
    }
    for (key, path) in [
        ("file", &config.catalog.file),
        ("prices", &config.catalog.prices),
    ] {
        if let Some(path) = path {
            readable(reader, "catalog", key, path);
        }
    }
    if let Some(netbird) = &config.identity.netbird {
        if let Some(ca) = &netbird.ca {
            readable(reader, "identity", "netbird_ca", ca);
        }
        const KEYS: SourceKeys = SourceKeys {
            section: "identity",
            file: "netbird_token_file",
            credential: "netbird_token_credential",
            variable: "netbird_token_env",
        };
        source(reader, &KEYS, &netbird.token);
    }
    if let Some(postgresql) = &config.usage.postgresql {
        const KEYS: SourceKeys = SourceKeys {
            section: "usage",
            file: "postgresql_password_file",
            credential: "postgresql_password_credential",
            variable: "postgresql_password_env",
        };
        if let Some(ca) = &postgresql.ca {
            readable(reader, "usage", "postgresql_ca", ca);
        }
        if let Some(password) = &postgresql.password {
            source(reader, &KEYS, password);
        }
    }
    if let Some(otlp) = &config.tracing.otlp {
        for (key, path) in [("otlp_headers_file", &otlp.headers), ("otlp_ca", &otlp.ca)] {
            if let Some(path) = path {
                readable(reader, "tracing", key, path);
            }
        }
    }
    match &config.secrets.master_key {
        // Made at the first start.
        MasterKeySource::File(path) => {
            if path.exists() {
                readable(reader, "secrets", "master_key_file", path);
            }
        }
        MasterKeySource::PassphraseFile(path) => {
            readable(reader, "secrets", "master_key_passphrase_file", path);
        }
        MasterKeySource::SystemdCredential(name) => {
            credential(reader, "secrets", "master_key_credential", name);
        }
    }
}

/// The keys that say where a secret is.
struct SourceKeys {
    section: &'static str,
    file: &'static str,
    credential: &'static str,
    variable: &'static str,
}

fn source(reader: &mut Reader<'_>, keys: &SourceKeys, source: &TokenSource) {
    match source {
        TokenSource::File(path) => readable(reader, keys.section, keys.file, path),
        TokenSource::SystemdCredential(name) => {
            credential(reader, keys.section, keys.credential, name);
        }
        TokenSource::Environment(name) => {
            if std::env::var_os(name).is_none() {
                reader.refuse(
                    keys.section,
                    keys.variable,
                    format!("{name} is not set"),
                    format!("set it for the node, or use {}", keys.file),
                );
            }
        }
    }
}

fn credential(reader: &mut Reader<'_>, section: &str, key: &str, name: &str) {
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(directory) => readable(reader, section, key, &Path::new(&directory).join(name)),
        None => reader.refuse(
            section,
            key,
            "systemd gave this process no credentials ($CREDENTIALS_DIRECTORY is not set)",
            "start the node by its systemd unit, with LoadCredentialEncrypted= for this name",
        ),
    }
}

fn readable(reader: &mut Reader<'_>, section: &str, key: &str, path: &Path) {
    let opened = File::open(path).and_then(|file| file.metadata());
    match opened {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => reader.refuse(
            section,
            key,
            format!("{} is not a file", path.display()),
            "name a file",
        ),
        Err(error) => reader.refuse(
            section,
            key,
            format!("cannot read {}: {error}", path.display()),
            "check the path, and that the service's user may read it",
        ),
    }
}

fn names(config: &Config, reader: &mut Reader<'_>) {
    for (key, name) in [
        ("domain", Some(&config.endpoint.domain)),
        ("name", config.endpoint.name.as_ref()),
    ] {
        if name.is_some_and(|name| !is_host_name(name)) {
            reader.refuse(
                "endpoint",
                key,
                "is not a host name",
                "use lower-case letters, digits and inner hyphens, in labels of 1 to 63 with dots between",
            );
        }
    }
    let interface = &config.overlay.interface;
    let odd = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    if interface.len() > INTERFACE_BYTES_MAX || interface.contains(odd) {
        reader.refuse(
            "overlay",
            "interface",
            format!("{interface:?} cannot be the name of a device"),
            "use a name that `ip link` shows, of at most 15 bytes",
        );
    }
    let excluded = |pattern: &&InterfacePattern| pattern.matches(interface);
    if let Some(pattern) = config.admission.exclude.iter().find(excluded) {
        reader.refuse(
            "admission",
            "exclude",
            format!(
                "\"{pattern}\" is the overlay's own device {interface}, which is always covered"
            ),
            "name other interfaces, or set admission.mode to \"off\"",
        );
    }
    let mut seen = BTreeSet::new();
    for address in &config.overlay.addresses {
        if address.is_unspecified() || address.is_multicast() {
            reader.refuse(
                "overlay",
                "addresses",
                format!("the node does not listen on {address}"),
                "name addresses of the overlay device, or leave the list empty",
            );
        }
        if !seen.insert(address) {
            reader.refuse(
                "overlay",
                "addresses",
                format!("{address} is listed twice"),
                "list each address once",
            );
        }
    }
}

/// Whether `name` is a lower-case host name.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= HOST_NAME_BYTES_MAX && name.split('.').all(label)
}

fn ports(config: &Config, reader: &mut Reader<'_>) {
    if config.endpoint.plain_port == Some(config.endpoint.port) {
        reader.refuse(
            "endpoint",
            "plain_port",
            "is the same as `endpoint.port`",
            "plain HTTP needs a port of its own",
        );
    }
    let endpoint = [Some(config.endpoint.port), config.endpoint.plain_port];
    if config.admin.overlay_port.is_some() && endpoint.contains(&config.admin.overlay_port) {
        reader.refuse(
            "admin",
            "overlay_port",
            "is a port of the endpoint, on the same addresses",
            "use another port",
        );
    }
    for (section, listen) in [
        ("admin", config.admin.listen),
        ("telemetry", config.telemetry.listen),
    ] {
        let Some(listen) = listen else { continue };
        let covers = |address: &std::net::IpAddr| *address == listen.ip();
        let meets = listen.ip().is_unspecified() || config.overlay.addresses.iter().any(covers);
        if meets && endpoint.contains(&Some(listen.port())) {
            reader.refuse(
                section,
                "listen",
                format!("{listen} takes the endpoint's port on its address"),
                "use another port, or an address that is not on the overlay",
            );
        }
    }
    if let (Some(admin), Some(telemetry)) = (config.admin.listen, config.telemetry.listen) {
        let meets = admin.ip() == telemetry.ip()
            || admin.ip().is_unspecified()
            || telemetry.ip().is_unspecified();
        if meets && admin.port() == telemetry.port() && admin.port() != 0 {
            reader.refuse(
                "telemetry",
                "listen",
                format!("{telemetry} meets `admin.listen` = {admin}"),
                "use another port",
            );
        }
    }
}

fn directories(config: &Config, reader: &mut Reader<'_>) {
    if config.store.path == config.usage.path {
        reader.refuse(
            "usage",
            "path",
            "is the same as `store.path`",
            "give the usage log a directory of its own",
        );
    }
}

fn workers(config: &Config, reader: &mut Reader<'_>) {
    let workers = &config.workers;
    for (key, limit, around, outer) in [
        (
            "connections_per_peer_limit",
            workers.connections_per_peer_limit,
            "connections_limit",
            workers.connections_limit,
        ),
        (
            "body_bytes_limit",
            workers.body_bytes_limit,
            "held_body_bytes_limit",
            workers.held_body_bytes_limit,
        ),
        (
            "head_bytes_limit",
            workers.head_bytes_limit,
            "body_bytes_limit",
            workers.body_bytes_limit,
        ),
    ] {
        if limit > outer {
            reader.refuse(
                "workers",
                key,
                format!("is larger than `workers.{around}`"),
                format!("lower it, or raise `{around}`"),
            );
        }
    }
}

/// Inner limit, outer limit. An inner one that is not smaller could never fire.
const TIMEOUT_HIERARCHY: [(&str, &str); 10] = [
    ("tls_handshake", "request_head"),
    ("request_head", "request_body_idle"),
    ("connect", "first_byte"),
    ("usage_log_wait", "first_byte"),
    ("connect", "total"),
    ("first_byte", "total"),
    ("idle", "total"),
    ("upstream_keep_alive", "upstream_age_max"),
    ("websocket_ping", "websocket_idle"),
    ("websocket_idle", "websocket_age_max"),
];

fn timeouts(config: &Config, reader: &mut Reader<'_>) {
    let timeouts = &config.timeouts;
    let value = |key: &str| -> Option<Duration> {
        match key {
            "tls_handshake" => Some(timeouts.tls_handshake),
            "request_head" => Some(timeouts.request_head),
            "request_body_idle" => Some(timeouts.request_body_idle),
            "connect" => Some(timeouts.connect),
            "first_byte" => Some(timeouts.first_byte),
            "usage_log_wait" => Some(timeouts.usage_log_wait),
            "idle" => Some(timeouts.idle),
            "total" => timeouts.total,
            "upstream_keep_alive" => Some(timeouts.upstream_keep_alive),
            "upstream_age_max" => Some(timeouts.upstream_age_max),
            "websocket_ping" => Some(timeouts.websocket_ping),
            "websocket_idle" => Some(timeouts.websocket_idle),
            "websocket_age_max" => Some(timeouts.websocket_age_max),
            _ => None,
        }
    };
    for (inner, outer) in TIMEOUT_HIERARCHY {
        let (Some(inside), Some(around)) = (value(inner), value(outer)) else {
            continue;
        };
        let judged = |key| !reader.is_refused("timeouts", key);
        if inside < around || !judged(inner) || !judged(outer) {
            continue;
        }
        // Blame the value that was written, not the default it meets.
        let (blamed, other) = if reader.is_given("timeouts", inner) {
            (inner, outer)
        } else {
            (outer, inner)
        };
        reader.refuse(
            "timeouts",
            blamed,
            format!("`{inner}` ({inside:?}) must be smaller than `{outer}` ({around:?})"),
            format!("change `{blamed}` or `{other}`"),
        );
    }
}
