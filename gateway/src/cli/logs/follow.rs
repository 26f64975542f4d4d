//! `keyway logs --follow`: the node's live feed, until Ctrl-C. When the node goes away and comes back, the feed
//! goes on behind the last entry that was seen.

use std::time::Duration;

use serde_json::Value;

use super::usage;
use crate::{
    cli::{Failure, client::Client, output::aside},
    dialect::sse::{self, Frame, Framer},
};

/// Waits between two tries to reach the node, each twice as long as the one before.
const BACK_OFF_FIRST: Duration = Duration::from_millis(250);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

pub(super) struct Follower<'a> {
    client: &'a Client,
    /// Of the filter.
    pairs: Vec<(&'static str, String)>,
    /// Sequence up to which everything was seen; `None` as long as nothing tells.
    seen: Option<i64>,
    back_off: Duration,
    is_waiting: bool,
}

impl<'a> Follower<'a> {
    /// For what comes behind the sequence `seen`, or after the feed begins.
    pub(super) fn new(
        client: &'a Client,
        pairs: Vec<(&'static str, String)>,
        seen: Option<i64>,
    ) -> Self {
        Self {
            client,
            pairs,
            seen,
            back_off: BACK_OFF_FIRST,
            is_waiting: false,
        }
    }

    /// Hands every entry to `show`, each once. With `retry` a node that stops or cannot be reached is waited for.
    pub(super) async fn run(
        mut self,
        retry: bool,
        mut show: impl FnMut(&Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let following = async {
            loop {
                let problem = match self.follow(&mut show).await {
                    Err(Failure::Unreachable(problem)) => problem,
                    Err(failure) => return Err(failure),
                    Ok(()) => "the node ended the feed".to_owned(),
                };
                if !retry {
                    return Err(Failure::Unreachable(format!(
                        "{problem} (`--retry` goes on when it is there again)"
                    )));
                }
                if !self.is_waiting {
                    aside(&format!("{problem}; this goes on when it is there again"));
                }
                self.is_waiting = true;
                tokio::time::sleep(self.back_off).await;
                self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
            }
        };
        tokio::select! {
            result = following => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }

    /// One feed, until its end.
    async fn follow(
        &mut self,
        show: &mut impl FnMut(&Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut pairs = self.pairs.clone();
        pairs.extend(self.seen.map(|seen| ("after", seen.to_string())));
        let path = format!("/access-logs/stream{}", usage::query(&pairs));
        let mut feed = self.client.stream(&path).await?;
        let mut framer = Framer::default();
        while let Some(piece) = feed.next().await? {
            if std::mem::take(&mut self.is_waiting) {
                aside("the node is there again");
            }
            self.back_off = BACK_OFF_FIRST;
            let mut events = Vec::new();
            framer.feed(&piece, &mut |frame| match frame {
                Frame::Event(raw) => events.push((id(raw), sse::parse(raw).data.into_owned())),
                // No entry is that long.
                Frame::Part { .. } | Frame::LineFeed(_) => {}
            });
            for (id, data) in events {
                if !data.is_empty() {
                    show_or_end(&data, show)?;
                }
                self.seen = self.seen.max(id);
            }
        }
        Ok(())
    }
}

fn show_or_end(
    data: &[u8],
    show: &mut impl FnMut(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let entry: Value = serde_json::from_slice(data)
        .map_err(|error| Failure::Failed(format!("an event is not understood: {error}")))?;
    match (&entry["id"], entry["reason"].as_str()) {
        (Value::Null, Some(reason)) => Err(ended(reason)),
        (_, _) => show(&entry),
    }
}

/// The sequence that an event names, be it an entry or a sign of life.
fn id(raw: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(raw).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("id:"))?;
    id.trim().parse().ok()
}

fn ended(reason: &str) -> Failure {
    Failure::Unreachable(match reason {
        "too_slow" => "the node ended the feed: what it sent was not taken in time".to_owned(),
        "node_stops" => "the node stopped".to_owned(),
        other => format!("the node ended the feed: {other}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use zeroize::Zeroizing;

    use super::*;

    /// Answers one request after the other with these feeds, and closes; returns the paths.
    async fn node(listener: TcpListener, feeds: &[&str]) -> Vec<String> {
        let mut paths = Vec::new();
        for feed in feeds {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            paths.push(request.split(' ').nth(1).unwrap().to_owned());
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n";
            let answer = format!("{head}\r\n{feed}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        paths
    }

    fn entry(sequence: i64) -> String {
        format!("id: {sequence}\nevent: entry\ndata: {{\"id\":\"e{sequence}\"}}\n\n")
    }

    const STOPS: &str = "event: end\ndata: {\"reason\":\"node_stops\"}\n\n";

    /// What was shown, and the paths that were asked for.
    async fn followed(
        feeds: &[&str],
        retry: bool,
        enough: usize,
    ) -> (Vec<String>, Vec<String>, Failure) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::with_token(&url, Zeroizing::new("token".to_owned())).unwrap();
        let mut shown = Vec::new();
        let follower = Follower::new(&client, vec![("model", "m".to_owned())], None);
        let following = follower.run(retry, |entry| {
            shown.push(entry["id"].as_str().unwrap().to_owned());
            match shown.len() == enough {
                true => Err(Failure::ReaderGone),
                false => Ok(()),
            }
        });
        let (result, paths) = tokio::join!(following, node(listener, feeds));
        (shown, paths, result.unwrap_err())
    }

    #[tokio::test]
    async fn a_node_that_comes_back_is_asked_for_what_follows() {
        // Before the first entry, a sign of life says where the feed is; then the node stops, then it is killed.
        let feeds = [
            format!(": keyway\nid: 4\n\n{STOPS}"),
            format!(": keyway\nid: 4\n\n{}{}", entry(5), entry(6)),
            format!("{}{}", entry(7), entry(9)),
        ];
        let feeds: Vec<&str> = feeds.iter().map(String::as_str).collect();
        let (shown, paths, _) = followed(&feeds, true, 4).await;
        assert_eq!(shown, ["e5", "e6", "e7", "e9"]);
        let base = "/api/agent-network/access-logs/stream?model=m";
        let expected = ["", "&after=4", "&after=6"].map(|after| format!("{base}{after}"));
        assert_eq!(paths, expected);
    }

    #[tokio::test]
    async fn without_retry_a_stop_is_told() {
        let (shown, _, failure) = followed(&[&format!("{}{STOPS}", entry(1))], false, 9).await;
        assert_eq!(shown, ["e1"]);
        assert!(failure.message().starts_with("the node stopped"));
        assert!(matches!(failure, Failure::Unreachable(_)));
    }
}
