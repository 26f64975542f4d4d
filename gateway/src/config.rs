//! `Config`: what the operator's TOML file means, resolved: a value that exists is in range and every
//! reference exists. Keys and defaults are in `config/sections.rs`, what must hold between them in
//! `config/check.rs`.

mod check;
mod error;
mod example;
mod pattern;
mod postgresql;
mod reader;
mod sections;
mod tracing;
mod value;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeTable;

pub use error::{ConfigError, Place, Problem};
pub use example::example;
pub use pattern::InterfacePattern;
pub use postgresql::PostgresqlConfig;
use reader::Reader;
pub use tracing::{LogConfig, LogFormat, OtlpConfig, Ratio, TracingConfig};

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A resolved configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub endpoint: EndpointConfig,
    pub overlay: OverlayConfig,
    pub identity: IdentityConfig,
    pub admission: AdmissionConfig,
    pub admin: AdminConfig,
    pub telemetry: TelemetryConfig,
    pub tracing: TracingConfig,
    pub log: LogConfig,
    pub store: StoreConfig,
    pub usage: UsageConfig,
    pub access_log: AccessLogConfig,
    pub limits: LimitsConfig,
    pub catalog: CatalogConfig,
    pub secrets: SecretsConfig,
    pub workers: WorkersConfig,
    pub timeouts: TimeoutsConfig,
}

impl Config {
    /// Reads the file, then the environment over it, and checks everything.
    ///
    /// # Errors
    /// All mistakes at once, with their places.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, check::files)
    }

    /// As [`load`](Self::load), for somebody who may not read the files that it names and does not need
    /// them.
    ///
    /// # Errors
    /// All mistakes at once, with their places.
    pub fn load_alone(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, |_, _| ())
    }

    fn load_with(path: &Path, files: FileCheck) -> Result<Self, ConfigError> {
        let text = read_file(path).map_err(|message| {
            let problem = Problem {
                place: Place::File,
                key: String::new(),
                message,
                help: Some("`--config FILE` names the configuration".to_owned()),
            };
            ConfigError::new(path, "", vec![problem])
        })?;
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::resolve(path, &text, environment, files)
    }

    /// Resolves the text of a file and an environment; `path` is for messages.
    ///
    /// # Errors
    /// All mistakes at once, with their places.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::resolve(path, text, environment, check::files)
    }

    fn resolve(
        path: &Path,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        files: FileCheck,
    ) -> Result<Self, ConfigError> {
        let (document, syntax) = DeTable::parse_recoverable(text);
        if !syntax.is_empty() {
            // What a broken document seems to say is not worth judging.
            let problems = syntax.iter().map(syntax_problem).collect();
            return Err(ConfigError::new(path, text, problems));
        }
        let mut reader = Reader::new(document.get_ref(), environment);
        let config = sections::read(&mut reader);
        check::values(&config, &mut reader);
        files(&config, &mut reader);
        let problems = reader.finish();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::new(path, text, problems))
        }
    }
}

/// Looks at the files that a configuration names.
type FileCheck = fn(&Config, &mut Reader<'_>);

fn read_file(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot read it: {error}"))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot read it: {error}"))
}

