//! PostgreSQL's own server, of Debian's package, in a temporary directory and on a unix socket alone. It
//! ends with the process that started it, however that ends.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User, geteuid},
};
use tempfile::TempDir;

/// Debian's, by version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Whom the server runs as for root: it refuses to be root.
const NOBODY: &str = "nobody";
const USER: &str = "keyway";
/// Made by `initdb`.
const DATABASE: &str = "postgres";
/// Nothing here has to survive the machine; several nodes and all tests at once connect.
const OPTIONS: &str =
    "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=300
     -c shared_buffers=32MB -c jit=off";

/// Why there is none here, for the line of a skipped test; `None` when there is.
pub fn why_not() -> Option<&'static str> {
    programs()
        .is_none()
        .then_some("needs Debian's package postgresql")
}

/// A running server, with one database that everybody on this machine may use.
pub struct Postgresql {
    directory: PathBuf,
    programs: PathBuf,
    /// Stops the server and removes its directory when its input ends.
    keeper: Child,
    lifeline: Option<ChildStdin>,
    schemas: AtomicU32,
}

impl Postgresql {
    /// One for the whole process. `None` where there is none, see [`why_not`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgresql>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                why_not()
                    .is_none()
                    .then(|| Self::start().expect("the server starts"))
            })
            .as_ref()
    }

    /// # Errors
    /// When it does not start; see [`why_not`].
    pub fn start() -> Result<Self> {
        let programs = programs().context("no PostgreSQL")?;
        let directory = TempDir::with_prefix("keyway-postgresql-")?.keep();
        let server_user = match geteuid().is_root() {
            true => Some(User::from_name(NOBODY)?.context("no user nobody")?),
            false => None,
        };
        if let Some(user) = &server_user {
            chown(&directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let mut keeper = as_server(server_user.as_ref().map(|user| user.uid), "sh")
            .args([
                "-c",
                "read -r _; \"$0\" -D \"$1\" -m immediate stop; rm -rf \"$2\"",
            ])
            .args([
                programs.join("pg_ctl"),
                directory.join("data"),
                directory.clone(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self {
            lifeline: keeper.stdin.take(),
            keeper,
            directory,
            programs,
            schemas: AtomicU32::new(0),
        };
        let data = server.directory.join("data");
        // Its ordinary locale is not the one in which bytes are compared.
        must(
            server
                .program("initdb")
                .args([
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                ])
                .args(["--username", USER, "--pgdata"])
                .arg(data),
        )?;
        server.start_again()?;
        Ok(server)
    }

    /// The URL of an empty schema.
    ///
    /// # Errors
    /// When the server does not make it.
    pub fn new_schema(&self) -> Result<String> {
        let number = self.schemas.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.query(&format!("CREATE SCHEMA {name}"))?;
        Ok(format!("{}&options=-csearch_path%3D{name}", self.url()))
    }

    /// The URL of the whole database.
    pub fn url(&self) -> String {
        let directory = self.directory.display();
        format!("postgresql:///{DATABASE}?user={USER}&host={directory}")
    }

    /// What `psql` says to a query: values alone, a row a line.
    ///
    /// # Errors
    /// When it fails.
    pub fn query(&self, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--username", USER, "--dbname", DATABASE, "--host"])
            .arg(&self.directory)
            .args(["--command", sql]);
        must(&mut psql)
    }

    /// Sends a signal to every process of the server.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        for pid in self.processes()? {
            // Sessions come and go.
            let _ = kill(pid, signal);
        }
        Ok(())
    }

    /// Starts it on the same data, after it was killed.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&self) -> Result<()> {
        let options = format!(
            "{OPTIONS} -c unix_socket_directories='{}'",
            self.directory.display()
        );
        must(
            self.program("pg_ctl")
                .args(["--wait", "--silent", "--options", &options, "--log"])
                .args([
                    self.directory.join("log"),
                    "--pgdata".into(),
                    self.directory.join("data"),
                ])
                .arg("start"),
        )
        .map(drop)
    }

    fn processes(&self) -> Result<Vec<Pid>> {
        let file = fs::read_to_string(self.directory.join("data/postmaster.pid"))?;
        let first: i32 = file.lines().next().context("its number")?.parse()?;
        let mut processes = vec![Pid::from_raw(first)];
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
            // After the name, which ends with the last bracket: state, parent.
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1));
            if parent == Some(&first.to_string())
                && let Some(pid) = path
                    .file_name()
                    .and_then(|name| name.to_str()?.parse().ok())
            {
                processes.push(Pid::from_raw(pid));
            }
        }
        Ok(processes)
    }

    fn program(&self, name: &str) -> Command {
        let owner = fs::metadata(&self.directory)
            .map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata));
        let user = owner
            .ok()
            .map(Uid::from_raw)
            .filter(|_| geteuid().is_root());
        as_server(user, self.programs.join(name))
    }
}

impl Drop for Postgresql {
    fn drop(&mut self) {
        let _ = self.signal(Signal::SIGCONT);
        self.lifeline = None;
        let _ = self.keeper.wait();
    }
}

/// A program for the user that the server runs as, in a place that it may look at.
fn as_server(user: Option<Uid>, program: impl AsRef<Path>) -> Command {
    let mut command = match user {
        Some(user) => {
            let mut command = Command::new("setpriv");
            command
                .args([format!("--reuid={user}"), "--regid=nogroup".to_owned()])
                .arg("--clear-groups")
                .arg(program.as_ref());
            command
        }
        None => Command::new(program.as_ref()),
    };
    command.current_dir("/").env("LC_ALL", "C");
    command
}

/// The newest server's directory of programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.filter_map(Result::ok);
    let newest = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs
                .join("initdb")
                .is_file()
                .then_some((version, programs))
        })
        .max();
    newest.map(|(_, programs)| programs)
}

/// Runs a command to its end; returns its output.
fn must(command: &mut Command) -> Result<String> {
    // Through files: a server that is started keeps a pipe open.
    let mut output = tempfile::tempfile()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let status = child.wait()?;
    std::io::Seek::rewind(&mut output)?;
    let mut text = String::new();
    output.read_to_string(&mut text)?;
    ensure!(status.success(), "{command:?}: {text}");
    Ok(text)
}
