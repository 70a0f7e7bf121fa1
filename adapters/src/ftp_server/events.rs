//! What clients did to the files, for the log.

use async_trait::async_trait;
use libunftp::notification::{DataEvent, DataListener, EventMeta};
use tracing::{debug, info};

/// Writes changes to the log. Paths are a client's words and are quoted.
#[derive(Debug)]
pub(super) struct Events;

#[async_trait]
impl DataListener for Events {
    async fn receive_data_event(&self, event: DataEvent, meta: EventMeta) {
        let user = meta.username;
        match event {
            DataEvent::Put { path, bytes } => info!(?path, bytes, ?user, "a file was uploaded"),
            DataEvent::Renamed { from, to } => info!(?from, ?to, ?user, "a file was renamed"),
            DataEvent::Deleted { path } => info!(?path, ?user, "a file was deleted"),
            DataEvent::Got { path, bytes } => info!(?path, bytes, ?user, "a file was downloaded"),
            DataEvent::MadeDir { path } => debug!(?path, ?user, "a folder was created"),
            DataEvent::RemovedDir { path } => debug!(?path, ?user, "a folder was removed"),
        }
    }
}
