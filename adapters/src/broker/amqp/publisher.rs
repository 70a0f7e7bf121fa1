//! Publishing with confirms.
//!
//! RabbitMQ sends a returned message just before the confirm of that message, but may confirm others between, and lapin
//! hands the returned one to whichever confirm comes next. With two messages in flight on a channel the wrong one could
//! look delivered, so a channel carries one message at a time and concurrency comes from several channels.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::link::{Link, Session};
use super::topology::{DELETION_GRACE, Topology, explain};
use super::{NAME, REPLY_TIMEOUT, consumer};
use crate::broker::{BrokerError, Message, clip, now_ms, telemetry};

/// Messages in flight at once; more wait their turn.
const LANES_MAX: usize = 32;

/// From asking to publish to the broker's confirm.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);

/// Header that says why a message is in the dead-letter queue.
pub(super) const REASON_HEADER: &str = "x-symphony-reason";

/// Header that says since when, in milliseconds since the Unix epoch.
pub(super) const REJECTED_AT_HEADER: &str = "x-symphony-rejected-at-ms";

/// Header that says when a message was published, in milliseconds since the Unix epoch; AMQP's own timestamp has seconds.
pub(super) const PUBLISHED_AT_HEADER: &str = "x-symphony-published-at-ms";

const PERSISTENT: u8 = 2;

/// Publishes to the queue and to the dead-letter queue.
pub(super) struct Publisher {
    /// Carries every publication, and no deliveries: RabbitMQ stops reading from a connection that publishes when it
    /// is short of memory, and acknowledgements must still get through then.
    pub(super) link: Link,
    topology: Topology,
    turns: Semaphore,
    declaring: tokio::sync::Mutex<()>,
    /// Held by whoever looks at the dead letters: they are out of everybody else's sight meanwhile.
    pub(super) desk: tokio::sync::Mutex<()>,
}

impl Publisher {
    pub(super) fn new(link: Link, topology: Topology) -> Self {
        Self {
            link,
            topology,
            turns: Semaphore::new(LANES_MAX),
            declaring: tokio::sync::Mutex::default(),
            desk: tokio::sync::Mutex::default(),
        }
    }

    /// See [`crate::broker::Broker::publish`].
    pub(super) async fn publish(&self, message: &Message) -> Result<(), BrokerError> {
        message.check()?;
        self.publish_again(message).await
    }

    /// Publishes what some queue has carried before, whatever its size.
    pub(super) async fn publish_again(&self, message: &Message) -> Result<(), BrokerError> {
        let session = self.link.session()?;
        let mut headers = FieldTable::default();
        headers.insert(PUBLISHED_AT_HEADER.into(), AMQPValue::LongLongInt(now_ms()));
        let properties = message_properties(message)?.with_headers(headers).with_delivery_mode(PERSISTENT);
        self.send(session, self.topology.queue(), &message.id, &message.body, properties).await?;
        telemetry::published(NAME);
        Ok(())
    }

    /// See [`crate::broker::Broker::bury`].
    pub(super) async fn bury(&self, message: &Message, reason: &str) -> Result<(), BrokerError> {
        let properties = message_properties(message)?;
        self.bury_copy(&message.id, message.head(), &properties, reason).await?;
        telemetry::rejected(NAME);
        Ok(())
    }

    /// Puts a copy of a delivery into the dead-letter queue with a reason; waits for a connection within bounds.
    ///
    /// Of its properties it keeps those that say what it is. Others would go on acting: an expiration takes the letter
    /// away, a `CC` sends it elsewhere too, and RabbitMQ refuses the user id of another.
    pub(super) async fn bury_copy(
        &self,
        id: &str,
        body: &[u8],
        original: &BasicProperties,
        reason: &str,
    ) -> Result<(), BrokerError> {
        let session = timeout(CONFIRM_TIMEOUT, self.link.connected())
            .await
            .map_err(|_| BrokerError::Disconnected("no connection to publish the dead letter on".into()))?;
        let mut headers = FieldTable::default();
        if let Some(published_at_ms) = consumer::milliseconds(original, PUBLISHED_AT_HEADER) {
            headers.insert(PUBLISHED_AT_HEADER.into(), AMQPValue::LongLongInt(published_at_ms));
        }
        headers.insert(REASON_HEADER.into(), AMQPValue::LongString(clip(reason).into()));
        headers.insert(REJECTED_AT_HEADER.into(), AMQPValue::LongLongInt(now_ms()));
        let mut properties = BasicProperties::default().with_headers(headers).with_delivery_mode(PERSISTENT);
        if let Some(message_id) = original.message_id() {
            properties = properties.with_message_id(message_id.clone());
        }
        if let Some(content_type) = original.content_type() {
            properties = properties.with_content_type(content_type.clone());
        }
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

/// What a message says of itself.
fn message_properties(message: &Message) -> Result<BasicProperties, BrokerError> {
    Ok(BasicProperties::default().with_message_id(short(&message.id)?).with_content_type(short(&message.content_type)?))
}

fn not_confirmed(id: &str, reason: String) -> BrokerError {
    BrokerError::NotConfirmed { id: id.to_owned(), reason }
}

fn short(text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text).map_err(|error| BrokerError::Unfit(error.to_string()))
}
