//! What the demo shows at its end.

use std::net::SocketAddr;

use serde_json::Value;

use super::overlay::{Kind, Overlay};

/// One line on what joins the two machines.
pub(super) fn overlay(overlay: &Overlay) -> String {
    let Overlay {
        node,
        agent,
        device,
        ..
    } = overlay;
    let machines = |names: [&str; 2]| {
        let [on_node, on_agent] = names;
        format!("network namespaces {on_node} (node, {node}) and {on_agent} (agent, {agent})")
    };
    match (overlay.kind, overlay.namespaces()) {
        (Kind::WireGuard, Some(names)) => format!(
            "{},\n  joined by a WireGuard tunnel in user space (device {device})",
            machines(names)
        ),
        (Kind::Veth, Some(names)) => format!(
            "{},\n  joined by a plain virtual cable (device {device}): no tunnel, nothing is encrypted \
             beneath TLS",
            machines(names)
        ),
        (Kind::Loopback | Kind::WireGuard | Kind::Veth, _) => format!(
            "no overlay: the agent is {agent} and the node is {node}, both on this machine's loopback. \
             Addresses there prove nothing"
        ),
    }
}

/// Tokens and cost of the access log's newest entry.
pub(super) fn record(row: &Value) -> String {
    let count = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
    let text = |name: &str| {
        row.get(name)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let cost = row
        .get("cost_usd")
        .map_or_else(String::new, Value::to_string);
    format!(
        "recorded: {} ({}), {} input and {} output tokens, {} USD, {} ms, from {}",
        text("outcome"),
        text("model"),
        count("input_tokens"),
        count("output_tokens"),
        cost.trim_matches('"'),
        count("duration_ms"),
        text("source_ip"),
    )
}

/// The last screen.
pub(super) fn next_steps(
    overlay: &Overlay,
    keyway: &str,
    endpoint: SocketAddr,
    host: &str,
    ca: &str,
) {
    let port = endpoint.port();
    let inside = overlay
        .namespaces()
        .map_or_else(String::new, |[_, agent]| format!("ip netns exec {agent} "));
    let source = match overlay.kind {
        Kind::Loopback => format!(" --interface {}", overlay.agent),
        Kind::WireGuard | Kind::Veth => String::new(),
    };
    println!(
        "
The endpoint is  https://{host}:{port}/v1   (no API key; {endpoint} inside the overlay only)
The node's administration is a unix socket:

  {keyway} status
  {keyway} providers list
  {keyway} logs
  {keyway} usage
  {keyway} admission status

Ask something yourself, as the agent:

  {inside}curl{source} --no-buffer --cacert {ca} --resolve {host}:{port}:{address} \\
    https://{host}:{port}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{\"model\":\"gpt-4o-mini\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}'

Take the policy away and ask again (403, llm_policy.no_authorised_provider):

  {keyway} policies remove demo-agents

Point a real agent at an endpoint like this one:

  {keyway} agent-config claude-code

Real providers and a real overlay: write a configuration (config/keyway.toml) and
  cargo xtask run --config FILE
",
        address = endpoint.ip(),
    );
}
