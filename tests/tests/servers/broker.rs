//! RabbitMQ: every promise of a broker, and what only a real one can put to the test.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use libtest_mimic::Trial;
use symphony_adapters::broker::{self, Broker, BrokerError, Depth};
use symphony_tests::{
    contract::{
        block_on,
        broker::{PROMISES, SOON, eventually, message, next, ready, settles_at},
    },
    servers::{
        rabbitmq::{PROGRAMS, RabbitMq},
        trial,
    },
};
use tokio::{net::TcpListener, time::sleep};

/// One node for all trials that leave it running: the last trial to go stops it.
type SharedNode = Arc<OnceLock<RabbitMq>>;

pub(super) fn trials() -> Vec<Trial> {
    let node = SharedNode::default();
    let mut trials = Vec::new();
    for (number, (name, promise)) in PROMISES.iter().enumerate() {
        let node = node.clone();
        trials.push(trial(&format!("rabbitmq: {name}"), PROGRAMS, move || {
            block_on(promise(node.get_or_init(RabbitMq::started).url(), format!("promise-{number}")));
        }));
    }
    let mut on_shared = |name: &str, test: fn(String)| {
        let node = node.clone();
        trials.push(trial(name, PROGRAMS, move || test(node.get_or_init(RabbitMq::started).url())));
    };
    on_shared("rabbitmq: a dead letter carries its reason", |url| block_on(dead_letter_carries_reason(url)));
    on_shared("rabbitmq: a dead letter stays, wherever its message came from", |url| block_on(foreign_message(url)));
    on_shared("rabbitmq: a message without an id is a dead letter", |url| block_on(no_id_is_dead(url)));
    on_shared("rabbitmq: a deleted queue is reported and declared again", |url| block_on(deleted_queue(url)));
    on_shared("rabbitmq: a consumer outlives the deletion of its queue", |url| block_on(consumer_outlives_queue(url)));
    on_shared("rabbitmq: a queue declared otherwise is reported", |url| block_on(declared_otherwise(url)));
    on_shared("rabbitmq: many publications at once are each confirmed", |url| block_on(many_at_once(url)));
    trials.push(trial("rabbitmq: nothing is lost over restarts and crashes", PROGRAMS, restarts_lose_nothing));
    trials.push(Trial::test("rabbitmq: a peer that says nothing is given up", || {
        block_on(silent_peer());
        Ok(())
    }));
    trials
}

async fn channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn delete(channel: &Channel, queue: &str) {
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
}

