//! The fence: the term is the fencing token, and the database has the last word.
//!
//! A write takes the current token into its transaction. Triggers of the schema refuse every change of data in a
//! transaction that has none, so that a write which forgets its token fails instead of slipping through.

use sqlx::AssertSqlSafe;

use super::{Database, DatabaseError, Leader, NewMail, Token, dialect::Dialect, mails, session::Session, value};

/// The one resource there is: leave to write.
const RESOURCE: &str = "leader";

/// A transaction that holds the fence at its leader's token: until it ends, no promotion returns.
pub(super) struct Write {
    pub(super) session: Session,
    /// Milliseconds since the Unix epoch, by the database's clock.
    pub(super) now_ms: i64,
    pub(super) term: i64,
    dialect: &'static Dialect,
}

impl Write {
    pub(super) async fn commit(self) -> Result<(), DatabaseError> {
        self.session.commit(self.dialect.commit).await
    }
}

impl Database {
    /// Opens a transaction for the leader with this token.
    pub(super) async fn write(&self, token: &Token) -> Result<Write, DatabaseError> {
        let mut session = self.session().await?;
        session.begin(self.dialect.begin).await?;
        take_token(session, self.dialect, token).await
    }

    /// Opens a transaction for whoever leads now.
    pub(super) async fn write_for_the_leader(&self) -> Result<Write, DatabaseError> {
        let leader = self.leader().await?.ok_or(DatabaseError::Fenced(None))?;
        self.write(&leader.token).await
    }
}

/// Makes a session's transaction that of the leader with this token.
async fn take_token(mut session: Session, dialect: &'static Dialect, token: &Token) -> Result<Write, DatabaseError> {
    let term = value::integer(token.term)?;
    let take = sqlx::query_as(dialect.take_token).bind(RESOURCE).bind(term).bind(i64::from(token.holder));
    let row: Option<(i64,)> = session.fetch_optional(take).await?;
    match row {
        Some((now_ms,)) => Ok(Write { session, now_ms, term, dialect }),
        None => Err(fenced(session).await?),
    }
}

pub(super) async fn promote(database: &Database, leader: &Leader) -> Result<(), DatabaseError> {
    let term = value::integer(leader.token.term)?;
    let now_ms = database.dialect.now_ms;
    let mut session = database.session().await?;
    session.begin(database.dialect.begin).await?;
    // On PostgreSQL this waits for the transactions that hold the row, and then looks at the term they left behind. On
    // SQLite the guard refuses the mere attempt to insert a lower fence, so that is not made.
    let raise = format!(
        "INSERT INTO fence (resource, term, holder, url, raised_at_ms, cluster) SELECT $1, $2, $3, $4, {now_ms}, $5 \
         WHERE NOT EXISTS (SELECT 1 FROM fence \
         WHERE resource = $1 AND (term > $2 OR (term = $2 AND holder <> $3))) \
         ON CONFLICT (resource) DO UPDATE SET term = excluded.term, holder = excluded.holder, url = excluded.url, \
         raised_at_ms = excluded.raised_at_ms, cluster = excluded.cluster \
         WHERE (fence.term < excluded.term OR (fence.term = excluded.term AND fence.holder = excluded.holder)) \
         AND COALESCE(fence.cluster, excluded.cluster) = excluded.cluster"
    );
    let query = sqlx::query(AssertSqlSafe(raise))
        .bind(RESOURCE)
        .bind(term)
        .bind(i64::from(leader.token.holder))
        .bind(value::text(&leader.url))
        .bind(database.cluster.as_str());
    if session.execute(query).await? != 1 {
        return Err(match foreign_cluster(&mut session, &database.cluster).await? {
            Some(cluster) => DatabaseError::Foreign(cluster),
            None => fenced(session).await?,
        });
    }
    let mut write = take_token(session, database.dialect, &leader.token).await?;
    mails::insert(&mut write, &mail(leader)).await?;
    write.commit().await
}

/// The cluster that the database is of, if that is another.
async fn foreign_cluster(session: &mut Session, own: &str) -> Result<Option<String>, DatabaseError> {
    let query =
        sqlx::query_as("SELECT cluster FROM fence WHERE resource = $1 AND cluster <> $2").bind(RESOURCE).bind(own);
    let row: Option<(String,)> = session.fetch_optional(query).await?;
    Ok(row.map(|row| row.0))
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
