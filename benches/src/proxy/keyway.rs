//! Keyway with everything on: identity, policy, routing, credential injection, metering, the usage and
//! access log. It is set up by its own command line, as an operator would.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::{Endpoint, HOST, Proxy, Running, Site, child::Child, free_addresses};
use crate::{driver::MODEL, process::Processes};

/// Workers, and what the kernel runs for their rings; all other threads are control plane.
const DATA_THREADS: &[&str] = &["worker-", "iou-wrk-"];

const PROVIDER: &str = "bench";
const GROUP: &str = "agents";
const KEY: &str = "sk-bench-0123456789abcdef0123456789abcdef0123456789";

/// How long one look at the node's model listing may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Keyway {
    program: PathBuf,
}

impl Keyway {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Runs one command against the node and returns what it printed.
    fn operate(&self, config: &Path, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .arg("--config")
            .arg(config)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("keyway {}: {}", arguments.join(" "), error.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// One provider, one peer, one policy; the access log on.
    fn set_up(&self, config: &Path, site: &Site<'_>) -> Result<()> {
        let key_file = site.directory.join("provider.key");
        fs::write(&key_file, KEY)?;
        let key_file = key_file
            .to_str()
            .context("the directory's path is no text")?;
        let url = format!("http://{}", site.upstream);
        self.operate(
            config,
            &[
                "providers",
                "connect",
                "custom",
                "--name",
                PROVIDER,
                "--url",
                &url,
                "--model",
                MODEL,
                "--allow-private=true",
                // The driver answers nothing but what it is to measure.
                "--no-test",
                "--key-file",
                key_file,
            ],
        )?;
        let peer = [
            "peers",
            "add",
            "driver",
            "--address",
            "127.0.0.1",
            "--group",
            GROUP,
        ];
        self.operate(config, &peer)?;
        let policy = [
            "policies",
            "add",
            "all",
            "--group",
            GROUP,
            "--provider",
            PROVIDER,
        ];
        self.operate(config, &policy)?;
        self.operate(config, &["settings", "set", "--log-collection", "true"])?;
        Ok(())
    }
}

impl Proxy for Keyway {
    fn name(&self) -> &'static str {
        crate::report::OURS
    }

    fn version(&self) -> Result<String> {
        let output = Command::new(&self.program)
            .arg("--version")
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn speaks_tls(&self) -> bool {
        true
    }

    fn speaks_websockets(&self) -> bool {
        true
    }

    fn adds_credential(&self) -> bool {
        true
    }

    fn start(&self, site: &Site<'_>) -> Result<Running> {
        let [plain, tls] = free_addresses()?;
        let socket = site.directory.join("admin.sock");
        let config = site.directory.join("keyway.toml");
        fs::write(&config, configuration(site, plain, tls, &socket))?;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&config).arg("serve");
        let mut child = Child::spawn(command, site, &site.directory.join("output"))?;
        child.wait_until("open its admin socket", || socket.exists())?;
        self.set_up(&config, site)
            .with_context(|| child.last_output())?;
        child.wait_until_listening(tls)?;
        child.wait_until("list the model to its agent", || {
            lists_model(plain).unwrap_or(false)
        })?;
        let processes = Processes::tree(child.id(), DATA_THREADS)?;
        if site.proxy.realtime {
            processes.let_nice_threads_be_nice()?;
        }
        Ok(Running {
            endpoint: Endpoint {
                plain,
                plain_events: plain,
                tls: Some(tls),
            },
            processes,
            _child: child,
        })
    }
}

/// One pinned worker, as every proxy here; limits beyond what the cases need, all of whose connections
/// come from one peer. Everything else is the default.
fn configuration(site: &Site<'_>, plain: SocketAddr, tls: SocketAddr, socket: &Path) -> String {
    let directory = site.directory.display();
    let certificate = site.certificate.certificate.display();
    let key = site.certificate.key.display();
    let (plain_port, port) = (plain.port(), tls.port());
    let address = plain.ip();
    let socket = socket.display();
    format!(
        r#"[endpoint]
name = "{HOST}"
port = {port}
plain_port = {plain_port}
tls_certificate = "{certificate}"
tls_key = "{key}"

[overlay]
interface = "lo"
addresses = ["{address}"]

[admission]
mode = "off"

[admin]
listen = "off"
socket = "{socket}"

[telemetry]
listen = "off"

[store]
path = "{directory}/store"

[usage]
path = "{directory}/usage"

[secrets]
master_key_file = "{directory}/master.key"

[workers]
count = 1
pin = true
connections_limit = 16384
connections_per_peer_limit = 16384
"#
    )
}

/// Asks the node itself: the listing shows a model once the agent may use it.
fn lists_model(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LOOK_TIMEOUT))?;
    write!(
        stream,
        "GET /v1/models HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
        Err(e) => return Err(e.into()),
    }
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(answer.contains(MODEL))
}
