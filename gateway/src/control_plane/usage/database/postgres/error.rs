//! What goes wrong with a database. No text here has a password or a row in it.

use std::{error::Error as _, io};

use tokio_postgres::error::SqlState;

/// Why a database did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// Nobody is there, or lets us in.
    #[error("cannot be used: {0}")]
    Away(String),
    #[error("does not answer")]
    Silent,
    /// It gave the query up, as it was told to.
    #[error("a query took too long")]
    TooLong,
    #[error("refuses: {0}")]
    Refused(String),
    #[error("{0} is out of range")]
    OutOfRange(i64),
    #[error("its encoding is {0}; make it with ENCODING 'UTF8'")]
    Encoding(String),
    #[error("the node stops")]
    Interrupted,
}

/// Classes of errors that pass: the connection, resources, and the operator's interventions.
const PASSING_CLASSES: [&str; 3] = ["08", "53", "57"];

impl DatabaseError {
    /// Whether another time may be better.
    pub(in super::super::super) fn is_away(&self) -> bool {
        match self {
            Self::Away(_) | Self::Silent | Self::Interrupted => true,
            Self::TooLong | Self::Refused(_) | Self::OutOfRange(_) | Self::Encoding(_) => false,
        }
    }

    /// While connecting everything means that it cannot be used.
    pub(super) fn of_connecting(self) -> Self {
        match self {
            Self::Refused(reason) => Self::Away(reason),
            Self::Silent => Self::Away("it does not answer".to_owned()),
            Self::Away(_)
            | Self::TooLong
            | Self::OutOfRange(_)
            | Self::Encoding(_)
            | Self::Interrupted => self,
        }
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(refusal) = error.as_db_error() {
            let code = refusal.code();
            if *code == SqlState::QUERY_CANCELED {
                return Self::TooLong;
            }
            let text = format!("{} ({})", refusal.message(), code.code());
            // Without its tables it waits for a node that makes them.
            let is_passing = *code == SqlState::UNDEFINED_TABLE
                || PASSING_CLASSES
                    .iter()
                    .any(|class| code.code().starts_with(class));
            return match is_passing {
                true => Self::Away(text),
                false => Self::Refused(text),
            };
        }
        let cause = error.source();
        let is_io = cause.is_some_and(|cause| cause.is::<io::Error>());
        let text = match cause {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        match error.is_closed() || is_io {
            true => Self::Away(text),
            false => Self::Refused(text),
        }
    }
}
