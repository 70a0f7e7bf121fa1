//! What the schema itself refuses, whatever the code above forgets: every case writes past that code.

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use symphony_adapters::database::{Counts, Database, Outcome};

use super::{dead_files::state, files::file, incoming, leader, promises};

promises![
    no_data_changes_without_a_token,
    no_data_changes_with_a_stale_token,
    the_current_token_lets_writes_pass_and_ends_with_its_transaction,
    a_promotion_ends_the_token_before_it,
    the_fence_only_rises,
    every_table_of_data_has_the_guard_against_every_kind_of_change,
];

/// One statement of each kind for each table of data; the updates and deletions find a row.
const WRITES: [&str; 18] = [
    "INSERT INTO inbox (message_id, body_hash, term, stored_at_ms) VALUES ('m', 'h', 5, 0)",
    "UPDATE inbox SET body_hash = 'x'",
    "DELETE FROM inbox",
    "INSERT INTO items (id, site, url, title, fields, search_text, scraped_at_ms, first_stored_at_ms, stored_at_ms, \
     term, revision) VALUES ('i', 's', 'u', 't', '{}', 't', 0, 0, 0, 5, 1)",
    "UPDATE items SET title = 'x'",
    "DELETE FROM items",
    "INSERT INTO file_ledger (path, size, modified_at_ms, sha256, stored_at_ms, term) \
     SELECT '/b', 1, 1, sha256, 0, 5 FROM files",
    "UPDATE file_ledger SET modified_at_ms = 2",
    "DELETE FROM file_ledger",
    "INSERT INTO files (sha256, path, size, content_type, modified_at_ms, stored_at_ms, term, content) \
     SELECT 's', '/b', 0, 't', 0, 0, 5, content FROM files",
    "UPDATE files SET path = 'x'",
    "DELETE FROM files",
    "INSERT INTO dead_files (path, size, modified_at_ms, reason, given_up_at_ms, term) VALUES ('/c', 1, 1, 'r', 0, 5)",
    "UPDATE dead_files SET reason = 'x'",
    "DELETE FROM dead_files",
    "INSERT INTO mails (key, subject, body, due_at_ms, created_at_ms, term) VALUES ('k', 's', 'b', 0, 0, 5)",
    "UPDATE mails SET subject = 'x'",
    "DELETE FROM mails",
];

async fn no_data_changes_without_a_token(url: String) {
    let (database, mut session) = filled(&url).await;
    let before = all_rows(&mut session).await;
    for write in WRITES {
        assert_refused(&mut session, write).await;
        execute(&mut session, "BEGIN").await.unwrap();
        assert_refused(&mut session, write).await;
        execute(&mut session, "ROLLBACK").await.unwrap();
    }
    assert_eq!(all_rows(&mut session).await, before);
    assert_eq!(database.counts().await.unwrap(), Counts { items: 1, files: 1, mails_waiting: 3, ..Counts::default() });
}

async fn no_data_changes_with_a_stale_token(url: String) {
    let (_database, mut session) = filled(&url).await;
    let before = all_rows(&mut session).await;
    for (term, holder) in [(4, 1), (5, 2), (6, 1), (51, 1)] {
        for write in WRITES {
            execute(&mut session, "BEGIN").await.unwrap();
            execute(&mut session, &carry(&url, term, holder)).await.unwrap();
            assert_refused(&mut session, write).await;
            execute(&mut session, "ROLLBACK").await.unwrap();
        }
    }
    assert_eq!(all_rows(&mut session).await, before);
}

async fn the_current_token_lets_writes_pass_and_ends_with_its_transaction(url: String) {
    let (_database, mut session) = filled(&url).await;
    execute(&mut session, "BEGIN").await.unwrap();
    execute(&mut session, &carry(&url, 5, 1)).await.unwrap();
    for write in WRITES {
        assert!(execute(&mut session, write).await.unwrap() > 0, "{write}");
    }
    if is_sqlite(&url) {
        execute(&mut session, "DELETE FROM token").await.unwrap();
    }
    execute(&mut session, "COMMIT").await.unwrap();
    assert_eq!(all_rows(&mut session).await, Vec::<i64>::from([0; 6]));
    assert_refused(&mut session, WRITES[0]).await;
}

async fn a_promotion_ends_the_token_before_it(url: String) {
    let (database, mut session) = filled(&url).await;
    database.promote(&leader(6, 2)).await.unwrap();
    execute(&mut session, "BEGIN").await.unwrap();
    execute(&mut session, &carry(&url, 5, 1)).await.unwrap();
    assert_refused(&mut session, WRITES[0]).await;
    execute(&mut session, "ROLLBACK").await.unwrap();
    assert_eq!(database.store_items(&leader(6, 2).token, &[incoming(2)]).await.unwrap(), [Outcome::Stored]);
}

