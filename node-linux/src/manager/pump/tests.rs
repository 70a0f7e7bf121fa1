//! The pump against a web node in all its moods.

use std::{sync::Arc, time::Duration};

use symphony_adapters::{broker::Message, http::Health};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::manager::{
    dead_letters::{self, DeadLetterMails},
    route::Route,
    testing::{
        self,
        broker::{RecordingBroker, message, raw_message},
        wait_until,
        web::{Mood, StandIn},
    },
};

/// A pump at work between a recording broker and whatever leads.
struct Running {
    broker: RecordingBroker,
    route: Route,
    health: Health,
    mails: DeadLetterMails,
    shutdown: CancellationToken,
    pump: JoinHandle<()>,
}

impl Running {
    fn start(broker: &RecordingBroker, patience: Patience) -> Self {
        // A batch waits long enough that what a test fills in is in it.
        let batch_age_max = Duration::from_secs(1);
        let settings = config::Manager { batch_max: 8, batch_age_max, deliveries_max: 3, ..config::Manager::default() };
        let (route, health, shutdown) = (Route::new(), Health::new(), CancellationToken::new());
        let (dead_letters, mails) = dead_letters::channel();
        let courier = Courier::new(
            testing::client(),
            route.clone(),
            dead_letters.clone(),
            health.dependency("leader"),
            settings.deliveries_max,
            patience,
        );
        let pump = Pump::new(Arc::new(broker.clone()), &settings, courier, dead_letters);
        let pump = tokio::spawn(pump.run(shutdown.clone()));
        Self { broker: broker.clone(), route, health, mails, shutdown, pump }
    }

    /// Waits until all messages are settled for good.
    async fn settled(&self, count: usize) {
        wait_until(|| self.broker.acked().len() + self.broker.rejected().len() >= count).await;
        wait_until(|| self.broker.at_rest_and_in_hand() == (0, 0)).await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.pump.await.unwrap();
    }
}

fn filled(count: usize) -> RecordingBroker {
    let broker = RecordingBroker::default();
    for number in 0..count {
        broker.put(message(&format!("m{number:02}")));
    }
    broker
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number:02}")).collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn patient() -> Patience {
    Patience { hold: Duration::from_secs(20), drain: Duration::from_secs(5) }
}

