//! The bearer token (RFC 6750) that every request which changes something carries.

use std::fmt;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::Problem;

/// Scheme of the header `Authorization`, in any case (RFC 9110, 11.1).
const SCHEME: &str = "Bearer";

/// Bytes of a refused body that are read so that the answer arrives: closing on a client that still writes could cost it
/// that. A client that sends more has to live with it.
const DISCARDED_MAX: usize = 1024 * 1024;

/// A secret that whoever changes something must know. Cheap to clone; neither logs nor error messages show it.
#[derive(Clone)]
pub struct Bearer {
    header: HeaderValue,
    digest: [u8; 32],
}

/// Why a text cannot be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BearerError {
    /// It could be guessed.
    #[error("a token has {} characters at least", Bearer::LEN_MIN)]
    Short,
    /// RFC 6750, 2.1.
    #[error("a token has letters, digits and -._~+/ alone, and = at its end")]
    Character,
}

impl Bearer {
    /// Characters of a token at least: 16 of hexadecimal are 64 bits.
    pub const LEN_MIN: usize = 16;

    /// Takes `token` for the secret.
    ///
    /// # Errors
    /// [`BearerError`]; it does not show the token.
    pub fn new(token: &str) -> Result<Self, BearerError> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        if !token.trim_end_matches('=').bytes().all(is_token) {
            return Err(BearerError::Character);
        }
        if token.len() < Self::LEN_MIN {
            return Err(BearerError::Short);
        }
        let mut header = HeaderValue::from_str(&format!("{SCHEME} {token}")).map_err(|_| BearerError::Character)?;
        header.set_sensitive(true);
        Ok(Self { header, digest: Sha256::digest(token).into() })
    }

    /// Value of the header `Authorization` of a request.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Whether a request's headers carry the token. The time it takes tells nothing of how much of a guess is right.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some((scheme, token)) = given.split_once(' ') else { return false };
        let is_equal: bool = Sha256::digest(token.trim_start_matches(' ')).ct_eq(&self.digest).into();
        is_equal && scheme.eq_ignore_ascii_case(SCHEME)
    }
}

/// Without the token.
impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").finish_non_exhaustive()
    }
}

/// The routes of `router` added so far, closed to requests that change something and do not carry the token: they are
/// answered with 401, whatever else is wrong with them.
pub fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>, bearer: Bearer) -> Router<S> {
    router.route_layer(middleware::from_fn_with_state(bearer, check))
}

/// The routes of `router` added so far, closed to every request that does not carry the token, whatever its method.
pub fn closed<S: Clone + Send + Sync + 'static>(router: Router<S>, bearer: Bearer) -> Router<S> {
    router.route_layer(middleware::from_fn_with_state(bearer, admit))
}

async fn check(bearer: State<Bearer>, request: Request, next: Next) -> Response {
    // RFC 9110, 9.2.1: safe methods change nothing.
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    admit(bearer, request, next).await
}

async fn admit(State(bearer): State<Bearer>, request: Request, next: Next) -> Response {
    if bearer.admits(request.headers()) {
        return next.run(request).await;
    }
    metrics::counter!("symphony_unauthorized_requests_total").increment(1);
    discard_body(request).await;
    let detail = "this request needs the API token in the header Authorization: Bearer …";
    let problem = Problem::new(StatusCode::UNAUTHORIZED).with_detail(detail);
    // RFC 9110, 11.6.1: a 401 names the scheme.
    ([(header::WWW_AUTHENTICATE, SCHEME)], problem).into_response()
}

async fn discard_body(request: Request) {
    let mut body = request.into_body().into_data_stream();
    let mut len = 0_usize;
    while let Some(Ok(chunk)) = body.next().await {
        len = len.saturating_add(chunk.len());
        if len > DISCARDED_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http::{problem, server};

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn a_token_is_long_enough_and_fits_its_header() {
        assert!(Bearer::new(TOKEN).is_ok());
        assert!(Bearer::new("dG9rZW4gb2YgNjQgYml0cw==").is_ok());
        for short in ["", "0123456789abcde"] {
            assert_eq!(Bearer::new(short).unwrap_err(), BearerError::Short);
        }
        for odd in ["0123456789 abcdef", "0123456789=abcdef", "0123456789abcdef\n", "0123456789abcdéf"] {
            assert_eq!(Bearer::new(odd).unwrap_err(), BearerError::Character);
        }
    }

    #[test]
    fn nothing_shows_the_token() {
        let bearer = Bearer::new(TOKEN).unwrap();
        assert!(!format!("{bearer:?} {:?}", bearer.header()).contains(TOKEN));
    }

    #[test]
    fn only_the_very_token_is_admitted() {
        let bearer = Bearer::new(TOKEN).unwrap();
        let admits = |value: &str| {
            bearer.admits(&HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())]))
        };
        for good in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN}")] {
            assert!(admits(&good), "{good}");
        }
        for bad in [
            String::new(),
            TOKEN.to_owned(),
            format!("Basic {TOKEN}"),
            format!("Bearer {TOKEN}0"),
            "Bearer 0123456789abcde".to_owned(),
            "Bearer 0123456789abcdeF".to_owned(),
            "Bearer ".to_owned(),
        ] {
            assert!(!admits(&bad), "{bad}");
        }
        assert!(!bearer.admits(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn what_changes_something_needs_the_token_and_what_reads_does_not() {
        let bearer = Bearer::new(TOKEN).unwrap();
        let routes = Router::new().route("/thing", get(|| async { "read" }).post(|body: String| async { body }));
        let secrets = closed(Router::new().route("/secret", get(|| async { "told" })), bearer.clone());
        let router = guarded(routes, bearer.clone())
            .merge(secrets)
            .route("/open", get(|| async { "" }).post(|| async { "open" }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let _guard = shutdown.clone().drop_guard();
        tokio::spawn(server::serve(listener, router, shutdown));

        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let thing = format!("{url}/thing");
        assert_eq!(client.get(&thing).send().await.unwrap().text().await.unwrap(), "read");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            // A body that does not fit into any buffer on the way.
            let refused = client.request(method, &thing).body(vec![b'x'; 900_000]).send().await.unwrap();
            assert_eq!(refused.status(), 401);
            assert_eq!(refused.headers()["www-authenticate"], "Bearer");
            assert_eq!(refused.headers()["content-type"], problem::CONTENT_TYPE);
        }
        let admitted = client.post(&thing).header(header::AUTHORIZATION, bearer.header()).body("write");
        assert_eq!(admitted.send().await.unwrap().text().await.unwrap(), "write");
        let secret = client.get(format!("{url}/secret"));
        assert_eq!(secret.try_clone().unwrap().send().await.unwrap().status(), 401);
        let admitted = secret.header(header::AUTHORIZATION, bearer.header());
        assert_eq!(admitted.send().await.unwrap().text().await.unwrap(), "told");
        assert_eq!(client.post(format!("{url}/open")).send().await.unwrap().text().await.unwrap(), "open");
        assert_eq!(client.post(format!("{url}/nowhere")).send().await.unwrap().status(), 404);
    }
}
