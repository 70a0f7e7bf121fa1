//! Publishing with confirms.
//!
//! RabbitMQ sends a returned message just before the confirm of that message, but may confirm others between, and lapin
//! hands the returned one to whichever confirm comes next. With two messages in flight on a channel the wrong one could
//! look delivered, so a channel carries one message at a time and concurrency comes from several channels.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::link::{Link, Session};
use super::topology::{DELETION_GRACE, Topology, explain};
use super::{NAME, REPLY_TIMEOUT};
use crate::broker::{BrokerError, Message, clip, telemetry};

/// Messages in flight at once; more wait their turn.
const LANES_MAX: usize = 32;

/// From asking to publish to the broker's confirm.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);

/// Header that says why a message is in the dead-letter queue.
const REASON_HEADER: &str = "x-symphony-reason";

const PERSISTENT: u8 = 2;

/// Publishes to the queue and to the dead-letter queue.
pub(super) struct Publisher {
    /// Carries every publication, and no deliveries: RabbitMQ stops reading from a connection that publishes when it
    /// is short of memory, and acknowledgements must still get through then.
    pub(super) link: Link,
    topology: Topology,
    turns: Semaphore,
    declaring: tokio::sync::Mutex<()>,
}

impl Publisher {
    pub(super) fn new(link: Link, topology: Topology) -> Self {
        Self { link, topology, turns: Semaphore::new(LANES_MAX), declaring: tokio::sync::Mutex::default() }
    }

    /// See [`crate::broker::Broker::publish`].
    pub(super) async fn publish(&self, message: &Message) -> Result<(), BrokerError> {
        message.check()?;
        let session = self.link.session()?;
        let properties = BasicProperties::default()
            .with_message_id(short(&message.id)?)
            .with_content_type(short(&message.content_type)?)
            .with_delivery_mode(PERSISTENT);
        self.send(session, self.topology.queue(), &message.id, &message.body, properties).await?;
        telemetry::published(NAME);
        Ok(())
    }

    /// Puts a copy of a delivery into the dead-letter queue with a reason; waits for a connection within bounds.
    pub(super) async fn bury(
        &self,
        id: &str,
        body: &[u8],
        properties: BasicProperties,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let session = timeout(CONFIRM_TIMEOUT, self.link.connected())
            .await
            .map_err(|_| BrokerError::Disconnected("no connection to publish the dead letter on".into()))?;
        let mut headers = properties.headers().clone().unwrap_or_default();
        headers.insert(REASON_HEADER.into(), AMQPValue::LongString(clip(reason).into()));
        let properties = properties.with_headers(headers).with_delivery_mode(PERSISTENT);
        let sent = self.send(session.clone(), self.topology.dead(), id, body, properties.clone()).await;
        if let Err(BrokerError::Unroutable(_)) = sent {
            // The queues have just been declared anew.
            return self.send(session, self.topology.dead(), id, body, properties).await;
        }
        sent
    }

    async fn send(
        &self,
        session: Arc<Session>,
        queue: &ShortString,
        id: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        session.check_blocked()?;
        let sent = timeout(CONFIRM_TIMEOUT, async {
            let _turn = self.turns.acquire().await.map_err(|error| BrokerError::Disconnected(error.to_string()))?;
            let lane = session.lanes.take(&session).await?;
            let sent = lane.publish(queue, id, body, properties).await;
            if !matches!(sent, Err(BrokerError::Disconnected(_))) {
                session.lanes.put_back(lane);
            }
            sent
        })
        .await
        .unwrap_or_else(|_| Err(not_confirmed(id, format!("no answer within {} s", CONFIRM_TIMEOUT.as_secs()))));
        if let Err(BrokerError::Unroutable(_)) = sent {
            self.declare_again(&session).await;
        }
        sent
    }

    /// Somebody deleted a queue: the next attempt shall find it.
    async fn declare_again(&self, session: &Session) {
        let Ok(_turn) = self.declaring.try_lock() else {
            // Another message found it missing too: wait for that one's declaration.
            drop(self.declaring.lock().await);
            return;
        };
        tracing::error!(queue = %self.topology.queue(), "a queue is missing: declaring it again");
        sleep(DELETION_GRACE).await;
        let declared = timeout(REPLY_TIMEOUT, async { self.topology.declare(&session.channel().await?).await });
        match declared.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(reason = explain(&error), "the queues could not be declared"),
            Err(_) => tracing::error!("the broker did not declare the queues in time"),
        }
    }
}

/// Idle channels in confirm mode of one connection.
#[derive(Default)]
pub(super) struct Lanes(Mutex<Vec<Lane>>);

impl Lanes {
    async fn take(&self, session: &Session) -> Result<Lane, BrokerError> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(lane) if lane.0.status().connected() => Ok(lane),
            _ => Lane::open(session).await.map_err(|error| BrokerError::Disconnected(explain(&error))),
        }
    }

    fn put_back(&self, lane: Lane) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
    }
}

/// A channel on which `confirm.select` succeeded; dropping it closes the channel.
struct Lane(Channel);

impl Lane {
    async fn open(session: &Session) -> Result<Self, lapin::Error> {
        let channel = session.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self(channel))
    }

    async fn publish(
        &self,
        queue: &ShortString,
        id: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let confirmed = match self.0.basic_publish("".into(), queue.clone(), options, body, properties).await {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        match confirmed {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => Err(BrokerError::Unroutable(id.to_owned())),
            Ok(Confirmation::Nack(None)) => Err(not_confirmed(id, "the broker could not store it".into())),
            Ok(Confirmation::NotRequested) => Err(not_confirmed(id, "the channel is not in confirm mode".into())),
            Err(error) => Err(BrokerError::Disconnected(explain(&error))),
        }
    }
}

fn not_confirmed(id: &str, reason: String) -> BrokerError {
    BrokerError::NotConfirmed { id: id.to_owned(), reason }
}

fn short(text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text).map_err(|error| BrokerError::Configuration(error.to_string()))
}
