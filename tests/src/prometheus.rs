//! A real Prometheus, of Debian's package, that scrapes one node on loopback.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    time::Instant,
};

use crate::unix_http;

/// Start, scrapes and evaluations happen within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at its API, which has no event to wait for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Between two scrapes, and two evaluations of rules.
const INTERVAL: &str = "1s";

/// Why there is none here, for the line of a skipped test; `None` when there is.
pub fn why_not() -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |program: &str| std::env::split_paths(&path).any(|at| at.join(program).is_file());
    (!is_there("prometheus") || !is_there("promtool"))
        .then_some("needs Debian's package prometheus")
}

/// Runs `promtool` and returns what it says, whatever that is.
///
/// # Errors
/// When it cannot be run.
pub async fn promtool(arguments: &[&str], stdin: &str) -> Result<Output> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("promtool")?;
    let mut input = child.stdin.take().context("its input")?;
    // A command that reads nothing may be gone already.
    let _ = input.write_all(stdin.as_bytes()).await;
    drop(input);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    Ok(output.context("promtool hangs")??)
}

/// One series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Series {
    /// A label's value; empty when it is missing, as Prometheus has it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// See the module. Dropping it kills the process.
pub struct Prometheus {
    _child: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one that listens at `address`, scrapes `target` as job `keyway` and evaluates `rules`.
    ///
    /// # Errors
    /// When it does not come up; the message holds the end of its log.
    pub async fn start(address: SocketAddr, target: SocketAddr, rules: &[PathBuf]) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("keyway-prometheus-")
            .tempdir()?;
        let rules: Vec<_> = rules.iter().map(|file| format!("{file:?}")).collect();
        let config = format!(
            "global: {{scrape_interval: {INTERVAL}, evaluation_interval: {INTERVAL}}}\n\
             rule_files: [{}]\n\
             scrape_configs: [{{job_name: keyway, static_configs: [{{targets: [\"{target}\"]}}]}}]\n",
            rules.join(", ")
        );
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("prometheus.yml"), config)?;
        let log = std::fs::File::create(at("log"))?;
        let child = Command::new("prometheus")
            .arg(flag("config.file", &at("prometheus.yml")))
            .arg(flag("storage.tsdb.path", &at("data")))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("prometheus")?;
        let prometheus = Self {
            _child: child,
            directory,
            address,
        };
        let deadline = Instant::now() + PATIENCE;
        while prometheus.query("up", None).await.is_err() {
            ensure!(
                Instant::now() < deadline,
                "Prometheus does not answer\n{}",
                prometheus.log()
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(prometheus)
    }

    /// When the node was scraped last, in seconds since the epoch. Waits for the first time, and for the next one after
    /// a scrape that took too long.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn last_scrape(&self) -> Result<f64> {
        let has_come = |series: &[Series]| !series.is_empty();
        let series = self.wait("timestamp(keyway_build_info)", has_come).await?;
        Ok(series[0].value)
    }

    /// Evaluates an expression, at a time in seconds since the epoch or now.
    ///
    /// # Errors
    /// When the expression is wrong; the message holds what is.
    pub async fn query(&self, expression: &str, at: Option<f64>) -> Result<Vec<Series>> {
        let time = at.map_or_else(String::new, |at| format!("&time={at:.3}"));
        let path = format!("/api/v1/query?query={}{time}", encoded(expression));
        let data = self.get(&path).await?;
        let result = data.get("result").and_then(Value::as_array);
        let result = result.with_context(|| format!("{expression}: {data}"))?;
        if data.get("resultType") == Some(&Value::from("scalar")) {
            let value = result.get(1).and_then(number).context("a scalar")?;
            let labels = BTreeMap::new();
            return Ok(vec![Series { labels, value }]);
        }
        result.iter().map(series).collect()
    }

    /// Waits until `is_it` holds for what an expression comes to.
    ///
    /// # Errors
    /// When it does not in time; the message holds the last answer.
    pub async fn wait(
        &self,
        expression: &str,
        is_it: impl Fn(&[Series]) -> bool,
    ) -> Result<Vec<Series>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let series = self.query(expression, None).await?;
            if is_it(&series) {
                return Ok(series);
            }
            ensure!(Instant::now() < deadline, "{expression} stays {series:?}");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Name and expression of every rule, with whether it is an alert.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn rules(&self) -> Result<Vec<(String, String, bool)>> {
        let data = self.get("/api/v1/rules").await?;
        let groups = data.get("groups").and_then(Value::as_array);
        let rules = groups.into_iter().flatten().filter_map(|group| {
            let rules = group.get("rules")?.as_array()?.iter();
            Some(rules.filter_map(|rule| {
                let text = |key| Some(rule.get(key)?.as_str()?.to_owned());
                Some((text("name")?, text("query")?, text("type")? == "alerting"))
            }))
        });
        Ok(rules.flatten().collect())
    }

    /// Names of the alerts whose condition holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn alerts(&self) -> Result<Vec<String>> {
        let data = self.get("/api/v1/alerts").await?;
        let alerts = data.get("alerts").and_then(Value::as_array);
        let name = |alert: &Value| Some(alert.pointer("/labels/alertname")?.as_str()?.to_owned());
        Ok(alerts.into_iter().flatten().filter_map(name).collect())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = unix_http::get_tcp(None, self.address, path).await?;
        let mut answer: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{path}: {}", String::from_utf8_lossy(&body)))?;
        ensure!(status == StatusCode::OK, "{path}: {status} {answer}");
        Ok(answer["data"].take())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

fn flag(name: &str, value: &Path) -> String {
    format!("--{name}={}", value.display())
}

fn series(item: &Value) -> Result<Series> {
    let labels = item.get("metric").cloned().unwrap_or_default();
    let value = item.pointer("/value/1").and_then(number);
    Ok(Series {
        labels: serde_json::from_value(labels)?,
        value: value.with_context(|| item.to_string())?,
    })
}

/// Prometheus writes numbers as text, `NaN` and `+Inf` among them.
fn number(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}

/// For a query string (RFC 3986 section 2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
