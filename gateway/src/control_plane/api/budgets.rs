//! `/budget-rules`: limits of the account, beside those of the policies.

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use utoipa::ToSchema;

use super::{error::ApiError, limits::LimitsRequest, peers, resources::Resource, validate};
use crate::control_plane::{
    resource::{BudgetRuleDoc, LimitsDoc, key},
    store::{Compare, Store, Transaction},
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetRuleRequest {
    #[schema(required, nullable = false)]
    name: Option<String>,
    enabled: Option<bool>,
    #[serde(default)]
    target_groups: Vec<String>,
    #[serde(default)]
    target_users: Vec<String>,
    #[schema(required, nullable = false)]
    limits: Option<LimitsRequest>,
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

impl Resource for BudgetRuleDoc {
    type Request = BudgetRuleRequest;
    const STORE_PREFIX: &'static str = key::BUDGETS;
    const ID_PREFIX: &'static str = "ainbud_";
    const NAME: &'static str = "budget rule";
    const HELP: &'static str = "With no group and no user named it is for everyone.";

    fn empty(id: String, now: Timestamp) -> Self {
        Self {
            id,
            name: String::new(),
            enabled: true,
            target_groups: Vec::new(),
            target_users: Vec::new(),
            limits: LimitsDoc::default(),
            created_at: now,
            updated_at: now,
        }
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn replaced(self, request: BudgetRuleRequest, now: Timestamp) -> Result<Self, ApiError> {
        validate::references("target_groups", &request.target_groups)?;
        validate::references("target_users", &request.target_users)?;
        let limits = request
            .limits
            .ok_or_else(|| ApiError::invalid("limits", "is required"))?;
        Ok(Self {
            name: validate::required_name(request.name.as_deref())?,
            enabled: request.enabled.unwrap_or(self.enabled),
            target_groups: request.target_groups,
            target_users: request.target_users,
            limits: limits.over(self.limits)?,
            updated_at: now,
            ..self
        })
    }

    /// Its groups are made with it.
    async fn accompany(
        &self,
        store: &dyn Store,
        transaction: &mut Transaction,
    ) -> Result<(), ApiError> {
        peers::ensure_groups(store, &self.target_groups, transaction).await
    }

    async fn removal(_: &dyn Store, _: &str) -> Result<Vec<Compare>, ApiError> {
        Ok(Vec::new())
    }
}
