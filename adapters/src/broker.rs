//! Message queue: one trait, carried by RabbitMQ ([`amqp`]) or by a table of SQLite ([`embedded`]).
//!
//! Delivery is at least once. A publication counts only when [`Broker::publish`] returns `Ok`; a delivery stays with
//! the queue until it is settled.

pub mod amqp;
pub mod embedded;
mod telemetry;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::tls::Tls;

/// A message on its way through the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Stable identity, by which a receiver recognises a duplicate.
    pub id: String,
    /// Media type of the body.
    pub content_type: String,
    /// Opaque to the broker.
    pub body: Bytes,
}

impl Message {
    /// Longest id and longest content type, in bytes: AMQP's short string.
    pub const PROPERTY_LEN_MAX: usize = 255;
    /// Longest body, in bytes. AMQP bounds what a consumer has in hand by count alone: times that count, this must fit
    /// into its memory.
    pub const BODY_LEN_MAX: usize = 256 * 1024;

    /// As much of the body as a queue carries.
    fn head(&self) -> &[u8] {
        self.body.get(..Self::BODY_LEN_MAX).unwrap_or(&self.body)
    }

    /// Refuses what no broker could carry, before it is sent: RabbitMQ answers by closing the channel.
    pub(crate) fn check(&self) -> Result<(), BrokerError> {
        let fault = if self.id.is_empty() {
            "a message needs an id".to_owned()
        } else if self.id.len() > Self::PROPERTY_LEN_MAX {
            format!("a message id of {} bytes is longer than {}", self.id.len(), Self::PROPERTY_LEN_MAX)
        } else if self.content_type.len() > Self::PROPERTY_LEN_MAX {
            format!("a content type of {} bytes is longer than {}", self.content_type.len(), Self::PROPERTY_LEN_MAX)
        } else if self.body.len() > Self::BODY_LEN_MAX {
            format!("a body of {} bytes is longer than {}", self.body.len(), Self::BODY_LEN_MAX)
        } else {
            return Ok(());
        };
        Err(BrokerError::Unfit(fault))
    }
}

/// Why the broker did not do as asked. Every variant is temporary except [`BrokerError::Unroutable`],
/// [`BrokerError::Unfit`] and [`BrokerError::Configuration`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// No connection; one is being made in the background.
    #[error("the broker is not connected: {0}")]
    Disconnected(String),
    /// The broker refused responsibility for the message.
    #[error("the broker did not confirm message {id}: {reason}")]
    NotConfirmed {
        /// [`Message::id`].
        id: String,
        /// In the broker's words.
        reason: String,
    },
    /// The mandatory flag brought the message back: no queue is bound.
    #[error("message {0} was returned: no queue takes it")]
    Unroutable(String),
    /// No broker carries such a message: trying again will not help.
    #[error("no queue takes such a message: {0}")]
    Unfit(String),
    /// The URL or the queue's name is wrong: trying again will not help.
    #[error("broker configuration: {0}")]
    Configuration(String),
}

/// A durable queue with a dead-letter queue behind it.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Hands a message over; `Ok` once the broker has it on stable storage.
    ///
    /// # Errors
    /// Any [`BrokerError`]: the message is still the caller's, who tries again, unless it is [`BrokerError::Unfit`].
    /// Without a connection the answer is [`BrokerError::Disconnected`] at once.
    async fn publish(&self, message: &Message) -> Result<(), BrokerError>;

    /// Starts a competing consumer with at most `prefetch` unsettled deliveries. It survives lost connections.
    ///
    /// # Errors
    /// [`BrokerError::Configuration`]; a missing connection is waited for, not reported.
    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError>;

    /// Messages ready for delivery and messages in the dead-letter queue.
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`].
    async fn depth(&self) -> Result<Depth, BrokerError>;

    /// Dead letters, the oldest first: those with the id `id`, or all. At most `limit`, and fewer if they are large
    /// ([`DeadLetter::SIZE_MAX`]). They stay where they are; while they are looked at nobody else may see them.
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`].
    async fn dead_letters(&self, id: Option<&str>, limit: usize) -> Result<Vec<DeadLetter>, BrokerError>;

    /// Makes a dead letter of what no queue carries, so that it is seen. Of a body that is too long it has the beginning.
    ///
    /// # Errors
    /// Any [`BrokerError`]: the message is still the caller's, who tries again, unless its id or content type is
    /// [`BrokerError::Unfit`].
    async fn bury(&self, message: &Message, reason: &str) -> Result<(), BrokerError>;

    /// Puts dead letters back into the queue, as new messages at its end: those with the id `id`, or all. One without an
    /// id stays. Returns how many went.
    ///
    /// # Errors
    /// Any [`BrokerError`]: some may have gone, and each of the others is still a dead letter.
    async fn replay(&self, id: Option<&str>) -> Result<u64, BrokerError>;

    /// `Err` with the reason while the broker cannot be used.
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`].
    fn health(&self) -> Result<(), BrokerError>;

    /// Says goodbye to the broker: unsettled deliveries go back to the queue.
    async fn close(&self);
}

/// Number of messages at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Ready for delivery.
    pub ready: u64,
    /// In the dead-letter queue.
    pub dead: u64,
}

/// A message in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// As it was published; its id may be empty, which is what it was rejected for.
    pub message: Message,
    /// Why it was given up.
    pub reason: String,
    /// When, in milliseconds since the Unix epoch; none if the broker itself gave it up.
    pub rejected_at_ms: Option<i64>,
}

impl DeadLetter {
    /// Bodies of one list together, in bytes, above which no further letter is added to it.
    pub const SIZE_MAX: usize = 32 * 1024 * 1024;

    /// Whether it is meant by an id, or by none.
    fn is_meant(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| id == self.message.id)
    }
}

/// One consumer of the queue.
#[async_trait]
pub trait Consumer: Send {
    /// The next delivery; waits for ever while there is none or no connection. Cancel safe.
    async fn next(&mut self) -> Delivery;
}

/// A message that stays with the queue until it is settled; dropped unsettled, it is delivered again.
pub struct Delivery {
    /// What was published.
    pub message: Message,
    /// Earlier deliveries of this message that were not acknowledged.
    pub redeliveries: u64,
    /// When it was handed to the queue, in milliseconds since the Unix epoch by the publisher's clock; none if nobody
    /// wrote it down.
    pub published_at_ms: Option<i64>,
    settle: Box<dyn Settle>,
}

impl Delivery {
    /// Wraps a message with the means to settle it.
    #[must_use]
    pub fn new(message: Message, redeliveries: u64, settle: Box<dyn Settle>) -> Self {
        Self { message, redeliveries, published_at_ms: None, settle }
    }

    /// Says when the message was handed to the queue.
    #[must_use]
    pub fn published_at(mut self, published_at_ms: Option<i64>) -> Self {
        self.published_at_ms = published_at_ms;
        self
    }

    /// Done: the queue forgets the message.
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`]: the message will come again.
    pub async fn ack(self) -> Result<(), BrokerError> {
        self.settle.ack().await
    }

    /// Not now: the message goes back to the queue.
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`]: the message will come again all the same.
    pub async fn requeue(self) -> Result<(), BrokerError> {
        self.settle.requeue().await
    }

    /// Never: the message goes to the dead-letter queue, with the reason.
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`]: the message will come again.
    pub async fn reject(self, reason: &str) -> Result<(), BrokerError> {
        self.settle.reject(&self.message, reason).await
    }
}

