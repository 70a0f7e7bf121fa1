//! Servers and roles, and what is done to them again and again.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step ends the run")]

use std::{sync::Arc, time::Duration};

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::{ConfirmSelectOptions, QueuePurgeOptions},
};
use sqlx::{Connection as _, PgConnection};
use symphony::{config, shop};
use symphony_adapters::{
    broker::{Broker, Message},
    item::Item,
};
use tokio::task::{JoinSet, block_in_place};

use crate::{
    cluster::Cluster,
    contract::broker::ready,
    database::item,
    servers::{postgres::Postgres, rabbitmq::RabbitMq},
    symphony::{Symphony, Visitor},
};

/// Publications under way at once: as many as the scraper's.
const PUBLISHERS: usize = 64;

/// Time for items to arrive.
const PATIENCE: Duration = Duration::from_secs(600);

/// Takes the current token, as whoever changes data by hand.
pub(super) const TAKE_TOKEN: &str =
    "SELECT set_config('symphony.token', term || ':' || holder, true) FROM fence WHERE resource = 'leader'";

pub(super) struct Stage {
    _rabbitmq: RabbitMq,
    _postgres: Postgres,
    broker_url: String,
    database: String,
    cluster: Cluster,
    pub(super) visitor: Visitor,
    broker: Arc<dyn Broker>,
    web: Symphony,
    manager: Option<Symphony>,
}

impl Stage {
    /// Starts everything, and waits until it is ready.
    pub(super) async fn start(program: &str) -> Self {
        let rabbitmq = block_in_place(RabbitMq::started);
        let postgres = block_in_place(|| Postgres::start_with(&["track_commit_timestamp=on"]));
        let database = block_in_place(|| postgres.create_database());
        let cluster = Cluster::new(program, 1, &rabbitmq.url(), &database, "", shop::site("http://127.0.0.1:1"));
        let broker = ready(&rabbitmq.url(), &Self::queue()).await;
        let web = cluster.start_node(1);
        let mut stage = Self {
            broker_url: rabbitmq.url(),
            _rabbitmq: rabbitmq,
            _postgres: postgres,
            database,
            cluster,
            visitor: Visitor::new(),
            broker,
            web,
            manager: None,
        };
        stage.start_manager().await;
        stage
    }

    pub(super) fn queue() -> String {
        config::Broker::default().queue
    }

    /// Base URL of the web node.
    pub(super) fn node(&self) -> String {
        self.cluster.urls()[&1].clone()
    }

    /// Starts the manager, and waits until it is ready. It looks at no file server.
    pub(super) async fn start_manager(&mut self) {
        let never = ("SYMPHONY_MANAGER__FTP_EVERY", "1h".to_owned());
        self.manager = Some(self.cluster.start_as("manager", "manager", &[], &[never]));
        for url in [&self.node(), &self.cluster.manager] {
            let leader = if *url == self.cluster.manager { "/v1/leader" } else { "/leader" };
            let url = format!("{url}{leader}");
            let is_known = async || self.visitor.try_get(&url).await.filter(|answer| answer.status().is_success());
            crate::symphony::until(&url, is_known).await;
        }
    }

    /// Ends the manager in good order.
    pub(super) fn stop_manager(&mut self) {
        if let Some(mut manager) = self.manager.take() {
            block_in_place(|| manager.stop(PATIENCE));
        }
    }

    /// Memory of the manager that is not shared with the disk, bytes.
    pub(super) fn memory_of_manager(&self) -> u64 {
        let id = self.manager.as_ref().expect("a manager").id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the state of our own child");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux tells");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// A session of the database.
    pub(super) async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.database).await.expect("the database")
    }

    /// A channel in confirm mode, with its connection.
    pub(super) async fn channel(&self) -> (Connection, Channel) {
        let connection =
            Connection::connect(&self.broker_url, ConnectionProperties::default()).await.expect("RabbitMQ");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        (connection, channel)
    }

    /// Publishes items as the scraper does.
    pub(super) async fn publish(&self, items: usize) {
        let mut publishers = JoinSet::new();
        for first in 0..PUBLISHERS {
            let broker = Arc::clone(&self.broker);
            publishers.spawn(async move {
                for number in (first..items).step_by(PUBLISHERS) {
                    confirmed(&*broker, number).await;
                }
            });
        }
        while let Some(published) = publishers.join_next().await {
            published.expect("a publisher");
        }
    }

    /// Publishes one item, and does not wait.
    pub(super) fn publish_in_the_background(&self, number: usize) {
        let broker = Arc::clone(&self.broker);
        tokio::spawn(async move { confirmed(&*broker, number).await });
    }

    /// Waits until this many items are stored.
    pub(super) async fn stored(&self, items: usize) {
        let mut session = self.session().await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let count: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM inbox").fetch_one(&mut session).await.expect("a count");
            if count >= items as i64 {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{count} of {items} items within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Milliseconds from publication to commit of every stored item, in ascending order.
    pub(super) async fn latencies(&self) -> Vec<f64> {
        let query = "SELECT (EXTRACT(EPOCH FROM pg_xact_commit_timestamp(xmin)) * 1000 - queued_at_ms)::FLOAT8 AS ms \
                     FROM inbox ORDER BY ms";
        sqlx::query_scalar(query).fetch_all(&mut self.session().await).await.expect("latencies")
    }

    /// Empties queue and tables.
    pub(super) async fn empty(&self) {
        let (connection, channel) = self.channel().await;
        channel.queue_purge(Self::queue().into(), QueuePurgeOptions::default()).await.expect("an empty queue");
        connection.close(200, "done".into()).await.expect("a goodbye");
        let mut session = self.session().await;
        for script in [format!("BEGIN; {TAKE_TOKEN}; TRUNCATE items, inbox; COMMIT"), "VACUUM ANALYZE items".to_owned()]
        {
            sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut session).await.expect("empty tables");
        }
    }

    /// Ends everything in good order.
    pub(super) fn stop(mut self) {
        self.stop_manager();
        block_in_place(|| self.web.stop(PATIENCE));
    }
}

/// Publishes an item until that is confirmed: the database knows it by its id, however often it comes.
async fn confirmed(broker: &dyn Broker, number: usize) {
    let message = message(number);
    crate::symphony::until("a confirm", async || broker.publish(&message).await.ok()).await;
}

/// An item as a message.
pub(super) fn message(number: usize) -> Message {
    let body = item(number).to_message().expect("JSON").into();
    Message { id: format!("message-{number}"), content_type: Item::CONTENT_TYPE.into(), body }
}
