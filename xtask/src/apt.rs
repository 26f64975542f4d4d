//! Debian packages that tests and the demo use, and installing them as root.

use anyhow::{Result, bail};

use crate::command::{is_installed, must, words};

/// A program and the package that brings it.
type Needed = (&'static str, &'static str);

/// What `cargo xtask test` uses.
pub(crate) const FOR_TESTS: &[Needed] = &[
    ("cc", "gcc"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("initdb", "postgresql"),
    ("ip", "iproute2"),
    ("mkfs.ext4", "e2fsprogs"),
    ("nghttp", "nghttp2-client"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("ping", "iputils-ping"),
    ("promtool", "prometheus"),
    ("python3", "python3"),
    ("strace", "strace"),
    ("systemd-analyze", "systemd"),
    ("wg", "wireguard-tools"),
    ("wireguard-go", "wireguard-go"),
];

/// What builds the dashboard.
pub(crate) const FOR_DASHBOARD: &[Needed] = &[("git", "git"), ("node", "nodejs"), ("npm", "npm")];

/// What makes and boots a machine of its own.
pub(crate) const FOR_MACHINES: &[Needed] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("nsenter", "util-linux"),
    ("systemd-nspawn", "systemd-container"),
];

/// What the kernel's programs are measured beside.
pub(crate) const FOR_KERNEL_BENCH: &[Needed] = &[
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("xdp-filter", "xdp-tools"),
];

/// The packages among `needed` whose programs are missing.
pub(crate) fn missing(needed: &[Needed]) -> Vec<&'static str> {
    let mut packages: Vec<_> = needed
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package)
        .collect();
    if !can_make_venv() {
        packages.push("python3-venv");
    }
    packages
}

/// Lists what is missing and, as root on Debian, installs it.
///
/// # Errors
/// When something is missing and cannot be installed.
pub(crate) fn provide(needed: &[Needed]) -> Result<()> {
    let packages = missing(needed);
    if packages.is_empty() {
        return Ok(());
    }
    println!("missing Debian packages: {}", packages.join(" "));
    install(&packages)
}

/// Installs packages as root on Debian.
///
/// # Errors
/// When that is not where we are, or it fails.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() || !is_installed("apt-get") {
        bail!(
            "install them as root: apt-get install {}",
            packages.join(" ")
        );
    }
    must(words(["apt-get", "update", "-qq"]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    must(
        words(["apt-get", "install", "-y", "-qq", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Is this Debian itself, not something made of it?
pub(crate) fn is_debian() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian")
}

/// Debian ships `venv` without the part that fills it.
fn can_make_venv() -> bool {
    let probe = words(["python3", "-c", "import venv, ensurepip"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}
