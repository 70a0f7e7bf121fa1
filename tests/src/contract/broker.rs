//! What [`Broker`] promises, whoever carries the messages.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use symphony_adapters::broker::{self, Broker, BrokerError, Consumer, Delivery, Depth, Message};
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// How long anything that must happen may take.
pub const SOON: Duration = Duration::from_secs(180);

/// How long to watch that something does not happen.
const A_WHILE: Duration = Duration::from_millis(500);

/// One promise, held against the broker at a URL with a queue that nobody has used.
pub type Promise = fn(url: String, queue: String) -> Pin<Box<dyn Future<Output = ()>>>;

/// Every promise with its name.
pub const PROMISES: &[(&str, Promise)] = &[
    ("a message is delivered as it was published", |u, q| Box::pin(delivered_as_published(u, q))),
    ("messages arrive in the order of publication", |u, q| Box::pin(in_order(u, q))),
    ("an acknowledged message is gone", |u, q| Box::pin(acknowledged_is_gone(u, q))),
    ("a requeued message comes again and is counted", |u, q| Box::pin(requeued_comes_again(u, q))),
    ("a delivery dropped unsettled comes again and is counted", |u, q| Box::pin(dropped_comes_again(u, q))),
    ("a rejected message goes to the dead letters", |u, q| Box::pin(rejected_is_dead(u, q))),
    ("dead letters are shown with their reasons, and stay", |u, q| Box::pin(dead_letters_are_shown(u, q))),
    ("a replayed dead letter is delivered as it was", |u, q| Box::pin(replayed_one(u, q))),
    ("all dead letters are replayed in order", |u, q| Box::pin(replayed_all(u, q))),
    ("prefetch bounds the unsettled deliveries", |u, q| Box::pin(prefetch_bounds(u, q))),
    ("competing consumers share the messages", |u, q| Box::pin(consumers_share(u, q))),
    ("a delivery can be settled after its consumer is gone", |u, q| Box::pin(delivery_outlives_consumer(u, q))),
    ("a dropped consumer gives back what it did not hand out", |u, q| Box::pin(dropped_consumer_gives_back(u, q))),
    ("a cancelled wait for a delivery loses nothing", |u, q| Box::pin(cancelled_next_loses_nothing(u, q))),
    ("closing gives unsettled deliveries back", |u, q| Box::pin(closing_gives_back(u, q))),
    ("what cannot be carried is refused for good, and may be a dead letter", |u, q| {
        Box::pin(impossible_is_refused(u, q))
    }),
];

/// Opens a broker and waits until it can be used.
///
/// # Panics
/// If it cannot.
pub async fn ready(url: &str, queue: &str) -> Arc<dyn Broker> {
    let broker = broker::open(url, queue).await.unwrap();
    eventually("the broker is ready", async || broker.health().is_ok()).await;
    broker
}

/// Waits until a condition holds.
///
/// # Panics
/// If it does not hold within [`SOON`].
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A message with the body `body of ID`.
#[must_use]
pub fn message(id: &str) -> Message {
    Message { id: id.into(), content_type: "text/plain".into(), body: format!("body of {id}").into() }
}

/// The next delivery.
///
/// # Panics
/// If there is none within [`SOON`].
pub async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    timeout(SOON, consumer.next()).await.expect("a delivery in time")
}

/// Waits until the broker counts this.
///
/// # Panics
/// If it does not within [`SOON`].
pub async fn settles_at(broker: &Arc<dyn Broker>, ready: u64, dead: u64) {
    let expected = Depth { ready, dead };
    eventually(&format!("{expected:?}"), async || broker.depth().await.is_ok_and(|depth| depth == expected)).await;
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

async fn nothing_more(consumer: &mut Box<dyn Consumer>) {
    if let Ok(delivery) = timeout(A_WHILE, consumer.next()).await {
        panic!("unexpected: {:?}", delivery.message);
    }
}

async fn delivered_as_published(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    let mut consumer = broker.consume(10).await.unwrap();
    let bodies = [Vec::new(), b"{}".to_vec(), (0..=255).collect(), vec![7; Message::BODY_LEN_MAX]];
    for (number, body) in bodies.into_iter().enumerate() {
        let id = format!("{number}-{}", "ü".repeat(100));
        let sent = Message { id, content_type: "application/x-test; charset=ü".into(), body: body.into() };
        let before = now_ms();
        broker.publish(&sent).await.unwrap();
        let delivery = next(&mut consumer).await;
        assert!(delivery.message == sent, "another message than {number}");
        assert!((before..=now_ms()).contains(&delivery.published_at_ms.unwrap()), "{:?}", delivery.published_at_ms);
        assert_eq!(delivery.redeliveries, 0);
        delivery.ack().await.unwrap();
    }
    broker.close().await;
}

async fn in_order(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    for number in 0..50 {
        broker.publish(&message(&number.to_string())).await.unwrap();
    }
    let mut consumer = broker.consume(7).await.unwrap();
    for number in 0..50 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message, message(&number.to_string()));
        delivery.ack().await.unwrap();
    }
    broker.close().await;
}

