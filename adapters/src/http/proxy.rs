//! A reverse proxy: one request on, one answer back, both streamed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{ConnectInfo, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use futures_util::StreamExt as _;
use reqwest::{Client, ClientBuilder, redirect};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::tls::{self, Tls};

use super::{
    client::{self, ClientError},
    target::{TargetError, target},
};

/// Requests on their way at once.
const REQUESTS_MAX: usize = 512;
/// Time to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the head of the answer, and between two pieces of its body.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Below the time after which our servers close an idle connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers about one connection (RFC 9110, 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Sends requests on to another server. Cheap to clone; clones share connections and limits.
#[derive(Clone, Debug)]
pub struct Proxy {
    client: Client,
    permits: Arc<Semaphore>,
    /// By which clients come.
    scheme: &'static str,
}

/// Why a request got no answer from the other server.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Too many requests are on their way.
    #[error("more than {REQUESTS_MAX} requests are on their way")]
    Busy,
    /// The request cannot be sent on.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The other server took too long.
    #[error("no answer in time: {0}")]
    Timeout(String),
    /// The other server cannot be reached.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
}

impl Proxy {
    /// A proxy with its own pool of connections. It follows no redirect and unpacks no body.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] if TLS cannot be set up.
    pub fn new() -> Result<Self, ClientError> {
        Self::over(&client::client_tls()?, "http")
    }

    /// A proxy to servers that the authorities of `tls` certify, for clients that come by URLs of `scheme`.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] if TLS cannot be set up.
    pub fn over(tls: &Tls, scheme: &'static str) -> Result<Self, ClientError> {
        Ok(Self { client: client::build(builder(), tls)?, permits: Arc::new(Semaphore::new(REQUESTS_MAX)), scheme })
    }

