//! The server that every role runs: bounded, observed, and polite when it stops.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use ::metrics::{SharedString, counter, histogram};
use axum::{
    Router,
    extract::{ConnectInfo, MatchedPath, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tower_http::{limit::RequestBodyLimitLayer, timeout::TimeoutLayer, trace::TraceLayer};
use tracing::{debug, warn};

use super::{health::Health, listener::Listener, metrics, problem};

/// Largest body of any request, in bytes: a file of 64 MiB with the form around it. Routes ask for less.
pub const BODY_SIZE_MAX: usize = (64 + 1) * 1024 * 1024;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;
/// Time for a client to begin TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the head of a request, counted also while a kept connection is idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest head of a request, in bytes.
const HEAD_SIZE_MAX: usize = 64 * 1024;
/// Header fields in a request at most.
const HEADERS_MAX: usize = 64;
/// Time for a handler to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for requests in flight to finish when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two folds of the metrics.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Wait after the system refused to accept a connection, for instance for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// `/healthz` (alive: always 200), `/readyz` (200 or 503, per dependency) and `/metrics`.
pub fn operations(health: &Health) -> Router {
    let (health, measured) = (health.clone(), health.clone());
    let metrics = metrics::install();
    Router::new()
        .route("/healthz", get(|| async { ([(header::CACHE_CONTROL, "no-store")], "alive\n") }))
        .route("/readyz", get(move || async move { health.report() }))
        .route(
            "/metrics",
            get(move || async move {
                let text = metrics.render() + &measured.report().metrics();
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            }),
        )
}

/// Serves until `shutdown`, in TLS only if the listener has a certificate, then lets requests in flight finish for up to
/// ten seconds.
///
/// Every error that a handler or an extractor leaves bare or in plain text goes out as a [`problem::Problem`].
///
/// # Errors
/// Those of the listener itself; none of a single connection.
pub async fn serve(listener: impl Into<Listener>, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let Listener { socket: listener, tls } = listener.into();
    listener.local_addr()?;
    let tls = tls.map(TlsAcceptor::from);
    let service = TowerToHyperService::new(layered(router));
    let limit = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut upkeep = interval(UPKEEP_EVERY);
    let metrics = metrics::install();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            (stream, remote, permit) = accept(&listener, &limit) => {
                let (tls, service, shutdown) = (tls.clone(), service.clone(), shutdown.clone());
                connections.spawn(async move {
                    // Answers are small; waiting for more bytes only delays them.
                    let _ = stream.set_nodelay(true);
                    match tls {
                        None => serve_connection(stream, remote, service, shutdown).await,
                        Some(tls) => {
                            if let Some(stream) = shake_hands(&tls, stream, remote, &shutdown).await {
                                serve_connection(stream, remote, service, shutdown).await;
                            }
                        }
                    }
                    drop(permit);
                });
            }
            Some(_) = connections.join_next() => {}
            _ = upkeep.tick() => metrics.upkeep(),
        }
    }
    drop(listener);
    if timeout(DRAIN_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        warn!(connections = connections.len(), "closing connections whose requests did not finish");
    }
    connections.shutdown().await;
    Ok(())
}

/// What all our servers put around their routes, outermost last.
fn layered(router: Router) -> Router {
    router
        .layer(RequestBodyLimitLayer::new(BODY_SIZE_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .layer(middleware::map_response(problem::from_plain))
        .layer(middleware::from_fn(measure))
        // A 503 is an answer like others: whoever gives it says why.
        .layer(TraceLayer::new_for_http().on_failure(()))
}

async fn accept(listener: &TcpListener, limit: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(limit).acquire_owned().await else {
            // Nobody closes the semaphore.
            std::future::pending().await
        };
        match listener.accept().await {
            Ok((stream, remote)) => return (stream, remote, permit),
            Err(error) if is_of_one_connection(&error) => debug!(%error, "a connection went away"),
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Begins TLS, unless the client cannot, takes too long, or `shutdown` comes first.
async fn shake_hands(
    tls: &TlsAcceptor,
    stream: TcpStream,
    remote: SocketAddr,
    shutdown: &CancellationToken,
) -> Option<TlsStream<TcpStream>> {
    let handshake = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
    match shutdown.run_until_cancelled(handshake).await? {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            debug!(%remote, %error, "a client did not begin TLS");
            None
        }
        Err(_) => {
            debug!(%remote, "a client did not begin TLS in time");
            None
        }
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    remote: SocketAddr,
    service: TowerToHyperService<Router>,
    shutdown: CancellationToken,
) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(remote));
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_SIZE_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%remote, %error, "connection ended");
    }
}

