//! Whether the database answers, and how much it holds.

use std::time::Duration;

use super::{Counts, Database, DatabaseError, value};

/// Longest wait for a sign of life, the wait for a connection included.
const PING_TIME_MAX: Duration = Duration::from_secs(3);

pub(super) async fn ping(database: &Database) -> Result<(), DatabaseError> {
    let ping = async {
        let mut session = database.session().await?;
        session.fetch_all::<(i64,)>(sqlx::query_as("SELECT CAST(1 AS BIGINT)")).await
    };
    match tokio::time::timeout(PING_TIME_MAX, ping).await {
        Ok(result) => result.map(|_| ()),
        Err(_) => Err(DatabaseError::Unavailable(format!("no answer within {PING_TIME_MAX:?}"))),
    }
}

pub(super) async fn counts(database: &Database) -> Result<Counts, DatabaseError> {
    let query = sqlx::query_as(
        "SELECT (SELECT COUNT(*) FROM items), (SELECT COUNT(*) FROM files), \
         COUNT(*) FILTER (WHERE state = 'sent'), COUNT(*) FILTER (WHERE state = 'waiting'), \
         COUNT(*) FILTER (WHERE state = 'dead') FROM mails",
    );
    let row: Option<(i64, i64, i64, i64, i64)> = database.session().await?.fetch_optional(query).await?;
    let (items, files, sent, waiting, dead) = row.unwrap_or_default();
    Ok(Counts {
        items: value::unsigned(items)?,
        files: value::unsigned(files)?,
        mails_sent: value::unsigned(sent)?,
        mails_waiting: value::unsigned(waiting)?,
        mails_dead: value::unsigned(dead)?,
    })
}