    /// Sends `request` on to the server at `base_url`, with path and query as they are.
    ///
    /// What a client says about forwarding is replaced: this is the first proxy we trust.
    ///
    /// # Errors
    /// [`ProxyError`]; an error status of the other server is an answer.
    pub async fn forward(&self, base_url: &str, request: Request) -> Result<Response, ProxyError> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| ProxyError::Busy)?;
        let url = target(base_url, request.uri())?;
        let remote = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(remote)| *remote);
        let (mut parts, body) = request.into_parts();
        set_forwarded(&mut parts.headers, remote, self.scheme);
        remove_hop_by_hop(&mut parts.headers);
        // The server we run inside has answered the expectation.
        parts.headers.remove(header::EXPECT);

        let mut onward = self.client.request(parts.method, url).headers(parts.headers);
        if !body.is_end_stream() {
            onward = onward.body(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        let answer = onward.send().await.map_err(|error| {
            if error.is_timeout() && !error.is_connect() {
                ProxyError::Timeout(tls::describe(&error))
            } else {
                ProxyError::Unreachable(tls::describe(&error))
            }
        })?;

        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        remove_hop_by_hop(response.headers_mut());
        *response.body_mut() = Body::from_stream(answer.bytes_stream().map(move |piece| {
            let _until_the_end = &permit;
            piece
        }));
        Ok(response)
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .no_gzip()
}

fn set_forwarded(headers: &mut HeaderMap, remote: Option<SocketAddr>, scheme: &'static str) {
    headers.remove(header::FORWARDED);
    headers.remove(FORWARDED_FOR);
    if let Some(address) = remote.and_then(|remote| HeaderValue::from_str(&remote.ip().to_string()).ok()) {
        headers.insert(FORWARDED_FOR, address);
    }
    match headers.remove(header::HOST) {
        Some(host) => headers.insert(FORWARDED_HOST, host),
        None => headers.remove(FORWARDED_HOST),
    };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::any};
    use bytes::Bytes;
    use tokio::{net::TcpListener, sync::mpsc};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    async fn serve(router: Router) -> (String, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, AbortOnDropHandle::new(task))
    }

    /// A proxy in front of `origin`, as a server of its own.
    async fn proxy_to(origin: String) -> (String, AbortOnDropHandle<()>) {
        let proxy = Proxy::new().unwrap();
        let forward = move |request: Request| {
            let (proxy, origin) = (proxy.clone(), origin.clone());
            async move {
                match proxy.forward(&origin, request).await {
                    Ok(response) => response,
                    Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
                }
            }
        };
        serve(Router::new().fallback(any(forward))).await
    }

    #[tokio::test]
    async fn pieces_pass_while_both_bodies_are_still_open() {
        let echo = any(|request: Request| async { Body::from_stream(request.into_body().into_data_stream()) });
        let (origin, _origin) = serve(Router::new().fallback(echo)).await;
        let (front, _front) = proxy_to(origin).await;

        let (to_server, outgoing) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
        let outgoing = futures_util::stream::unfold(outgoing, |mut receiver| async {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        to_server.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
        let request = Client::new().post(format!("{front}/app/")).body(reqwest::Body::wrap_stream(outgoing));
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "first");
        to_server.send(Ok(Bytes::from_static(b"second"))).await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "second");
        drop(to_server);
        assert_eq!(answer.chunk().await.unwrap(), None);
    }

    #[tokio::test]
    async fn says_who_asks_and_keeps_what_belongs_to_one_connection() {
        let show = any(|request: Request| async move {
            let mut shown = format!("{} {}\n", request.method(), request.uri());
            for (name, value) in request.headers() {
                shown.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
            let mut response = (StatusCode::IM_A_TEAPOT, shown).into_response();
            response.headers_mut().insert("connection", HeaderValue::from_static("x-private"));
            response.headers_mut().insert("x-private", HeaderValue::from_static("1"));
            response.headers_mut().insert("x-public", HeaderValue::from_static("2"));
            response
        });
        let (origin, _origin) = serve(Router::new().fallback(show)).await;
        let (front, _front) = proxy_to(origin).await;
        let answer = Client::new()
            .delete(format!("{front}/app/a%20b?c=%2Fd&e"))
            .header("connection", "x-secret, close")
            .header("x-secret", "1")
            .header("x-forwarded-for", "203.0.113.9")
            .header("forwarded", "for=203.0.113.9")
            .header("te", "trailers")
            .header("cookie", "a=b")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
        assert!(answer.headers().get("x-private").is_none());
        assert_eq!(answer.headers()["x-public"], "2");
        let shown = answer.text().await.unwrap();
        assert!(shown.starts_with("DELETE /app/a%20b?c=%2Fd&e\n"), "{shown}");
        for line in ["x-forwarded-for: 127.0.0.1\n", "x-forwarded-proto: http\n", "cookie: a=b\n"] {
            assert!(shown.contains(line), "{shown}");
        }
        assert!(shown.contains(&format!("x-forwarded-host: {}\n", front.trim_start_matches("http://"))), "{shown}");
        for gone in ["x-secret", "\nte:", "203.0.113.9", "transfer-encoding"] {
            assert!(!shown.contains(gone), "{gone}: {shown}");
        }
    }

    #[tokio::test]
    async fn packed_bodies_pass_packed_and_redirects_are_answers() {
        let packed = any(|| async { ([("content-encoding", "gzip")], "not unpacked") });
        let moved = any(|| async { (StatusCode::FOUND, [("location", "/app/there")]) });
        let (origin, _origin) = serve(Router::new().route("/app/packed", packed).route("/app/moved", moved)).await;
        let (front, _front) = proxy_to(origin).await;
        let client = Client::builder().no_gzip().redirect(redirect::Policy::none()).build().unwrap();
        let answer = client.get(format!("{front}/app/packed")).send().await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        assert_eq!(answer.text().await.unwrap(), "not unpacked");
        let answer = client.get(format!("{front}/app/moved")).send().await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["location"]),
            (StatusCode::FOUND, &"/app/there".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_told_from_one_that_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let request = Request::get("/app/").body(Body::empty()).unwrap();
        let error = Proxy::new().unwrap().forward(&origin, request).await.unwrap_err();
        assert!(matches!(error, ProxyError::Unreachable(_)), "{error}");
        let request = Request::get("/app/%2e%2e/v1/items").body(Body::empty()).unwrap();
        let error = Proxy::new().unwrap().forward(&origin, request).await.unwrap_err();
        assert!(matches!(error, ProxyError::Target(TargetError::Ambiguous)), "{error}");
    }
}
