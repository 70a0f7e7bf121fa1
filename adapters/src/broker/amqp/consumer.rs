//! Consuming with manual acknowledgements, across lost connections.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery as Received;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, BasicProperties, Channel};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::backoff::{BACKOFF_MAX, Backoff};
use super::link::{Link, Session};
use super::publisher::{PUBLISHED_AT_HEADER, Publisher};
use super::topology::{DELETION_GRACE, Topology, explain};
use super::{NAME, REPLY_TIMEOUT};
use crate::broker::{BrokerError, Consumer, Delivery, Message, Settle, telemetry};

/// What RabbitMQ counts a message's returns in; on quorum queues only.
const DELIVERY_COUNT_HEADER: &str = "x-delivery-count";

/// See [`crate::broker::Broker::consume`]. A task subscribes, and subscribes again; this end only receives, so that a
/// cancelled [`Consumer::next`] loses nothing and delays nothing.
pub(super) struct AmqpConsumer {
    deliveries: mpsc::Receiver<Claimed>,
}

impl AmqpConsumer {
    pub(super) fn spawn(link: Arc<Link>, topology: Topology, publisher: Arc<Publisher>, prefetch: u16) -> Self {
        // The bound that counts is the prefetch: all else stays with the broker.
        let (sender, deliveries) = mpsc::channel(1);
        tokio::spawn(Pump { link, topology, publisher, prefetch, deliveries: sender }.run());
        Self { deliveries }
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Delivery {
        loop {
            match self.deliveries.recv().await {
                // One whose connection is gone comes again: handing it out could only duplicate.
                Some(claimed) if !claimed.unsettled.acker.usable() => {}
                Some(Claimed { message, redeliveries, unsettled }) => {
                    telemetry::delivered(NAME);
                    let published_at_ms = milliseconds(&unsettled.properties, PUBLISHED_AT_HEADER);
                    return Delivery::new(message, redeliveries, Box::new(unsettled)).published_at(published_at_ms);
                }
                None => std::future::pending().await,
            }
        }
    }
}

struct Claimed {
    message: Message,
    redeliveries: u64,
    unsettled: Unsettled,
}

/// A delivery's hold on the broker: dropped unsettled, it gives the message back.
struct Unsettled {
    acker: Acker,
    /// Keeps the channel open until the last of its deliveries is settled.
    _channel: Channel,
    properties: BasicProperties,
    publisher: Arc<Publisher>,
}

impl Unsettled {
    async fn ack(&self) -> Result<(), BrokerError> {
        settled(timeout(REPLY_TIMEOUT, self.acker.ack(BasicAckOptions::default())).await)
    }

    /// The copy is confirmed before the original is acknowledged: a crash between the two leaves the message in both
    /// queues, and none in neither. RabbitMQ's own dead-lettering would not carry the reason.
    async fn bury(&self, id: &str, body: &[u8], reason: &str) -> Result<(), BrokerError> {
        self.publisher.bury_copy(id, body, &self.properties, reason).await?;
        self.ack().await?;
        telemetry::rejected(NAME);
        Ok(())
    }
}

#[async_trait]
impl Settle for Unsettled {
    async fn ack(self: Box<Self>) -> Result<(), BrokerError> {
        Unsettled::ack(&self).await
    }

    async fn requeue(self: Box<Self>) -> Result<(), BrokerError> {
        settled(timeout(REPLY_TIMEOUT, self.acker.reject(REQUEUE)).await)
    }

