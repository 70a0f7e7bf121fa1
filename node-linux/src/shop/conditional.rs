//! Answers with validators: ETag and Last-Modified out, 304 when the visitor already has the page (RFC 9110, 13).

use std::time::SystemTime;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// A body with what is needed to answer a conditional request for it.
pub(super) struct Document {
    media_type: &'static str,
    body: String,
    etag: String,
    modified_at: OffsetDateTime,
    cache: &'static str,
}

impl Document {
    pub(super) fn new(media_type: &'static str, body: String, modified_at: OffsetDateTime) -> Self {
        let digest = hex::encode(Sha256::digest(body.as_bytes()));
        let etag = format!("\"{}\"", digest.get(..20).unwrap_or(&digest));
        Self { media_type, body, etag, modified_at, cache: "no-cache" }
    }

    pub(super) fn html(body: String, modified_at: OffsetDateTime) -> Self {
        Self::new("text/html; charset=utf-8", body, modified_at)
    }

    /// It never changes: browsers may keep it for a day without asking.
    pub(super) fn lasting(mut self) -> Self {
        self.cache = "public, max-age=86400";
        self
    }

    pub(super) fn answer(self, request: &HeaderMap) -> Response {
        let fresh = self.is_held_by(request);
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache));
        let modified = httpdate::fmt_http_date(SystemTime::from(self.modified_at));
        for (name, value) in [(header::ETAG, &self.etag), (header::LAST_MODIFIED, &modified)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if fresh {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        (headers, self.body).into_response()
    }

    /// If-None-Match decides alone when it is there; dates are too coarse to overrule it.
    fn is_held_by(&self, request: &HeaderMap) -> bool {
        if request.contains_key(header::IF_NONE_MATCH) {
            return request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|list| {
                list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag)
            });
        }
        let since = request.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
        since
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .is_some_and(|since| self.modified_at.unix_timestamp() <= OffsetDateTime::from(since).unix_timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(headers: &[(header::HeaderName, &str)]) -> StatusCode {
        let mut request = HeaderMap::new();
        for (name, value) in headers {
            request.append(name, HeaderValue::from_str(value).unwrap());
        }
        let modified_at = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        Document::html("hello".to_owned(), modified_at).answer(&request).status()
    }

    #[test]
    fn answers_304_exactly_when_the_visitor_has_the_page() {
        const TAG: &str = "\"2cf24dba5fb0a30e26e8\"";
        let fresh = StatusCode::NOT_MODIFIED;
        let full = StatusCode::OK;
        assert_eq!(status(&[]), full);
        assert_eq!(status(&[(header::IF_NONE_MATCH, TAG)]), fresh);
        assert_eq!(status(&[(header::IF_NONE_MATCH, &format!("\"x\", W/{TAG}"))]), fresh);
        assert_eq!(status(&[(header::IF_NONE_MATCH, "*")]), fresh);
        assert_eq!(status(&[(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")]), fresh);
        assert_eq!(status(&[(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT")]), full);
        assert_eq!(status(&[(header::IF_MODIFIED_SINCE, "yesterday")]), full);
        let both = [(header::IF_NONE_MATCH, "\"x\""), (header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(status(&both), full);
    }
}