fn syntax_problem(error: &toml::de::Error) -> Problem {
    Problem {
        place: error.span().map_or(Place::File, Place::Span),
        key: String::new(),
        message: error.message().to_owned(),
        help: None,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The endpoint's generated name is `adjective-noun.<domain>`.
    pub domain: String,
    /// Claims this host name; otherwise one is generated when the first provider is connected.
    pub name: Option<String>,
    pub tls: EndpointTls,
    /// TLS port; 443 by default.
    pub port: u16,
    /// Also serve plain HTTP inside the tunnel on this port.
    pub plain_port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointTls {
    /// A CA made at the first start, kept in the store; it issues the endpoint's certificate.
    InternalCa,
    /// PEM files, read again when they change.
    Files { certificate: PathBuf, key: PathBuf },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayConfig {
    /// The overlay's device (`wt0`); listeners are bound to it.
    pub interface: String,
    /// Addresses to listen on; empty means every address of the device.
    pub addresses: Vec<IpAddr>,
}

/// Where peers and groups come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Never empty, and none twice.
    pub sources: Vec<IdentitySource>,
    /// There when `sources` has it.
    pub netbird: Option<NetbirdConfig>,
}

impl IdentityConfig {
    pub fn has(&self, source: IdentitySource) -> bool {
        self.sources.contains(&source)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentitySource {
    /// `keyway peers` and the management API.
    Static,
    /// NetBird's management API.
    Netbird,
    /// The overlay's device: which key has which address.
    Wireguard,
}

/// NetBird's management API, and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetbirdConfig {
    /// `https://`, or `http://` to an address of this machine; without a trailing slash.
    pub url: String,
    pub token: TokenSource,
    /// PEM bundle to trust in place of the system's roots.
    pub ca: Option<PathBuf>,
    /// Between two readings.
    pub refresh: Duration,
    /// How long what was read last holds while nothing newer can be had.
    pub max_age: Duration,
    /// One answer, from the connection to its last byte.
    pub timeout: Duration,
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    File(PathBuf),
    /// A systemd credential of this name, in `$CREDENTIALS_DIRECTORY`.
    SystemdCredential(String),
    /// A variable of the environment.
    Environment(String),
}

/// The kernel program in front of the listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionConfig {
    pub mode: AdmissionMode,
    /// Networks that peers' addresses lie in; empty means those of the overlay device's addresses.
    pub networks: Vec<OverlayNetwork>,
    /// Outer interfaces that are covered; empty means all.
    pub include: Vec<InterfacePattern>,
    /// Outer interfaces that are not, although `include` has them.
    pub exclude: Vec<InterfacePattern>,
    /// What may be used on an outer interface, the first that works first; never empty.
    pub hooks: Vec<AdmissionHook>,
    /// Dropped packets that each processor may log per second; 0 is none.
    pub log_drops: u32,
    /// Directory in a bpffs where maps and links outlive the process; `None`: everything goes with it.
    pub pins: Option<PathBuf>,
    pub keeper: Keeper,
    /// The service's, which may open the maps that a unit of its own pins.
    pub group: String,
    /// What that unit covers, as it tells the node.
    pub state: PathBuf,
}

impl AdmissionConfig {
    /// Whether an outer interface of this name is to be covered.
    pub fn covers(&self, name: &str) -> bool {
        let is_listed =
            |patterns: &[InterfacePattern]| patterns.iter().any(|pattern| pattern.matches(name));
        (self.include.is_empty() || is_listed(&self.include)) && !is_listed(&self.exclude)
    }
}

/// A place where the kernel runs a program on incoming packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionHook {
    /// XDP in the driver.
    Native,
    /// XDP in the kernel's network stack.
    Generic,
    /// Traffic control, behind XDP.
    Tc,
}

/// Who loads and attaches the kernel program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// The node, with the capabilities for it.
    Node,
    /// `keyway admission attach`, so that the node needs none.
    Unit,
}

/// An address and the length of its prefix, which is not longer than the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OverlayNetwork {
    pub address: IpAddr,
    pub prefix: u8,
}

