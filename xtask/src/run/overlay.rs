//! The demo's overlay: the node's machine and the agent's, made of network namespaces, a tunnel between
//! them, and a cable to this machine, which is outside. Plain loopback addresses where privileges are
//! missing. Everything made is removed on drop.

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
    /// Where this machine is outside and the node is not, so not on loopback.
    pub(super) outer: Option<Outer>,
    /// The node's address on the cable beneath the tunnel.
    pub(super) beside: Option<IpAddr>,
    names: Option<Names>,
    /// The tunnel's two ends; stopped before the namespaces go.
    tunnel: Vec<Service>,
}

/// The cable between this machine and the node's, which is not part of the overlay.
pub(super) struct Outer {
    /// The device on the node's machine.
    pub(super) device: String,
    /// This machine's address there.
    pub(super) here: IpAddr,
    /// The node's.
    pub(super) node: IpAddr,
}

/// Names of what is made in the kernel; device names have at most 15 bytes.
struct Names {
    agent: String,
    node: String,
    /// From the node's machine to the agent's.
    cable: [String; 2],
    /// From this machine to the node's.
    outer: [String; 2],
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
    for (program, text) in [
        ("ip", "the program ip (Debian: iproute2)"),
        ("nsenter", "the program nsenter (Debian: util-linux)"),
        ("setpriv", "the program setpriv (Debian: util-linux)"),
    ] {
        if !is_installed(program) {
            missing.push(text);
        }
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
                outer: None,
                beside: None,
                names: None,
                tunnel: Vec::new(),
            });
        }
        let id = std::process::id();
        let names = Names {
            agent: format!("keyway-demo-{id}"),
            node: format!("keyway-demo-{id}-node"),
            cable: [format!("kwc{id}"), format!("kwd{id}")],
            outer: [format!("kwo{id}"), format!("kwp{id}")],
            tunnel: [format!("kwt{id}"), format!("kwu{id}")],
        };
        // 198.18.0.0/15 is set aside for tests (RFC 2544): no real overlay uses it.
        let net = (id % 250) as u8;
        let pair = |second, lasts: [u8; 2]| {
            lasts.map(|last| IpAddr::from(Ipv4Addr::new(198, second, net, last)))
        };
        let (cable, outer, tunnel) = (pair(19, [1, 2]), pair(19, [5, 6]), pair(18, [1, 2]));
        let (device, [node, agent], beside) = match kind {
            Kind::Veth => (&names.cable[0], cable, None),
            Kind::WireGuard | Kind::Loopback => (&names.tunnel[0], tunnel, Some(cable[0])),
        };
        let mut overlay = Self {
            kind,
            device: device.clone(),
            node,
            agent,
            outer: Some(Outer {
                device: names.outer[1].clone(),
                here: outer[0],
                node: outer[1],
            }),
            beside,
            names: Some(names),
            tunnel: Vec::new(),
        };
        overlay.make_machines()?;
        overlay.lay_cables(cable, outer)?;
        if kind == Kind::WireGuard {
            overlay.dig_tunnel(cable, log_directory)?;
        }
        Ok(overlay)
    }

    /// A command on the agent's machine.
    pub(super) fn on_agent(&self, program: &Path) -> Command {
        on(
            self.names.as_ref().map(|names| names.agent.as_str()),
            program,
        )
    }

    /// A command on the node's machine.
    pub(super) fn on_node(&self, program: &Path) -> Command {
        on(
            self.names.as_ref().map(|names| names.node.as_str()),
            program,
        )
    }

    /// Names of the node's machine and of the agent's, where they have some.
    pub(super) fn namespaces(&self) -> Option<[&str; 2]> {
        self.names
            .as_ref()
            .map(|names| [names.node.as_str(), names.agent.as_str()])
    }

    fn names(&self) -> &Names {
        self.names.as_ref().expect("only loopback has no names")
    }

    /// Two namespaces. The node has one too, so that its kernel programs touch no device of the host.
    fn make_machines(&self) -> Result<()> {
        for name in [&self.names().node, &self.names().agent] {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        Ok(())
    }

    /// Virtual cables from the node's machine to the agent's and to this one, which knows the endpoint's
    /// address at its other end.
    fn lay_cables(&self, cable: [IpAddr; 2], outer: [IpAddr; 2]) -> Result<()> {
        let names = self.names();
        let (node, agent) = (&names.node, &names.agent);
        let [near, far] = &names.cable;
        ip(&format!(
            "-n {node} link add {near} type veth peer name {far} netns {agent}"
        ))?;
        up(Some(node), near, cable[0], 30)?;
        up(Some(agent), far, cable[1], 30)?;
        let [near, far] = &names.outer;
        ip(&format!(
            "link add {near} type veth peer name {far} netns {node}"
        ))?;
        up(None, near, outer[0], 30)?;
        up(Some(node), far, outer[1], 30)?;
        ip(&format!(
            "route add {}/32 via {} dev {near}",
            self.node, outer[1]
        ))
    }

    /// Userspace WireGuard over the cable.
    fn dig_tunnel(&mut self, cable: [IpAddr; 2], log_directory: &Path) -> Result<()> {
        let machines = [self.names().node.clone(), self.names().agent.clone()];
        let devices = self.names().tunnel.clone();
        let log = File::create(log_directory.join("wireguard.log"))?;
        for (device, machine) in devices.iter().zip(&machines) {
            let mut command = on(Some(machine), Path::new("wireguard-go"));
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
            let device = &devices[me];
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
        up(Some(&machines[0]), &devices[0], self.node, 24)?;
        up(Some(&machines[1]), &devices[1], self.agent, 24)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // The tunnel's devices go with their processes, the cables with a namespace.
        self.tunnel.clear();
        if let Some(names) = &self.names {
            for command in [
                &mut words(["ip", "link", "del", &names.outer[0]]),
                &mut words(["ip", "netns", "del", &names.agent]),
                &mut words(["ip", "netns", "del", &names.node]),
            ] {
                // Half-made overlays lack some of it.
                let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
        }
    }
}

/// A program in a network namespace of this name. Not `ip netns exec`, which hides what is mounted
/// under `/sys`, such as the file system of the kernel's programs.
fn on(namespace: Option<&str>, program: &Path) -> Command {
    match namespace {
        None => Command::new(program),
        Some(name) => {
            let mut command = words(["nsenter", &format!("--net=/run/netns/{name}"), "--"]);
            command.arg(program);
            command
        }
    }
}

fn ip(arguments: &str) -> Result<()> {
    must(words(["ip"]).args(arguments.split(' ')))
}

/// Gives a device an address and switches it on.
fn up(namespace: Option<&str>, device: &str, address: IpAddr, prefix: u8) -> Result<()> {
    let inside = namespace.map_or_else(String::new, |name| format!("-n {name} "));
    ip(&format!("{inside}addr add {address}/{prefix} dev {device}"))?;
    ip(&format!("{inside}link set {device} up"))
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
