//! The web nodes, which can be stopped and started while everything else runs.

use std::{collections::BTreeMap, mem, net::SocketAddr};

use symphony_adapters::{driver::Status, tls::Tls};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::plan::{HeldPorts, PlannedNode};
use crate::{
    config::Config,
    keys::Hangups,
    roles::{RunError, listen, web::WebNode},
};

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
    tls: Tls,
    sites: BTreeMap<u16, Site>,
    states: Mutex<BTreeMap<u16, State>>,
    /// What each node knows; none while it is stopped.
    seen: watch::Sender<BTreeMap<u16, Option<watch::Receiver<Status>>>>,
}

/// Where a node runs, whether it does or not.
struct Site {
    config: Config,
    address: SocketAddr,
    _held: HeldPorts,
}

enum State {
    /// Not yet started; its address is taken for it.
    Bound(TcpListener),
    Running(Running),
    Stopped,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Nodes {
    pub(super) fn new(planned: BTreeMap<u16, PlannedNode>, tls: Tls) -> Self {
        let seen = watch::Sender::new(planned.keys().map(|id| (*id, None)).collect());
        let (mut sites, mut states) = (BTreeMap::new(), BTreeMap::new());
        for (id, PlannedNode { config, address, listener, held }) in planned {
            sites.insert(id, Site { config, address, _held: held });
            states.insert(id, State::Bound(listener));
        }
        Self { tls, sites, states: Mutex::new(states), seen }
    }

    pub(super) async fn start_all(&self) -> Result<(), RunError> {
        for id in self.sites.keys() {
            match self.start(*id).await {
                Err(NodeError::Failed { source, .. }) => return Err(source),
                Err(NodeError::Unknown(_) | NodeError::Running(_) | NodeError::Stopped(_)) | Ok(()) => {}
            }
        }
        Ok(())
    }

    pub(super) async fn stop_all(&self) {
        for id in self.sites.keys() {
            match self.stop(*id).await {
                Ok(()) | Err(NodeError::Stopped(_)) => {}
                Err(error) => tracing::warn!(%error, "a node did not stop cleanly"),
            }
        }
    }

    /// Starts a node that is not running, with what its disk has.
    pub(super) async fn start(&self, id: u16) -> Result<(), NodeError> {
        let site = self.sites.get(&id).ok_or(NodeError::Unknown(id))?;
        let mut states = self.states.lock().await;
        let state = states.get_mut(&id).ok_or(NodeError::Unknown(id))?;
        let failed = |source| NodeError::Failed { id, source };
        let listener = match mem::replace(state, State::Stopped) {
            State::Bound(listener) => listener,
            State::Stopped => listen(site.address).await.map_err(failed)?,
            running @ State::Running(_) => {
                *state = running;
                return Err(NodeError::Running(id));
            }
        };
        let stop = CancellationToken::new();
        let node = WebNode::start(&site.config, &self.tls, listener, &stop).await.map_err(failed)?;
        let Some(node) = node else { return Err(NodeError::Stopped(id)) };
        let status = node.status();
        let task = tokio::spawn(node.serve(Hangups::none(), stop.clone()));
        *state = State::Running(Running { stop, task });
        self.seen.send_modify(|seen| drop(seen.insert(id, Some(status))));
        Ok(())
    }

    /// Stops a node as a signal would stop its process.
    pub(super) async fn stop(&self, id: u16) -> Result<(), NodeError> {
        let mut states = self.states.lock().await;
        let state = states.get_mut(&id).ok_or(NodeError::Unknown(id))?;
        let State::Running(Running { stop, task }) = mem::replace(state, State::Stopped) else {
            return Err(NodeError::Stopped(id));
        };
        // First of all: whoever asked for the stop may not wait for its end.
        self.seen.send_modify(|seen| drop(seen.insert(id, None)));
        stop.cancel();
        let ended = task.await;
        let failed = |source| NodeError::Failed { id, source };
        ended.map_err(|error| failed(RunError::Part(Box::new(error))))?.map_err(failed)
    }

    /// What each node knows at the moment; none of those that are stopped.
    pub(super) fn statuses(&self) -> BTreeMap<u16, Option<Status>> {
        let seen = self.seen.borrow();
        seen.iter().map(|(id, status)| (*id, status.as_ref().map(|status| status.borrow().clone()))).collect()
    }

    /// Base URL of a node's web server.
    pub(super) fn url(&self, id: u16) -> Option<String> {
        self.sites.get(&id).map(|site| format!("http://{}", site.address))
    }

    /// The node that leads in the latest term.
    pub(super) fn leader(&self) -> Option<Status> {
        self.statuses().into_values().flatten().filter(Status::is_leader).max_by_key(|status| status.term)
    }
}
