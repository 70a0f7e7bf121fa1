//! `GET /v1/trace?item=…` of the scraper: an item's way to the queue, as the journals have it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;
use symphony_adapters::http::{
    Problem,
    api::{TraceResponse, TraceStep, TraceStepKind},
};
use tokio::fs;

use super::journal::{Ledger, Publication, Published};

/// When to ask again for what could not be read.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The route, for the journals below the folder `state`.
pub fn routes(state: PathBuf) -> Router {
    Router::new().route("/v1/trace", get(trace)).with_state(state)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceQuery {
    item: String,
}

async fn trace(
    State(state): State<PathBuf>,
    Query(TraceQuery { item }): Query<TraceQuery>,
) -> Result<Json<TraceResponse>, Problem> {
    let steps = steps(&state, &item).await;
    let steps = steps.map_err(|error| Problem::unavailable(error.to_string(), RETRY_AFTER))?;
    if steps.is_empty() {
        return Err(Problem::not_found(format!("this scraper has not published an item {item:?}")));
    }
    let mut trace = TraceResponse { item, steps };
    trace.sort();
    Ok(Json(trace))
}

/// Steps of the item's latest messages, by the journals of all sites.
async fn steps(state: &Path, item: &str) -> io::Result<Vec<TraceStep>> {
    let mut steps = Vec::new();
    let mut sites = fs::read_dir(state).await?;
    while let Some(site) = sites.next_entry().await? {
        if site.file_type().await?.is_dir() {
            let ledger = Ledger::read(&site.path().join("journal.jsonl")).await?;
            steps.extend(ledger.published.get(item).into_iter().flat_map(of_published));
            steps.extend(ledger.pending.get(item).into_iter().flat_map(of_pending));
        }
    }
    Ok(steps)
}

fn of_published(published: &Published) -> [TraceStep; 2] {
    let detail = format!("message {}", published.message_id);
    let scraped_at_ms = Some(published.scraped_at_ms);
    let end = match &published.refused {
        None => TraceStep { step: TraceStepKind::Queued, at_ms: published.queued_at_ms, detail: detail.clone() },
        Some(reason) => TraceStep {
            step: TraceStepKind::Dead,
            at_ms: scraped_at_ms,
            detail: format!("{detail}: no queue takes it: {reason}"),
        },
    };
    [TraceStep { step: TraceStepKind::Scraped, at_ms: scraped_at_ms, detail }, end]
}

fn of_pending(publication: &Publication) -> [TraceStep; 2] {
    let detail = format!("message {}", publication.message_id);
    let waiting = format!("{detail}: the queue has not confirmed it");
    [
        TraceStep { step: TraceStepKind::Scraped, at_ms: Some(publication.item.scraped_at_ms), detail },
        TraceStep { step: TraceStepKind::Queued, at_ms: None, detail: waiting },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use symphony_adapters::item::Item;

    use super::{
        super::journal::{Journal, News, Sent},
        *,
    };

    #[tokio::test]
    async fn an_item_is_traced_to_the_queue_and_no_further() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("site");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(state.path().join("lock"), "").unwrap();
        let (mut journal, ledger) = Journal::open(&folder.join("journal.jsonl")).await.unwrap();
        let item = |id: &str| Item {
            id: id.to_owned(),
            site: "site".to_owned(),
            url: "http://h.example/".to_owned(),
            title: "Title".to_owned(),
            fields: BTreeMap::new(),
            scraped_at_ms: 7,
        };
        let publications = ["sent", "waiting", "large"].map(|id| match ledger.news(&item(id)) {
            News::New(publication) => publication,
            other => panic!("{other:?}"),
        });
        journal.sending(&publications).await.unwrap();
        journal.sent(&Sent::of(&publications[0])).await.unwrap();
        journal.sent(&Sent::refused(&publications[2], "too long".to_owned())).await.unwrap();

        let sent = steps(state.path(), "sent").await.unwrap();
        assert_eq!(
            sent.iter().map(|step| step.step).collect::<Vec<_>>(),
            [TraceStepKind::Scraped, TraceStepKind::Queued]
        );
        assert!(sent[0].at_ms == Some(7) && sent[1].at_ms > Some(7), "{sent:?}");
        let waiting = steps(state.path(), "waiting").await.unwrap();
        assert!(waiting[1].at_ms.is_none() && waiting[1].detail.contains("not confirmed"), "{waiting:?}");
        let large = steps(state.path(), "large").await.unwrap();
        assert!(large[1].step == TraceStepKind::Dead && large[1].detail.contains("too long"), "{large:?}");
        assert_eq!(steps(state.path(), "other").await.unwrap(), []);
    }
}
