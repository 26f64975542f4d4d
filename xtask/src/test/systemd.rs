//! The service as `cargo xtask run --install` puts it in place, on a machine where systemd is init.

mod site;

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use self::site::{KEY, Site};
use super::Count;
use crate::apt;

/// A part of the service's life; each begins where the one before ended.
type Step = fn(&mut Site) -> Result<()>;

const STEPS: &[(&str, Step)] = &[
    ("install_starts_the_service", install_starts_the_service),
    ("it_waits_for_the_overlay", it_waits_for_the_overlay),
    (
        "files_are_for_those_who_need_them",
        files_are_for_those_who_need_them,
    ),
    ("it_has_no_privileges", it_has_no_privileges),
    ("its_exposure_is_low", its_exposure_is_low),
    ("a_reload_keeps_the_process", a_reload_keeps_the_process),
    ("a_bad_reload_changes_nothing", a_bad_reload_changes_nothing),
    ("it_comes_back_after_a_kill", it_comes_back_after_a_kill),
    (
        "exchanges_are_entries_of_the_journal",
        exchanges_are_entries_of_the_journal,
    ),
    ("it_is_started_until_it_can", it_is_started_until_it_can),
    (
        "kernel_admission_can_be_required",
        kernel_admission_can_be_required,
    ),
    (
        "the_kernel_program_outlives_both_units",
        the_kernel_program_outlives_both_units,
    ),
    ("another_install_updates_it", another_install_updates_it),
    ("it_stops_in_order", it_stops_in_order),
    (
        "the_journal_has_its_log_and_no_key",
        the_journal_has_its_log_and_no_key,
    ),
    ("uninstall_keeps_the_state", uninstall_keeps_the_state),
    ("purge_leaves_nothing", purge_leaves_nothing),
];

pub(super) fn run() -> Result<Count> {
    let mut count = Count::default();
    if !nix::unistd::geteuid().is_root() {
        count.skip("systemd, needs root privileges");
        return Ok(count);
    }
    if !apt::is_debian() {
        count.skip("systemd, needs Debian to make a machine of");
        return Ok(count);
    }
    apt::provide(apt::FOR_MACHINES)?;
    let binaries = Site::build()?;
    let mut site = match Site::new(binaries) {
        Ok(site) => site,
        Err(error) => {
            count.skip(&format!("systemd, no machine of its own: {error:#}"));
            return Ok(count);
        }
    };
    for (name, step) in STEPS {
        let started = Instant::now();
        match step(&mut site) {
            Ok(()) => {
                println!("test systemd::{name} ... ok ({:.1?})", started.elapsed());
                count.passed += 1;
            }
            Err(error) => {
                println!(
                    "test systemd::{name} ... FAILED\n{error:#}\n{}",
                    site.journal()?
                );
                // What follows begins where this should have ended.
                count.failed += 1;
                break;
            }
        }
    }
    Ok(count)
}

fn install_starts_the_service(site: &mut Site) -> Result<()> {
    site.install()?;
    site.must_show("ActiveState", "active")?;
    site.must_show("SubState", "running")?;
    site.must_show("UnitFileState", "enabled")?;
    site.must_show("NRestarts", "0")?;
    // Only sd_notify sets it.
    ensure!(!site.show("StatusText")?.is_empty(), "no status");
    Ok(())
}

fn it_waits_for_the_overlay(site: &mut Site) -> Result<()> {
    site.connect()?;
    ensure!(site.readyz()? == "503", "ready without its device");
    site.lay_overlay()?;
    site.wait_until_ready()?;
    site.ask()
}

fn files_are_for_those_who_need_them(site: &mut Site) -> Result<()> {
    let expected = [
        ("/usr/local/bin/keyway", "755 root root"),
        ("/etc/keyway", "755 root root"),
        ("/etc/keyway/keyway.toml", "640 root keyway"),
        ("/etc/systemd/system/keyway.service", "644 root root"),
        ("/var/lib/keyway", "700 keyway keyway"),
        ("/var/lib/keyway/master.key", "600 keyway keyway"),
        (
            "/etc/systemd/system/keyway-admission.service",
            "644 root root",
        ),
        ("/run/keyway", "750 keyway keyway"),
    ];
    for (path, expected) in expected {
        let found = site.shell(&format!("stat -c '%a %U %G' {path}"))?;
        ensure!(found.trim() == expected, "{path}: {found}");
    }
    let open = site.shell("find /var/lib/keyway -perm /077")?;
    ensure!(open.is_empty(), "open to others: {open}");
    let stranger = site.shell("runuser -u nobody -- keyway status");
    ensure!(stranger.is_err(), "any user may manage the node");
    Ok(())
}

fn it_has_no_privileges(site: &mut Site) -> Result<()> {
    let pid = site.pid()?;
    let status = site.shell(&format!("cat /proc/{pid}/status"))?;
    // The one capability is CAP_NET_BIND_SERVICE.
    for line in ["CapBnd:\t0000000000000400", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        ensure!(status.contains(line), "no {line:?} in\n{status}");
    }
    let user = site.shell("id -u keyway")?;
    let user = user.trim();
    let uids = format!("Uid:\t{user}\t{user}\t{user}\t{user}\n");
    ensure!(status.contains(&uids), "not the service's user:\n{status}");
    Ok(())
}

fn its_exposure_is_low(site: &mut Site) -> Result<()> {
    for unit in ["keyway.service", "keyway-admission.service"] {
        let report = site.shell(&format!(
            "systemd-analyze security --no-pager --threshold=20 {unit}"
        ))?;
        let Some(line) = report.lines().find(|line| line.contains("exposure level")) else {
            bail!("no score:\n{report}");
        };
        println!("{}", line.trim());
    }
    Ok(())
}

