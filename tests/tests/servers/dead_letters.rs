//! What can never be stored, on its way through real processes: it ends among the dead letters, with its reason, and stops
//! nothing; `symphony dlq` shows it and puts it back.

use libtest_mimic::Trial;
use serde_json::json;
use sqlx::Connection as _;
use symphony::{config, shop};
use symphony_adapters::{
    broker::Message,
    http::api::{DeadLetterInfo, DeadLetters, Replayed},
    item::Item,
};
use symphony_tests::{
    cluster::{Cluster, GRACE, TOKEN},
    contract::broker::ready,
    database::item,
    servers::{
        rabbitmq::{self, RabbitMq},
        trial,
    },
    symphony::{Symphony, Visitor, until},
};

use crate::PROGRAM;

/// Items among which the bad messages are.
const ITEMS: usize = 60;

pub(crate) fn trials() -> Vec<Trial> {
    let promise = "what_can_never_be_stored_is_a_dead_letter_and_stops_nothing";
    vec![
        trial(&format!("dead_letters::{promise}::rabbitmq"), rabbitmq::PROGRAMS, || {
            let rabbitmq = RabbitMq::started();
            run(&rabbitmq.url());
        }),
        trial(&format!("dead_letters::{promise}::embedded"), &[], || {
            let folder = tempfile::tempdir().unwrap();
            run(&format!("sqlite:{}", folder.path().join("queue.db").display()));
        }),
    ]
}

fn run(broker: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(bad_messages_among_items(broker));
}

async fn bad_messages_among_items(url: &str) {
    let queue = ready(url, &config::Broker::default().queue).await;
    let bad = bad_messages();
    for number in 0..ITEMS {
        queue.publish(&good(number)).await.unwrap();
        match bad.get(number / 10).filter(|_| number % 10 == 5) {
            Some((message, _)) if message.body.len() > Message::BODY_LEN_MAX => by_a_stranger(url, message).await,
            Some((message, _)) => queue.publish(message).await.unwrap(),
            None => {}
        }
    }
    // The embedded queue is one process's at a time.
    queue.close().await;
    drop(queue);

    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("symphony.db").display());
    let cluster = Cluster::new(PROGRAM, 1, url, &database, "", shop::site("http://127.0.0.1:1"));
    let mut web = cluster.start_node(1);
    let mut manager = cluster.start("manager", &[]);
    let visitor = Visitor::bearing(TOKEN);
    let node = &cluster.urls()[&1];
    until("all items", || async {
        let status: serde_json::Value = visitor.try_json(&format!("{node}/v1/status")).await?;
        (status["counts"]["items"] == json!(ITEMS)).then_some(())
    })
    .await;
    let letters = until("the dead letters", || async {
        let letters: DeadLetters = visitor.try_json(&format!("{}/v1/dead-letters", cluster.manager)).await?;
        // One more may die between the count and the look.
        (letters.letters.len() == bad.len() && letters.total == bad.len() as u64).then_some(letters)
    })
    .await;
    for ((message, reason), letter) in bad.iter().zip(&letters.letters) {
        assert_eq!((&letter.message_id, letter.size), (&message.id, message.body.len() as u64));
        assert!(letter.reason.contains(reason), "{letter:?} lacks {reason}");
        assert!(letter.rejected_at_ms.is_some() && letter.body.is_none(), "{letter:?}");
    }

    // So does what the manager measures.
    until("the measured dead letters", || async {
        let figures = visitor.try_get(&format!("{}/metrics", cluster.manager)).await?.text().await.ok()?;
        let has = |line: &str| figures.lines().any(|other| other == line);
        (has(&format!("symphony_dead_letters {}", bad.len())) && has("symphony_queue_messages 0")).then_some(())
    })
    .await;

    // The command line says the same, once the letters are back from the look before.
    let listed = until("the same letters", async || {
        let listed: DeadLetters = serde_json::from_str(&dlq(&cluster, &["ls", "--json"])?).unwrap();
        (listed == letters).then_some(listed)
    })
    .await;
    let last = format!("2 of {} dead letters", bad.len());
    until(&last, async || (dlq(&cluster, &["ls", "--limit", "2"])?.lines().last() == Some(&last)).then_some(())).await;
    let shown = until("a letter shown", async || dlq(&cluster, &["show", "garbage", "--json"])).await;
    let shown: DeadLetterInfo = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown.body.as_deref(), Some("{\"id\":"));
    let missing = refused(&cluster, "none", &["show", "none"]);
    assert!(missing.contains("404") && missing.contains("none"), "{missing}");

    until("the trace of a dead letter", async || {
        let trace = traced(&cluster, "nowhere")?;
        (trace.contains("dead  ") && trace.contains("site of the item is empty")).then_some(())
    })
    .await;
    let trace = traced(&cluster, &item(0).id).unwrap();
    for step in ["scraped", "queued", "delivered", "stored"] {
        assert!(trace.contains(step), "{trace}");
    }
    let mut unknown = cluster.start_as("unknown", "trace", &["unknown"], &[]);
    assert_eq!(unknown.wait(), Some(1));
    assert!(unknown.log().contains("nobody has seen"), "{}", unknown.log());

    // Replayed, they are what they were, and end where they did.
    let bare = refused(&cluster, "bare", &["replay", "garbage", "--set", "api.token="]);
    assert!(bare.contains("401") && bare.contains("token"), "{bare}");
    let back = until("a letter replayed", async || dlq(&cluster, &["replay", "garbage"])).await;
    assert_eq!(back, "1 back in the queue\n");
    let again = until("the letter to be dead again", || async {
        let letters: DeadLetters = visitor.try_json(&format!("{}/v1/dead-letters", cluster.manager)).await?;
        letters.letters.into_iter().find(|letter| letter.message_id == "garbage" && *letter != listed.letters[0])
    })
    .await;
    assert_eq!(again.reason, listed.letters[0].reason);
    assert!(again.rejected_at_ms > listed.letters[0].rejected_at_ms, "{again:?}");
    until("all letters to be replayed, and dead again", async || {
        let letters: DeadLetters = visitor.try_json(&format!("{}/v1/dead-letters", cluster.manager)).await?;
        let is_new = |letter: &DeadLetterInfo| letter.rejected_at_ms > again.rejected_at_ms;
        if letters.letters.len() < bad.len() {
            return None;
        }
        if letters.letters.iter().all(is_new) {
            return Some(());
        }
        // One that is on its way back from the look is left for the next time.
        let all: Replayed = serde_json::from_str(&dlq(&cluster, &["replay", "--all", "--json"])?).unwrap();
        assert!(all.replayed <= bad.len() as u64, "{all:?}");
        None
    })
    .await;
    assert_eq!(visitor.items(node).await.len(), ITEMS);
    manager.stop(GRACE);
    web.stop(GRACE);
}