    async fn reject(self: Box<Self>, message: &Message, reason: &str) -> Result<(), BrokerError> {
        self.bury(&message.id, &message.body, reason).await
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if self.acker.usable() {
            // The first poll hands the frame to lapin; there is no answer to wait for.
            let _ = self.acker.reject(REQUEUE).now_or_never();
        }
    }
}

/// `basic.reject`, because every version of RabbitMQ counts it as a delivery; from 4.3 on, `basic.nack` is not counted.
const REQUEUE: BasicRejectOptions = BasicRejectOptions { requeue: true };

fn settled<E>(outcome: Result<lapin::Result<bool>, E>) -> Result<(), BrokerError> {
    let reason = match outcome {
        Ok(Ok(true)) => return Ok(()),
        Ok(Ok(false)) => "the connection that brought the message is gone".to_owned(),
        Ok(Err(error)) => explain(&error),
        Err(_) => "the broker took no acknowledgement in time".to_owned(),
    };
    Err(BrokerError::Disconnected(reason))
}

/// The task behind an [`AmqpConsumer`]; ends when that is dropped.
struct Pump {
    link: Arc<Link>,
    topology: Topology,
    publisher: Arc<Publisher>,
    prefetch: u16,
    deliveries: mpsc::Sender<Claimed>,
}

struct Subscription {
    channel: Channel,
    consumer: lapin::Consumer,
}

/// Why a subscription brings no more deliveries.
enum End {
    /// The consumer was dropped.
    Unwanted,
    /// By the broker.
    Cancelled,
    /// The channel or the connection is gone.
    Failed(lapin::Error),
}

impl Pump {
    async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            let session = tokio::select! {
                () = self.deliveries.closed() => return,
                session = self.link.connected() => session,
            };
            let since = Instant::now();
            let mut wait_min = Duration::ZERO;
            let reason = match timeout(REPLY_TIMEOUT, self.subscribe(&session)).await {
                Ok(Ok(mut subscription)) => match self.forward(&mut subscription).await {
                    End::Unwanted => return subscription.cancel().await,
                    End::Cancelled if !session.alive() => "the connection was closed".into(),
                    End::Cancelled => {
                        wait_min = DELETION_GRACE;
                        "the queue was deleted or has moved".into()
                    }
                    End::Failed(error) => explain(&error),
                },
                Ok(Err(error)) => explain(&error),
                Err(_) => "the broker did not answer in time".into(),
            };
            if since.elapsed() > BACKOFF_MAX {
                backoff.reset();
            }
            let wait = backoff.next().max(wait_min);
            tracing::warn!(queue = %self.topology.queue(), reason, ?wait, "not consuming");
            tokio::select! {
                () = self.deliveries.closed() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// The queues are declared here too: this may follow their deletion.
    async fn subscribe(&self, session: &Session) -> Result<Subscription, lapin::Error> {
        let channel = session.channel().await?;
        channel.basic_qos(self.prefetch, BasicQosOptions { global: false }).await?;
        self.topology.declare(&channel).await?;
        let queue = self.topology.queue().clone();
        let consumer =
            channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
        Ok(Subscription { channel, consumer })
    }

    /// Passes deliveries on for as long as there are any to come, and somebody to take them.
    async fn forward(&self, subscription: &mut Subscription) -> End {
        loop {
            let received = tokio::select! {
                () = self.deliveries.closed() => return End::Unwanted,
                received = subscription.consumer.next() => received,
            };
            match received {
                Some(Ok(received)) => {
                    if let Some(claimed) = self.claim(received, subscription.channel.clone()).await
                        && self.deliveries.send(claimed).await.is_err()
                    {
                        return End::Unwanted;
                    }
                }
                Some(Err(error)) => return End::Failed(error),
                None => return End::Cancelled,
            }
        }
    }

    /// A message without an id cannot be told from its duplicates: nobody gets to see it.
    async fn claim(&self, received: Received, channel: Channel) -> Option<Claimed> {
        let Received { properties, data, acker, redelivered, .. } = received;
        let redeliveries = redeliveries(&properties, redelivered);
        let message = message(&properties, data);
        let unsettled = Unsettled { acker, _channel: channel, properties, publisher: self.publisher.clone() };
        if message.id.is_empty() {
            if let Err(error) = unsettled.bury("", &message.body, "the message has no message_id").await {
                tracing::warn!(%error, "a message without message_id stays in the queue for now");
            }
            return None;
        }
        Some(Claimed { message, redeliveries, unsettled })
    }
}

impl Subscription {
    /// Stops the deliveries and gives back at once what was not handed out: deliveries that were keep the channel open.
    async fn cancel(mut self) {
        let cancel = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        if !matches!(timeout(REPLY_TIMEOUT, cancel).await, Ok(Ok(()))) {
            return;
        }
        while let Some(Some(Ok(received))) = self.consumer.next().now_or_never() {
            // Nobody saw it, so its count need not rise; without an answer the channel's end gives it back.
            let _ = received.acker.nack(BasicNackOptions { requeue: true, multiple: false }).now_or_never();
        }
    }
}

/// What was published; the id is empty if there is none.
pub(super) fn message(properties: &BasicProperties, body: Vec<u8>) -> Message {
    let id = properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    let content_type = match properties.content_type() {
        Some(content_type) => content_type.to_string(),
        None => "application/octet-stream".to_owned(),
    };
    Message { id, content_type, body: body.into() }
}

/// A time in a header.
pub(super) fn milliseconds(properties: &BasicProperties, header: &str) -> Option<i64> {
    match properties.headers().as_ref()?.inner().get(header) {
        Some(AMQPValue::LongLongInt(ms)) => Some(*ms),
        _ => None,
    }
}

fn redeliveries(properties: &BasicProperties, redelivered: bool) -> u64 {
    let count = properties.headers().as_ref().and_then(|headers| headers.inner().get(DELIVERY_COUNT_HEADER));
    let count = match count {
        Some(AMQPValue::LongLongInt(count)) => u64::try_from(*count).ok(),
        Some(AMQPValue::LongInt(count)) => u64::try_from(*count).ok(),
        Some(AMQPValue::ShortInt(count)) => u64::try_from(*count).ok(),
        Some(AMQPValue::ShortShortInt(count)) => u64::try_from(*count).ok(),
        Some(AMQPValue::LongUInt(count)) => Some(u64::from(*count)),
        Some(AMQPValue::ShortUInt(count)) => Some(u64::from(*count)),
        Some(AMQPValue::ShortShortUInt(count)) => Some(u64::from(*count)),
        _ => None,
    };
    count.unwrap_or(u64::from(redelivered))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(count: AMQPValue) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert(DELIVERY_COUNT_HEADER.into(), count);
        BasicProperties::default().with_headers(headers)
    }

    #[test]
    fn redeliveries_come_from_the_count_or_else_from_the_flag() {
        assert_eq!(redeliveries(&counted(AMQPValue::LongLongInt(7)), true), 7);
        assert_eq!(redeliveries(&counted(AMQPValue::ShortShortUInt(3)), true), 3);
        assert_eq!(redeliveries(&counted(AMQPValue::LongInt(-1)), true), 1);
        assert_eq!(redeliveries(&BasicProperties::default(), true), 1);
        assert_eq!(redeliveries(&BasicProperties::default(), false), 0);
    }
}
