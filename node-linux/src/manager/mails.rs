//! Mails from the outbox to the mail server.
//!
//! A mail leaves only when its row is claimed under the leader's token, and carries a Message-ID made of that row: one
//! that is sent twice, because its settlement got lost, is recognised.

use std::time::Duration;

use metrics::counter;
use symphony_adapters::{
    database::{ClaimedMail, Database, DatabaseError, MailOutcome},
    http::Dependency,
    smtp::{MailError, Mailer, OutgoingMail},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::route::Route;
use crate::backoff::Backoff;

/// Time between two looks at an outbox with nothing due.
const EVERY: Duration = Duration::from_secs(1);
/// Longest time between two looks while no mail can be sent.
const EVERY_MAX: Duration = Duration::from_secs(60);
/// Time that a claimed mail is ours: longer than sending and settling it can take.
const CLAIM_FOR: Duration = Duration::from_secs(300);
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

/// Sends what the outbox holds.
pub(super) struct Mails {
    pub(super) database: Database,
    pub(super) mailer: Mailer,
    pub(super) route: Route,
    pub(super) health: Dependency,
}

/// Why no further mail is tried now.
enum Pause {
    /// Nothing is due, or nobody leads.
    Idle,
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
            let claim = self.database.claim_mails(&leader.token, 1, CLAIM_FOR);
            let claimed = match timeout(DATABASE_TIMEOUT, claim).await {
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
            let Some(mail) = claimed.into_iter().next() else { return Pause::Idle };
            let outcome = self.send(&mail).await;
            let passing = matches!(outcome, MailOutcome::Retry { .. });
            self.settle(mail.id, &outcome).await;
            if passing {
                return Pause::Trouble;
            }
        }
        Pause::Idle
    }

    async fn send(&self, claimed: &ClaimedMail) -> MailOutcome {
        let ClaimedMail { id, mail, attempts } = claimed;
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
        outcome
    }

    async fn settle(&self, id: i64, outcome: &MailOutcome) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        for _ in 0..SETTLE_ATTEMPTS_MAX {
            match timeout(DATABASE_TIMEOUT, self.database.settle_mail(id, outcome)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::debug!(id, %error, "mail not settled yet"),
                Err(_) => tracing::debug!(id, "mail not settled yet: no answer in time"),
            }
            sleep(backoff.next_wait()).await;
        }
        tracing::warn!(id, ?outcome, "mail not settled: it is tried again when its claim runs out");
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
    fn waits_grow_to_an_hour_and_no_further() {
        assert!(retry_delay(0) <= RETRY.0);
        for attempts in [10, 31, 32, 1000, u32::MAX] {
            assert!(retry_delay(attempts) >= RETRY.1 / 2 && retry_delay(attempts) <= RETRY.1);
        }
    }
}
