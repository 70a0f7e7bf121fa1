//! Ways to check the term that are known to let a stale write through, and ours, each run as a race of two sessions: an
//! old leader checks, a new one is promoted, the old one goes on.

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use symphony_adapters::database::Database;
use tokio::time::Instant;

use super::{SOON, leader, promises, promote};

promises![without_the_guard_racy_checks_let_a_stale_write_through, the_guard_stops_what_racy_checks_let_through];

/// What became of the old leader's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It appeared after the promotion had returned: the race is lost.
    Stale,
    /// It never appeared.
    Refused,
    /// The promotion waited for it.
    Whole,
}

use Fate::{Refused, Stale, Whole};

/// One way to check, and what becomes of its write without the guard and with it.
struct Way {
    name: &'static str,
    /// Until the promotion comes.
    before: &'static [&'static str],
    /// From then on.
    after: &'static [&'static str],
    /// None: PostgreSQL has no such statement.
    postgres: Option<[Fate; 2]>,
    /// None: SQLite has no such statement.
    sqlite: Option<[Fate; 2]>,
}

const CHECK: &str = "SELECT 1 FROM fence WHERE resource = 'leader' AND term = $TERM AND holder = 1";
const WRITE: &str = "INSERT INTO $TABLE (message_id, body_hash, term, stored_at_ms) VALUES ('$TERM', '', $TERM, 0)";
/// Only with the guard: says for whom the transaction writes, without a look at the fence.
const CARRY: &str = "carry";
const COMMIT: &str = "commit";

const WAYS: [Way; 6] = [
    Way {
        name: "check, then write",
        before: &[CHECK],
        after: &[WRITE],
        postgres: Some([Stale, Refused]),
        sqlite: Some([Stale, Refused]),
    },
    Way {
        name: "check, then write, in one transaction",
        before: &["BEGIN", CHECK],
        after: &[CARRY, WRITE, COMMIT],
        postgres: Some([Stale, Refused]),
        // A snapshot that is no longer the latest cannot be written to (SQLITE_BUSY_SNAPSHOT).
        sqlite: Some([Refused, Refused]),
    },
    Way {
        name: "INSERT … SELECT … WHERE term, with a late commit",
        before: &[
            "BEGIN",
            CARRY,
            "INSERT INTO $TABLE (message_id, body_hash, term, stored_at_ms) SELECT '$TERM', '', $TERM, 0 \
             FROM fence WHERE resource = 'leader' AND term = $TERM AND holder = 1",
        ],
        after: &[COMMIT],
        // The guard holds the fence, which the statement itself only looks at.
        postgres: Some([Stale, Whole]),
        sqlite: Some([Whole, Whole]),
    },
    Way {
        name: "FOR KEY SHARE",
        before: &[
            "BEGIN",
            "SELECT 1 FROM fence WHERE resource = 'leader' AND term = $TERM AND holder = 1 FOR KEY SHARE",
        ],
        after: &[CARRY, WRITE, COMMIT],
        postgres: Some([Stale, Refused]),
        sqlite: None,
    },
    Way {
        name: "FOR SHARE",
        before: &["BEGIN", "SELECT 1 FROM fence WHERE resource = 'leader' AND term = $TERM AND holder = 1 FOR SHARE"],
        after: &[CARRY, WRITE, COMMIT],
        postgres: Some([Whole, Whole]),
        sqlite: None,
    },
    Way {
        name: "BEGIN IMMEDIATE",
        before: &["BEGIN IMMEDIATE", CHECK],
        after: &[CARRY, WRITE, COMMIT],
        postgres: None,
        sqlite: Some([Whole, Whole]),
    },
];

async fn without_the_guard_racy_checks_let_a_stale_write_through(url: String) {
    let races = Races::new(&url, "unguarded").await;
    let like = if races.is_sqlite { "AS SELECT * FROM inbox" } else { "(LIKE inbox)" };
    run(&mut races.session().await, &format!("CREATE TABLE unguarded {like}")).await.unwrap();
    for (way, [fate, _]) in races.ways() {
        assert_eq!(races.run(way, fate).await, fate, "{}", way.name);
    }
}