async fn acknowledged_is_gone(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    broker.publish(&message("1")).await.unwrap();
    settles_at(&broker, 1, 0).await;
    let mut consumer = broker.consume(1).await.unwrap();
    let delivery = next(&mut consumer).await;
    settles_at(&broker, 0, 0).await;
    delivery.ack().await.unwrap();
    drop(consumer);
    nothing_more(&mut broker.consume(1).await.unwrap()).await;
    broker.close().await;
    let again = ready(&url, &queue).await;
    settles_at(&again, 0, 0).await;
    again.close().await;
}

async fn requeued_comes_again(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    let mut consumer = broker.consume(1).await.unwrap();
    broker.publish(&message("1")).await.unwrap();
    for redeliveries in 0..3 {
        let delivery = next(&mut consumer).await;
        assert_eq!((delivery.redeliveries, &delivery.message), (redeliveries, &message("1")));
        delivery.requeue().await.unwrap();
    }
    next(&mut consumer).await.ack().await.unwrap();
    settles_at(&broker, 0, 0).await;
    broker.close().await;
}

async fn dropped_comes_again(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    let mut consumer = broker.consume(1).await.unwrap();
    broker.publish(&message("1")).await.unwrap();
    drop(next(&mut consumer).await);
    let delivery = next(&mut consumer).await;
    assert_eq!((delivery.redeliveries, &delivery.message), (1, &message("1")));
    delivery.ack().await.unwrap();
    nothing_more(&mut consumer).await;
    broker.close().await;
}

async fn rejected_is_dead(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    let mut consumer = broker.consume(2).await.unwrap();
    broker.publish(&message("1")).await.unwrap();
    broker.publish(&message("2")).await.unwrap();
    next(&mut consumer).await.reject(&"why ".repeat(10_000)).await.unwrap();
    next(&mut consumer).await.ack().await.unwrap();
    settles_at(&broker, 0, 1).await;
    nothing_more(&mut consumer).await;
    broker.close().await;
}

/// Puts messages of these ids among the dead letters, each for the reason `no ID`.
async fn bury(broker: &Arc<dyn Broker>, ids: &[&str]) {
    let mut consumer = broker.consume(10).await.unwrap();
    for id in ids {
        broker.publish(&message(id)).await.unwrap();
        let delivery = next(&mut consumer).await;
        delivery.requeue().await.unwrap();
        next(&mut consumer).await.reject(&format!("no {id}")).await.unwrap();
    }
    settles_at(broker, 0, ids.len() as u64).await;
}

/// More looks than RabbitMQ 4 allows of itself.
const LOOKS: usize = 25;

