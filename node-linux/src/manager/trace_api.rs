//! `GET /v1/trace?item=…`: where an item has been, as database and dead letters have it.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;
use symphony_adapters::{
    broker::{Broker, BrokerError, DeadLetter},
    database::{Database, Trace, TracedFile, TracedMessage},
    http::{
        Problem,
        api::{TraceResponse, TraceStep, TraceStepKind},
    },
    item::Item,
};

use super::unavailable::unavailable;

/// Dead letters that are looked into.
const LETTERS_MAX: usize = 1000;

/// The route.
pub(super) fn routes(database: Database, broker: Arc<dyn Broker>) -> Router {
    Router::new().route("/v1/trace", get(trace)).with_state((database, broker))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceQuery {
    item: String,
}

async fn trace(
    State((database, broker)): State<(Database, Arc<dyn Broker>)>,
    Query(TraceQuery { item }): Query<TraceQuery>,
) -> Result<Json<TraceResponse>, Problem> {
    let stored = database.trace(&item).await.map_err(unavailable)?;
    let dead = dead_letters(&*broker, &item).await.map_err(unavailable)?;
    let mut steps = stored.map(steps).unwrap_or_default();
    steps.extend(dead.into_iter().map(|letter| {
        let detail = format!("message {}: {}", letter.message.id, letter.reason);
        TraceStep { step: TraceStepKind::Dead, at_ms: letter.rejected_at_ms, detail }
    }));
    if steps.is_empty() {
        return Err(Problem::not_found(format!("nobody has seen an item {item:?}")));
    }
    let mut trace = TraceResponse { item, steps };
    trace.sort();
    Ok(Json(trace))
}

/// Letters that bear the item, or its name as their id.
async fn dead_letters(broker: &dyn Broker, item: &str) -> Result<Vec<DeadLetter>, BrokerError> {
    if broker.depth().await?.dead == 0 {
        return Ok(Vec::new());
    }
    let mut letters = broker.dead_letters(None, LETTERS_MAX).await?;
    letters.retain(|DeadLetter { message, .. }| {
        message.id == item || Item::from_message(&message.content_type, &message.body).is_ok_and(|it| it.id == item)
    });
    Ok(letters)
}

fn steps(trace: Trace) -> Vec<TraceStep> {
    let messages = trace.messages.into_iter().flat_map(of_message);
    messages.chain(trace.files.into_iter().flat_map(of_file)).collect()
}

fn of_message(message: TracedMessage) -> Vec<TraceStep> {
    let TracedMessage { message_id, scraped_at_ms, queued_at_ms, delivered_at_ms, stored_at_ms, term } = message;
    let times = [
        (TraceStepKind::Scraped, scraped_at_ms),
        (TraceStepKind::Queued, queued_at_ms),
        (TraceStepKind::Delivered, delivered_at_ms),
    ];
    let by = format!("message {message_id}");
    let mut steps: Vec<_> = times
        .into_iter()
        .filter(|(_, at_ms)| at_ms.is_some())
        .map(|(step, at_ms)| TraceStep { step, at_ms, detail: by.clone() })
        .collect();
    let detail = format!("{by}, in term {term}");
    steps.push(TraceStep { step: TraceStepKind::Stored, at_ms: Some(stored_at_ms), detail });
    steps
}

fn of_file(file: TracedFile) -> Vec<TraceStep> {
    let TracedFile { path, stored_at_ms, mail, mail_settled_at_ms } = file;
    let filed = TraceStep { step: TraceStepKind::Filed, at_ms: Some(stored_at_ms), detail: path.clone() };
    let mailed = mail.map(|state| {
        let detail = if state == "sent" { path } else { format!("{path}: mail {state}") };
        TraceStep { step: TraceStepKind::Mailed, at_ms: mail_settled_at_ms, detail }
    });
    std::iter::once(filed).chain(mailed).collect()
}
