//! Items on their way in: each message has its effect once.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;

use super::{Database, DatabaseError, Incoming, Outcome, Token, fence::Write, search, value};
use crate::item::Item;

pub(super) async fn store(
    database: &Database,
    token: &Token,
    batch: &[Incoming],
) -> Result<Vec<Outcome>, DatabaseError> {
    let entries = batch.iter().map(Entry::new).collect::<Result<Vec<_>, _>>()?;
    let mut write = database.write(token).await?;
    let inbox = Inbox::take(database, &mut write, &entries).await?;
    let mut first_in_batch = HashSet::new();
    let outcomes: Vec<_> = entries
        .iter()
        .map(|entry| {
            let first = first_in_batch.insert(entry.message_id.as_str());
            inbox.outcome(entry, first)
        })
        .collect();
    for (effect, of) in [(Effect::Next, Outcome::Stored), (Effect::Again, Outcome::Duplicate)] {
        let told = entries.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == of);
        upsert(database, &mut write, effect, told.map(|(entry, _)| &entry.incoming.item)).await?;
    }
    write.commit().await?;
    Ok(outcomes)
}

/// A message with what identifies its content.
struct Entry<'a> {
    message_id: String,
    body_hash: String,
    incoming: &'a Incoming,
}

impl<'a> Entry<'a> {
    fn new(incoming: &'a Incoming) -> Result<Self, DatabaseError> {
        let Incoming { message_id, item, .. } = incoming;
        value::check_key("message id", message_id)?;
        value::check_key("id of the item", &item.id)?;
        value::check_key("site of the item", &item.site)?;
        Ok(Self { message_id: value::text(message_id), body_hash: body_hash(item)?, incoming })
    }
}

/// SHA-256 of what an item says. Not of when it was scraped: the next look at an unchanged page gives the same message.
fn body_hash(item: &Item) -> Result<String, DatabaseError> {
    let Item { id, site, url, title, fields, scraped_at_ms: _ } = item;
    let canonical = serde_json::to_value((id, site, url, title, fields)).and_then(|mut value| {
        value.sort_all_objects();
        serde_json::to_vec(&value)
    });
    let canonical = canonical.map_err(|error| DatabaseError::Invalid(error.to_string()))?;
    Ok(hex::encode(Sha256::digest(canonical)))
}

/// Which messages of a batch are new, and what was known of the others.
struct Inbox {
    new: HashSet<String>,
    hashes: HashMap<String, String>,
}

#[derive(Serialize)]
struct InboxRow<'a> {
    message_id: &'a str,
    body_hash: &'a str,
    item_id: &'a str,
    scraped_at_ms: i64,
    queued_at_ms: Option<i64>,
    delivered_at_ms: Option<i64>,
}

impl<'a> From<&'a Entry<'_>> for InboxRow<'a> {
    fn from(entry: &'a Entry<'_>) -> Self {
        let Incoming { item, queued_at_ms, delivered_at_ms, .. } = entry.incoming;
        Self {
            message_id: &entry.message_id,
            body_hash: &entry.body_hash,
            item_id: &item.id,
            scraped_at_ms: item.scraped_at_ms,
            queued_at_ms: *queued_at_ms,
            delivered_at_ms: *delivered_at_ms,
        }
    }
}

impl Inbox {
    async fn take(database: &Database, write: &mut Write, entries: &[Entry<'_>]) -> Result<Self, DatabaseError> {
        let mut first = BTreeMap::new();
        for entry in entries {
            first.entry(entry.message_id.as_str()).or_insert(entry);
        }
        // In the order of the keys, as every batch, so that two of them never wait for each other.
        let rows: Vec<_> = first.values().map(|entry| InboxRow::from(*entry)).collect();
        let json = value::rows(&rows)?;
        let insert = format!(
            "INSERT INTO inbox (message_id, body_hash, term, stored_at_ms, item_id, scraped_at_ms, queued_at_ms, \
             delivered_at_ms) \
             SELECT value ->> 'message_id', value ->> 'body_hash', $2, $3, value ->> 'item_id', \
             CAST(value ->> 'scraped_at_ms' AS BIGINT), CAST(value ->> 'queued_at_ms' AS BIGINT), \
             CAST(value ->> 'delivered_at_ms' AS BIGINT) FROM {} WHERE true \
             ON CONFLICT (message_id) DO NOTHING RETURNING message_id",
            database.dialect.rows
        );
        let query = sqlx::query_as(AssertSqlSafe(insert)).bind(json.as_str()).bind(write.term).bind(write.now_ms);
        let new: Vec<(String,)> = write.session.fetch_all(query).await?;
        let mut inbox = Self {
            new: new.into_iter().map(|row| row.0).collect(),
            hashes: first.iter().map(|(id, entry)| ((*id).to_owned(), entry.body_hash.clone())).collect(),
        };
        if inbox.new.len() < rows.len() {
            let select = format!(
                "SELECT message_id, body_hash FROM inbox \
                 WHERE message_id IN (SELECT value ->> 'message_id' FROM {})",
                database.dialect.rows
            );
            let query = sqlx::query_as::<_, (String, String)>(AssertSqlSafe(select)).bind(json);
            inbox.hashes.extend(write.session.fetch_all(query).await?);
        }
        Ok(inbox)
    }

    fn outcome(&self, entry: &Entry<'_>, first_in_batch: bool) -> Outcome {
        if self.hashes.get(&entry.message_id) != Some(&entry.body_hash) {
            Outcome::Conflict
        } else if first_in_batch && self.new.contains(&entry.message_id) {
            Outcome::Stored
        } else {
            Outcome::Duplicate
        }
    }
}

#[derive(Serialize)]
struct ItemRow<'a> {
    id: &'a str,
    site: &'a str,
    url: &'a str,
    title: &'a str,
    fields: &'a BTreeMap<String, Value>,
    search_text: String,
    scraped_at_ms: i64,
    revisions: u64,
}

