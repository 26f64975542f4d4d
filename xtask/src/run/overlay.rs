//! The demo's overlay: an agent's machine and a tunnel to it, made of a network namespace, or plain
//! loopback addresses where privileges are missing. Everything made is removed on drop.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Result;

use crate::command::{Service, is_installed, must, read, wait_until, words};

const DEVICE_TIME_MAX: Duration = Duration::from_secs(10);

/// How the agent's machine is joined to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A namespace behind a userspace WireGuard tunnel.
    WireGuard,
    /// A namespace behind a plain virtual cable.
    Veth,
    /// Two loopback addresses.
    Loopback,
}

/// A running overlay.
pub(super) struct Overlay {
    pub(super) kind: Kind,
    /// The overlay's device on the node's side.
    pub(super) device: String,
    pub(super) node: IpAddr,
    pub(super) agent: IpAddr,
    /// Another address of the node's host, that is not on the overlay.
    pub(super) beside: Option<IpAddr>,
    names: Option<Names>,
    /// The tunnel's two ends; stopped before the namespace goes.
    tunnel: Vec<Service>,
}

/// Names of what is made in the kernel; device names have at most 15 bytes.
struct Names {
    namespace: String,
    cable: [String; 2],
    tunnel: [String; 2],
}

/// The best kind this user can have, and what is missing for a better one.
pub(super) fn choose(loopback: bool) -> (Kind, Vec<&'static str>) {
    if loopback {
        return (Kind::Loopback, Vec::new());
    }
    let mut missing = Vec::new();
    if !nix::unistd::geteuid().is_root() {
        missing.push("root privileges (for a network namespace and a tunnel device)");
    }
    if !is_installed("ip") {
        missing.push("the program ip (Debian: iproute2)");
    }
    if !missing.is_empty() {
        return (Kind::Loopback, missing);
    }
    if !is_installed("wireguard-go") {
        missing.push("the program wireguard-go (Debian: wireguard-go)");
    }
    if !is_installed("wg") {
        missing.push("the program wg (Debian: wireguard-tools)");
    }
    if !Path::new("/dev/net/tun").exists() {
        missing.push("the device /dev/net/tun");
    }
    match missing.is_empty() {
        true => (Kind::WireGuard, missing),
        false => (Kind::Veth, missing),
    }
}

