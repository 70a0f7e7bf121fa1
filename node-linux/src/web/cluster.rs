//! Who leads, for machines.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use symphony_adapters::{
    database::Counts,
    http::{Problem, api::LeaderInfo, health::Readiness},
};

use super::{WebState, leadership::Leadership};

/// Answers must not be remembered: the next election changes them.
const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// `GET|HEAD /leader`: 200 from the promoted leader, 503 from others, with what they know.
pub(super) async fn leader(State(web): State<WebState>) -> Response {
    of(&web.leadership.current())
}

fn of(leadership: &Leadership) -> Response {
    let status = if leadership.promoted.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match leadership.info() {
        Some(info) => (status, NO_STORE, Json::<LeaderInfo>(info)).into_response(),
        None => Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("no leader is known")
            .with("term", leadership.term)
            .into_response(),
    }
}

/// Answer to `GET /v1/status`.
#[derive(Debug, Serialize)]
struct Status {
    node: u16,
    term: u64,
    leader: Option<u16>,
    leader_url: Option<String>,
    /// Whether this node may write.
    promoted: bool,
    readiness: Readiness,
    /// None while the database is away.
    counts: Option<Counts>,
}

/// `GET /v1/status`: the cluster as this node sees it.
pub(super) async fn status(State(web): State<WebState>) -> Response {
    let leadership = web.leadership.current();
    let counts = web.database.counts().await.ok();
    let status = Status {
        node: leadership.me,
        term: leadership.term,
        leader: leadership.leader,
        leader_url: leadership.leader_url,
        promoted: leadership.promoted.is_some(),
        readiness: web.health.report().status,
        counts,
    };
    (NO_STORE, Json(status)).into_response()
}

#[cfg(test)]
mod tests {
    use symphony_adapters::database::Token;

    use super::*;

    #[test]
    fn only_the_promoted_leader_answers_200() {
        let mut leadership = Leadership { term: 3, leader: Some(1), me: 1, promoted: None, leader_url: None };
        assert_eq!(of(&leadership).status(), StatusCode::SERVICE_UNAVAILABLE);
        leadership.promoted = Some(Token { term: 3, holder: 1 });
        assert_eq!(of(&leadership).status(), StatusCode::OK);
        leadership = Leadership { term: 4, leader: None, me: 1, promoted: None, leader_url: None };
        assert_eq!(of(&leadership).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
