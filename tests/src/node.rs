//! A real `keyway serve` process on loopback: directories of its own, agents at `127.0.0.x`, and the
//! admin API over its unix socket.

mod setup;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    time::Instant,
};

use crate::{
    agent::Agent,
    machine::Machine,
    standin::{StandIn, Vendor},
    unix_http,
};
pub use setup::{Options, free_port, keyway};

/// Start, stop and every change of state happen within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that has no event to wait for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Models that [`Node::connect`] lists, with prices in dollars per thousand tokens.
const PRICED: [(&str, &str, &str); 7] = [
    ("gpt-4o-mini", "0.00015", "0.0006"),
    ("claude-sonnet-4-6", "0.003", "0.015"),
    ("mistral-small-latest", "0.00015", "0.0006"),
    ("Qwen/Qwen3-8B", "0.0001", "0.0001"),
    ("llama3.2:3b", "0", "0"),
    ("gemini-3.8-flash", "0.00075", "0.00375"),
    ("amazon.nova-lite-v1:0", "0.00006", "0.00024"),
];

/// Models of Google's providers.
const OF_VERTEX: [&str; 3] = ["gemini-3.8-flash", "gemini-embedding-2", "claude-sonnet-5"];
const OF_GEMINI: [&str; 2] = ["gemini-3.8-flash", "gemini-embedding-2"];

/// A running node. Dropping it kills the process; [`Self::stop`] ends it as an operator would.
pub struct Node {
    child: Child,
    directory: TempDir,
    endpoint: SocketAddr,
    plain: Option<SocketAddr>,
    telemetry: SocketAddr,
    host: String,
    options: Options,
}

