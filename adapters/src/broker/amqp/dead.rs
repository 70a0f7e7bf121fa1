//! Looking into the dead-letter queue, and taking letters out of it.
//!
//! AMQP knows no look without a delivery: letters are got on a channel of their own, on which each comes once, and what
//! is not taken goes back when that channel ends, however it ends.

use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel};
use tokio::time::timeout;

use super::consumer;
use super::publisher::{Publisher, REASON_HEADER, REJECTED_AT_HEADER};
use super::topology::{Topology, explain};
use crate::broker::{BrokerError, DeadLetter};

/// Where RabbitMQ says why it gave up a message by itself.
const FIRST_DEATH_HEADER: &str = "x-first-death-reason";

/// Time for all of one list, or one replay.
const TIMEOUT: Duration = Duration::from_secs(50);

/// See [`crate::broker::Broker::dead_letters`].
pub(super) async fn list(
    publisher: &Publisher,
    topology: &Topology,
    id: Option<&str>,
    limit: usize,
) -> Result<Vec<DeadLetter>, BrokerError> {
    let work = async {
        let _turn = publisher.desk.lock().await;
        let mut desk = Desk::open(publisher, topology).await?;
        let (mut letters, mut size) = (Vec::new(), 0);
        while letters.len() < limit
            && size <= DeadLetter::SIZE_MAX
            && let Some((letter, _)) = desk.next().await?
        {
            if letter.is_meant(id) {
                size += letter.message.body.len();
                letters.push(letter);
            }
        }
        desk.close().await?;
        Ok(letters)
    };
    timeout(TIMEOUT, work).await.unwrap_or_else(|_| Err(late("")))
}

/// See [`crate::broker::Broker::replay`]. A letter is in the queue again, confirmed, before it leaves the dead ones.
pub(super) async fn replay(publisher: &Publisher, topology: &Topology, id: Option<&str>) -> Result<u64, BrokerError> {
    let mut replayed = 0;
    let work = async {
        let _turn = publisher.desk.lock().await;
        let mut desk = Desk::open(publisher, topology).await?;
        while let Some((letter, tag)) = desk.next().await? {
            if letter.is_meant(id) && !letter.message.id.is_empty() {
                publisher.publish_again(&letter.message).await?;
                desk.channel.basic_ack(tag, BasicAckOptions::default()).await.map_err(lost)?;
                replayed += 1;
            }
        }
        desk.close().await
    };
    match timeout(TIMEOUT, work).await {
        Ok(done) => done.map(|()| replayed),
        Err(_) => Err(late(&format!("; {replayed} are in the queue again, the others when this is repeated"))),
    }
}

fn late(so_far: &str) -> BrokerError {
    BrokerError::Disconnected(format!("the broker did not show all of its dead letters in time{so_far}"))
}

/// A channel with letters laid out on it.
struct Desk<'a> {
    channel: Channel,
    topology: &'a Topology,
    /// Letters that were there at the beginning and have not been got.
    left: u64,
}

impl<'a> Desk<'a> {
    async fn open(publisher: &Publisher, topology: &'a Topology) -> Result<Self, BrokerError> {
        let session = publisher.link.session()?;
        let channel = session.channel().await.map_err(lost)?;
        let left = topology.declare(&channel).await.map_err(lost)?.dead;
        Ok(Self { channel, topology, left })
    }

    /// The next letter with its delivery tag.
    async fn next(&mut self) -> Result<Option<(DeadLetter, u64)>, BrokerError> {
        // What is replayed may die again meanwhile: that is for another time.
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let queue = self.topology.dead().clone();
        let got = self.channel.basic_get(queue, BasicGetOptions { no_ack: false }).await.map_err(lost)?;
        Ok(got.map(|got| {
            let delivery = got.delivery;
            (letter(&delivery.properties, delivery.data), delivery.delivery_tag)
        }))
    }

    /// Gives back all that was not taken.
    async fn close(self) -> Result<(), BrokerError> {
        let all = BasicNackOptions { multiple: true, requeue: true };
        self.channel.basic_nack(0, all).await.map_err(lost)?;
        self.channel.close(200, "done".into()).await.map_err(lost)
    }
}

fn letter(properties: &BasicProperties, body: Vec<u8>) -> DeadLetter {
    let header = |name: &str| properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    let text = |name| match header(name) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        _ => None,
    };
    let reason = text(REASON_HEADER)
        .or_else(|| text(FIRST_DEATH_HEADER).map(|reason| format!("given up by the broker itself: {reason}")));
    let rejected_at_ms = consumer::milliseconds(properties, REJECTED_AT_HEADER);
    let reason = reason.unwrap_or_else(|| "nobody said why".to_owned());
    DeadLetter { message: consumer::message(properties, body), reason, rejected_at_ms }
}

fn lost(error: lapin::Error) -> BrokerError {
    BrokerError::Disconnected(explain(&error))
}

#[cfg(test)]
mod tests {
    use lapin::types::FieldTable;

    use super::*;

    #[test]
    fn the_reason_is_ours_or_else_the_brokers() {
        let with = |entries: &[(&'static str, &str)]| {
            let mut headers = FieldTable::default();
            for (name, text) in entries {
                headers.insert((*name).into(), AMQPValue::LongString((*text).into()));
            }
            letter(&BasicProperties::default().with_headers(headers), Vec::new()).reason
        };
        assert_eq!(with(&[(FIRST_DEATH_HEADER, "x"), (REASON_HEADER, "not an item")]), "not an item");
        assert_eq!(with(&[(FIRST_DEATH_HEADER, "delivery_limit")]), "given up by the broker itself: delivery_limit");
        assert_eq!(with(&[]), "nobody said why");
    }
}
