//! No stale leader writes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use symphony_adapters::database::{Counts, Database, DatabaseError, ItemQuery, NewMail, Token};

use super::{assert_fenced, assert_invalid, files::file, incoming, leader, open_as_leader, promises, promote};

promises![
    a_new_database_has_no_leader_and_takes_no_writes,
    a_promotion_is_announced_by_one_mail,
    a_lower_term_or_another_holder_of_the_term_is_not_promoted,
    a_database_is_of_one_cluster,
    a_stale_token_writes_nothing,
    of_two_promotions_in_one_term_one_wins,
    once_a_promotion_returns_no_row_of_the_old_term_appears,
    a_write_given_up_at_any_moment_is_whole_or_nothing,
    three_nodes_that_open_at_once_make_one_schema,
    a_term_beyond_the_databases_numbers_is_invalid,
];

async fn a_new_database_has_no_leader_and_takes_no_writes(url: String) {
    let database = Database::open(&url).await.unwrap();
    database.ping().await.unwrap();
    assert_eq!(database.leader().await.unwrap(), None);
    assert_eq!(database.counts().await.unwrap(), Counts::default());
    assert_fenced(database.store_items(&leader(1, 1).token, &[incoming(1)]).await, None);
    assert_eq!(database.counts().await.unwrap(), Counts::default());
}

async fn a_promotion_is_announced_by_one_mail(url: String) {
    let (database, _) = open_as_leader(&url).await;
    database.promote(&leader(1, 1)).await.unwrap();
    assert_eq!(database.leader().await.unwrap(), Some(leader(1, 1)));
    assert_eq!(database.counts().await.unwrap().mails_waiting, 1);
    database.promote(&leader(2, 3)).await.unwrap();
    assert_eq!(database.leader().await.unwrap(), Some(leader(2, 3)));
    let mails = database.claim_mails(&leader(2, 3).token, 10, Duration::from_secs(60)).await.unwrap();
    let keys: Vec<_> = mails.iter().map(|mail| mail.mail.key.as_str()).collect();
    assert_eq!(keys, ["leader-1", "leader-2"]);
    assert_eq!(mails[1].mail.subject, "Node 3 leads in term 2");
}

async fn a_lower_term_or_another_holder_of_the_term_is_not_promoted(url: String) {
    let database = Database::open(&url).await.unwrap();
    database.promote(&leader(5, 1)).await.unwrap();
    for late in [leader(4, 2), leader(4, 1), leader(5, 2)] {
        assert_fenced(database.promote(&late).await, Some(&leader(5, 1)));
    }
    assert_eq!(database.leader().await.unwrap(), Some(leader(5, 1)));
    assert_eq!(database.counts().await.unwrap().mails_waiting, 1);
}

async fn a_database_is_of_one_cluster(url: String) {
    let north = Database::open(&url).await.unwrap().of_cluster("north");
    let south = Database::open(&url).await.unwrap().of_cluster("south");
    north.promote(&leader(5, 1)).await.unwrap();
    let before = north.counts().await.unwrap();
    for later_or_not in [leader(5, 1), leader(9, 1), leader(4, 1)] {
        match south.promote(&later_or_not).await {
            Err(DatabaseError::Foreign(cluster)) => assert_eq!(cluster, "north"),
            other => panic!("not refused: {other:?}"),
        }
    }
    assert_eq!((north.leader().await.unwrap(), north.counts().await.unwrap()), (Some(leader(5, 1)), before));
    north.promote(&leader(6, 2)).await.unwrap();
    assert_fenced(north.promote(&leader(5, 1)).await, Some(&leader(6, 2)));
}

async fn a_stale_token_writes_nothing(url: String) {
    let database = Database::open(&url).await.unwrap();
    let current = leader(5, 1);
    database.promote(&current).await.unwrap();
    let before = database.counts().await.unwrap();
    for (term, holder) in [(4, 1), (5, 2), (6, 1)] {
        let token = Token { term, holder };
        let mail = NewMail { key: "k".into(), subject: "s".into(), body: "b".into() };
        assert_fenced(database.store_items(&token, &[incoming(1)]).await, Some(&current));
        assert_fenced(database.store_items(&token, &[]).await, Some(&current));
        assert_fenced(database.store_file(&token, &file("/a", b"content")).await, Some(&current));
        assert_fenced(database.enqueue_mail(&token, &mail).await, Some(&current));
        assert_fenced(database.claim_mails(&token, 10, Duration::from_secs(60)).await, Some(&current));
        assert_fenced(database.claim_digest(&token, 1, 10, Duration::from_secs(60)).await, Some(&current));
    }
    assert_eq!(database.counts().await.unwrap(), before);
    assert!(!database.has_file("/a", 7, 1_000).await.unwrap());
    assert_eq!(database.claim_mails(&current.token, 10, Duration::from_secs(60)).await.unwrap().len(), 1);
}

