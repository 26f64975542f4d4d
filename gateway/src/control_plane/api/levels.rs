//! `/limits`: how full every bucket is that a limit counts into, and `/consumption`: the same in NetBird's shape.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Query, State},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::{error::ApiError, logs::Pairs, state::AppState, usage::parameter};
use crate::{
    control_plane::{
        catalog::rate,
        ledger::levels::{Counted, Filter, Held, Level, levels},
    },
    handoff::{
        ledger::{Bucket, Unit},
        snapshot::{NanoUsd, access::LimitMode},
    },
};

/// The fullest come first, so that what is left out matters least.
const ROWS_MAX: usize = 1000;
/// Limits shown at one bucket, the least first.
const CAPS_MAX: usize = 50;

/// The answer of `/limits`.
#[derive(Serialize, ToSchema)]
#[schema(as = LimitLevels)]
pub(super) struct LevelsAnswer {
    limits: Vec<LevelRow>,
    /// Rows beyond the most that one answer has.
    left_out: usize,
}

/// A bucket, and the limits that look at it.
#[derive(Serialize, ToSchema)]
#[schema(as = LimitLevel)]
struct LevelRow {
    counts_for: CountsFor,
    #[serde(flatten)]
    bucket: BucketShape,
    #[serde(flatten)]
    spent: Spent,
    /// In percent of the least cap.
    used_percent: f64,
    caps: Vec<CapRow>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LimitCountsFor)]
struct CountsFor {
    kind: &'static str,
    id: String,
    name: String,
}

/// What a bucket counts, and since when.
#[derive(Serialize, ToSchema)]
#[schema(as = LimitBucket)]
struct BucketShape {
    unit: &'static str,
    /// 0 for what is in flight, which has no windows.
    window_seconds: u32,
    #[schema(required)]
    window_start_utc: Option<Timestamp>,
    #[schema(required)]
    resets_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = LimitSpent)]
enum Spent {
    Count {
        spent: u64,
    },
    Money {
        #[schema(value_type = f64)]
        spent_usd: Number,
    },
}

#[derive(Serialize, ToSchema)]
#[schema(as = LimitCap)]
struct CapRow {
    kind: &'static str,
    id: String,
    name: String,
    mode: LimitMode,
    #[serde(flatten)]
    cap: CapAmount,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = LimitCapAmount)]
enum CapAmount {
    Count {
        cap: u64,
        left: u64,
    },
    Money {
        #[schema(value_type = f64)]
        cap_usd: Number,
        #[schema(value_type = f64)]
        left_usd: Number,
    },
}

/// Takes `policy`, `rule`, `user` and `group`, each an id or a name.
pub(super) async fn limits(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<LevelsAnswer>, ApiError> {
    const KNOWN: [&str; 4] = ["policy", "rule", "user", "group"];
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !KNOWN.contains(&&**name)) {
        // Without it there would be more rows than were asked for.
        let message = format!("is none of {}", KNOWN.join(", "));
        return Err(ApiError::invalid(name.clone(), message));
    }
    let filter = Filter {
        policy: parameter(&pairs, "policy"),
        rule: parameter(&pairs, "rule"),
        user: parameter(&pairs, "user"),
        group: parameter(&pairs, "group"),
    };
    let snapshot = state.node.snapshot();
    let now = now();
    let levels = levels(&snapshot, now, filter);
    Ok(Json(LevelsAnswer {
        left_out: levels.len().saturating_sub(ROWS_MAX),
        limits: levels
            .iter()
            .take(ROWS_MAX)
            .map(|level| row(level, now))
            .collect(),
    }))
}

