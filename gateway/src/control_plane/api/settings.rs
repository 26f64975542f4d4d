//! `/settings`: the endpoint's name and what is collected. The name comes with the first provider or by
//! POST, and stays.

use axum::{
    Extension, Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    actor::Actor,
    body::JsonBody,
    documents::{self, Versioned},
    error::ApiError,
    names,
    state::{AppState, EndpointNaming},
    validate,
};
use crate::control_plane::{
    resource::{ProviderDoc, SettingsDoc, key},
    store::{Compare, Operation, Transaction},
};

const RETENTION_DAYS_DEFAULT: i64 = 30;
/// A hundred years; more is a mistake.
const RETENTION_DAYS_MAX: i64 = 36_500;

/// As the API shows it; defaults and empty names before the endpoint exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Settings)]
pub(crate) struct SettingsView {
    pub(crate) endpoint: String,
    /// Addition: what agents are pointed at, `https://<endpoint>[:port]`; empty without a name.
    #[serde(default)]
    #[schema(required)]
    pub(crate) base_url: String,
    /// The domain under which the endpoint's label was generated, or the claimed name itself.
    pub(crate) proxy_address: String,
    pub(crate) dedicated: bool,
    pub(crate) enable_log_collection: bool,
    pub(crate) enable_prompt_collection: bool,
    pub(crate) redact_pii: bool,
    pub(crate) access_log_retention_days: i64,
    /// Addition: of captured texts, which never outlive the log's entry; 0 or less: as long as that.
    #[serde(default)]
    #[schema(required)]
    pub(crate) prompt_retention_days: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) updated_at: Option<Timestamp>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = SettingsCreateRequest)]
pub(super) struct CreateRequest {
    proxy_address: Option<String>,
    endpoint: Option<String>,
    enable_log_collection: Option<bool>,
    enable_prompt_collection: Option<bool>,
    redact_pii: Option<bool>,
    access_log_retention_days: Option<i64>,
    prompt_retention_days: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = SettingsUpdateRequest)]
pub(super) struct UpdateRequest {
    #[schema(required, nullable = false)]
    endpoint: Option<String>,
    #[schema(required, nullable = false)]
    proxy_address: Option<String>,
    #[schema(required, nullable = false)]
    enable_log_collection: Option<bool>,
    #[schema(required, nullable = false)]
    enable_prompt_collection: Option<bool>,
    #[schema(required, nullable = false)]
    redact_pii: Option<bool>,
    #[schema(required, nullable = false)]
    access_log_retention_days: Option<i64>,
    /// Kept when omitted.
    prompt_retention_days: Option<i64>,
}

pub(super) async fn show(State(state): State<AppState>) -> Result<Response, ApiError> {
    Ok(match load(&state).await? {
        Some(current) => documents::respond(&view(&state.naming, &current.value), current.revision),
        None => Json(unnamed_view()).into_response(),
    })
}

pub(super) async fn create(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    JsonBody(request): JsonBody<CreateRequest>,
) -> Result<Response, ApiError> {
    let naming = match (request.proxy_address, request.endpoint) {
        (Some(domain), None) => EndpointNaming {
            domain: validate::host_name("proxy_address", &domain)?,
            name: None,
            port: state.naming.port,
        },
        (None, Some(name)) => EndpointNaming {
            domain: String::new(),
            name: Some(validate::host_name("endpoint", &name)?),
            port: state.naming.port,
        },
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::invalid(
                "endpoint",
                "give exactly one of proxy_address and endpoint",
            ));
        }
    };
    let mut settings = initial(&naming, Timestamp::now());
    if let Some(enabled) = request.enable_log_collection {
        settings.enable_log_collection = enabled;
    }
    settings.enable_prompt_collection = request.enable_prompt_collection.unwrap_or(false);
    settings.redact_pii = request.redact_pii.unwrap_or(false);
    if let Some(days) = request.access_log_retention_days {
        settings.access_log_retention_days = retention("access_log_retention_days", days)?;
    }
    if let Some(days) = request.prompt_retention_days {
        settings.prompt_retention_days = retention("prompt_retention_days", days)?;
    }
    let transaction = Transaction {
        compares: vec![Compare::Absent {
            key: key::SETTINGS.to_owned(),
        }],
        operations: vec![documents::put(key::SETTINGS, &settings)],
    };
    if !documents::commit(&state, &actor, transaction).await? {
        return Err(ApiError::conflict("the endpoint has its name already"));
    }
    show(State(state)).await
}