/// Counts requests and their times by method, route and status; an unknown path is one route, whatever it is.
async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let method = method_label(request.method());
    let mut response = next.run(request).await;
    let labels = [
        ("method", SharedString::const_str(method)),
        ("route", SharedString::from(route)),
        ("status", SharedString::from(response.status().as_u16().to_string())),
    ];
    counter!("symphony_http_requests_total", &labels).increment(1);
    histogram!("symphony_http_request_duration_seconds", &labels).record(started.elapsed());
    response.headers_mut().entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}

/// A stranger may invent methods; a label may not have endless values.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::{Json, extract::DefaultBodyLimit, routing::post};
    use serde_json::Value;
    use tokio::sync::oneshot;

    use super::*;

    struct Running {
        url: String,
        shutdown: CancellationToken,
        ended: tokio::task::JoinHandle<io::Result<()>>,
    }

    async fn start(router: Router) -> Running {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(serve(listener, router, shutdown.clone()));
        Running { url, shutdown, ended }
    }

    fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    #[tokio::test]
    async fn every_error_is_a_problem() {
        async fn takes(Json(value): Json<Vec<u8>>) -> String {
            value.len().to_string()
        }
        let server = start(Router::new().route("/numbers", post(takes).layer(DefaultBodyLimit::max(100)))).await;
        let numbers = format!("{}/numbers", server.url);
        let json = |body: &'static str| client().post(&numbers).header("content-type", "application/json").body(body);
        let long = client().post(&numbers).json(&vec![1_u8; 1000]);
        for (request, status) in [
            (client().get(format!("{}/nowhere", server.url)), 404),
            (client().get(&numbers), 405),
            (long, 413),
            (client().post(&numbers).body("1"), 415),
            (json("[1"), 400),
            (json("[\"one\"]"), 422),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["content-type"], problem::CONTENT_TYPE, "{status}");
            let problem: problem::Problem = response.json().await.unwrap();
            assert_eq!(problem.status, status);
            assert!(!problem.title.is_empty());
        }
        assert_eq!(json("[1,2]").send().await.unwrap().text().await.unwrap(), "2");
    }

    #[tokio::test]
    async fn operations_tell_life_readiness_and_figures() {
        let health = Health::new();
        let database = health.dependency("database");
        let server = start(operations(&health)).await;
        let get = |path: &str| client().get(format!("{}{path}", server.url)).send();
        assert_eq!(get("/healthz").await.unwrap().status(), 200);
        let not_ready = get("/readyz").await.unwrap();
        assert_eq!(not_ready.status(), 503);
        let report: Value = not_ready.json().await.unwrap();
        assert_eq!(report["dependencies"][0]["name"], "database");
        assert_eq!(report["dependencies"][0]["status"], "down");
        database.up();
        assert_eq!(get("/readyz").await.unwrap().status(), 200);
        let figures = get("/metrics").await.unwrap().text().await.unwrap();
        assert!(figures.contains("symphony_http_requests_total"), "{figures}");
        assert!(figures.contains("\nsymphony_dependency_up{dependency=\"database\"} 1\n"), "{figures}");
        assert!(figures.ends_with("\nsymphony_ready 1\n"), "{figures}");
        database.down("away");
        let figures = get("/metrics").await.unwrap().text().await.unwrap();
        assert!(figures.contains("\nsymphony_dependency_up{dependency=\"database\"} 0\n"), "{figures}");
        assert!(figures.ends_with("\nsymphony_ready 0\n"), "{figures}");
    }

    #[tokio::test]
    async fn a_request_in_flight_is_finished_before_the_server_ends() {
        let (arrived, wait_for_arrival) = oneshot::channel::<()>();
        let (release, wait_for_release) = oneshot::channel::<()>();
        let hooks = Arc::new(std::sync::Mutex::new(Some((arrived, wait_for_release))));
        let handler = move || async move {
            let (arrived, release) = hooks.lock().unwrap().take().unwrap();
            arrived.send(()).unwrap();
            release.await.unwrap();
            "done"
        };
        let server = start(Router::new().route("/slow", get(handler))).await;
        let answer = tokio::spawn(client().get(format!("{}/slow", server.url)).send());
        wait_for_arrival.await.unwrap();
        server.shutdown.cancel();
        let closed = async { while TcpStream::connect(server.url.trim_start_matches("http://")).await.is_ok() {} };
        timeout(Duration::from_secs(10), closed).await.expect("still accepts connections");
        release.send(()).unwrap();
        assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "done");
        server.ended.await.unwrap().unwrap();
    }
}
