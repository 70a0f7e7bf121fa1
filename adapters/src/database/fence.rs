//! The fence: the term is the fencing token, and the database has the last word.

use sqlx::AssertSqlSafe;

use super::{Database, DatabaseError, Leader, NewMail, Token, mails, session::Session, value};

/// The one resource there is: leave to write.
const RESOURCE: &str = "leader";

/// A transaction that holds the fence at its leader's token: until it ends, no promotion returns.
pub(super) struct Write {
    pub(super) session: Session,
    /// Milliseconds since the Unix epoch, by the database's clock.
    pub(super) now_ms: i64,
    pub(super) term: i64,
}

impl Write {
    pub(super) async fn commit(self) -> Result<(), DatabaseError> {
        self.session.commit().await
    }
}

impl Database {
    /// Opens a transaction for the leader with this token.
    pub(super) async fn write(&self, token: &Token) -> Result<Write, DatabaseError> {
        let term = value::integer(token.term)?;
        let dialect = self.dialect;
        let mut session = self.session().await?;
        session.begin(dialect.begin).await?;
        let check = format!(
            "SELECT {} FROM fence WHERE resource = $1 AND term = $2 AND holder = $3 {}",
            dialect.now_ms, dialect.for_share
        );
        let row: Option<(i64,)> = session
            .fetch_optional(
                sqlx::query_as(AssertSqlSafe(check)).bind(RESOURCE).bind(term).bind(i64::from(token.holder)),
            )
            .await?;
        match row {
            Some((now_ms,)) => Ok(Write { session, now_ms, term }),
            None => Err(fenced(session).await?),
        }
    }
}

pub(super) async fn promote(database: &Database, leader: &Leader) -> Result<(), DatabaseError> {
    let term = value::integer(leader.token.term)?;
    let now_ms = database.dialect.now_ms;
    let mut session = database.session().await?;
    session.begin(database.dialect.begin).await?;
    // On PostgreSQL this waits for the transactions that hold the row, and then looks at the term they left behind.
    let raise = format!(
        "INSERT INTO fence (resource, term, holder, url, raised_at_ms) VALUES ($1, $2, $3, $4, {now_ms}) \
         ON CONFLICT (resource) DO UPDATE SET term = excluded.term, holder = excluded.holder, url = excluded.url, \
         raised_at_ms = excluded.raised_at_ms \
         WHERE fence.term < excluded.term OR (fence.term = excluded.term AND fence.holder = excluded.holder)"
    );
    let query = sqlx::query(AssertSqlSafe(raise))
        .bind(RESOURCE)
        .bind(term)
        .bind(i64::from(leader.token.holder))
        .bind(value::text(&leader.url));
    if session.execute(query).await? != 1 {
        return Err(fenced(session).await?);
    }
    mails::insert(&mut session, database.dialect, term, &mail(leader)).await?;
    session.commit().await
}

pub(super) async fn leader(session: &mut Session) -> Result<Option<Leader>, DatabaseError> {
    let row: Option<(i64, i64, String)> = session
        .fetch_optional(sqlx::query_as("SELECT term, holder, url FROM fence WHERE resource = $1").bind(RESOURCE))
        .await?;
    row.map(|(term, holder, url)| {
        Ok(Leader { token: Token { term: value::unsigned(term)?, holder: value::unsigned(holder)? }, url })
    })
    .transpose()
}

/// Ends the transaction, with the leader to blame.
async fn fenced(mut session: Session) -> Result<DatabaseError, DatabaseError> {
    let leader = leader(&mut session).await?;
    session.rollback().await?;
    Ok(DatabaseError::Fenced(leader))
}

fn mail(leader: &Leader) -> NewMail {
    let Leader { token: Token { term, holder }, url } = leader;
    NewMail {
        key: format!("leader-{term}"),
        subject: format!("Node {holder} leads in term {term}"),
        body: format!(
            "Node {holder} was elected leader in term {term} and writes from now on.\nIts address is {url}\n"
        ),
    }
}
