//! A real WireGuard overlay between machines: Debian's `wireguard-go`, set up by its `wg`.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::machine::{self, Machine};

/// Where `wireguard-go` and `wg` meet; the machine's own, so that names need not differ between tests.
const RUN: &str = "/var/run";
const START_TIME_MAX: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Why this host cannot have tunnels, for the line of a skipped test; `None` when it can.
pub fn why_not() -> Option<&'static str> {
    let is_missing = |program: &str| {
        let mut command = Command::new(program);
        let started = command.arg("--version").stdout(Stdio::null()).status();
        started.is_err()
    };
    if let Some(reason) = machine::why_not() {
        return Some(reason);
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("needs /dev/net/tun");
    }
    if is_missing("wg") || is_missing("wireguard-go") {
        return Some("needs the programs wg and wireguard-go");
    }
    None
}

/// A WireGuard device on a machine; it goes when this is dropped.
pub struct Tunnel {
    machine: Arc<Machine>,
    device: &'static str,
    process: Child,
    public_key: String,
}

impl Tunnel {
    /// Makes the device, with a new key and no peers; it is down.
    ///
    /// # Errors
    /// When one of the programs fails.
    pub fn dig(machine: &Arc<Machine>, device: &'static str, port: u16) -> Result<Self> {
        // Links are followed on this side: a machine's path begins at its root.
        let run = machine.path(&fs::canonicalize(RUN)?);
        let sockets = run.join("wireguard");
        if !sockets.join("own").exists() {
            machine.run(&format!("mount -t tmpfs tmpfs {RUN}"))?;
            fs::create_dir(&sockets)?;
            File::create(sockets.join("own"))?;
        }
        let (process, public_key) = start(machine, device, port, &sockets)?;
        Ok(Self {
            machine: Arc::clone(machine),
            device,
            process,
            public_key,
        })
    }

    /// As `wg` shows it.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Lets packets from `allowed` (networks with commas between) come from the other end, and sends what
    /// is for them there.
    ///
    /// # Errors
    /// When `wg` refuses.
    pub fn add_peer(&self, other: &Self, endpoint: SocketAddr, allowed: &str) -> Result<()> {
        let (device, key) = (self.device, &other.public_key);
        let line = format!("wg set {device} peer {key} endpoint {endpoint} allowed-ips {allowed}");
        self.machine.run(&line).map(drop)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(
    machine: &Arc<Machine>,
    device: &str,
    port: u16,
    sockets: &Path,
) -> Result<(Child, String)> {
    let log = File::create(sockets.join(format!("{device}.log")))?;
    let mut command = Command::new("wireguard-go");
    command
        .args(["-f", device])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    machine.enter(&mut command);
    // SAFETY: a system call only, which is safe between fork and exec.
    unsafe { command.pre_exec(machine::end_with_parent) };
    let control = sockets.join(format!("{device}.sock"));
    // One that was killed leaves its socket behind.
    let _ = fs::remove_file(&control);
    let mut process = command.spawn().context("start wireguard-go")?;
    let ready =
        wait_for(&mut process, &control).and_then(|()| identify(machine, device, port, sockets));
    match ready {
        Ok(public_key) => Ok((process, public_key)),
        Err(error) => {
            let _ = process.kill();
            let _ = process.wait();
            Err(error)
        }
    }
}

fn wait_for(process: &mut Child, control: &Path) -> Result<()> {
    let deadline = Instant::now() + START_TIME_MAX;
    while !control.exists() {
        ensure!(process.try_wait()?.is_none(), "wireguard-go ended");
        ensure!(Instant::now() < deadline, "wireguard-go does not listen");
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// Gives the device a key; returns the public one.
fn identify(machine: &Machine, device: &str, port: u16, sockets: &Path) -> Result<String> {
    fs::write(sockets.join("key"), machine.run("wg genkey")?)?;
    machine.run(&format!(
        "wg set {device} listen-port {port} private-key {RUN}/wireguard/key"
    ))?;
    let key = machine.run(&format!("wg show {device} public-key"))?;
    Ok(key.trim().to_owned())
}
