//! The promises of the shared database, on PostgreSQL, and the races only it can have.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use sqlx::{Connection, PgConnection};
use symphony_adapters::database::{Database, DatabaseError, ItemQuery, Outcome};
use symphony_tests::{
    database::{SOON, assert_fenced, cases, eventually, incoming, leader, open_as_leader, run},
    proxy::Proxy,
    servers::{
        self,
        postgres::{PASSWORD, PROGRAMS, Postgres},
    },
    symphony::until,
};

/// The server itself ends a transaction that its client leaves alone for this long.
const IDLE_TIME_MAX: Duration = Duration::from_secs(5);

/// One server for all trials, stopped when the last of them is over.
type Shared = Arc<OnceLock<Postgres>>;

pub(crate) fn trials() -> Vec<Trial> {
    let server = Shared::default();
    let on_shared_server = |name: &str, case: fn(String) -> symphony_tests::database::Proof| {
        let server = Shared::clone(&server);
        servers::trial(&format!("postgres::{name}"), PROGRAMS, move || {
            run(case(server.get_or_init(Postgres::start).create_database()));
        })
    };
    let mut trials: Vec<_> = cases().into_iter().map(|(name, case)| on_shared_server(name, case)).collect();
    macro_rules! also {
        ($($case:ident),* $(,)?) => {
            trials.extend([$(on_shared_server(stringify!($case), |url| Box::pin($case(url)))),*])
        };
    }
    also![
        a_promotion_waits_for_an_open_write,
        a_write_that_is_cut_off_leaves_nothing_and_lets_the_promotion_through,
        a_write_whose_caller_went_away_leaves_nothing,
        a_leader_that_pauses_in_a_write_does_not_block_promotion,
        a_wrong_password_is_invalid_and_not_shown,
        a_table_cannot_be_emptied_without_a_token,
        an_unreachable_table_is_unavailable_and_not_the_messages_fault,
        a_turn_is_one_process_s_until_it_ends,
        a_rare_word_costs_no_more_of_the_index_beside_a_common_one,
    ];
    trials.push(servers::trial("postgres::a_database_that_comes_back_is_used_again", PROGRAMS, || {
        run(a_database_that_comes_back_is_used_again());
    }));
    trials
}

/// A session that holds the items, so that a write stops in its middle, its fence checked and its inbox written.
async fn hold_items(url: &str) -> PgConnection {
    let mut session = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE items IN SHARE MODE").execute(&mut session).await.unwrap();
    session
}

/// Waits until this many of the database's sessions wait for a lock.
async fn blocked(session: &mut PgConnection, count: i64) {
    let deadline = Instant::now() + SOON;
    loop {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *session)
        .await
        .unwrap();
        if waiting == count {
            return;
        }
        assert!(Instant::now() < deadline, "{waiting} sessions wait, not {count}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        // The view is a snapshot for the length of a transaction.
        sqlx::query("SELECT pg_stat_clear_snapshot()").execute(&mut *session).await.unwrap();
    }
}

async fn a_turn_is_one_process_s_until_it_ends(url: String) {
    async fn takes(database: &Database) -> bool {
        database.take_turn("a").await.unwrap().is_some()
    }
    let (one, other) = (Database::open(&url).await.unwrap(), Database::open(&url).await.unwrap());
    let turn = one.take_turn("a").await.unwrap();
    assert!(turn.is_some() && !takes(&other).await);
    assert!(!takes(&one).await, "nor does the same process have it twice");
    assert!(other.take_turn("b").await.unwrap().is_some(), "another name is another turn");
    drop(turn);
    eventually("the other's turn", || takes(&other)).await;
    let _turn = until("the first one's turn again", || async { one.take_turn("a").await.unwrap() }).await;

    // Whoever dies has no turn: it ends with the connection. Other databases of the server are other trials'.
    let mut session = PgConnection::connect(&url).await.unwrap();
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    sqlx::raw_sql(kill).execute(&mut session).await.unwrap();
    eventually("a dead one's turn", || takes(&other)).await;
}

