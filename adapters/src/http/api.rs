//! Bodies and headers of the HTTP interface between leader, manager and users.

use serde::{Deserialize, Serialize};

use crate::database::{DeadFile, DeadMail, Incoming, Outcome};

/// Request header: term under which the request is made; a web node of another term answers 421.
pub const TERM_HEADER: &str = "symphony-term";

/// Request header: key by which a repeated request is recognised.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// Body of `POST /v1/items`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemsRequest {
    /// 1 to [`ItemsRequest::ENTRIES_MAX`] items, each with its own idempotency key.
    pub items: Vec<Incoming>,
}

impl ItemsRequest {
    /// Items in one request at most.
    pub const ENTRIES_MAX: usize = 500;
}

/// Answer to `POST /v1/items`: 200, one result per item, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemsResponse {
    /// Term under which the items were stored.
    pub term: u64,
    /// What became of each.
    pub results: Vec<ItemResult>,
}

/// What became of one item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemResult {
    /// As in the request.
    pub message_id: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// Answer to `POST /v1/files`: 201 (stored), 200 (duplicate). The request is `multipart/form-data` with the parts
/// `path` (text), `modified_at_ms` (text), `sha256` (text) and `file` (content, with file name and type).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileResponse {
    /// Term under which the file was stored.
    pub term: u64,
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// Body of `PUT /v1/leader` (to the manager) and of `GET /leader` (200 from the leader itself, 503 from others, with
/// what they know).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderInfo {
    /// Term of its election.
    pub term: u64,
    /// Id of the leader.
    pub node: u16,
    /// Base URL of its web server, without a slash at the end; unknown to followers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Answer to `GET /v1/dead-letters` (of the manager): 200, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// All there are, shown here or not.
    pub total: u64,
    /// The first of them, without their bodies.
    pub letters: Vec<DeadLetterInfo>,
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterInfo {
    /// Idempotency key of the message; empty if it has none.
    pub message_id: String,
    /// Why it was given up.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_at_ms: Option<i64>,
    /// Media type of the body.
    pub content_type: String,
    /// Bytes of the body.
    pub size: u64,
    /// The body, of which what is not UTF-8 is replaced; in `GET /v1/dead-letter` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Answer to `POST /v1/dead-letters/replay`: 200. The query says which: `id=…`, or `all=true`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Messages that are back in the queue.
    pub replayed: u64,
}

/// Answer to `GET /v1/dead-mails` (of the manager): 200, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadMails {
    /// All there are, shown here or not.
    pub total: u64,
    /// The first of them.
    pub mails: Vec<DeadMail>,
}

/// Answer to `GET /v1/dead-files` (of the manager): 200, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadFiles {
    /// All there are, shown here or not.
    pub total: u64,
    /// The first of them.
    pub files: Vec<DeadFile>,
}

/// Answer to `POST /v1/dead-mails/retry` and `POST /v1/dead-files/retry`: 200. The query says which: `id=…` (a file's is
/// its path), or `all=true`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Mails that are back in the outbox, or files to be fetched again.
    pub retried: u64,
}

/// Answer to `GET /v1/trace` (of the manager, and of a scraper): 200, the steps in the order of their times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceResponse {
    /// Id of the item.
    pub item: String,
    /// Where it has been.
    pub steps: Vec<TraceStep>,
}

impl TraceResponse {
    /// Puts the steps in order: what is still to come is last; of one moment, what comes first on the way.
    pub fn sort(&mut self) {
        self.steps.sort_by_key(|step| (step.at_ms.unwrap_or(i64::MAX), step.step));
    }
}

/// A place that an item has been at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// What happened to it.
    pub step: TraceStepKind,
    /// When, in milliseconds since the Unix epoch by the clock of that place; none if it is still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
    /// By which message, in which file, for what reason.
    pub detail: String,
}

/// What can happen to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceStepKind {
    /// Found on its site.
    Scraped,
    /// Handed to the queue.
    Queued,
    /// Received by the manager.
    Delivered,
    /// Committed by the leader.
    Stored,
    /// In a file of processed data that was stored.
    Filed,
    /// Part of a file that a mail told of.
    Mailed,
    /// Given up: its message is a dead letter, or such as no queue takes.
    Dead,
}
