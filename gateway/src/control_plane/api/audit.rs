//! `/audit`: who changed what.

use axum::{
    Json,
    extract::{Path, Query, State},
};

use super::{error::ApiError, logs::Pairs, state::AppState, usage::parameter};
use crate::control_plane::{
    audit::{self, AuditFilter, Entry, Verified},
    usage::{Page, PageNumber},
};

pub(super) async fn list(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<Page<Entry>>, ApiError> {
    let PageNumber { page, size } = PageNumber::from_pairs(&pairs)?;
    let text = |name| parameter(&pairs, name).map(str::to_owned);
    let filter = AuditFilter {
        actor: text("actor"),
        event: text("event"),
        target: text("target"),
        from: time(&pairs, "start_date")?,
        to: time(&pairs, "end_date")?,
    };
    let skipped = (page as usize - 1).saturating_mul(size as usize);
    let (entries, found) =
        audit::page(state.store.as_ref(), &filter, skipped, size as usize).await?;
    Ok(Json(Page::new(entries, page, size, found)))
}

pub(super) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Entry>, ApiError> {
    let absent = || ApiError::not_found("audit entry");
    let id = id.parse().map_err(|_| absent())?;
    let entry = audit::entry(state.store.as_ref(), id).await?;
    entry.map(Json).ok_or_else(absent)
}

pub(super) async fn verify(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<Verified>, ApiError> {
    let noted = parameter(&pairs, "contains");
    Ok(Json(audit::verify(state.store.as_ref(), noted).await?))
}

fn time(pairs: &[(String, String)], name: &str) -> Result<Option<jiff::Timestamp>, ApiError> {
    let text = parameter(pairs, name);
    text.map(|text| {
        text.parse()
            .map_err(|_| ApiError::invalid(name, "must be a time (RFC 3339)"))
    })
    .transpose()
}
