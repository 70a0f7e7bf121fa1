//! Lists of items: order, search, filters.

use std::collections::HashSet;

use serde_json::json;
use symphony_adapters::{
    database::{Database, Incoming, ItemQuery},
    item::Item,
};

use super::{assert_invalid, incoming, item, message, open_as_leader, promises};

promises![
    pages_neither_skip_nor_repeat_while_items_arrive,
    the_latest_comes_first,
    a_forged_cursor_or_limit_is_invalid,
    all_words_must_occur_whatever_their_case,
    wildcards_in_a_search_are_plain_text,
    a_filter_takes_one_site,
    a_filter_takes_one_value_of_a_field,
    sites_are_listed_in_order,
    a_changed_item_is_found_by_what_it_says_now,
    what_is_rare_is_found_at_once_and_all_else_in_bounded_steps,
];

async fn pages_neither_skip_nor_repeat_while_items_arrive(url: String) {
    let (database, token) = open_as_leader(&url).await;
    // One batch: all of one millisecond, told apart by their ids alone.
    let batch: Vec<_> = (0..100).map(incoming).collect();
    database.store_items(&token, &batch).await.unwrap();
    let expected: HashSet<_> = batch.iter().map(|incoming| incoming.item.id.clone()).collect();
    let mut seen = Vec::new();
    let mut query = ItemQuery { limit: Some(7), ..ItemQuery::default() };
    for page in 0.. {
        let rows = database.items(&query).await.unwrap();
        assert!(rows.rows.len() <= 7);
        seen.extend(rows.rows.into_iter().map(|stored| stored.item.id));
        database.store_items(&token, &[incoming(1_000 + page), incoming(2_000 + page)]).await.unwrap();
        match rows.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len(), 100);
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), expected);
}

async fn the_latest_comes_first(url: String) {
    let (database, token) = open_as_leader(&url).await;
    assert_eq!(database.items(&ItemQuery::default()).await.unwrap().rows, []);
    for number in 0..60 {
        database.store_items(&token, &[incoming(number)]).await.unwrap();
    }
    let page = database.items(&ItemQuery::default()).await.unwrap();
    assert_eq!(page.rows.len(), 50);
    assert!(page.rows.is_sorted_by(|a, b| a.stored_at_ms >= b.stored_at_ms));
    let rest = database.items(&ItemQuery { cursor: page.next, ..ItemQuery::default() }).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (10, None));
    let exact = database.items(&ItemQuery { limit: Some(60), ..ItemQuery::default() }).await.unwrap();
    assert_eq!((exact.rows.len(), exact.next), (60, None));
}

async fn a_forged_cursor_or_limit_is_invalid(url: String) {
    let (database, _) = open_as_leader(&url).await;
    for cursor in ["", "x", "00", "6974656d73", "'; DROP TABLE items; --"] {
        assert_invalid(database.items(&ItemQuery { cursor: Some(cursor.into()), ..ItemQuery::default() }).await);
        assert_invalid(database.files(Some(cursor), None).await);
    }
    for limit in [0, 201, u32::MAX] {
        assert_invalid(database.items(&ItemQuery { limit: Some(limit), ..ItemQuery::default() }).await);
        assert_invalid(database.files(None, Some(limit)).await);
    }
    let long = ItemQuery { search: Some("a".repeat(100_000)), ..ItemQuery::default() };
    assert_invalid(database.items(&long).await);
    let many = ItemQuery { search: Some("a ".repeat(100)), ..ItemQuery::default() };
    assert_invalid(database.items(&many).await);
    assert_invalid(database.items(&ItemQuery { value: Some("x".into()), ..ItemQuery::default() }).await);
}

