//! The machine under test with what surrounds the node: a demo provider, an overlay and an agent on it.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    command::{Service, must, read, root, wait_until},
    machine::Machine,
    run,
};

/// The provider's key, as the operator types it.
pub(super) const KEY: &str = "sk-demo-systemd-0123456789abcdef";
const MODEL: &str = "gpt-4o-mini";
const TIME_MAX: Duration = Duration::from_secs(30);
/// Where an install, and what it leaves, would be.
const PLACES: &str = "/etc /home /opt /root /run/systemd/system /srv /usr /var/lib";

/// The least there is, as the README has it.
const CONFIG: &str = "[overlay]\ninterface = \"wt0\"\n";

/// Two WireGuard devices: the node's, and the agent's in a namespace of its own.
const OVERLAY: &str = "
ip netns add agent
ip link add cable0 type veth peer name cable1 netns agent
ip addr add 198.19.0.1/30 dev cable0
ip link set cable0 up
ip -n agent addr add 198.19.0.2/30 dev cable1
ip -n agent link set cable1 up
ip -n agent link set lo up
umask 077
wg genkey > /tmp/node.key
wg genkey > /tmp/agent.key
wireguard-go wt0 > /dev/null 2>&1
ip netns exec agent wireguard-go wt1 > /dev/null 2>&1
wg set wt0 listen-port 51820 private-key /tmp/node.key \
    peer $(wg pubkey < /tmp/agent.key) allowed-ips 198.18.0.2/32 endpoint 198.19.0.2:51820
wg set wt1 listen-port 51820 private-key /tmp/agent.key \
    peer $(wg pubkey < /tmp/node.key) allowed-ips 198.18.0.1/32 endpoint 198.19.0.1:51820
ip addr add 198.18.0.1/24 dev wt0
ip link set wt0 up
ip -n agent addr add 198.18.0.2/24 dev wt1
ip -n agent link set wt1 up
";

pub(super) struct Site {
    binaries: PathBuf,
    /// The endpoint's generated name.
    host: String,
    provider_url: String,
    _provider: Service,
    files_before: BTreeSet<String>,
    // Last, so that it is powered off after the rest.
    machine: Machine,
}

impl Site {
    /// The programs under test, and their directory.
    pub(super) fn build() -> Result<PathBuf> {
        let packages = [("gateway", "keyway"), ("gateway-tests", "provider-standin")];
        run::build(&packages, true)
    }