async fn the_fence_only_rises(url: String) {
    let (database, mut session) = filled(&url).await;
    let mut falls = vec![
        "UPDATE fence SET term = 4",
        "UPDATE fence SET holder = 2",
        "UPDATE fence SET resource = 'other'",
        "DELETE FROM fence",
        "INSERT INTO fence (resource, term, holder, url, raised_at_ms) VALUES ('leader', 4, 1, '', 0) \
         ON CONFLICT (resource) DO UPDATE SET term = excluded.term",
    ];
    if is_sqlite(&url) {
        falls.extend([
            "REPLACE INTO fence (resource, term, holder, url, raised_at_ms) VALUES ('leader', 4, 1, '', 0)",
            "REPLACE INTO fence (resource, term, holder, url, raised_at_ms) VALUES ('leader', 5, 2, '', 0)",
            "UPDATE OR REPLACE fence SET term = 4",
        ]);
    } else {
        falls.extend([
            "TRUNCATE fence",
            "MERGE INTO fence USING (SELECT 4 AS term) AS lower ON true WHEN MATCHED THEN UPDATE SET term = lower.term",
            "MERGE INTO fence USING (SELECT 4 AS term) AS lower ON true WHEN MATCHED THEN DELETE",
        ]);
    }
    for fall in falls {
        let error = execute(&mut session, fall).await.expect_err(fall).to_string();
        assert!(error.contains("would lower the fence"), "{fall}: {error}");
    }
    assert_eq!(database.leader().await.unwrap(), Some(leader(5, 1)));
}

/// A table that somebody adds later must not stay outside.
async fn every_table_of_data_has_the_guard_against_every_kind_of_change(url: String) {
    let (_database, mut session) = filled(&url).await;
    let (columns, kinds) =
        if is_sqlite(&url) { (COLUMNS_SQLITE, KINDS_SQLITE) } else { (COLUMNS_POSTGRES, KINDS_POSTGRES) };
    let first_columns: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(&mut session).await.unwrap();
    let before = all_rows(&mut session).await;
    assert_eq!(first_columns.len(), before.len(), "{first_columns:?}");
    for (table, column) in &first_columns {
        for kind in kinds {
            assert_refused(&mut session, &kind.replace("$TABLE", table).replace("$COLUMN", column)).await;
        }
    }
    assert_eq!(all_rows(&mut session).await, before);
}

/// Every table of data, with its first column. The index of texts holds nothing that is not in the items.
const COLUMNS_SQLITE: &str = "SELECT tables.name, columns.name FROM sqlite_schema AS tables, \
                              pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' AND columns.cid = 0 \
                              AND tables.name NOT LIKE 'sqlite_%' AND tables.name NOT LIKE '_sqlx_%' \
                              AND tables.name NOT LIKE 'items_text%' AND tables.name NOT IN ('fence', 'token', 'never')";

const COLUMNS_POSTGRES: &str = "SELECT table_name::TEXT, column_name::TEXT FROM information_schema.columns \
                                WHERE table_schema = 'public' AND ordinal_position = 1 \
                                AND table_name NOT LIKE '\\_sqlx\\_%' AND table_name <> 'fence'";

/// What can change a table's rows; none of it finds fault with the values, so only the guard can refuse.
const KINDS_SQLITE: &[&str] = &[
    "INSERT INTO $TABLE SELECT * FROM $TABLE",
    "INSERT OR IGNORE INTO $TABLE SELECT * FROM $TABLE",
    "INSERT INTO $TABLE SELECT * FROM $TABLE WHERE true ON CONFLICT DO UPDATE SET $COLUMN = excluded.$COLUMN",
    "REPLACE INTO $TABLE SELECT * FROM $TABLE",
    "UPDATE $TABLE SET $COLUMN = $COLUMN",
    "UPDATE OR REPLACE $TABLE SET $COLUMN = $COLUMN",
    "DELETE FROM $TABLE",
];

const KINDS_POSTGRES: &[&str] = &[
    "INSERT INTO $TABLE OVERRIDING SYSTEM VALUE SELECT * FROM $TABLE",
    "INSERT INTO $TABLE OVERRIDING SYSTEM VALUE SELECT * FROM $TABLE ON CONFLICT DO NOTHING",
    "UPDATE $TABLE SET $COLUMN = DEFAULT",
    "DELETE FROM $TABLE",
    "TRUNCATE $TABLE CASCADE",
    "MERGE INTO $TABLE AS old USING $TABLE AS new ON old.$COLUMN = new.$COLUMN WHEN MATCHED THEN DELETE",
];

/// A database with a row in every table and its leader in term 5, and a session beside it.
async fn filled(url: &str) -> (Database, AnyConnection) {
    let database = Database::open(url).await.unwrap();
    let leader = leader(5, 1);
    database.promote(&leader).await.unwrap();
    database.store_items(&leader.token, &[incoming(1)]).await.unwrap();
    database.store_file(&leader.token, &file("/a", b"content")).await.unwrap();
    database.give_up_file(&leader.token, &state("/b", 1), "too large").await.unwrap();
    (database, AnyConnection::connect(url).await.unwrap())
}

fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}

/// Says for whom a transaction writes, without a look at the fence.
fn carry(url: &str, term: u64, holder: u16) -> String {
    if is_sqlite(url) {
        format!("INSERT INTO token (term, holder) VALUES ({term}, {holder})")
    } else {
        format!("SELECT set_config('symphony.token', '{term}:{holder}', true)")
    }
}

async fn execute(session: &mut AnyConnection, statement: &str) -> sqlx::Result<u64> {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(session).await?;
    Ok(done.rows_affected())
}

async fn assert_refused(session: &mut AnyConnection, write: &str) {
    let error = execute(session, write).await.expect_err(write).to_string();
    assert!(error.contains("without the current token"), "{write}: {error}");
}

async fn all_rows(session: &mut AnyConnection) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["inbox", "items", "files", "file_ledger", "dead_files", "mails"] {
        let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        counts.push(sqlx::query_scalar(count).fetch_one(&mut *session).await.unwrap());
    }
    counts
}
