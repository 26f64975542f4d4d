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
const UNIT_DIRECTORY: &str = "/etc/systemd/system";
const SERVICE: &str = "keyway.service";
/// Keeps the kernel program in front.
const ADMISSION: &str = "keyway-admission.service";
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
        "This writes {BINARY} and {CONFIG}, puts {SERVICE} and {ADMISSION} into {UNIT_DIRECTORY}, \
         makes the system user {USER}, and enables and (re)starts both. State goes to {STATE}."
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
    for unit in [ADMISSION, SERVICE] {
        let from = root().join("config/systemd").join(unit);
        put(&from, &format!("{UNIT_DIRECTORY}/{unit}"), &["-m", "0644"])?;
    }
    if !runs_systemd() {
        println!("systemd does not run here; start it with: {BINARY} serve --config {CONFIG}");
        return Ok(());
    }
    must(&mut words(["systemctl", "daemon-reload"]))?;
    must(&mut words([
        "systemctl",
        "--quiet",
        "enable",
        ADMISSION,
        SERVICE,
    ]))?;
    if restart(ADMISSION).is_err() {
        println!("{ADMISSION} did not start: admission.mode decides whether the node does without");
    }
    restart(SERVICE)?;
    println!("Installed and started:\n");
    must(words([BINARY, "status", "--config", CONFIG]).env_remove("KEYWAY_SOCKET"))?;
    println!(
        "\nIts log: journalctl -u keyway\n\
         Next, as root: keyway providers connect openai_api (keyway catalog list has the others)\n\
         To take it away again: cargo xtask run --uninstall"
    );
    Ok(())
}

fn restart(unit: &str) -> Result<()> {
    let restarted = must(&mut words(["systemctl", "restart", unit]));
    if restarted.is_err() {
        let mut journal = words(["journalctl", "--no-pager", "-n", "20", "-u", unit]);
        must(&mut journal)?;
    }
    restarted
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
        false => println!(
            "This stops {SERVICE} and {ADMISSION}, and removes both, the kernel program and {BINARY}."
        ),
        true => println!(
            "This stops {SERVICE} and {ADMISSION}, and removes both, the kernel program, {BINARY}, \
             {CONFIG_DIRECTORY}, the user {USER}, and {STATE} with the providers' sealed keys, their \
             master key and the access log."
        ),
    }
    if !yes && !confirmed()? {
        bail!("nothing was removed");
    }
    for unit in [SERVICE, ADMISSION] {
        let file = format!("{UNIT_DIRECTORY}/{unit}");
        if runs_systemd() && Path::new(&file).exists() {
            must(&mut words([
                "systemctl",
                "--quiet",
                "disable",
                "--now",
                unit,
            ]))?;
        }
        remove(&file)?;
        remove(&format!("{file}.d"))?;
    }
    if Path::new(BINARY).exists() {
        let mut detach = words([BINARY, "admission", "detach"]);
        if Path::new(CONFIG).exists() {
            detach.args(["--config", CONFIG]);
        }
        must(&mut detach)?;
    }
    // Kept when its unit stops.
    remove("/run/keyway-admission")?;
    remove(BINARY)?;
    if runs_systemd() {
        must(&mut words(["systemctl", "daemon-reload"]))?;
        // Nothing to reset is no mistake.
        quiet(&["systemctl", "reset-failed", SERVICE, ADMISSION])?;
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
