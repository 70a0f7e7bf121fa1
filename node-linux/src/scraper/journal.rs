//! What has been published, and what was about to be: the scraper's own outbox.
//!
//! A publication is written down, synced, before the broker hears of it, and marked as sent after the broker confirmed
//! it. After a crash in between it is sent again, the same bytes under the same message id: a duplicate, never a loss.
//! What no queue takes is a dead letter: it is written down with the reason, and not sent again until the item changes.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use symphony_adapters::item::Item;
use tokio::io;

use super::{extract::digest, files, visit::now_ms};

/// Something new to tell the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Publication {
    /// Stands for what the item says ([`content_digest`]).
    pub(super) content: String,
    pub(super) message_id: String,
    pub(super) item: Item,
}

/// What the world was last told of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) content: String,
    pub(super) message_id: String,
    /// When it was scraped, as the world was told: milliseconds since the Unix epoch.
    pub(super) scraped_at_ms: i64,
    /// When the broker confirmed it, in milliseconds since the Unix epoch, if that was noted.
    pub(super) queued_at_ms: Option<i64>,
    /// Why it is a dead letter.
    pub(super) refused: Option<String>,
    /// Whether the item was missing in the last complete run.
    pub(super) gone: bool,
}

/// What the journal says when all of it is read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By the item's id.
    pub(super) published: HashMap<String, Published>,
    /// Written down and not known to be sent, by the item's id.
    pub(super) pending: BTreeMap<String, Publication>,
}

/// How an item compares with what was last published.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// Published as it is.
    Unchanged,
    /// Never published.
    New(Publication),
    /// Published with other content.
    Changed(Publication),
}

impl Ledger {
    /// What the journal at `path` says, which somebody may be writing; nothing if there is none.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) async fn read(path: &Path) -> io::Result<Self> {
        Ok(parse(&files::read(path).await?.unwrap_or_default()))
    }

    /// Compares an item with what was last published.
    ///
    /// The message id stands for the item, its content and the message before: a retry repeats it, and a price that
    /// goes up and down again is three messages. Its time is later than that of the message before, even if the clock was set
    /// back: the database keeps what was scraped last.
    pub(super) fn news(&self, item: &Item) -> News {
        let content = content_digest(item);
        let before = self.published.get(&item.id);
        if before.is_some_and(|before| before.content == content) {
            return News::Unchanged;
        }
        let message_id = digest(&(&item.id, &content, before.map(|before| &before.message_id)));
        let mut item = item.clone();
        if let Some(before) = before {
            item.scraped_at_ms = item.scraped_at_ms.max(before.scraped_at_ms.saturating_add(1));
        }
        let publication = Publication { content, message_id, item };
        if before.is_some() { News::Changed(publication) } else { News::New(publication) }
    }

    pub(super) fn mark_sent(&mut self, publication: Sent) {
        self.pending.remove(&publication.id);
        let Sent { id, content, message_id, scraped_at_ms, queued_at_ms, refused, gone } = publication;
        self.published.insert(id, Published { content, message_id, scraped_at_ms, queued_at_ms, refused, gone });
    }
}

/// All that matters of an item, without the time it was scraped at.
pub(super) fn content_digest(item: &Item) -> String {
    digest(&(&item.id, &item.title, &item.url, &item.fields))
}

/// The line that settles a publication: confirmed, or a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    id: String,
    content: String,
    message_id: String,
    #[serde(default)]
    scraped_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queued_at_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}

impl Sent {
    /// Confirmed now.
    pub(super) fn of(publication: &Publication) -> Self {
        Self {
            id: publication.item.id.clone(),
            content: publication.content.clone(),
            message_id: publication.message_id.clone(),
            scraped_at_ms: publication.item.scraped_at_ms,
            queued_at_ms: Some(now_ms()),
            refused: None,
            gone: false,
        }
    }

    /// A dead letter: no queue takes it.
    pub(super) fn refused(publication: &Publication, reason: String) -> Self {
        Self { queued_at_ms: None, refused: Some(reason), ..Self::of(publication) }
    }

    /// Whether the broker has it.
    pub(super) fn is_confirmed(&self) -> bool {
        self.refused.is_none()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Sending(Publication),
    Sent(Sent),
}

/// An append-only file of lines, rewritten when it is opened and at the end of a run.
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<File>,
}

impl Journal {
    /// Reads the journal, drops what a crash tore off, and opens it to be written on.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) async fn open(path: &Path) -> io::Result<(Self, Ledger)> {
        let ledger = Ledger::read(path).await?;
        let journal = Self { file: rewrite(path, &ledger).await?, path: path.to_owned() };
        Ok((journal, ledger))
    }

    /// Writes down what is about to be published; `Ok` once it is on the disk.
    ///
    /// # Errors
    /// Those of the file system: nothing may be published.
    pub(super) async fn sending(&mut self, batch: &[Publication]) -> io::Result<()> {
        let mut lines = Vec::new();
        for publication in batch {
            push(&mut lines, &Line::Sending(publication.clone()))?;
        }
        files::append(&self.file, lines, true).await
    }

    /// Marks a publication as confirmed, or a dead letter. Not synced: losing this line costs a duplicate.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) async fn sent(&mut self, sent: &Sent) -> io::Result<()> {
        let mut line = Vec::new();
        push(&mut line, &Line::Sent(sent.clone()))?;
        files::append(&self.file, line, false).await
    }

    /// Rewrites the journal with one line per item.
    ///
    /// # Errors
    /// Those of the file system; the journal is as it was.
    pub(super) async fn compact(&mut self, ledger: &Ledger) -> io::Result<()> {
        self.file = rewrite(&self.path, ledger).await?;
        Ok(())
    }
}