fn a_reload_keeps_the_process(site: &mut Site) -> Result<()> {
    let pid = site.pid()?;
    site.shell("printf '[timeouts]\\nkeep_alive = \"31s\"\\n' >> /etc/keyway/keyway.toml")?;
    site.shell("systemctl reload keyway.service")?;
    site.wait_for_log("configuration read again")?;
    site.must_show("ActiveState", "active")?;
    ensure!(site.pid()? == pid, "another process");
    site.ask()
}

fn a_bad_reload_changes_nothing(site: &mut Site) -> Result<()> {
    let pid = site.pid()?;
    site.shell("echo 'nonsense = true' >> /etc/keyway/keyway.toml")?;
    site.shell("systemctl reload keyway.service")?;
    site.wait_for_log("nonsense")?;
    site.must_show("ActiveState", "active")?;
    ensure!(site.pid()? == pid, "another process");
    site.ask()?;
    site.shell("sed -i /nonsense/d /etc/keyway/keyway.toml")
        .map(drop)
}

fn it_comes_back_after_a_kill(site: &mut Site) -> Result<()> {
    let pid = site.pid()?;
    site.shell(&format!("kill -KILL {pid}"))?;
    site.wait_for("NRestarts", "1")?;
    site.wait_for("ActiveState", "active")?;
    ensure!(site.pid()? != pid, "the same process");
    site.wait_until_ready()?;
    site.ask()
}

fn exchanges_are_entries_of_the_journal(site: &mut Site) -> Result<()> {
    site.shell(
        "printf '[access_log]\\njournald = true\\n' >> /etc/keyway/keyway.toml
        systemctl restart keyway.service",
    )?;
    site.wait_until_ready()?;
    site.ask()?;
    site.wait_for_entry("PRIORITY=6 SYSLOG_IDENTIFIER=keyway KEYWAY_OUTCOME=answered")
}

/// More often than systemd's own limit, five times in ten seconds.
fn it_is_started_until_it_can(site: &mut Site) -> Result<()> {
    site.shell(
        "mv /etc/keyway/keyway.toml /tmp/away; systemctl --no-block restart keyway.service",
    )?;
    site.wait_until("NRestarts", |restarts| {
        restarts.parse().is_ok_and(|restarts: u32| restarts > 6)
    })?;
    site.shell("mv /tmp/away /etc/keyway/keyway.toml")?;
    site.wait_for("ActiveState", "active")?;
    site.wait_until_ready()?;
    site.ask()
}

/// The node has no capability for it: the unit beside it has.
fn kernel_admission_can_be_required(site: &mut Site) -> Result<()> {
    site.shell(
        "printf '[admission]\\nmode = \"required\"\\n' >> /etc/keyway/keyway.toml
        systemctl restart keyway.service",
    )?;
    site.wait_until_ready()?;
    site.must_be_in_front()?;
    it_has_no_privileges(site)?;
    site.ask()
}

fn the_kernel_program_outlives_both_units(site: &mut Site) -> Result<()> {
    site.shell("systemctl kill --signal=KILL keyway-admission.service keyway.service")?;
    site.wait_until_ready()?;
    site.must_be_in_front()?;
    site.shell("systemctl stop keyway.service keyway-admission.service")?;
    let pins = site.shell("ls /sys/fs/bpf/keyway")?;
    ensure!(!pins.is_empty(), "nothing is pinned");
    site.shell("systemctl start keyway.service")?;
    site.wait_until_ready()?;
    site.must_be_in_front()?;
    site.ask()
}

fn another_install_updates_it(site: &mut Site) -> Result<()> {
    let pid = site.pid()?;
    site.install()?;
    site.must_show("ActiveState", "active")?;
    ensure!(site.pid()? != pid, "the old process");
    site.wait_until_ready()?;
    site.ask()
}

fn it_stops_in_order(site: &mut Site) -> Result<()> {
    site.shell("systemctl stop keyway.service")?;
    site.must_show("ActiveState", "inactive")?;
    site.must_show("Result", "success")?;
    let left = site.shell("ls -A /run/keyway 2>/dev/null || true")?;
    ensure!(left.is_empty(), "left in /run/keyway: {left}");
    site.shell("systemctl start keyway.service").map(drop)
}

fn the_journal_has_its_log_and_no_key(site: &mut Site) -> Result<()> {
    let journal = site.journal()?;
    for words in ["worker runs", "configuration read again", "stopped"] {
        ensure!(journal.contains(words), "no {words:?} in\n{journal}");
    }
    ensure!(
        !journal.contains(KEY),
        "the provider's key is in the journal"
    );
    Ok(())
}

fn uninstall_keeps_the_state(site: &mut Site) -> Result<()> {
    site.uninstall(&[])?;
    site.shell("test ! -e /usr/local/bin/keyway && test ! -e /etc/systemd/system/keyway.service")?;
    site.shell("test ! -e /sys/fs/bpf/keyway")?;
    site.shell("test -e /etc/keyway/keyway.toml && test -e /var/lib/keyway/master.key")?;
    // What was kept serves again.
    site.install()?;
    site.wait_until_ready()?;
    site.ask()
}

fn purge_leaves_nothing(site: &mut Site) -> Result<()> {
    site.uninstall(&["--purge"])?;
    site.must_show("LoadState", "not-found")?;
    let left = site.new_files()?;
    ensure!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    let user = site.shell("getent passwd keyway || true; getent group keyway || true")?;
    ensure!(user.is_empty(), "the user stays: {user}");
    Ok(())
}
