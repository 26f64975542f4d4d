//! A machine of a test's own: a network and a mount namespace of this host, without a name and held by
//! one child process, so that devices and mounts go with it, however the test ends.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};

/// See the module.
pub struct Machine {
    holder: Child,
    net: OwnedFd,
    mnt: OwnedFd,
}

/// Why this host cannot make machines, for the line of a skipped test; `None` when it can.
pub fn why_not() -> Option<&'static str> {
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Some("needs root privileges");
    }
    match Machine::start() {
        Err(error) if is_refused(&error) => Some("needs the right to make namespaces"),
        // Any other error is for the test to fail with.
        Err(_) | Ok(_) => None,
    }
}

fn is_refused(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}

impl Machine {
    /// Makes the namespaces; the loopback device is up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn start() -> Result<Self> {
        let mut command = Command::new("sleep");
        command.arg("infinity").stdin(Stdio::null());
        // SAFETY: `leave_host` makes system calls only, which is safe between fork and exec.
        unsafe { command.pre_exec(leave_host) };
        let holder = command.spawn()?;
        // `spawn` returns once the child has left the host, and executes.
        let namespace = |kind: &str| File::open(format!("/proc/{}/ns/{kind}", holder.id()));
        let (net, mnt) = (namespace("net")?.into(), namespace("mnt")?.into());
        let machine = Self { holder, net, mnt };
        machine.run("ip link set lo up")?;
        Ok(machine)
    }

    /// Runs a command line (words without quoting) on the machine; it has to succeed. Returns what it
    /// printed.
    ///
    /// # Errors
    /// When it fails; the message holds what it said.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_ascii_whitespace();
        let mut command = Command::new(words.next().context("a program")?);
        command.args(words).stdin(Stdio::null());
        self.enter(&mut command);
        let output = command.output().with_context(|| format!("run {line}"))?;
        ensure!(
            output.status.success(),
            "{line}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The command will run on this machine.
    pub fn enter(&self, command: &mut Command) {
        let namespaces = self.namespaces();
        // SAFETY: `join` makes system calls only, which is safe between fork and exec. The descriptors
        // are open then: they are closed by exec, and the machine is borrowed or kept until `spawn`.
        unsafe { command.pre_exec(move || namespaces.into_iter().try_for_each(join)) };
    }

    /// Does something on the machine's network: sockets made there stay there.
    ///
    /// # Panics
    /// As `work` does.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let net = self.net.as_raw_fd();
        thread::scope(|scope| {
            let there = scope.spawn(move || join((net, libc::CLONE_NEWNET)).and_then(|()| work()));
            there
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A path on the machine's file systems, as this process reaches it.
    pub fn path(&self, path: &Path) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        Path::new(&root).join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Joins two machines with a virtual cable whose ends have these names; both are down.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lay_cable(&self, name: &str, other: &Self, other_name: &str) -> Result<()> {
        let far = other.holder.id();
        self.run(&format!(
            "ip link add {name} type veth peer name {other_name} netns {far}"
        ))?;
        Ok(())
    }

    /// Gives a device an address with the length of its network, and sets it up.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn set_up(&self, device: &str, address: &str) -> Result<()> {
        self.run(&format!("ip addr add {address} dev {device}"))?;
        self.run(&format!("ip link set {device} up"))?;
        Ok(())
    }

    /// A device's number.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn device_index(&self, device: &str) -> Result<u32> {
        let shown = self.run(&format!("ip -o link show dev {device}"))?;
        match shown.split_once(':').map(|(index, _)| index.parse()) {
            Some(Ok(index)) => Ok(index),
            Some(Err(_)) | None => bail!("no index in {shown}"),
        }
    }

    /// An Ethernet device's hardware address.
    ///
    /// # Errors
    /// When there is no such device, or it has none.
    pub fn hardware_address(&self, device: &str) -> Result<[u8; 6]> {
        let shown = self.run(&format!("ip -o link show dev {device}"))?;
        let address = (shown.split_once("link/ether "))
            .and_then(|(_, rest)| rest.split_ascii_whitespace().next())
            .with_context(|| format!("no hardware address in {shown}"))?;
        let mut bytes = [0; 6];
        for (byte, digits) in bytes.iter_mut().zip(address.split(':')) {
            *byte = u8::from_str_radix(digits, 16)?;
        }
        Ok(bytes)
    }

    fn namespaces(&self) -> [(RawFd, libc::c_int); 2] {
        [
            (self.net.as_raw_fd(), libc::CLONE_NEWNET),
            (self.mnt.as_raw_fd(), libc::CLONE_NEWNS),
        ]
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Between fork and exec: the process ends with the thread that starts it, however that ends.
pub(crate) fn end_with_parent() -> io::Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
}

/// Between fork and exec: the process gets namespaces of its own, and ends with its parent.
fn leave_host() -> io::Result<()> {
    end_with_parent()?;
    // SAFETY: plain numbers.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })?;
    // Otherwise mounts would be seen on the host too.
    let (nothing, root) = (std::ptr::null(), c"/".as_ptr());
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the only pointer that is read is a string that lives for ever.
    checked(unsafe { libc::mount(nothing, root, nothing, flags, nothing.cast()) })
}

fn join((namespace, kind): (RawFd, libc::c_int)) -> io::Result<()> {
    // SAFETY: plain numbers; a descriptor that is none makes an error.
    checked(unsafe { libc::setns(namespace, kind) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
