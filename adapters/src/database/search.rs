//! Items on their way out: one by id, pages by search and filter.

use std::fmt::Display;

use serde_json::Value;
use sqlx::{Any, AssertSqlSafe, Encode, Type, any::AnyArguments, query::QueryAs};

use super::{
    Database, DatabaseError, ItemQuery, Page, StoredItem,
    cursor::{self, Cursor},
    dialect::Dialect,
    value,
};
use crate::item::Item;

const LIST: &str = "items";

const SELECT: &str = "SELECT id, site, url, title, CAST(fields AS TEXT), scraped_at_ms, first_stored_at_ms, \
                      stored_at_ms, term, revision FROM items";

/// Words of one search at most: each is one more look at every text.
const WORDS_MAX: usize = 16;

/// Longest search and filter value, in bytes.
const TERM_LEN_MAX: usize = 512;

type Row = (String, String, String, String, String, i64, i64, i64, i64, i64);

/// The text a search looks at: title and fields in lower case, a line each.
pub(super) fn text_of(item: &Item) -> String {
    let mut text = item.title.to_lowercase();
    for value in item.fields.values() {
        push_text(&mut text, value);
    }
    text
}

pub(super) async fn get(database: &Database, id: &str) -> Result<Option<StoredItem>, DatabaseError> {
    let query = sqlx::query_as(AssertSqlSafe(format!("{SELECT} WHERE id = $1"))).bind(value::text(id));
    let row: Option<Row> = database.session().await?.fetch_optional(query).await?;
    row.map(stored).transpose()
}

pub(super) async fn list(database: &Database, query: &ItemQuery) -> Result<Page<StoredItem>, DatabaseError> {
    let limit = cursor::limit(query.limit)?;
    let select = select(database.dialect, query, limit)?;
    let rows = database.session().await?.fetch_all(select.into_query()).await?;
    let items = rows.into_iter().map(stored).collect::<Result<_, _>>()?;
    Ok(cursor::page(LIST, items, limit, |stored: &StoredItem| Cursor {
        stored_at_ms: stored.stored_at_ms,
        key: stored.item.id.clone(),
    }))
}

/// Jumps from site to site along the index instead of reading all items.
pub(super) async fn sites(database: &Database) -> Result<Vec<String>, DatabaseError> {
    let query = sqlx::query_as(
        "WITH RECURSIVE sites (site) AS (SELECT MIN(site) FROM items UNION ALL \
         SELECT (SELECT MIN(items.site) FROM items WHERE items.site > sites.site) FROM sites \
         WHERE sites.site IS NOT NULL) SELECT site FROM sites WHERE site IS NOT NULL ORDER BY site",
    );
    let rows: Vec<(String,)> = database.session().await?.fetch_all(query).await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

fn select(dialect: &Dialect, query: &ItemQuery, limit: u32) -> Result<Select, DatabaseError> {
    let ItemQuery { search, site, field, value, cursor, limit: _ } = query;
    let mut select = Select::default();
    for word in words(search.as_deref())? {
        let pattern = select.bind(like_pattern(&word))?;
        select.filter(format_args!(r"search_text LIKE {pattern} ESCAPE '\'"));
    }
    if let Some(site) = term("site", site.as_deref())? {
        let site = select.bind(site)?;
        select.filter(format_args!("site = {site}"));
    }
    match (term("field", field.as_deref())?, term("value", value.as_deref())?) {
        (None, None) => {}
        (None, Some(_)) => return Err(DatabaseError::Invalid("a value without the field it is of".into())),
        (Some(field), None) => {
            let field = select.bind(field)?;
            select.filter(dialect.has_field(&field));
        }
        (Some(field), Some(value)) => {
            let (field, value) = (select.bind(field)?, select.bind(value)?);
            select.filter(dialect.field_is(&field, &value));
        }
    }
    if let Some(cursor) = cursor {
        let cursor = Cursor::decode(LIST, cursor)?;
        let (stored_at_ms, id) = (select.bind(cursor.stored_at_ms)?, select.bind(cursor.key)?);
        select.filter(format_args!("(stored_at_ms, id) < ({stored_at_ms}, {id})"));
    }
    let limit = select.bind(i64::from(limit) + 1)?;
    select.sql += &format!(" ORDER BY stored_at_ms DESC, id DESC LIMIT {limit}");
    Ok(select)
}

/// A statement in the making: values never become part of its text.
struct Select {
    sql: String,
    filters: usize,
    arguments: AnyArguments,
}

impl Default for Select {
    fn default() -> Self {
        Self { sql: SELECT.into(), filters: 0, arguments: AnyArguments::default() }
    }
}

impl Select {
    /// Placeholder of a value.
    fn bind<'v>(&mut self, value: impl Encode<'v, Any> + Type<Any>) -> Result<String, DatabaseError> {
        use sqlx::Arguments as _;
        self.arguments.add(value).map_err(sqlx::Error::Encode)?;
        Ok(format!("${}", self.arguments.len()))
    }

    fn filter(&mut self, condition: impl Display) {
        let word = if self.filters == 0 { "WHERE" } else { "AND" };
        self.filters += 1;
        self.sql += &format!(" {word} {condition}");
    }

    fn into_query(self) -> QueryAs<'static, Any, Row, AnyArguments> {
        sqlx::query_as_with(AssertSqlSafe(self.sql), self.arguments)
    }
}

/// A filter's value; an empty one, as forms send it, is none.
fn term(what: &str, term: Option<&str>) -> Result<Option<String>, DatabaseError> {
    match term {
        None | Some("") => Ok(None),
        Some(term) if term.len() <= TERM_LEN_MAX => Ok(Some(value::text(term))),
        Some(_) => Err(DatabaseError::Invalid(format!("{what} has more than {TERM_LEN_MAX} bytes"))),
    }
}

fn words(search: Option<&str>) -> Result<Vec<String>, DatabaseError> {
    let search = term("search", search)?.unwrap_or_default().to_lowercase();
    let words: Vec<_> = search.split_whitespace().map(str::to_owned).collect();
    if words.len() > WORDS_MAX {
        return Err(DatabaseError::Invalid(format!("search has more than {WORDS_MAX} words")));
    }
    Ok(words)
}

fn like_pattern(word: &str) -> String {
    let mut pattern = String::with_capacity(word.len() + 2);
    pattern.push('%');
    for char in word.chars() {
        if matches!(char, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern.push('%');
    pattern
}

fn push_text(text: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => *text += &format!("\n{value}"),
        Value::String(string) => {
            text.push('\n');
            *text += &string.to_lowercase();
        }
        Value::Array(values) => values.iter().for_each(|value| push_text(text, value)),
        Value::Object(map) => map.values().for_each(|value| push_text(text, value)),
    }
}

fn stored(row: Row) -> Result<StoredItem, DatabaseError> {
    let (id, site, url, title, fields, scraped_at_ms, first_stored_at_ms, stored_at_ms, term, revision) = row;
    let fields = serde_json::from_str(&fields)
        .map_err(|error| DatabaseError::Unavailable(format!("stored fields of item {id}: {error}")))?;
    Ok(StoredItem {
        item: Item { id, site, url, title, fields, scraped_at_ms },
        first_stored_at_ms,
        stored_at_ms,
        term: value::unsigned(term)?,
        revision: value::unsigned(revision)?,
    })
}
