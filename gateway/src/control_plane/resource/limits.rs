//! Limits: what a policy or a budget rule lets a group and each user have, and what a provider takes.
//!
//! A field that is not known is refused, in a request and in the store: a limit that is not understood
//! must not be dropped. In all of them 0 means uncapped.

use serde::{Deserialize, Serialize};
use serde_json::Number;

pub use crate::handoff::snapshot::access::LimitMode;

/// An account's budget rule (`/api/agent-network/budget-rules`): limits beside those of the policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetRuleDoc {
    pub id: String,
    pub name: String,
    pub enabled: bool,
    /// Group ids. With no user named either, the rule is for everyone.
    #[serde(default)]
    pub target_groups: Vec<String>,
    /// User ids; a machine without an owner has its peer id.
    #[serde(default)]
    pub target_users: Vec<String>,
    pub limits: LimitsDoc,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

/// `token_limit` and `budget_limit` are NetBird's, the rest is added.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsDoc {
    pub token_limit: TokenLimitDoc,
    pub budget_limit: BudgetLimitDoc,
    pub rate_limit: RateLimitDoc,
    pub mode: LimitMode,
}

/// Input and output tokens in a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenLimitDoc {
    pub enabled: bool,
    /// Of each source group by itself.
    pub group_cap: u64,
    /// Of each user by itself.
    pub user_cap: u64,
    /// Windows are aligned to the Unix epoch.
    pub window_seconds: u64,
}

/// Dollars in a window, exact to the billionth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetLimitDoc {
    pub enabled: bool,
    pub group_cap_usd: Number,
    pub user_cap_usd: Number,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitDoc {
    pub enabled: bool,
    pub group_requests_per_minute: u64,
    pub user_requests_per_minute: u64,
    pub group_tokens_per_minute: u64,
    pub user_tokens_per_minute: u64,
    pub group_concurrency: u64,
    pub user_concurrency: u64,
}

/// What a provider takes from everybody together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderRateLimitDoc {
    pub enabled: bool,
    pub requests_per_minute: u64,
    pub tokens_per_minute: u64,
    pub concurrency: u64,
}
