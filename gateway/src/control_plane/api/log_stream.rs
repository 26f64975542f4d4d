//! `/access-logs/stream`: entries as they become visible, as server-sent events. An event's id is the row's
//! sequence, so that a client that comes again with `Last-Event-ID` misses nothing.

use std::time::Duration;

use axum::{
    extract::{Query, State},
    http::HeaderMap,
    response::Response,
};

use super::{
    error::ApiError,
    logs::Pairs,
    state::AppState,
    streamed::{self, Gone, Pieces},
    usage,
};
use crate::control_plane::usage::{AccessLogEntry, LogFilter, Subscription, UsageError};

/// How patient a stream is.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// After so long without an entry comes a comment, which keeps proxies from closing the connection.
    keep_alive: Duration,
    /// A reader that takes nothing for so long, while there is something, is cut.
    slow: Duration,
}

const PACE: Pace = Pace {
    keep_alive: Duration::from_secs(15),
    slow: Duration::from_secs(10),
};

/// Takes the filter of a listing, and where to begin: behind the `Last-Event-ID`, else behind the sequence
/// `after`, else with what is to come.
pub(super) async fn stream(
    State(state): State<AppState>,
    Query(pairs): Pairs,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let filter = LogFilter::from_pairs(&pairs)?;
    let last_id = headers.get("last-event-id").map(|id| id.to_str());
    let after = match (last_id, usage::parameter(&pairs, "after")) {
        (Some(id), _) => Some(("Last-Event-ID", id.unwrap_or_default())),
        (None, Some(after)) => Some(("after", after)),
        (None, None) => None,
    };
    let after = match after {
        Some((name, text)) => text
            .parse()
            .map_err(|_| ApiError::invalid(name, "must be a sequence number"))?,
        None => usage::ask(state.clone(), |reader| reader.last_sequence()).await?,
    };
    let subscription = state
        .usage
        .subscribe(filter, after)
        .ok_or_else(|| ApiError::too_many("too many readers of the live feed"))?;
    let (pieces, response) = streamed::answer("text/event-stream");
    tokio::spawn(feed(subscription, pieces, PACE));
    Ok(response)
}

/// Why a stream ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    ReaderGone,
    ReaderSlow,
    NodeStops,
    Failed,
}

async fn feed(subscription: Subscription, pieces: Pieces, pace: Pace) {
    match run(subscription, &pieces, pace).await {
        End::ReaderGone => {}
        End::ReaderSlow => pieces.end_with(end_event("too_slow")),
        End::NodeStops => pieces.end_with(end_event("node_stops")),
        End::Failed => pieces.end_with(end_event("internal_error")),
    }
}

async fn run(mut subscription: Subscription, pieces: &Pieces, pace: Pace) -> End {
    // The reader sees at once that it is subscribed, and where it would go on.
    let first = format!(": keyway access log\nid: {}\n\n", subscription.sequence());
    if pieces.send(first).await == Err(Gone) {
        return End::ReaderGone;
    }
    loop {
        let read;
        (subscription, read) = match read_some(subscription).await {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "the live feed of the access log ends");
                return End::Failed;
            }
        };
        if !read.is_empty() {
            match tokio::time::timeout(pace.slow, pieces.send(events(&read))).await {
                Ok(Ok(())) => continue,
                Ok(Err(Gone)) => return End::ReaderGone,
                Err(_) => return End::ReaderSlow,
            }
        }
        tokio::select! {
            more = subscription.changed() => if !more {
                return End::NodeStops;
            },
            () = pieces.gone() => return End::ReaderGone,
            () = tokio::time::sleep(pace.keep_alive) => {
                // Where the reader is slow there is something to read soon.
                let alive = format!(":\nid: {}\n\n", subscription.sequence());
                let _ = tokio::time::timeout(pace.slow, pieces.send(alive)).await;
            }
        }
    }
}

