//! Bodies and headers of the HTTP interface between leader, manager and users.

use serde::{Deserialize, Serialize};

use crate::database::{Incoming, Outcome};

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
