//! Files: stored once per content, with a ledger of every place they were fetched from.

use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;

use super::{
    Database, DatabaseError, NewFile, NewMail, Outcome, Page, StoredFile, Token,
    cursor::{self, Cursor},
    dead_files,
    fence::Write,
    mails, value,
};

const LIST: &str = "files";

const COLUMNS: &str = "sha256, path, size, content_type, modified_at_ms, stored_at_ms, term";

/// Bytes of a content that travel in one statement: on its way each is in memory several times.
const PART_LEN: usize = 8 * 1024 * 1024;

/// Bytes hashed at a stretch; the runtime's other tasks have their turn in between.
const HASH_CHUNK_LEN: usize = 256 * 1024;

type Row = (String, String, i64, String, i64, i64, i64);

pub(super) async fn store(database: &Database, token: &Token, file: &NewFile) -> Result<Outcome, DatabaseError> {
    value::check_path(&file.path)?;
    let size = value::integer(file.content.len() as u64)?;
    let sha256 = sha256(&file.content).await;
    if sha256 != file.sha256 {
        return Err(DatabaseError::Invalid(format!("the content's SHA-256 is {sha256}, not {}", file.sha256)));
    }
    let mut write = database.write(token).await?;
    let outcome = insert(database, &mut write, file, size).await?;
    if outcome == Outcome::Stored {
        mails::insert(&mut write, &mail(file)).await?;
    }
    let ledger = sqlx::query(
        "INSERT INTO file_ledger (path, size, modified_at_ms, sha256, stored_at_ms, term) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (path, size, modified_at_ms, sha256) DO NOTHING",
    )
    .bind(value::text(&file.path))
    .bind(size)
    .bind(file.modified_at_ms)
    .bind(file.sha256.as_str())
    .bind(write.now_ms)
    .bind(write.term);
    write.session.execute(ledger).await?;
    dead_files::forget(&mut write, &file.path).await?;
    write.commit().await?;
    Ok(outcome)
}

async fn insert(database: &Database, write: &mut Write, file: &NewFile, size: i64) -> Result<Outcome, DatabaseError> {
    // Looked for first, so that a known content does not travel; the conflict clause is for those who look at once.
    let known: Option<(i64,)> = write
        .session
        .fetch_optional(sqlx::query_as("SELECT term FROM files WHERE sha256 = $1").bind(file.sha256.as_str()))
        .await?;
    if known.is_some() {
        return Ok(Outcome::Duplicate);
    }
    let (first, rest) = file.content.split_at(file.content.len().min(PART_LEN));
    let query = sqlx::query(
        "INSERT INTO files (sha256, path, size, content_type, modified_at_ms, stored_at_ms, term, content) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (sha256) DO NOTHING",
    )
    .bind(file.sha256.as_str())
    .bind(value::text(&file.path))
    .bind(size)
    .bind(value::text(&file.content_type))
    .bind(file.modified_at_ms)
    .bind(write.now_ms)
    .bind(write.term)
    .bind(first);
    if write.session.execute(query).await? == 0 {
        return Ok(Outcome::Duplicate);
    }
    let append = format!("UPDATE files SET content = {} WHERE sha256 = $1", database.dialect.content_appended);
    for part in rest.chunks(PART_LEN) {
        let query = sqlx::query(AssertSqlSafe(append.clone())).bind(file.sha256.as_str()).bind(part);
        write.session.execute(query).await?;
    }
    Ok(Outcome::Stored)
}

pub(super) async fn is_known(
    database: &Database,
    path: &str,
    size: u64,
    modified_at_ms: i64,
) -> Result<bool, DatabaseError> {
    let query =
        sqlx::query_as("SELECT term FROM file_ledger WHERE path = $1 AND size = $2 AND modified_at_ms = $3 LIMIT 1")
            .bind(value::text(path))
            .bind(value::integer(size)?)
            .bind(modified_at_ms);
    let row: Option<(i64,)> = database.session().await?.fetch_optional(query).await?;
    Ok(row.is_some())
}

pub(super) async fn list(
    database: &Database,
    cursor: Option<&str>,
    limit: Option<u32>,
) -> Result<Page<StoredFile>, DatabaseError> {
    let limit = cursor::limit(limit)?;
    let end = format!("ORDER BY stored_at_ms DESC, sha256 DESC LIMIT {}", limit + 1);
    let query = match cursor {
        None => sqlx::query_as(AssertSqlSafe(format!("SELECT {COLUMNS} FROM files {end}"))),
        Some(cursor) => {
            let cursor = Cursor::decode(LIST, cursor)?;
            sqlx::query_as(AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM files WHERE (stored_at_ms, sha256) < ($1, $2) {end}"
            )))
            .bind(cursor.stored_at_ms)
            .bind(cursor.key)
        }
    };
    let rows: Vec<Row> = database.session().await?.fetch_all(query).await?;
    let files = rows.into_iter().map(stored).collect::<Result<_, _>>()?;
    Ok(cursor::page(LIST, files, limit, |file| Cursor { stored_at_ms: file.stored_at_ms, key: file.sha256.clone() }))
}

pub(super) async fn get(database: &Database, sha256: &str) -> Result<Option<StoredFile>, DatabaseError> {
    let select = format!("SELECT {COLUMNS} FROM files WHERE sha256 = $1");
    let query = sqlx::query_as(AssertSqlSafe(select)).bind(value::text(sha256));
    let row: Option<Row> = database.session().await?.fetch_optional(query).await?;
    row.map(stored).transpose()
}

pub(super) async fn content(
    database: &Database,
    sha256: &str,
    offset: u64,
    len: u32,
) -> Result<Vec<u8>, DatabaseError> {
    // Bytes are counted from 1, in 32 bits on PostgreSQL.
    let Ok(from) = i32::try_from(offset.saturating_add(1)) else { return Ok(Vec::new()) };
    let len = i32::try_from(len).unwrap_or(i32::MAX);
    let query = sqlx::query_as("SELECT substr(content, $2, $3) FROM files WHERE sha256 = $1")
        .bind(value::text(sha256))
        .bind(from)
        .bind(len);
    let row: Option<(Vec<u8>,)> = database.session().await?.fetch_optional(query).await?;
    Ok(row.unwrap_or_default().0)
}

fn stored(
    (sha256, path, size, content_type, modified_at_ms, stored_at_ms, term): Row,
) -> Result<StoredFile, DatabaseError> {
    Ok(StoredFile {
        sha256,
        path,
        size: value::unsigned(size)?,
        content_type,
        modified_at_ms,
        stored_at_ms,
        term: value::unsigned(term)?,
    })
}

async fn sha256(content: &[u8]) -> String {
    let mut hasher = Sha256::new();
    for chunk in content.chunks(HASH_CHUNK_LEN) {
        hasher.update(chunk);
        tokio::task::yield_now().await;
    }
    hex::encode(hasher.finalize())
}

fn mail(file: &NewFile) -> NewMail {
    let NewFile { path, content_type, sha256, content, .. } = file;
    let name = path.rsplit('/').next().unwrap_or(path);
    NewMail {
        key: format!("file-{sha256}"),
        subject: format!("New file {name}"),
        body: format!(
            "A new file was stored.\nPath: {path}\nSize: {} bytes\nType: {content_type}\nSHA-256: {sha256}\n",
            content.len()
        ),
    }
}
