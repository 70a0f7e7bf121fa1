//! The promises of the shared database, on SQLite.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use symphony_adapters::database::Database;
use symphony_tests::database::{assert_fenced, cases, incoming, leader, open_as_leader, promote, run};

fn main() {
    let mut trials: Vec<_> = cases()
        .into_iter()
        .map(|(name, case)| {
            Trial::test(name, move || {
                let folder = tempfile::tempdir()?;
                run(case(url(&folder)));
                Ok(())
            })
        })
        .collect();
    trials.push(Trial::test("a_promotion_waits_for_an_open_write", || {
        run(a_promotion_waits_for_an_open_write());
        Ok(())
    }));
    trials.push(Trial::test("many_nodes_that_make_the_file_at_once_all_open_it", || {
        run(many_nodes_that_make_the_file_at_once_all_open_it());
        Ok(())
    }));
    trials.push(Trial::test("a_token_cannot_be_committed", || {
        run(a_token_cannot_be_committed());
        Ok(())
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn url(folder: &tempfile::TempDir) -> String {
    format!("sqlite:{}", folder.path().join("data/symphony.db").display())
}

async fn a_promotion_waits_for_an_open_write() {
    use sqlx::{Connection, SqliteConnection};

    let folder = tempfile::tempdir().unwrap();
    let (old, token) = open_as_leader(&url(&folder)).await;
    let new = Database::open(&url(&folder)).await.unwrap();
    let mut writer = SqliteConnection::connect(&url(&folder)).await.unwrap();
    let open_write = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();

    let next = leader(2, 2);
    let mut promotion = Box::pin(promote(&new, &next));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut promotion).await;
    assert!(early.is_err(), "promoted while a write was open");
    assert_eq!(new.leader().await.unwrap(), Some(leader(1, 1)));

    open_write.commit().await.unwrap();
    promotion.await;
    assert_fenced(old.store_items(&token, &[incoming(1)]).await, Some(&next));
}

async fn many_nodes_that_make_the_file_at_once_all_open_it() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let nodes: Vec<_> = (0..6)
            .map(|_| {
                let url = url(&folder);
                tokio::spawn(async move { Database::open(&url).await })
            })
            .collect();
        for node in nodes {
            node.await.unwrap().unwrap().ping().await.unwrap();
        }
    }
}

/// Left behind, it would let writes without a token pass.
async fn a_token_cannot_be_committed() {
    use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

    let folder = tempfile::tempdir().unwrap();
    let (_database, _) = open_as_leader(&url(&folder)).await;
    let mut session = SqliteConnection::connect(&url(&folder)).await.unwrap();
    let never = "INSERT OR IGNORE INTO never (id) VALUES (0)";
    for (setting, attempt, refusal) in [
        ("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys = OFF", "FOREIGN KEY"),
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON", "a token wants PRAGMA foreign_keys = ON"),
        ("PRAGMA foreign_keys = ON; PRAGMA ignore_check_constraints = ON", never, "never is empty"),
    ] {
        sqlx::raw_sql(setting).execute(&mut session).await.unwrap();
        let script = format!("BEGIN IMMEDIATE; INSERT INTO token (term, holder) VALUES (1, 1); {attempt}; COMMIT");
        let error = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut session).await.unwrap_err().to_string();
        assert!(error.contains(refusal), "{setting}: {error}");
        sqlx::raw_sql("ROLLBACK").execute(&mut session).await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM token").fetch_one(&mut session).await.unwrap();
        assert_eq!(left, 0, "{setting}");
    }
}
