//! The tables of the index.

use super::{
    UsageError,
    database::{Connection, Database, Migration},
};

/// `access_log.sequence` orders rows by the time they were indexed; `id` is the record's own.
/// Groups are kept as sets: a set is stored once, rows and sums name it by number, and "member of any
/// of these groups" is one look-up that cannot count an exchange twice.
/// Sums have the key (period, user, group set, provider, model); an exchange without usage is summed
/// under the empty model, so that invented model names make no rows.
/// `usage_slice` has the same sums along one dimension at a time, see `slice`; `usage_pair` along two, see `pair`.
/// Texts that an index begins with are bounded where records are made.
/// `beyond_text` is JSON of media and tools; few exchanges have any.
/// `trace_id` has no index: random as it is, each would dirty a page of its own.
/// `response_model` is empty where it is `model`.
const MIGRATIONS: &[Migration] = &[
    Migration::tables(
        "
    CREATE TABLE access_log (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        started_at_us INTEGER NOT NULL,
        duration_us INTEGER NOT NULL,
        time_to_first_token_us INTEGER NOT NULL,
        overhead_us INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        display_name TEXT NOT NULL,
        peer_id TEXT NOT NULL,
        group_set INTEGER NOT NULL,
        source_ip TEXT NOT NULL,
        method TEXT NOT NULL,
        host TEXT NOT NULL,
        path TEXT NOT NULL,
        http_version INTEGER NOT NULL,
        status INTEGER NOT NULL,
        outcome INTEGER NOT NULL,
        reason TEXT NOT NULL,
        dialect TEXT NOT NULL,
        operation TEXT NOT NULL,
        model TEXT NOT NULL,
        session_id TEXT NOT NULL,
        provider_id TEXT NOT NULL,
        catalog_id TEXT NOT NULL,
        policy_id TEXT NOT NULL,
        stream INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_creation_tokens INTEGER NOT NULL,
        cache_creation_long_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        input_cost INTEGER NOT NULL,
        cache_read_cost INTEGER NOT NULL,
        cache_creation_cost INTEGER NOT NULL,
        output_cost INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        request_bytes INTEGER NOT NULL,
        response_bytes INTEGER NOT NULL,
        attempts TEXT NOT NULL
    );
    CREATE INDEX access_log_started ON access_log (started_at_us);
    CREATE INDEX access_log_user ON access_log (user_id, started_at_us);
    CREATE INDEX access_log_provider ON access_log (provider_id, started_at_us);
    CREATE INDEX access_log_model ON access_log (model, started_at_us);
    CREATE INDEX access_log_session ON access_log (session_id, started_at_us)
        WHERE session_id <> '';
    CREATE INDEX access_log_denied ON access_log (started_at_us) WHERE outcome = 1;

    CREATE TABLE group_set (id INTEGER PRIMARY KEY, group_ids TEXT NOT NULL UNIQUE);
    CREATE TABLE group_set_member (
        group_id TEXT NOT NULL,
        group_set INTEGER NOT NULL,
        PRIMARY KEY (group_id, group_set)
    ) WITHOUT ROWID;
    CREATE TABLE principal (user_id TEXT PRIMARY KEY, display_name TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE usage_hour (
        period INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        group_set INTEGER NOT NULL,
        provider_id TEXT NOT NULL,
        model TEXT NOT NULL,
        requests INTEGER NOT NULL,
        denied INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_creation_tokens INTEGER NOT NULL,
        input_cost INTEGER NOT NULL,
        cache_read_cost INTEGER NOT NULL,
        cache_creation_cost INTEGER NOT NULL,
        output_cost INTEGER NOT NULL,
        PRIMARY KEY (period, user_id, group_set, provider_id, model)
    ) WITHOUT ROWID;
    CREATE TABLE usage_day (
        period INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        group_set INTEGER NOT NULL,
        provider_id TEXT NOT NULL,
        model TEXT NOT NULL,
        requests INTEGER NOT NULL,
        denied INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_creation_tokens INTEGER NOT NULL,
        input_cost INTEGER NOT NULL,
        cache_read_cost INTEGER NOT NULL,
        cache_creation_cost INTEGER NOT NULL,
        output_cost INTEGER NOT NULL,
        PRIMARY KEY (period, user_id, group_set, provider_id, model)
    ) WITHOUT ROWID;

    CREATE TABLE indexed (spool TEXT PRIMARY KEY, batch_id INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE damaged_batch (
        spool TEXT NOT NULL,
        batch_id INTEGER NOT NULL,
        noticed_at TEXT NOT NULL,
        problem TEXT NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (spool, batch_id)
    );
",
    ),
    Migration::tables(
        "
    ALTER TABLE access_log ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE object (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id TEXT NOT NULL,
        object_id TEXT NOT NULL,
        provider_id TEXT NOT NULL,
        billed INTEGER NOT NULL,
        UNIQUE (user_id, object_id)
    );
",
    ),
    Migration::tables(
        "
    ALTER TABLE access_log ADD COLUMN other_cost INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE access_log ADD COLUMN cost_source INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE access_log ADD COLUMN service_tier INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE access_log ADD COLUMN regional INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE access_log ADD COLUMN beyond_text TEXT;
    ALTER TABLE access_log ADD COLUMN agent_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE access_log ADD COLUMN parent_agent_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE usage_hour ADD COLUMN other_cost INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE usage_day ADD COLUMN other_cost INTEGER NOT NULL DEFAULT 0;
",
    ),
    Migration::tables(
        "
    ALTER TABLE access_log ADD COLUMN capture INTEGER NOT NULL DEFAULT 0;
",
    ),
    Migration::tables(
        "
    ALTER TABLE access_log ADD COLUMN received_us INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE access_log ADD COLUMN reserved_us INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE access_log ADD COLUMN sent_us INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE access_log ADD COLUMN first_byte_us INTEGER NOT NULL DEFAULT 0;
",
    ),
    Migration {
        tables: "
    CREATE TABLE usage_slice (
        unit INTEGER NOT NULL,
        dimension INTEGER NOT NULL,
        period INTEGER NOT NULL,
        key TEXT NOT NULL,
        requests INTEGER NOT NULL,
        denied INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_creation_tokens INTEGER NOT NULL,
        input_cost INTEGER NOT NULL,
        cache_read_cost INTEGER NOT NULL,
        cache_creation_cost INTEGER NOT NULL,
        output_cost INTEGER NOT NULL,
        other_cost INTEGER NOT NULL,
        PRIMARY KEY (unit, dimension, period, key)
    ) WITHOUT ROWID;
    CREATE INDEX usage_day_user ON usage_day (user_id, period);
",
        sqlite_rows: "
    INSERT INTO usage_slice
        SELECT unit, dimension, period,
            CASE dimension WHEN 0 THEN '' WHEN 1 THEN provider_id WHEN 2 THEN model ELSE user_id END
                AS key,
            sum(requests), sum(denied), sum(failed), sum(unpriced),
            sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
            sum(cache_creation_tokens), sum(input_cost), sum(cache_read_cost),
            sum(cache_creation_cost), sum(output_cost), sum(other_cost)
        FROM (SELECT 0 AS unit, * FROM usage_hour UNION ALL SELECT 1 AS unit, * FROM usage_day),
            (SELECT 0 AS dimension UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)
        GROUP BY 1, 2, 3, 4;
    INSERT INTO usage_slice
        SELECT unit, 4, period, group_id,
            sum(requests), sum(denied), sum(failed), sum(unpriced),
            sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
            sum(cache_creation_tokens), sum(input_cost), sum(cache_read_cost),
            sum(cache_creation_cost), sum(output_cost), sum(other_cost)
        FROM (SELECT 0 AS unit, * FROM usage_hour UNION ALL SELECT 1 AS unit, * FROM usage_day)
            JOIN group_set_member USING (group_set)
        GROUP BY 1, 3, 4;
    INSERT INTO usage_slice
        SELECT 2, dimension,
            (strftime('%Y', period * 86400, 'unixepoch') - 1970) * 12
                + strftime('%m', period * 86400, 'unixepoch') - 1 AS month,
            key, sum(requests), sum(denied), sum(failed), sum(unpriced),
            sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
            sum(cache_creation_tokens), sum(input_cost), sum(cache_read_cost),
            sum(cache_creation_cost), sum(output_cost), sum(other_cost)
        FROM usage_slice WHERE unit = 1
        GROUP BY 2, 3, 4;
",
    },
    Migration::tables(
        "
    ALTER TABLE access_log ADD COLUMN trace_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE access_log ADD COLUMN response_model TEXT NOT NULL DEFAULT '';
",
    ),
    Migration {
        tables: "
    CREATE TABLE usage_pair (
        unit INTEGER NOT NULL,
        pair INTEGER NOT NULL,
        period INTEGER NOT NULL,
        provider_id TEXT NOT NULL,
        model TEXT NOT NULL,
        group_set INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        requests INTEGER NOT NULL,
        denied INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_creation_tokens INTEGER NOT NULL,
        input_cost INTEGER NOT NULL,
        cache_read_cost INTEGER NOT NULL,
        cache_creation_cost INTEGER NOT NULL,
        output_cost INTEGER NOT NULL,
        other_cost INTEGER NOT NULL,
        PRIMARY KEY (unit, pair, period, provider_id, model, group_set, user_id)
    ) WITHOUT ROWID;
",
        sqlite_rows: "
    CREATE TEMP TABLE month AS
        SELECT (strftime('%Y', period * 86400, 'unixepoch') - 1970) * 12
                + strftime('%m', period * 86400, 'unixepoch') - 1 AS period,
            provider_id, model, group_set, user_id,
            sum(requests) AS requests, sum(denied) AS denied, sum(failed) AS failed,
            sum(unpriced) AS unpriced, sum(input_tokens) AS input_tokens,
            sum(output_tokens) AS output_tokens, sum(cache_read_tokens) AS cache_read_tokens,
            sum(cache_creation_tokens) AS cache_creation_tokens, sum(input_cost) AS input_cost,
            sum(cache_read_cost) AS cache_read_cost, sum(cache_creation_cost) AS cache_creation_cost,
            sum(output_cost) AS output_cost, sum(other_cost) AS other_cost
        FROM usage_day GROUP BY 1, 2, 3, 4, 5;
    CREATE TEMP TABLE pair (pair, unit, has_provider, has_model, has_groups, has_user);
    INSERT INTO pair VALUES
        (0, 1, 1, 1, 0, 0), (1, 1, 1, 0, 1, 0), (2, 1, 0, 1, 1, 0),
        (0, 2, 1, 1, 0, 0), (1, 2, 1, 0, 1, 0), (2, 2, 0, 1, 1, 0),
        (3, 2, 1, 0, 0, 1), (4, 2, 0, 1, 0, 1), (5, 2, 0, 0, 1, 1);
    INSERT INTO usage_pair
        SELECT unit, pair, period,
            iif(has_provider, provider_id, ''), iif(has_model, model, ''),
            iif(has_groups, group_set, 0), iif(has_user, user_id, ''),
            sum(requests), sum(denied), sum(failed), sum(unpriced),
            sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
            sum(cache_creation_tokens), sum(input_cost), sum(cache_read_cost),
            sum(cache_creation_cost), sum(output_cost), sum(other_cost)
        FROM pair JOIN (
            SELECT 1 AS length, period, provider_id, model, group_set, user_id, requests, denied,
                failed, unpriced, input_tokens, output_tokens, cache_read_tokens,
                cache_creation_tokens, input_cost, cache_read_cost, cache_creation_cost,
                output_cost, other_cost FROM usage_day
            UNION ALL SELECT 2, * FROM month
        ) ON length = unit
        GROUP BY 1, 2, 3, 4, 5, 6, 7;
    DROP TABLE month;
    DROP TABLE pair;
",
    },
];

/// The index, for the one thread that changes it.
pub(super) struct Index {
    database: Database,
    connection: Option<Connection>,
}

impl Index {
    /// Is opened when it is first used.
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            connection: None,
        }
    }

    /// Opens it and brings it to the latest schema, unless it is open.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, UsageError> {
        let connection = match self.connection.take() {
            Some(open) => open,
            None => {
                let mut connection = self.database.open_writer()?;
                connection.migrate(MIGRATIONS)?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// To be opened anew.
    pub(super) fn close(&mut self) {
        self.connection = None;
    }

    /// Whether it may be away for a while, and other nodes may write into it.
    pub(super) fn is_shared(&self) -> bool {
        self.database.is_shared()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("usage.db");
        let open = || Index::new(Database::Sqlite(path.clone()));
        open().connection().unwrap();
        rusqlite::Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        assert!(matches!(
            open().connection(),
            Err(UsageError::NewerSchema { found: 99, .. })
        ));
    }
}
