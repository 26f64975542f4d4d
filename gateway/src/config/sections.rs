//! Every section of the file: each key with its default, its range and what it means.

mod admission;
mod identity;
mod log;
mod postgresql;
mod tracing;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    AccessLogConfig, AdminConfig, CatalogConfig, Config, Driver, EndpointConfig, EndpointTls,
    Estimate, LimitsConfig, MasterKeySource, OverlayConfig, SecretsConfig, StoreConfig,
    TelemetryConfig, TimeoutsConfig, UsageConfig, WhenFull, WorkersConfig,
    reader::Reader,
    value::{Listen, MaybeDuration, Port, Size},
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// More workers than this is a typing mistake.
const WORKERS_MAX: usize = 1024;

/// Vendors' models write less than this.
const OUTPUT_TOKENS_MAX: usize = 1 << 24;

/// Every peer is three series per scrape.
const PEER_SERIES_MAX: usize = 1000;

/// A hundred years; more is a mistake.
const AUDIT_DAYS_MAX: usize = 36_500;
/// They are read with the store whenever it changes.
const AUDIT_ENTRIES_MAX: usize = 50_000;

/// Reads all sections, in the order in which the example file shows them.
pub(super) fn read(reader: &mut Reader<'_>) -> Config {
    let endpoint = endpoint(reader);
    let overlay = overlay(reader);
    let identity = identity::read(reader);
    Config {
        endpoint,
        overlay,
        identity,
        admission: admission::read(reader),
        admin: admin(reader),
        telemetry: telemetry(reader),
        tracing: tracing::read(reader),
        log: log::read(reader),
        store: store(reader),
        usage: usage(reader),
        access_log: access_log(reader),
        limits: limits(reader),
        catalog: catalog(reader),
        secrets: secrets(reader),
        workers: workers(reader),
        timeouts: timeouts(reader),
    }
}

fn endpoint(reader: &mut Reader<'_>) -> EndpointConfig {
    const SECTION: &str = "endpoint";
    let domain = reader.get(
        SECTION,
        "domain",
        "keyway.internal".to_owned(),
        "The endpoint's generated name is `adjective-noun.<domain>`.",
    );
    let name = reader.get_optional(
        SECTION,
        "name",
        "llm.example.com".to_owned(),
        "Claims this host name; otherwise one is generated with the first provider.",
    );
    let Port(port) = reader.get(SECTION, "port", Port(443), "Agents connect here with TLS.");
    let plain_port = reader.get_optional(
        SECTION,
        "plain_port",
        Port(80),
        "Also serve plain HTTP inside the tunnel on this port.",
    );
    let certificate = reader.get_optional(
        SECTION,
        "tls_certificate",
        PathBuf::from("/etc/keyway/endpoint.pem"),
        "PEM chain and key of the endpoint, read again when they change.\nLeft out, the node's own CA issues the certificate.",
    );
    let key = reader.get_optional(
        SECTION,
        "tls_key",
        PathBuf::from("/etc/keyway/endpoint.key"),
        "",
    );
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => EndpointTls::Files { certificate, key },
        (None, None) => EndpointTls::InternalCa,
        (Some(_), None) => {
            half_given(reader, "tls_certificate", "tls_key");
            EndpointTls::InternalCa
        }
        (None, Some(_)) => {
            half_given(reader, "tls_key", "tls_certificate");
            EndpointTls::InternalCa
        }
    };
    EndpointConfig {
        domain,
        name,
        tls,
        port,
        plain_port: plain_port.map(|Port(port)| port),
    }
}

fn half_given(reader: &mut Reader<'_>, given: &str, missing: &str) {
    // A file that was given and refused has its own mistake already.
    if !reader.is_given("endpoint", missing) {
        reader.refuse(
            "endpoint",
            given,
            format!("goes together with `{missing}`"),
            "give both, or neither for a certificate of the node's own CA",
        );
    }
}

fn overlay(reader: &mut Reader<'_>) -> OverlayConfig {
    const SECTION: &str = "overlay";
    OverlayConfig {
        interface: reader.get(
            SECTION,
            "interface",
            "wt0".to_owned(),
            "The overlay's device: listeners are bound to it.",
        ),
        addresses: reader.get(
            SECTION,
            "addresses",
            Vec::new(),
            "Addresses to listen on; empty means every address of the device.",
        ),
    }
}