pub(super) async fn update(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<UpdateRequest>,
) -> Result<Response, ApiError> {
    let Some(current) = load(&state).await? else {
        return Err(ApiError::not_found("settings"));
    };
    documents::check_if_match(&headers, current.revision)?;
    let shown = view(&state.naming, &current.value);
    same("endpoint", request.endpoint, &shown.endpoint)?;
    same("proxy_address", request.proxy_address, &shown.proxy_address)?;
    let settings = SettingsDoc {
        enable_log_collection: required("enable_log_collection", request.enable_log_collection)?,
        enable_prompt_collection: required(
            "enable_prompt_collection",
            request.enable_prompt_collection,
        )?,
        redact_pii: required("redact_pii", request.redact_pii)?,
        access_log_retention_days: retention(
            "access_log_retention_days",
            required(
                "access_log_retention_days",
                request.access_log_retention_days,
            )?,
        )?,
        prompt_retention_days: retention(
            "prompt_retention_days",
            (request.prompt_retention_days).unwrap_or(current.value.prompt_retention_days),
        )?,
        updated_at: Timestamp::now(),
        ..current.value
    };
    let transaction = Transaction {
        compares: vec![documents::unchanged(key::SETTINGS, current.revision)],
        operations: vec![documents::put(key::SETTINGS, &settings)],
    };
    if !documents::commit(&state, &actor, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    show(State(state)).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let store = state.store.as_ref();
    let Some(current) = load(&state).await? else {
        return Err(ApiError::not_found("settings"));
    };
    documents::check_if_match(&headers, current.revision)?;
    let guard = documents::watch_guard(store, key::PROVIDERS_GUARD).await?;
    let providers: Vec<ProviderDoc> = documents::list(store, key::PROVIDERS).await?;
    if !providers.is_empty() {
        return Err(ApiError::precondition(
            "providers are still connected; remove them first",
        ));
    }
    let transaction = Transaction {
        compares: vec![documents::unchanged(key::SETTINGS, current.revision), guard],
        operations: vec![Operation::Delete {
            key: key::SETTINGS.to_owned(),
        }],
    };
    if !documents::commit(&state, &actor, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    Ok(documents::deleted())
}

/// Adds to a transaction what makes sure that the endpoint has a name once it is committed.
pub(super) async fn ensure_named(
    state: &AppState,
    transaction: &mut Transaction,
    now: Timestamp,
) -> Result<(), ApiError> {
    if load(state).await?.is_none() {
        transaction.compares.push(Compare::Absent {
            key: key::SETTINGS.to_owned(),
        });
        transaction
            .operations
            .push(documents::put(key::SETTINGS, &initial(&state.naming, now)));
    }
    Ok(())
}

/// What agents are pointed at; `None` before the endpoint has its name.
pub(super) async fn base_url(state: &AppState) -> Result<Option<String>, ApiError> {
    let current = load(state).await?;
    Ok(current.map(|current| view(&state.naming, &current.value).base_url))
}

async fn load(state: &AppState) -> Result<Option<Versioned<SettingsDoc>>, ApiError> {
    documents::load(state.store.as_ref(), key::SETTINGS).await
}

fn initial(naming: &EndpointNaming, now: Timestamp) -> SettingsDoc {
    SettingsDoc {
        endpoint: match &naming.name {
            Some(name) => name.clone(),
            None => format!("{}.{}", names::adjective_noun(), naming.domain),
        },
        dedicated: naming.name.is_some(),
        enable_log_collection: true,
        enable_prompt_collection: false,
        redact_pii: false,
        access_log_retention_days: RETENTION_DAYS_DEFAULT,
        prompt_retention_days: 0,
        created_at: now,
        updated_at: now,
    }
}

fn view(naming: &EndpointNaming, settings: &SettingsDoc) -> SettingsView {
    let parent = settings.endpoint.split_once('.').map(|(_, parent)| parent);
    SettingsView {
        endpoint: settings.endpoint.clone(),
        base_url: match naming.port {
            443 => format!("https://{}", settings.endpoint),
            port => format!("https://{}:{port}", settings.endpoint),
        },
        proxy_address: match parent {
            Some(parent) if !settings.dedicated => parent.to_owned(),
            Some(_) | None => settings.endpoint.clone(),
        },
        dedicated: settings.dedicated,
        enable_log_collection: settings.enable_log_collection,
        enable_prompt_collection: settings.enable_prompt_collection,
        redact_pii: settings.redact_pii,
        access_log_retention_days: settings.access_log_retention_days,
        prompt_retention_days: settings.prompt_retention_days,
        created_at: Some(settings.created_at),
        updated_at: Some(settings.updated_at),
    }
}

fn unnamed_view() -> SettingsView {
    SettingsView {
        endpoint: String::new(),
        base_url: String::new(),
        proxy_address: String::new(),
        dedicated: false,
        enable_log_collection: true,
        enable_prompt_collection: false,
        redact_pii: false,
        access_log_retention_days: RETENTION_DAYS_DEFAULT,
        prompt_retention_days: 0,
        created_at: None,
        updated_at: None,
    }
}

fn required<T>(field: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::invalid(field, "is required"))
}

fn same(field: &str, sent: Option<String>, current: &str) -> Result<(), ApiError> {
    if required(field, sent)? == current {
        Ok(())
    } else {
        Err(ApiError::invalid(field, "cannot be changed"))
    }
}

fn retention(field: &str, days: i64) -> Result<i64, ApiError> {
    if days <= RETENTION_DAYS_MAX {
        Ok(days)
    } else {
        Err(ApiError::invalid(
            field,
            format!("must be at most {RETENTION_DAYS_MAX}; 0 or less sets no end"),
        ))
    }
}