async fn a_promotion_waits_for_an_open_write(url: String) {
    let (old, token) = open_as_leader(&url).await;
    let new = Database::open(&url).await.unwrap();
    let mut holder = hold_items(&url).await;

    let write = tokio::spawn({
        let (old, token) = (old.clone(), token.clone());
        async move { old.store_items(&token, &[incoming(1)]).await }
    });
    blocked(&mut holder, 1).await;
    let promotion = tokio::spawn({
        let new = new.clone();
        async move { new.promote(&leader(2, 2)).await }
    });
    blocked(&mut holder, 2).await;
    assert!(!promotion.is_finished());
    assert_eq!(new.leader().await.unwrap(), Some(leader(1, 1)));

    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    assert_eq!(write.await.unwrap().unwrap(), [Outcome::Stored]);
    promotion.await.unwrap().unwrap();
    assert_eq!(new.counts().await.unwrap().items, 1);
    assert_fenced(old.store_items(&token, &[incoming(2)]).await, Some(&leader(2, 2)));
    assert_eq!(new.counts().await.unwrap().items, 1);
}

async fn a_write_that_is_cut_off_leaves_nothing_and_lets_the_promotion_through(url: String) {
    let (old, token) = open_as_leader(&url).await;
    let new = Database::open(&url).await.unwrap();
    let mut holder = hold_items(&url).await;
    let write = tokio::spawn({
        let (old, token) = (old.clone(), token.clone());
        async move { old.store_items(&token, &[incoming(1)]).await }
    });
    blocked(&mut holder, 1).await;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .execute(&mut holder)
    .await
    .unwrap();
    let error = write.await.unwrap().unwrap_err();
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");
    new.promote(&leader(2, 2)).await.unwrap();
    drop(holder);
    assert_eq!(new.counts().await.unwrap().items, 0);
    let outcomes = new.store_items(&leader(2, 2).token, &[incoming(1)]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Stored], "the inbox forgot what was rolled back");
}

async fn a_write_whose_caller_went_away_leaves_nothing(url: String) {
    let (old, token) = open_as_leader(&url).await;
    let new = Database::open(&url).await.unwrap();
    let mut holder = hold_items(&url).await;
    let write = tokio::spawn({
        let (old, token) = (old.clone(), token.clone());
        async move { old.store_items(&token, &[incoming(1)]).await }
    });
    blocked(&mut holder, 1).await;
    write.abort();
    assert!(write.await.unwrap_err().is_cancelled());
    let start = Instant::now();
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    new.promote(&leader(2, 2)).await.unwrap();
    assert!(start.elapsed() < IDLE_TIME_MAX, "the transaction outlived its caller");
    assert_eq!(new.counts().await.unwrap().items, 0);
    assert_fenced(old.store_items(&token, &[incoming(1)]).await, Some(&leader(2, 2)));
}

async fn a_leader_that_pauses_in_a_write_does_not_block_promotion(url: String) {
    let (new, token) = open_as_leader(&url).await;
    let proxy = Proxy::start(&url).await;
    let old = Database::open(&proxy.url()).await.unwrap();
    let mut holder = hold_items(&url).await;
    let write = tokio::spawn({
        let old = old.clone();
        async move { old.store_items(&token, &[incoming(1)]).await }
    });
    blocked(&mut holder, 1).await;
    // From here on the leader hears nothing and says nothing, with its transaction open.
    proxy.pause();
    let start = Instant::now();
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    new.promote(&leader(2, 2)).await.unwrap();
    assert!(start.elapsed() >= IDLE_TIME_MAX, "the write was open");
    assert_eq!(new.counts().await.unwrap().items, 0);
    proxy.resume();
    let error = write.await.unwrap().unwrap_err();
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");
    assert_eq!(new.counts().await.unwrap().items, 0);
    assert_fenced(old.store_items(&leader(1, 1).token, &[incoming(1)]).await, Some(&leader(2, 2)));
}

