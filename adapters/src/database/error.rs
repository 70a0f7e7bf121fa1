//! What can go wrong, and which failures pass and which stay.

use sqlx::{migrate::MigrateError, postgres::PgDatabaseError, sqlite::SqliteError};
use thiserror::Error;

use super::Leader;
use crate::tls::Refusal;

/// Why the database did not answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The token is not the current one: this leader has been replaced, by the leader named.
    #[error("the leader has been replaced{}", successor(.0.as_ref()))]
    Fenced(Option<Leader>),
    /// The database is another cluster's, the one named: this one must not raise its fence.
    #[error("the database is that of the cluster {0:?}, and no other writes to it")]
    Foreign(String),
    /// The database is away, busy or full: try again.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The URL, the schema or the request is wrong.
    #[error("database: {0}")]
    Invalid(String),
}

fn successor(leader: Option<&Leader>) -> String {
    leader.map_or_else(String::new, |Leader { token, .. }| format!(" by node {} in term {}", token.holder, token.term))
}

impl From<sqlx::Error> for DatabaseError {
    /// Once the database is open, only what a request says can be wrong for good: a schema or a password that stopped
    /// working is the operator's to repair, and the request can be tried again.
    fn from(error: sqlx::Error) -> Self {
        match kind(&error) {
            Kind::Request => Self::Invalid(words(&error)),
            Kind::Setting | Kind::Passing => Self::Unavailable(words(&error)),
        }
    }
}

/// Reads a failure to open the database: here the URL and the schema may be wrong, too.
pub(super) fn on_open(error: &sqlx::Error) -> DatabaseError {
    match kind(error) {
        Kind::Request | Kind::Setting => DatabaseError::Invalid(words(error)),
        Kind::Passing => DatabaseError::Unavailable(words(error)),
    }
}

/// Reads a failure to bring the schema up to date.
pub(super) fn on_migrate(error: &MigrateError) -> DatabaseError {
    match error {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => match on_open(cause) {
            DatabaseError::Unavailable(_) => DatabaseError::Unavailable(error.to_string()),
            _ => DatabaseError::Invalid(error.to_string()),
        },
        _ => DatabaseError::Invalid(error.to_string()),
    }
}

/// A refused certificate in our words, anything else in those of sqlx.
fn words(error: &sqlx::Error) -> String {
    Refusal::find(error).map_or_else(|| error.to_string(), |refusal| refusal.to_string())
}

enum Kind {
    /// Time or the server's recovery cures it.
    Passing,
    /// The URL, the account or the schema.
    Setting,
    /// The values of a request.
    Request,
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Configuration(_) | sqlx::Error::ConfigFile(_) => Kind::Setting,
        sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => Kind::Request,
        sqlx::Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                postgres(error.code())
            } else if let Some(error) = error.try_downcast_ref::<SqliteError>() {
                sqlite(sqlx::error::DatabaseError::code(error).and_then(|code| code.parse().ok()))
            } else {
                Kind::Passing
            }
        }
        _ => Kind::Passing,
    }
}

/// By the class of SQLSTATE (PostgreSQL, appendix A).
fn postgres(code: &str) -> Kind {
    match code.get(..2) {
        // Data exception, integrity constraint violation, program limit exceeded.
        Some("22" | "23" | "54") => Kind::Request,
        // Feature not supported, authorization, catalog and schema name, syntax error or access rule violation.
        Some("0A" | "28" | "3D" | "3F" | "42") => Kind::Setting,
        _ => Kind::Passing,
    }
}

/// By the primary result code, the low byte of the extended one (sqlite.org/rescode.html).
fn sqlite(code: Option<u32>) -> Kind {
    // The guard's refusal, which speaks of the moment and not of the request.
    const CONSTRAINT_TRIGGER: u32 = 19 | 7 << 8;
    const ERROR: u32 = 1;
    const PERM: u32 = 3;
    const READONLY: u32 = 8;
    const CORRUPT: u32 = 11;
    const CANTOPEN: u32 = 14;
    const TOOBIG: u32 = 18;
    const CONSTRAINT: u32 = 19;
    const MISMATCH: u32 = 20;
    const NOTADB: u32 = 26;
    if code == Some(CONSTRAINT_TRIGGER) {
        return Kind::Passing;
    }
    match code.map(|code| code & 0xff) {
        Some(TOOBIG | CONSTRAINT | MISMATCH) => Kind::Request,
        Some(ERROR | PERM | READONLY | CORRUPT | CANTOPEN | NOTADB) => Kind::Setting,
        _ => Kind::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_full_and_rolled_back_databases_are_tried_again() {
        for code in ["40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "57P03", "08006", "25P03", "25006"]
        {
            assert!(matches!(postgres(code), Kind::Passing), "{code}");
        }
        for code in [5, 6, 5 | 2 << 8, 10, 13, 17] {
            assert!(matches!(sqlite(Some(code)), Kind::Passing), "{code}");
        }
    }

    #[test]
    fn values_that_no_retry_can_mend_are_the_requests_fault() {
        for code in ["22P05", "22021", "23505", "54000"] {
            assert!(matches!(postgres(code), Kind::Request), "{code}");
        }
        assert!(matches!(sqlite(Some(19 | 6 << 8)), Kind::Request));
    }

    #[test]
    fn a_refusal_by_the_guard_is_not_the_requests_fault() {
        assert!(matches!(postgres("SY001"), Kind::Passing));
        assert!(matches!(sqlite(Some(19 | 7 << 8)), Kind::Passing));
    }

    #[test]
    fn lost_access_is_wrong_at_the_start_and_passing_later() {
        assert!(matches!(postgres("28P01"), Kind::Setting));
        assert!(matches!(postgres("42P01"), Kind::Setting));
        assert!(matches!(on_open(&sqlx::Error::Configuration("scheme".into())), DatabaseError::Invalid(_)));
        assert!(matches!(sqlx::Error::PoolTimedOut.into(), DatabaseError::Unavailable(_)));
    }
}
