//! Where an item has been: the messages that brought it, the files it is in, the mails about those.

use sqlx::AssertSqlSafe;

use super::{Database, DatabaseError, Trace, TracedFile, TracedMessage, value};

/// Messages shown, the latest.
const MESSAGES_MAX: u32 = 20;

/// Files that are looked into, from the latest message on: a run's own come soon after its items.
const FILES_LOOKED_INTO_MAX: u32 = 20;

/// Files shown: a run's data come in two forms.
const FILES_MAX: u32 = 2;

type MessageRow = (String, Option<i64>, Option<i64>, Option<i64>, i64, i64);
type FileRow = (String, i64, Option<String>, Option<i64>);

pub(super) async fn trace(database: &Database, item_id: &str) -> Result<Option<Trace>, DatabaseError> {
    let item_id = value::text(item_id);
    let mut session = database.session().await?;
    let select = format!(
        "SELECT message_id, scraped_at_ms, queued_at_ms, delivered_at_ms, stored_at_ms, term FROM inbox \
         WHERE item_id = $1 ORDER BY stored_at_ms DESC, message_id LIMIT {MESSAGES_MAX}"
    );
    let query = sqlx::query_as(AssertSqlSafe(select)).bind(item_id.as_str());
    let mut rows: Vec<MessageRow> = session.fetch_all(query).await?;
    let Some(latest) = rows.first().map(|row| row.1.unwrap_or(row.4)) else { return Ok(None) };
    rows.reverse();

    let select = format!(
        "SELECT recent.path, recent.stored_at_ms, mails.state, mails.settled_at_ms FROM \
         (SELECT sha256, path, stored_at_ms, content FROM files WHERE stored_at_ms >= $2 \
         ORDER BY stored_at_ms, sha256 LIMIT {FILES_LOOKED_INTO_MAX}) AS recent \
         LEFT JOIN mails ON mails.key = 'file-' || recent.sha256 \
         WHERE {} ORDER BY recent.stored_at_ms, recent.path LIMIT {FILES_MAX}",
        database.dialect.content_has_text
    );
    let query = sqlx::query_as(AssertSqlSafe(select)).bind(item_id.as_str()).bind(latest);
    let files: Vec<FileRow> = session.fetch_all(query).await?;
    Ok(Some(Trace {
        messages: rows.into_iter().map(message).collect::<Result<_, _>>()?,
        files: files.into_iter().map(file).collect(),
    }))
}

fn message(
    (message_id, scraped_at_ms, queued_at_ms, delivered_at_ms, stored_at_ms, term): MessageRow,
) -> Result<TracedMessage, DatabaseError> {
    let term = value::unsigned(term)?;
    Ok(TracedMessage { message_id, scraped_at_ms, queued_at_ms, delivered_at_ms, stored_at_ms, term })
}

fn file((path, stored_at_ms, mail, mail_settled_at_ms): FileRow) -> TracedFile {
    TracedFile { path, stored_at_ms, mail, mail_settled_at_ms }
}
