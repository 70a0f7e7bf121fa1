//! The web nodes, which can be stopped and started while everything else runs.

use std::collections::BTreeMap;

use symphony_adapters::driver::Status;
use thiserror::Error;
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::plan::PlannedNode;
use crate::roles::{RunError, listen, web::WebNode};

/// Why a node was not stopped or started.
#[derive(Debug, Error)]
pub(super) enum NodeError {
    #[error("there is no node {0}")]
    Unknown(u16),
    #[error("node {0} is running")]
    Running(u16),
    #[error("node {0} is stopped")]
    Stopped(u16),
    #[error("node {id}: {source}")]
    Failed { id: u16, source: RunError },
}

pub(super) struct Nodes {
    planned: BTreeMap<u16, PlannedNode>,
    running: Mutex<BTreeMap<u16, Running>>,
    /// What each node knows; none while it is stopped.
    seen: watch::Sender<BTreeMap<u16, Option<watch::Receiver<Status>>>>,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Nodes {
    pub(super) fn new(planned: BTreeMap<u16, PlannedNode>) -> Self {
        let seen = watch::Sender::new(planned.keys().map(|id| (*id, None)).collect());
        Self { planned, running: Mutex::default(), seen }
    }

    pub(super) async fn start_all(&self) -> Result<(), RunError> {
        for id in self.planned.keys() {
            match self.start(*id).await {
                Err(NodeError::Failed { source, .. }) => return Err(source),
                Err(NodeError::Unknown(_) | NodeError::Running(_) | NodeError::Stopped(_)) | Ok(()) => {}
            }
        }
        Ok(())
    }

    pub(super) async fn stop_all(&self) {
        for id in self.planned.keys() {
            match self.stop(*id).await {
                Ok(()) | Err(NodeError::Stopped(_)) => {}
                Err(error) => tracing::warn!(%error, "a node did not stop cleanly"),
            }
        }
    }

    /// Starts a stopped node with what its disk has.
    pub(super) async fn start(&self, id: u16) -> Result<(), NodeError> {
        let planned = self.planned.get(&id).ok_or(NodeError::Unknown(id))?;
        let mut running = self.running.lock().await;
        if running.contains_key(&id) {
            return Err(NodeError::Running(id));
        }
        let failed = |source| NodeError::Failed { id, source };
        let stop = CancellationToken::new();
        let listener = listen(planned.address).await.map_err(failed)?;
        let node = WebNode::start(&planned.config, listener, &stop).await.map_err(failed)?;
        let Some(node) = node else { return Err(NodeError::Stopped(id)) };
        let status = node.status();
        let task = tokio::spawn(node.serve(stop.clone()));
        running.insert(id, Running { stop, task });
        self.seen.send_modify(|seen| drop(seen.insert(id, Some(status))));
        Ok(())
    }

    /// Stops a node as a signal would stop its process.
    pub(super) async fn stop(&self, id: u16) -> Result<(), NodeError> {
        if !self.planned.contains_key(&id) {
            return Err(NodeError::Unknown(id));
        }
        let mut running = self.running.lock().await;
        let Running { stop, task } = running.remove(&id).ok_or(NodeError::Stopped(id))?;
        stop.cancel();
        let ended = task.await;
        self.seen.send_modify(|seen| drop(seen.insert(id, None)));
        let failed = |source| NodeError::Failed { id, source };
        ended.map_err(|error| failed(RunError::Part(Box::new(error))))?.map_err(failed)
    }

    /// What each node knows at the moment; none of those that are stopped.
    pub(super) fn statuses(&self) -> BTreeMap<u16, Option<Status>> {
        let seen = self.seen.borrow();
        seen.iter().map(|(id, status)| (*id, status.as_ref().map(|status| status.borrow().clone()))).collect()
    }

    /// The node that leads in the latest term.
    pub(super) fn leader(&self) -> Option<Status> {
        self.statuses().into_values().flatten().filter(Status::is_leader).max_by_key(|status| status.term)
    }
}
