//! The queue and its dead-letter queue: durable quorum queues.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind};

use crate::broker::{BrokerError, Depth};
use crate::tls;

/// Redeliveries after which RabbitMQ itself moves a message to the dead-letter queue.
///
/// A backstop against a message that ends its consumer before the consumer can count: consumers keep a much lower
/// limit and give a reason. Said plainly because the default differs between versions (none before RabbitMQ 4, then
/// 20), and fixed because a queue cannot be declared again with another.
const DELIVERY_LIMIT: i64 = 1000;

/// Of the dead-letter queue: whoever looks at a letter returns it, which some versions count, and nothing stands behind
/// that queue. Without a limit RabbitMQ 4 would drop a letter at the 21st look.
const DEAD_DELIVERY_LIMIT: i64 = i32::MAX as i64;

/// From finding a queue deleted to declaring it again.
///
/// RabbitMQ (seen with 3.10) moves the consumers of a deleted quorum queue over to one of the same name that appears at
/// once, and then drops what that queue sends them. Given time, it cancels them.
pub(super) const DELETION_GRACE: Duration = Duration::from_secs(1);

/// Names of the queues of one broker.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    queue: ShortString,
    dead: ShortString,
}

impl Topology {
    /// `NAME` and `NAME.dead`.
    pub(super) fn new(queue: &str) -> Result<Self, BrokerError> {
        let short = |name: String| {
            ShortString::try_new(name).map_err(|error| BrokerError::Configuration(format!("queue name: {error}")))
        };
        Ok(Self { queue: short(queue.to_owned())?, dead: short(format!("{queue}.dead"))? })
    }

    /// Where messages are published to and consumed from.
    pub(super) fn queue(&self) -> &ShortString {
        &self.queue
    }

    /// Where rejected messages go.
    pub(super) fn dead(&self) -> &ShortString {
        &self.dead
    }

    /// Makes both queues, or finds them as they should be, and counts their messages.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<Depth, lapin::Error> {
        let dead =
            channel.queue_declare(self.dead.clone(), QueueDeclareOptions::durable(), Self::dead_arguments()).await?;
        let queue = channel.queue_declare(self.queue.clone(), QueueDeclareOptions::durable(), self.arguments()).await?;
        Ok(Depth { ready: queue.message_count().into(), dead: dead.message_count().into() })
    }

    fn dead_arguments() -> FieldTable {
        table([("x-queue-type", text("quorum")), ("x-delivery-limit", AMQPValue::LongLongInt(DEAD_DELIVERY_LIMIT))])
    }

    /// A message that RabbitMQ itself gives up must reach the dead-letter queue before it leaves this one: at-least-once
    /// dead-lettering (RabbitMQ 3.10), which asks for the overflow policy.
    fn arguments(&self) -> FieldTable {
        table([
            ("x-queue-type", text("quorum")),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(self.dead.as_str())),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
            ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
        ])
    }
}

/// The broker's words on why something failed, without lapin's wrapping.
pub(super) fn explain(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => tls::describe(&**error),
        _ => error.to_string(),
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn table<const N: usize>(entries: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}
