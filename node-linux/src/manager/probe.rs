//! Asks broker and database for signs of life, for readiness, and measures the queue.

use std::{sync::Arc, time::Duration};

use metrics::gauge;
use symphony_adapters::{broker::Broker, database::Database, http::Dependency};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Time between two questions.
const EVERY: Duration = Duration::from_secs(1);
/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Time between two measurements of the queue.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

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
        () = measure(&*broker) => {}
    }
}

/// How long the queue is, for ever; while the broker is away, the figures stay.
async fn measure(broker: &dyn Broker) {
    let as_gauge = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    loop {
        match timeout(TIMEOUT, broker.depth()).await {
            Ok(Ok(depth)) => {
                gauge!("symphony_queue_messages").set(as_gauge(depth.ready));
                gauge!("symphony_dead_letters").set(as_gauge(depth.dead));
            }
            Ok(Err(error)) => tracing::debug!(%error, "the queue cannot be measured"),
            Err(_) => tracing::debug!("the queue cannot be measured: no answer in time"),
        }
        sleep(MEASURE_EVERY).await;
    }
}
