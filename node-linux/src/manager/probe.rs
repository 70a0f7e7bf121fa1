//! Asks broker and database for signs of life, for readiness.

use std::{sync::Arc, time::Duration};

use symphony_adapters::{broker::Broker, database::Database, http::Dependency};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Time between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Reports on `broker` and `database` until `shutdown`.
pub(super) async fn run(
    (broker, broker_health): (Arc<dyn Broker>, Dependency),
    (database, database_health): (Database, Dependency),
    shutdown: CancellationToken,
) {
    let ask = async {
        loop {
            match broker.health() {
                Ok(()) => broker_health.up(),
                Err(error) => broker_health.down(error.to_string()),
            }
            match timeout(TIMEOUT, database.ping()).await {
                Ok(Ok(())) => database_health.up(),
                Ok(Err(error)) => database_health.down(error.to_string()),
                Err(_) => database_health.down("no answer in time"),
            }
            sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = ask => {}
    }
}
