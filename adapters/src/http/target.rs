//! Where a request goes when another server is to answer it.

use axum::http::Uri;
use thiserror::Error;

/// Why a request cannot be sent elsewhere as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not a path that begins with a slash.
    #[error("the request names no path")]
    NoPath,
    /// `.`, `..` or a backslash: the next server would read another path than we do.
    #[error("the path has a segment that changes its meaning on the way")]
    Ambiguous,
    /// A character that a URL has to carry encoded.
    #[error("the path or the query has a character that must be percent-encoded")]
    Unencoded,
}

/// The URL on the server at `base_url` (without a slash at its end) of the path and query of `uri`, byte for byte.
///
/// Nothing in `uri` can lead to another host: its scheme and authority are ignored.
///
/// # Errors
/// [`TargetError`] for a path that the other server could read differently.
pub fn target(base_url: &str, uri: &Uri) -> Result<String, TargetError> {
    let path_and_query = uri.path_and_query().ok_or(TargetError::NoPath)?.as_str();
    if !path_and_query.starts_with('/') {
        return Err(TargetError::NoPath);
    }
    if path_and_query.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(TargetError::Unencoded);
    }
    if uri.path().contains('\\') || uri.path().split('/').any(is_dots) {
        return Err(TargetError::Ambiguous);
    }
    Ok(format!("{base_url}{path_and_query}"))
}

/// Whether a URL parser takes the segment for `.` or `..` (WHATWG URL, 4.4).
fn is_dots(segment: &str) -> bool {
    segment.len() <= 6 && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn try_target(uri: &str) -> Result<String, TargetError> {
        target("http://leader:8080", &uri.parse().unwrap())
    }

    #[test]
    fn path_and_query_stay_as_they_are() {
        for path in
            ["/app/", "/app/items?search=a%20b&cursor=x%2Fy", "/app//x/?", "/app/%2F%2fevil", "/app/..x/.y?a=../.."]
        {
            let url = try_target(path).unwrap();
            assert_eq!(url, format!("http://leader:8080{path}"));
            assert_eq!(Url::parse(&url).unwrap().as_str(), url);
        }
    }

    #[test]
    fn no_request_leads_to_another_host() {
        for uri in [
            "//evil",
            "//evil/app/",
            "/app//evil",
            "/@evil",
            "/app/@evil:80/",
            "http://evil/app/",
            "/:80/app",
            "/?//evil",
        ] {
            let url = Url::parse(&try_target(uri).unwrap()).unwrap();
            assert_eq!((url.host_str(), url.port(), url.username()), (Some("leader"), Some(8080), ""), "{uri}");
        }
    }

    #[test]
    fn a_path_that_others_read_differently_is_refused() {
        let paths = [
            "/app/..",
            "/app/../v1/items",
            "/app/./",
            "/app/%2e%2E/v1/items",
            "/app/.%2e/v1",
            "/app/%2E",
            "/app\\..\\v1",
        ];
        for path in paths {
            if let Ok(uri) = path.parse::<Uri>() {
                assert_eq!(target("http://leader:8080", &uri), Err(TargetError::Ambiguous), "{path}");
            }
        }
        assert_eq!(try_target("/app/\u{e9}"), Err(TargetError::Unencoded));
        assert_eq!(target("http://leader", &Uri::from_static("*")), Err(TargetError::NoPath));
    }
}
