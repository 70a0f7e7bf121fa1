//! The index of what items say, by letters in threes.

use serde_json::{Value, json};

use super::{
    super::{DatabaseError, dialect::Dialect, session::Session},
    filter::{self, Filter, like_pattern},
    values::Values,
};

/// Pages of the table in a sample: some hundred items.
const SAMPLE_PAGES: i64 = 32;

/// How a database comes from texts to items.
#[derive(Debug)]
pub(in super::super) enum TextIndex {
    /// The planner uses the index, but takes a word of one item in a hundred for a rare one: a sample tells these apart.
    Sampled,
    /// A table of FTS5 counts for itself.
    Fts5,
}

/// What an index is worth to a search.
#[derive(Debug)]
pub(super) struct Outlook {
    /// Items that it leads to, in a sample's estimation or up to the number asked for; all, if it knows nothing of what
    /// is searched for.
    pub(super) matches: i64,
    /// Words that it is better not asked for, because it takes as long as there are items that have them, and others of
    /// the same search leave fewer to look at.
    pub(super) common: Vec<String>,
}

impl Outlook {
    /// Asks a database for it, and for up to `limit` matches if it counts.
    pub(super) async fn of(
        dialect: &Dialect,
        session: &mut Session,
        filter: &Filter,
        limit: i64,
    ) -> Result<Self, DatabaseError> {
        if !filter.is_indexed() {
            return Ok(Self { matches: i64::MAX, common: Vec::new() });
        }
        match dialect.text_index {
            TextIndex::Sampled => sampled(dialect, session, filter).await,
            TextIndex::Fts5 => {
                let count = "SELECT COUNT(*) FROM (SELECT 1 FROM items_text WHERE items_text MATCH $1 LIMIT $2)";
                let count = sqlx::query_as(count).bind(expression(filter)).bind(limit);
                let (matches,) = session.fetch_optional(count).await?.unwrap_or_default();
                Ok(Self { matches, common: Vec::new() })
            }
        }
    }
}

impl TextIndex {
    /// Conditions that follow from a filter, for which there is the index.
    pub(super) fn conditions(&self, values: &mut Values, filter: &Filter) -> Result<Vec<String>, DatabaseError> {
        match self {
            Self::Sampled => match (&filter.field, &filter.value) {
                (Some(field), Some(value)) => Ok(vec![contains_field(values, field, value)?]),
                _ => Ok(Vec::new()),
            },
            Self::Fts5 => {
                let expression = values.bind(expression(filter))?;
                Ok(vec![format!("number IN (SELECT rowid FROM items_text WHERE items_text MATCH {expression})")])
            }
        }
    }
}

/// Each word, and then all that the index knows, counted in a sample of PostgreSQL's table, in proportion to the whole.
async fn sampled(dialect: &Dialect, session: &mut Session, filter: &Filter) -> Result<Outlook, DatabaseError> {
    let mut values = Values::default();
    let mut conditions = Vec::new();
    for word in &filter.words {
        conditions.push(has_text(&mut values, word)?);
    }
    let known = filter.words.iter().zip(&conditions).filter(|(word, _)| filter::is_indexed(word));
    let mut known: Vec<_> = known.map(|(_, condition)| condition.clone()).collect();
    if let Some(field) = &filter.field {
        known.push(dialect.has_field(&values.bind(field.as_str())?));
    }
    known.extend(dialect.text_index.conditions(&mut values, filter)?);
    conditions.push(known.join(" AND "));
    let counts: Vec<_> = conditions.iter().map(|condition| format!("COUNT(*) FILTER (WHERE {condition})")).collect();
    let share = format!(
        "LEAST(1, 1.0 * {SAMPLE_PAGES} * current_setting('block_size')::BIGINT / \
         GREATEST(pg_relation_size('items'), 1))"
    );
    let sample = format!(
        "SELECT CAST(unnest(ARRAY[{}]) / {share} AS BIGINT) FROM items TABLESAMPLE SYSTEM (100 * {share})",
        counts.join(", ")
    );
    let mut counts: Vec<(i64,)> = session.fetch_all(values.into_query(sample)).await?;
    let (matches,) = counts.pop().unwrap_or_default();
    Ok(Outlook { matches, common: common(filter.words.iter().zip(counts)) })
}

fn common<'w>(counts: impl Iterator<Item = (&'w String, (i64,))>) -> Vec<String> {
    let (known, unknown): (Vec<_>, Vec<_>) = counts.partition(|(word, _)| filter::is_indexed(word));
    let Some(rarest) = known.iter().map(|(_, (count,))| *count).min() else { return Vec::new() };
    // What is twice as common may be so by chance.
    let common = known.into_iter().filter(|(_, (count,))| *count > 2 * rarest);
    common.chain(unknown).map(|(word, _)| word.clone()).collect()
}

/// Condition on an item's text.
pub(super) fn has_text(values: &mut Values, text: &str) -> Result<String, DatabaseError> {
    Ok(format!(r"search_text LIKE {} ESCAPE '\'", values.bind(like_pattern(text))?))
}

/// Condition on an item's fields, of PostgreSQL: one of the forms in which this text can be a field's value.
fn contains_field(values: &mut Values, field: &str, value: &str) -> Result<String, DatabaseError> {
    let forms = [Some(Value::from(value)), serde_json::from_str(value).ok()];
    let mut conditions = Vec::new();
    for form in forms.into_iter().flatten() {
        for form in [json!({ field: form }), json!({ field: { "amount": form } })] {
            conditions.push(format!("fields @> CAST({} AS JSONB)", values.bind(form.to_string())?));
        }
    }
    Ok(format!("({})", conditions.join(" OR ")))
}

/// What FTS5 is asked for.
fn expression(filter: &Filter) -> String {
    let phrase = |column: &str, text: &str| format!("{column} : \"{}\"", text.replace('"', "\"\""));
    let texts = filter.indexed_texts().map(|text| phrase("search_text", &text));
    let names = filter.field.iter().map(|name| phrase("names", &format!("\n{name}\n")));
    texts.chain(names).collect::<Vec<_>>().join(" AND ")
}