async fn read_some(
    mut subscription: Subscription,
) -> Result<(Subscription, Vec<AccessLogEntry>), UsageError> {
    let reading = tokio::task::spawn_blocking(move || {
        let entries = subscription.read()?;
        Ok((subscription, entries))
    });
    reading.await.expect("reading does not panic")
}

fn events(entries: &[AccessLogEntry]) -> Vec<u8> {
    let mut text = Vec::new();
    for entry in entries {
        let data = serde_json::to_string(entry).expect("entries are always JSON");
        let id = entry.cursor.sequence;
        text.extend(format!("id: {id}\nevent: entry\ndata: {data}\n\n").into_bytes());
    }
    text
}

fn end_event(reason: &str) -> String {
    format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::BodyExt;

    use super::*;
    use crate::{
        control_plane::usage::UsageLog,
        handoff::{
            queue::{RecordSender, record_queue},
            record::{ExchangeRecord, tests::sample},
        },
    };

    fn log(directory: &std::path::Path) -> (UsageLog, RecordSender) {
        let (mut senders, receiver) = record_queue(1, 64, Duration::ZERO);
        let log = UsageLog::start(directory, receiver).unwrap();
        (log, senders.remove(0))
    }

    async fn text_of(response: Response) -> String {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    const PATIENT: Pace = Pace {
        keep_alive: Duration::from_secs(3600),
        slow: Duration::from_secs(3600),
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_come_when_they_are_committed_and_the_end_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (log, mut sender) = log(directory.path());
        let filter = LogFilter {
            models: vec!["gpt-4o".to_owned()],
            ..LogFilter::default()
        };
        let subscription = log.reader().subscribe(filter, 0).unwrap();
        let (pieces, response) = streamed::answer("text/event-stream");
        let feeding = tokio::spawn(feed(subscription, pieces, PATIENT));
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first.starts_with(b":"));
        for model in ["other", "gpt-4o"] {
            sender.append(&ExchangeRecord { model, ..sample() });
        }
        sender.flush();
        let entry = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let entry = String::from_utf8(entry.to_vec()).unwrap();
        assert!(
            entry.starts_with("id: 2\nevent: entry\ndata: {\"id\":"),
            "{entry}"
        );
        assert!(entry.ends_with("}\n\n"));
        drop(sender);
        let stop = std::time::Instant::now() + Duration::from_secs(60);
        tokio::task::spawn_blocking(move || log.flush_and_stop(stop))
            .await
            .unwrap();
        feeding.await.unwrap();
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(rest, end_event("node_stops"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reader_that_takes_nothing_is_cut_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let (log, mut sender) = log(directory.path());
        let subscription = log.reader().subscribe(LogFilter::default(), 0).unwrap();
        let (pieces, response) = streamed::answer("text/event-stream");
        let impatient = Pace {
            slow: Duration::from_millis(1),
            ..PATIENT
        };
        let feeding = tokio::spawn(feed(subscription, pieces, impatient));
        let mut commits = log.reader().subscribe(LogFilter::default(), 0).unwrap();
        // More pieces than wait for a reader, whatever is read at once.
        let mut id = 0;
        while !feeding.is_finished() {
            id += 1;
            sender.append(&ExchangeRecord { id, ..sample() });
            sender.flush();
            assert!(commits.changed().await);
        }
        assert!(text_of(response).await.ends_with(&end_event("too_slow")));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn readers_are_bounded_and_places_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let (log, _sender) = log(directory.path());
        let reader = log.reader();
        let mut taken = Vec::new();
        while let Some(subscription) = reader.subscribe(LogFilter::default(), 0) {
            taken.push(subscription);
        }
        assert_eq!(taken.len(), 16);
        let (pieces, response) = streamed::answer("text/event-stream");
        drop(response);
        feed(taken.remove(0), pieces, PATIENT).await;
        assert!(reader.subscribe(LogFilter::default(), 0).is_some());
    }
}
