//! Web role: the shared database's face, for machines under `/v1` and for people under `/app`.
//!
//! Every node answers reads. Only the promoted leader writes; the others answer 421 with the leader they know.

mod authority;
mod cluster;
mod failure;
mod files;
mod items;
pub mod leadership;
mod pages;

use std::{io, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use symphony_adapters::{
    database::Database,
    http::{self, Bearer, Dependency, Health, Listener},
};
use tokio::{
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use leadership::LeadershipHandle;

/// Time between two signs of life asked of the database.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Time between two counts of what the database holds.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// What the web role stands on. Cheap to clone.
#[derive(Clone)]
pub struct WebState {
    /// The shared database.
    pub database: Database,
    /// Who leads, and whether it is us; see [`leadership::start`].
    pub leadership: LeadershipHandle,
    /// What requests that change something carry.
    pub bearer: Bearer,
    /// Where the state of the database is reported.
    pub health: Health,
}

/// Serves the web role, and the routes of `others` beside its own, until `shutdown`; then finishes what is in flight.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: impl Into<Listener>,
    web: WebState,
    others: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let dependency = web.health.dependency("database");
    let watching =
        [tokio::spawn(watch_database(web.database.clone(), dependency)), tokio::spawn(count_rows(web.clone()))];
    let served = http::serve(listener, router(web).merge(others), shutdown).await;
    watching.iter().for_each(JoinHandle::abort);
    served
}

/// All routes of the web role.
pub fn router(web: WebState) -> Router {
    let operations = http::operations(&web.health);
    let machines = Router::new()
        .route(
            "/v1/items",
            get(items::list).merge(post(items::store).layer(DefaultBodyLimit::max(items::BODY_SIZE_MAX))),
        )
        .route("/v1/items/{id}", get(items::one))
        .route(
            "/v1/files",
            get(files::list).merge(post(files::store).layer(DefaultBodyLimit::max(files::BODY_SIZE_MAX))),
        )
        .route("/v1/files/{sha256}", get(files::one))
        .route("/v1/files/{sha256}/content", get(files::content))
        .route("/v1/status", get(cluster::status))
        .route("/leader", get(cluster::leader));
    http::guarded(machines, web.bearer.clone()).merge(pages::routes()).with_state(web).merge(operations)
}

/// Reports the state of the database, for ever.
async fn watch_database(database: Database, dependency: Dependency) {
    let mut ticks = every(PING_EVERY);
    loop {
        ticks.tick().await;
        match database.ping().await {
            Ok(()) => dependency.up(),
            Err(error) => dependency.down(error.to_string()),
        }
    }
}

/// Measures how much the database holds, for ever. A table that cannot be read now does not make the node less ready.
async fn count_rows(web: WebState) {
    let node = web.leadership.current().me.to_string();
    let items = metrics::gauge!("symphony_items", "node" => node.clone());
    let files = metrics::gauge!("symphony_files", "node" => node);
    let mut ticks = every(COUNT_EVERY);
    loop {
        ticks.tick().await;
        if let Ok(counts) = web.database.counts().await {
            items.set(as_gauge(counts.items));
            files.set(as_gauge(counts.files));
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A gauge is a float: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 may be shown rounded")]
fn as_gauge(count: u64) -> f64 {
    count as f64
}
