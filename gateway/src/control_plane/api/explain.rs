//! `/policies/explain`: what would become of a request that nobody has made.

use std::net::IpAddr;

use axum::{Json, extract::State};
use http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{body::JsonBody, documents, error::ApiError, levels::now, state::AppState};
use crate::{
    control_plane::{
        explain::{Explanation, Named, Question, Stored, explain},
        resource::{PeerDoc, key},
    },
    dialect::{
        Classified, ModelSource, Operation, classify, elsewhere::Elsewhere, google::model_in_body,
        path,
    },
    handoff::snapshot::{Principal, Snapshot},
    policy::{Ask, bound::Size, plan::Wants},
};

const PATH_DEFAULT: &str = "/v1/chat/completions";
/// A short prompt's.
const BODY_BYTES_DEFAULT: u64 = 1024;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainRequest {
    /// Id, name or overlay address.
    peer: String,
    model: Option<String>,
    path: Option<String>,
    body_bytes: Option<u64>,
    /// The request's own bound on its output.
    max_tokens: Option<u64>,
    /// It has images or files, or continues a conversation that the provider keeps: under a hard limit, as much
    /// as the model takes.
    #[serde(default)]
    fills_window: bool,
}

/// The answer: the request as it is understood, and what becomes of it.
#[derive(Serialize, ToSchema)]
pub(super) struct ExplainAnswer {
    peer: Named,
    user: Named,
    groups: Vec<Named>,
    path: String,
    dialect: &'static str,
    operation: &'static str,
    #[schema(required)]
    model: Option<String>,
    body_bytes: u64,
    #[schema(required)]
    max_tokens: Option<u64>,
    #[serde(flatten)]
    explanation: Explanation,
}

pub(super) async fn answer(
    State(state): State<AppState>,
    JsonBody(request): JsonBody<ExplainRequest>,
) -> Result<Json<ExplainAnswer>, ApiError> {
    let store = state.store.as_ref();
    let peer = peer(&state, &request.peer).await?;
    let stored = Stored {
        providers: documents::list(store, key::PROVIDERS).await?,
        policies: documents::list(store, key::POLICIES).await?,
        guardrails: documents::list(store, key::GUARDRAILS).await?,
    };
    let snapshot = state.node.snapshot();
    let principal = principal(&snapshot, &peer)?;
    let path = request.path.as_deref().unwrap_or(PATH_DEFAULT);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let classified = classified(path)?;
    let model = match classified.model {
        ModelSource::Path(model) => path::decode_model(model).map(Into::into),
        ModelSource::Body | ModelSource::Form => {
            let model = request.model.as_deref();
            model.map(|model| model_in_body(classified.dialect, model).to_owned())
        }
        ModelSource::None => None,
    };
    let body_bytes = request.body_bytes.unwrap_or(BODY_BYTES_DEFAULT);
    let question = Question {
        principal,
        classified,
        ask: Ask {
            path,
            model: model.as_deref(),
            keeper: None,
        },
        wants: Wants {
            operation: classified.operation,
            size: Size {
                body_bytes,
                output_tokens_max: request.max_tokens,
                answers: 1,
            },
            may_be_bounded: true,
        },
        elsewhere: Elsewhere {
            fills_window: request.fills_window,
            ..Elsewhere::default()
        },
    };
    let explanation = explain(&snapshot, &question, &stored, &state.limits, now());
    Ok(Json(ExplainAnswer {
        peer,
        user: Named {
            id: (*principal.id).to_owned(),
            name: (*principal.display_name).to_owned(),
        },
        groups: principal.named_groups().map(Named::from).collect(),
        path: path.to_owned(),
        dialect: classified.dialect.code(),
        operation: classified.operation.code(),
        body_bytes,
        max_tokens: request.max_tokens,
        explanation,
        model,
    }))
}

/// A peer of any source that is let in.
async fn peer(state: &AppState, wanted: &str) -> Result<Named, ApiError> {
    let docs: Vec<PeerDoc> = documents::list(state.store.as_ref(), key::PEERS).await?;
    let identity = state.identity.current();
    let members = identity.members(&docs);
    let address: Option<IpAddr> = wanted.parse().ok();
    let address = address.map(|address| address.to_canonical());
    let mut meant = members.iter().filter(|peer| {
        peer.id == wanted
            || peer.name.eq_ignore_ascii_case(wanted)
            || address.is_some_and(|address| peer.addresses.contains(&address))
    });
    match (meant.next(), meant.next()) {
        (Some(peer), None) => match peer.denial {
            Some(denial) => Err(ApiError::precondition(format!(
                "the peer is not let in: {denial}"
            ))),
            None => Ok(Named {
                id: peer.id.to_owned(),
                name: peer.name.to_owned(),
            }),
        },
        (Some(_), Some(_)) => Err(ApiError::invalid("peer", "names several; use the id")),
        (None, _) => Err(ApiError::not_found("peer")),
    }
}

fn principal<'s>(snapshot: &'s Snapshot, peer: &Named) -> Result<&'s Principal, ApiError> {
    let mut principals = snapshot.peers.values();
    let found = principals.find(|principal| *principal.peer_id == *peer.id);
    found.map(|principal| &**principal).ok_or_else(|| {
        ApiError::precondition("no address of the peer lets it in: its connections are closed")
    })
}

fn classified(path: &str) -> Result<Classified<'_>, ApiError> {
    let methods = [Method::POST, Method::GET, Method::DELETE];
    let mut found = methods
        .iter()
        .filter_map(|method| classify(method, path, false));
    let classified = found
        .next()
        .ok_or_else(|| ApiError::invalid("path", "is no path of a provider's API"))?;
    match classified.operation {
        Operation::ListModels | Operation::GetModel | Operation::Hello => Err(ApiError::invalid(
            "path",
            "is answered by the node itself, with what the caller may use",
        )),
        Operation::ChatCompletions
        | Operation::Completions
        | Operation::Responses
        | Operation::StoredResponse
        | Operation::ResponsesInputTokens
        | Operation::Realtime
        | Operation::Embeddings
        | Operation::Messages
        | Operation::CountTokens
        | Operation::Invoke
        | Operation::InvokeStream
        | Operation::Converse
        | Operation::ConverseStream
        | Operation::GenerateContent
        | Operation::StreamGenerateContent
        | Operation::CountContentTokens
        | Operation::EmbedContent
        | Operation::Unmetered
        | Operation::Other => Ok(classified),
    }
}