/// Whether the kernel program must stand in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdmissionMode {
    Required,
    Preferred,
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Unix socket of the management API; root and the service's user need no token there.
    pub socket: PathBuf,
    /// TCP address of the management API; callers need a token.
    pub listen: Option<SocketAddr>,
    /// Port of the management API on the overlay's addresses.
    pub overlay_port: Option<u16>,
    /// Id or name of the group whose members administer the node there.
    pub overlay_group: Option<String>,
    /// Changes stay in the audit log for so long.
    pub audit_days: usize,
    /// Most of them.
    pub audit_entries: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// `/metrics`, `/healthz`, `/readyz`.
    pub listen: Option<SocketAddr>,
    /// Most peers with series of their own in `/metrics`; 0: none has.
    pub peers_limit: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Directory of the embedded store.
    pub path: PathBuf,
    /// Writes are refused below this much free space.
    pub free_bytes_min: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageConfig {
    /// Directory of the spool and the index.
    pub path: PathBuf,
    /// A record is handed to the disk at most this long, and a tick, after its exchange ended.
    pub flush_interval: Duration,
    /// Batches that may wait for the disk, per worker.
    pub queue_batches_limit: usize,
    pub when_full: WhenFull,
    /// Where the index is; `None` for a file in `path`.
    pub postgresql: Option<PostgresqlConfig>,
}

/// What happens to new exchanges while the usage log cannot be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// They wait, bounded, and are refused then: every exchange leaves a record.
    #[default]
    Refuse,
    /// They are served; those for whose records there is no room are counted. Limits hold all the same.
    Serve,
}

/// The access log as lines of JSON, beside the usage log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogConfig {
    pub file: Option<PathBuf>,
    pub stdout: bool,
    pub journald: bool,
}

/// What requests are taken to need where they do not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsConfig {
    pub soft: Estimate,
    /// Written into requests without a bound that count into a hard limit.
    pub hard_output_tokens: u64,
}

/// What a soft limit takes a request to need where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    pub output_tokens: u64,
    /// Of its body.
    pub bytes_per_token: u64,
}

/// Files that stand in for the compiled-in ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CatalogConfig {
    /// What can be connected.
    pub file: Option<PathBuf>,
    /// What models cost.
    pub prices: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretsConfig {
    pub master_key: MasterKeySource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// A systemd credential of this name, in `$CREDENTIALS_DIRECTORY`.
    SystemdCredential(String),
    /// 32 bytes, base64; mode 0600; made at the first start.
    File(PathBuf),
    /// A passphrase in a file; the key is derived with Argon2id.
    PassphraseFile(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkersConfig {
    /// One per core by default.
    pub count: usize,
    pub driver: Driver,
    /// Pin each worker to its core.
    pub pin: bool,
    /// Open downstream connections per worker.
    pub connections_limit: usize,
    /// Open downstream connections per peer and worker.
    pub connections_per_peer_limit: usize,
    /// Exchanges in flight per worker.
    pub exchanges_limit: usize,
    /// Request head in bytes, each side.
    pub head_bytes_limit: usize,
    /// One JSON request body.
    pub body_bytes_limit: usize,
    /// All request bodies held by a worker.
    pub held_body_bytes_limit: usize,
}

/// Which monoio driver a worker runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring where it works, else epoll; the choice and its reason are logged.
    Auto,
    IoUring,
    Epoll,
}

/// The one table of time limits. Provider-side ones are the defaults a provider may override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeoutsConfig {
    pub tls_handshake: Duration,
    pub request_head: Duration,
    /// Between two reads of a request body.
    pub request_body_idle: Duration,
    /// A downstream connection without a request.
    pub keep_alive: Duration,
    /// An agent that takes nothing of its answer.
    pub response_write_idle: Duration,
    pub connect: Duration,
    pub first_byte: Duration,
    pub idle: Duration,
    pub total: Option<Duration>,
    /// A pooled upstream connection that is not used.
    pub upstream_keep_alive: Duration,
    /// A pooled upstream connection, used or not, is not reused beyond this age.
    pub upstream_age_max: Duration,
    /// A WebSocket of an agent on which nothing came is asked whether it is still there.
    pub websocket_ping: Duration,
    /// A WebSocket of an agent without a response under way.
    pub websocket_idle: Duration,
    /// A WebSocket of an agent takes no new response beyond this age.
    pub websocket_age_max: Duration,
    /// How long a new exchange may wait for the usage log.
    pub usage_log_wait: Duration,
    pub drain: Duration,
}

#[cfg(test)]
mod tests;