async fn all_words_must_occur_whatever_their_case(url: String) {
    let database = filled(&url).await;
    assert_eq!(found(&database, "GRÜNE").await, ["green"]);
    assert_eq!(found(&database, "  lampe \t grüne ").await, ["green"]);
    assert_eq!(found(&database, "lampe").await, ["green", "red"]);
    assert_eq!(found(&database, "lampe 12.30").await, ["green"]);
    assert_eq!(found(&database, "grüne rote").await, [""; 0]);
    assert_eq!(found(&database, "mp").await, ["green", "red"]);
    assert_eq!(found(&database, "oak").await, ["percent"]);
    assert_eq!(found(&database, "").await.len(), 4);
    assert_eq!(found(&database, "nul\0").await, [""; 0]);
}

async fn wildcards_in_a_search_are_plain_text(url: String) {
    let database = filled(&url).await;
    assert_eq!(found(&database, "100%").await, ["percent"]);
    assert_eq!(found(&database, "1%").await, [""; 0]);
    assert_eq!(found(&database, "a_b").await, ["underscore"]);
    assert_eq!(found(&database, "_").await, ["underscore"]);
    assert_eq!(found(&database, "\\").await, ["underscore"]);
    assert_eq!(found(&database, "'").await, ["percent"]);
}

async fn a_filter_takes_one_site(url: String) {
    let database = filled(&url).await;
    let query = ItemQuery { site: Some("other".into()), ..ItemQuery::default() };
    assert_eq!(ids(&database, &query).await, ["percent", "underscore"]);
    let query = ItemQuery { search: Some("oak".into()), ..query };
    assert_eq!(ids(&database, &query).await, ["percent"]);
    let query = ItemQuery { site: Some("oth%".into()), ..ItemQuery::default() };
    assert_eq!(ids(&database, &query).await, [""; 0]);
}

async fn a_filter_takes_one_value_of_a_field(url: String) {
    let database = filled(&url).await;
    let by = async |field: &str, value: &str| {
        let query = ItemQuery { field: Some(field.into()), value: Some(value.into()), ..ItemQuery::default() };
        ids(&database, &query).await
    };
    assert_eq!(by("material", "Oak's").await, ["percent"]);
    assert_eq!(by("material", "oak's").await, [""; 0]);
    assert_eq!(by("price", "12.30").await, ["green"]);
    assert_eq!(by("watts", "60").await, ["green"]);
    assert_eq!(by("watts", "7.5").await, ["red"]);
    assert_eq!(by("dimmable", "true").await, ["red"]);
    assert_eq!(by("$.odd\" ['name", "yes").await, ["underscore"]);
    assert_eq!(by("no such field", "x").await, [""; 0]);
    // Forms send what was left empty.
    assert_eq!(by("watts", "").await, ["green", "red"]);
    assert_eq!(by("", "").await.len(), 4);
}

async fn sites_are_listed_in_order(url: String) {
    let (empty, _) = open_as_leader(&url).await;
    assert_eq!(empty.sites().await.unwrap(), [""; 0]);
    assert_eq!(filled(&url).await.sites().await.unwrap(), ["other", "shop"]);
}

async fn a_changed_item_is_found_by_what_it_says_now(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let state = |title: &str, field: &str| Item {
        title: title.into(),
        fields: [(field.to_owned(), json!("Brass"))].into(),
        ..item(1)
    };
    let by = async |search: &str, field: Option<&str>| {
        let query = ItemQuery { search: Some(search.into()), field: field.map(str::to_owned), ..ItemQuery::default() };
        ids(&database, &query).await.len()
    };
    database.store_items(&token, &[message("a", state("Kettle", "metal"))]).await.unwrap();
    assert_eq!([by("kettle", None).await, by("brass", Some("metal")).await, by("", Some("met")).await], [1, 1, 0]);
    database.store_items(&token, &[message("b", state("Teapot", "surface"))]).await.unwrap();
    assert_eq!([by("kettle", None).await, by("brass", Some("metal")).await], [0, 0]);
    assert_eq!([by("teapot", None).await, by("brass", Some("surface")).await], [1, 1]);
}

