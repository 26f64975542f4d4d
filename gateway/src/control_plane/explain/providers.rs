//! Why a provider is asked, or is not.

use serde::Serialize;
use utoipa::ToSchema;

use super::Question;
use crate::{
    control_plane::resource::ProviderDoc,
    handoff::snapshot::{Provider, Snapshot},
    policy::route::{ModelIds, Rank, Unfit, fit, fit_without_model},
};

/// A connected provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CandidateProvider)]
pub struct Candidate {
    pub id: String,
    pub name: String,
    pub state: ProviderState,
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// The request goes there, if policies allow it.
    Asked,
    /// It could serve the request; another one comes first.
    Fits,
    Disabled,
    /// It is connected, and cannot be used as it is.
    LeftOut,
    WithoutModel,
    OtherDialect,
    /// No policy lets the caller reach it.
    Unreachable,
    /// Another one keeps the object that the request names.
    OtherObject,
}

/// Those that are stored, as they are tried: the oldest first.
pub(super) fn candidates(
    snapshot: &Snapshot,
    question: &Question<'_>,
    asked: Option<&Provider>,
    stored: &[ProviderDoc],
) -> Vec<Candidate> {
    let mut docs: Vec<_> = stored.iter().collect();
    docs.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let candidates = docs.into_iter().map(|doc| {
        let mut held = snapshot.providers.iter();
        let (state, why) = match held.find(|provider| *provider.id == *doc.id) {
            Some(provider) => judge(provider, question, asked),
            None if doc.enabled => (
                ProviderState::LeftOut,
                "cannot be used as it is; see `keyway status`".to_owned(),
            ),
            None => (ProviderState::Disabled, "is disabled".to_owned()),
        };
        Candidate {
            id: doc.id.clone(),
            name: doc.name.clone(),
            state,
            why,
        }
    });
    candidates.collect()
}

fn judge(
    provider: &Provider,
    question: &Question<'_>,
    asked: Option<&Provider>,
) -> (ProviderState, String) {
    let (principal, dialect) = (question.principal, question.classified.dialect);
    let fits = match question.ask.model {
        Some(model) => fit(provider, principal, dialect, &ModelIds::of(model)).map(Some),
        None => fit_without_model(provider, principal, dialect, question.ask.keeper).map(|()| None),
    };
    match fits {
        Ok(rank) => match asked.filter(|asked| asked.id != provider.id) {
            None => (ProviderState::Asked, serves(rank).to_owned()),
            Some(asked) => (
                ProviderState::Fits,
                format!(
                    "{}; {} comes first: {}",
                    serves(rank),
                    asked.name,
                    ahead(rank, asked, question)
                ),
            ),
        },
        Err(Unfit::Model) if provider.models.is_catch_all() => (
            ProviderState::WithoutModel,
            "does not have the model".to_owned(),
        ),
        Err(Unfit::Model) => (
            ProviderState::WithoutModel,
            "does not list the model".to_owned(),
        ),
        Err(Unfit::Dialect) => (
            ProviderState::OtherDialect,
            format!("its API does not speak {}", dialect.code()),
        ),
        Err(Unfit::Policy) => (
            ProviderState::Unreachable,
            "no policy for the caller's groups names it".to_owned(),
        ),
        Err(Unfit::Object) => (
            ProviderState::OtherObject,
            "another provider keeps the object".to_owned(),
        ),
    }
}

fn serves(rank: Option<Rank>) -> &'static str {
    match rank {
        Some(rank) if rank.is_listed => "lists the model",
        Some(_) => "takes any model",
        None => "takes requests without a model",
    }
}

/// Why `asked` comes before one of `rank`.
fn ahead(rank: Option<Rank>, asked: &Provider, question: &Question<'_>) -> &'static str {
    let dialect = question.classified.dialect;
    let best = question
        .ask
        .model
        .and_then(|model| fit(asked, question.principal, dialect, &ModelIds::of(model)).ok());
    match (best, rank) {
        (Some(best), Some(rank)) if best.is_listed != rank.is_listed => "it lists the model",
        (Some(best), Some(rank)) if best.base_path_len != rank.base_path_len => {
            "its base path is longer"
        }
        (Some(_) | None, _) => "it is older",
    }
}
