//! What policies, guardrails and budget rules have in common: list, show, create, replace, remove. Each
//! says by [`Resource`] how a request becomes its document, and what else has to be there.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{
    actor::Actor,
    body::JsonBody,
    documents::{self, Versioned},
    error::ApiError,
    id,
    route::Route,
    state::AppState,
};
use crate::control_plane::store::{Compare, Operation, Store, Transaction};

/// A document that is shown as it is stored.
pub(super) trait Resource:
    Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static
{
    /// What creates one, or replaces it.
    type Request: DeserializeOwned + ToSchema + Send;
    const STORE_PREFIX: &'static str;
    const ID_PREFIX: &'static str;
    /// In messages.
    const NAME: &'static str;
    /// For who makes or replaces one.
    const HELP: &'static str;

    /// One that says nothing yet.
    fn empty(id: String, now: Timestamp) -> Self;

    fn created_at(&self) -> Timestamp;

    /// What the request makes of it.
    fn replaced(self, request: Self::Request, now: Timestamp) -> Result<Self, ApiError>;

    /// Adds what has to be there for it, and what is written with it.
    fn accompany(
        &self,
        store: &dyn Store,
        transaction: &mut Transaction,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// What has to hold for it to go; an error when something is in the way.
    fn removal(
        store: &dyn Store,
        id: &str,
    ) -> impl Future<Output = Result<Vec<Compare>, ApiError>> + Send;
}

/// Their routes, and the operations' ids: list, create, show, update, remove.
pub(super) fn routes<R: Resource>(paths: [&'static str; 2], ids: [&'static str; 5]) -> [Route; 5] {
    let [all, one] = paths;
    let [listed, created, shown, updated, removed] = ids;
    let name = R::NAME;
    [
        Route::get(all, listed, list::<R>)
            .says(&format!("Every {name}"), "The oldest first.")
            .answers_list::<R>(),
        Route::post(all, created, create::<R>)
            .says(&format!("Make a {name}"), R::HELP)
            .takes::<R::Request>()
            .answers::<R>()
            .versioned()
            .contended(),
        Route::get(one, shown, show::<R>)
            .says(&format!("One {name}"), "")
            .answers::<R>()
            .versioned(),
        Route::put(one, updated, update::<R>)
            .says(&format!("Replace a {name}"), R::HELP)
            .takes::<R::Request>()
            .answers::<R>()
            .versioned()
            .conditional(),
        Route::delete(one, removed, remove::<R>)
            .says(&format!("Remove a {name}"), "Nothing may name it any more.")
            .answers_object()
            .conditional(),
    ]
}

pub(super) fn store_key<R: Resource>(id: &str) -> String {
    format!("{}{id}", R::STORE_PREFIX)
}

async fn list<R: Resource>(State(state): State<AppState>) -> Result<Json<Vec<R>>, ApiError> {
    let mut resources: Vec<R> = documents::list(state.store.as_ref(), R::STORE_PREFIX).await?;
    resources.sort_by_key(R::created_at);
    Ok(Json(resources))
}

async fn show<R: Resource>(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let current = load::<R>(&state, &id).await?;
    Ok(documents::respond(&current.value, current.revision))
}

async fn create<R: Resource>(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    JsonBody(request): JsonBody<R::Request>,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let id = id::new_id(R::ID_PREFIX, now);
    let resource = R::empty(id.clone(), now).replaced(request, now)?;
    for _ in 0..documents::CONFLICT_TRIES {
        let absent = Compare::Absent {
            key: store_key::<R>(&id),
        };
        if write(&state, &actor, &id, &resource, absent).await? {
            return show::<R>(State(state), Path(id)).await;
        }
    }
    Err(ApiError::changed_meanwhile())
}

async fn update<R: Resource>(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<R::Request>,
) -> Result<Response, ApiError> {
    let current = load::<R>(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    let resource = current.value.replaced(request, Timestamp::now())?;
    let unchanged = documents::unchanged(store_key::<R>(&id), current.revision);
    if !write(&state, &actor, &id, &resource, unchanged).await? {
        return Err(ApiError::changed_meanwhile());
    }
    show::<R>(State(state), Path(id)).await
}

async fn remove<R: Resource>(
    State(state): State<AppState>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let store = state.store.as_ref();
    let current = load::<R>(&state, &id).await?;
    documents::check_if_match(&headers, current.revision)?;
    let key = store_key::<R>(&id);
    let mut compares = R::removal(store, &id).await?;
    compares.push(documents::unchanged(key.as_str(), current.revision));
    let transaction = Transaction {
        compares,
        operations: vec![Operation::Delete { key }],
    };
    if !documents::commit(&state, &actor, transaction).await? {
        return Err(ApiError::changed_meanwhile());
    }
    Ok(documents::deleted())
}

async fn write<R: Resource>(
    state: &AppState,
    actor: &Actor,
    id: &str,
    resource: &R,
    own: Compare,
) -> Result<bool, ApiError> {
    let store = state.store.as_ref();
    let mut transaction = Transaction {
        compares: vec![own],
        operations: vec![documents::put(store_key::<R>(id), resource)],
    };
    resource.accompany(store, &mut transaction).await?;
    documents::commit(state, actor, transaction).await
}

async fn load<R: Resource>(state: &AppState, id: &str) -> Result<Versioned<R>, ApiError> {
    documents::load(state.store.as_ref(), &store_key::<R>(id))
        .await?
        .ok_or_else(|| ApiError::not_found(R::NAME))
}
