//! The account that `chaos` draws up finds what it looks for.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use sqlx::{Connection as _, PgConnection};
use symphony_adapters::database::Database;
use symphony_tests::{
    chaos::{Difference, audit, difference, prepare},
    database::{incoming, leader, open_as_leader, run},
    servers::{
        postgres::{PROGRAMS, Postgres},
        trial,
    },
};

pub(crate) fn trials() -> Vec<Trial> {
    let lost =
        trial("chaos::the_account_finds_a_lost_message_also_where_a_foreign_one_makes_up_the_number", PROGRAMS, || {
            let postgres = Postgres::start();
            run(messages_are_compared_one_by_one(postgres.create_database()));
        });
    let stale = trial("chaos::the_account_finds_rows_of_a_stale_term_and_effects_that_came_twice", PROGRAMS, || {
        let postgres = Postgres::start_with(&["track_commit_timestamp=on"]);
        run(planted_rows_are_counted(postgres.create_database()));
    });
    vec![lost, stale]
}

async fn messages_are_compared_one_by_one(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let batch: Vec<_> = (1..=3).map(incoming).collect();
    let mut published: BTreeMap<_, _> =
        batch.iter().map(|incoming| (incoming.message_id.clone(), incoming.item.id.clone())).collect();
    database.store_items(&token, &batch).await.unwrap();
    assert_eq!(difference(&url, &published).await.unwrap(), Difference::default());

    database.store_items(&token, &[incoming(4)]).await.unwrap();
    published.insert("lost".into(), batch[0].item.id.clone());
    let found = difference(&url, &published).await.unwrap();
    assert_eq!(found, Difference { missing: 1, foreign: 1, doubled: 0 });

    // Two items' effects make up for each other in sum.
    let mut session = PgConnection::connect(&url).await.unwrap();
    let plant = format!(
        "SET session_replication_role = replica; UPDATE items SET revision = 2 WHERE id = '{}'; \
         UPDATE items SET revision = 0 WHERE id = '{}'",
        batch[0].item.id, batch[1].item.id
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(plant)).execute(&mut session).await.unwrap();
    assert_eq!(difference(&url, &published).await.unwrap(), Difference { doubled: 2, ..found });
    session.close().await.unwrap();
    database.close().await;
}

async fn planted_rows_are_counted(url: String) {
    let database = Database::open(&url).await.unwrap();
    prepare(&url).await;
    for term in 1..=3 {
        let leader = leader(term, 1);
        database.promote(&leader).await.unwrap();
        let batch = [incoming(usize::try_from(term).unwrap())];
        database.store_items(&leader.token, &batch).await.unwrap();
    }
    let healthy = audit(&url).await.unwrap();
    assert_eq!((healthy.messages, healthy.effects, healthy.terms, healthy.stale), (3, 3, 3, 0));

    // Nothing in the product lets these through, so the guard is off.
    let mut session = PgConnection::connect(&url).await.unwrap();
    for (plant, stale, effects) in [
        ("INSERT INTO inbox VALUES ('late', 'hash', 1, 1)", 1, 3),
        ("INSERT INTO inbox VALUES ('of no term', 'hash', 9, 1)", 2, 3),
        ("UPDATE items SET revision = 2 WHERE term = 3", 2, 4),
        ("UPDATE items SET title = 'late' WHERE term = 2", 3, 4),
    ] {
        let off = "SET session_replication_role = replica";
        sqlx::raw_sql(off).execute(&mut session).await.unwrap();
        sqlx::raw_sql(plant).execute(&mut session).await.unwrap();
        let found = audit(&url).await.unwrap();
        assert_eq!((found.stale, found.effects), (stale, effects), "{plant}");
    }
    session.close().await.unwrap();
    database.close().await;
}