async fn a_wrong_password_is_invalid_and_not_shown(url: String) {
    let error = Database::open(&url.replace(PASSWORD, "hunter2")).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Invalid(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    let database = Database::open(&url).await.unwrap();
    assert!(!format!("{database:?}").contains(PASSWORD));
}

async fn a_table_cannot_be_emptied_without_a_token(url: String) {
    let (database, token) = open_as_leader(&url).await;
    database.store_items(&token, &[incoming(1)]).await.unwrap();
    let mut operator = PgConnection::connect(&url).await.unwrap();
    for emptying in
        ["TRUNCATE inbox", "TRUNCATE items", "TRUNCATE file_ledger, files", "TRUNCATE mails", "TRUNCATE fence"]
    {
        let error = sqlx::raw_sql(emptying).execute(&mut operator).await.expect_err(emptying);
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("SY001"), "{emptying}: {error}");
    }
    assert_eq!(database.counts().await.unwrap().items, 1);
}

async fn an_unreachable_table_is_unavailable_and_not_the_messages_fault(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let mut operator = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("ALTER TABLE items RENAME TO away").execute(&mut operator).await.unwrap();
    let error = database.store_items(&token, &[incoming(1)]).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");
    sqlx::raw_sql("ALTER TABLE away RENAME TO items").execute(&mut operator).await.unwrap();
    assert_eq!(database.store_items(&token, &[incoming(1)]).await.unwrap(), [Outcome::Stored]);
}

async fn a_database_that_comes_back_is_used_again() {
    let mut server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let url = server.create_database();
    let (database, token) = open_as_leader(&url).await;
    database.store_items(&token, &[incoming(1)]).await.unwrap();

    let mut server = tokio::task::spawn_blocking(move || {
        server.crash();
        server
    })
    .await
    .unwrap();
    assert!(matches!(database.ping().await, Err(DatabaseError::Unavailable(_))));
    let error = database.store_items(&token, &[incoming(2)]).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");

    let _server = tokio::task::spawn_blocking(move || {
        server.resume();
        server
    })
    .await
    .unwrap();
    eventually("the return of the database", || async { database.ping().await.is_ok() }).await;
    assert_eq!(database.store_items(&token, &[incoming(1)]).await.unwrap(), [Outcome::Duplicate]);
    assert_eq!(database.store_items(&token, &[incoming(2)]).await.unwrap(), [Outcome::Stored]);
}

/// A common word's part of the index is as long as the table. Counted in pages, because a time proves nothing.
async fn a_rare_word_costs_no_more_of_the_index_beside_a_common_one(url: String) {
    const ITEMS: usize = 40_000;
    let (database, _) = open_as_leader(&url).await;
    database.close().await;
    let mut session = PgConnection::connect(&url).await.unwrap();
    let fill = format!(
        "BEGIN; SELECT set_config('symphony.token', '1:1', true); \
         INSERT INTO items SELECT 'item-' || n, 'shop', '', 'Product ' || n, '{{}}', \
         E'product ' || n || E'\\nlamps\\nserial-' || n, n, n, n, 1, 1 FROM generate_series(1, {ITEMS}) AS n; COMMIT",
    );
    for script in [fill, "VACUUM ANALYZE items".to_owned()] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&mut session).await.unwrap();
    }
    session.close().await.unwrap();
    let mut session = PgConnection::connect(&url).await.unwrap();
    let mut pages = Vec::new();
    for search in ["31415", "product 31415", "lamps 31415 al serial-"] {
        let before = pages_of_the_index(&mut session).await;
        let database = Database::open(&url).await.unwrap();
        let query = ItemQuery { search: Some(search.into()), ..ItemQuery::default() };
        let found = database.items(&query).await.unwrap().rows;
        assert_eq!(found.iter().map(|stored| stored.item.id.as_str()).collect::<Vec<_>>(), ["item-31415"]);
        database.close().await;
        pages.push(pages_of_the_index(&mut session).await - before);
    }
    assert!(pages[0] > 0 && pages.iter().all(|other| *other <= pages[0]), "{pages:?}");
}

/// Looks at pages of the index of texts so far, when all sessions but this one have ended: only its end makes sure that
/// a session has told all of its own.
async fn pages_of_the_index(session: &mut PgConnection) -> i64 {
    let deadline = Instant::now() + SOON;
    let others = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *session).await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "a session does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let looks = "SELECT idx_blks_read + idx_blks_hit FROM pg_statio_user_indexes WHERE indexrelname = 'items_by_text'";
    sqlx::query_scalar(looks).fetch_one(session).await.unwrap()
}
