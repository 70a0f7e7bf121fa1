//! The few places where SQLite and PostgreSQL want different words.

use super::search::TextIndex;

/// What differs between the two databases; everything else is the same SQL.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Settings of every connection.
    pub(super) connection_setup: &'static str,
    /// Settings of the connection that changes the schema.
    pub(super) migration_setup: &'static str,
    /// Opens a transaction that may write.
    pub(super) begin: &'static str,
    /// Takes the token of term `$2` and holder `$3` into the transaction if the fence of resource `$1` is at it, and keeps
    /// the fence there until the transaction ends. Returns the time, in milliseconds; no row: the token is not current.
    pub(super) take_token: &'static str,
    /// Takes the turn of the name `$1` for as long as the connection lasts. No row: another connection has it.
    pub(super) take_turn: &'static str,
    /// Ends a transaction that has a token.
    pub(super) commit: &'static str,
    /// Leaves rows to those who hold them already.
    pub(super) for_update_skip_locked: &'static str,
    /// Milliseconds since the Unix epoch, by the database's clock: leaders differ in theirs.
    pub(super) now_ms: &'static str,
    /// Whether the bytes `content` have the text `$1` in them.
    pub(super) content_has_text: &'static str,
    /// A file's content with the bytes `$2` behind it.
    pub(super) content_appended: &'static str,
    /// About how many rows `$TABLE` has, at once; -1 if nobody knows.
    pub(super) rows_estimated: &'static str,
    /// Rows of a JSON array in `$1`, each in the column `value`.
    pub(super) rows: &'static str,
    /// How texts lead to items.
    pub(super) text_index: TextIndex,
    /// Whether an item has the field `$FIELD`.
    has_field: &'static str,
    /// Whether the field `$FIELD` of an item has the text `$VALUE`: a string or a number itself, money by its amount.
    field_is: &'static str,
}

impl Dialect {
    /// Condition on items, from the placeholder of the field's name.
    pub(super) fn has_field(&self, field: &str) -> String {
        self.has_field.replace("$FIELD", field)
    }

    /// Condition on items, from the placeholders of the field's name and text.
    pub(super) fn field_is(&self, field: &str, value: &str) -> String {
        self.field_is.replace("$FIELD", field).replace("$VALUE", value)
    }
}

pub(super) static SQLITE: Dialect = Dialect {
    // FULL: a commit is on the disk when it returns, and what was acknowledged survives a power failure.
    connection_setup: "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA foreign_keys = ON",
    migration_setup: "PRAGMA busy_timeout = 30000",
    // The only writer from its first statement on, so a check stays true until the commit.
    begin: "BEGIN IMMEDIATE",
    take_token: "INSERT INTO token (term, holder) SELECT term, holder FROM fence \
                 WHERE resource = $1 AND term = $2 AND holder = $3 \
                 RETURNING CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    // On one machine, for one manager: nobody to take turns with.
    take_turn: "SELECT 1 WHERE $1 IS NOT NULL",
    commit: "DELETE FROM token; COMMIT",
    for_update_skip_locked: "",
    now_ms: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    content_has_text: "instr(content, CAST($1 AS BLOB)) > 0",
    content_appended: "CAST(content || $2 AS BLOB)",
    // Rows are never deleted.
    rows_estimated: "(SELECT COALESCE(MAX(rowid), 0) FROM $TABLE)",
    rows: "json_each($1)",
    text_index: TextIndex::Fts5,
    // json_each and not a path: a field may have any name.
    has_field: "EXISTS (SELECT 1 FROM json_each(items.fields) AS field WHERE field.key = $FIELD)",
    field_is: "EXISTS (SELECT 1 FROM json_each(items.fields) AS field WHERE field.key = $FIELD AND $VALUE = \
               CASE WHEN field.type = 'object' THEN COALESCE(field.value ->> 'amount', field.value) \
               WHEN field.type IN ('true', 'false') THEN field.type ELSE CAST(field.value AS TEXT) END)",
};

pub(super) static POSTGRES: Dialect = Dialect {
    // A leader that pauses inside a transaction loses it before a promotion gives up waiting for the fence; one that
    // pauses between the parts of a statement does since PostgreSQL 17. A machine that is gone without a word keeps its
    // turn for half a minute, not for the two hours of Linux's own keepalive. Which way a search takes depends on its words.
    connection_setup: "SET idle_in_transaction_session_timeout = '5s'; SET lock_timeout = '10s'; \
                       SET statement_timeout = '15s'; SET default_transaction_isolation = 'read committed'; \
                       SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
                       SELECT set_config(name, '20s', false) FROM pg_settings WHERE name = 'transaction_timeout'; \
                       SET plan_cache_mode = force_custom_plan",
    migration_setup: "SET lock_timeout = '30s'; SET statement_timeout = 0; SET client_min_messages = 'warning'",
    begin: "BEGIN",
    // FOR SHARE and nothing less: FOR KEY SHARE lets a promotion pass, which changes no key.
    take_token: "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) \
                 FROM fence, set_config('symphony.token', $2::bigint || ':' || $3::bigint, true) \
                 WHERE resource = $1 AND term = $2 AND holder = $3 FOR SHARE OF fence",
    // A process that is frozen loses its turn, but not while it is merely at work.
    take_turn: "SELECT 1::bigint FROM set_config('idle_session_timeout', '15min', false) \
                WHERE pg_try_advisory_lock(hashtextextended($1, 0))",
    commit: "COMMIT",
    for_update_skip_locked: "FOR UPDATE SKIP LOCKED",
    // The time now, not that of the transaction's begin: the fence may have been waited for.
    now_ms: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    content_has_text: "position(convert_to($1, 'UTF8') in content) > 0",
    content_appended: "content || $2",
    rows_estimated: "(SELECT CAST(reltuples AS BIGINT) FROM pg_class WHERE oid = '$TABLE'::regclass)",
    rows: "jsonb_array_elements($1::jsonb)",
    text_index: TextIndex::Sampled,
    has_field: "fields ? $FIELD",
    field_is: "COALESCE(fields -> $FIELD ->> 'amount', fields ->> $FIELD) = $VALUE",
};
