//! The node as a systemd service of this host: put in place, and taken away again.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{is_installed, must, root, words};

const BINARY: &str = "/usr/local/bin/keyway";
const CONFIG: &str = "/etc/keyway/keyway.toml";
const CONFIG_DIRECTORY: &str = "/etc/keyway";
const STATE: &str = "/var/lib/keyway";
const UNIT: &str = "/etc/systemd/system/keyway.service";
const SERVICE: &str = "keyway.service";
const USER: &str = "keyway";

/// Puts binary, configuration and unit in place, and starts the service. Run again, it updates them.
pub(super) fn install(keyway: &Path, config: &Path, yes: bool) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        let [config, keyway] = [config, keyway].map(Path::as_os_str);
        let mut arguments = ["run", "--install", "--config"].map(OsStr::new).to_vec();
        arguments.extend([config, OsStr::new("--binary"), keyway]);
        arguments.extend(yes.then_some(OsStr::new("--yes")));
        return as_root(&arguments);
    }
    println!(
        "This writes {BINARY}, {CONFIG} and {UNIT}, makes the system user {USER}, and enables and \
         (re)starts the service. State goes to {STATE}."
    );
    if !yes && !confirmed()? {
        bail!("nothing was written");
    }
    if !quiet(&["getent", "passwd", USER])? {
        let mut command = words(["useradd", "--system", "--no-create-home"]);
        command.args(["--home-dir", STATE, "--shell", "/usr/sbin/nologin", USER]);
        must(&mut command)?;
    }
    // `install` replaces a running binary by renaming, not by writing into it.
    put(keyway, BINARY, &["-m", "0755"])?;
    if config != Path::new(CONFIG) {
        put(config, CONFIG, &["-m", "0640", "-g", USER])?;
    }
    let unit = root().join("config/systemd/keyway.service");
    put(&unit, UNIT, &["-m", "0644"])?;
    if !runs_systemd() {
        println!("systemd does not run here; start it with: {BINARY} serve --config {CONFIG}");
        return Ok(());
    }
    must(&mut words(["systemctl", "daemon-reload"]))?;
    must(&mut words(["systemctl", "--quiet", "enable", SERVICE]))?;
    if let Err(error) = must(&mut words(["systemctl", "restart", SERVICE])) {
        let mut journal = words(["journalctl", "--no-pager", "-n", "20", "-u", SERVICE]);
        must(&mut journal)?;
        return Err(error);
    }
    println!("Installed and started:\n");
    must(words([BINARY, "status", "--config", CONFIG]).env_remove("KEYWAY_SOCKET"))?;
    println!(
        "\nIts log: journalctl -u keyway\n\
         Next, as root: keyway providers connect openai_api (keyway catalog list has the others)\n\
         To take it away again: cargo xtask run --uninstall"
    );
    Ok(())
}

/// Stops the service and removes what [`install`] wrote; with `purge` also configuration, state and user.
pub(super) fn uninstall(purge: bool, yes: bool) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        let mut arguments = ["run", "--uninstall"].map(OsStr::new).to_vec();
        arguments.extend(purge.then_some(OsStr::new("--purge")));
        arguments.extend(yes.then_some(OsStr::new("--yes")));
        return as_root(&arguments);
    }
    match purge {
        false => println!("This stops the service and removes {BINARY} and {UNIT}."),
        true => println!(
            "This stops the service and removes {BINARY}, {UNIT}, {CONFIG_DIRECTORY}, the user {USER}, \
             and {STATE} with the providers' sealed keys, their master key and the access log."
        ),
    }
    if !yes && !confirmed()? {
        bail!("nothing was removed");
    }
    if runs_systemd() && Path::new(UNIT).exists() {
        must(&mut words([
            "systemctl",
            "--quiet",
            "disable",
            "--now",
            SERVICE,
        ]))?;
    }
    remove(UNIT)?;
    remove(&format!("{UNIT}.d"))?;
    remove(BINARY)?;
    if runs_systemd() {
        must(&mut words(["systemctl", "daemon-reload"]))?;
        // Nothing to reset is no mistake.
        quiet(&["systemctl", "reset-failed", SERVICE])?;
    }
    if !purge {
        println!("Removed. {CONFIG_DIRECTORY} and {STATE} stay; --purge removes them too.");
        return Ok(());
    }
    remove(CONFIG_DIRECTORY)?;
    remove(STATE)?;
    if quiet(&["getent", "passwd", USER])? {
        must(&mut words(["userdel", USER]))?;
    }
    println!("Removed, with configuration and state.");
    Ok(())
}

/// This program again, by sudo: only this step needs privileges, and cargo is rarely in root's `PATH`.
fn as_root(arguments: &[&OsStr]) -> Result<()> {
    ensure!(
        is_installed("sudo"),
        "this step needs root, and sudo is not installed: run the same command as root"
    );
    println!("this step needs root: asking sudo");
    let program = std::env::current_exe()?;
    let error = words(["sudo", "--"]).arg(program).args(arguments).exec();
    Err(error).context("run sudo")
}

fn put(from: &Path, to: &str, mode: &[&str]) -> Result<()> {
    let mut command = words(["install", "-D"]);
    must(command.args(mode).arg(from).arg(to))
}

fn remove(path: &str) -> Result<()> {
    let removed = match Path::new(path).is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {path}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn runs_systemd() -> bool {
    // As sd_booted(3) looks.
    is_installed("systemctl") && Path::new("/run/systemd/system").exists()
}

/// Whether it succeeds; what it prints is of no interest.
fn quiet(command: &[&str]) -> Result<bool> {
    let mut command = words(command);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(status
        .with_context(|| format!("run {command:?}"))?
        .success())
}

fn confirmed() -> Result<bool> {
    print!("Go on? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