/// What a message may change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It is new: it replaces what is not younger.
    Next,
    /// It is known. A scraper that knows less than this database (its state was lost, or it is another of the same site)
    /// gives a state that has come back the message of its first time: the look was later, and the item is otherwise now.
    /// A message that merely comes again is never later than its item.
    Again,
}

impl Effect {
    fn condition(self) -> &'static str {
        match self {
            Self::Next => "items.scraped_at_ms <= excluded.scraped_at_ms",
            Self::Again => {
                "items.scraped_at_ms < excluded.scraped_at_ms AND (items.site <> excluded.site \
                 OR items.url <> excluded.url OR items.title <> excluded.title OR items.fields <> excluded.fields)"
            }
        }
    }
}

/// Stores each item's latest state. Messages may come out of order: an older state never replaces a younger one.
async fn upsert<'a>(
    database: &Database,
    write: &mut Write,
    effect: Effect,
    items: impl Iterator<Item = &'a Item>,
) -> Result<(), DatabaseError> {
    // One statement cannot change a row twice, so several states of one item in a batch are folded here.
    let mut latest: BTreeMap<&str, (&Item, u64)> = BTreeMap::new();
    for item in items {
        let (kept, revisions) = latest.entry(&item.id).or_insert((item, 0));
        // Revisions are counted by message.
        *revisions += u64::from(effect == Effect::Next);
        if item.scraped_at_ms >= kept.scraped_at_ms {
            *kept = item;
        }
    }
    if latest.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = latest
        .into_values()
        .map(|(item, revisions)| ItemRow {
            id: &item.id,
            site: &item.site,
            url: &item.url,
            title: &item.title,
            fields: &item.fields,
            search_text: search::text_of(item),
            scraped_at_ms: item.scraped_at_ms,
            revisions,
        })
        .collect();
    let upsert = format!(
        "INSERT INTO items (id, site, url, title, fields, search_text, scraped_at_ms, first_stored_at_ms, \
         stored_at_ms, term, revision) \
         SELECT value ->> 'id', value ->> 'site', value ->> 'url', value ->> 'title', value -> 'fields', \
         value ->> 'search_text', CAST(value ->> 'scraped_at_ms' AS BIGINT), $2, $2, $3, \
         CAST(value ->> 'revisions' AS BIGINT) FROM {} WHERE true \
         ON CONFLICT (id) DO UPDATE SET site = excluded.site, url = excluded.url, title = excluded.title, \
         fields = excluded.fields, search_text = excluded.search_text, scraped_at_ms = excluded.scraped_at_ms, \
         stored_at_ms = excluded.stored_at_ms, term = excluded.term, revision = items.revision + excluded.revision \
         WHERE {}",
        database.dialect.rows,
        effect.condition()
    );
    let query = sqlx::query(AssertSqlSafe(upsert)).bind(value::rows(&rows)?).bind(write.now_ms).bind(write.term);
    write.session.execute(query).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item() -> Item {
        Item {
            id: "a1".into(),
            site: "shop".into(),
            url: "http://shop/1".into(),
            title: "Lamp".into(),
            fields: [("price".to_owned(), json!({"amount": "12.30", "currency": "EUR"}))].into(),
            scraped_at_ms: 1,
        }
    }

    #[test]
    fn the_hash_covers_what_an_item_says_and_not_when() {
        let hash = body_hash(&item()).unwrap();
        assert_eq!(body_hash(&Item { scraped_at_ms: 2, ..item() }).unwrap(), hash);
        let price = json!({"amount": "12.31", "currency": "EUR"});
        for other in [
            Item { id: "a2".into(), ..item() },
            Item { site: "x".into(), ..item() },
            Item { url: "x".into(), ..item() },
            Item { title: "x".into(), ..item() },
            Item { fields: [("price".to_owned(), price)].into(), ..item() },
        ] {
            assert_ne!(body_hash(&other).unwrap(), hash);
        }
    }

    #[test]
    fn the_hash_stays_what_it_was_when_the_database_was_filled() {
        let hash = "1feae90af93437d8059e88f26839cfa3ab51b98858a391aa8065dd92829b582c";
        assert_eq!(body_hash(&item()).unwrap(), hash);
    }
}
