//! The outbox: each mail has one sender at a time.

use std::{collections::HashSet, time::Duration};

use symphony_adapters::database::{Counts, Database, MailOutcome, NewMail, Outcome, Token};

use super::{eventually, leader, open_as_leader, promises};

promises![
    one_mail_per_occasion,
    a_claimed_mail_is_nobody_elses,
    two_claimers_at_once_share_nothing,
    a_claim_that_ran_out_is_claimed_again,
    a_claim_outlasts_its_leader,
    a_failed_mail_waits_and_counts_its_attempts,
    a_dead_mail_is_kept_and_not_tried_again,
    a_sent_mail_stays_sent,
];

const LONG: Duration = Duration::from_secs(600);

async fn one_mail_per_occasion(url: String) {
    let (database, token) = open(&url).await;
    assert_eq!(database.enqueue_mail(&token, &mail(1)).await.unwrap(), Outcome::Stored);
    let reworded = NewMail { subject: "Other".into(), ..mail(1) };
    assert_eq!(database.enqueue_mail(&token, &reworded).await.unwrap(), Outcome::Duplicate);
    let claimed = database.claim_mails(&token, 10, LONG).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!((&claimed[0].mail, claimed[0].attempts), (&mail(1), 0));
}

async fn a_claimed_mail_is_nobody_elses(url: String) {
    let (database, token) = filled(&url, 5).await;
    let first = database.claim_mails(&token, 2, LONG).await.unwrap();
    let rest = database.claim_mails(&token, 10, LONG).await.unwrap();
    assert_eq!((first.len(), rest.len()), (2, 3));
    let ids: HashSet<_> = first.iter().chain(&rest).map(|mail| mail.id).collect();
    assert_eq!(ids.len(), 5);
    assert_eq!(database.claim_mails(&token, 10, LONG).await.unwrap(), []);
    assert_eq!(database.counts().await.unwrap().mails_waiting, 5);
}

async fn two_claimers_at_once_share_nothing(url: String) {
    let (one, token) = filled(&url, 60).await;
    let two = Database::open(&url).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..6 {
        let (a, b) = tokio::join!(one.claim_mails(&token, 5, LONG), two.claim_mails(&token, 5, LONG));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.len() <= 5 && b.len() <= 5);
        ids.extend(a.into_iter().chain(b).map(|mail| mail.id));
    }
    assert_eq!(ids.len(), 60);
    assert_eq!(ids.into_iter().collect::<HashSet<_>>().len(), 60);
}

async fn a_claim_that_ran_out_is_claimed_again(url: String) {
    let (database, token) = filled(&url, 1).await;
    assert_eq!(database.claim_mails(&token, 1, Duration::from_millis(50)).await.unwrap().len(), 1);
    eventually("a second claim", || async {
        let claimed = database.claim_mails(&token, 1, LONG).await.unwrap();
        claimed.first().is_some_and(|mail| mail.attempts == 0)
    })
    .await;
}

async fn a_claim_outlasts_its_leader(url: String) {
    let (database, token) = filled(&url, 1).await;
    assert_eq!(database.claim_mails(&token, 1, LONG).await.unwrap().len(), 1);
    let next = leader(2, 2);
    database.promote(&next).await.unwrap();
    let claimed = database.claim_mails(&next.token, 10, LONG).await.unwrap();
    assert_eq!(claimed.iter().map(|mail| mail.mail.key.as_str()).collect::<Vec<_>>(), ["leader-2"]);
}

async fn a_failed_mail_waits_and_counts_its_attempts(url: String) {
    let (database, token) = filled(&url, 2).await;
    let claimed = database.claim_mails(&token, 2, LONG).await.unwrap();
    let retry = |delay| MailOutcome::Retry { delay, error: "451 later".into() };
    database.settle_mail(claimed[0].id, &retry(Duration::ZERO)).await.unwrap();
    database.settle_mail(claimed[1].id, &retry(Duration::MAX)).await.unwrap();
    let again = database.claim_mails(&token, 2, LONG).await.unwrap();
    assert_eq!(again.iter().map(|mail| (mail.id, mail.attempts)).collect::<Vec<_>>(), [(claimed[0].id, 1)]);
    assert_eq!(database.counts().await.unwrap().mails_waiting, 2);
}

async fn a_dead_mail_is_kept_and_not_tried_again(url: String) {
    let (database, token) = filled(&url, 1).await;
    let claimed = database.claim_mails(&token, 1, Duration::ZERO).await.unwrap();
    let dead = MailOutcome::Dead { error: "550 no such user\0".into() };
    database.settle_mail(claimed[0].id, &dead).await.unwrap();
    assert_eq!(database.claim_mails(&token, 1, LONG).await.unwrap(), []);
    assert_eq!(database.counts().await.unwrap(), Counts { mails_dead: 1, mails_sent: 1, ..Counts::default() });
}

async fn a_sent_mail_stays_sent(url: String) {
    let (database, token) = filled(&url, 1).await;
    let id = database.claim_mails(&token, 1, Duration::ZERO).await.unwrap()[0].id;
    database.settle_mail(id, &MailOutcome::Sent).await.unwrap();
    let late = [
        MailOutcome::Retry { delay: Duration::ZERO, error: "late".into() },
        MailOutcome::Dead { error: "late".into() },
        MailOutcome::Sent,
    ];
    for outcome in &late {
        database.settle_mail(id, outcome).await.unwrap();
        assert_eq!(database.claim_mails(&token, 1, LONG).await.unwrap(), []);
        assert_eq!(database.counts().await.unwrap(), Counts { mails_sent: 2, ..Counts::default() });
    }
    assert_eq!(database.enqueue_mail(&token, &mail(0)).await.unwrap(), Outcome::Duplicate);
    database.settle_mail(i64::MAX, &MailOutcome::Sent).await.unwrap();
}

fn mail(number: usize) -> NewMail {
    NewMail { key: format!("mail-{number}"), subject: format!("Mail {number}"), body: "Hello\n".into() }
}

/// A leader whose own announcement has been sent.
async fn open(url: &str) -> (Database, Token) {
    let (database, token) = open_as_leader(url).await;
    let announcement = database.claim_mails(&token, 1, LONG).await.unwrap();
    database.settle_mail(announcement[0].id, &MailOutcome::Sent).await.unwrap();
    (database, token)
}

async fn filled(url: &str, mails: usize) -> (Database, Token) {
    let (database, token) = open(url).await;
    for number in 0..mails {
        database.enqueue_mail(&token, &mail(number)).await.unwrap();
    }
    (database, token)
}