fn admin(reader: &mut Reader<'_>) -> AdminConfig {
    const SECTION: &str = "admin";
    let Listen(listen) = reader.get(
        SECTION,
        "listen",
        Listen(Some(SocketAddr::from(([127, 0, 0, 1], 9470)))),
        "TCP address of API and dashboard, or \"off\"; callers need a token.",
    );
    let overlay_port = reader.get_optional(
        SECTION,
        "overlay_port",
        Port(9470),
        "Serves API and dashboard on the overlay's addresses too, bound to its device: the tunnel says who calls.\n\
         Every peer may ask there what it may use (`me/setup`).",
    );
    AdminConfig {
        socket: reader.get(
            SECTION,
            "socket",
            PathBuf::from("/run/keyway/admin.sock"),
            "Unix socket of the management API; root and the service's user need no token there.\n\
             Beside it lies `limits`, what limits have counted: best in memory, as /run is.",
        ),
        listen,
        overlay_port: overlay_port.map(|Port(port)| port),
        overlay_group: reader.get_optional(
            SECTION,
            "overlay_group",
            "keyway-admins".to_owned(),
            "Id or name of the group whose members administer the node there.",
        ),
        audit_days: reader.get_in(
            SECTION,
            "audit_days",
            400,
            1..=AUDIT_DAYS_MAX,
            "Days for which changes are kept in the audit log.",
        ),
        audit_entries: reader.get_in(
            SECTION,
            "audit_entries",
            5_000,
            100..=AUDIT_ENTRIES_MAX,
            "Most entries of the audit log; the oldest go first.",
        ),
    }
}

fn telemetry(reader: &mut Reader<'_>) -> TelemetryConfig {
    const SECTION: &str = "telemetry";
    let Listen(listen) = reader.get(
        SECTION,
        "listen",
        Listen(Some(SocketAddr::from(([127, 0, 0, 1], 9471)))),
        "/metrics, /healthz and /readyz; or \"off\".",
    );
    let peers_limit = reader.get_in(
        SECTION,
        "peers_limit",
        0,
        0..=PEER_SERIES_MAX,
        "Most peers that /metrics shows apart, by id and user; all others are added up as `other`. 0: no peers.",
    );
    TelemetryConfig {
        listen,
        peers_limit,
    }
}

fn store(reader: &mut Reader<'_>) -> StoreConfig {
    const SECTION: &str = "store";
    let path = reader.get(
        SECTION,
        "path",
        PathBuf::from("/var/lib/keyway/store"),
        "Directory of providers, policies, peers and settings.",
    );
    let Size(free_bytes_min) = reader.get_in(
        SECTION,
        "free_bytes_min",
        Size(64 * MIB),
        Size(MIB)..=Size(1024 * GIB),
        "Changes are refused below this much free space.",
    );
    StoreConfig {
        path,
        free_bytes_min,
    }
}

fn usage(reader: &mut Reader<'_>) -> UsageConfig {
    const SECTION: &str = "usage";
    UsageConfig {
        path: reader.get(
            SECTION,
            "path",
            PathBuf::from("/var/lib/keyway/usage"),
            "Directory of the usage and access log.",
        ),
        flush_interval: reader.get_in(
            SECTION,
            "flush_interval",
            Duration::from_millis(50),
            Duration::from_millis(1)..=Duration::from_secs(10),
            "A record is handed to the disk at most this long, and a tick of 50 ms, after its exchange ended.",
        ),
        queue_batches_limit: reader.get_in(
            SECTION,
            "queue_batches_limit",
            256,
            1..=65_536,
            "Batches of records that may wait for the disk, per worker.",
        ),
        when_full: reader.get(
            SECTION,
            "when_full",
            WhenFull::default(),
            "When that many wait: \"refuse\" new exchanges, or \"serve\" them and count the records that are lost.",
        ),
        postgresql: postgresql::read(reader),
    }
}

