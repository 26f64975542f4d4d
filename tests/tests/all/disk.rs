//! A disk of the usage log that is full, that hangs, or that the kernel made read-only: new exchanges
//! wait, bounded, and get 503; what runs goes on; and every exchange leaves one record.

use std::{
    collections::HashSet,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use gateway_tests::{
    agent::{Reply, Session, Version},
    machine::Machine,
    node::Node,
    skip,
};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Duration, Instant},
};

use super::*;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
const USAGE_LOG_WAIT: Duration = Duration::from_millis(300);
/// What a refusal may take beyond that: ticks, and a machine that is busy with other tests.
const LATE_MAX: Duration = Duration::from_secs(3);
/// Between exchanges, so that each is a batch of its own, and few of them fill the queue.
const PACE: Duration = Duration::from_millis(60);
/// Exchanges until some must have been refused; what the log shows on one page.
const EXCHANGES_UNTIL_FULL: usize = 80;

/// A node whose usage log has a disk of its own.
struct Setup {
    standin: StandIn,
    node: Node,
    alice: Session,
    disk: TempDir,
    machine: Arc<Machine>,
    /// Exchanges begun, and those refused.
    begun: usize,
    refused: usize,
}

impl Setup {
    /// `mount` gets the machine and the directory to mount on.
    async fn start(
        test: &str,
        mount: impl FnOnce(&Machine, &Path) -> Result<(), &'static str>,
    ) -> Option<Self> {
        Self::start_with(test, mount, "refuse").await
    }

    async fn start_with(
        test: &str,
        mount: impl FnOnce(&Machine, &Path) -> Result<(), &'static str>,
        when_full: &str,
    ) -> Option<Self> {
        let [machine] = machines(test)?;
        let disk = tempfile::Builder::new()
            .prefix("keyway-disk-")
            .tempdir()
            .unwrap();
        let at = disk.path().join("mounted");
        std::fs::create_dir(&at).unwrap();
        if let Err(reason) = mount(&machine, &at) {
            skip(test, reason);
            return None;
        }
        let standin = Options::new(Vendor::OpenAi, Transport::Plain, KEY);
        let standin = StandIn::start_on(&machine, standin).await.unwrap();
        let options = NodeOptions {
            machine: Some(Arc::clone(&machine)),
            usage: Some(at.join("usage")),
            extra: vec![
                ("usage", "queue_batches_limit = 1".to_owned()),
                ("usage", format!("when_full = \"{when_full}\"")),
                (
                    "timeouts",
                    format!("usage_log_wait = \"{}ms\"", USAGE_LOG_WAIT.as_millis()),
                ),
            ],
            ..NodeOptions::default()
        };
        let node = Node::with(options, &standin, Vendor::OpenAi, KEY)
            .await
            .unwrap();
        let mut alice = node.alice().await.unwrap();
        alice.machine = Some(Arc::clone(&machine));
        let mut setup = Self {
            alice: alice.session(Version::Http2).await.unwrap(),
            standin,
            node,
            disk,
            machine,
            begun: 0,
            refused: 0,
        };
        assert_eq!(setup.exchange().await.status, StatusCode::OK);
        setup.node.records(1).await.unwrap();
        Some(setup)
    }

    /// Leaves no room on the disk; returns the file that takes it.
    fn fill(&self) -> PathBuf {
        let filler = self.machine.path(&self.mounted()).join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        for bytes in [1 << 20, 4096] {
            while file.write_all(&vec![0; bytes]).is_ok() {}
        }
        filler
    }

    fn mounted(&self) -> PathBuf {
        self.disk.path().join("mounted")
    }

    /// The id of the thread that writes the log.
    fn usage_writer(&self) -> String {
        let tasks = format!("/proc/{}/task", self.node.pid().unwrap());
        let mut tasks = std::fs::read_dir(tasks).unwrap().map(Result::unwrap);
        let is_writer = |task: &std::fs::DirEntry| {
            let name = std::fs::read_to_string(task.path().join("comm"));
            name.is_ok_and(|name| name == "usage-writer\n")
        };
        let writer = tasks.find(is_writer).unwrap().file_name();
        writer.into_string().unwrap()
    }

