//! Whether the database answers, and how much it holds.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::{Counts, Database, DatabaseError, value};

/// Longest wait for a sign of life, the wait for a connection included.
const PING_TIME_MAX: Duration = Duration::from_secs(3);

/// Rows that are counted one by one.
const COUNTED_MAX: i64 = 10_000;

/// Counts and estimates, in the order of the columns of the query.
type Row = (i64, i64, i64, i64, i64, i64, i64, i64);

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

/// What there is, in constant time: the first rows are counted, more are estimated.
pub(super) async fn counts(database: &Database) -> Result<Counts, DatabaseError> {
    let first = |rows: &str| format!("(SELECT COUNT(*) FROM (SELECT 1 FROM {rows} LIMIT {COUNTED_MAX} + 1) AS first)");
    let estimate = |table: &str| database.dialect.rows_estimated.replace("$TABLE", table);
    let columns = [
        first("items"),
        estimate("items"),
        first("files"),
        estimate("files"),
        first("mails WHERE state = 'sent'"),
        estimate("mails"),
        first("mails WHERE state = 'waiting'"),
        first("mails WHERE state = 'dead'"),
    ];
    let query = sqlx::query_as(AssertSqlSafe(format!("SELECT {}", columns.join(", "))));
    let row: Option<Row> = database.session().await?.fetch_optional(query).await?;
    let (items, items_estimated, files, files_estimated, sent, mails_estimated, waiting, dead) =
        row.unwrap_or_default();
    Ok(Counts {
        items: count(items, items_estimated)?,
        files: count(files, files_estimated)?,
        mails_sent: count(sent, mails_estimated.saturating_sub(waiting).saturating_sub(dead))?,
        mails_waiting: value::unsigned(waiting)?,
        mails_dead: value::unsigned(dead)?,
    })
}

/// An estimate counts only where there are more rows than were counted.
fn count(counted: i64, estimated: i64) -> Result<u64, DatabaseError> {
    value::unsigned(if counted > COUNTED_MAX { counted.max(estimated) } else { counted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_never_takes_the_place_of_a_count() {
        assert_eq!(count(0, 7).unwrap(), 0);
        assert_eq!(count(COUNTED_MAX, 20_000).unwrap(), 10_000);
        assert_eq!(count(COUNTED_MAX + 1, 20_000).unwrap(), 20_000);
        assert_eq!(count(COUNTED_MAX + 1, -1).unwrap(), 10_001);
    }
}
