//! `GET /v1/dead-letters`, `GET /v1/dead-letter?id=…`, and `POST /v1/dead-letters/replay?id=…` or `…?all=true`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use serde::Deserialize;
use symphony_adapters::{
    broker::{Broker, DeadLetter},
    http::{
        Problem,
        api::{DeadLetterInfo, DeadLetters, Replayed},
    },
};

use super::{
    unavailable::unavailable,
    which::{HowMany, Which},
};

/// The routes.
pub(super) fn routes(broker: Arc<dyn Broker>) -> Router {
    Router::new()
        .route("/v1/dead-letters", get(list))
        .route("/v1/dead-letter", get(show))
        .route("/v1/dead-letters/replay", post(replay))
        .with_state(broker)
}

async fn list(
    State(broker): State<Arc<dyn Broker>>,
    Query(query): Query<HowMany>,
) -> Result<Json<DeadLetters>, Problem> {
    let limit = query.limit()?;
    let total = broker.depth().await.map_err(unavailable)?.dead;
    let letters = broker.dead_letters(None, limit).await.map_err(unavailable)?;
    Ok(Json(DeadLetters { total, letters: letters.iter().map(info).collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    id: String,
}

async fn show(
    State(broker): State<Arc<dyn Broker>>,
    Query(ShowQuery { id }): Query<ShowQuery>,
) -> Result<Json<DeadLetterInfo>, Problem> {
    let letters = broker.dead_letters(Some(&id), 1).await.map_err(unavailable)?;
    let letter = letters.first().ok_or_else(|| unknown(&id))?;
    let body = String::from_utf8_lossy(&letter.message.body).into_owned();
    Ok(Json(DeadLetterInfo { body: Some(body), ..info(letter) }))
}

async fn replay(
    State(broker): State<Arc<dyn Broker>>,
    Query(which): Query<Which<String>>,
) -> Result<Json<Replayed>, Problem> {
    let id = which.one()?;
    let replayed = broker.replay(id.as_deref()).await.map_err(unavailable)?;
    tracing::info!(message_id = id, replayed, "dead letters replayed");
    match id {
        Some(id) if replayed == 0 => Err(unknown(&id)),
        _ => Ok(Json(Replayed { replayed })),
    }
}

fn info(letter: &DeadLetter) -> DeadLetterInfo {
    let DeadLetter { message, reason, rejected_at_ms } = letter;
    DeadLetterInfo {
        message_id: message.id.clone(),
        reason: reason.clone(),
        rejected_at_ms: *rejected_at_ms,
        content_type: message.content_type.clone(),
        size: message.body.len() as u64,
        body: None,
    }
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no dead letter {id:?}"))
}