#[tokio::test]
async fn items_are_stored_in_batches_and_then_acked() {
    let broker = filled(20);
    let web = StandIn::start(7, []).await;
    let running = Running::start(&broker, patient());
    running.route.offer(web.leader(1)).unwrap();
    running.settled(20).await;
    assert_eq!(sorted(broker.acked()), ids(20));
    assert_eq!(web.stored(), ids(20));
    let posts = web.posts();
    assert!(posts.len() < 20 && posts.iter().all(|(term, ids)| *term == 7 && ids.len() <= 8), "{posts:?}");
    assert!(running.health.is_ready());
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_read_before_a_leader_is_known() {
    let broker = filled(3);
    let running = Running::start(&broker, patient());
    sleep(Duration::from_millis(50)).await;
    assert_eq!(broker.at_rest_and_in_hand(), (3, 0));
    let web = StandIn::start(1, []).await;
    running.route.offer(web.leader(1)).unwrap();
    running.settled(3).await;
    running.stop().await;
}

#[tokio::test]
async fn no_message_is_acked_before_a_2xx() {
    for mood in [
        Mood::Status(503),
        Mood::Status(500),
        Mood::Status(401),
        // A proxy's words, or those of a node that does not know this form of request.
        Mood::Status(400),
        Mood::Status(413),
        Mood::Status(422),
        Mood::Garbage,
        Mood::OtherResults,
        Mood::TooFewResults,
        Mood::HangUp,
        Mood::NotLeader(None),
    ] {
        let broker = filled(5);
        let web = StandIn::start(7, []).await;
        web.set(|script| script.otherwise = mood.clone());
        let running = Running::start(&broker, patient());
        running.route.offer(web.leader(1)).unwrap();
        wait_until(|| web.posts().len() >= 4).await;
        assert_eq!((broker.acked(), broker.rejected().len()), (vec![], 0), "{mood:?}");
        assert!(!running.health.is_ready(), "{mood:?}");
        web.set(|script| script.otherwise = Mood::Store);
        running.settled(5).await;
        assert_eq!(sorted(broker.acked()), ids(5), "{mood:?}");
        assert_eq!(web.stored(), ids(5), "{mood:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_duplicate_is_acked_and_a_conflict_is_a_dead_letter() {
    let broker = filled(1);
    let web = StandIn::start(7, [Mood::Duplicate, Mood::Conflict]).await;
    let mut running = Running::start(&broker, patient());
    running.route.offer(web.leader(1)).unwrap();
    running.settled(1).await;
    assert_eq!(broker.acked(), ["m00"]);
    broker.put(message("again"));
    running.settled(2).await;
    assert!(broker.rejected()["again"].contains("another item"));
    assert_eq!(running.mails.try_next().unwrap().key, "dead-again");
    running.stop().await;
}

#[tokio::test]
async fn a_change_of_leader_in_mid_batch_loses_nothing() {
    let broker = filled(20);
    let (old, new) = (StandIn::start(7, [Mood::Store]).await, StandIn::start(8, []).await);
    old.set(|script| script.otherwise = Mood::NotLeader(None));
    let running = Running::start(&broker, patient());
    running.route.offer(old.leader(1)).unwrap();
    wait_until(|| old.posts().len() >= 2).await;
    let acked = broker.acked();
    assert_eq!(sorted(acked), old.stored());
    running.route.offer(new.leader(2)).unwrap();
    running.settled(20).await;
    assert_eq!(sorted(broker.acked()), ids(20));
    assert_eq!(sorted([old.stored(), new.stored()].concat()), ids(20));
    assert!(new.posts().iter().all(|(term, _)| *term == 8));
    assert!(broker.requeued().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_node_that_knows_the_leader_is_believed() {
    let broker = filled(3);
    let new = StandIn::start(8, []).await;
    let old = StandIn::start(7, [Mood::NotLeader(Some(new.info(2)))]).await;
    let running = Running::start(&broker, patient());
    running.route.offer(old.leader(1)).unwrap();
    running.settled(3).await;
    assert_eq!(new.stored(), ids(3));
    assert_eq!(running.route.current(), Some(new.leader(2)));
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_again() {
    // The node stores, and the answer does not arrive: the same ids come again.
    let broker = filled(2);
    let web = StandIn::start(7, [Mood::HangUp, Mood::Duplicate]).await;
    let running = Running::start(&broker, patient());
    running.route.offer(web.leader(1)).unwrap();
    running.settled(2).await;
    let posts = web.posts();
    assert_eq!(posts[0], posts[1]);
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_item_is_a_dead_letter_and_stops_nothing() {
    let broker = filled(2);
    broker.put(raw_message("garbage", "{"));
    broker.put(raw_message("", "{}"));
    broker.put(raw_message("large", vec![b' '; 300_000]));
    broker.put(Message { content_type: "text/plain".into(), ..message("typed") });
    broker.put(message("m02"));
    let web = StandIn::start(7, []).await;
    let running = Running::start(&broker, patient());
    running.route.offer(web.leader(1)).unwrap();
    running.settled(7).await;
    assert_eq!(sorted(broker.acked()), ids(3));
    let rejected = broker.rejected();
    assert!(rejected["garbage"].contains("not an item"), "{rejected:?}");
    assert!(rejected[""].contains("no id"), "{rejected:?}");
    assert!(rejected["large"].contains("300000 bytes"), "{rejected:?}");
    assert!(rejected["typed"].contains("text/plain"), "{rejected:?}");
    running.stop().await;
}

#[tokio::test]
async fn an_item_that_the_leader_refuses_takes_no_other_down() {
    let broker = filled(16);
    let web = StandIn::start(7, []).await;
    web.set(|script| script.poison = ["m03", "m11"].map(|id| (id.into(), Mood::Content)).into());
    let running = Running::start(&broker, patient());
    running.route.offer(web.leader(1)).unwrap();
    running.settled(16).await;
    let rejected = broker.rejected();
    assert_eq!(rejected.keys().collect::<Vec<_>>(), ["m03", "m11"]);
    assert!(rejected["m03"].contains("422: bad"), "{rejected:?}");
    assert_eq!(broker.acked().len(), 14);
    running.stop().await;
}

#[tokio::test]
async fn an_item_that_makes_the_leader_fail_is_found_and_ends_in_the_dead_letter_queue() {
    let broker = filled(8);
    let web = StandIn::start(7, []).await;
    web.set(|script| script.poison = vec![("m05".into(), Mood::Status(500))]);
    let running = Running::start(&broker, patient());
    running.route.offer(web.leader(1)).unwrap();
    wait_until(|| broker.acked().len() == 7).await;
    // Alone in the queue it is not to blame: the leader may be ill. With others that pass, it is.
    for number in 8.. {
        if !broker.rejected().is_empty() {
            break;
        }
        broker.put(message(&format!("m{number:02}")));
        sleep(Duration::from_millis(100)).await;
    }
    let rejected = broker.rejected();
    assert!(rejected["m05"].contains("not stored in") && rejected["m05"].contains("500"), "{rejected:?}");
    assert!(broker.requeued().iter().filter(|id| *id == "m05").count() >= 2);
    running.stop().await;
}

#[tokio::test]
async fn a_leader_that_takes_nothing_makes_no_dead_letters() {
    // Time enough for each single item to be tried, and not.
    for hold in [Duration::from_secs(20), Duration::from_millis(300)] {
        let broker = RecordingBroker::default();
        for id in ids(2) {
            broker.put_redelivered(message(&id), 99);
        }
        let web = StandIn::start(7, []).await;
        web.set(|script| script.otherwise = Mood::Status(503));
        let running = Running::start(&broker, Patience { hold, ..patient() });
        running.route.offer(web.leader(1)).unwrap();
        wait_until(|| broker.requeued().len() >= 4).await;
        assert_eq!((broker.rejected().len(), broker.acked().len()), (0, 0));
        web.set(|script| script.otherwise = Mood::Store);
        running.settled(2).await;
        assert_eq!(sorted(broker.acked()), ids(2));
        running.stop().await;
    }
}

#[tokio::test]
async fn nobody_is_condemned_by_a_leader_that_got_well_after_it() {
    // Two items by whom the leader fails, together and the first alone; then it stores.
    let broker = RecordingBroker::default();
    for id in ids(2) {
        broker.put_redelivered(message(&id), 99);
    }
    let web = StandIn::start(7, vec![Mood::Status(503); 6]).await;
    let running = Running::start(&broker, patient());
    running.route.offer(web.leader(1)).unwrap();
    running.settled(2).await;
    assert_eq!((sorted(broker.acked()), broker.rejected().len()), (ids(2), 0));
    assert_eq!(broker.requeued(), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test]
async fn a_refusal_says_nothing_of_what_made_the_leader_fail() {
    let broker = RecordingBroker::default();
    for id in ids(2) {
        broker.put_redelivered(message(&id), 99);
    }
    let web = StandIn::start(7, []).await;
    web.set(|script| script.poison = vec![("m00".into(), Mood::Status(503)), ("m01".into(), Mood::Content)]);
    let running = Running::start(&broker, patient());
    running.route.offer(web.leader(1)).unwrap();
    wait_until(|| !broker.requeued().is_empty() && !broker.rejected().is_empty()).await;
    assert_eq!(broker.rejected().keys().collect::<Vec<_>>(), ["m01"]);
    running.stop().await;
}

#[tokio::test]
async fn a_leader_without_its_database_is_waited_for_with_the_messages_in_the_queue() {
    let broker = filled(3);
    let web = StandIn::start(7, []).await;
    web.set(|script| (script.is_ready, script.otherwise) = (false, Mood::Status(503)));
    let running = Running::start(&broker, Patience { hold: Duration::from_millis(300), ..patient() });
    running.route.offer(web.leader(1)).unwrap();
    wait_until(|| web.looks() >= 5).await;
    assert_eq!((broker.at_rest_and_in_hand(), web.posts().len()), ((3, 0), 0));
    assert!(!running.health.is_ready());
    web.set(|script| (script.is_ready, script.otherwise) = (true, Mood::Store));
    running.settled(3).await;
    assert!(broker.requeued().is_empty());
    // One that loses its database while the queue is read makes one delivery of it, however long that takes.
    web.set(|script| (script.is_ready, script.otherwise) = (false, Mood::Status(503)));
    broker.put(message("late"));
    wait_until(|| !broker.requeued().is_empty()).await;
    let looks = web.looks();
    wait_until(|| web.looks() >= looks + 4).await;
    assert_eq!(broker.requeued(), ["late"]);
    // Another manager takes it meanwhile: this one is ready all the same.
    broker.take_all();
    web.set(|script| script.is_ready = true);
    wait_until(|| running.health.is_ready()).await;
    running.stop().await;
}

#[tokio::test]
async fn stopping_finishes_the_post_in_flight_and_gives_back_the_rest() {
    // A node that hangs: the POST is given up when its time is over, and its messages go back.
    let broker = filled(12);
    let web = StandIn::start(7, [Mood::Store, Mood::Hang]).await;
    let running = Running::start(&broker, Patience { drain: Duration::from_millis(200), ..patient() });
    running.route.offer(web.leader(1)).unwrap();
    wait_until(|| web.posts().len() == 2).await;
    running.stop().await;
    assert_eq!(broker.acked().len(), 8);
    assert_eq!(broker.at_rest_and_in_hand(), (4, 0));
    assert_eq!(broker.requeued().len(), 4);
}