async fn dead_letters_are_shown(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    assert_eq!(broker.dead_letters(None, 10).await.unwrap(), []);
    let before = now_ms();
    bury(&broker, &["1", "2", "3"]).await;
    let show = async |id: Option<&'static str>, limit| {
        let letters = broker.dead_letters(id, limit).await.unwrap();
        letters.into_iter().map(|letter| (letter.message.id.clone(), letter)).collect::<Vec<_>>()
    };
    for _ in 0..LOOKS {
        // On their way back they are out of sight.
        settles_at(&broker, 0, 3).await;
        let letters = show(None, 10).await;
        assert_eq!(letters.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        for (id, letter) in letters {
            assert_eq!((letter.message, letter.reason), (message(&id), format!("no {id}")));
            assert!((before..=now_ms()).contains(&letter.rejected_at_ms.unwrap()), "{:?}", letter.rejected_at_ms);
        }
    }
    settles_at(&broker, 0, 3).await;
    assert_eq!(show(None, 2).await.len(), 2);
    settles_at(&broker, 0, 3).await;
    assert_eq!(show(Some("2"), 10).await.len(), 1);
    settles_at(&broker, 0, 3).await;
    assert_eq!(show(Some("4"), 10).await.len(), 0);
    settles_at(&broker, 0, 3).await;
    broker.close().await;
    assert!(matches!(broker.dead_letters(None, 1).await, Err(BrokerError::Disconnected(_))));
}

async fn replayed_one(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    bury(&broker, &["1", "2", "3"]).await;
    assert_eq!(broker.replay(Some("4")).await.unwrap(), 0);
    settles_at(&broker, 0, 3).await;
    assert_eq!(broker.replay(Some("2")).await.unwrap(), 1);
    settles_at(&broker, 1, 2).await;
    let mut consumer = broker.consume(10).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!((&delivery.message, delivery.redeliveries), (&message("2"), 0));
    // It may die again, for another reason.
    delivery.reject("still no 2").await.unwrap();
    settles_at(&broker, 0, 3).await;
    let again = broker.dead_letters(Some("2"), 10).await.unwrap();
    assert_eq!(again.iter().map(|letter| letter.reason.as_str()).collect::<Vec<_>>(), ["still no 2"]);
    settles_at(&broker, 0, 3).await;
    broker.close().await;
    assert!(matches!(broker.replay(None).await, Err(BrokerError::Disconnected(_))));
}

async fn replayed_all(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    assert_eq!(broker.replay(None).await.unwrap(), 0);
    bury(&broker, &["1", "2", "3"]).await;
    assert_eq!(broker.replay(None).await.unwrap(), 3);
    settles_at(&broker, 3, 0).await;
    let mut consumer = broker.consume(10).await.unwrap();
    for id in ["1", "2", "3"] {
        let delivery = next(&mut consumer).await;
        assert_eq!((&delivery.message, delivery.redeliveries), (&message(id), 0));
        delivery.ack().await.unwrap();
    }
    settles_at(&broker, 0, 0).await;
    broker.close().await;
}

async fn prefetch_bounds(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    for number in 0..5 {
        broker.publish(&message(&number.to_string())).await.unwrap();
    }
    let mut consumer = broker.consume(2).await.unwrap();
    let first = next(&mut consumer).await;
    let second = next(&mut consumer).await;
    nothing_more(&mut consumer).await;
    settles_at(&broker, 3, 0).await;
    first.ack().await.unwrap();
    let third = next(&mut consumer).await;
    nothing_more(&mut consumer).await;
    second.ack().await.unwrap();
    third.ack().await.unwrap();
    next(&mut consumer).await.ack().await.unwrap();
    next(&mut consumer).await.ack().await.unwrap();
    settles_at(&broker, 0, 0).await;
    broker.close().await;
}

async fn consumers_share(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    let expected: Vec<String> = (0..60).map(|number| format!("{number:02}")).collect();
    for id in &expected {
        broker.publish(&message(id)).await.unwrap();
    }
    let (each_has_one, settled) = (Arc::new(Barrier::new(3)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let mut consumer = broker.consume(4).await.unwrap();
        let (each_has_one, settled, count) = (each_has_one.clone(), settled.clone(), expected.len());
        tasks.spawn(async move {
            let mut seen = Vec::new();
            // Whoever is first leaves some to the others.
            let mut delivery = Some(next(&mut consumer).await);
            each_has_one.wait().await;
            let deadline = Instant::now() + SOON;
            while settled.load(Ordering::Relaxed) < count {
                assert!(Instant::now() < deadline, "only {settled:?} of {count}");
                if let Some(delivery) = delivery.take() {
                    assert_eq!(delivery.redeliveries, 0);
                    seen.push(delivery.message.id.clone());
                    delivery.ack().await.unwrap();
                    settled.fetch_add(1, Ordering::Relaxed);
                }
                delivery = timeout(Duration::from_millis(20), consumer.next()).await.ok();
            }
            seen
        });
    }
    let mut all: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, expected);
    nothing_more(&mut broker.consume(1).await.unwrap()).await;
    broker.close().await;
}

