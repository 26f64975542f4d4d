//! The usage index as the management API asks it.

use crate::control_plane::api::{
    logs::{AccessLog, AccessLogSession, LogQuery, Page},
    state::{QueryFailure, Task, UsageQueries},
    usage::{BreakdownRow, Dimension, OverviewQuery, UsageBucket, UsageFilter},
};

/// A node without an index: every question is answered with a failure.
pub(super) struct NoIndex;

fn no_index() -> QueryFailure {
    QueryFailure("this node keeps no index".to_owned())
}

impl UsageQueries for NoIndex {
    fn access_logs(&self, _query: LogQuery) -> Task<'_, Result<Page<AccessLog>, QueryFailure>> {
        Box::pin(async { Err(no_index()) })
    }

    fn sessions(&self, _query: LogQuery) -> Task<'_, Result<Page<AccessLogSession>, QueryFailure>> {
        Box::pin(async { Err(no_index()) })
    }

    fn overview(&self, _query: OverviewQuery) -> Task<'_, Result<Vec<UsageBucket>, QueryFailure>> {
        Box::pin(async { Err(no_index()) })
    }

    fn breakdown(
        &self,
        _filter: UsageFilter,
        _dimension: Dimension,
    ) -> Task<'_, Result<Vec<BreakdownRow>, QueryFailure>> {
        Box::pin(async { Err(no_index()) })
    }
}
