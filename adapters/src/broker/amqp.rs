//! RabbitMQ (3.10 or later) by AMQP 0-9-1.
//!
//! The queue and its dead-letter queue `NAME.dead` are durable quorum queues. Publications are persistent, mandatory
//! and confirmed; a rejected message is copied to the dead-letter queue with its reason in the header
//! `x-symphony-reason` and the time in `x-symphony-rejected-at-ms`, and then acknowledged. Publications and deliveries use
//! a connection each, both rebuilt for ever with backoff; [`Broker::publish`] without a connection fails at once.

mod backoff;
mod consumer;
mod dead;
mod dial;
mod link;
mod publisher;
mod topology;

use std::net::Ipv6Addr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use lapin::uri::AMQPUri;
use tokio::time::timeout;
use url::{Host, Url};

use super::{Broker, BrokerError, Consumer, DeadLetter, Depth, Message};
use consumer::AmqpConsumer;
use link::Link;
use publisher::Publisher;
use topology::{Topology, explain};

use crate::tls::Tls;

/// Label of this broker in metrics.
const NAME: &str = "amqp";

/// The broker's answer to one request; RabbitMQ may take seconds to elect the leader of a new queue.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence after which a connection counts as lost is twice this, unless the URL's `heartbeat` tells, in seconds.
const HEARTBEAT_S: u16 = 10;

/// RabbitMQ, as one queue with its dead-letter queue.
pub struct AmqpBroker {
    uri: AMQPUri,
    topology: Topology,
    tls: Tls,
    publisher: Arc<Publisher>,
    /// Made for the first consumer.
    consuming: OnceLock<Arc<Link>>,
}

impl AmqpBroker {
    /// Starts connecting to `amqp[s]://USER:PASSWORD@HOST:PORT/VHOST`, and returns at once.
    ///
    /// With `amqps`, the authorities of `tls` certify the server. No virtual host means `/`, which can also be written as
    /// `%2f`. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`BrokerError::Configuration`] for a URL or a queue name that cannot be used.
    pub fn open(url: &str, queue: &str, tls: Tls) -> Result<Self, BrokerError> {
        let uri = parse(url)?;
        let topology = Topology::new(queue)?;
        let link = Link::spawn(uri.clone(), topology.clone(), tls.clone(), "publish");
        let publisher = Arc::new(Publisher::new(link, topology.clone()));
        Ok(Self { uri, topology, tls, publisher, consuming: OnceLock::new() })
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn publish(&self, message: &Message) -> Result<(), BrokerError> {
        self.publisher.publish(message).await
    }

    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        if prefetch == 0 {
            return Err(BrokerError::Configuration("a prefetch of 0 would be unlimited".into()));
        }
        let link = self
            .consuming
            .get_or_init(|| Arc::new(Link::spawn(self.uri.clone(), self.topology.clone(), self.tls.clone(), "consume")))
            .clone();
        Ok(Box::new(AmqpConsumer::spawn(link, self.topology.clone(), self.publisher.clone(), prefetch)))
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        let session = self.publisher.link.session()?;
        match timeout(REPLY_TIMEOUT, async { self.topology.declare(&session.channel().await?).await }).await {
            Ok(depth) => depth.map_err(|error| BrokerError::Disconnected(explain(&error))),
            Err(_) => Err(BrokerError::Disconnected("the broker did not answer in time".into())),
        }
    }

    async fn dead_letters(&self, id: Option<&str>, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        dead::list(&self.publisher, &self.topology, id, limit).await
    }

    async fn bury(&self, message: &Message, reason: &str) -> Result<(), BrokerError> {
        self.publisher.bury(message, reason).await
    }

    async fn replay(&self, id: Option<&str>) -> Result<u64, BrokerError> {
        dead::replay(&self.publisher, &self.topology, id).await
    }

    fn health(&self) -> Result<(), BrokerError> {
        self.publisher.link.health()?;
        self.consuming.get().map_or(Ok(()), |link| link.health())
    }

    async fn close(&self) {
        // Deliveries first: what is being rejected still needs the other connection.
        if let Some(link) = self.consuming.get() {
            link.close().await;
        }
        self.publisher.link.close().await;
    }
}

fn parse(url: &str) -> Result<AMQPUri, BrokerError> {
    let configuration = |error: String| BrokerError::Configuration(format!("AMQP URL: {error}"));
    let mut uri: AMQPUri = url.parse().map_err(configuration)?;
    let parsed = Url::parse(url).map_err(|error| configuration(error.to_string()))?;
    // The URI's own parser takes an IPv6 address for no host, and no host for localhost.
    match parsed.host() {
        Some(Host::Ipv6(address)) => uri.authority.host = Ipv6Addr::to_string(&address),
        Some(_) => {}
        None => return Err(configuration("no host".into())),
    }
    if uri.vhost.is_empty() {
        uri.vhost = "/".into();
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_port_and_virtual_host() {
        let uri = parse("amqp://me:p%40ss@broker:5673/%2f").unwrap();
        assert_eq!((uri.authority.host.as_str(), uri.authority.port, uri.vhost.as_str()), ("broker", 5673, "/"));
        assert_eq!(uri.authority.userinfo.password, "p@ss");
        assert_eq!(uri.query.heartbeat, Some(HEARTBEAT_S));
        assert_eq!(parse("amqp://broker/").unwrap().vhost, "/");
        assert_eq!(parse("amqp://broker").unwrap().vhost, "/");
        assert_eq!(parse("amqps://broker/orders?heartbeat=30").unwrap().query.heartbeat, Some(30));
    }

    #[test]
    fn an_ipv6_address_is_not_taken_for_localhost() {
        assert_eq!(parse("amqp://[2001:db8::1]:5672").unwrap().authority.host, "2001:db8::1");
    }

    #[test]
    fn a_url_without_a_host_is_refused() {
        for url in ["amqp:", "amqp://", "amqp:///vhost", "http://broker"] {
            assert!(matches!(parse(url), Err(BrokerError::Configuration(_))), "{url}");
        }
    }

    #[tokio::test]
    async fn open_returns_without_a_broker_and_says_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let broker = AmqpBroker::open(&format!("amqp://127.0.0.1:{port}"), "items", Tls::new(None).unwrap()).unwrap();
        assert!(matches!(broker.health(), Err(BrokerError::Disconnected(_))));
        let message = Message { id: "1".into(), content_type: "text/plain".into(), body: "x".into() };
        assert!(matches!(broker.publish(&message).await, Err(BrokerError::Disconnected(_))));
        assert!(matches!(broker.depth().await, Err(BrokerError::Disconnected(_))));
        assert!(matches!(broker.consume(0).await, Err(BrokerError::Configuration(_))));
        broker.close().await;
        assert!(matches!(broker.publish(&message).await, Err(BrokerError::Disconnected(_))));
    }
}
