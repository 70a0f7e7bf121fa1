//! The queue as a table of SQLite, for one process that needs no broker.
//!
//! A publication is on disk (`synchronous=FULL`) before [`Broker::publish`] returns. One process at a time may hold the
//! file, which a lock file beside it guards; within that process all brokers opened on it share it. What the previous
//! process left unsettled is delivered again.

mod consumer;
mod store;

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Broker, BrokerError, Consumer, DeadLetter, Depth, Message, telemetry};
use consumer::EmbeddedConsumer;
use store::{Holder, Store};

/// Label of this broker in metrics.
const NAME: &str = "embedded";

/// One queue with its dead-letter queue, in a SQLite file.
pub struct EmbeddedBroker {
    store: Arc<Store>,
    queue: Arc<str>,
    holder: Holder,
    closed: CancellationToken,
}

impl EmbeddedBroker {
    /// Opens `sqlite:PATH`, making the file and its folder if they are missing.
    ///
    /// # Errors
    /// [`BrokerError::Configuration`] for a URL that is not a file of this process's own, or that cannot be opened.
    pub async fn open(url: &str, queue: &str) -> Result<Self, BrokerError> {
        let store = Store::open(url).await?;
        let holder = store.new_holder();
        Ok(Self { store, queue: queue.into(), holder, closed: CancellationToken::new() })
    }

