//! `/policies`: which groups reach which providers. Limits and guardrails of NetBird's shape are
//! answered in their empty form and refused in any other: nothing is accepted that is not enforced.

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    body::JsonBody,
    documents::{self, Versioned},
    error::ApiError,
    id, peers, providers,
    state::AppState,
    validate,
};
use crate::control_plane::{
    resource::{LimitsDoc, PolicyDoc, ProviderDoc, key},
    store::{Compare, Transaction},
};

/// Groups, and providers, of one policy.
const REFERENCES_LIMIT: usize = 100;
const DESCRIPTION_BYTES_LIMIT: usize = 4096;

#[derive(Debug, Serialize)]
pub(super) struct PolicyView {
    id: String,
    name: String,
    description: String,
    enabled: bool,
    source_groups: Vec<String>,
    destination_provider_ids: Vec<String>,
    guardrail_ids: [String; 0],
    limits: LimitsView,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Default, Serialize)]
struct LimitsView {
    token_limit: TokenLimitView,
    budget_limit: BudgetLimitView,
}

#[derive(Debug, Default, Serialize)]
struct TokenLimitView {
    enabled: bool,
    group_cap: u64,
    user_cap: u64,
    window_seconds: u64,
}

#[derive(Debug, Default, Serialize)]
struct BudgetLimitView {
    enabled: bool,
    group_cap_usd: u64,
    user_cap_usd: u64,
    window_seconds: u64,
}

#[derive(Deserialize)]
pub(super) struct PolicyRequest {
    name: Option<String>,
    #[serde(default)]
    description: String,
    enabled: Option<bool>,
    #[serde(default)]
    source_groups: Vec<String>,
    #[serde(default)]
    destination_provider_ids: Vec<String>,
    #[serde(default)]
    guardrail_ids: Vec<String>,
    #[serde(default)]
    limits: LimitsRequest,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LimitsRequest {
    token_limit: LimitRequest,
    budget_limit: LimitRequest,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LimitRequest {
    enabled: bool,
}

pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Vec<PolicyView>>, ApiError> {
    let mut policies: Vec<PolicyDoc> = documents::list(state.store.as_ref(), key::POLICIES).await?;
    policies.sort_by_key(|policy| policy.created_at);
    Ok(Json(policies.into_iter().map(view).collect()))
}

pub(super) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let current = load(&state, &id).await?;
    Ok(documents::respond(&view(current.value), current.revision))
}

pub(super) async fn create(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<PolicyRequest>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let id = id::new_id("ainpol_", now);
    let policy = document(
        request,
        PolicyDoc {
            id: id.clone(),
            name: String::new(),
            description: String::new(),
            enabled: true,
            source_groups: Vec::new(),
            destination_provider_ids: Vec::new(),
            guardrail_ids: Vec::new(),
            limits: LimitsDoc::default(),
            allowed_paths: Vec::new(),
            created_at: now,
            updated_at: now,
        },
    )?;
    for _ in 0..documents::CONFLICT_TRIES {
        let absent = Compare::Absent {
            key: store_key(&id),
        };
        if write(&state, &policy, absent).await? {
            return show(State(state), Path(id)).await;
        }
    }
    Err(ApiError::changed_meanwhile())
}

pub(super) async fn update(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<PolicyRequest>,
) -> Result<Response, ApiError> {
    let current = load(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    let mut policy = document(request, current.value)?;
    policy.updated_at = Timestamp::now();
    let unchanged = documents::unchanged(store_key(&id), current.revision);
    if !write(&state, &policy, unchanged).await? {
        return Err(ApiError::changed_meanwhile());
    }
    show(State(state), Path(id)).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let current = load(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    documents::delete(state.store.as_ref(), store_key(&id), current.revision).await
}

/// Writes the policy with the groups it names first, provided that its providers are still there.
async fn write(state: &AppState, policy: &PolicyDoc, own: Compare) -> Result<bool, ApiError> {
    let store = state.store.as_ref();
    let mut transaction = Transaction {
        compares: vec![own],
        operations: vec![documents::put(store_key(&policy.id), policy)],
    };
    for id in &policy.destination_provider_ids {
        let provider_key = providers::store_key(id);
        let Some(provider) = documents::load::<ProviderDoc>(store, &provider_key).await? else {
            return Err(ApiError::invalid(
                "destination_provider_ids",
                "names a provider that does not exist",
            ));
        };
        transaction
            .compares
            .push(documents::unchanged(provider_key, provider.revision));
    }
    peers::ensure_groups(store, &policy.source_groups, &mut transaction).await?;
    documents::touch_guard(key::POLICIES_GUARD, &mut transaction);
    documents::commit(store, transaction).await
}

fn document(request: PolicyRequest, base: PolicyDoc) -> Result<PolicyDoc, ApiError> {
    let name = request
        .name
        .as_deref()
        .ok_or_else(|| ApiError::invalid("name", "is required"))?;
    if request.description.len() > DESCRIPTION_BYTES_LIMIT {
        return Err(ApiError::invalid("description", "is too long"));
    }
    references("source_groups", &request.source_groups)?;
    references(
        "destination_provider_ids",
        &request.destination_provider_ids,
    )?;
    if !request.guardrail_ids.is_empty() {
        return Err(ApiError::invalid(
            "guardrail_ids",
            "guardrails are not enforced by this node",
        ));
    }
    if request.limits.token_limit.enabled || request.limits.budget_limit.enabled {
        return Err(ApiError::invalid(
            "limits",
            "limits are not enforced by this node",
        ));
    }
    Ok(PolicyDoc {
        name: validate::display_name("name", name)?,
        description: request.description,
        enabled: request.enabled.unwrap_or(base.enabled),
        source_groups: request.source_groups,
        destination_provider_ids: request.destination_provider_ids,
        ..base
    })
}

fn references(field: &str, ids: &[String]) -> Result<(), ApiError> {
    if ids.is_empty() {
        return Err(ApiError::invalid(field, "must name at least one"));
    }
    if ids.len() > REFERENCES_LIMIT {
        return Err(ApiError::invalid(
            field,
            format!("must name at most {REFERENCES_LIMIT}"),
        ));
    }
    for (i, id) in ids.iter().enumerate() {
        validate::reference(field, id)?;
        if ids[..i].contains(id) {
            return Err(ApiError::invalid(field, "names one twice"));
        }
    }
    Ok(())
}

async fn load(state: &AppState, id: &str) -> Result<Versioned<PolicyDoc>, ApiError> {
    documents::load(state.store.as_ref(), &store_key(id))
        .await?
        .ok_or_else(|| ApiError::not_found("policy"))
}

fn store_key(id: &str) -> String {
    format!("{}{id}", key::POLICIES)
}

fn view(policy: PolicyDoc) -> PolicyView {
    PolicyView {
        id: policy.id,
        name: policy.name,
        description: policy.description,
        enabled: policy.enabled,
        source_groups: policy.source_groups,
        destination_provider_ids: policy.destination_provider_ids,
        guardrail_ids: [],
        limits: LimitsView::default(),
        created_at: policy.created_at,
        updated_at: policy.updated_at,
    }
}