/// What an index leads to is found wherever it is; what it would take long for, and what none knows, by going through
/// the list a stretch at a time.
async fn what_is_rare_is_found_at_once_and_all_else_in_bounded_steps(url: String) {
    const ITEMS: usize = 40_500;
    let (database, token) = open_as_leader(&url).await;
    let oldest = Item { title: "Xy Zeppelin".into(), fields: [("lift".to_owned(), json!("helium"))].into(), ..item(0) };
    database.store_items(&token, &[message("oldest", oldest.clone())]).await.unwrap();
    let numbers: Vec<_> = (1..ITEMS).collect();
    for numbers in numbers.chunks(500) {
        let mut batch: Vec<_> = numbers.iter().copied().map(incoming).collect();
        // In so many of the oldest that every sample has some.
        batch.iter_mut().filter(|_| numbers[0] < 30_000).for_each(|one| one.item.title += " stovepipe");
        database.store_items(&token, &batch).await.unwrap();
    }
    let some = |text: &str| Some(text.to_owned());
    for query in [
        ItemQuery { search: some("zeppelin"), ..ItemQuery::default() },
        ItemQuery { search: some("xy eppel"), ..ItemQuery::default() },
        ItemQuery { field: some("lift"), ..ItemQuery::default() },
        ItemQuery { field: some("lift"), value: some("helium"), site: some("shop"), ..ItemQuery::default() },
    ] {
        assert_eq!(ids(&database, &query).await, [oldest.id.as_str()], "{query:?}");
    }
    let nothing = ItemQuery { search: some("dirigible"), ..ItemQuery::default() };
    assert_eq!(database.items(&nothing).await.unwrap().next, None);
    let common = ItemQuery { search: some("product 12.30"), ..ItemQuery::default() };
    assert_eq!(ids(&database, &common).await.len(), 50);

    // An index would lead to all of them for the page of the latest.
    let mut aged = ItemQuery { search: some("stovepipe"), ..ItemQuery::default() };
    let page = database.items(&aged).await.unwrap();
    assert_eq!(page.rows.len(), 0);
    aged.cursor = Some(page.next.expect("a stretch without any is not the end"));
    assert_eq!(ids(&database, &aged).await.len(), 50);

    for (word, expected) in [("xy", vec![oldest.id.clone()]), ("qq", Vec::new())] {
        let mut query = ItemQuery { search: some(word), ..ItemQuery::default() };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = database.items(&query).await.unwrap();
            found.extend(page.rows.into_iter().map(|stored| stored.item.id));
            pages += 1;
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!((found, pages), (expected, 5), "{word}");
    }
}

/// Four items of two sites.
async fn filled(url: &str) -> Database {
    let (database, token) = open_as_leader(url).await;
    let entry = |id: &str, site: &str, title: &str, fields: serde_json::Value| -> Incoming {
        let fields = serde_json::from_value(fields).unwrap();
        message(id, Item { id: id.into(), site: site.into(), title: title.into(), fields, ..item(0) })
    };
    let price = json!({"amount": "12.30", "currency": "EUR"});
    let batch = [
        entry("green", "shop", "Grüne Lampe", json!({"price": price, "watts": 60})),
        entry("red", "shop", "Rote LAMPE", json!({"watts": 7.5, "dimmable": true})),
        entry("percent", "other", "100% wood", json!({"material": "Oak's"})),
        entry("underscore", "other", "a_b \\", json!({"$.odd\" ['name": "yes"})),
    ];
    database.store_items(&token, &batch).await.unwrap();
    database
}

async fn found(database: &Database, search: &str) -> Vec<String> {
    ids(database, &ItemQuery { search: Some(search.into()), ..ItemQuery::default() }).await
}

async fn ids(database: &Database, query: &ItemQuery) -> Vec<String> {
    let page = database.items(query).await.unwrap();
    let mut ids: Vec<_> = page.rows.into_iter().map(|stored| stored.item.id).collect();
    ids.sort();
    ids
}
