//! `cargo xtask run --config FILE`: the node on this host, in the foreground or as a systemd service.

use std::{
    io::{BufRead as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Arguments, build};
use crate::command::{is_installed, must, root, words};

const BINARY: &str = "/usr/local/bin/keyway";
const CONFIG: &str = "/etc/keyway/keyway.toml";
const UNIT: &str = "/etc/systemd/system/keyway.service";
const USER: &str = "keyway";

pub(super) fn run(config: &Path, arguments: &Arguments) -> Result<()> {
    let config = config
        .canonicalize()
        .with_context(|| format!("find {}", config.display()))?;
    let keyway = build(&[("gateway", "keyway")], arguments.debug_build)?.join("keyway");
    must(words([&keyway]).args(["check", "--config"]).arg(&config))?;
    if arguments.install {
        return install(&keyway, &config, arguments.yes);
    }
    println!("starting the node; Ctrl-C drains and stops it");
    let error = words([&keyway])
        .args(["serve", "--config"])
        .arg(&config)
        .exec();
    Err(error).context("start the node")
}

/// Puts binary, configuration and unit in place. An existing configuration is replaced only when it is
/// the one given.
fn install(keyway: &Path, config: &Path, yes: bool) -> Result<()> {
    let unit = root().join("config/systemd/keyway.service");
    println!(
        "This writes {BINARY}, {CONFIG} and {UNIT}, makes the system user {USER}, and enables the \
         service. State goes to /var/lib/keyway."
    );
    ensure!(
        nix::unistd::geteuid().is_root(),
        "installing needs root: run the same command with sudo"
    );
    if !yes && !confirmed()? {
        bail!("nothing was written");
    }
    if !words(["getent", "passwd", USER])
        .stdout(std::process::Stdio::null())
        .status()?
        .success()
    {
        let mut command = words(["useradd", "--system", "--no-create-home"]);
        command.args([
            "--home-dir",
            "/var/lib/keyway",
            "--shell",
            "/usr/sbin/nologin",
            USER,
        ]);
        must(&mut command)?;
    }
    // `install` replaces a running binary by renaming, not by writing into it.
    must(
        words(["install", "-D", "-m", "0755"])
            .arg(keyway)
            .arg(BINARY),
    )?;
    if config != Path::new(CONFIG) {
        must(
            words(["install", "-D", "-m", "0640", "-g", USER])
                .arg(config)
                .arg(CONFIG),
        )?;
    }
    must(words(["install", "-D", "-m", "0644"]).arg(unit).arg(UNIT))?;
    if !is_installed("systemctl") || !Path::new("/run/systemd/system").exists() {
        println!("systemd does not run here; start it with: {BINARY} serve --config {CONFIG}");
        return Ok(());
    }
    must(&mut words(["systemctl", "daemon-reload"]))?;
    must(&mut words(["systemctl", "enable", "keyway.service"]))?;
    must(&mut words(["systemctl", "restart", "keyway.service"]))?;
    println!("installed and started. Next: keyway providers connect");
    Ok(())
}

fn confirmed() -> Result<bool> {
    print!("Go on? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