    fn check_open(&self) -> Result<(), BrokerError> {
        if self.closed.is_cancelled() {
            return Err(BrokerError::Disconnected("closed".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn publish(&self, message: &Message) -> Result<(), BrokerError> {
        self.check_open()?;
        message.check()?;
        self.store.insert(&self.queue, message).await?;
        telemetry::published(NAME);
        Ok(())
    }

    async fn consume(&self, prefetch: u16) -> Result<Box<dyn Consumer>, BrokerError> {
        if prefetch == 0 {
            return Err(BrokerError::Configuration("a prefetch of 0 would be unlimited".into()));
        }
        let queue = self.queue.clone();
        let closed = self.closed.clone();
        Ok(Box::new(EmbeddedConsumer::spawn(self.store.clone(), queue, self.holder, prefetch, closed)))
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        self.check_open()?;
        self.store.depth(&self.queue).await
    }

    async fn dead_letters(&self, id: Option<&str>, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        self.check_open()?;
        self.store.dead_letters(&self.queue, id, limit).await
    }

    async fn bury(&self, message: &Message, reason: &str) -> Result<(), BrokerError> {
        self.check_open()?;
        self.store.insert_dead(&self.queue, message, reason).await?;
        telemetry::rejected(NAME);
        Ok(())
    }

    async fn replay(&self, id: Option<&str>) -> Result<u64, BrokerError> {
        self.check_open()?;
        self.store.replay(&self.queue, id).await
    }

    fn health(&self) -> Result<(), BrokerError> {
        self.check_open()?;
        self.store.health()
    }

    async fn close(&self) {
        self.closed.cancel();
        if let Err(error) = self.store.release_all(self.holder).await {
            tracing::warn!(%error, "unsettled messages stay claimed until the queue is opened again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tempfile::tempdir;
    use tokio::time::timeout;

    use super::*;

    fn url(folder: &Path) -> String {
        format!("sqlite:{}", folder.join("sub/queue.db").display())
    }

    fn message(id: &str) -> Message {
        Message { id: id.into(), content_type: "text/plain".into(), body: id.to_owned().into() }
    }

    #[tokio::test]
    async fn what_a_crashed_process_left_unsettled_is_delivered_again_after_reopening() {
        let folder = tempdir().unwrap();
        let url = url(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = url.clone();
        // The runtime ends with the delivery in hand, as at a crash: nothing runs that could give it back.
        std::thread::spawn(move || {
            let delivery = runtime.block_on(async move {
                let broker = EmbeddedBroker::open(&first, "items").await.unwrap();
                broker.publish(&message("1")).await.unwrap();
                broker.consume(1).await.unwrap().next().await
            });
            drop(runtime);
            drop(delivery);
        })
        .join()
        .unwrap();
        let broker = EmbeddedBroker::open(&url, "items").await.unwrap();
        let mut consumer = broker.consume(1).await.unwrap();
        let delivery = timeout(Duration::from_secs(10), consumer.next()).await.unwrap();
        assert_eq!(delivery.message, message("1"));
        assert_eq!(delivery.redeliveries, 1);
        delivery.ack().await.unwrap();
        assert_eq!(broker.depth().await.unwrap(), Depth::default());
    }

    #[tokio::test]
    async fn brokers_of_one_process_share_the_file_and_queues_keep_apart() {
        let folder = tempdir().unwrap();
        let publisher = EmbeddedBroker::open(&url(folder.path()), "items").await.unwrap();
        let receiver = EmbeddedBroker::open(&url(folder.path()), "items").await.unwrap();
        let other = EmbeddedBroker::open(&url(folder.path()), "orders").await.unwrap();
        let mut consumer = receiver.consume(1).await.unwrap();
        publisher.publish(&message("1")).await.unwrap();
        let delivery = timeout(Duration::from_secs(20), consumer.next()).await.unwrap();
        assert_eq!(other.depth().await.unwrap(), Depth::default());
        publisher.close().await;
        assert!(matches!(publisher.publish(&message("2")).await, Err(BrokerError::Disconnected(_))));
        assert!(receiver.health().is_ok());
        delivery.ack().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_another_process_holds_is_refused() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let lock = std::fs::File::create(path.with_added_extension("lock")).unwrap();
        lock.lock().unwrap();
        let opened = EmbeddedBroker::open(&format!("sqlite:{}", path.display()), "items").await;
        let Err(BrokerError::Configuration(reason)) = opened else { panic!("opened") };
        assert!(reason.contains("another process"), "{reason}");
    }

    #[tokio::test]
    async fn a_file_of_before_publications_had_a_time_is_read() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let old = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let schema = "CREATE TABLE broker_message (seq INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, \
                      id TEXT NOT NULL, content_type TEXT NOT NULL, body BLOB NOT NULL, \
                      redeliveries INTEGER NOT NULL DEFAULT 0, holder INTEGER) STRICT;\
                      INSERT INTO broker_message (queue, id, content_type, body) \
                      VALUES ('items', '1', 'text/plain', x'31')";
        sqlx::raw_sql(schema).execute(&old).await.unwrap();
        old.close().await;
        let broker = EmbeddedBroker::open(&format!("sqlite:{}", path.display()), "items").await.unwrap();
        let delivery = timeout(Duration::from_secs(10), broker.consume(1).await.unwrap().next()).await.unwrap();
        assert_eq!((delivery.message.clone(), delivery.published_at_ms), (message("1"), None));
        delivery.ack().await.unwrap();
    }

    #[tokio::test]
    async fn a_queue_in_memory_is_refused() {
        for url in ["sqlite::memory:", "sqlite:queue.db?mode=memory", "sqlite:"] {
            assert!(matches!(EmbeddedBroker::open(url, "items").await, Err(BrokerError::Configuration(_))), "{url}");
        }
    }

    #[tokio::test]
    async fn closing_gives_back_what_is_unsettled_and_a_late_ack_is_refused() {
        let folder = tempdir().unwrap();
        let first = EmbeddedBroker::open(&url(folder.path()), "items").await.unwrap();
        let second = EmbeddedBroker::open(&url(folder.path()), "items").await.unwrap();
        first.publish(&message("1")).await.unwrap();
        let late = first.consume(1).await.unwrap().next().await;
        first.close().await;
        let again = timeout(Duration::from_secs(10), second.consume(1).await.unwrap().next()).await.unwrap();
        assert_eq!(again.redeliveries, 1);
        assert!(matches!(late.ack().await, Err(BrokerError::Disconnected(_))));
        again.ack().await.unwrap();
        assert_eq!(second.depth().await.unwrap(), Depth::default());
    }
}