/// How a broker settles one delivery.
#[async_trait]
pub trait Settle: Send + Sync {
    /// See [`Delivery::ack`].
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`].
    async fn ack(self: Box<Self>) -> Result<(), BrokerError>;
    /// See [`Delivery::requeue`].
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`].
    async fn requeue(self: Box<Self>) -> Result<(), BrokerError>;
    /// See [`Delivery::reject`].
    ///
    /// # Errors
    /// [`BrokerError::Disconnected`].
    async fn reject(self: Box<Self>, message: &Message, reason: &str) -> Result<(), BrokerError>;
}

/// Opens the broker that `url` names: `amqp://`, `amqps://`, or `sqlite:PATH` for the embedded one.
///
/// Returns at once: a broker that is away is connected to in the background, for ever, with backoff.
///
/// # Errors
/// [`BrokerError::Configuration`] for a URL that cannot be used.
pub async fn open(url: &str, queue: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    let tls = Tls::new(None).map_err(|error| BrokerError::Configuration(error.to_string()))?;
    open_over(url, queue, &tls).await
}

/// As [`open`]; with `amqps://`, the authorities of `tls` certify the server.
///
/// # Errors
/// [`BrokerError::Configuration`] for a URL that cannot be used.
pub async fn open_over(url: &str, queue: &str, tls: &Tls) -> Result<Arc<dyn Broker>, BrokerError> {
    if queue.is_empty() || queue.len() > QUEUE_NAME_LEN_MAX || queue.starts_with("amq.") {
        return Err(BrokerError::Configuration(format!(
            "queue name {queue:?}: 1 to {QUEUE_NAME_LEN_MAX} bytes, and not starting with amq."
        )));
    }
    // The URL may hold a password: no error repeats it.
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("amqp" | "amqps") => Ok(Arc::new(amqp::AmqpBroker::open(url, queue, tls.clone())?)),
        Some("sqlite") => Ok(Arc::new(embedded::EmbeddedBroker::open(url, queue).await?)),
        _ => Err(BrokerError::Configuration("the URL starts with amqp://, amqps:// or sqlite:".into())),
    }
}

/// Leaves room for `.dead` in AMQP's short string.
const QUEUE_NAME_LEN_MAX: usize = 250;

/// Longest reason kept with a dead letter, in bytes: a header has to fit in one frame.
const REASON_LEN_MAX: usize = 4096;

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Cuts a reason to [`REASON_LEN_MAX`], at a character.
fn clip(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(REASON_LEN_MAX)).unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_of_another_kind_is_refused_without_repeating_it() {
        let Err(error) = open("http://user:secret@host/", "items").await else { panic!("opened") };
        assert!(matches!(error, BrokerError::Configuration(_)));
        assert!(!error.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn a_queue_name_amqp_cannot_carry_is_refused() {
        for queue in ["", "amq.items", &"q".repeat(251)] {
            assert!(matches!(open("amqp://localhost", queue).await, Err(BrokerError::Configuration(_))), "{queue:?}");
        }
    }

    #[test]
    fn a_message_no_broker_could_carry_is_refused() {
        let good = Message { id: "1".into(), content_type: "text/plain".into(), body: Bytes::from_static(b"x") };
        assert!(good.check().is_ok());
        assert!(matches!(Message { id: String::new(), ..good.clone() }.check(), Err(BrokerError::Unfit(_))));
        assert!(Message { id: "i".repeat(256), ..good.clone() }.check().is_err());
        assert!(Message { content_type: "c".repeat(256), ..good.clone() }.check().is_err());
        assert!(Message { body: vec![0; Message::BODY_LEN_MAX + 1].into(), ..good }.check().is_err());
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        assert_eq!(clip("short"), "short");
        let long = "ä".repeat(REASON_LEN_MAX);
        assert_eq!(clip(&long).len(), REASON_LEN_MAX);
        assert_eq!(clip(&format!("x{long}")).len(), REASON_LEN_MAX - 1);
    }
}
