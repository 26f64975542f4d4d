//! `/access-logs/export`: all entries that a filter leaves, oldest first, as JSON lines or CSV. One page is
//! in memory at a time, however many there are.

use axum::{
    extract::{Query, State},
    http::{HeaderValue, header},
    response::Response,
};
use jiff::Timestamp;

use super::{
    error::ApiError,
    logs::Pairs,
    state::AppState,
    streamed::{self, Gone, Pieces},
    usage,
};
use crate::control_plane::usage::{Cursor, ExportFormat, LogFilter};

/// Entries read at once, some megabyte of text.
const PAGE_ENTRIES: usize = 1000;

pub(super) async fn export(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let mut filter = LogFilter::from_pairs(&pairs)?;
    // What begins later would have it never end.
    let now_us = Timestamp::now().as_microsecond();
    filter.to_us = Some(filter.to_us.map_or(now_us, |to_us| to_us.min(now_us)));
    let format = usage::parameter(&pairs, "format").unwrap_or("jsonl");
    let format = ExportFormat::CODES.iter().find(|(code, _)| *code == format);
    let Some((_, format)) = format else {
        return Err(ApiError::invalid("format", "must be jsonl or csv"));
    };
    let (content_type, disposition) = match format {
        ExportFormat::JsonLines => (
            "application/jsonl",
            "attachment; filename=\"access-log.jsonl\"",
        ),
        ExportFormat::Csv => (
            "text/csv; charset=utf-8",
            "attachment; filename=\"access-log.csv\"",
        ),
    };
    let (pieces, mut response) = streamed::answer(content_type);
    response.headers_mut().insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static(disposition),
    );
    tokio::spawn(write(state, filter, *format, pieces));
    Ok(response)
}

async fn write(state: AppState, filter: LogFilter, format: ExportFormat, pieces: Pieces) {
    let heading = format.heading();
    if !heading.is_empty() && pieces.send(heading).await == Err(Gone) {
        return;
    }
    let mut cursor = None;
    loop {
        match page(&state, &filter, format, cursor).await {
            Ok(Some((text, last))) => {
                if pieces.send(text).await == Err(Gone) {
                    return;
                }
                cursor = Some(last);
            }
            Ok(None) => return,
            // The log has the reason.
            Err(_) => return pieces.break_off().await,
        }
    }
}

/// The next page, and its last entry's place.
async fn page(
    state: &AppState,
    filter: &LogFilter,
    format: ExportFormat,
    cursor: Option<Cursor>,
) -> Result<Option<(Vec<u8>, Cursor)>, ApiError> {
    let filter = filter.clone();
    usage::ask(state.clone(), move |reader| {
        let entries = reader.in_order(&filter, cursor, PAGE_ENTRIES)?;
        let last = entries.last().map(|entry| entry.cursor);
        Ok(last.map(|last| (format.render(&entries), last)))
    })
    .await
}