async fn delivery_outlives_consumer(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    broker.publish(&message("1")).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    let delivery = next(&mut consumer).await;
    drop(consumer);
    let mut other = broker.consume(1).await.unwrap();
    nothing_more(&mut other).await;
    delivery.ack().await.unwrap();
    nothing_more(&mut other).await;
    settles_at(&broker, 0, 0).await;
    broker.close().await;
}

async fn dropped_consumer_gives_back(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    for number in 0..10 {
        broker.publish(&message(&number.to_string())).await.unwrap();
    }
    let mut consumer = broker.consume(10).await.unwrap();
    let held = next(&mut consumer).await;
    settles_at(&broker, 0, 0).await;
    drop(consumer);
    // Although one delivery is still unsettled.
    settles_at(&broker, 9, 0).await;
    held.ack().await.unwrap();
    let mut other = broker.consume(10).await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < 9 {
        let delivery = next(&mut other).await;
        seen.insert(delivery.message.id.clone());
        delivery.ack().await.unwrap();
    }
    assert!(!seen.contains("0"));
    settles_at(&broker, 0, 0).await;
    broker.close().await;
}

async fn cancelled_next_loses_nothing(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    let mut consumer = broker.consume(3).await.unwrap();
    let publisher = broker.clone();
    let publishing = tokio::spawn(async move {
        for number in 0..100 {
            publisher.publish(&message(&number.to_string())).await.unwrap();
        }
    });
    let deadline = Instant::now() + SOON;
    let mut seen = Vec::new();
    while seen.len() < 100 {
        assert!(Instant::now() < deadline, "only {} of 100", seen.len());
        if let Ok(delivery) = timeout(Duration::from_micros(200), consumer.next()).await {
            assert_eq!(delivery.redeliveries, 0);
            seen.push(delivery.message.id.clone());
            delivery.ack().await.unwrap();
        }
    }
    publishing.await.unwrap();
    assert_eq!(seen, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    broker.close().await;
}

async fn closing_gives_back(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    broker.publish(&message("1")).await.unwrap();
    let mut consumer = broker.consume(1).await.unwrap();
    let late = next(&mut consumer).await;
    broker.close().await;
    assert!(matches!(broker.health(), Err(BrokerError::Disconnected(_))));
    assert!(matches!(broker.publish(&message("2")).await, Err(BrokerError::Disconnected(_))));
    assert!(matches!(late.ack().await, Err(BrokerError::Disconnected(_))));
    let again = ready(&url, &queue).await;
    let mut consumer = again.consume(1).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!((delivery.redeliveries, &delivery.message), (1, &message("1")));
    delivery.ack().await.unwrap();
    nothing_more(&mut consumer).await;
    again.close().await;
}

async fn impossible_is_refused(url: String, queue: String) {
    let broker = ready(&url, &queue).await;
    assert!(matches!(broker.consume(0).await, Err(BrokerError::Configuration(_))));
    for id in [String::new(), "i".repeat(256)] {
        let refused = broker.publish(&Message { id, ..message("") }).await;
        assert!(matches!(refused, Err(BrokerError::Unfit(_))), "{refused:?}");
    }
    let too_long = Message { body: vec![0; Message::BODY_LEN_MAX + 1].into(), ..message("long") };
    let refused = broker.publish(&too_long).await;
    assert!(matches!(refused, Err(BrokerError::Unfit(_))), "{refused:?}");
    broker.publish(&Message { id: "i".repeat(255), ..message("") }).await.unwrap();
    settles_at(&broker, 1, 0).await;

    broker.bury(&too_long, "too long").await.unwrap();
    settles_at(&broker, 1, 1).await;
    let letter = broker.dead_letters(None, 1).await.unwrap().remove(0);
    assert_eq!(
        (letter.message.id, letter.message.body.len(), letter.reason),
        ("long".into(), Message::BODY_LEN_MAX, "too long".into())
    );
    assert_eq!(letter.message.content_type, too_long.content_type);
    broker.close().await;
}
