//! Mails about dead letters: into the outbox as soon as a leader allows it, never in the way of the pump.

use std::time::Duration;

use symphony_adapters::database::{Database, DatabaseError, NewMail};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::route::Route;
use crate::backoff::Backoff;

/// Announcements that wait for the database; further ones are counted in the log alone.
const WAITING_MAX: usize = 256;
/// Longest reason in a mail, in characters.
const REASON_LENGTH_MAX: usize = 1000;
/// Longest id in a subject, in characters.
const ID_LENGTH_MAX: usize = 80;
/// Longest id in a key, in characters: whatever they are, the outbox takes such a key.
const KEY_LENGTH_MAX: usize = 120;
/// Attempts to put one mail into the outbox.
const ATTEMPTS_MAX: u32 = 12;
/// Time for one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for what is waiting when the manager stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(9);
/// Shortest and longest wait between attempts.
const WAIT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// Tells of dead letters. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct DeadLetters {
    mails: mpsc::Sender<NewMail>,
}

/// The other end of [`DeadLetters`].
pub(super) struct DeadLetterMails {
    mails: mpsc::Receiver<NewMail>,
}

/// A channel for announcements.
pub(super) fn channel() -> (DeadLetters, DeadLetterMails) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (DeadLetters { mails: sender }, DeadLetterMails { mails: receiver })
}

impl DeadLetters {
    /// Asks for a mail about the message, and does not wait.
    pub(super) fn announce(&self, message_id: &str, reason: &str) {
        if self.mails.try_send(mail(message_id, reason)).is_err() {
            tracing::warn!(message_id, "too many dead letters at once: no mail about this one");
        }
    }
}

impl DeadLetterMails {
    /// Puts mails into the outbox until every [`DeadLetters`] is gone, or for a while after `shutdown`.
    pub(super) async fn run(mut self, database: Database, route: Route, shutdown: CancellationToken) {
        let work = async {
            while let Some(mail) = self.mails.recv().await {
                enqueue(&database, &route, &mail).await;
            }
        };
        tokio::select! {
            () = work => {}
            () = drained(&shutdown) => {}
        }
    }

    #[cfg(test)]
    pub(super) fn try_next(&mut self) -> Option<NewMail> {
        self.mails.try_recv().ok()
    }
}

async fn drained(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    sleep(DRAIN_TIMEOUT).await;
}

async fn enqueue(database: &Database, route: &Route, mail: &NewMail) {
    let mut backoff = Backoff::new(WAIT.0, WAIT.1);
    for _ in 0..ATTEMPTS_MAX {
        if let Some(leader) = route.current() {
            match timeout(ATTEMPT_TIMEOUT, database.enqueue_mail(&leader.token, mail)).await {
                Ok(Ok(_)) => return,
                Ok(Err(DatabaseError::Fenced(leader))) => route.follow_fence(leader),
                Ok(Err(DatabaseError::Invalid(error))) => {
                    tracing::error!(key = mail.key, error, "no mail about this dead letter");
                    return;
                }
                Ok(Err(error)) => tracing::debug!(key = mail.key, %error, "mail not in the outbox yet"),
                Err(_) => tracing::debug!(key = mail.key, "mail not in the outbox yet: no answer in time"),
            }
        }
        sleep(backoff.next_wait()).await;
    }
    tracing::warn!(key = mail.key, "no mail about this dead letter: the outbox took none");
}

fn mail(message_id: &str, reason: &str) -> NewMail {
    let name: String = message_id.chars().filter(|c| !c.is_control()).take(ID_LENGTH_MAX).collect();
    let reason: String = reason.chars().take(REASON_LENGTH_MAX).collect();
    NewMail {
        key: format!("dead-{}", message_id.chars().take(KEY_LENGTH_MAX).collect::<String>()),
        subject: format!("Dead letter {name}"),
        body: format!("Message {name} cannot be stored and is in the dead-letter queue now.\n\nReason: {reason}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_stays_one_line() {
        let mail = mail("a\r\nBcc: x", "why");
        assert_eq!(mail.subject, "Dead letter aBcc: x");
        assert!(mail.body.contains("why"));
    }

    #[test]
    fn announcing_never_waits() {
        let (dead_letters, mails) = channel();
        for number in 0..2 * WAITING_MAX {
            dead_letters.announce(&number.to_string(), "why");
        }
        assert_eq!(mails.mails.len(), WAITING_MAX);
    }
}