    pub(super) fn new(binaries: PathBuf) -> Result<Self> {
        let program = std::env::current_exe()?;
        let programs = program.parent().context("its directory")?;
        let machine = Machine::boot(&[root(), &binaries, programs])?;
        machine.shell(&format!("cat > /tmp/keyway.toml <<'END'\n{CONFIG}END"))?;
        let files_before = files(&machine)?;

        let mut command = machine.command([binaries.join("provider-standin")]);
        command.args(["serve", "--demo", "--vendor", "openai"]);
        command.args(["--ca-out", "/tmp/provider-ca.pem"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut provider = Service::start("the demo provider", &mut command)?;
        let mut stdin = provider.child().stdin.take().context("its input")?;
        stdin.write_all(KEY.as_bytes())?;
        drop(stdin);
        let stdout = provider.child().stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).context("the demo provider's first line")?;
        let provider_url = ready["url"].as_str().context("its URL")?.to_owned();
        Ok(Self {
            binaries,
            host: String::new(),
            provider_url,
            _provider: provider,
            files_before,
            machine,
        })
    }

    pub(super) fn shell(&self, script: &str) -> Result<String> {
        self.machine.shell(script)
    }

    /// `cargo xtask run --config FILE --install`, after the build.
    pub(super) fn install(&self) -> Result<()> {
        let mut command = self.machine.command([std::env::current_exe()?]);
        command.args(["run", "--config", "/tmp/keyway.toml", "--install", "--yes"]);
        must(command.arg("--binary").arg(self.binaries.join("keyway")))
    }

    pub(super) fn uninstall(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.machine.command([std::env::current_exe()?]);
        must(
            command
                .args(["run", "--uninstall", "--yes"])
                .args(arguments),
        )
    }

    /// What an operator types next, with the installed program.
    pub(super) fn connect(&mut self) -> Result<()> {
        let url = &self.provider_url;
        let script = format!(
            "keyway providers connect openai_api --url {url} --model {MODEL} \
                --allow-private=true --ca-file /tmp/provider-ca.pem --key-stdin >/dev/null
            keyway peers add laptop-ada --address 198.18.0.2 --group agents \
                --user-email ada@example.com >/dev/null
            keyway policies add agents-openai --group agents --provider 'OpenAI API' >/dev/null
            keyway agent-config claude-code >/dev/null
            keyway ca export > /tmp/endpoint-ca.pem
            keyway --output json settings show"
        );
        let settings = read(&mut self.machine.command(["sh", "-euc", &script]), KEY)?;
        let settings: Value = serde_json::from_str(&settings)?;
        let host = settings["endpoint"].as_str();
        self.host = host.context("the endpoint's name")?.to_owned();
        Ok(())
    }

    pub(super) fn lay_overlay(&self) -> Result<()> {
        self.shell(OVERLAY).map(drop)
    }

    /// The agent asks without a key, and gets the demo provider's answer.
    pub(super) fn ask(&self) -> Result<()> {
        let standin = self.binaries.join("provider-standin");
        let answer = self.shell(&format!(
            "ip netns exec agent {} agent --connect 198.18.0.1:443 --host {} --model {MODEL} \
                --ca-file /tmp/endpoint-ca.pem --prompt hello",
            standin.display(),
            self.host,
        ))?;
        ensure!(answer.contains("demo provider"), "the agent got\n{answer}");
        Ok(())
    }

    /// Status of the node's readiness.
    pub(super) fn readyz(&self) -> Result<String> {
        let script = "exec 3<>/dev/tcp/127.0.0.1/9471
            printf 'GET /readyz HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n' >&3
            read -r _ status _ <&3
            echo $status";
        let status = read(&mut self.machine.command(["bash", "-c", script]), "")?;
        Ok(status.trim().to_owned())
    }

    pub(super) fn wait_until_ready(&self) -> Result<()> {
        // Its listener may not be there yet.
        let is_ready = || Ok(self.readyz().is_ok_and(|status| status == "200"));
        wait_until("the node is ready", TIME_MAX, is_ready)
    }

    pub(super) fn must_be_in_front(&self) -> Result<()> {
        let status = self.shell("keyway --output json admission status")?;
        let status: Value = serde_json::from_str(&status)?;
        ensure!(status["in_front"] == true, "not in front: {status:#}");
        Ok(())
    }

    /// A property of the service.
    pub(super) fn show(&self, property: &str) -> Result<String> {
        let shown = self.shell(&format!(
            "systemctl show --value -p {property} keyway.service"
        ))?;
        Ok(shown.trim().to_owned())
    }

    pub(super) fn must_show(&self, property: &str, expected: &str) -> Result<()> {
        let found = self.show(property)?;
        ensure!(
            found == expected,
            "{property} is {found:?}, not {expected:?}"
        );
        Ok(())
    }

    pub(super) fn wait_for(&self, property: &str, expected: &str) -> Result<()> {
        self.wait_until(property, |found| found == expected)
            .with_context(|| format!("waited for {expected}"))
    }

    pub(super) fn wait_until(&self, property: &str, is_so: impl Fn(&str) -> bool) -> Result<()> {
        wait_until(property, TIME_MAX, || Ok(is_so(&self.show(property)?)))
    }

    pub(super) fn pid(&self) -> Result<String> {
        self.show("MainPID")
    }

    pub(super) fn journal(&self) -> Result<String> {
        self.shell("journalctl --no-pager --output=cat -u keyway.service")
    }

    pub(super) fn wait_for_log(&self, words: &str) -> Result<()> {
        let done = || Ok(self.journal()?.contains(words));
        wait_until(&format!("{words:?} in the journal"), TIME_MAX, done)
    }

    /// An entry of the service's with these fields.
    pub(super) fn wait_for_entry(&self, fields: &str) -> Result<()> {
        let script =
            format!("journalctl --no-pager --output=cat _SYSTEMD_UNIT=keyway.service {fields}");
        // Without entries it says so, on a line that begins with two dashes.
        let done = || {
            let found = self.shell(&script)?;
            Ok(found.lines().any(|line| !line.starts_with("--")))
        };
        wait_until(&format!("{fields} in the journal"), TIME_MAX, done)
    }

    /// Files that were not there before the first install.
    pub(super) fn new_files(&self) -> Result<Vec<String>> {
        let files = files(&self.machine)?;
        Ok(files.difference(&self.files_before).cloned().collect())
    }
}

fn files(machine: &Machine) -> Result<BTreeSet<String>> {
    // Copies of the user database (`passwd-`) are Debian's own habit.
    let script = format!("find {PLACES} -xdev ! -name '*-' ! -path /var/lib/systemd/'*'");
    Ok(machine.shell(&script)?.lines().map(str::to_owned).collect())
}
