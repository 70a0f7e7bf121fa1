//! What a role cannot begin without, waited for with its health endpoints open.

use std::time::Duration;

use symphony_adapters::{
    database::{Database, DatabaseError},
    http::{Health, Listener, operations, serve},
    tls::Tls,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::RunError;
use crate::{backoff::Backoff, config};

/// Waits between attempts to open the database.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Opens the database, again and again while it is away; meanwhile `listener` tells that the role is not ready. `None`
/// if `shutdown` came first.
pub(super) async fn open_database(
    settings: &config::Database,
    tls: &Tls,
    health: &Health,
    listener: Listener,
    shutdown: &CancellationToken,
) -> Result<Option<(Database, Listener)>, RunError> {
    // Both handles are one socket: no connection is refused when the role's own server takes over.
    let (listener, preliminary) = listener.split()?;
    let opened = CancellationToken::new();
    let server = tokio::spawn(serve(preliminary, operations(health), opened.clone()));
    let dependency = health.dependency("database");
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    let database = loop {
        match Database::open_over(settings.url.expose(), tls).await {
            Ok(database) => break Some(database),
            Err(error @ DatabaseError::Unavailable(_)) => {
                tracing::warn!(%error, "waiting for the database");
                dependency.down(error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = shutdown.cancelled() => break None,
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    };
    opened.cancel();
    finish(server).await?;
    match database {
        Some(database) => Ok(Some((database, listener))),
        None => Ok(None),
    }
}

/// Serves health and metrics for a role without an HTTP server of its own.
pub(super) fn serve_operations(
    listener: Listener,
    health: &Health,
    shutdown: CancellationToken,
) -> JoinHandle<std::io::Result<()>> {
    tokio::spawn(serve(listener, operations(health), shutdown))
}

/// Waits for a server's end.
pub(super) async fn finish(server: JoinHandle<std::io::Result<()>>) -> Result<(), RunError> {
    server.await.map_err(|error| RunError::Part(Box::new(error)))?.map_err(RunError::System)
}