    async fn exchange(&mut self) -> Reply {
        self.begun += 1;
        let begun = Instant::now();
        let reply = self.alice.post(CHAT, &chat("hi", false), &[]).await;
        let reply = reply.unwrap();
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            self.refused += 1;
            assert_eq!(reply.error_code(), "keyway.usage_log_behind", "{reply:?}");
            let body = String::from_utf8_lossy(&reply.body);
            assert!(body.contains("the usage log cannot keep up"), "{body}");
            let took = begun.elapsed();
            assert!(took >= USAGE_LOG_WAIT && took < USAGE_LOG_WAIT + LATE_MAX);
        } else {
            assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        }
        reply
    }

    /// A stream that runs for about `events` times 20 ms.
    async fn stream(&mut self, events: usize) -> http::Response<hyper::body::Incoming> {
        self.begun += 1;
        let body = chat(&format!("[[events={events} ms=20]]"), true).to_string();
        let mut response = self
            .alice
            .begin(Method::POST, CHAT, &JSON, Bytes::from(body))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.frame().await.unwrap().unwrap();
        response
    }

    /// Exchanges until the first refusals.
    async fn exchange_until_refused(&mut self) {
        for _ in 0..EXCHANGES_UNTIL_FULL {
            self.exchange().await;
            if self.refused >= 3 {
                return;
            }
            tokio::time::sleep(PACE).await;
        }
        panic!("nothing is refused\n{}", self.node.log());
    }

    /// Every exchange has one record, and the refused ones say so.
    async fn assert_all_recorded(&self) {
        let rows = self.node.records(self.begun).await.unwrap();
        assert_eq!(rows.len(), self.begun);
        assert_eq!(ids(&rows).len(), self.begun, "an id is given twice");
        let refused = rows
            .iter()
            .filter(|row| text(row, "reason") == "usage_log_behind");
        assert_eq!(refused.count(), self.refused);
        let answered = self.standin.stats().answered;
        assert_eq!(answered, (self.begun - self.refused) as u64);
    }
}

fn ids(rows: &[Value]) -> HashSet<&str> {
    rows.iter().map(|row| text(row, "id")).collect()
}

async fn finish(response: http::Response<hyper::body::Incoming>) {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"), "a cut stream");
}

fn mount_tmpfs(machine: &Machine, at: &Path) -> Result<(), &'static str> {
    let line = format!("mount -t tmpfs -o size=96m none {}", at.display());
    machine.run(&line).unwrap();
    Ok(())
}

