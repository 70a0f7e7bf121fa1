//! Mails from the outbox to the mail server.
//!
//! A mail leaves only when its row is claimed under the leader's token, and carries a Message-ID made of that row: one
//! that is sent twice, because its settlement got lost, is recognised. A burst of mails leaves as one digest.

use std::{future::Future, time::Duration};

use metrics::counter;
use symphony_adapters::{
    database::{ClaimedDigest, ClaimedMail, Database, DatabaseError, MailOutcome, NewMail, Token},
    http::Dependency,
    smtp::{MailError, Mailer, OutgoingMail},
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::route::Route;
use crate::backoff::Backoff;

/// Time between two looks at an outbox with nothing due.
const EVERY: Duration = Duration::from_secs(1);
/// Longest time between two looks while no mail can be sent.
const EVERY_MAX: Duration = Duration::from_secs(60);
/// Due mails that are a burst, and mails in one digest at most.
const BURST: (u32, u32) = (4, 100);
/// Time after a digest in which the burst may go on without another mail.
const AFTER_DIGEST: Duration = Duration::from_secs(5);
/// Time that a claimed mail is ours: longer than sending and settling it can take.
const CLAIM_FOR: Duration = Duration::from_secs(300);
/// The part of it in which a mail may set out.
const SEND_WITHIN: Duration = Duration::from_secs(150);
/// Time for the database to claim or settle.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the mail on its way when the manager stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// Attempts to settle one mail.
const SETTLE_ATTEMPTS_MAX: u32 = 5;
/// Attempts to send one mail, over about two days.
const SEND_ATTEMPTS_MAX: u32 = 54;
/// Shortest and longest wait of a mail between attempts.
const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// Characters of each mail's text in a digest at most.
const DIGEST_PART_LEN_MAX: usize = 2000;

/// Sends what the outbox holds.
pub(super) struct Mails {
    pub(super) database: Database,
    pub(super) mailer: Mailer,
    pub(super) route: Route,
    pub(super) health: Dependency,
}

/// What there is to send.
enum Claimed {
    Nothing,
    Mail(ClaimedMail),
    Digest(ClaimedDigest),
}

/// Why no further mail is tried now.
enum Pause {
    /// Nothing is due, or nobody leads.
    Idle,
    /// A burst has been told of.
    Digest,
    /// The mail server or the database is away.
    Trouble,
}

impl Mails {
    /// Sends mails until `shutdown`, and finishes the one on its way.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        // Nothing speaks against the mail server until a mail is tried.
        self.health.up();
        let mut backoff = Backoff::new(EVERY, EVERY_MAX);
        while !shutdown.is_cancelled() {
            let pause = tokio::select! {
                pause = self.send_due(&shutdown) => pause,
                () = drained(&shutdown) => return,
            };
            let wait = match pause {
                Pause::Idle => {
                    backoff.reset();
                    EVERY
                }
                Pause::Digest => AFTER_DIGEST,
                Pause::Trouble => backoff.next_wait(),
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Claims and sends one mail after the other: what is not claimed can be sent by others, and nothing stays claimed.
    async fn send_due(&self, shutdown: &CancellationToken) -> Pause {
        while !shutdown.is_cancelled() {
            let Some(leader) = self.route.current() else { return Pause::Idle };
            let send_before = Instant::now() + SEND_WITHIN;
            let claimed = match timeout(DATABASE_TIMEOUT, self.claim(&leader.token)).await {
                Ok(Ok(claimed)) => claimed,
                Ok(Err(DatabaseError::Fenced(fence))) => {
                    self.route.follow_fence(fence);
                    return Pause::Idle;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "cannot look into the outbox");
                    return Pause::Trouble;
                }
                Err(_) => return Pause::Trouble,
            };
            match claimed {
                Claimed::Nothing => return Pause::Idle,
                Claimed::Mail(mail) => {
                    if !self.send_and_settle(&mail, send_before).await {
                        return Pause::Trouble;
                    }
                }
                Claimed::Digest(digest) => return self.send_digest(&digest, send_before, shutdown).await,
            }
        }
        Pause::Idle
    }

    async fn claim(&self, token: &Token) -> Result<Claimed, DatabaseError> {
        if let Some(digest) = self.database.claim_digest(token, BURST.0, BURST.1, CLAIM_FOR).await? {
            return Ok(Claimed::Digest(digest));
        }
        let mail = self.database.claim_mails(token, 1, CLAIM_FOR).await?.into_iter().next();
        Ok(mail.map_or(Claimed::Nothing, Claimed::Mail))
    }

    /// Whether it left, or never will.
    async fn send_and_settle(&self, mail: &ClaimedMail, send_before: Instant) -> bool {
        let Some(outcome) = self.send(mail, send_before).await else { return false };
        self.settle(mail.id, || self.database.settle_mail(mail, &outcome)).await;
        !matches!(outcome, MailOutcome::Retry { .. })
    }

    /// Sends mails as one. If the server will never take that, one of them is to blame: each goes by itself.
    async fn send_digest(&self, digest: &ClaimedDigest, send_before: Instant, shutdown: &CancellationToken) -> Pause {
        let Some(outcome) = self.send(&as_one(digest), send_before).await else { return Pause::Trouble };
        if matches!(outcome, MailOutcome::Dead { .. }) {
            for mail in &digest.mails {
                if shutdown.is_cancelled() || !self.send_and_settle(mail, send_before).await {
                    return Pause::Trouble;
                }
            }
            return Pause::Digest;
        }
        self.settle(digest.id, || self.database.settle_digest(digest, &outcome)).await;
        if matches!(outcome, MailOutcome::Sent) { Pause::Digest } else { Pause::Trouble }
    }

    /// What became of it; none if it stayed here, because the process stood still until the claim was as good as over.
    async fn send(&self, claimed: &ClaimedMail, send_before: Instant) -> Option<MailOutcome> {
        let ClaimedMail { id, mail, attempts, .. } = claimed;
        if Instant::now() >= send_before {
            tracing::info!(key = mail.key, "mail left to its next claimer");
            return None;
        }
        let outgoing = OutgoingMail { id: format!("row-{id}"), subject: mail.subject.clone(), text: mail.body.clone() };
        let outcome = match self.mailer.send(&outgoing).await {
            Ok(()) => MailOutcome::Sent,
            Err(error) => after_failure(&error, *attempts),
        };
        match &outcome {
            MailOutcome::Sent => {
                self.health.up();
                tracing::info!(key = mail.key, subject = mail.subject, "mail sent");
                count("sent");
            }
            MailOutcome::Retry { delay, error } => {
                self.health.down(error.clone());
                tracing::warn!(key = mail.key, error, ?delay, "mail not sent yet");
                count("retried");
            }
            MailOutcome::Dead { error } => {
                tracing::error!(key = mail.key, error, "mail given up");
                count("dead");
            }
        }
        Some(outcome)
    }

    async fn settle<S: Future<Output = Result<(), DatabaseError>>>(&self, id: i64, settlement: impl Fn() -> S) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        for _ in 0..SETTLE_ATTEMPTS_MAX {
            match timeout(DATABASE_TIMEOUT, settlement()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::debug!(id, %error, "mail not settled yet"),
                Err(_) => tracing::debug!(id, "mail not settled yet: no answer in time"),
            }
            sleep(backoff.next_wait()).await;
        }
        tracing::warn!(id, "mail not settled: it is tried again when its claim runs out");
    }
}

/// A digest as a mail: first what it is about, then every mail whole.
fn as_one(digest: &ClaimedDigest) -> ClaimedMail {
    let count = digest.mails.len();
    let subjects = digest.mails.iter().map(|mail| mail.mail.subject.as_str());
    let first = subjects.clone().next().unwrap_or_default();
    let mut body = format!("{count} notices, which came at once:\n\n");
    for subject in subjects {
        body.push_str(&format!("  - {subject}\n"));
    }
    for ClaimedMail { mail: NewMail { subject, body: text, .. }, .. } in &digest.mails {
        let text: String = text.chars().take(DIGEST_PART_LEN_MAX).collect();
        body.push_str(&format!("\n---- {subject}\n\n{}\n", text.trim_end()));
    }
    ClaimedMail {
        id: digest.id,
        mail: NewMail {
            key: format!("digest-{}", digest.id),
            subject: format!("{first} and {} more", count - 1),
            body,
        },
        attempts: digest.mails.iter().map(|mail| mail.attempts).max().unwrap_or_default(),
        claim: digest.claim,
    }
}

fn after_failure(error: &MailError, attempts_before: u32) -> MailOutcome {
    let text = error.to_string();
    match error {
        MailError::Permanent { .. } | MailError::Invalid(_) => MailOutcome::Dead { error: text },
        _ if attempts_before.saturating_add(1) >= SEND_ATTEMPTS_MAX => MailOutcome::Dead { error: text },
        _ => MailOutcome::Retry { delay: retry_delay(attempts_before), error: text },
    }
}

/// Doubles with each failed attempt, up to an hour; drawn from its upper half, so that mails spread out.
fn retry_delay(attempts_before: u32) -> Duration {
    let doubled = RETRY.0.saturating_mul(2u32.saturating_pow(attempts_before));
    doubled.min(RETRY.1).mul_f64(rand::random_range(0.5..=1.0))
}

fn count(outcome: &'static str) {
    counter!("symphony_manager_mails_total", "outcome" => outcome).increment(1);
}

async fn drained(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    sleep(DRAIN_TIMEOUT).await;
}

#[cfg(test)]
mod tests {
    use symphony_adapters::{http::Health, smtp::MailSettings};

    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_dead() {
        let passing = MailError::Transient("busy".into());
        assert!(matches!(after_failure(&passing, 0), MailOutcome::Retry { .. }));
        assert!(matches!(after_failure(&passing, SEND_ATTEMPTS_MAX), MailOutcome::Dead { .. }));
        let refused = MailError::Permanent { code: 550, message: "no such user".into() };
        assert!(matches!(after_failure(&refused, 0), MailOutcome::Dead { error } if error.contains("no such user")));
    }

    #[test]
    fn a_digest_says_everything_its_mails_do_but_their_length() {
        let mail = |id: i64| ClaimedMail {
            id,
            mail: NewMail { key: id.to_string(), subject: format!("Subject {id}"), body: format!("Body {id}\n") },
            attempts: u32::try_from(id).unwrap(),
            claim: 9,
        };
        let mut mails: Vec<_> = (3..=6).map(mail).collect();
        mails[3].mail.body = "x".repeat(10 * DIGEST_PART_LEN_MAX);
        let digest = as_one(&ClaimedDigest { id: 3, mails, claim: 9 });
        assert_eq!((digest.id, digest.attempts, digest.mail.subject.as_str()), (3, 6, "Subject 3 and 3 more"));
        let body = &digest.mail.body;
        assert!(body.starts_with("4 notices"), "{body}");
        for id in 3..6 {
            assert!(body.contains(&format!("  - Subject {id}\n")), "{body}");
            assert!(body.contains(&format!("\n---- Subject {id}\n\nBody {id}\n")), "{body}");
        }
        assert!(body.len() < 2 * DIGEST_PART_LEN_MAX);
    }

    #[tokio::test]
    async fn nothing_sets_out_when_its_claim_is_as_good_as_over() {
        let folder = tempfile::tempdir().unwrap();
        let settings = MailSettings {
            url: format!("file:{}", folder.path().join("mails").display()),
            from: "symphony@example.org".into(),
            to: vec!["ops@example.org".into()],
            timeout: MailSettings::TIMEOUT,
        };
        let database = format!("sqlite:{}", folder.path().join("symphony.db").display());
        let mails = Mails {
            database: Database::open(&database).await.unwrap(),
            mailer: Mailer::new(&settings).unwrap(),
            route: Route::new(),
            health: Health::new().dependency("mail"),
        };
        let mail = NewMail { key: "a".into(), subject: "A".into(), body: "b".into() };
        let mail = ClaimedMail { id: 1, mail, attempts: 0, claim: 9 };
        let sent = || std::fs::read_dir(folder.path().join("mails")).unwrap().count();
        assert_eq!((mails.send(&mail, Instant::now()).await, sent()), (None, 0));
        let soon = Instant::now() + SEND_WITHIN;
        assert_eq!((mails.send(&mail, soon).await, sent()), (Some(MailOutcome::Sent), 1));
    }

    #[test]
    fn waits_grow_to_an_hour_and_no_further() {
        assert!(retry_delay(0) <= RETRY.0);
        for attempts in [10, 31, 32, 1000, u32::MAX] {
            assert!(retry_delay(attempts) >= RETRY.1 / 2 && retry_delay(attempts) <= RETRY.1);
        }
    }
}
