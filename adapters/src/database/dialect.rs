//! The few places where SQLite and PostgreSQL want different words.

/// What differs between the two databases; everything else is the same SQL.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Settings of every connection.
    pub(super) connection_setup: &'static str,
    /// Settings of the connection that changes the schema.
    pub(super) migration_setup: &'static str,
    /// Opens a transaction that may write.
    pub(super) begin: &'static str,
    /// Keeps the fence's row as it is until the transaction ends.
    pub(super) for_share: &'static str,
    /// Leaves rows to those who hold them already.
    pub(super) for_update_skip_locked: &'static str,
    /// Milliseconds since the Unix epoch, by the database's clock: leaders differ in theirs.
    pub(super) now_ms: &'static str,
    /// Rows of a JSON array in `$1`, each in the column `value`.
    pub(super) rows: &'static str,
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
    for_share: "",
    for_update_skip_locked: "",
    now_ms: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    rows: "json_each($1)",
    // json_each and not a path: a field may have any name.
    has_field: "EXISTS (SELECT 1 FROM json_each(items.fields) AS field WHERE field.key = $FIELD)",
    field_is: "EXISTS (SELECT 1 FROM json_each(items.fields) AS field WHERE field.key = $FIELD AND $VALUE = \
               CASE WHEN field.type = 'object' THEN COALESCE(field.value ->> 'amount', field.value) \
               WHEN field.type IN ('true', 'false') THEN field.type ELSE CAST(field.value AS TEXT) END)",
};

pub(super) static POSTGRES: Dialect = Dialect {
    // A leader that pauses inside a transaction loses it before a promotion gives up waiting for the fence.
    connection_setup: "SET idle_in_transaction_session_timeout = '5s'; SET lock_timeout = '10s'; \
                       SET statement_timeout = '15s'; SET default_transaction_isolation = 'read committed'",
    migration_setup: "SET lock_timeout = '30s'; SET statement_timeout = 0; SET client_min_messages = 'warning'",
    begin: "BEGIN",
    for_share: "FOR SHARE",
    for_update_skip_locked: "FOR UPDATE SKIP LOCKED",
    // The time now, not that of the transaction's begin: the fence may have been waited for.
    now_ms: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    rows: "jsonb_array_elements($1::jsonb)",
    has_field: "fields -> $FIELD IS NOT NULL",
    field_is: "COALESCE(fields -> $FIELD ->> 'amount', fields ->> $FIELD) = $VALUE",
};
