//! The demo: everything an operator and an agent do, once, on this machine, leaving nothing behind.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    Arguments, build,
    keeper::{self, Keeper},
    kernel::{self, Admission},
    overlay::{Overlay, choose},
    portrait,
};
use crate::{
    command::{LOOK_INTERVAL, Service, must, read, wait_until, words},
    interrupt,
};

const START_TIME_MAX: Duration = Duration::from_secs(30);
/// Not 443, which something on this machine may use on all its addresses.
const ENDPOINT_PORT: u16 = 8443;
/// On a machine of the node's own, where nothing else listens.
const ADMIN_PORT: u16 = 9470;
const TELEMETRY_PORT: u16 = 9471;
/// Debian's `nobody`; the node needs no privileges.
const NOBODY: u32 = 65534;
const MODEL: &str = "gpt-4o-mini";

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let packages = [("gateway", "keyway"), ("gateway-tests", "provider-standin")];
    let binaries = build(&packages, arguments.debug_build)?;
    interrupt::catch()?;

    // Dropped in reverse order: the node, the keeper, the provider, the overlay, the directory.
    let place = Place::new(&binaries)?;
    let (kind, missing) = choose(arguments.loopback);
    step("make the demo overlay");
    for thing in &missing {
        println!("  missing: {thing}");
    }
    let overlay = Overlay::up(kind, &place.directory)?;
    println!("  {}", portrait::overlay(&overlay));
    let admin = reachable(&overlay, ADMIN_PORT)?;
    let telemetry = reachable(&overlay, TELEMETRY_PORT)?;

    step("start a demo provider (canned answers, its own key)");
    let key = random_key()?;
    let (_provider, provider_url) = start_provider(&place, &overlay, &key)?;
    println!("  {provider_url}, which only the node's machine can reach");

    let kept = keeper::Places::new(&place.directory);
    let config = place.configure(&overlay, admin, telemetry, &kept)?;
    let keyway = place.directory.join("keyway");
    let mut keeper = None;
    if overlay.outer.is_some() {
        step("start what keeps the kernel program in front of the node");
        match Keeper::start(&overlay, &keyway, &config, &kept) {
            Ok(started) => keeper = Some(started),
            Err(error) => println!("  it cannot: {error:#}"),
        }
        interrupt::check()?;
    }

    step("start the node");
    let mut node = start_node(&place, &overlay, &config, telemetry)?;
    let endpoint = SocketAddr::new(overlay.node, ENDPOINT_PORT);

    step("connect the provider, add the agent's machine as a peer, allow it with a policy");
    let host = connect(&place, &overlay, &provider_url, &key)?;
    wait_until("the node is ready", START_TIME_MAX, || {
        node.must_run()?;
        Ok(http_status(telemetry, "/readyz").is_some_and(|status| status == 200))
    })
    .with_context(|| place.log_tail())?;
    println!("  {}", Admission::ask(place.keyway())?.line());

    step("the agent asks, without a key");
    ask(&place, &overlay, endpoint, &host)?;
    println!("  {}", portrait::record(&newest_record(&place)?));
    must(place.keyway().args(["usage"]))?;

    step("what the kernel counted of that agent");
    counted(&place, &overlay)?;

    step("somebody outside the overlay asks");
    outside(&place, &overlay, endpoint)?;

    if !arguments.once {
        let ca = place.ca().display().to_string();
        portrait::next_steps(&overlay, &place.keyway_words(), endpoint, &host, &ca);
        println!(
            "Look at it in a browser on this machine (the link logs in once, within five minutes):\n\n  {}\n",
            login_link(&place)?
        );
        println!("Ctrl-C ends the demo and removes all of it.");
        while !interrupt::is_set() {
            node.must_run().with_context(|| place.log_tail())?;
            keeper.as_mut().map_or(Ok(()), Keeper::must_run)?;
            std::thread::sleep(LOOK_INTERVAL);
        }
        println!();
    }
    step("remove the demo");
    Ok(())
}

fn step(what: &str) {
    println!("• {what}");
}

/// The demo's directory: binaries that any user can run, state that only the node's can read.
struct Place {
    directory: PathBuf,
}

impl Place {
    fn new(binaries: &Path) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("keyway-demo-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("make {}", directory.display()))?;
        let place = Self { directory };
        fs::set_permissions(&place.directory, fs::Permissions::from_mode(0o755))?;
        fs::create_dir(place.state())?;
        fs::set_permissions(place.state(), fs::Permissions::from_mode(0o700))?;
        if is_root() {
            std::os::unix::fs::chown(place.state(), Some(NOBODY), Some(NOBODY))?;
        }
        for binary in ["keyway", "provider-standin"] {
            fs::copy(binaries.join(binary), place.directory.join(binary))?;
        }
        Ok(place)
    }

