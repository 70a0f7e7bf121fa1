//! Nothing lost, nothing twice.

use serde_json::json;
use symphony_adapters::{
    database::{Database, Outcome},
    item::Item,
};

use super::{assert_invalid, incoming, item, leader, message, open_as_leader, promises};

promises![
    a_message_has_its_effect_once,
    the_same_id_with_other_content_is_a_conflict,
    duplicates_and_conflicts_inside_one_batch_are_told_apart,
    two_sessions_with_one_batch_store_it_once,
    a_new_state_of_an_item_is_its_next_revision,
    an_old_state_never_replaces_a_younger_one,
    a_state_that_has_come_back_under_its_first_message_is_the_items_state,
    several_states_of_one_item_in_a_batch_leave_the_latest,
    an_item_comes_back_as_it_went_in,
    text_that_postgres_cannot_hold_is_stored_all_the_same,
    a_large_batch_is_stored_in_order,
    keys_without_bounds_are_invalid,
];

async fn a_message_has_its_effect_once(url: String) {
    let (database, token) = open_as_leader(&url).await;
    assert_eq!(database.store_items(&token, &[]).await.unwrap(), []);
    let batch = [incoming(1), incoming(2)];
    assert_eq!(database.store_items(&token, &batch).await.unwrap(), [Outcome::Stored; 2]);
    assert_eq!(database.store_items(&token, &batch).await.unwrap(), [Outcome::Duplicate; 2]);
    let mut later = incoming(1);
    later.item.scraped_at_ms += 60_000;
    let outcomes = database.store_items(&token, &[later, incoming(3)]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Stored]);
    assert_eq!(database.counts().await.unwrap().items, 3);
    let stored = database.item(&item(1).id).await.unwrap().unwrap();
    assert_eq!((stored.item, stored.revision, stored.term), (item(1), 1, 1));
    assert_eq!(stored.first_stored_at_ms, stored.stored_at_ms);
    assert_eq!(database.item("no such item").await.unwrap(), None);
}

async fn the_same_id_with_other_content_is_a_conflict(url: String) {
    let (database, token) = open_as_leader(&url).await;
    database.store_items(&token, &[incoming(1)]).await.unwrap();
    let other = message("message-1", Item { title: "Other".into(), ..item(1) });
    assert_eq!(database.store_items(&token, &[other]).await.unwrap(), [Outcome::Conflict]);
    assert_eq!(database.item(&item(1).id).await.unwrap().unwrap().item, item(1));
}

async fn duplicates_and_conflicts_inside_one_batch_are_told_apart(url: String) {
    let (database, token) = open_as_leader(&url).await;
    database.store_items(&token, &[incoming(9)]).await.unwrap();
    let other = |id: &str| message(id, Item { title: "Other".into(), ..item(5) });
    let batch =
        [incoming(1), incoming(1), other("message-1"), other("message-9"), incoming(9), incoming(2), incoming(1)];
    use Outcome::{Conflict, Duplicate, Stored};
    assert_eq!(
        database.store_items(&token, &batch).await.unwrap(),
        [Stored, Duplicate, Conflict, Conflict, Duplicate, Stored, Duplicate]
    );
    assert_eq!(database.item(&item(5).id).await.unwrap(), None);
    assert_eq!(database.item(&item(1).id).await.unwrap().unwrap().revision, 1);
    assert_eq!(database.counts().await.unwrap().items, 3);
}

async fn two_sessions_with_one_batch_store_it_once(url: String) {
    let (one, token) = open_as_leader(&url).await;
    let two = Database::open(&url).await.unwrap();
    for round in 0..10 {
        let batch: Vec<_> = (0..50).map(|n| incoming(round * 50 + n)).collect();
        let reversed: Vec<_> = batch.iter().rev().cloned().collect();
        let (a, b) = tokio::join!(one.store_items(&token, &batch), two.store_items(&token, &reversed));
        let outcomes = [a.unwrap(), b.unwrap()].concat();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Stored).count(), 50);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Duplicate).count(), 50);
    }
    assert_eq!(one.counts().await.unwrap().items, 500);
    assert_eq!(one.item(&item(7).id).await.unwrap().unwrap().revision, 1);
}

async fn a_new_state_of_an_item_is_its_next_revision(url: String) {
    let (database, token) = open_as_leader(&url).await;
    database.store_items(&token, &[incoming(1)]).await.unwrap();
    let first = database.item(&item(1).id).await.unwrap().unwrap();
    let next = leader(2, 2);
    database.promote(&next).await.unwrap();
    let dearer = Item { title: "Dearer".into(), scraped_at_ms: 2_000, ..item(1) };
    database.store_items(&next.token, &[message("second", dearer.clone())]).await.unwrap();
    let second = database.item(&item(1).id).await.unwrap().unwrap();
    assert_eq!((second.item, second.revision, second.term), (dearer, 2, 2));
    assert_eq!(second.first_stored_at_ms, first.first_stored_at_ms);
    assert!(second.stored_at_ms >= first.stored_at_ms);
}

async fn an_old_state_never_replaces_a_younger_one(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let young = Item { title: "Young".into(), scraped_at_ms: 2_000, ..item(1) };
    let old = Item { title: "Old".into(), scraped_at_ms: 1_000, ..item(1) };
    for (id, item) in [("young", &young), ("old", &old)] {
        let outcomes = database.store_items(&token, &[message(id, item.clone())]).await.unwrap();
        assert_eq!(outcomes, [Outcome::Stored]);
    }
    let stored = database.item(&young.id).await.unwrap().unwrap();
    assert_eq!((stored.item, stored.revision), (young, 1));
}