fn row(level: &Level<'_>, now: u64) -> LevelRow {
    let unit = level.bucket.unit();
    LevelRow {
        counts_for: CountsFor {
            kind: level.counted.kind(),
            id: level.counted.id().to_owned(),
            name: level.counted.name().to_owned(),
        },
        bucket: BucketShape::of(level.bucket, now),
        spent: match unit {
            Unit::NanoUsd => Spent::Money {
                spent_usd: usd(level.spent),
            },
            Unit::Tokens | Unit::Requests | Unit::InFlight => Spent::Count { spent: level.spent },
        },
        used_percent: (level.part_spent() * 1000.0).round() / 10.0,
        caps: level
            .caps
            .iter()
            .take(CAPS_MAX)
            .map(|held| cap(held, unit, level.spent))
            .collect(),
    }
}

fn cap(held: &Held<'_>, unit: Unit, spent: u64) -> CapRow {
    let left = held.most.saturating_sub(spent);
    CapRow {
        kind: held.by.kind(),
        id: held.by.id().to_owned(),
        name: held.by.name().to_owned(),
        mode: held.mode,
        cap: match unit {
            Unit::NanoUsd => CapAmount::Money {
                cap_usd: usd(held.most),
                left_usd: usd(left),
            },
            Unit::Tokens | Unit::Requests | Unit::InFlight => CapAmount::Count {
                cap: held.most,
                left,
            },
        },
    }
}

impl BucketShape {
    fn of(bucket: &Bucket, now: u64) -> Self {
        let window = bucket.window_seconds();
        let start = bucket.window_at(now).saturating_mul(u64::from(window));
        let at = |seconds: u64| {
            let seconds = i64::try_from(seconds).ok().filter(|_| window > 0)?;
            Timestamp::from_second(seconds).ok()
        };
        Self {
            unit: bucket.unit().code(),
            window_seconds: window,
            window_start_utc: at(start),
            resets_at: at(start.saturating_add(u64::from(window))),
        }
    }
}

/// NetBird's `AgentNetworkConsumption`.
#[derive(Serialize, ToSchema)]
pub(super) struct Consumption {
    dimension_kind: &'static str,
    dimension_id: String,
    window_seconds: u32,
    #[schema(required)]
    window_start_utc: Option<Timestamp>,
    /// Output included: limits count both together.
    tokens_input: u64,
    tokens_output: u64,
    #[schema(value_type = f64)]
    cost_usd: Number,
}

/// What users and groups have spent of limits over windows that survive a restart; requests in flight count with
/// their upper bound.
pub(super) async fn consumption(State(state): State<AppState>) -> Json<Vec<Consumption>> {
    let snapshot = state.node.snapshot();
    let now = now();
    let mut rows: Vec<Consumption> = Vec::new();
    let mut places = HashMap::new();
    let levels = levels(&snapshot, now, Filter::default());
    for level in &levels {
        let is_dimension = match level.counted {
            Counted::User(_) | Counted::Group(_) => level.bucket.is_durable(),
            Counted::Provider(_) | Counted::Rule(_) => false,
        };
        if !is_dimension {
            continue;
        }
        let window_seconds = level.bucket.window_seconds();
        let counted = &level.counted;
        let key = (counted.kind(), counted.id(), window_seconds);
        let place = match places.get(&key) {
            Some(place) => *place,
            None if rows.len() == ROWS_MAX => continue,
            None => {
                places.insert(key, rows.len());
                rows.push(Consumption {
                    dimension_kind: counted.kind(),
                    dimension_id: counted.id().to_owned(),
                    window_seconds,
                    window_start_utc: BucketShape::of(level.bucket, now).window_start_utc,
                    tokens_input: 0,
                    tokens_output: 0,
                    cost_usd: usd(0),
                });
                rows.len() - 1
            }
        };
        match level.bucket.unit() {
            Unit::Tokens => rows[place].tokens_input = level.spent,
            Unit::NanoUsd => rows[place].cost_usd = usd(level.spent),
            Unit::Requests | Unit::InFlight => {}
        }
    }
    Json(rows)
}

fn usd(nano: u64) -> Number {
    rate::to_usd(NanoUsd(nano))
}

/// Seconds since the epoch.
pub(super) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}
