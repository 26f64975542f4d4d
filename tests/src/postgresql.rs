//! PostgreSQL's own server, of Debian's package, in a temporary directory: on a unix socket, where everybody
//! may be anybody, and on loopback, by TLS and with a password. It ends with the process that started it,
//! however that ends.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User, geteuid},
};
use tempfile::TempDir;

use crate::{certificate::Authority, node::free_port};

/// Debian's, by version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Whom the server runs as for root: it refuses to be root.
const NOBODY: &str = "nobody";
const USER: &str = "keyway";
/// For those who come by TLS.
pub const PASSWORD: &str = "correct-horse-battery-staple";
/// Made by `initdb`.
const DATABASE: &str = "postgres";
/// Nothing here has to survive the machine; several nodes and all tests at once connect.
const OPTIONS: &str = "-c listen_addresses=127.0.0.1 -c ssl=on -c fsync=off -c full_page_writes=off \
     -c max_connections=300 -c shared_buffers=32MB -c jit=off";

/// Between two looks at a process, which has no event to wait for.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

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
    port: u16,
    authority: Authority,
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
            port: free_port()?,
            authority: Authority::new("database")?,
            schemas: AtomicU32::new(0),
        };
        // Its ordinary locale is not the one in which bytes are compared.
        must(
            server
                .program("initdb")
                .args([
                    "--auth-local=trust",
                    "--auth-host=scram-sha-256",
                    "--no-sync",
                ])
                .args(["--encoding=UTF8", "--locale=C.UTF-8"])
                .args(["--username", USER, "--pgdata"])
                .arg(server.data()),
        )?;
        for (name, text, mode) in [
            ("server.crt", &server.authority.chain_pem, 0o644),
            ("server.key", &server.authority.key_pem, 0o600),
        ] {
            let path = server.data().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
            if let Some(user) = &server_user {
                chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
            }
        }
        server.start_again()?;
        server.query(&format!("ALTER ROLE {USER} PASSWORD '{PASSWORD}'"))?;
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
        let (directory, port) = (self.directory.display(), self.port);
        format!("postgresql:///{DATABASE}?user={USER}&host={directory}&port={port}")
    }

    /// The same by TLS; asks for [`PASSWORD`].
    pub fn tls_url(&self) -> String {
        let port = self.port;
        format!(
            "postgresql://{USER}@localhost:{port}/{DATABASE}?hostaddr=127.0.0.1&sslmode=require"
        )
    }

    /// Whom a client by TLS has to trust, in PEM.
    pub fn ca_pem(&self) -> &str {
        &self.authority.ca_pem
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
            .args(["--port", &self.port.to_string(), "--command", sql]);
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

    /// Kills every process of the server and waits until they are gone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self) -> Result<()> {
        let processes = self.processes()?;
        self.signal(Signal::SIGKILL)?;
        for pid in processes {
            while state(pid).is_some_and(|state| state != "Z") {
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
        // Nobody may be there who takes note of its end, and it would count as running.
        fs::remove_file(self.data().join("postmaster.pid"))?;
        let lock = format!(".s.PGSQL.{}.lock", self.port);
        fs::remove_file(self.directory.join(lock))?;
        Ok(())
    }

    /// Starts it on the same data, after it was killed.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&self) -> Result<()> {
        let (directory, port) = (self.directory.display(), self.port);
        let options = format!("{OPTIONS} -c port={port} -c unix_socket_directories='{directory}'");
        must(
            self.program("pg_ctl")
                .args(["--wait", "--silent", "--options", &options, "--log"])
                .args([self.directory.join("log"), "--pgdata".into(), self.data()])
                .arg("start"),
        )
        .map(drop)
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn processes(&self) -> Result<Vec<Pid>> {
        let file = fs::read_to_string(self.data().join("postmaster.pid"))?;
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
        let owner = fs::metadata(&self.directory).map(|metadata| Uid::from_raw(metadata.uid()));
        let user = owner.ok().filter(|_| geteuid().is_root());
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

/// As in the third field of `/proc/PID/stat`; `None` when it is gone.
fn state(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().next().map(str::to_owned)
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
