//! Files that were given up: no leader will ever take them as they are.

use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;

use super::{Database, DatabaseError, DeadFile, FileState, NewMail, Token, fence::Write, mails, value};

/// Longest reason kept, in characters.
const REASON_LENGTH_MAX: usize = 1000;

pub(super) async fn give_up(
    database: &Database,
    token: &Token,
    file: &FileState,
    reason: &str,
) -> Result<(), DatabaseError> {
    value::check_path(&file.path)?;
    let reason: String = reason.chars().take(REASON_LENGTH_MAX).collect();
    let mut write = database.write(token).await?;
    let query = sqlx::query(
        "INSERT INTO dead_files (path, size, modified_at_ms, reason, given_up_at_ms, term) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (path) DO UPDATE SET size = excluded.size, \
         modified_at_ms = excluded.modified_at_ms, reason = excluded.reason, \
         given_up_at_ms = excluded.given_up_at_ms, term = excluded.term",
    )
    .bind(value::text(&file.path))
    .bind(value::integer(file.size)?)
    .bind(file.modified_at_ms)
    .bind(value::text(&reason))
    .bind(write.now_ms)
    .bind(write.term);
    write.session.execute(query).await?;
    mails::insert(&mut write, &mail(file, &reason)).await?;
    write.commit().await
}

/// Forgets what was given up at a path, as part of a write.
pub(super) async fn forget(write: &mut Write, path: &str) -> Result<(), DatabaseError> {
    let query = sqlx::query("DELETE FROM dead_files WHERE path = $1").bind(value::text(path));
    write.session.execute(query).await?;
    Ok(())
}

pub(super) async fn list(database: &Database, limit: u32) -> Result<(Vec<DeadFile>, u64), DatabaseError> {
    let query = sqlx::query_as(
        "SELECT path, size, modified_at_ms, reason, given_up_at_ms, COUNT(*) OVER () FROM dead_files \
         ORDER BY given_up_at_ms, path LIMIT $1",
    )
    .bind(i64::from(limit));
    let rows: Vec<(String, i64, i64, String, i64, i64)> = database.session().await?.fetch_all(query).await?;
    let total = rows.first().map_or(Ok(0), |row| value::unsigned(row.5))?;
    let files = rows.into_iter().map(|(path, size, modified_at_ms, reason, given_up_at_ms, _)| {
        Ok(DeadFile { file: state((path, size, modified_at_ms))?, reason, given_up_at_ms })
    });
    Ok((files.collect::<Result<_, DatabaseError>>()?, total))
}

pub(super) async fn states(database: &Database) -> Result<Vec<FileState>, DatabaseError> {
    let query = sqlx::query_as("SELECT path, size, modified_at_ms FROM dead_files");
    let rows: Vec<(String, i64, i64)> = database.session().await?.fetch_all(query).await?;
    rows.into_iter().map(state).collect()
}

pub(super) async fn retry(database: &Database, token: &Token, path: Option<&str>) -> Result<u64, DatabaseError> {
    let mut write = database.write(token).await?;
    let condition = if path.is_some() { " WHERE path = $1" } else { "" };
    let mut query = sqlx::query(AssertSqlSafe(format!("DELETE FROM dead_files{condition}")));
    if let Some(path) = path {
        query = query.bind(value::text(path));
    }
    let retried = write.session.execute(query).await?;
    write.commit().await?;
    Ok(retried)
}

fn state((path, size, modified_at_ms): (String, i64, i64)) -> Result<FileState, DatabaseError> {
    Ok(FileState { path, size: value::unsigned(size)?, modified_at_ms })
}

/// One for each state of a file, however often that is given up.
fn mail(file: &FileState, reason: &str) -> NewMail {
    let FileState { path, size, modified_at_ms } = file;
    let name = path.rsplit('/').next().unwrap_or(path);
    let identity = hex::encode(Sha256::digest(format!("{size} {modified_at_ms} {path}")));
    NewMail {
        key: format!("dead-file-{identity}"),
        subject: format!("File {name} was given up"),
        body: format!(
            "A file cannot be stored, and is not fetched again unless it changes or is retried.\n\
             Path: {path}\nSize: {size} bytes\nReason: {reason}\n"
        ),
    }
}
