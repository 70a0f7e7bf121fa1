//! One connection on loan from the pool, with a limit on the time of every step.

use std::{future::Future, time::Duration};

use sqlx::{
    Any, AssertSqlSafe,
    any::{AnyArguments, AnyRow},
    pool::PoolConnection,
    query::{Query, QueryAs},
};

use super::{Database, DatabaseError};

/// Longest wait for an answer; PostgreSQL's own limit on a statement is shorter, so this one means a dead network.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// A connection on loan. One that was left in the middle of something, by an error, a timeout or a caller who went
/// away, is closed instead of used again, and with it goes the transaction it was in.
pub(super) struct Session {
    connection: PoolConnection<Any>,
    in_flight: bool,
    in_transaction: bool,
    used_once: bool,
}

impl Database {
    pub(super) async fn session(&self) -> Result<Session, DatabaseError> {
        Ok(Session {
            connection: self.pool.acquire().await?,
            in_flight: false,
            in_transaction: false,
            used_once: false,
        })
    }
}

impl Session {
    /// This session, whose connection nobody gets after it.
    pub(super) fn closed_at_the_end(mut self) -> Self {
        self.used_once = true;
        self
    }

    pub(super) async fn begin(&mut self, statement: &'static str) -> Result<(), DatabaseError> {
        self.in_transaction = true;
        self.raw(statement).await
    }

    pub(super) async fn commit(mut self, statement: &'static str) -> Result<(), DatabaseError> {
        self.raw(statement).await?;
        self.in_transaction = false;
        Ok(())
    }

    pub(super) async fn rollback(mut self) -> Result<(), DatabaseError> {
        self.raw("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }

    /// Number of rows the statement changed.
    pub(super) async fn execute(&mut self, query: Query<'_, Any, AnyArguments>) -> Result<u64, DatabaseError> {
        self.in_flight = true;
        let result = answer(query.execute(&mut *self.connection)).await?;
        self.in_flight = false;
        Ok(result.rows_affected())
    }

    pub(super) async fn fetch_all<T>(
        &mut self,
        query: QueryAs<'_, Any, T, AnyArguments>,
    ) -> Result<Vec<T>, DatabaseError>
    where
        T: for<'r> sqlx::FromRow<'r, AnyRow> + Send + Unpin,
    {
        self.in_flight = true;
        let rows = answer(query.fetch_all(&mut *self.connection)).await?;
        self.in_flight = false;
        Ok(rows)
    }

    pub(super) async fn fetch_optional<T>(
        &mut self,
        query: QueryAs<'_, Any, T, AnyArguments>,
    ) -> Result<Option<T>, DatabaseError>
    where
        T: for<'r> sqlx::FromRow<'r, AnyRow> + Send + Unpin,
    {
        Ok(self.fetch_all(query).await?.pop())
    }

    async fn raw(&mut self, statement: &'static str) -> Result<(), DatabaseError> {
        self.in_flight = true;
        answer(sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *self.connection)).await?;
        self.in_flight = false;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.in_flight || self.in_transaction || self.used_once {
            self.connection.close_on_drop();
        }
    }
}

async fn answer<T>(query: impl Future<Output = sqlx::Result<T>>) -> Result<T, DatabaseError> {
    match tokio::time::timeout(ANSWER_TIME_MAX, query).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(DatabaseError::Unavailable(format!("no answer within {ANSWER_TIME_MAX:?}"))),
    }
}
