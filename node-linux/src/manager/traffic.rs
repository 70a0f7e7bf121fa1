//! Users' traffic: `/app/…` goes to the leader, by redirect or by proxy.

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use symphony_adapters::http::{
    Problem, Proxy, ProxyError,
    target::{TargetError, target},
};

use super::{leader_api::no_leader, route::Route};
use crate::config;

/// When a user whose request met no leader asks again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sends users to the leader of a route.
#[derive(Clone)]
pub(super) struct Traffic {
    pub(super) route: Route,
    pub(super) way: config::Route,
    pub(super) proxy: Proxy,
}

impl Traffic {
    /// `/app/…` by any method, and `/` on the way there.
    pub(super) fn routes(self) -> Router {
        Router::new()
            .route("/", get(|| async { redirect("/app/") }))
            .route("/app", get(|| async { redirect("/app/") }))
            .route("/app/", any(lead))
            .route("/app/{*path}", any(lead))
            .with_state(self)
    }
}

async fn lead(State(traffic): State<Traffic>, request: Request) -> Result<Response, Problem> {
    let leader = traffic.route.current().ok_or_else(|| {
        traffic.route.doubt();
        no_leader()
    })?;
    match traffic.way {
        config::Route::Redirect => Ok(redirect(&target(&leader.url, request.uri()).map_err(not_understood)?)),
        config::Route::Proxy => {
            let answer = traffic.proxy.forward(&leader.url, request).await;
            if matches!(&answer, Ok(response) if response.status() == StatusCode::MISDIRECTED_REQUEST) {
                traffic.route.doubt();
            }
            answer.map_err(|error| not_forwarded(&traffic.route, error))
        }
    }
}

/// 307: the method and the body stay, and nobody remembers the answer.
fn redirect(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return not_understood(TargetError::Unencoded).into_response();
    };
    let headers: [(HeaderName, HeaderValue); 2] =
        [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
}

fn not_understood(error: TargetError) -> Problem {
    Problem::bad_request(error.to_string())
}

fn not_forwarded(route: &Route, error: ProxyError) -> Problem {
    let status = match error {
        ProxyError::Target(error) => return not_understood(error),
        ProxyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ProxyError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        _ => {
            route.doubt();
            StatusCode::BAD_GATEWAY
        }
    };
    tracing::debug!(%error, "a request was not forwarded");
    let mut problem = Problem::new(status).with_detail(match error {
        ProxyError::Busy => "too many requests are on their way",
        ProxyError::Timeout(_) => "the leader did not answer in time",
        _ => "the leader cannot be reached",
    });
    problem.retry_after = Some(RETRY_AFTER);
    problem
}