async fn a_state_that_has_come_back_under_its_first_message_is_the_items_state(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let at = |price: u64, scraped_at_ms| Item {
        fields: [("price".to_owned(), json!({"amount": price}))].into(),
        scraped_at_ms,
        ..item(1)
    };
    let first = message("first", at(10, 1_000));
    for message in [first.clone(), message("second", at(12, 2_000))] {
        assert_eq!(database.store_items(&token, &[message]).await.unwrap(), [Outcome::Stored]);
    }
    // Merely delivered again, alone and beside others: nothing.
    for _ in 0..2 {
        let batch = [first.clone(), message("another", item(2))];
        assert_eq!(database.store_items(&token, &batch).await.unwrap()[0], Outcome::Duplicate);
        assert_eq!(database.item(&item(1).id).await.unwrap().unwrap().item, at(12, 2_000));
    }
    // A scraper that has lost its state sees the old price again, and does not know of the other.
    let again = message("first", at(10, 3_000));
    for _ in 0..2 {
        assert_eq!(database.store_items(&token, std::slice::from_ref(&again)).await.unwrap(), [Outcome::Duplicate]);
        let stored = database.item(&item(1).id).await.unwrap().unwrap();
        assert_eq!((stored.item, stored.revision), (at(10, 3_000), 2), "two messages");
    }
    // What says nothing new changes nothing, however late.
    database.store_items(&token, &[message("first", at(10, 4_000))]).await.unwrap();
    assert_eq!(database.item(&item(1).id).await.unwrap().unwrap().item, at(10, 3_000));
}

async fn several_states_of_one_item_in_a_batch_leave_the_latest(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let at = |scraped_at_ms| Item { title: format!("At {scraped_at_ms}"), scraped_at_ms, ..item(1) };
    let batch = [message("b", at(2_000)), message("c", at(3_000)), message("a", at(1_000))];
    assert_eq!(database.store_items(&token, &batch).await.unwrap(), [Outcome::Stored; 3]);
    let stored = database.item(&item(1).id).await.unwrap().unwrap();
    assert_eq!((stored.item, stored.revision), (at(3_000), 3));
}

async fn an_item_comes_back_as_it_went_in(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let odd = Item {
        id: "0dd".into(),
        site: "søk'; DROP TABLE items; --".into(),
        url: "http://shop/?q=%25&x=\"y\"".into(),
        title: "  Ünïcode 🎻 \\ / ' \" \u{1}\n\ttitle  ".into(),
        fields: [
            ("text".to_owned(), json!("with \"quotes\", \\u0000 and 'ticks'")),
            ("empty".to_owned(), json!("")),
            ("".to_owned(), json!("the empty name")),
            ("a.b[0]\"$'".to_owned(), json!("the odd name")),
            ("integer".to_owned(), json!(9_007_199_254_740_993_i64)),
            ("huge".to_owned(), json!(1e300)),
            ("tiny".to_owned(), json!(1.5e-9)),
            ("price".to_owned(), json!({"amount": "12.30", "currency": "EUR"})),
            ("more".to_owned(), json!([true, false, null, {"z": 1, "a": [2]}])),
        ]
        .into(),
        scraped_at_ms: -5,
    };
    database.store_items(&token, &[message("odd", odd.clone())]).await.unwrap();
    assert_eq!(database.item("0dd").await.unwrap().unwrap().item, odd);
}

async fn text_that_postgres_cannot_hold_is_stored_all_the_same(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let mut nul = item(1);
    nul.title = "a\0b".into();
    nul.fields.insert("x\0".into(), json!(["\0"]));
    let batch = [message("nul\0", nul.clone()), incoming(2)];
    assert_eq!(database.store_items(&token, &batch).await.unwrap(), [Outcome::Stored; 2]);
    assert_eq!(database.store_items(&token, &batch).await.unwrap(), [Outcome::Duplicate; 2]);
    let stored = database.item(&nul.id).await.unwrap().unwrap().item;
    assert_eq!(stored.title, "a\u{fffd}b");
    assert_eq!(stored.fields["x\u{fffd}"], json!(["\u{fffd}"]));
    assert_eq!(database.item("a\0").await.unwrap(), None);
}

async fn a_large_batch_is_stored_in_order(url: String) {
    let (database, token) = open_as_leader(&url).await;
    database.store_items(&token, &[incoming(1_000), incoming(4_999)]).await.unwrap();
    let batch: Vec<_> = (0..5_000).map(incoming).collect();
    let outcomes = database.store_items(&token, &batch).await.unwrap();
    for (number, outcome) in outcomes.iter().enumerate() {
        let expected = if matches!(number, 1_000 | 4_999) { Outcome::Duplicate } else { Outcome::Stored };
        assert_eq!(*outcome, expected, "{number}");
    }
    assert_eq!(database.counts().await.unwrap().items, 5_000);
}

async fn keys_without_bounds_are_invalid(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let long = "x".repeat(5_000);
    assert_invalid(database.store_items(&token, &[incoming(1), message("", item(2))]).await);
    assert_invalid(database.store_items(&token, &[message(&long, item(2))]).await);
    assert_invalid(database.store_items(&token, &[message("m", Item { id: long.clone(), ..item(2) })]).await);
    assert_invalid(database.store_items(&token, &[message("m", Item { site: long, ..item(2) })]).await);
    assert_eq!(database.counts().await.unwrap().items, 0);
    let longest = Item { id: "i".repeat(512), site: "s".repeat(512), ..item(2) };
    let outcomes = database.store_items(&token, &[message(&"m".repeat(512), longest)]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Stored]);
}
