//! A connection that is rebuilt for ever: the supervisor.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, Event};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backoff::{BACKOFF_MAX, Backoff};
use super::dial::{self, Wire};
use super::publisher::Lanes;
use super::topology::{Topology, explain};
use super::{NAME, REPLY_TIMEOUT};
use crate::broker::{BrokerError, telemetry};
use crate::tls::Tls;

/// Between two looks at a connection whose end lapin did not announce.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A supervised connection. Dropping it ends the supervisor.
pub(super) struct Link {
    state: watch::Receiver<State>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// One connection, from handshake to loss.
pub(super) struct Session {
    connection: Connection,
    /// Channels in confirm mode, for publishing.
    pub(super) lanes: Lanes,
    /// After the connection: lapin's goodbye, if any, was queued before the socket is shut.
    _wire: Wire,
}

enum State {
    Down(String),
    Up(Arc<Session>),
    Closed,
}

impl Link {
    /// Starts connecting and returns at once; `purpose` shows in RabbitMQ's list of connections.
    pub(super) fn spawn(uri: AMQPUri, topology: Topology, tls: Tls, purpose: &'static str) -> Self {
        let (sender, state) = watch::channel(State::Down("connecting".into()));
        let stop = CancellationToken::new();
        let supervisor = Supervisor { uri, topology, tls, purpose, state: sender, stop: stop.clone() };
        tokio::spawn(supervisor.run());
        Self { state, _stop_on_drop: stop.clone().drop_guard(), stop }
    }

    /// The connection, if there is one now.
    pub(super) fn session(&self) -> Result<Arc<Session>, BrokerError> {
        match &*self.state.borrow() {
            State::Up(session) if session.alive() => Ok(session.clone()),
            State::Up(_) => Err(BrokerError::Disconnected("the connection was lost".into())),
            State::Down(reason) => Err(BrokerError::Disconnected(reason.clone())),
            State::Closed => Err(BrokerError::Disconnected("closed".into())),
        }
    }

    /// Waits for a connection: for ever, once closed.
    pub(super) async fn connected(&self) -> Arc<Session> {
        let mut state = self.state.clone();
        loop {
            if let State::Up(session) = &*state.borrow_and_update()
                && session.alive()
            {
                return session.clone();
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// `Err` while there is no connection, or one that RabbitMQ does not let publish.
    pub(super) fn health(&self) -> Result<(), BrokerError> {
        self.session()?.check_blocked()
    }

    /// Closes the connection and waits for that, within bounds.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        let mut state = self.state.clone();
        // An error means that the supervisor is gone, which is what is waited for.
        let _ = timeout(REPLY_TIMEOUT * 2, state.wait_for(|state| matches!(state, State::Closed))).await;
    }
}

impl Session {
    /// A new channel, opened.
    pub(super) async fn channel(&self) -> Result<Channel, lapin::Error> {
        self.connection.create_channel().await
    }

    /// `Err` while RabbitMQ holds publishers back, out of memory or disk: lapin then writes nothing at all.
    pub(super) fn check_blocked(&self) -> Result<(), BrokerError> {
        if self.connection.status().blocked() {
            return Err(BrokerError::Disconnected(
                "the broker blocks publishers: it is short of memory or disk".into(),
            ));
        }
        Ok(())
    }

    /// Whether lapin believes in it.
    pub(super) fn alive(&self) -> bool {
        self.connection.status().connected()
    }
}

struct Supervisor {
    uri: AMQPUri,
    topology: Topology,
    tls: Tls,
    purpose: &'static str,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = Backoff::default();
        let mut had_connection = false;
        while let Some(attempt) = self.stop.run_until_cancelled(self.establish()).await {
            let reason = match attempt {
                Ok(session) => {
                    tracing::info!(purpose = self.purpose, "connected to the broker");
                    if std::mem::replace(&mut had_connection, true) {
                        telemetry::reconnected(NAME);
                    }
                    let since = Instant::now();
                    let session = Arc::new(session);
                    self.state.send_replace(State::Up(session.clone()));
                    let Some(reason) = self.stop.run_until_cancelled(watch_over(&session)).await else {
                        say_goodbye(&session.connection).await;
                        break;
                    };
                    if since.elapsed() > BACKOFF_MAX {
                        backoff.reset();
                    }
                    reason
                }
                Err(reason) => reason,
            };
            let wait = backoff.next();
            tracing::warn!(purpose = self.purpose, reason, ?wait, "no connection to the broker");
            self.state.send_replace(State::Down(reason));
            if self.stop.run_until_cancelled(sleep(wait)).await.is_none() {
                break;
            }
        }
        self.state.send_replace(State::Closed);
    }

    /// A connection with its queues declared, or why there is none.
    async fn establish(&self) -> Result<Session, String> {
        let name = format!("symphony {} {}", self.topology.queue(), self.purpose);
        let (connection, wire) = dial::connect(&self.uri, &name, &self.tls).await.map_err(|error| explain(&error))?;
        let declared = timeout(REPLY_TIMEOUT, async {
            let channel = connection.create_channel().await?;
            self.topology.declare(&channel).await
        });
        let reason = match declared.await {
            Ok(Ok(_)) => return Ok(Session { connection, lanes: Lanes::default(), _wire: wire }),
            Ok(Err(error)) => explain(&error),
            Err(_) => "the broker did not declare the queues in time".into(),
        };
        say_goodbye(&connection).await;
        Err(reason)
    }
}

/// Returns when the connection is lost, with the reason.
async fn watch_over(session: &Session) -> String {
    let mut events = std::pin::pin!(session.connection.events_listener());
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reason = "the connection was lost".to_owned();
    while session.alive() {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Error(error)) => reason = explain(&error),
                Some(Event::ConnectionBlocked(why)) => tracing::warn!(why, "the broker blocks publishers"),
                Some(Event::ConnectionUnblocked) => tracing::info!("the broker takes messages again"),
                Some(_) => {}
                None => break,
            },
            _ = look.tick() => {}
        }
    }
    reason
}

async fn say_goodbye(connection: &Connection) {
    match timeout(REPLY_TIMEOUT, connection.close(200, "closed".into())).await {
        Ok(Ok(())) => tracing::debug!("closed the connection to the broker"),
        Ok(Err(error)) => tracing::debug!(%error, "the connection to the broker was gone before it was closed"),
        Err(_) => tracing::warn!("the broker did not answer the goodbye in time"),
    }
}
