//! Limits: what a policy or a budget rule lets a group and each user have, and what a provider takes.
//!
//! A field that is not known is refused, in a request and in the store: a limit that is not understood
//! must not be dropped. In all of them 0 means uncapped.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

pub use crate::handoff::snapshot::access::LimitMode;

/// An account's budget rule (`/api/agent-network/budget-rules`): limits beside those of the policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = BudgetRule)]
pub struct BudgetRuleDoc {
    pub id: String,
    pub name: String,
    pub enabled: bool,
    /// Group ids. With no user named either, the rule is for everyone.
    #[serde(default)]
    #[schema(required)]
    pub target_groups: Vec<String>,
    /// User ids; a machine without an owner has its peer id.
    #[serde(default)]
    #[schema(required)]
    pub target_users: Vec<String>,
    pub limits: LimitsDoc,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

/// `token_limit` and `budget_limit` are NetBird's, the rest is added.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = Limits)]
pub struct LimitsDoc {
    #[schema(required)]
    pub token_limit: TokenLimitDoc,
    #[schema(required)]
    pub budget_limit: BudgetLimitDoc,
    #[schema(required)]
    pub rate_limit: RateLimitDoc,
    #[schema(required)]
    pub mode: LimitMode,
}

/// Input and output tokens in a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = TokenLimit)]
pub struct TokenLimitDoc {
    #[schema(required)]
    pub enabled: bool,
    /// Of each source group by itself.
    #[schema(required)]
    pub group_cap: u64,
    /// Of each user by itself.
    #[schema(required)]
    pub user_cap: u64,
    /// Windows are aligned to the Unix epoch.
    #[schema(required)]
    pub window_seconds: u64,
}

/// Dollars in a window, exact to the billionth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = BudgetLimit)]
pub struct BudgetLimitDoc {
    #[schema(required)]
    pub enabled: bool,
    #[schema(value_type = f64, required)]
    pub group_cap_usd: Number,
    #[schema(value_type = f64, required)]
    pub user_cap_usd: Number,
    #[schema(required)]
    pub window_seconds: u64,
}

impl Default for BudgetLimitDoc {
    fn default() -> Self {
        Self {
            enabled: false,
            group_cap_usd: Number::from(0),
            user_cap_usd: Number::from(0),
            window_seconds: 0,
        }
    }
}

/// Requests and tokens per minute, and requests at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = RateLimit)]
pub struct RateLimitDoc {
    #[schema(required)]
    pub enabled: bool,
    #[schema(required)]
    pub group_requests_per_minute: u64,
    #[schema(required)]
    pub user_requests_per_minute: u64,
    #[schema(required)]
    pub group_tokens_per_minute: u64,
    #[schema(required)]
    pub user_tokens_per_minute: u64,
    #[schema(required)]
    pub group_concurrency: u64,
    #[schema(required)]
    pub user_concurrency: u64,
}

/// What a provider takes from everybody together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = ProviderRateLimit)]
pub struct ProviderRateLimitDoc {
    #[schema(required)]
    pub enabled: bool,
    #[schema(required)]
    pub requests_per_minute: u64,
    #[schema(required)]
    pub tokens_per_minute: u64,
    #[schema(required)]
    pub concurrency: u64,
}
