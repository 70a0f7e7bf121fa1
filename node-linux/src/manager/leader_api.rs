//! `PUT /v1/leader`: the leader announces itself. `GET /v1/leader`: who that is.

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use symphony_adapters::{
    database::{Leader, Token},
    http::{Problem, api::LeaderInfo},
};

use super::{
    route::{Change, Route, RouteError},
    unavailable::unavailable,
};

/// Largest announcement, in bytes.
const BODY_SIZE_MAX: usize = 4 * 1024;

/// The two routes.
pub(super) fn routes(route: Route) -> Router {
    Router::new()
        .route("/v1/leader", get(show).put(announce))
        .layer(DefaultBodyLimit::max(BODY_SIZE_MAX))
        .with_state(route)
}

/// What is said while no leader is known.
pub(super) fn no_leader() -> Problem {
    unavailable("no leader is known yet")
}

async fn show(State(route): State<Route>) -> Result<Response, Problem> {
    Ok(answer(&route.current().ok_or_else(no_leader)?))
}

async fn announce(
    State(route): State<Route>,
    body: Result<Json<LeaderInfo>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(info) = body.map_err(|rejection| Problem::new(rejection.status()).with_detail(rejection.body_text()))?;
    let url =
        info.url.ok_or_else(|| Problem::unprocessable("url is missing: users could not be sent to the leader"))?;
    let leader = Leader { token: Token { term: info.term, holder: info.node }, url };
    match route.offer(leader.clone()) {
        Ok(Change::Leader | Change::Url) => tracing::debug!(term = info.term, node = info.node, "announced"),
        Ok(Change::None) => {}
        Err(error @ RouteError::Url { .. }) => return Err(Problem::unprocessable(error.to_string())),
        Err(RouteError::Stale(current)) => {
            let detail = format!("term {} is not above term {}", info.term, current.token.term);
            let conflict = Problem::new(StatusCode::CONFLICT).with_detail(detail);
            return Err(conflict.with("term", current.token.term).with("leader", describe(&current)));
        }
    }
    Ok(answer(&route.current().unwrap_or(leader)))
}

fn answer(leader: &Leader) -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(describe(leader))).into_response()
}

fn describe(leader: &Leader) -> LeaderInfo {
    LeaderInfo { term: leader.token.term, node: leader.token.holder, url: Some(leader.url.clone()) }
}
