//! The database knows where an item has been.

use std::time::Duration;

use symphony_adapters::{
    database::{Incoming, MailOutcome, Outcome, TracedFile, TracedMessage},
    item::Item,
};

use super::{files::file, item, open_as_leader, promises};

promises![
    an_item_is_traced_through_its_messages_files_and_mails,
    a_message_of_which_nothing_is_known_is_traced_all_the_same,
    only_the_latest_messages_are_shown,
    an_item_that_was_never_stored_has_no_trace,
];

async fn an_item_is_traced_through_its_messages_files_and_mails(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let id = item(1).id;
    for number in [1, 2] {
        let incoming = Incoming {
            queued_at_ms: Some(number * 1000 + 10),
            delivered_at_ms: Some(number * 1000 + 20),
            ..super::message(&format!("m{number}"), Item { scraped_at_ms: number * 1000, ..item(1) })
        };
        let with_price = Incoming { item: Item { title: format!("Lamp {number}"), ..incoming.item }, ..incoming };
        database.store_items(&token, &[with_price]).await.unwrap();
    }
    let content = format!("id,title\n{id},Lamp\n");
    assert_eq!(database.store_file(&token, &file("/with.csv", content.as_bytes())).await.unwrap(), Outcome::Stored);
    assert_eq!(database.store_file(&token, &file("/without.csv", b"id,title\n")).await.unwrap(), Outcome::Stored);
    assert_eq!(database.store_items(&token, &[super::incoming(2)]).await.unwrap(), [Outcome::Stored]);

    let trace = database.trace(&id).await.unwrap().unwrap();
    let way = |message: &TracedMessage| {
        (message.message_id.clone(), message.scraped_at_ms, message.queued_at_ms, message.delivered_at_ms, message.term)
    };
    assert_eq!(
        trace.messages.iter().map(way).collect::<Vec<_>>(),
        [
            ("m1".to_owned(), Some(1000), Some(1010), Some(1020), 1),
            ("m2".to_owned(), Some(2000), Some(2010), Some(2020), 1)
        ]
    );
    assert!(trace.messages.iter().all(|message| message.stored_at_ms > 1_700_000_000_000), "{trace:?}");
    let [TracedFile { path, mail, mail_settled_at_ms: None, .. }] = &trace.files[..] else { panic!("{trace:?}") };
    assert_eq!((path.as_str(), mail.as_deref()), ("/with.csv", Some("waiting")));

    for mail in database.claim_mails(&token, 10, Duration::from_secs(60)).await.unwrap() {
        database.settle_mail(&mail, &MailOutcome::Sent).await.unwrap();
    }
    let trace = database.trace(&id).await.unwrap().unwrap();
    assert_eq!(trace.files[0].mail.as_deref(), Some("sent"));
    assert!(trace.files[0].mail_settled_at_ms >= Some(trace.files[0].stored_at_ms), "{trace:?}");
}

async fn a_message_of_which_nothing_is_known_is_traced_all_the_same(url: String) {
    let (database, token) = open_as_leader(&url).await;
    database.store_items(&token, &[super::incoming(1)]).await.unwrap();
    let trace = database.trace(&item(1).id).await.unwrap().unwrap();
    let [message] = &trace.messages[..] else { panic!("{trace:?}") };
    assert_eq!((message.queued_at_ms, message.delivered_at_ms), (None, None));
    assert_eq!(trace.files, []);
}

async fn only_the_latest_messages_are_shown(url: String) {
    let (database, token) = open_as_leader(&url).await;
    for number in 0..30 {
        let state = Item { title: number.to_string(), ..item(1) };
        database.store_items(&token, &[super::message(&format!("m{number:02}"), state)]).await.unwrap();
    }
    let trace = database.trace(&item(1).id).await.unwrap().unwrap();
    assert_eq!(trace.messages.len(), 20);
    assert!(trace.messages.is_sorted_by_key(|message| message.stored_at_ms), "{trace:?}");
}

async fn an_item_that_was_never_stored_has_no_trace(url: String) {
    let (database, token) = open_as_leader(&url).await;
    database.store_items(&token, &[super::incoming(1)]).await.unwrap();
    for id in ["", "none", "\0", "'"] {
        assert_eq!(database.trace(id).await.unwrap(), None, "{id:?}");
    }
}