/// Publishes as somebody who keeps no limit of ours.
async fn by_a_stranger(url: &str, message: &Message) {
    let queue = config::Broker::default().queue;
    if url.starts_with("sqlite:") {
        let mut session = sqlx::SqliteConnection::connect(url).await.unwrap();
        sqlx::query("INSERT INTO broker_message (queue, id, content_type, body) VALUES (?, ?, ?, ?)")
            .bind(queue)
            .bind(&message.id)
            .bind(&message.content_type)
            .bind(message.body.as_ref())
            .execute(&mut session)
            .await
            .unwrap();
        return;
    }
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
    let properties = lapin::BasicProperties::default()
        .with_message_id(message.id.as_str().into())
        .with_content_type(message.content_type.as_str().into());
    let options = lapin::options::BasicPublishOptions::default();
    let confirm = channel.basic_publish("".into(), queue.into(), options, &message.body, properties).await.unwrap();
    assert!(confirm.await.unwrap().is_ack());
}

fn good(number: usize) -> Message {
    let item = item(number);
    let body = item.to_message().unwrap().into();
    Message { id: format!("message-{number}"), content_type: Item::CONTENT_TYPE.into(), body }
}

/// Messages that no manager can deliver, each with a part of the reason.
fn bad_messages() -> Vec<(Message, &'static str)> {
    let bad = |id: &str, content_type: &str, body: Vec<u8>| Message {
        id: id.into(),
        content_type: content_type.into(),
        body: body.into(),
    };
    let later = "application/vnd.symphony.item.v2+json";
    let without_site = Item { site: String::new(), ..item(1) };
    vec![
        (bad("garbage", Item::CONTENT_TYPE, b"{\"id\":".to_vec()), "not an item"),
        (bad("large", Item::CONTENT_TYPE, vec![b' '; 300_000]), "300000 bytes"),
        (bad("later", later, item(2).to_message().unwrap()), "version 2"),
        (bad("picture", "image/png", vec![0xff; 10]), "image/png"),
        // The leader itself refuses it.
        (bad("nowhere", Item::CONTENT_TYPE, without_site.to_message().unwrap()), "site of the item is empty"),
        // Known by its id, and another.
        (bad("message-0", Item::CONTENT_TYPE, item(9).to_message().unwrap()), "used before"),
    ]
}

/// What `symphony dlq` prints; none if it fails, as it does for a letter that is not there.
fn dlq(cluster: &Cluster, arguments: &[&str]) -> Option<String> {
    let mut process = start(cluster, "dlq", arguments);
    (process.wait() == Some(0)).then(|| process.output())
}

/// What `symphony trace` prints; none if nobody has seen the item.
fn traced(cluster: &Cluster, item: &str) -> Option<String> {
    let mut process = cluster.start_as("trace", "trace", &[item], &[]);
    (process.wait() == Some(0)).then(|| process.output())
}

/// What it complains of.
fn refused(cluster: &Cluster, name: &str, arguments: &[&str]) -> String {
    let mut process = start(cluster, name, arguments);
    assert_eq!(process.wait(), Some(1), "{}", process.log());
    process.log()
}

fn start(cluster: &Cluster, name: &str, arguments: &[&str]) -> Symphony {
    cluster.start_as(name, "dlq", arguments, &[])
}
