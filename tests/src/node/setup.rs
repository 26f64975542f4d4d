//! The binary, its configuration, and ports that nobody uses.

use std::{
    fmt::Write as _,
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::{Child, Command};

use crate::machine::{self, Machine};

/// Name that the endpoint claims, so that tests need not ask for it.
pub(super) const ENDPOINT_NAME: &str = "brave-otter.keyway.test";

/// What differs between test nodes.
#[derive(Clone, Default)]
pub struct Options {
    /// Also listen without TLS.
    pub plain: bool,
    /// The overlay's device and an address of the endpoint there; the node listens on all the device's
    /// addresses. Without it the overlay is `127.0.0.1` on the loopback device.
    pub overlay: Option<(&'static str, IpAddr)>,
    /// `admission.mode`; `off` without.
    pub admission: Option<&'static str>,
    /// What is logged, as in `KEYWAY_LOG`; `info` without.
    pub log: Option<&'static str>,
    /// TOML appended to a section: `("timeouts", "drain = \"2s\"")`.
    pub extra: Vec<(&'static str, String)>,
    /// Where it runs, if not on this host.
    pub machine: Option<Arc<Machine>>,
    /// Where the usage log is, if not in the node's directory.
    pub usage: Option<PathBuf>,
    /// Nothing can be locked into memory.
    pub no_locked_memory: bool,
    /// Runs as this user and group, without any capability.
    pub user: Option<libc::uid_t>,
}

impl Options {
    /// The endpoint's.
    pub(super) fn address(&self) -> IpAddr {
        self.overlay
            .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |(_, address)| address)
    }
}

pub(super) struct Ports {
    pub(super) endpoint: u16,
    pub(super) plain: u16,
    pub(super) telemetry: u16,
}

/// Below the range from which the kernel picks ports by itself.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Three ports that nobody uses, and that no other test of this process is given. Asking the kernel for
/// any port would not do: it hands the same one out again before the node has bound it.
pub(super) fn free_ports() -> Result<Ports> {
    Ok(Ports {
        endpoint: free_port()?,
        plain: free_port()?,
        telemetry: free_port()?,
    })
}

/// A port that nobody uses, and that no other test of this process is given.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let span = PORTS.end - PORTS.start;
    // Test processes that run at once begin far apart.
    let seed = (std::process::id() % u32::from(span)) as u16;
    let next = NEXT.get_or_init(|| AtomicU16::new(seed));
    for _ in 0..span {
        let port = PORTS.start + next.fetch_add(1, Ordering::Relaxed) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port in {PORTS:?}")
}

/// The configuration of a node whose overlay is the loopback device.
pub(super) fn config(directory: &Path, options: &Options, ports: &Ports) -> String {
    let at = |name: &str| format!("{:?}", directory.join(name).display().to_string());
    let plain = match options.plain {
        true => format!("plain_port = {}", ports.plain),
        false => String::new(),
    };
    let overlay = match options.overlay {
        Some((device, _)) => format!("interface = {device:?}"),
        None => "interface = \"lo\"\naddresses = [\"127.0.0.1\"]".to_owned(),
    };
    let admission = options.admission.unwrap_or("off");
    // A host need not have a bpffs, and tests would meet in it.
    let is_pinned =
        |(section, text): &(&str, String)| *section == "admission" && text.contains("pins");
    let pins = match options.extra.iter().any(is_pinned) {
        true => "",
        false => "pins = \"\"",
    };
    let listens = |(section, text): &(&str, String)| *section == "admin" && text.contains("listen");
    let admin = match options.extra.iter().any(listens) {
        true => "",
        false => "listen = \"off\"",
    };
    let usage = (options.usage.clone()).unwrap_or_else(|| directory.join("usage"));
    let usage = usage.display().to_string();
    let sections = [
        (
            "endpoint",
            format!(
                "domain = \"keyway.test\"\nname = \"{ENDPOINT_NAME}\"\nport = {}\n{plain}",
                ports.endpoint
            ),
        ),
        ("overlay", overlay),
        ("identity", String::new()),
        ("admission", format!("mode = {admission:?}\n{pins}")),
        ("admin", format!("{admin}\nsocket = {}", at("admin.sock"))),
        (
            "telemetry",
            format!("listen = \"127.0.0.1:{}\"", ports.telemetry),
        ),
        ("store", format!("path = {}", at("store"))),
        ("usage", format!("path = {usage:?}")),
        ("secrets", format!("master_key_file = {}", at("master.key"))),
        ("workers", "count = 2\npin = false".to_owned()),
        ("catalog", String::new()),
        ("tracing", String::new()),
        ("log", String::new()),
        ("timeouts", String::new()),
    ];
    let mut toml = String::new();
    for (section, mut body) in sections {
        for (_, extra) in options.extra.iter().filter(|(to, _)| *to == section) {
            let _ = write!(body, "\n{extra}");
        }
        let _ = writeln!(toml, "[{section}]\n{body}");
    }
    toml
}

/// Starts the node on `keyway.toml` in its directory; its log goes on in `node.log`.
pub(super) fn spawn(directory: &Path, options: &Options) -> Result<Child> {
    let file = directory.join("keyway.toml");
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("node.log"))?;
    let mut program = keyway()?;
    if options.user.is_some() {
        // The workspace may lie where only its owner gets to.
        let copy = directory.join("keyway");
        if !copy.exists() {
            // By another process: what this one has open for writing, so has every child that another test forks
            // meanwhile, and a file that is open for writing cannot be run.
            let copied = std::process::Command::new("cp")
                .args([&program, &copy])
                .status()?;
            ensure!(copied.success(), "cannot copy {}", program.display());
        }
        program = copy;
    }
    let mut command = std::process::Command::new(program);
    command
        .args(["serve", "--config"])
        .arg(&file)
        .env("RUST_BACKTRACE", "1")
        .env("KEYWAY_LOG", options.log.unwrap_or("info"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    if let Some(machine) = &options.machine {
        machine.enter(&mut command);
    }
    if let Some(user) = options.user {
        std::os::unix::fs::chown(directory, Some(user), Some(user))?;
        // SAFETY: system calls only, which is safe between fork and exec.
        unsafe { command.pre_exec(move || give_up_root(user)) };
    }
    if options.machine.is_some() {
        // Its devices and mounts would stay with it.
        // SAFETY: a system call only, which is safe between fork and exec.
        unsafe { command.pre_exec(machine::end_with_parent) };
    }
    if options.no_locked_memory {
        // SAFETY: system calls only, which is safe between fork and exec.
        unsafe { command.pre_exec(refuse_locked_memory) };
    }
    Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .context("start keyway")
}

/// Between fork and exec: all capabilities go with the user.
fn give_up_root(user: libc::uid_t) -> io::Result<()> {
    // SAFETY: plain numbers, and an empty list that is not read.
    let groups = unsafe { libc::setgroups(0, std::ptr::null()) };
    // SAFETY: plain numbers.
    let group = unsafe { libc::setgid(user) };
    // SAFETY: plain numbers.
    let user = unsafe { libc::setuid(user) };
    match (groups, group, user) {
        (0, 0, 0) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Between fork and exec: the limit is none, and root loses what lets it pass the limit.
fn refuse_locked_memory() -> io::Result<()> {
    const CAP_IPC_LOCK: libc::c_ulong = 14;
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is read during the call only.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Refused to whoever is not root, and has no such capability to lose.
    // SAFETY: plain numbers.
    let _ = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK) };
    Ok(())
}

/// The `keyway` binary: `KEYWAY_BIN`, or the one built from this workspace.
///
/// # Errors
/// When the build fails.
pub fn keyway() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(path) = std::env::var_os("KEYWAY_BIN") {
        return Ok(path.into());
    }
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

/// A test package cannot name another package's binary as a dependency, so it asks cargo.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "gateway",
            "--bin",
            "keyway",
        ])
        .args(["--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(
        output.status.success(),
        "building keyway: {}",
        output.status
    );
    let messages = String::from_utf8(output.stdout)?;
    let executable = messages.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.to_owned())
    });
    Ok(executable.context("cargo names no executable")?.into())
}