/// The reason, id and body of the next dead letter of a queue.
async fn dead_letter(channel: &Channel, queue: &str) -> (String, Option<String>, Vec<u8>) {
    let dead = format!("{queue}.dead");
    let letter = channel.basic_get(dead.into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap().delivery;
    let headers = letter.properties.headers().clone().unwrap();
    let Some(AMQPValue::LongString(reason)) = headers.inner().get("x-symphony-reason") else { panic!("no reason") };
    (reason.to_string(), letter.properties.message_id().as_ref().map(ToString::to_string), letter.data)
}

async fn dead_letter_carries_reason(url: String) {
    let queue = "reasons";
    let broker = ready(&url, queue).await;
    broker.publish(&message("1")).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    next(&mut consumer).await.reject("the price is no number").await.unwrap();
    settles_at(&broker, 0, 1).await;
    let (_connection, channel) = channel(&url).await;
    let letter = dead_letter(&channel, queue).await;
    assert_eq!(letter, ("the price is no number".into(), Some("1".into()), message("1").body.to_vec()));
    broker.close().await;
}

async fn foreign_message(url: String) {
    let queue = "foreign";
    let broker = ready(&url, queue).await;
    let (_connection, channel) = channel(&url).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    // What would send every copy to the queue again, and take the letter away after a moment.
    let mut headers = FieldTable::default();
    headers.insert("CC".into(), AMQPValue::FieldArray(vec![AMQPValue::LongString(queue.into())].into()));
    let properties = BasicProperties::default()
        .with_message_id("1".into())
        .with_content_type("text/plain".into())
        .with_expiration("60000".into())
        .with_headers(headers);
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), queue.into(), options, b"x", properties).await.unwrap().await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    next(&mut consumer).await.reject("no").await.unwrap();
    settles_at(&broker, 0, 1).await;
    let dead = format!("{queue}.dead");
    let letter = channel.basic_get(dead.into(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap().delivery;
    assert_eq!(letter.properties.message_id().as_ref().map(ToString::to_string).as_deref(), Some("1"));
    assert_eq!(letter.properties.content_type().as_ref().map(ToString::to_string).as_deref(), Some("text/plain"));
    assert_eq!(letter.properties.expiration(), &None);
    let headers = letter.properties.headers().clone().unwrap();
    let mut names: Vec<_> = headers.inner().keys().map(ToString::to_string).collect();
    // RabbitMQ's own.
    names.retain(|name| name != "x-delivery-count");
    assert_eq!(names, ["x-symphony-reason", "x-symphony-rejected-at-ms"]);
    settles_at(&broker, 0, 0).await;
    broker.close().await;
}

async fn no_id_is_dead(url: String) {
    let queue = "nameless";
    let broker = ready(&url, queue).await;
    let (_connection, channel) = channel(&url).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    channel.basic_publish("".into(), queue.into(), options, b"who?", properties).await.unwrap().await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    broker.publish(&message("1")).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message, message("1"));
    delivery.ack().await.unwrap();
    settles_at(&broker, 0, 1).await;
    let (reason, id, body) = dead_letter(&channel, queue).await;
    assert!(reason.contains("message_id"), "{reason}");
    assert_eq!((id, body), (None, b"who?".to_vec()));
    broker.close().await;
}

async fn deleted_queue(url: String) {
    let queue = "deleted";
    let broker = ready(&url, queue).await;
    broker.publish(&message("1")).await.unwrap();
    let (_connection, channel) = channel(&url).await;
    delete(&channel, queue).await;
    let lost = broker.publish(&message("2")).await;
    assert!(matches!(&lost, Err(BrokerError::Unroutable(id)) if id == "2"), "{lost:?}");
    broker.publish(&message("2")).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message, message("2"));
    // The dead-letter queue goes too: the letter still arrives.
    delete(&channel, &format!("{queue}.dead")).await;
    delivery.reject("no").await.unwrap();
    settles_at(&broker, 0, 1).await;
    broker.close().await;
}

async fn consumer_outlives_queue(url: String) {
    let queue = "cancelled";
    let broker = ready(&url, queue).await;
    let mut consumer = broker.consume(1).await.unwrap();
    broker.publish(&message("1")).await.unwrap();
    next(&mut consumer).await.ack().await.unwrap();
    let (connection, channel) = channel(&url).await;
    delete(&channel, queue).await;
    // Whoever publishes declares it anew, which RabbitMQ does not survive while it still knows the old one's consumers.
    eventually("the consumer has its queue back", async || exists(&connection, queue).await).await;
    broker.publish(&message("2")).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.message, message("2"));
    delivery.ack().await.unwrap();
    broker.close().await;
}

/// Whether there is such a queue; the question makes none.
async fn exists(connection: &Connection, queue: &str) -> bool {
    let channel = connection.create_channel().await.unwrap();
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.is_ok()
}

async fn declared_otherwise(url: String) {
    let queue = "classic";
    let (_connection, channel) = channel(&url).await;
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), Default::default()).await.unwrap();
    let broker = broker::open(&url, queue).await.unwrap();
    let told =
        async || matches!(broker.health(), Err(BrokerError::Disconnected(why)) if why.contains("PRECONDITION_FAILED"));
    eventually("the reason is told", told).await;
    delete(&channel, queue).await;
    eventually("the queue is declared", async || broker.health().is_ok()).await;
    broker.close().await;
}

