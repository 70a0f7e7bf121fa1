//! The one owner of an [`Endpoint`] on Linux: socket, store and timer in one loop, on a thread of its own.
//!
//! The loop awaits nothing else, so a stuck broker, database or mail server never delays a heartbeat. Others see a
//! [`Status`] and send [`Command`]s.

mod clock;
mod event_loop;
mod tally;
mod timer;

use std::{io, thread};

use symphony_core::{Alarm, Command, CommandError, Config, Endpoint, KeyRing, NodeId, Retirement, Role};
use thiserror::Error;
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot, watch},
};

pub use crate::store::PEERS_MAX;
use crate::{
    store::{Record, Store},
    udp::AddressBook,
};
use clock::Clock;
use event_loop::EventLoop;
use timer::Timer;

/// What one node knows of the election.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Latest term known.
    pub term: u64,
    /// What this node is.
    pub role: Role,
    /// Who leads in that term.
    pub leader: Option<NodeId>,
    /// How long this node is certain to lead alone.
    pub lease: Option<Lease>,
    /// Why things are as they are, and what stands in the way of a change, for people.
    pub reason: String,
    /// Why the record cannot be saved; such a node votes for nobody and hands leadership over.
    pub store_error: Option<String>,
    /// What is wrong with the cluster's identities, this node's among them.
    pub alarms: Vec<Alarm>,
}

impl Status {
    /// Whether this node leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// Why this node has fallen silent for good, if it has.
    #[must_use]
    pub fn retirement(&self) -> Option<Retirement> {
        self.alarms.iter().find_map(|alarm| match alarm {
            Alarm::Retired(why) => Some(*why),
            _ => None,
        })
    }
}

/// The time until which a leader is certain to be the only one; it goes on running while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    clock: Clock,
    until: symphony_core::Instant,
}

impl Lease {
    /// What is left of it.
    #[must_use]
    pub fn remaining(&self) -> Option<std::time::Duration> {
        let left = self.until.checked_duration_since(self.clock.now())?;
        (left.as_ticks() > 0).then(|| std::time::Duration::from_micros(left.as_micros()))
    }
}

/// Why a driver did not start or did not carry out a command.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The system gave no thread or no clock.
    #[error("the election's thread did not start: {0}")]
    Start(#[source] io::Error),
    /// The election said no.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The driver has ended.
    #[error("the election has ended")]
    Ended,
}

/// A running election. Dropped, it ends without a word to the others.
#[derive(Debug)]
pub struct Driver {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
    thread: thread::JoinHandle<()>,
}

/// Sends commands to a running election, which ends without regard to it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Commander {
    requests: mpsc::WeakSender<Request>,
}

impl Commander {
    /// Carries out a command.
    ///
    /// # Errors
    /// [`DriverError::Command`] as the election said, [`DriverError::Ended`].
    pub async fn command(&self, command: Command) -> Result<(), DriverError> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.upgrade().ok_or(DriverError::Ended)?;
        requests.send(Request::Command { command, answer }).await.map_err(|_| DriverError::Ended)?;
        Ok(answered.await.map_err(|_| DriverError::Ended)??)
    }
}

/// What is asked of the loop.
#[derive(Debug)]
enum Request {
    Command { command: Command, answer: oneshot::Sender<Result<(), CommandError>> },
    Keys { keys: KeyRing, answer: oneshot::Sender<()> },
}

impl Driver {
    /// Starts an election on a thread of its own.
    ///
    /// # Errors
    /// [`DriverError::Start`].
    pub fn start(
        config: Config<PEERS_MAX>,
        (store, saved): (Store, Record),
        socket: UdpSocket,
        addresses: watch::Receiver<AddressBook>,
    ) -> Result<Self, DriverError> {
        let clock = Clock::start();
        let socket = socket.into_std().map_err(DriverError::Start)?;
        let id = config.id();
        let endpoint = Endpoint::new(config, saved, clock.now());
        let status = Status {
            id,
            term: endpoint.term().0,
            role: endpoint.role(),
            leader: None,
            lease: None,
            reason: event_loop::reason(endpoint.stats()),
            store_error: None,
            alarms: endpoint.alarms().collect(),
        };
        let (status_sender, status) = watch::channel(status);
        let (requests, asked) = mpsc::channel(8);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DriverError::Start)?;
        let (socket, timer) = {
            let _context = runtime.enter();
            (UdpSocket::from_std(socket).map_err(DriverError::Start)?, Timer::new().map_err(DriverError::Start)?)
        };
        let event_loop = EventLoop::new(endpoint, (clock, timer), store, socket, addresses, status_sender, asked);
        let thread = thread::Builder::new()
            .name(format!("election-{}", id.0))
            .spawn(move || runtime.block_on(Box::pin(event_loop.run())))
            .map_err(DriverError::Start)?;
        Ok(Self { requests, status, thread })
    }

    /// What the node knows, whenever it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// [`DriverError::Command`] as the election said, [`DriverError::Ended`].
    pub async fn command(&self, command: Command) -> Result<(), DriverError> {
        self.commander().command(command).await
    }

    /// A way to send commands from elsewhere.
    #[must_use]
    pub fn commander(&self) -> Commander {
        Commander { requests: self.requests.downgrade() }
    }

    /// Changes the cluster's keys, from the next datagram on.
    ///
    /// # Errors
    /// [`DriverError::Ended`].
    pub async fn set_keys(&self, keys: KeyRing) -> Result<(), DriverError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Keys { keys, answer }).await.map_err(|_| DriverError::Ended)?;
        answered.await.map_err(|_| DriverError::Ended)
    }

    /// Campaigns no more, and hands leadership over if this node has it: returns when it leads no longer, or after
    /// `patience`.
    pub async fn resign(&self, patience: std::time::Duration) {
        let mut status = self.status();
        let handed_over = async {
            if self.command(Command::Resign).await.is_ok() {
                // An error is a driver that has ended.
                let _ = status.wait_for(|status| !status.is_leader()).await;
            }
        };
        if tokio::time::timeout(patience, handed_over).await.is_err() {
            tracing::warn!("no other node has taken the leadership over");
        }
    }

    /// Ends without a word to the others, and returns when socket and store are closed.
    ///
    /// # Errors
    /// [`DriverError::Ended`] if the thread had panicked.
    pub async fn stop(self) -> Result<(), DriverError> {
        drop(self.requests);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        joined.map_err(|_| DriverError::Ended)?.map_err(|_| DriverError::Ended)
    }
}