    /// Writes the node's configuration.
    fn configure(
        &self,
        overlay: &Overlay,
        admin: SocketAddr,
        telemetry: SocketAddr,
        kept: &keeper::Places,
    ) -> Result<PathBuf> {
        let state = self.state().display().to_string();
        let admission = match overlay.outer {
            Some(_) => kept.section(NOBODY)?,
            // On loopback there is no outside that a program could be in front of.
            None => "mode = \"off\"\n".to_owned(),
        };
        let config = format!(
            "[endpoint]\ndomain = \"keyway.demo\"\nport = {ENDPOINT_PORT}\n\
             [overlay]\ninterface = \"{device}\"\naddresses = [\"{node}\"]\n\
             [admission]\n{admission}\
             [admin]\nlisten = \"{admin}\"\nsocket = \"{state}/admin.sock\"\n\
             [telemetry]\nlisten = \"{telemetry}\"\n\
             [store]\npath = \"{state}/store\"\n\
             [usage]\npath = \"{state}/usage\"\n\
             [secrets]\nmaster_key_file = \"{state}/master.key\"\n",
            device = overlay.device,
            node = overlay.node,
        );
        let file = self.directory.join("keyway.toml");
        fs::write(&file, config)?;
        Ok(file)
    }

    fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    fn socket(&self) -> PathBuf {
        self.state().join("admin.sock")
    }

    fn provider_ca(&self) -> PathBuf {
        self.directory.join("provider-ca.pem")
    }

    fn ca(&self) -> PathBuf {
        self.directory.join("endpoint-ca.pem")
    }

    fn standin(&self) -> PathBuf {
        self.directory.join("provider-standin")
    }

    /// The operator's command line.
    fn keyway(&self) -> Command {
        let mut command = words([self.directory.join("keyway")]);
        command.arg("--socket").arg(self.socket());
        command
    }

    fn keyway_words(&self) -> String {
        let keyway = self.directory.join("keyway");
        format!("{} --socket {}", keyway.display(), self.socket().display())
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.directory.join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!(
            "the node's log ends so:\n{}",
            lines[lines.len().saturating_sub(20)..].join("\n")
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// On the node's machine, as the node and the provider run: as a user without any privilege.
fn unprivileged(overlay: &Overlay, program: &Path) -> Command {
    if overlay.outer.is_none() {
        let mut command = Command::new(program);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        return command;
    }
    let mut command = overlay.on_node(Path::new("setpriv"));
    command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]);
    command.args(["--clear-groups", "--no-new-privs"]);
    for kind in ["inh-caps", "ambient-caps", "bounding-set"] {
        command.arg(format!("--{kind}=-all"));
    }
    command.arg("--").arg(program);
    command
}

/// Where the node listens for this machine.
fn reachable(overlay: &Overlay, port: u16) -> Result<SocketAddr> {
    match &overlay.outer {
        Some(outer) => Ok(SocketAddr::new(outer.node, port)),
        None => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?),
    }
}

/// To the dashboard.
fn login_link(place: &Place) -> Result<String> {
    let made = read(place.keyway().args(["dashboard", "--output", "json"]), "")?;
    let made: Value = serde_json::from_str(&made)?;
    let url = made["url"].as_str();
    Ok(url.context("the dashboard's address")?.to_owned())
}

fn random_key() -> Result<String> {
    let mut bytes = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sk-demo-{hex}"))
}

