//! Items on their way out: one by id, pages by search and filter.

mod filter;
mod index;
mod values;

use serde_json::Value;
use sqlx::AssertSqlSafe;

pub(super) use self::index::TextIndex;
use self::{
    filter::Filter,
    index::{Outlook, has_text},
    values::Values,
};
use super::{
    Database, DatabaseError, ItemQuery, Page, StoredItem,
    cursor::{self, Cursor},
    dialect::Dialect,
    session::Session,
    value,
};
use crate::item::Item;

const LIST: &str = "items";

const SELECT: &str = "SELECT id, site, url, title, CAST(fields AS TEXT), scraped_at_ms, first_stored_at_ms, \
                      stored_at_ms, term, revision";

const LATEST_FIRST: &str = "ORDER BY stored_at_ms DESC, id DESC";

/// Items that are looked at for one page, if no index helps.
const WINDOW_LEN: i64 = 10_000;

/// Items that are looked at for one page, about, if an index helps: these lie about, those of a window side by side.
const MATCHES_MAX: i64 = 2_000;

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
    let query = sqlx::query_as(AssertSqlSafe(format!("{SELECT} FROM items WHERE id = $1"))).bind(value::text(id));
    let row: Option<Row> = database.session().await?.fetch_optional(query).await?;
    row.map(stored).transpose()
}

/// A page in constant time. If an index tells that few items can match, these are looked at. Else the list is gone
/// through in its order, [`WINDOW_LEN`] items at most: that mostly fills a page, and if not, the next one goes on from there.
pub(super) async fn list(database: &Database, query: &ItemQuery) -> Result<Page<StoredItem>, DatabaseError> {
    let limit = cursor::limit(query.limit)?;
    let filter = Filter::new(query)?;
    let cursor = query.cursor.as_deref().map(|cursor| Cursor::decode(LIST, cursor)).transpose()?;
    let mut session = database.session().await?;
    let Outlook { matches, common } = Outlook::of(database.dialect, &mut session, &filter, MATCHES_MAX + 1).await?;
    let in_order = filter.narrows() && matches > MATCHES_MAX;

    let mut values = Values::default();
    let mut listed = listed(&mut values, &filter, cursor.as_ref())?;
    let mut matching = matching(&mut values, database.dialect, &filter, &common)?;
    let select = if in_order {
        let window = format!("SELECT * FROM items {} {LATEST_FIRST} LIMIT {WINDOW_LEN}", all_of(&listed));
        format!("{SELECT} FROM ({window}) AS items {}", all_of(&matching))
    } else {
        listed.append(&mut matching);
        if filter.is_indexed() {
            listed.extend(database.dialect.text_index.conditions(&mut values, &filter)?);
        }
        format!("{SELECT} FROM items {}", all_of(&listed))
    };
    let select = format!("{select} {LATEST_FIRST} LIMIT {}", values.bind(i64::from(limit) + 1)?);
    let rows: Vec<Row> = session.fetch_all(values.into_query(select)).await?;
    let items = rows.into_iter().map(stored).collect::<Result<_, _>>()?;
    let mut page = cursor::page(LIST, items, limit, |stored: &StoredItem| Cursor {
        stored_at_ms: stored.stored_at_ms,
        key: stored.item.id.clone(),
    });
    if in_order && page.next.is_none() {
        page.next = end_of_window(&mut session, &filter, cursor.as_ref()).await?.map(|end| end.encode(LIST));
    }
    Ok(page)
}

/// Where a search in the list's order stopped, if there is more behind.
async fn end_of_window(
    session: &mut Session,
    filter: &Filter,
    cursor: Option<&Cursor>,
) -> Result<Option<Cursor>, DatabaseError> {
    let mut values = Values::default();
    let listed = all_of(&listed(&mut values, filter, cursor)?);
    let last = format!("SELECT stored_at_ms, id FROM items {listed} {LATEST_FIRST} LIMIT 1 OFFSET {WINDOW_LEN} - 1");
    let last: Option<(i64, String)> = session.fetch_optional(values.into_query(last)).await?;
    Ok(last.map(|(stored_at_ms, key)| Cursor { stored_at_ms, key }))
}

/// Conditions for which the list has an index in its order.
fn listed(values: &mut Values, filter: &Filter, cursor: Option<&Cursor>) -> Result<Vec<String>, DatabaseError> {
    let mut conditions = Vec::new();
    if let Some(site) = &filter.site {
        conditions.push(format!("site = {}", values.bind(site.as_str())?));
    }
    if let Some(Cursor { stored_at_ms, key }) = cursor {
        let (stored_at_ms, id) = (values.bind(*stored_at_ms)?, values.bind(key.as_str())?);
        conditions.push(format!("(stored_at_ms, id) < ({stored_at_ms}, {id})"));
    }
    Ok(conditions)
}

/// All other conditions; no index is asked for the common words.
fn matching(
    values: &mut Values,
    dialect: &Dialect,
    filter: &Filter,
    common: &[String],
) -> Result<Vec<String>, DatabaseError> {
    let mut conditions = Vec::new();
    for word in &filter.words {
        let condition = has_text(values, word)?;
        // As likely by the statistics, and for no index.
        conditions.push(if common.contains(word) { format!("({condition}) IS TRUE") } else { condition });
    }
    if let Some(field) = &filter.field {
        let field = values.bind(field.as_str())?;
        conditions.push(dialect.has_field(&field));
        if let Some(value) = &filter.value {
            conditions.push(dialect.field_is(&field, &values.bind(value.as_str())?));
        }
    }
    Ok(conditions)
}

fn all_of(conditions: &[String]) -> String {
    match conditions {
        [] => String::new(),
        conditions => format!("WHERE {}", conditions.join(" AND ")),
    }
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
