//! Running other programs: loud failures, and nothing left running.

use std::{
    ffi::OsStr,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// A service that does not end within this time after SIGTERM is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two looks at something that has no event to wait for.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The workspace's directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// `cargo`, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the node for release, and says where it is.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn release_node() -> Result<PathBuf> {
    let package = ["build", "--release", "--package", "gateway"];
    must(cargo().args(package).args(["--bin", "keyway"]))?;
    Ok(root().join("target/release/keyway"))
}

/// A command from words.
pub(crate) fn words<I: AsRef<OsStr>>(words: impl IntoIterator<Item = I>) -> Command {
    let mut words = words.into_iter();
    let program = words.next().expect("a program");
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// Runs it in the foreground; it has to succeed.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("run {shown}"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

/// Runs it with `input` and returns what it printed; it has to succeed.
pub(crate) fn read(command: &mut Command, input: &str) -> Result<String> {
    let shown = show(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {shown}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{shown}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Is a program of this name in `PATH`?
pub(crate) fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        // Debian keeps administration tools out of an ordinary user's PATH, and each PostgreSQL out of all.
        let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        let databases = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten();
        std::env::split_paths(&path)
            .chain(more)
            .chain(
                databases
                    .flatten()
                    .map(|version| version.path().join("bin")),
            )
            .any(|directory| directory.join(program).is_file())
    })
}

/// Waits until `done` holds.
pub(crate) fn wait_until(
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !done()? {
        crate::interrupt::check()?;
        if Instant::now() > deadline {
            bail!("{what}: not within {limit:?}");
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// A program in the background, in a process group of its own so that a Ctrl-C at the terminal leaves
/// the order of stopping to us. It is stopped on drop.
pub(crate) struct Service {
    child: Child,
    name: String,
}

impl Service {
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// An error when it has ended by itself.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}", self.name),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let Ok(group) = i32::try_from(self.child.id()).map(Pid::from_raw) else {
            return;
        };
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = killpg(group, Signal::SIGTERM);
        let deadline = Instant::now() + STOP_TIME_MAX;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK_INTERVAL);
        }
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
