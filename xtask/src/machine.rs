//! A machine of its own with systemd as its first process: a container of the host's Debian release,
//! booted from a root that is made once and never written to.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::command::{Service, must, read, root, wait_until, words};

/// What the root has beside Debian's essentials.
const PACKAGES: &str = "dbus,iproute2,systemd,systemd-sysv,wireguard-go,wireguard-tools";
const BOOT_TIME_MAX: Duration = Duration::from_secs(60);
/// What a real machine has and containers lack: kernel programs, and locked pages of one's own.
const CAPABILITIES: &str = "CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN";
const SYSTEM_CALLS: &str = "bpf memfd_secret";

/// Systemd mounts it on real machines, but not in containers.
const BPFFS: &str = "
mount -o remount,rw /sys
mkdir -p /sys/fs/bpf
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount -o remount,ro /sys
";

/// A booted machine. It is powered off on drop, and what was written on it is gone.
pub(crate) struct Machine {
    // Stopped before what it leaves is removed.
    _container: Service,
    _leftover: Leftover,
    /// Process id of its init, as this host counts.
    init: String,
}

impl Machine {
    /// Boots one that sees `directories` of the host at their own paths, read-only. Needs root, and the
    /// programs `mmdebstrap` and `systemd-nspawn`.
    ///
    /// # Errors
    /// When its root cannot be made, or it does not come up.
    pub(crate) fn boot(directories: &[&Path]) -> Result<Self> {
        let root = provide_root()?;
        let name = format!("keyway-{}", std::process::id());
        let mut command = words(["systemd-nspawn", "--quiet", "--boot", "--volatile=overlay"]);
        // There need not be a systemd on this host that could keep a list of machines.
        command.args(["--register=no", "--keep-unit", "--private-network"]);
        command.args(["--console=pipe", "--resolv-conf=off", "--machine", &name]);
        command.arg(format!("--capability={CAPABILITIES}"));
        command.arg(format!("--system-call-filter={SYSTEM_CALLS}"));
        command
            .args(["--bind=/dev/net/tun", "--directory"])
            .arg(root);
        for directory in directories {
            command.arg(format!("--bind-ro={}", directory.display()));
        }
        let console = directory().join("console.log");
        let log = File::create(&console)?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let leftover = Leftover(Path::new("/run/systemd/nspawn/propagate").join(&name));
        let mut container = Service::start("the machine", &mut command)?;
        let booted = init_of(&mut container).and_then(|init| {
            let machine = Self {
                _container: container,
                _leftover: leftover,
                init,
            };
            machine.wait_for_boot()?;
            machine.shell(BPFFS)?;
            Ok(machine)
        });
        booted.with_context(|| fs::read_to_string(console).unwrap_or_default())
    }

    /// A command on the machine, as its root.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, line: impl IntoIterator<Item = I>) -> Command {
        let mut command = words([
            "nsenter", "--target", &self.init, "--mount", "--uts", "--ipc",
        ]);
        command.args(["--net", "--pid", "--cgroup", "--root", "--wd", "--"]);
        command.args(line);
        // The machine's own environment, as far as root has one there.
        command.env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.env("HOME", "/root").env("LANG", "C.UTF-8");
        command
    }

    /// Runs a shell script on the machine and returns what it printed; it has to succeed.
    pub(crate) fn shell(&self, script: &str) -> Result<String> {
        read(&mut self.command(["sh", "-euc", script]), "")
    }

    fn wait_for_boot(&self) -> Result<()> {
        let mut state = String::new();
        let booted = wait_until("the machine's boot", BOOT_TIME_MAX, || {
            let output = self.command(["systemctl", "is-system-running"]).output()?;
            state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Ok(matches!(&*state, "running" | "degraded"))
        });
        booted.with_context(|| format!("it is {state}"))
    }
}

/// A directory that the container's supervisor does not remove where `/run` is on a disk.
struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// The container's first process, once it is there.
fn init_of(container: &mut Service) -> Result<String> {
    let supervisor = container.child().id();
    let children = format!("/proc/{supervisor}/task/{supervisor}/children");
    let mut init = String::new();
    wait_until("the machine's init", BOOT_TIME_MAX, || {
        container.must_run()?;
        // Until init is the only one, helpers prepare its mounts.
        let children = fs::read_to_string(&children)?;
        init = children.trim().to_owned();
        let name = fs::read_to_string(format!("/proc/{init}/comm")).unwrap_or_default();
        Ok(name.trim() == "systemd")
    })?;
    Ok(init)
}

/// The root, made at the first use from the archives that this host uses.
fn provide_root() -> Result<PathBuf> {
    let release = read(
        &mut words(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"]),
        "",
    )?;
    let release = release.trim();
    ensure!(!release.is_empty(), "this system is no Debian release");
    let directory = directory();
    let made = directory.join(release);
    if made.is_dir() {
        return Ok(made);
    }
    println!("making a Debian root in {} (once)", made.display());
    fs::create_dir_all(&directory)?;
    let half_made = directory.join(format!("{release}.new"));
    if half_made.exists() {
        fs::remove_dir_all(&half_made)?;
    }
    let mut command = words([
        "mmdebstrap",
        "--quiet",
        "--variant=apt",
        "--include",
        PACKAGES,
    ]);
    command.arg(release).arg(&half_made);
    let sources = [
        "/etc/apt/sources.list.d/debian.sources",
        "/etc/apt/sources.list",
    ];
    command.args(sources.iter().filter(|file| Path::new(file).is_file()));
    must(&mut command)?;
    fs::rename(half_made, &made)?;
    Ok(made)
}

fn directory() -> PathBuf {
    root().join("target/machine")
}