async fn of_two_promotions_in_one_term_one_wins(url: String) {
    let (one, two) = (Database::open(&url).await.unwrap(), Database::open(&url).await.unwrap());
    for term in 1..=20 {
        let leaders = [leader(term, 1), leader(term, 2)];
        let (first, second) = tokio::join!(one.promote(&leaders[0]), two.promote(&leaders[1]));
        let (winner, loser) = if first.is_ok() { (&leaders[0], second) } else { (&leaders[1], first) };
        assert_fenced(loser, Some(winner));
        assert_eq!(one.leader().await.unwrap().as_ref(), Some(winner));
    }
    assert_eq!(one.counts().await.unwrap().mails_waiting, 20);
}

async fn once_a_promotion_returns_no_row_of_the_old_term_appears(url: String) {
    let (old, token) = open_as_leader(&url).await;
    let new = Database::open(&url).await.unwrap();
    let started = Arc::new(tokio::sync::Semaphore::new(0));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (old, token, started) = (old.clone(), token.clone(), started.clone());
            tokio::spawn(async move {
                let mut acknowledged = 0;
                for round in 0.. {
                    let batch: Vec<_> = (0..5).map(|n| incoming(writer * 1_000_000 + round * 10 + n)).collect();
                    match old.store_items(&token, &batch).await {
                        Ok(outcomes) => acknowledged += outcomes.len(),
                        Err(DatabaseError::Fenced(by)) => {
                            assert_eq!(by, Some(leader(2, 2)));
                            break;
                        }
                        Err(DatabaseError::Unavailable(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    started.add_permits(1);
                    // SQLite has no queue of writers: without a pause the promotion might never get its turn.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                acknowledged
            })
        })
        .collect();
    started.acquire_many(12).await.unwrap().forget();
    promote(&new, &leader(2, 2)).await;
    let at_promotion = new.counts().await.unwrap().items;
    let mut acknowledged = 0;
    for writer in writers {
        acknowledged += writer.await.unwrap();
    }
    assert_eq!(new.counts().await.unwrap().items, at_promotion);
    assert_eq!(at_promotion, acknowledged as u64);
    assert!(new.items(&ItemQuery::default()).await.unwrap().rows.iter().all(|item| item.term == 1));
}

async fn a_write_given_up_at_any_moment_is_whole_or_nothing(url: String) {
    let database = Database::open(&url).await.unwrap();
    let (mut items, mut slow) = (0, 0);
    for round in 0..30 {
        let current = leader(round + 1, 1);
        promote(&database, &current).await;
        let batch: Vec<_> = (0..20).map(|n| incoming(round as usize * 20 + n)).collect();
        // From far less to far more than any machine takes for it.
        let patience = Duration::from_micros(100).mul_f64(1.4_f64.powi(round as i32));
        let _ = tokio::time::timeout(patience, database.store_items(&current.token, &batch)).await;
        // What was given up may still be on its way through the server.
        let start = Instant::now();
        promote(&database, &current).await;
        slow += u32::from(start.elapsed() > Duration::from_secs(3));
        let stored = database.counts().await.unwrap().items;
        assert!(stored == items || stored == items + 20, "{} of 20 items", stored - items);
        items = stored;
    }
    assert!(items > 0, "every write was given up");
    // Now and then a disk is slow.
    assert!(slow < 5, "writes that were given up hold promotion back");
}

async fn three_nodes_that_open_at_once_make_one_schema(url: String) {
    let (one, two, three) = tokio::join!(Database::open(&url), Database::open(&url), Database::open(&url));
    one.unwrap().promote(&leader(1, 1)).await.unwrap();
    two.unwrap().store_items(&leader(1, 1).token, &[incoming(1)]).await.unwrap();
    assert_eq!(three.unwrap().counts().await.unwrap().items, 1);
    assert_eq!(Database::open(&url).await.unwrap().counts().await.unwrap().items, 1);
}

async fn a_term_beyond_the_databases_numbers_is_invalid(url: String) {
    let database = Database::open(&url).await.unwrap();
    assert_invalid(database.promote(&leader(u64::MAX, 1)).await);
    database.promote(&leader(i64::MAX as u64, u16::MAX)).await.unwrap();
    assert_eq!(database.leader().await.unwrap(), Some(leader(i64::MAX as u64, u16::MAX)));
}