fn access_log(reader: &mut Reader<'_>) -> AccessLogConfig {
    const SECTION: &str = "access_log";
    AccessLogConfig {
        file: reader.get_optional(
            SECTION,
            "file",
            PathBuf::from("/var/log/keyway/access.log"),
            "Each exchange also as a line of JSON, appended here; SIGHUP opens the file again.",
        ),
        stdout: reader.get(
            SECTION,
            "stdout",
            false,
            "The same on standard output, which under systemd is the journal.",
        ),
        journald: reader.get(
            SECTION,
            "journald",
            false,
            "Each exchange also as an entry of the journal, whose fields are KEYWAY_MODEL, KEYWAY_COST_USD and so on.",
        ),
    }
}

fn limits(reader: &mut Reader<'_>) -> LimitsConfig {
    const SECTION: &str = "limits";
    let soft = Estimate {
        output_tokens: reader.get_in(
            SECTION,
            "soft_output_tokens",
            4096,
            1..=OUTPUT_TOKENS_MAX,
            "Soft limits set this much aside for a request that names no bound on its output.",
        ) as u64,
        bytes_per_token: reader.get_in(
            SECTION,
            "soft_bytes_per_token",
            3,
            1..=16,
            "Soft limits take a request's body to be a token per so many bytes.",
        ) as u64,
    };
    LimitsConfig {
        soft,
        hard_output_tokens: reader.get_in(
            SECTION,
            "hard_output_tokens",
            8192,
            1..=OUTPUT_TOKENS_MAX,
            "The bound that the node writes into a request without one where a hard limit holds.",
        ) as u64,
    }
}

fn catalog(reader: &mut Reader<'_>) -> CatalogConfig {
    const SECTION: &str = "catalog";
    CatalogConfig {
        file: reader.get_optional(
            SECTION,
            "file",
            PathBuf::from("/etc/keyway/catalog.toml"),
            "Replaces the compiled-in catalog of what can be connected (config/catalog.toml shows the form).",
        ),
        prices: reader.get_optional(
            SECTION,
            "prices",
            PathBuf::from("/etc/keyway/prices.toml"),
            "Replaces the compiled-in list prices (config/prices.toml shows the form).",
        ),
    }
}

fn secrets(reader: &mut Reader<'_>) -> SecretsConfig {
    const SECTION: &str = "secrets";
    let file = reader.get_optional(
        SECTION,
        "master_key_file",
        PathBuf::from(MASTER_KEY_FILE),
        "Provider keys are sealed under a master key: one of these three.\nA file with 32 bytes in base64, mode 0600, made at the first start (the default):",
    );
    let credential = reader.get_optional(
        SECTION,
        "master_key_credential",
        "keyway-master-key".to_owned(),
        "A systemd credential of this name (LoadCredentialEncrypted=):",
    );
    let passphrase = reader.get_optional(
        SECTION,
        "master_key_passphrase_file",
        PathBuf::from("/etc/keyway/passphrase"),
        "A file with a passphrase:",
    );
    reader.refuse_more_than_one(
        SECTION,
        [
            "master_key_file",
            "master_key_credential",
            "master_key_passphrase_file",
        ],
        "keep one source of the master key",
    );
    let master_key = match (file, credential, passphrase) {
        (_, Some(name), _) => MasterKeySource::SystemdCredential(name),
        (_, None, Some(path)) => MasterKeySource::PassphraseFile(path),
        (Some(path), None, None) => MasterKeySource::File(path),
        (None, None, None) => MasterKeySource::File(PathBuf::from(MASTER_KEY_FILE)),
    };
    SecretsConfig { master_key }
}

const MASTER_KEY_FILE: &str = "/var/lib/keyway/master.key";

