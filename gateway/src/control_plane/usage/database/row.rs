//! Rows of answers.

use rusqlite::types::FromSql;
use tokio_postgres::types::Type;

use super::{super::UsageError, postgres::DatabaseError};

/// One row, as long as it is looked at.
pub(in super::super) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgresql(&'a tokio_postgres::Row),
}

/// What a column can be read as.
pub(in super::super) trait Column: FromSql {
    fn of_postgresql(row: &tokio_postgres::Row, at: usize) -> Result<Self, DatabaseError>;
}

impl Row<'_> {
    pub(in super::super) fn get<T: Column>(&self, at: usize) -> Result<T, UsageError> {
        Ok(match self {
            Self::Sqlite(row) => row.get(at)?,
            Self::Postgresql(row) => T::of_postgresql(row, at)?,
        })
    }

    /// Text that is there as long as the row is.
    pub(in super::super) fn text(&self, at: usize) -> Result<&str, UsageError> {
        Ok(match self {
            Self::Sqlite(row) => row.get_ref(at)?.as_str().map_err(rusqlite::Error::from)?,
            Self::Postgresql(row) => row.try_get(at).map_err(DatabaseError::from)?,
        })
    }
}

impl Column for String {
    fn of_postgresql(row: &tokio_postgres::Row, at: usize) -> Result<Self, DatabaseError> {
        Ok(row.try_get(at)?)
    }
}

impl Column for Option<String> {
    fn of_postgresql(row: &tokio_postgres::Row, at: usize) -> Result<Self, DatabaseError> {
        Ok(row.try_get(at)?)
    }
}

impl Column for Option<i64> {
    fn of_postgresql(row: &tokio_postgres::Row, at: usize) -> Result<Self, DatabaseError> {
        let number: Option<Integer> = row.try_get(at)?;
        Ok(number.map(|Integer(number)| number))
    }
}

/// 0 or 1, as SQLite has them.
impl Column for bool {
    fn of_postgresql(row: &tokio_postgres::Row, at: usize) -> Result<Self, DatabaseError> {
        let Integer(number) = row.try_get(at)?;
        Ok(number != 0)
    }
}

macro_rules! integers {
    ($($type:ty),*) => {
        $(impl Column for $type {
            fn of_postgresql(row: &tokio_postgres::Row, at: usize) -> Result<Self, DatabaseError> {
                let Integer(number) = row.try_get(at)?;
                number.try_into().map_err(|_| DatabaseError::OutOfRange(number))
            }
        })*
    };
}

integers!(i64, u64, u32, u16, u8, usize);

/// Of any width, and conditions: in SQLite these are one type.
struct Integer(i64);

impl<'a> tokio_postgres::types::FromSql<'a> for Integer {
    fn from_sql(
        of: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(match *of {
            Type::BOOL => bool::from_sql(of, raw)?.into(),
            Type::INT4 => i32::from_sql(of, raw)?.into(),
            _ => i64::from_sql(of, raw)?,
        }))
    }

    fn accepts(of: &Type) -> bool {
        matches!(*of, Type::BOOL | Type::INT4 | Type::INT8)
    }
}
