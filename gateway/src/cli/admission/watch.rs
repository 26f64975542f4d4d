//! `keyway admission watch`: what passes and what is dropped, as it happens.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, stdout},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::cli::{
    Failure,
    client::Client,
    lookup::{items, text},
    output::{Column, Format, Output, grouped},
};

const INTERVAL: Duration = Duration::from_secs(1);

/// Peers that are shown.
const PEERS_SHOWN: usize = 10;

/// Home, and clear to the end (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[J";

/// Packets and bytes.
type Count = (u64, u64);

/// What was counted at one moment, by what it was counted for.
struct Sample {
    at: Instant,
    counts: HashMap<String, Count>,
}

/// One line of either table.
struct Row {
    /// Its cells before the numbers.
    names: Vec<String>,
    total: Count,
    /// Per second; none in the first sample.
    rate: Option<Count>,
}

/// Prints until Ctrl-C.
pub(super) async fn run(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let mut before: Option<Sample> = None;
    loop {
        let status = client.get("/admission").await?;
        let peers = client.get("/admission/peers").await?;
        let mut now = Sample {
            at: Instant::now(),
            counts: HashMap::new(),
        };
        let verdicts = verdicts(&status, &mut now, before.as_ref());
        let peers = busiest(&peers, &mut now, before.as_ref());
        match output.format() {
            Format::Json => output.raw(&format!("{}\n", line(&status, &verdicts, &peers)))?,
            Format::Table => tables(&status, verdicts, peers, output)?,
        }
        output.finish()?;
        before = Some(now);
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// A row for each reason that occurred on an interface.
fn verdicts(status: &Value, now: &mut Sample, before: Option<&Sample>) -> Vec<Row> {
    let interfaces = items(&status["interfaces"]).iter();
    interfaces
        .flat_map(|interface| {
            items(&interface["counters"])
                .iter()
                .map(move |one| (interface, one))
        })
        .filter(|(_, count)| count["packets"].as_u64() != Some(0))
        .map(|(interface, count)| {
            let names = vec![
                text(interface, "name").to_owned(),
                text(interface, "mode").to_owned(),
                text(count, "verdict").to_owned(),
                text(count, "reason").to_owned(),
            ];
            now.row(names, counted(count), before)
        })
        .collect()
}

/// The peers with most traffic just now, in both directions together; then those with most ever.
fn busiest(peers: &Value, now: &mut Sample, before: Option<&Sample>) -> Vec<Row> {
    let mut rows: Vec<_> = (items(peers).iter())
        .map(|peer| {
            let (ingress, egress) = (counted(&peer["ingress"]), counted(&peer["egress"]));
            let names = vec![
                text(peer, "address").to_owned(),
                text(peer, "name").to_owned(),
            ];
            let total = (ingress.0 + egress.0, ingress.1 + egress.1);
            now.row(names, total, before)
        })
        .collect();
    let bytes = |count: Count| count.1;
    rows.sort_by_key(|row| std::cmp::Reverse((row.rate.map(bytes), row.total.1)));
    rows.truncate(PEERS_SHOWN);
    rows
}

impl Sample {
    fn row(&mut self, names: Vec<String>, total: Count, before: Option<&Self>) -> Row {
        let key = names.join(" ");
        let rate = before.map(|before| {
            let (packets, bytes) = before.counts.get(&key).copied().unwrap_or_default();
            let seconds = self.at.duration_since(before.at).as_secs_f64();
            // A removed and added peer begins again at zero.
            let rate =
                |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds).round() as u64;
            (rate(total.0, packets), rate(total.1, bytes))
        });
        self.counts.insert(key, total);
        Row { names, total, rate }
    }
}

fn counted(value: &Value) -> Count {
    let number = |name: &str| value[name].as_u64().unwrap_or(0);
    (number("packets"), number("bytes"))
}

fn line(status: &Value, verdicts: &[Row], peers: &[Row]) -> Value {
    let row = |row: &Row, fields: &[&str]| {
        let mut shown = json!({"packets": row.total.0, "bytes": row.total.1});
        for (field, name) in fields.iter().zip(&row.names) {
            shown[field] = json!(name);
        }
        if let Some((packets, bytes)) = row.rate {
            shown["packets_per_second"] = json!(packets);
            shown["bytes_per_second"] = json!(bytes);
        }
        shown
    };
    let interface = ["interface", "mode", "verdict", "reason"];
    let verdicts: Vec<_> = verdicts.iter().map(|one| row(one, &interface)).collect();
    let peers: Vec<_> = (peers.iter())
        .map(|one| row(one, &["address", "name"]))
        .collect();
    json!({
        "time": jiff::Timestamp::now().to_string(),
        "in_front": status["in_front"],
        "problem": status["problem"],
        "verdicts": verdicts,
        "peers": peers,
    })
}

fn tables(
    status: &Value,
    verdicts: Vec<Row>,
    peers: Vec<Row>,
    output: &mut Output,
) -> Result<(), Failure> {
    if stdout().is_terminal() {
        output.raw(CLEAR)?;
    }
    let (mode, problem) = (text(status, "mode"), text(status, "problem"));
    output.note(format_args!(
        "admission {mode}, {} {problem}\n",
        match status["in_front"].as_bool() {
            Some(true) => "in front",
            Some(false) | None => "not in front:",
        }
    ))?;
    let numbers = [
        Column::Right("PACKETS"),
        Column::Right("BYTES"),
        Column::Right("PACKETS/S"),
        Column::Right("BYTES/S"),
    ];
    let interfaces = [
        Column::Whole("INTERFACE"),
        Column::Left("MODE"),
        Column::Left("VERDICT"),
        Column::Left("REASON"),
    ];
    let columns: Vec<_> = interfaces.into_iter().chain(numbers).collect();
    output.table_for_people(&columns, verdicts.into_iter().map(cells).collect())?;
    if peers.is_empty() {
        return output.note("");
    }
    output.note("")?;
    let columns: Vec<_> = [Column::Whole("PEER"), Column::Left("NAME")]
        .into_iter()
        .chain(numbers)
        .collect();
    output.table_for_people(&columns, peers.into_iter().map(cells).collect())?;
    output.note("")
}

fn cells(row: Row) -> Vec<String> {
    let rate = |of: fn(Count) -> u64| row.rate.map_or_else(String::new, |rate| grouped(of(rate)));
    let (packets, bytes) = (rate(|rate| rate.0), rate(|rate| rate.1));
    let mut cells = row.names;
    cells.extend([grouped(row.total.0), grouped(row.total.1), packets, bytes]);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant) -> Sample {
        Sample {
            at,
            counts: HashMap::new(),
        }
    }

    #[test]
    fn rates_are_per_second_and_the_busiest_come_first() {
        let peer = |address: &str, bytes: u64| {
            let half = json!({"packets": bytes / 100, "bytes": bytes / 2});
            json!({"address": address, "name": "", "ingress": half, "egress": half})
        };
        let start = Instant::now();
        let mut first = sample(start);
        let rows = busiest(&json!([peer("a", 1000), peer("b", 4000)]), &mut first, None);
        assert_eq!((rows[0].names[0].as_str(), rows[0].rate), ("b", None));

        let mut second = sample(start + Duration::from_secs(2));
        let now = json!([peer("a", 3000), peer("b", 4000), peer("c", 200)]);
        let rows = busiest(&now, &mut second, Some(&first));
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.names[0].as_str(), row.rate))
            .collect();
        assert_eq!(
            shown,
            [
                ("a", Some((20, 1000))),
                ("c", Some((2, 100))),
                ("b", Some((0, 0)))
            ]
        );
    }
}