impl Overlay {
    /// Makes it. What was made before an error is removed.
    pub(super) fn up(kind: Kind, log_directory: &Path) -> Result<Self> {
        if kind == Kind::Loopback {
            return Ok(Self {
                kind,
                device: "lo".to_owned(),
                node: Ipv4Addr::LOCALHOST.into(),
                agent: Ipv4Addr::new(127, 0, 0, 2).into(),
                beside: None,
                names: None,
                tunnel: Vec::new(),
            });
        }
        let id = std::process::id();
        let names = Names {
            namespace: format!("keyway-demo-{id}"),
            cable: [format!("kwc{id}"), format!("kwd{id}")],
            tunnel: [format!("kwt{id}"), format!("kwu{id}")],
        };
        // 198.18.0.0/15 is set aside for tests (RFC 2544): no real overlay uses it.
        let net = (id % 250) as u8;
        let [cable, tunnel] = [19, 18]
            .map(|second| [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(198, second, net, last))));
        let mut overlay = Self {
            kind,
            device: names.tunnel[0].clone(),
            node: tunnel[0],
            agent: tunnel[1],
            beside: Some(cable[0]),
            names: Some(names),
            tunnel: Vec::new(),
        };
        overlay.lay_cable(cable)?;
        match kind {
            Kind::WireGuard => overlay.dig_tunnel(cable, log_directory)?,
            Kind::Veth => {
                let cable_end = overlay.names().cable[0].clone();
                overlay.device = cable_end;
                (overlay.node, overlay.agent) = (cable[0], cable[1]);
                overlay.beside = None;
            }
            Kind::Loopback => {}
        }
        Ok(overlay)
    }

    /// A command on the agent's machine.
    pub(super) fn on_agent(&self, program: &Path) -> Command {
        match &self.names {
            None => Command::new(program),
            Some(names) => {
                let mut command = words(["ip", "netns", "exec", &names.namespace]);
                command.arg(program);
                command
            }
        }
    }

    /// Name of the agent's machine, where it has one.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.names.as_ref().map(|names| names.namespace.as_str())
    }

    fn names(&self) -> &Names {
        self.names.as_ref().expect("only loopback has no names")
    }

    /// A namespace and a virtual cable to it.
    fn lay_cable(&self, addresses: [IpAddr; 2]) -> Result<()> {
        let Names {
            namespace, cable, ..
        } = self.names();
        let [near, far] = cable;
        ip(&["netns", "add", namespace])?;
        ip(&[
            "link", "add", near, "type", "veth", "peer", "name", far, "netns", namespace,
        ])?;
        ip(&["addr", "add", &format!("{}/30", addresses[0]), "dev", near])?;
        ip(&["link", "set", near, "up"])?;
        ip(&[
            "-n",
            namespace,
            "addr",
            "add",
            &format!("{}/30", addresses[1]),
            "dev",
            far,
        ])?;
        ip(&["-n", namespace, "link", "set", far, "up"])?;
        ip(&["-n", namespace, "link", "set", "lo", "up"])
    }

    /// Userspace WireGuard over the cable.
    fn dig_tunnel(&mut self, cable: [IpAddr; 2], log_directory: &Path) -> Result<()> {
        let namespace = self.names().namespace.clone();
        let [near, far] = self.names().tunnel.clone();
        let log = File::create(log_directory.join("wireguard.log"))?;
        for (device, inside) in [(&near, false), (&far, true)] {
            let mut command = match inside {
                false => words(["wireguard-go"]),
                true => words(["ip", "netns", "exec", &namespace, "wireguard-go"]),
            };
            command.args(["-f", device]).stdin(Stdio::null());
            command.stdout(log.try_clone()?).stderr(log.try_clone()?);
            self.tunnel
                .push(Service::start("wireguard-go", &mut command)?);
            wait_until("a WireGuard device", DEVICE_TIME_MAX, || {
                self.tunnel.iter_mut().try_for_each(Service::must_run)?;
                let control = format!("/var/run/wireguard/{device}.sock");
                Ok(Path::new(&control).exists())
            })?;
        }
        let keys = [wireguard_key()?, wireguard_key()?];
        let ports = [free_udp_port()?, free_udp_port()?];
        for (me, other) in [(0, 1), (1, 0)] {
            let device = [&near, &far][me];
            let allowed = [self.node, self.agent][other];
            // The control socket is a file, so both ends are configured from here.
            let mut command = words(["wg", "set", device, "private-key", "/dev/stdin"]);
            command.args([
                "listen-port",
                &ports[me].to_string(),
                "peer",
                &keys[other].1,
            ]);
            command.args(["allowed-ips", &format!("{allowed}/32")]);
            command.args(["endpoint", &format!("{}:{}", cable[other], ports[other])]);
            read(&mut command, &keys[me].0)?;
        }
        ip(&["addr", "add", &format!("{}/24", self.node), "dev", &near])?;
        ip(&["link", "set", &near, "up"])?;
        ip(&[
            "-n",
            &namespace,
            "addr",
            "add",
            &format!("{}/24", self.agent),
            "dev",
            &far,
        ])?;
        ip(&["-n", &namespace, "link", "set", &far, "up"])
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // The tunnel's devices go with their processes, the cable with the namespace.
        self.tunnel.clear();
        if let Some(names) = &self.names {
            for command in [
                &mut words(["ip", "link", "del", &names.cable[0]]),
                &mut words(["ip", "netns", "del", &names.namespace]),
            ] {
                // Half-made overlays lack some of it.
                let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    must(words(["ip"]).args(arguments))
}

/// Private and public key, base64.
fn wireguard_key() -> Result<(String, String)> {
    let private = read(&mut words(["wg", "genkey"]), "")?;
    let public = read(&mut words(["wg", "pubkey"]), &private)?;
    Ok((private, public.trim().to_owned()))
}

fn free_udp_port() -> Result<u16> {
    Ok(UdpSocket::bind("0.0.0.0:0")?.local_addr()?.port())
}
