//! The one owner of an [`Endpoint`] on Linux: socket, store and timer in one loop, on a thread of its own.
//!
//! The loop awaits nothing else, so a stuck broker, database or mail server never delays a heartbeat. Others see a
//! [`Status`] and send [`Command`]s.

mod clock;
mod event_loop;

use std::{io, thread};

use symphony_core::{Command, CommandError, Config, Endpoint, MEMBERS_MAX, NodeId, Role, Saved};
use thiserror::Error;
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot, watch},
};

use crate::{store::Store, udp::AddressBook};
use clock::Clock;
use event_loop::EventLoop;

/// Peers that a node on Linux may have.
pub const PEERS_MAX: usize = MEMBERS_MAX - 1;

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
    /// Why things are as they are, for people.
    pub reason: String,
    /// Why the record cannot be saved; such a node votes for nobody and hands leadership over.
    pub store_error: Option<String>,
}

impl Status {
    /// Whether this node leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
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
    commands: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
    thread: thread::JoinHandle<()>,
}

/// A command on its way to the loop.
#[derive(Debug)]
struct Request {
    command: Command,
    answer: oneshot::Sender<Result<(), CommandError>>,
}

impl Driver {
    /// Starts an election on a thread of its own.
    ///
    /// # Errors
    /// [`DriverError::Start`].
    pub fn start(
        config: Config<PEERS_MAX>,
        (store, saved): (Store, Saved),
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
            reason: "just started".into(),
            store_error: None,
        };
        let (status_sender, status) = watch::channel(status);
        let (commands, requests) = mpsc::channel(8);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DriverError::Start)?;
        let thread = thread::Builder::new()
            .name(format!("election-{}", id.0))
            .spawn(move || {
                runtime.block_on(async move {
                    match UdpSocket::from_std(socket) {
                        Ok(socket) => {
                            EventLoop::new(endpoint, clock, store, socket, addresses, status_sender, requests)
                                .run()
                                .await;
                        }
                        Err(error) => tracing::error!(%error, "the election's socket is unusable"),
                    }
                });
            })
            .map_err(DriverError::Start)?;
        Ok(Self { commands, status, thread })
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
        let (answer, answered) = oneshot::channel();
        self.commands.send(Request { command, answer }).await.map_err(|_| DriverError::Ended)?;
        Ok(answered.await.map_err(|_| DriverError::Ended)??)
    }

    /// Campaigns no more, and hands leadership over if this node has it: returns when it leads no longer, or after
    /// `patience`.
    pub async fn resign(&self, patience: std::time::Duration) {
        if self.command(Command::Resign).await.is_err() {
            return;
        }
        let mut status = self.status();
        let handed_over = status.wait_for(|status| !status.is_leader());
        if tokio::time::timeout(patience, handed_over).await.is_err() {
            tracing::warn!("no other node has taken the leadership over");
        }
    }

    /// Ends without a word to the others, and returns when socket and store are closed.
    ///
    /// # Errors
    /// [`DriverError::Ended`] if the thread had panicked.
    pub async fn stop(self) -> Result<(), DriverError> {
        drop(self.commands);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        joined.map_err(|_| DriverError::Ended)?.map_err(|_| DriverError::Ended)
    }
}
