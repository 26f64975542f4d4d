//! The schema's version in the database, and bringing it up to date, by one node at a time.

use std::time::Duration;

use super::{
    super::{super::UsageError, Migration},
    DatabaseError, Session, dialect,
};

/// A migration of a large index rewrites tables.
pub(super) const TIME_MAX: Duration = Duration::from_secs(3600);

/// The lock is the schema's: several fleets may share a database. It ends with the transaction.
/// The number stands for this program.
pub(super) const BEGIN_ALONE: &str =
    "BEGIN; SELECT pg_advisory_xact_lock(1801812339, hashtext(current_schema()))";

/// Brings the index to the latest schema, and returns its version.
pub(super) fn run(session: &Session, migrations: &[Migration]) -> Result<i64, UsageError> {
    let encoding: Option<String> = session.first("SHOW server_encoding")?;
    if let Some(other) = encoding.filter(|encoding| encoding != "UTF8") {
        return Err(DatabaseError::Encoding(other).into());
    }
    let known = migrations.len() as i64;
    let transaction = session.begin_alone()?;
    session.batch(
        "SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning;
         CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)",
    )?;
    let found = version(session)?;
    if found > known {
        return Err(newer(found, known));
    }
    if found < known {
        for migration in &migrations[found as usize..] {
            session.batch(&dialect::tables(migration.tables))?;
        }
        session.batch(&format!(
            "DELETE FROM schema_version; INSERT INTO schema_version VALUES ({known})"
        ))?;
        tracing::info!(found, known, "the usage index has got its latest schema");
    }
    transaction.commit()?;
    Ok(known)
}

/// 0 before the first migration.
pub(super) fn version(session: &Session) -> Result<i64, UsageError> {
    let version = session.first("SELECT version FROM schema_version")?;
    Ok(version.unwrap_or(0))
}

pub(super) fn newer(found: i64, known: i64) -> UsageError {
    UsageError::NewerSchema {
        file: "the index in PostgreSQL",
        found,
        known,
    }
}