fn start_provider(place: &Place, overlay: &Overlay, key: &str) -> Result<(Service, String)> {
    // The CA is written by the provider's own user.
    let ca = place.state().join("provider-ca.pem");
    let mut command = unprivileged(overlay, &place.standin());
    command.args(["serve", "--demo", "--vendor", "openai", "--ca-out"]);
    command
        .arg(&ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut provider = Service::start("the demo provider", &mut command)?;
    let mut stdin = provider.child().stdin.take().context("its input")?;
    stdin.write_all(key.as_bytes())?;
    drop(stdin);
    let stdout = provider.child().stdout.take().context("its output")?;
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    let ready: Value = serde_json::from_str(&line).context("the demo provider's first line")?;
    fs::copy(&ca, place.provider_ca())?;
    let url = ready["url"].as_str().context("its URL")?.to_owned();
    Ok((provider, url))
}

fn start_node(
    place: &Place,
    overlay: &Overlay,
    config: &Path,
    telemetry: SocketAddr,
) -> Result<Service> {
    let log = File::create(place.directory.join("node.log"))?;
    let mut command = unprivileged(overlay, &place.directory.join("keyway"));
    command.args(["serve", "--config"]).arg(config);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut node = Service::start("the node", &mut command)?;
    wait_until("the node is up", START_TIME_MAX, || {
        node.must_run()?;
        Ok(place.socket().exists() && http_status(telemetry, "/healthz") == Some(200))
    })
    .with_context(|| place.log_tail())?;
    let user = match is_root() {
        true => "nobody, without any capability",
        false => "you",
    };
    println!("  process {}, as {user}", node.child().id());
    Ok(node)
}

/// What an operator types; returns the endpoint's generated name.
fn connect(place: &Place, overlay: &Overlay, url: &str, key: &str) -> Result<String> {
    let mut command = place.keyway();
    command.args([
        "--output",
        "json",
        "providers",
        "connect",
        "openai_api",
        "--name",
        "demo",
    ]);
    command.args([
        "--url",
        url,
        "--model",
        MODEL,
        "--allow-private=true",
        "--ca-file",
    ]);
    command.arg(place.provider_ca()).arg("--key-stdin");
    let provider: Value = serde_json::from_str(&read(&mut command, key)?)?;
    let provider = provider["id"].as_str().context("the provider's id")?;

    let agent = overlay.agent.to_string();
    let mut command = place.keyway();
    command.args([
        "peers",
        "add",
        "demo-agent",
        "--address",
        &agent,
        "--group",
        "agents",
    ]);
    read(command.args(["--user-email", "ada@example.com"]), "")?;
    let mut command = place.keyway();
    command.args(["policies", "add", "demo-agents", "--group", "agents"]);
    read(command.args(["--provider", provider]), "")?;

    let ca = read(place.keyway().args(["ca", "export"]), "")?;
    fs::write(place.ca(), ca)?;
    let mut command = place.keyway();
    command.args(["--output", "json", "settings", "show"]);
    let settings: Value = serde_json::from_str(&read(&mut command, "")?)?;
    let host = settings["endpoint"]
        .as_str()
        .context("the endpoint's name")?
        .to_owned();
    println!("  the endpoint is called {host}");
    Ok(host)
}

fn ask(place: &Place, overlay: &Overlay, endpoint: SocketAddr, host: &str) -> Result<()> {
    let mut command = overlay.on_agent(&place.standin());
    command.args([
        "agent",
        "--connect",
        &endpoint.to_string(),
        "--host",
        host,
        "--ca-file",
    ]);
    command.arg(place.ca()).args(["--model", MODEL, "--prompt"]);
    command.arg("Who are you, and what did my request carry?");
    command.args(["--source", &overlay.agent.to_string()]);
    println!();
    must(&mut command).with_context(|| place.log_tail())?;
    println!();
    Ok(())
}

/// The access log's newest entry, once it is there.
fn newest_record(place: &Place) -> Result<Value> {
    let mut newest = Value::Null;
    wait_until("the request's record", START_TIME_MAX, || {
        let mut command = place.keyway();
        let log: Value =
            serde_json::from_str(&read(command.args(["--output", "json", "logs"]), "")?)?;
        let rows = log.get("data").unwrap_or(&log);
        newest = rows.get(0).cloned().unwrap_or_default();
        Ok(!newest.is_null())
    })?;
    Ok(newest)
}

/// The kernel's counters of the agent, in both directions.
fn counted(place: &Place, overlay: &Overlay) -> Result<()> {
    if !Admission::ask(place.keyway())?.is_in_front() {
        println!("  nothing: no kernel program is in front");
        return Ok(());
    }
    for line in kernel::peer(place.keyway(), &overlay.agent.to_string())? {
        println!("  {line}");
    }
    Ok(())
}

/// Knocks where no agent of the overlay is, and says what it met.
fn outside(place: &Place, overlay: &Overlay, endpoint: SocketAddr) -> Result<()> {
    let probe = |mut command: Command, to: SocketAddr, from: Option<IpAddr>| {
        command.args(["probe", "--connect", &to.to_string()]);
        if let Some(from) = from {
            command.args(["--source", &from.to_string()]);
        }
        let met = read(&mut command, "")?.trim().to_owned();
        ensure!(met != "served", "the endpoint serves outside the overlay");
        Ok(met)
    };
    if let Some(beside) = overlay.beside {
        let to = SocketAddr::new(beside, endpoint.port());
        let met = probe(overlay.on_agent(&place.standin()), to, None)?;
        println!("  the agent's machine, past the tunnel, to {to}: {met}");
    }
    let Some(outer) = &overlay.outer else {
        let stranger = IpAddr::from(Ipv4Addr::new(127, 0, 0, 3));
        let met = probe(words([place.standin()]), endpoint, Some(stranger))?;
        println!("  an address that is no peer, {stranger}, to {endpoint}: {met}");
        return Ok(());
    };
    let before = Admission::ask(place.keyway())?;
    let met = probe(words([place.standin()]), endpoint, None)?;
    println!(
        "  this machine, {}, not through the overlay, to {endpoint}: {met}",
        outer.here
    );
    if !before.is_in_front() {
        println!(
            "  no kernel program is in front: the node's socket is bound to the overlay's device"
        );
        return Ok(());
    }
    let after = Admission::ask(place.keyway())?;
    let (before, after) = (before.drops(&outer.device), after.drops(&outer.device));
    println!(
        "  packets that the kernel dropped on {}: {before} before, {after} after",
        outer.device
    );
    ensure!(met == "no answer", "what the kernel drops is not answered");
    ensure!(after > before, "the kernel counts what it drops");
    Ok(())
}

fn http_status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}
