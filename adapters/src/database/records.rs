//! What is asked of the database, and what it answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::item::Item;

/// The fencing token: an election term and who won it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Term of the election.
    pub term: u64,
    /// Id of the leader.
    pub holder: u16,
}

/// The current leader, as the database has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// What its writes carry.
    pub token: Token,
    /// Base URL of its web server.
    pub url: String,
}

/// One item with the message that brought it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incoming {
    /// [`crate::broker::Message::id`]: the idempotency key.
    pub message_id: String,
    /// What to store.
    pub item: Item,
    /// When the publisher handed the message to the queue, in milliseconds since the Unix epoch, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at_ms: Option<i64>,
    /// When the queue delivered it, in milliseconds since the Unix epoch, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at_ms: Option<i64>,
}

impl Incoming {
    /// A message of which nothing but its content is known.
    #[must_use]
    pub fn new(message_id: impl Into<String>, item: Item) -> Self {
        Self { message_id: message_id.into(), item, queued_at_ms: None, delivered_at_ms: None }
    }
}

/// What became of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Stored now.
    Stored,
    /// The same key with the same content was stored before; nothing changed.
    Duplicate,
    /// The same key was used before for other content; nothing changed.
    Conflict,
}

/// An item as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredItem {
    /// What was scraped.
    #[serde(flatten)]
    pub item: Item,
    /// Milliseconds since the Unix epoch, when the item was first stored.
    pub first_stored_at_ms: i64,
    /// Milliseconds since the Unix epoch, when it was last changed.
    pub stored_at_ms: i64,
    /// Term under which it was last changed.
    pub term: u64,
    /// Messages that have changed the item, from 1.
    pub revision: u64,
}

/// Which items, in which order, from where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemQuery {
    /// Words that must all occur in the title or the fields; case does not matter.
    pub search: Option<String>,
    /// Only this site.
    pub site: Option<String>,
    /// Only items whose field of this name …
    pub field: Option<String>,
    /// … has this text (for a field named above).
    pub value: Option<String>,
    /// Where the page before ended ([`Page::next`]).
    pub cursor: Option<String>,
    /// Rows a page, 1 to 200; 50 unless told.
    pub limit: Option<u32>,
}

/// One page of rows, most recently stored first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Cursor of the next page; none on the last. A page of a search may be short, even empty, and not be the last: so
    /// many items are looked at for one page, and no more.
    pub next: Option<String>,
}

/// A file to store, with where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Path on the FTP server.
    pub path: String,
    /// Modification time on the FTP server, milliseconds since the Unix epoch.
    pub modified_at_ms: i64,
    /// Media type.
    pub content_type: String,
    /// Lower-case hexadecimal SHA-256 of the content: the idempotency key.
    pub sha256: String,
    /// The content.
    pub content: Vec<u8>,
}

/// A stored file, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Identity: the lower-case hexadecimal SHA-256 of the content.
    pub sha256: String,
    /// Path on the FTP server it was first fetched from.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Media type.
    pub content_type: String,
    /// Modification time on the FTP server, milliseconds since the Unix epoch.
    pub modified_at_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub stored_at_ms: i64,
    /// Term under which it was stored.
    pub term: u64,
}

/// A file on the FTP server as it was at some time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileState {
    /// Path on the FTP server.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Modification time, milliseconds since the Unix epoch.
    pub modified_at_ms: i64,
}

/// A file that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadFile {
    /// Which, and how it was then: another state of it is another file.
    #[serde(flatten)]
    pub file: FileState,
    /// Why no leader will ever take it.
    pub reason: String,
    /// Milliseconds since the Unix epoch, when it was given up.
    pub given_up_at_ms: i64,
}

/// A mail to send once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    /// Identity of the occasion: a second mail with the same key is not stored.
    pub key: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

/// A mail claimed from the outbox, to be sent by the claimer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedMail {
    /// Row, from which the Message-ID is derived.
    pub id: i64,
    /// What to send.
    pub mail: NewMail,
    /// Failed attempts before this one.
    pub attempts: u32,
    /// Identity of the claim: its end, in milliseconds since the Unix epoch, by the database's clock.
    pub claim: i64,
}

/// A mail that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadMail {
    /// Row.
    pub id: i64,
    /// Identity of the occasion.
    pub key: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// Attempts to send it.
    pub attempts: u32,
    /// Why the last one failed, in the server's words.
    pub error: String,
    /// Milliseconds since the Unix epoch, when it was written.
    pub created_at_ms: i64,
    /// Milliseconds since the Unix epoch, when it was given up.
    pub given_up_at_ms: i64,
}

/// Mails of one burst, claimed together, to be sent as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedDigest {
    /// Row of the first of them, from which the Message-ID is derived.
    pub id: i64,
    /// In the order they were written.
    pub mails: Vec<ClaimedMail>,
    /// As [`ClaimedMail::claim`], of all of them.
    pub claim: i64,
}

/// What became of an attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// The server took it.
    Sent,
    /// A transient failure: again after `delay`.
    Retry {
        /// Time to wait.
        delay: Duration,
        /// In the server's words.
        error: String,
    },
    /// A permanent failure: kept, visible, not tried again.
    Dead {
        /// In the server's words.
        error: String,
    },
}

/// What the database holds, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Distinct items.
    pub items: u64,
    /// Distinct files.
    pub files: u64,
    /// Mails sent.
    pub mails_sent: u64,
    /// Mails waiting, tried or not.
    pub mails_waiting: u64,
    /// Mails given up.
    pub mails_dead: u64,
}

/// What the database knows of an item's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The item's latest messages, the earliest first.
    pub messages: Vec<TracedMessage>,
    /// The first files that have the item's id in them, and are no older than the latest message.
    pub files: Vec<TracedFile>,
}

/// A message that brought an item. Times are in milliseconds since the Unix epoch, by the clock of whoever noted them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedMessage {
    /// Its idempotency key.
    pub message_id: String,
    /// By the scraper.
    pub scraped_at_ms: Option<i64>,
    /// By the publisher.
    pub queued_at_ms: Option<i64>,
    /// By the manager.
    pub delivered_at_ms: Option<i64>,
    /// By the database.
    pub stored_at_ms: i64,
    /// Term under which it was stored.
    pub term: u64,
}

/// A file that an item is in, and the mail about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedFile {
    /// Path on the FTP server.
    pub path: String,
    /// Milliseconds since the Unix epoch, by the database's clock.
    pub stored_at_ms: i64,
    /// What became of the mail about it: `waiting`, `sent` or `dead`.
    pub mail: Option<String>,
    /// When that was, in milliseconds since the Unix epoch; none while it waits.
    pub mail_settled_at_ms: Option<i64>,
}
