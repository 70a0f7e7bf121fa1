//! What the shared database promises, whichever it is: written once, run on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken promise is a panic"
)]

mod dead_files;
mod fence;
mod files;
mod guard;
mod items;
mod mails;
mod pages;
mod races;
mod traces;

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use symphony_adapters::{
    database::{Database, DatabaseError, Incoming, Leader, Token},
    item::Item,
};

/// A promise and the proof of it, on the empty database that a URL names.
pub type Case = (&'static str, fn(String) -> Proof);

/// Ends if the promise is kept, panics if it is not.
pub type Proof = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All promises.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        fence::cases(),
        guard::cases(),
        races::cases(),
        items::cases(),
        pages::cases(),
        files::cases(),
        dead_files::cases(),
        mails::cases(),
        traces::cases(),
    ]
    .concat()
}

/// Names the functions of a module that are cases.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        pub(super) fn cases() -> Vec<super::Case> {
            vec![$((stringify!($name), |url| Box::pin($name(url)))),*]
        }
    };
}
use promises;

/// How long anything that must happen may take.
pub const SOON: Duration = Duration::from_secs(60);

/// Runs a case to its end.
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(600), case).await.expect("the case ends within ten minutes");
    });
}

/// A leader of this term.
#[must_use]
pub fn leader(term: u64, holder: u16) -> Leader {
    Leader { token: Token { term, holder }, url: format!("http://node-{holder}:8080") }
}

/// Opens a database and promotes node 1 in term 1.
pub async fn open_as_leader(url: &str) -> (Database, Token) {
    let database = Database::open(url).await.unwrap();
    let leader = leader(1, 1);
    database.promote(&leader).await.unwrap();
    (database, leader.token)
}

/// Promotes, however long others keep the database from it: it gives up by itself after some seconds.
///
/// # Panics
/// If it is refused, or does not come through within [`SOON`].
pub async fn promote(database: &Database, leader: &Leader) {
    let start = Instant::now();
    while let Err(error) = database.promote(leader).await {
        assert!(matches!(error, DatabaseError::Unavailable(_)) && start.elapsed() < SOON, "{error}");
    }
}

/// A message with an item of its own.
#[must_use]
pub fn incoming(number: usize) -> Incoming {
    message(&format!("message-{number}"), item(number))
}

/// A message.
#[must_use]
pub fn message(message_id: &str, item: Item) -> Incoming {
    Incoming::new(message_id, item)
}

/// An item like those of the demonstration shop.
#[must_use]
pub fn item(number: usize) -> Item {
    Item {
        id: format!("{number:08x}"),
        site: "shop".into(),
        url: format!("http://shop/products/{number}"),
        title: format!("Product {number}"),
        fields: [
            ("category".to_owned(), Value::from("Lamps")),
            ("price".to_owned(), json!({"amount": "12.30", "currency": "EUR"})),
            ("weight".to_owned(), json!(1.5)),
        ]
        .into(),
        scraped_at_ms: 1_000,
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// If it does not within [`SOON`].
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < SOON, "{what} does not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asserts that a stale leader was refused, and in whose favour.
pub fn assert_fenced<T: std::fmt::Debug>(result: Result<T, DatabaseError>, by: Option<&Leader>) {
    match result {
        Err(DatabaseError::Fenced(leader)) => assert_eq!(leader.as_ref(), by),
        other => panic!("not fenced: {other:?}"),
    }
}

fn assert_invalid<T: std::fmt::Debug>(result: Result<T, DatabaseError>) {
    assert!(matches!(result, Err(DatabaseError::Invalid(_))), "not invalid: {result:?}");
}