async fn many_at_once(url: String) {
    let broker = ready(&url, "many").await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let broker = broker.clone();
        tasks.spawn(async move { broker.publish(&message(&number.to_string())).await });
    }
    for published in tasks.join_all().await {
        published.unwrap();
    }
    settles_at(&broker, 100, 0).await;
    broker.close().await;
}

/// One stream of messages over a node that starts late, stops, starts, crashes and starts again.
fn restarts_lose_nothing() {
    let mut node = RabbitMq::new();
    let url = node.url();
    block_on(async move {
        let broker = broker::open(&url, "stream").await.unwrap();
        assert!(matches!(broker.health(), Err(BrokerError::Disconnected(_))));
        let mut consumer = broker.consume(20).await.unwrap();
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let publishing = tokio::spawn(publish_until(broker.clone(), stop.clone(), count.clone()));
        let messages_flow = async || {
            let enough = count.load(Ordering::Relaxed) + 40;
            eventually("messages flow", async || count.load(Ordering::Relaxed) >= enough).await;
        };
        let consuming = tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            loop {
                let delivery = consumer.next().await;
                let id = delivery.message.id.clone();
                if id == "last" {
                    delivery.ack().await.unwrap();
                    return seen;
                }
                seen.insert(id);
                // Where the answer is lost the broker may have been told, and then the message does not come again.
                let _ = delivery.ack().await;
            }
        });

        node = in_background(node, RabbitMq::start).await;
        messages_flow().await;
        node = in_background(node, RabbitMq::stop).await;
        eventually("the loss is noticed", async || broker.health().is_err()).await;
        assert!(matches!(broker.publish(&message("x")).await, Err(BrokerError::Disconnected(_))));
        node = in_background(node, RabbitMq::start).await;
        messages_flow().await;
        node = in_background(node, RabbitMq::crash).await;
        eventually("the loss is noticed", async || broker.health().is_err()).await;
        node = in_background(node, RabbitMq::start).await;
        messages_flow().await;

        stop.store(true, Ordering::Relaxed);
        let published = publishing.await.unwrap();
        settles_at(&broker, 0, 0).await;
        eventually("the end is published", async || broker.publish(&message("last")).await.is_ok()).await;
        let seen = tokio::time::timeout(SOON, consuming).await.unwrap().unwrap();
        let lost: Vec<_> = published.difference(&seen).collect();
        assert!(lost.is_empty(), "lost of {}: {lost:?}", published.len());
        assert_eq!(broker.depth().await.unwrap(), Depth::default());
        broker.close().await;
        drop(node);
    });
}

/// Publishes ever new messages, each until it is confirmed, counts them, and returns the ids of all.
async fn publish_until(broker: Arc<dyn Broker>, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) -> BTreeSet<String> {
    let mut published = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let id = format!("{:06}", published.len());
        while broker.publish(&message(&id)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
        published.insert(id);
        count.store(published.len(), Ordering::Relaxed);
    }
    published
}

async fn in_background(mut node: RabbitMq, act: fn(&mut RabbitMq)) -> RabbitMq {
    tokio::task::spawn_blocking(move || {
        act(&mut node);
        node
    })
    .await
    .unwrap()
}

/// A socket that is accepted and then ignored: each attempt ends, and so does its thread.
async fn silent_peer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let broker = broker::open(&format!("amqp://127.0.0.1:{port}"), "silent").await.unwrap();
    let (mut first, _) = listener.accept().await.unwrap();
    let (_second, _) = tokio::time::timeout(SOON, listener.accept()).await.unwrap().unwrap();
    assert!(matches!(broker.health(), Err(BrokerError::Disconnected(_))));
    // The first socket is closed from the other side.
    let mut greeting = Vec::new();
    let closing = tokio::io::AsyncReadExt::read_to_end(&mut first, &mut greeting);
    tokio::time::timeout(SOON, closing).await.unwrap().unwrap();
    assert_eq!(greeting, b"AMQP\x00\x00\x09\x01");
    broker.close().await;
}
