//! What the demo asks the node about the kernel programs in front of it.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command::read;

/// Answer of `keyway admission status`.
pub(super) struct Admission(Value);

impl Admission {
    pub(super) fn ask(mut keyway: Command) -> Result<Self> {
        keyway.args(["--output", "json", "admission", "status"]);
        let status = read(&mut keyway, "")?;
        Ok(Self(serde_json::from_str(&status)?))
    }

    /// Are the programs on the overlay's device and on all others?
    pub(super) fn is_in_front(&self) -> bool {
        self.0["in_front"] == true
    }

    /// One line on where the programs are, or why they are nowhere.
    pub(super) fn line(&self) -> String {
        if self.0["mode"] == "off" {
            return "kernel admission: off, as loopback has no outside; the node admits by address in \
                    user space"
                .to_owned();
        }
        if !self.is_in_front() {
            let problem = self.0["problem"].as_str().unwrap_or("no reason given");
            return format!(
                "kernel admission: NOT in front ({problem}); the node admits by address in user space"
            );
        }
        let places: Vec<String> = self
            .interfaces()
            .map(|one| {
                let text = |name: &str| one[name].as_str().unwrap_or("?");
                format!("{} ({}, {})", text("name"), text("role"), text("mode"))
            })
            .collect();
        format!("kernel admission: in front on {}", places.join(", "))
    }

    /// Packets dropped on an interface, whatever the reason.
    pub(super) fn drops(&self, interface: &str) -> u64 {
        self.interfaces()
            .filter(|one| one["name"] == interface)
            .flat_map(|one| one["counters"].as_array().into_iter().flatten())
            .filter(|count| count["verdict"] == "drop")
            .filter_map(|count| count["packets"].as_u64())
            .sum()
    }

    fn interfaces(&self) -> impl Iterator<Item = &Value> {
        self.0["interfaces"].as_array().into_iter().flatten()
    }
}

/// The kernel's counters of one peer, both directions, a line each.
pub(super) fn peer(mut keyway: Command, address: &str) -> Result<[String; 2]> {
    keyway.args(["--output", "json", "admission", "peers"]);
    let peers: Value = serde_json::from_str(&read(&mut keyway, "")?)?;
    let peer = (peers.as_array().into_iter().flatten())
        .find(|peer| peer["address"] == address)
        .with_context(|| format!("the kernel knows no peer {address}: {peers}"))?;
    Ok([
        direction("from the agent", &peer["ingress"], "tried"),
        direction("to the agent", &peer["egress"], "accepted"),
    ])
}

fn direction(title: &str, flow: &Value, what: &str) -> String {
    let count = |name: &str| flow[name].as_u64().unwrap_or(0);
    let connections = count("connections");
    let plural = if connections == 1 { "" } else { "s" };
    format!(
        "{title:<14}  {:>4} packets  {:>6} bytes  {connections} connection{plural} {what}  {} reset",
        count("packets"),
        count("bytes"),
        count("resets"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_says_where_the_programs_are_or_why_not() {
        for (status, expected) in [
            (
                json!({"mode": "preferred", "in_front": true, "interfaces": [
                    {"name": "wt0", "role": "overlay", "mode": "tcx"},
                    {"name": "out0", "role": "outer", "mode": "native"},
                ]}),
                "kernel admission: in front on wt0 (overlay, tcx), out0 (outer, native)",
            ),
            (
                json!({"mode": "preferred", "in_front": false, "problem": "no CAP_BPF"}),
                "kernel admission: NOT in front (no CAP_BPF); the node admits by address in user space",
            ),
            (
                json!({"mode": "off", "in_front": false}),
                "kernel admission: off, as loopback has no outside; the node admits by address in user \
                 space",
            ),
        ] {
            assert_eq!(Admission(status).line(), expected);
        }
    }

    #[test]
    fn only_drops_of_that_interface_are_drops() {
        let counters = |pass, drop| {
            json!([
                {"verdict": "pass", "packets": pass},
                {"verdict": "drop", "packets": drop},
                {"verdict": "drop", "packets": 1},
            ])
        };
        let status = Admission(json!({"interfaces": [
            {"name": "out0", "counters": counters(7, 4)},
            {"name": "out1", "counters": counters(9, 9)},
        ]}));
        assert_eq!(status.drops("out0"), 5);
        assert_eq!(status.drops("out2"), 0);
    }
}