async fn rewrite(path: &Path, ledger: &Ledger) -> io::Result<Arc<File>> {
    let mut lines = Vec::new();
    for (id, published) in &ledger.published {
        let Published { content, message_id, scraped_at_ms, queued_at_ms, refused, gone } = published.clone();
        let id = id.clone();
        push(&mut lines, &Line::Sent(Sent { id, content, message_id, scraped_at_ms, queued_at_ms, refused, gone }))?;
    }
    for publication in ledger.pending.values() {
        push(&mut lines, &Line::Sending(publication.clone()))?;
    }
    files::replace(path, lines).await?;
    Ok(Arc::new(File::options().append(true).open(path)?))
}

fn push(lines: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, line)?;
    lines.push(b'\n');
    Ok(())
}

fn parse(bytes: &[u8]) -> Ledger {
    let mut ledger = Ledger::default();
    for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(Line::Sending(publication)) => {
                ledger.pending.insert(publication.item.id.clone(), publication);
            }
            Ok(Line::Sent(sent)) => ledger.mark_sent(sent),
            Err(error) => tracing::warn!(%error, "a torn line of the journal is left out"),
        }
    }
    ledger
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, title: &str) -> Item {
        Item {
            id: id.to_owned(),
            site: "s".to_owned(),
            url: "http://h.example/".to_owned(),
            title: title.to_owned(),
            fields: BTreeMap::new(),
            scraped_at_ms: 0,
        }
    }

    fn publication(ledger: &Ledger, item: &Item) -> Publication {
        match ledger.news(item) {
            News::New(publication) | News::Changed(publication) => publication,
            News::Unchanged => panic!("unchanged"),
        }
    }

    #[test]
    fn a_message_id_repeats_for_a_retry_and_never_for_a_new_change() {
        let mut ledger = Ledger::default();
        let mut ids = Vec::new();
        for title in ["10", "12", "10", "12"] {
            let first = publication(&ledger, &item("a", title));
            let mut later = item("a", title);
            later.scraped_at_ms = 99;
            assert_eq!(publication(&ledger, &later).message_id, first.message_id, "the time changes nothing");
            ledger.mark_sent(Sent::of(&first));
            assert_eq!(ledger.news(&later), News::Unchanged);
            ids.push(first.message_id);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 4);
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_makes_no_change_older_than_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut times = Vec::new();
        for (title, clock) in [("10", 1000), ("12", 400), ("14", 401), ("16", 5000)] {
            let (mut journal, mut ledger) = Journal::open(&path).await.unwrap();
            let mut item = item("a", title);
            item.scraped_at_ms = clock;
            let publication = publication(&ledger, &item);
            times.push(publication.item.scraped_at_ms);
            ledger.mark_sent(Sent::of(&publication));
            journal.compact(&ledger).await.unwrap();
        }
        assert_eq!(times, [1000, 1001, 1002, 5000]);
    }

    #[tokio::test]
    async fn what_was_about_to_be_sent_survives_and_a_torn_line_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, ledger) = Journal::open(&path).await.unwrap();
        let first = publication(&ledger, &item("a", "1"));
        let second = publication(&ledger, &item("b", "1"));
        journal.sending(&[first.clone(), second.clone()]).await.unwrap();
        journal.sent(&Sent::of(&first)).await.unwrap();
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"sent\":{\"id\":\"b\",\"con");
        std::fs::write(&path, bytes).unwrap();

        for _ in 0..2 {
            let (_, ledger) = Journal::open(&path).await.unwrap();
            assert_eq!(ledger.news(&first.item), News::Unchanged);
            assert_eq!(ledger.pending.values().cloned().collect::<Vec<_>>(), vec![second.clone()]);
        }

        let (mut journal, mut ledger) = Journal::open(&path).await.unwrap();
        ledger.mark_sent(Sent::of(&second));
        journal.compact(&ledger).await.unwrap();
        journal.sending(&[publication(&ledger, &item("a", "2"))]).await.unwrap();
        drop(journal);
        let (_, ledger) = Journal::open(&path).await.unwrap();
        assert_eq!(ledger.published.len(), 2);
        assert_eq!(ledger.pending["a"].item.title, "2");
    }

    #[tokio::test]
    async fn what_a_full_disk_did_not_take_is_not_written_down() {
        let file = File::options().append(true).open("/dev/full").unwrap();
        let mut journal = Journal { path: PathBuf::from("/dev/full"), file: Arc::new(file) };
        let publication = publication(&Ledger::default(), &item("a", "1"));
        let errors = [
            journal.sending(std::slice::from_ref(&publication)).await.unwrap_err(),
            journal.sent(&Sent::of(&publication)).await.unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.kind() == io::ErrorKind::StorageFull), "{errors:?}");
    }
}
