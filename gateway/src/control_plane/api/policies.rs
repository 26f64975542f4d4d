//! `/policies`: which groups reach which providers, by which paths, under which guardrails and limits.

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use utoipa::ToSchema;

use super::{
    documents,
    error::ApiError,
    limits::LimitsRequest,
    peers, providers,
    resources::{self, Resource},
    validate,
};
use crate::control_plane::{
    resource::{GuardrailDoc, LimitsDoc, PolicyDoc, ProviderDoc, key},
    store::{Compare, Store, Transaction},
};

const ALLOWED_PATHS_LIMIT: usize = 64;
const PATH_BYTES_LIMIT: usize = 512;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyRequest {
    #[schema(required, nullable = false)]
    name: Option<String>,
    #[serde(default)]
    description: String,
    enabled: Option<bool>,
    #[serde(default)]
    #[schema(required)]
    source_groups: Vec<String>,
    #[serde(default)]
    #[schema(required)]
    destination_provider_ids: Vec<String>,
    #[serde(default)]
    guardrail_ids: Vec<String>,
    #[serde(default)]
    limits: LimitsRequest,
    /// Kept when omitted.
    allowed_paths: Option<Vec<String>>,
    // Answers have these, and may be sent back.
    #[serde(default, rename = "id")]
    #[schema(value_type = Option<String>, read_only)]
    _id: IgnoredAny,
    #[serde(default, rename = "created_at")]
    #[schema(value_type = Option<String>, read_only)]
    _created_at: IgnoredAny,
    #[serde(default, rename = "updated_at")]
    #[schema(value_type = Option<String>, read_only)]
    _updated_at: IgnoredAny,
}

impl Resource for PolicyDoc {
    type Request = PolicyRequest;
    const STORE_PREFIX: &'static str = key::POLICIES;
    const ID_PREFIX: &'static str = "ainpol_";
    const NAME: &'static str = "policy";
    const HELP: &'static str = "Groups that do not exist yet are made.";

    fn empty(id: String, now: Timestamp) -> Self {
        Self {
            id,
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
        }
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn replaced(self, request: PolicyRequest, now: Timestamp) -> Result<Self, ApiError> {
        for (field, ids) in [
            ("source_groups", &request.source_groups),
            (
                "destination_provider_ids",
                &request.destination_provider_ids,
            ),
        ] {
            if ids.is_empty() {
                return Err(ApiError::invalid(field, "must name at least one"));
            }
            validate::references(field, ids)?;
        }
        validate::references("guardrail_ids", &request.guardrail_ids)?;
        Ok(Self {
            name: validate::required_name(request.name.as_deref())?,
            description: validate::description(request.description)?,
            enabled: request.enabled.unwrap_or(self.enabled),
            source_groups: request.source_groups,
            destination_provider_ids: request.destination_provider_ids,
            guardrail_ids: request.guardrail_ids,
            limits: request.limits.over(self.limits)?,
            allowed_paths: match request.allowed_paths {
                Some(paths) => allowed_paths(paths)?,
                None => self.allowed_paths,
            },
            updated_at: now,
            ..self
        })
    }

    /// Its groups are made with it; its providers and guardrails have to stay until it is written.
    async fn accompany(
        &self,
        store: &dyn Store,
        transaction: &mut Transaction,
    ) -> Result<(), ApiError> {
        for id in &self.destination_provider_ids {
            let provider = documents::still_there::<ProviderDoc>(store, providers::store_key(id));
            let compare = provider.await?.ok_or_else(|| {
                ApiError::invalid(
                    "destination_provider_ids",
                    "names a provider that does not exist",
                )
            })?;
            transaction.compares.push(compare);
        }
        for id in &self.guardrail_ids {
            let key = resources::store_key::<GuardrailDoc>(id);
            let guardrail = documents::still_there::<GuardrailDoc>(store, key);
            let compare = guardrail.await?.ok_or_else(|| {
                ApiError::invalid("guardrail_ids", "names a guardrail that does not exist")
            })?;
            transaction.compares.push(compare);
        }
        peers::ensure_groups(store, &self.source_groups, transaction).await?;
        documents::touch_guard(key::POLICIES_GUARD, transaction);
        Ok(())
    }

    async fn removal(_: &dyn Store, _: &str) -> Result<Vec<Compare>, ApiError> {
        Ok(Vec::new())
    }
}

/// Holds as long as no policy comes to use something; an error when one does already. `what` is the
/// thing's kind.
pub(super) async fn unused(
    store: &dyn Store,
    what: &str,
    uses: impl Fn(&PolicyDoc) -> bool,
) -> Result<Compare, ApiError> {
    let guard = documents::watch_guard(store, key::POLICIES_GUARD).await?;
    let policies: Vec<PolicyDoc> = documents::list(store, key::POLICIES).await?;
    match policies.iter().find(|policy| uses(policy)) {
        Some(policy) => Err(ApiError::precondition(format!(
            "{what} is used by policy {} ({})",
            policy.name, policy.id
        ))),
        None => Ok(guard),
    }
}

fn allowed_paths(paths: Vec<String>) -> Result<Vec<String>, ApiError> {
    if paths.len() > ALLOWED_PATHS_LIMIT {
        let message = format!("must be at most {ALLOWED_PATHS_LIMIT}");
        return Err(ApiError::invalid("allowed_paths", message));
    }
    for (i, path) in paths.iter().enumerate() {
        let refused = |message: &str| ApiError::invalid(format!("allowed_paths[{i}]"), message);
        let plain = path.strip_suffix('*').unwrap_or(path);
        if !path.starts_with('/') || path.len() > PATH_BYTES_LIMIT {
            return Err(refused("must begin with / and not be too long"));
        }
        if plain.contains('*') {
            return Err(refused("may have a * at its end only"));
        }
        if !plain.bytes().all(|b| b.is_ascii_graphic()) || plain.contains(['?', '#']) {
            return Err(refused(
                "must be a path as agents send it, without a query and without spaces",
            ));
        }
        if paths[..i].contains(path) {
            return Err(refused("is listed twice"));
        }
    }
    Ok(paths)
}