/// A small ext4 on a loop device, which goes with its mount.
fn mount_ext4(machine: &Machine, at: &Path) -> Result<(), &'static str> {
    const IMAGE_BYTES: u64 = 32 << 20;
    let image = at.with_extension("img");
    let file = std::fs::File::create(&image).unwrap();
    file.set_len(IMAGE_BYTES).unwrap();
    let (image, at) = (image.display(), at.display());
    machine
        .run(&format!("mkfs.ext4 -q {image}"))
        .and_then(|_| machine.run(&format!("mount -o loop,errors=remount-ro {image} {at}")))
        .map(drop)
        .map_err(|_| "needs a loop device with ext4")
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_loses_nothing() {
    let test = "a_full_disk_refuses_what_is_new_and_loses_nothing";
    let Some(mut setup) = Setup::start(test, mount_tmpfs).await else {
        return;
    };
    let running = setup.stream(150).await;
    let filler = setup.fill();
    setup.exchange_until_refused().await;
    setup
        .node
        .wait_unready("database or disk is full")
        .await
        .unwrap();
    setup.node.wait_log("cannot go on").await.unwrap();
    finish(running).await;
    setup.exchange().await;

    std::fs::remove_file(filler).unwrap();
    setup.node.wait_ready().await.unwrap();
    setup.node.wait_log("caught up").await.unwrap();
    assert_eq!(setup.exchange().await.status, StatusCode::OK);
    setup.assert_all_recorded().await;
    setup.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_stops_nobody_where_that_is_the_choice() {
    let test = "a_full_disk_stops_nobody_where_that_is_the_choice";
    let Some(mut setup) = Setup::start_with(test, mount_tmpfs, "serve").await else {
        return;
    };
    let filler = setup.fill();
    for _ in 0..EXCHANGES_UNTIL_FULL {
        assert_eq!(setup.exchange().await.status, StatusCode::OK);
    }
    setup.node.wait_log("cannot go on").await.unwrap();
    let (status, report) = setup.node.telemetry("/readyz").await.unwrap();
    assert_eq!(status, StatusCode::OK, "{report}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["ready"], true);
    let parts = report["parts"].as_array().unwrap();
    let log = parts.iter().find(|part| part["name"] == "usage_log");
    let reason = text(log.unwrap(), "reason");
    assert!(reason.contains("database or disk is full"), "{reason}");

    std::fs::remove_file(filler).unwrap();
    setup.node.wait_log("caught up").await.unwrap();
    setup.assert_all_recorded().await;
    setup.node.stop().await.unwrap();
}

/// Refusals leave records too. What a worker holds of them is bounded: from there on it closes
/// connections, so that nothing begins.
#[tokio::test]
async fn a_flood_on_a_full_disk_is_shed() {
    /// As long as a record keeps it, so that few requests do.
    const PATH_BYTES: usize = 256;
    const CONNECTIONS: usize = 20;
    let test = "a_flood_on_a_full_disk_is_shed";
    let Some(mut setup) = Setup::start(test, mount_tmpfs).await else {
        return;
    };
    let filler = setup.fill();
    setup.exchange_until_refused().await;

    let mut alice = setup.node.alice().await.unwrap();
    alice.machine = Some(Arc::clone(&setup.machine));
    let stream = alice.tls(Version::Http1).await.unwrap();
    let (mut answers, mut requests) = tokio::io::split(stream);
    let (host, path) = (alice.authority(), "x".repeat(PATH_BYTES));
    let session = "s".repeat(128);
    let request =
        format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nx-session-id: {session}\r\n\r\n");
    let flood = tokio::spawn(async move {
        let many = request.repeat(100);
        while requests.write_all(many.as_bytes()).await.is_ok() {}
    });
    let mut answered = 0;
    let mut buffer = vec![0; 64 << 10];
    let status = memchr::memmem::Finder::new("HTTP/1.1 404");
    loop {
        let read = answers.read(&mut buffer);
        match tokio::time::timeout(gateway_tests::agent::PATIENCE, read).await {
            Ok(Ok(length @ 1..)) => answered += status.find_iter(&buffer[..length]).count(),
            // Requests that nobody reads make a reset of the close.
            Ok(Ok(0) | Err(_)) => break,
            Err(_) => panic!("the flood goes on after {answered} answers"),
        }
    }
    flood.abort();
    assert!(answered > 1000, "{answered} answers");
    // Some connections come to the other worker, which was not flooded.
    let mut refused = false;
    for _ in 0..CONNECTIONS {
        refused |= alice.tls(Version::Http1).await.is_err();
    }
    assert!(refused, "connections are taken");

    std::fs::remove_file(filler).unwrap();
    setup.node.wait_ready().await.unwrap();
    // "Refused, not processed", until the worker has handed over what it held.
    while setup
        .alice
        .post(CHAT, &chat("hi", false), &[])
        .await
        .is_err()
    {
        tokio::time::sleep(PACE).await;
    }
    setup.begun += 1;
    // What was answered and not read any more is recorded all the same.
    let deadline = Instant::now() + gateway_tests::agent::PATIENCE;
    loop {
        let path = "/api/agent-network/access-logs?page_size=1";
        let page = setup.node.api_ok(Method::GET, path, None).await.unwrap();
        let recorded = number(&page, "total_records") as usize;
        if recorded >= answered + setup.begun {
            break;
        }
        assert!(Instant::now() < deadline, "{recorded} of {answered}");
        tokio::time::sleep(PACE).await;
    }
    setup.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_hangs_is_waited_for() {
    const FROZEN: Duration = Duration::from_secs(5);
    let test = "a_disk_that_hangs_is_waited_for";
    let Some(mut setup) = Setup::start(test, mount_ext4).await else {
        return;
    };
    let running = setup.stream(150).await;
    // It thaws by itself, also when this test fails: nothing that waits for it could be killed.
    // The shell stands in the file system, which therefore outlives its mount until then.
    let (at, frozen) = (setup.mounted(), setup.mounted().with_extension("frozen"));
    let script = format!(
        "cd {} && fsfreeze -f . && touch {}; sleep {}; fsfreeze -u .",
        at.display(),
        frozen.display(),
        FROZEN.as_secs()
    );
    let mut freezer = std::process::Command::new("sh");
    freezer.args(["-c", &script]);
    // Out of reach of a Ctrl-C.
    freezer.process_group(0);
    setup.machine.enter(&mut freezer);
    let mut freezer = freezer.spawn().unwrap();
    while !frozen.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    setup.exchange_until_refused().await;
    setup
        .node
        .wait_unready("the disk does not finish a write")
        .await
        .unwrap();
    setup.exchange().await;
    finish(running).await;

    while freezer.try_wait().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    setup.node.wait_ready().await.unwrap();
    setup
        .node
        .wait_log("the disk of the usage log is slow")
        .await
        .unwrap();
    assert_eq!(setup.exchange().await.status, StatusCode::OK);
    setup.assert_all_recorded().await;
    setup.node.stop().await.unwrap();
}

/// A failed sync leaves open what of it is on the disk: nothing counts as written before one succeeds.
#[tokio::test]
async fn a_disk_that_fails_to_sync_is_written_again() {
    let test = "a_disk_that_fails_to_sync_is_written_again";
    let Some(mut setup) = Setup::start(test, mount_tmpfs).await else {
        return;
    };
    let mut strace = std::process::Command::new("strace");
    strace.args(["-e", "inject=fsync,fdatasync:error=EIO", "-o", "/dev/null"]);
    strace.args(["-p", &setup.usage_writer()]);
    let Ok(mut strace) = strace.spawn() else {
        skip(test, "needs strace");
        return;
    };
    setup.exchange_until_refused().await;
    setup.node.wait_unready("disk I/O error").await.unwrap();
    strace.kill().unwrap();
    strace.wait().unwrap();
    setup.node.wait_ready().await.unwrap();
    setup.node.wait_log("caught up").await.unwrap();
    assert_eq!(setup.exchange().await.status, StatusCode::OK);
    setup.assert_all_recorded().await;
    setup.node.stop().await.unwrap();
}

/// The kernel remounts a damaged file system read-only under its users, and only unmounting cures it: what
/// the node then holds in memory is lost with it, and counted.
#[tokio::test]
async fn a_disk_that_became_read_only_costs_what_is_counted() {
    let test = "a_disk_that_became_read_only_costs_what_is_counted";
    let Some(mut setup) = Setup::start(test, mount_ext4).await else {
        return;
    };
    let running = setup.stream(150).await;
    let at = setup.mounted();
    let at = at.display();
    let device = setup
        .machine
        .run(&format!("findmnt -n -o SOURCE {at}"))
        .unwrap();
    let device = device.trim().rsplit('/').next().unwrap();
    let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
    std::fs::write(trigger, "a planted error").unwrap();
    setup.exchange_until_refused().await;
    setup.node.wait_unready("readonly database").await.unwrap();
    finish(running).await;

    setup.node.signal(libc::SIGTERM).unwrap();
    let status = setup.node.wait_exit().await.unwrap();
    assert!(!status.success(), "{status}");
    let log = setup.node.log();
    let lost = log
        .split_once(" usage records are lost")
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse::<usize>().ok());
    let lost = lost.unwrap_or_else(|| panic!("the loss is not counted\n{log}"));

    setup.machine.run(&format!("umount {at}")).unwrap();
    let image = setup.mounted().with_extension("img");
    // Exit status 1: errors were corrected.
    let _ = setup
        .machine
        .run(&format!("fsck.ext4 -fy {}", image.display()));
    let mount = format!("mount -o loop {} {at}", image.display());
    setup.machine.run(&mount).unwrap();
    let node = setup.node.kill_and_restart().await.unwrap();
    node.wait_ready().await.unwrap();
    let rows = node.records(setup.begun - lost).await.unwrap();
    assert_eq!(ids(&rows).len(), rows.len(), "an id is given twice");
    assert_eq!(rows.len() + lost, setup.begun);
    node.stop().await.unwrap();
}