fn workers(reader: &mut Reader<'_>) -> WorkersConfig {
    const SECTION: &str = "workers";
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Optional, so that the example file does not depend on the machine that made it.
    let count = reader.get_optional(SECTION, "count", 4, "One per core when left out.");
    if count.is_some_and(|count| !(1..=WORKERS_MAX).contains(&count)) {
        reader.refuse(
            SECTION,
            "count",
            "is out of range",
            format!("use a number from 1 to {WORKERS_MAX}, or leave it out for one per core"),
        );
    }
    WorkersConfig {
        count: count.unwrap_or(cores),
        driver: reader.get(
            SECTION,
            "driver",
            Driver::Auto,
            "\"io_uring\", \"epoll\", or \"auto\": io_uring where it works.",
        ),
        pin: reader.get(SECTION, "pin", true, "Pin each worker to its core."),
        connections_limit: reader.get_in(
            SECTION,
            "connections_limit",
            16_384,
            1..=1_048_576,
            "Open agent connections per worker.",
        ),
        connections_per_peer_limit: reader.get_in(
            SECTION,
            "connections_per_peer_limit",
            1_024,
            1..=1_048_576,
            "Open connections of one peer per worker.",
        ),
        exchanges_limit: reader.get_in(
            SECTION,
            "exchanges_limit",
            8_192,
            1..=1_048_576,
            "Exchanges in flight per worker.",
        ),
        head_bytes_limit: size(
            reader,
            "head_bytes_limit",
            Size(64 * KIB),
            Size(4 * KIB)..=Size(MIB),
            "Largest head of a request or a response.",
        ),
        body_bytes_limit: size(
            reader,
            "body_bytes_limit",
            Size(32 * MIB),
            Size(64 * KIB)..=Size(GIB),
            "Largest JSON request body.",
        ),
        held_body_bytes_limit: size(
            reader,
            "held_body_bytes_limit",
            Size(256 * MIB),
            Size(64 * KIB)..=Size(64 * GIB),
            "All request bodies that a worker holds.",
        ),
    }
}

fn size(
    reader: &mut Reader<'_>,
    key: &'static str,
    default: Size,
    range: std::ops::RangeInclusive<Size>,
    doc: &'static str,
) -> usize {
    let Size(bytes) = reader.get_in("workers", key, default, range, doc);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn timeouts(reader: &mut Reader<'_>) -> TimeoutsConfig {
    let mut get =
        |key, seconds, doc| reader.get("timeouts", key, Duration::from_secs(seconds), doc);
    let tls_handshake = get("tls_handshake", 5, "Handshake of an agent.");
    let request_head = get(
        "request_head",
        10,
        "From a request's first byte to the end of its head.",
    );
    let request_body_idle = get(
        "request_body_idle",
        30,
        "Between two reads of a request body.",
    );
    let keep_alive = get("keep_alive", 90, "An agent's connection without a request.");
    let response_write_idle = get(
        "response_write_idle",
        60,
        "An agent that takes nothing of its answer.",
    );
    let connect = get("connect", 3, "TCP and TLS handshake with a provider.");
    let first_byte = get(
        "first_byte",
        300,
        "From the request's last byte to the head of the answer.",
    );
    let idle = get("idle", 120, "Between two reads of an answer.");
    let upstream_keep_alive = get(
        "upstream_keep_alive",
        60,
        "An unused connection to a provider.",
    );
    let upstream_age_max = get(
        "upstream_age_max",
        600,
        "A connection to a provider takes no new request beyond this age.",
    );
    let websocket_ping = get(
        "websocket_ping",
        45,
        "A silent WebSocket is asked whether its other side is there.",
    );
    let websocket_idle = get(
        "websocket_idle",
        1200,
        "An agent's WebSocket without a response under way.",
    );
    let websocket_age_max = get(
        "websocket_age_max",
        3600,
        "An agent's WebSocket takes no new response beyond this age.",
    );
    let usage_log_wait = get(
        "usage_log_wait",
        2,
        "A new exchange waits at most this long for the usage log.",
    );
    let drain = get(
        "drain",
        30,
        "At shutdown, what runs may finish within this time.",
    );
    let MaybeDuration(total) = reader.get(
        "timeouts",
        "total",
        MaybeDuration(None),
        "The whole exchange, or \"none\": a stream that moves is left alone.",
    );
    TimeoutsConfig {
        tls_handshake,
        request_head,
        request_body_idle,
        keep_alive,
        response_write_idle,
        connect,
        first_byte,
        idle,
        total,
        upstream_keep_alive,
        upstream_age_max,
        websocket_ping,
        websocket_idle,
        websocket_age_max,
        usage_log_wait,
        drain,
    }
}
