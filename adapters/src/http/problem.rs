//! Errors as problem details (RFC 9457).

use std::time::Duration;

use axum::{
    Json,
    body::{Body, to_bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::api::LeaderInfo;

/// Media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Longest plain-text error that becomes the detail of a problem, in bytes.
const DETAIL_SIZE_MAX: usize = 8 * 1024;

/// What went wrong, for machines and people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// URI of the kind of problem; `about:blank` when the status says it all.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The kind of problem in a few words.
    #[serde(default)]
    pub title: String,
    /// HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What went wrong this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// URI of this very occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Box<str>>,
    /// Further members, such as `term` and `leader`.
    #[serde(flatten)]
    pub extensions: Box<Map<String, Value>>,
    /// Sent as `Retry-After`, in whole seconds.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// Kind of the answer of a node that is not the leader of the term asked for.
    pub const NOT_LEADER: &str = "urn:symphony:problem:not-leader";

    /// Kind of the answer of a node that has looked at what was sent, and will never take it.
    pub const CONTENT: &str = "urn:symphony:problem:content";

    /// A problem that its status describes.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self {
            kind: about_blank(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: None,
            instance: None,
            extensions: Box::default(),
            retry_after: None,
        }
    }

    /// 400: the request cannot be understood.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST).with_detail(detail)
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND).with_detail(detail)
    }

    /// 422: understood, and wrong.
    #[must_use]
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY).with_detail(detail)
    }

    /// What was sent is to blame, whoever sends it to whichever node, and when: it will be refused again.
    #[must_use]
    pub fn content(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { kind: Self::CONTENT.to_owned(), ..Self::new(status).with_detail(detail) }
    }

    /// Whether it is a [`Problem::content`]: a node of ours said so, and not a proxy before it, nor a node of another
    /// version that does not understand the request.
    #[must_use]
    pub fn is_about_content(&self) -> bool {
        self.kind == Self::CONTENT
    }

    /// 421: this node does not lead the term asked for; `term` is the one it knows, `leader` whom it knows to lead.
    #[must_use]
    pub fn not_leader(term: u64, leader: Option<&LeaderInfo>) -> Self {
        let problem = Self {
            kind: Self::NOT_LEADER.to_owned(),
            title: "Not the leader of this term".to_owned(),
            ..Self::new(StatusCode::MISDIRECTED_REQUEST)
        }
        .with("term", term);
        match leader {
            Some(leader) => problem.with("leader", leader),
            None => problem,
        }
    }

    /// 503: try again after `retry_after`.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE).with_detail(detail) }
    }

    /// Says what went wrong this time.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a member; a value that JSON cannot hold is left out.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.extensions.insert(name.to_owned(), value);
        }
        self
    }

    /// The term that a [`Problem::not_leader`] carries.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.extensions.get("term").and_then(Value::as_u64)
    }

    /// The leader that a [`Problem::not_leader`] carries.
    #[must_use]
    pub fn leader(&self) -> Option<LeaderInfo> {
        self.extensions.get("leader").and_then(|leader| LeaderInfo::deserialize(leader).ok())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry_after) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        response
    }
}

/// Turns an error that is bare or in plain text, as extractors, fallbacks and layers make them, into a problem.
///
/// Other headers (`Allow`, for one) stay; an answer with a media type of its own is left alone.
pub async fn from_plain(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || has_own_form(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, DETAIL_SIZE_MAX).await.unwrap_or_default();
    let mut problem = Problem::new(status);
    problem.detail = std::str::from_utf8(&text).ok().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    if status == StatusCode::SERVICE_UNAVAILABLE && !parts.headers.contains_key(header::RETRY_AFTER) {
        problem.retry_after = Some(Duration::from_secs(1));
    }
    let (made, body) = problem.into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    for (name, value) in made.headers {
        if let Some(name) = name {
            parts.headers.insert(name, value);
        }
    }
    Response::from_parts(parts, body)
}

fn has_own_form(response: &Response<Body>) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media_type| !media_type.as_bytes().to_ascii_lowercase().starts_with(b"text/plain"))
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> Value {
        serde_json::from_slice(&to_bytes(response.into_body(), 100_000).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_problem_has_the_members_of_rfc_9457() {
        let leader = LeaderInfo { term: 7, node: 2, url: Some("http://b".into()) };
        let response = Problem::not_leader(7, Some(&leader)).with_detail("ask b").into_response();
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        let value = body(response).await;
        assert_eq!(
            value,
            serde_json::json!({
                "type": Problem::NOT_LEADER, "title": "Not the leader of this term", "status": 421,
                "detail": "ask b", "term": 7, "leader": {"term": 7, "node": 2, "url": "http://b"},
            })
        );
        let read: Problem = serde_json::from_value(value).unwrap();
        assert_eq!((read.term(), read.leader()), (Some(7), Some(leader)));
    }

    #[tokio::test]
    async fn a_plain_error_becomes_a_problem_and_keeps_its_other_headers() {
        let plain = (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET")], "no such verb").into_response();
        let response = from_plain(plain).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        assert_eq!(response.headers()[header::ALLOW], "GET");
        assert_eq!(body(response).await["detail"], "no such verb");
    }

    #[tokio::test]
    async fn an_error_with_a_form_of_its_own_is_left_alone() {
        let own = (StatusCode::SERVICE_UNAVAILABLE, Json(1)).into_response();
        assert_eq!(body(from_plain(own).await).await, 1);
    }

    #[test]
    fn a_problem_of_another_server_may_lack_every_member() {
        let problem: Problem = serde_json::from_str("{}").unwrap();
        assert_eq!((problem.kind.as_str(), problem.status), ("about:blank", 0));
    }
}