async fn the_guard_stops_what_racy_checks_let_through(url: String) {
    let races = Races::new(&url, "inbox").await;
    for (way, [_, fate]) in races.ways() {
        assert_eq!(races.run(way, fate).await, fate, "{}", way.name);
    }
}

/// Races over one table. Each has two terms of its own.
struct Races {
    url: String,
    is_sqlite: bool,
    table: &'static str,
    new: Database,
}

impl Races {
    async fn new(url: &str, table: &'static str) -> Self {
        let new = Database::open(url).await.unwrap();
        Self { url: url.to_owned(), is_sqlite: url.starts_with("sqlite:"), table, new }
    }

    fn ways(&self) -> Vec<(&'static Way, [Fate; 2])> {
        let fates = |way: &'static Way| if self.is_sqlite { way.sqlite } else { way.postgres };
        WAYS.iter().filter_map(|way| Some((way, fates(way)?))).collect()
    }

    async fn session(&self) -> AnyConnection {
        AnyConnection::connect(&self.url).await.unwrap()
    }

    /// Returns what became of the write; what is expected says only how long to wait where nobody tells.
    async fn run(&self, way: &Way, expected: Fate) -> Fate {
        let term = self.new.leader().await.unwrap().map_or(1, |leader| leader.token.term + 1);
        promote(&self.new, &leader(term, 1)).await;
        let mut old = self.session().await;
        for statement in way.before {
            self.say(&mut old, statement, term).await.unwrap_or_else(|error| panic!("{}: {error}", way.name));
        }

        let next = leader(term + 1, 2);
        let promotion = promote(&self.new, &next);
        tokio::pin!(promotion);
        let at_promotion = tokio::select! {
            () = &mut promotion => Some(self.rows(term).await),
            () = self.something_waits(expected) => None,
        };

        let mut refused = false;
        for statement in way.after {
            refused |= self.say(&mut old, statement, term).await.is_err();
        }
        drop(old);
        if at_promotion.is_none() {
            promotion.await;
        }
        let at_the_end = self.rows(term).await;
        assert_eq!(refused, at_the_end == 0, "{}: {at_the_end} rows", way.name);
        match at_promotion {
            Some(rows) if at_the_end > rows => Stale,
            _ if refused => Refused,
            _ => Whole,
        }
    }

    async fn say(&self, session: &mut AnyConnection, statement: &str, term: u64) -> sqlx::Result<()> {
        let guarded = self.table == "inbox";
        let statement = match statement {
            CARRY if !guarded => return Ok(()),
            CARRY if self.is_sqlite => format!("INSERT INTO token (term, holder) VALUES ({term}, 1)"),
            CARRY => format!("SELECT set_config('symphony.token', '{term}:1', true)"),
            COMMIT if self.is_sqlite => "DELETE FROM token; COMMIT".to_owned(),
            other => other.replace("$TABLE", self.table).replace("$TERM", &term.to_string()),
        };
        run(session, &statement).await
    }

    /// Rows that the old leader of a term has written.
    async fn rows(&self, term: u64) -> i64 {
        let count = format!("SELECT COUNT(*) FROM {} WHERE term = {term}", self.table);
        sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut self.session().await).await.unwrap()
    }

    /// Returns once a session of this database waits for a lock. SQLite does not tell: there time has to, where the
    /// promotion is to wait; elsewhere it is waited for, however slow it is.
    async fn something_waits(&self, expected: Fate) {
        if self.is_sqlite {
            return match expected {
                Whole => tokio::time::sleep(Duration::from_millis(300)).await,
                Stale | Refused => std::future::pending().await,
            };
        }
        let mut operator = self.session().await;
        let deadline = Instant::now() + SOON;
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut operator).await.unwrap() == 0 {
            assert!(Instant::now() < deadline, "the promotion neither returns nor waits");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn run(session: &mut AnyConnection, statement: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(session).await.map(drop)
}
