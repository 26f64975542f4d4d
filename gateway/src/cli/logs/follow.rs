//! `keyway logs --follow`: the node's live feed, until Ctrl-C.

use serde_json::Value;

use super::usage;
use crate::{
    cli::{Failure, client::Client},
    dialect::sse::{self, Frame, Framer},
};

/// Hands every entry behind the sequence `newest` to `show`, or those that are to come.
pub(super) async fn run(
    newest: Option<i64>,
    mut pairs: Vec<(&'static str, String)>,
    client: &Client,
    mut show: impl FnMut(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    pairs.extend(newest.map(|newest| ("after", newest.to_string())));
    let path = format!("/access-logs/stream{}", usage::query(&pairs));
    let mut feed = client.stream(&path).await?;
    let mut framer = Framer::default();
    loop {
        let piece = tokio::select! {
            piece = feed.next() => piece?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(piece) = piece else {
            return Err(Failure::Unreachable("the node ended the feed".to_owned()));
        };
        let mut events = Vec::new();
        framer.feed(&piece, &mut |frame| match frame {
            Frame::Event(raw) => events.push(sse::parse(raw).data.into_owned()),
            // No entry is that long.
            Frame::Part { .. } | Frame::LineFeed(_) => {}
        });
        for data in events.iter().filter(|data| !data.is_empty()) {
            let entry: Value = serde_json::from_slice(data)
                .map_err(|error| Failure::Failed(format!("an event is not understood: {error}")))?;
            match (&entry["id"], entry["reason"].as_str()) {
                (Value::Null, Some(reason)) => return Err(ended(reason)),
                (_, _) => show(&entry)?,
            }
        }
    }
}

fn ended(reason: &str) -> Failure {
    Failure::Unreachable(match reason {
        "too_slow" => "the node ended the feed: what it sent was not taken in time".to_owned(),
        "node_stops" => "the node stops".to_owned(),
        other => format!("the node ended the feed: {other}"),
    })
}