impl Node {
    /// Starts a node and waits until it is live. It is ready once it has an endpoint, that is after
    /// the first provider.
    ///
    /// # Errors
    /// When it does not come up; the message holds the end of its log.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_at(options, setup::free_ports()?).await
    }

    /// Starts a node whose endpoint has this port.
    ///
    /// # Errors
    /// When it does not come up, for one because the port is taken.
    pub async fn start_with_endpoint_port(port: u16) -> Result<Self> {
        let mut ports = setup::free_ports()?;
        ports.endpoint = port;
        let node = Self::start_at(Options::default(), ports).await?;
        // Listeners open once there is an endpoint.
        node.wait_ready().await?;
        Ok(node)
    }

    async fn start_at(options: Options, ports: setup::Ports) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("keyway-test-").tempdir()?;
        let config = setup::config(directory.path(), &options, &ports);
        std::fs::write(directory.path().join("keyway.toml"), config)?;
        let mut node = Self {
            child: setup::spawn(directory.path(), &options)?,
            endpoint: SocketAddr::new(options.address(), ports.endpoint),
            plain: options
                .plain
                .then(|| SocketAddr::new(options.address(), ports.plain)),
            telemetry: SocketAddr::from(([127, 0, 0, 1], ports.telemetry)),
            host: setup::ENDPOINT_NAME.to_owned(),
            options,
            directory,
        };
        node.wait_live().await?;
        Ok(node)
    }

    /// A ready node with one provider, the peer `alice` at `127.0.0.2` in the group `agents`, and a
    /// policy that lets her reach it.
    ///
    /// # Errors
    /// When any step fails.
    pub async fn with(
        options: Options,
        standin: &StandIn,
        vendor: Vendor,
        key: &str,
    ) -> Result<Self> {
        let node = Self::start(options).await?;
        let provider = node.connect(standin, vendor, key).await?;
        node.add_peer("alice", ALICE, "agents").await?;
        node.add_policy("agents-may", "agents", &provider).await?;
        node.wait_ready().await?;
        Ok(node)
    }

    /// Process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The TLS listener.
    pub fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// The plain HTTP listener, if asked for.
    pub fn plain(&self) -> Option<SocketAddr> {
        self.plain
    }

    /// Where it is scraped.
    pub fn telemetry_address(&self) -> SocketAddr {
        self.telemetry
    }

    /// The endpoint's name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The agent `alice`, who may.
    ///
    /// # Errors
    /// When the node does not export its CA.
    pub async fn alice(&self) -> Result<Agent> {
        self.agent(ALICE).await
    }

    /// An agent at another address.
    ///
    /// # Errors
    /// When the node does not export its CA.
    pub async fn agent(&self, source: IpAddr) -> Result<Agent> {
        let ca = self.cli(&["ca", "export"], "").await?;
        Ok(Agent {
            source: Some(source),
            endpoint: self.endpoint,
            host: self.host.clone(),
            ca_pem: String::from_utf8(ca.stdout)?,
            machine: None,
        })
    }

    /// An agent on another machine.
    ///
    /// # Errors
    /// When the node does not export its CA.
    pub async fn agent_on(&self, machine: &Arc<Machine>, source: IpAddr) -> Result<Agent> {
        let mut agent = self.agent(source).await?;
        agent.machine = Some(Arc::clone(machine));
        Ok(agent)
    }

    /// Runs the command line against this node; it has to succeed.
    ///
    /// # Errors
    /// When it does not.
    pub async fn cli(&self, arguments: &[&str], stdin: &str) -> Result<Output> {
        let output = self.cli_any(arguments, stdin).await?;
        ensure!(
            output.status.success(),
            "keyway {}: {}\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output)
    }

    /// Runs the command line, whatever it says.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn cli_any(&self, arguments: &[&str], stdin: &str) -> Result<Output> {
        let mut child = Command::new(keyway()?)
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // A command that reads nothing may be gone already.
            let _ = input.write_all(stdin.as_bytes()).await;
        }
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        Ok(output.context("the command line hangs")??)
    }

    /// Calls the admin API.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn api(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        unix_http::call_unix(&self.socket(), method, path, body).await
    }

    /// Calls the admin API; it has to succeed.
    ///
    /// # Errors
    /// When it does not; the message holds the answer.
    pub async fn api_ok(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, value) = self.api(method.clone(), path, body).await?;
        ensure!(status.is_success(), "{method} {path}: {status} {value}");
        Ok(value)
    }

    /// Connects a stand-in as its vendor's own catalog entry and returns the provider's id. An empty key
    /// is none.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn connect(&self, standin: &StandIn, vendor: Vendor, key: &str) -> Result<String> {
        let (catalog_id, (model, input, output)) = match vendor {
            Vendor::OpenAi => ("openai_api", PRICED[0]),
            Vendor::Anthropic => ("anthropic_api", PRICED[1]),
            Vendor::Mistral => ("mistral_api", PRICED[2]),
            Vendor::Vllm => ("vllm", PRICED[3]),
            Vendor::Ollama => ("ollama", PRICED[4]),
            Vendor::Gateway(gateway) => bail!("{gateway:?} is connected by its test"),
            Vendor::Bedrock => ("bedrock_api", PRICED[6]),
            Vendor::Vertex => ("vertex_ai_api", PRICED[5]),
            Vendor::Gemini => ("gemini_api", PRICED[5]),
        };
        let price = |text: &str| -> Result<Value> { Ok(serde_json::from_str(text)?) };
        let mut body = json!({
            "provider_id": catalog_id,
            "name": format!("{catalog_id}-{}", standin.address().port()),
            "upstream_url": standin.url(),
            "models": [{
                "id": model,
                "input_per_1k": price(input)?,
                "output_per_1k": price(output)?,
            }],
            "enabled": true,
            "allow_private_addresses": true,
            "ca_pem": standin.ca_pem(),
        });
        if !key.is_empty() {
            body["api_key"] = json!(key);
        }
        // At the catalog's prices.
        let listed = |ids: &[&str]| ids.iter().map(|id| json!({"id": id})).collect::<Value>();
        match vendor {
            Vendor::Vertex => {
                body["api_key"] = json!(standin.service_account());
                body["models"] = listed(&OF_VERTEX);
            }
            Vendor::Gemini => body["models"] = listed(&OF_GEMINI),
            Vendor::OpenAi
            | Vendor::Anthropic
            | Vendor::Bedrock
            | Vendor::Mistral
            | Vendor::Vllm
            | Vendor::Ollama
            | Vendor::Gateway(_) => {}
        }
        self.connect_with(body).await
    }

    /// Connects a provider as the given document says.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn connect_with(&self, body: Value) -> Result<String> {
        let made = self
            .api_ok(Method::POST, "/api/agent-network/providers", Some(&body))
            .await?;
        let id = made.get("id").and_then(Value::as_str);
        Ok(id.context("a provider's id")?.to_owned())
    }

    /// Adds a peer with the command line.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn add_peer(&self, name: &str, address: IpAddr, group: &str) -> Result<()> {
        let (address, email) = (address.to_string(), format!("{name}@example.com"));
        let arguments = [
            "peers",
            "add",
            name,
            "--address",
            &address,
            "--group",
            group,
            "--user-email",
            &email,
        ];
        self.cli(&arguments, "").await.map(drop)
    }

    /// Adds an enabled policy with the command line.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn add_policy(&self, name: &str, group: &str, provider: &str) -> Result<()> {
        let arguments = [
            "policies",
            "add",
            name,
            "--group",
            group,
            "--provider",
            provider,
        ];
        self.cli(&arguments, "").await.map(drop)
    }

    /// Waits until the access log holds at least `count` rows and returns them, newest first.
    ///
    /// # Errors
    /// When it does not within the time limit.
    pub async fn records(&self, count: usize) -> Result<Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = "/api/agent-network/access-logs?page_size=100";
            let page = self.api_ok(Method::GET, path, None).await?;
            let rows = page.get("data").and_then(Value::as_array);
            let rows = rows.context("access-logs has no data")?;
            if rows.len() >= count {
                return Ok(rows.clone());
            }
            ensure!(
                Instant::now() < deadline,
                "{} of {count} records: {page}",
                rows.len()
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// The only record, once it is there.
    ///
    /// # Errors
    /// When there is none in time, or more than one.
    pub async fn only_record(&self) -> Result<Value> {
        let mut rows = self.records(1).await?;
        ensure!(
            rows.len() == 1,
            "one exchange left {} records: {rows:?}",
            rows.len()
        );
        rows.pop().context("one row")
    }

    /// Status of a path on the telemetry listener.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn telemetry(&self, path: &str) -> Result<(StatusCode, String)> {
        let (status, body) =
            unix_http::get_tcp(self.options.machine.as_deref(), self.telemetry, path).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Waits for `/readyz`.
    ///
    /// # Errors
    /// When the node does not become ready.
    pub async fn wait_ready(&self) -> Result<()> {
        self.wait_telemetry("/readyz", StatusCode::OK).await
    }

    /// Waits until a telemetry path answers with `status`.
    ///
    /// # Errors
    /// When it does not within the time limit.
    pub async fn wait_telemetry(&self, path: &str, status: StatusCode) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.telemetry(path).await;
            if answer.as_ref().is_ok_and(|(got, _)| *got == status) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{path} is not {status} but {answer:?}\n{}", self.log_tail());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: libc::c_int) -> Result<()> {
        let pid = self.pid().context("the node is gone")?;
        // SAFETY: `kill` takes plain numbers; the child is not reaped yet, so the id is still its own.
        let sent = unsafe { libc::kill(libc::pid_t::try_from(pid)?, signal) };
        ensure!(sent == 0, "kill: {}", std::io::Error::last_os_error());
        Ok(())
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_exit(&mut self) -> Result<ExitStatus> {
        let waited = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        Ok(waited.with_context(|| format!("the node does not end\n{}", self.log_tail()))??)
    }

    /// SIGTERM, and the exit has to be clean.
    ///
    /// # Errors
    /// When it is not.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(libc::SIGTERM)?;
        let status = self.wait_exit().await?;
        ensure!(
            status.success(),
            "the node ended with {status}\n{}",
            self.log_tail()
        );
        Ok(())
    }

    /// Ends it cleanly and starts it again on the same directories.
    ///
    /// # Errors
    /// When either fails.
    pub async fn restart(mut self) -> Result<Self> {
        self.signal(libc::SIGTERM)?;
        let status = self.wait_exit().await?;
        ensure!(
            status.success(),
            "the node ended with {status}\n{}",
            self.log_tail()
        );
        self.again().await
    }

    /// Kills it and starts it again on the same directories.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn kill_and_restart(mut self) -> Result<Self> {
        self.child.kill().await?;
        self.again().await
    }

    /// Starts it again on the same directories, after it ended.
    ///
    /// # Errors
    /// When it does not come up again.
    pub async fn again(mut self) -> Result<Self> {
        self.child = setup::spawn(self.directory.path(), &self.options)?;
        self.wait_live().await?;
        Ok(self)
    }

    /// What the node logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("node.log")).unwrap_or_default()
    }

    /// Waits until a part of a log line is there. Lines that are there already count.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn wait_log(&self, part: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(part) {
            ensure!(
                Instant::now() < deadline,
                "{part:?} is not logged\n{}",
                self.log_tail()
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits until `/readyz` says 503 and gives this reason, or a longer one.
    ///
    /// # Errors
    /// When it does not within the time limit.
    pub async fn wait_unready(&self, reason: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.telemetry("/readyz").await?;
            if status == StatusCode::SERVICE_UNAVAILABLE && body.contains(reason) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "/readyz: {status} {body}, not {reason:?}\n{}",
                    self.log_tail()
                );
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The admin socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("admin.sock")
    }

    async fn wait_live(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the node ended at its start: {status}\n{}", self.log_tail());
            }
            let live = self.telemetry("/healthz").await;
            if live.is_ok_and(|(status, _)| status == StatusCode::OK) && self.socket().exists() {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the node is not live\n{}",
                self.log_tail()
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// The peer of [`Node::with`].
pub const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));
