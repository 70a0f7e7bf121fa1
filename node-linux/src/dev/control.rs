//! `GET /v1/dev/nodes`, `POST /v1/dev/nodes/{id}/stop` and `…/start`, and `POST /v1/dev/nodes/leader/stop`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::Serialize;
use symphony_adapters::http::{Bearer, Problem, guarded};

use super::nodes::{NodeError, Nodes};

#[derive(Serialize)]
struct NodeView {
    id: u16,
    /// Base URL of its web server, whether that runs or not.
    url: String,
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    term: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<u16>,
}

/// The routes, of which those that change something want the token.
pub(super) fn routes(nodes: Arc<Nodes>, bearer: Bearer) -> Router {
    let routes = Router::new()
        .route("/v1/dev/nodes", get(list))
        .route("/v1/dev/nodes/leader/stop", post(stop_leader))
        .route("/v1/dev/nodes/{id}/stop", post(stop))
        .route("/v1/dev/nodes/{id}/start", post(start));
    guarded(routes, bearer).with_state(nodes)
}

async fn list(State(nodes): State<Arc<Nodes>>) -> Json<Vec<NodeView>> {
    Json(
        nodes
            .statuses()
            .into_iter()
            .map(|(id, status)| NodeView {
                id,
                url: nodes.url(id).unwrap_or_default(),
                running: status.is_some(),
                role: status.as_ref().map(|status| status.role.to_string()),
                term: status.as_ref().map(|status| status.term),
                leader: status.and_then(|status| status.leader).map(|leader| leader.0),
            })
            .collect(),
    )
}

async fn stop(State(nodes): State<Arc<Nodes>>, Path(id): Path<u16>) -> Result<StatusCode, Problem> {
    nodes.stop(id).await.map(|()| StatusCode::NO_CONTENT).map_err(|error| problem(&error))
}

async fn stop_leader(state: State<Arc<Nodes>>) -> Result<StatusCode, Problem> {
    match state.leader() {
        Some(leader) => stop(state, Path(leader.id.0)).await,
        None => Err(Problem::new(StatusCode::CONFLICT).with_detail("no node leads at this moment".to_owned())),
    }
}

async fn start(State(nodes): State<Arc<Nodes>>, Path(id): Path<u16>) -> Result<StatusCode, Problem> {
    nodes.start(id).await.map(|()| StatusCode::NO_CONTENT).map_err(|error| problem(&error))
}

fn problem(error: &NodeError) -> Problem {
    let status = match error {
        NodeError::Unknown(_) => StatusCode::NOT_FOUND,
        NodeError::Running(_) | NodeError::Stopped(_) => StatusCode::CONFLICT,
        NodeError::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status).with_detail(error.to_string())
}
