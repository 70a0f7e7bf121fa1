//! Turns: what one process does at a time, of however many share the database.

use std::fmt;

use super::{Database, DatabaseError, session::Session};

/// A turn, which ends when this is dropped, or with the process or its connection.
#[must_use = "a turn ends when it is dropped"]
pub struct Turn {
    _session: Session,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

pub(super) async fn take(database: &Database, name: &'static str) -> Result<Option<Turn>, DatabaseError> {
    // The lock is the connection's: it is closed at the end, not handed to the next who would hold it unknowingly.
    let mut session = database.session().await?.closed_at_the_end();
    let taken: Option<(i64,)> = session.fetch_optional(sqlx::query_as(database.dialect.take_turn).bind(name)).await?;
    Ok(taken.map(|_| Turn { _session: session }))
}
