//! What would become of a request, and why: the decisions of the data plane over the same snapshot, with what they
//! leave unsaid. Nothing is spent.

mod policies;
mod providers;

use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::resource::{GuardrailDoc, PolicyDoc, ProviderDoc};
use crate::{
    config::LimitsConfig,
    dialect::{Classified, elsewhere::Elsewhere},
    handoff::{
        reason::Reason,
        snapshot::{Group, Principal, Snapshot},
    },
    policy::{self, Ask, plan::Wants},
};
pub use policies::Considered;
pub use providers::Candidate;

/// A request that nobody has made.
pub struct Question<'q> {
    pub principal: &'q Principal,
    pub classified: Classified<'q>,
    pub ask: Ask<'q>,
    pub wants: Wants,
    /// What it makes the model read beyond its body.
    pub elsewhere: Elsewhere,
}

/// What is stored, disabled or not.
pub struct Stored {
    pub providers: Vec<ProviderDoc>,
    pub policies: Vec<PolicyDoc>,
    pub guardrails: Vec<GuardrailDoc>,
}

/// What would become of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    pub allowed: bool,
    /// What the agent is told if it is not.
    #[schema(required)]
    pub denial: Option<Denial>,
    /// Who is asked, if policies allow it.
    #[schema(required)]
    pub provider: Option<Named>,
    /// Which policy pays.
    #[schema(required)]
    pub policy: Option<Named>,
    /// For which of its groups.
    #[schema(required)]
    pub group: Option<Named>,
    /// Why the provider cannot be asked at the moment.
    #[schema(required)]
    pub provider_problem: Option<Denial>,
    pub providers: Vec<Candidate>,
    pub policies: Vec<Considered>,
    /// Policies beyond the most that are shown.
    pub policies_left_out: usize,
}

/// An answer that is no provider's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Denial {
    /// As in the error that the agent gets.
    pub code: String,
    /// Of HTTP.
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Named {
    pub id: String,
    pub name: String,
}

/// A limit that the request counts into.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Charged {
    /// `account`, `provider` or `policy`: who set it.
    pub set_by: &'static str,
    /// The name of the budget rule, where one did.
    #[schema(required)]
    pub rule: Option<String>,
    pub unit: &'static str,
    /// 0 for what is in flight.
    pub window_seconds: u32,
    pub hard: bool,
    /// Dollars where the unit is `usd`.
    #[schema(value_type = f64)]
    pub cap: Number,
    #[schema(value_type = f64)]
    pub spent: Number,
    #[schema(value_type = f64)]
    pub left: Number,
    /// What the request sets aside until it has ended; `None`: there is no upper bound.
    #[schema(value_type = Option<f64>, required)]
    pub takes: Option<Number>,
    pub has_room: bool,
    /// What it is denied with where there is no room.
    #[schema(required)]
    pub denial: Option<Denial>,
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.public_code().into_owned(),
            status: reason.status(),
        }
    }
}

impl From<&Group> for Named {
    fn from(group: &Group) -> Self {
        Self {
            id: (*group.id).to_owned(),
            name: (*group.name).to_owned(),
        }
    }
}

/// Explains `question` at `now`, in seconds since the epoch.
pub fn explain(
    snapshot: &Snapshot,
    question: &Question<'_>,
    stored: &Stored,
    limits: &LimitsConfig,
    now: u64,
) -> Explanation {
    let Question {
        principal,
        classified,
        ask,
        ..
    } = question;
    let first = policy::permit(snapshot, principal, classified, *ask);
    let route = policy::route::route(snapshot, principal, classified, ask.model, ask.keeper).ok();
    let asked = route.map(|route| route.provider);
    let paying = first.map(|first| policies::pay(first, question, limits, now));
    let payer = paying.as_ref().ok().and_then(|paying| paying.payer());
    let denial = match &paying {
        Err(reason) => Some(Denial::from(*reason)),
        Ok(paying) => paying.denial().cloned(),
    };
    let policy = payer.map(|payer| &snapshot.policies[payer.policy_place]);
    let group = payer.and_then(|payer| payer.group.clone());
    let (policies, policies_left_out) =
        policies::considered(snapshot, question, asked, paying.ok(), stored);
    let provider_problem = asked
        .filter(|provider| provider.targets.is_empty())
        .map(|provider| Denial::from(provider.no_target));
    let named = |id: &str, name: &str| Named {
        id: id.to_owned(),
        name: name.to_owned(),
    };
    Explanation {
        allowed: denial.is_none(),
        denial,
        provider: asked.map(|provider| named(&provider.id, &provider.name)),
        policy: policy.map(|policy| named(&policy.id, &policy.name)),
        group,
        provider_problem,
        providers: providers::candidates(snapshot, question, asked, &stored.providers),
        policies,
        policies_left_out,
    }
}
