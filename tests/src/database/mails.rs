//! The outbox: each mail has one sender at a time.

use std::{collections::HashSet, time::Duration};

use symphony_adapters::database::{ClaimedDigest, ClaimedMail, Counts, Database, MailOutcome, NewMail, Outcome, Token};

use super::{eventually, leader, open_as_leader, promises};

promises![
    one_mail_per_occasion,
    a_claimed_mail_is_nobody_elses,
    two_claimers_at_once_share_nothing,
    a_claim_that_ran_out_is_claimed_again,
    a_claim_outlasts_its_leader,
    a_failed_mail_waits_and_counts_its_attempts,
    a_dead_mail_is_kept_and_not_tried_again,
    a_dead_mail_is_shown_with_its_reason_and_may_be_tried_again,
    a_sent_mail_stays_sent,
    a_burst_is_one_digest_and_a_few_mails_are_none,
    a_digest_stays_what_it_was_until_it_has_left,
    a_digest_that_failed_waits_as_one,
    one_of_a_digest_may_be_settled_for_itself,
    a_claim_that_was_taken_over_settles_nothing_but_a_delivery,
    two_claimers_of_a_burst_share_nothing,
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
    database.settle_mail(&claimed[0], &retry(Duration::ZERO)).await.unwrap();
    database.settle_mail(&claimed[1], &retry(Duration::MAX)).await.unwrap();
    let again = database.claim_mails(&token, 2, LONG).await.unwrap();
    assert_eq!(again.iter().map(|mail| (mail.id, mail.attempts)).collect::<Vec<_>>(), [(claimed[0].id, 1)]);
    assert_eq!(database.counts().await.unwrap().mails_waiting, 2);
}

async fn a_dead_mail_is_kept_and_not_tried_again(url: String) {
    let (database, token) = filled(&url, 1).await;
    let claimed = database.claim_mails(&token, 1, Duration::ZERO).await.unwrap();
    let dead = MailOutcome::Dead { error: "550 no such user\0".into() };
    database.settle_mail(&claimed[0], &dead).await.unwrap();
    assert_eq!(database.claim_mails(&token, 1, LONG).await.unwrap(), []);
    assert_eq!(database.counts().await.unwrap(), Counts { mails_dead: 1, mails_sent: 1, ..Counts::default() });
}

async fn a_dead_mail_is_shown_with_its_reason_and_may_be_tried_again(url: String) {
    let (database, token) = filled(&url, 6).await;
    let digest = database.claim_digest(&token, 4, 4, LONG).await.unwrap().unwrap();
    let dead = MailOutcome::Dead { error: "550 no such user".into() };
    database.settle_digest(&digest, &dead).await.unwrap();
    let (mails, total) = database.dead_mails(3).await.unwrap();
    assert_eq!((mails.len(), total), (3, 4));
    let first = &mails[0];
    assert_eq!((first.id, first.key.as_str(), first.attempts), (digest.id, "mail-0", 1));
    assert_eq!((first.error.as_str(), first.body.as_str()), ("550 no such user", "Hello\n"));
    assert!(first.given_up_at_ms >= first.created_at_ms);

    assert_eq!(database.retry_mails(&token, Some(i64::MAX)).await.unwrap(), 0);
    let waiting = database.claim_mails(&token, 10, LONG).await.unwrap();
    assert_eq!(database.retry_mails(&token, Some(waiting[0].id)).await.unwrap(), 0, "it is not dead");
    assert_eq!(database.retry_mails(&token, Some(first.id)).await.unwrap(), 1);
    let again = database.claim_mails(&token, 10, LONG).await.unwrap();
    assert_eq!(again.iter().map(|mail| (mail.id, mail.attempts)).collect::<Vec<_>>(), [(first.id, 0)]);
    assert_eq!(database.retry_mails(&token, None).await.unwrap(), 3);
    assert_eq!(database.dead_mails(3).await.unwrap(), (vec![], 0));
    let stale = Token { term: 0, ..token };
    assert!(database.retry_mails(&stale, None).await.is_err());
}

async fn a_sent_mail_stays_sent(url: String) {
    let (database, token) = filled(&url, 1).await;
    let claimed = database.claim_mails(&token, 1, Duration::ZERO).await.unwrap().remove(0);
    database.settle_mail(&claimed, &MailOutcome::Sent).await.unwrap();
    let late = [
        MailOutcome::Retry { delay: Duration::ZERO, error: "late".into() },
        MailOutcome::Dead { error: "late".into() },
        MailOutcome::Sent,
    ];
    for outcome in &late {
        database.settle_mail(&claimed, outcome).await.unwrap();
        assert_eq!(database.claim_mails(&token, 1, LONG).await.unwrap(), []);
        assert_eq!(database.counts().await.unwrap(), Counts { mails_sent: 2, ..Counts::default() });
    }
    assert_eq!(database.enqueue_mail(&token, &mail(0)).await.unwrap(), Outcome::Duplicate);
    database.settle_mail(&ClaimedMail { id: i64::MAX, ..claimed }, &MailOutcome::Sent).await.unwrap();
}

async fn a_burst_is_one_digest_and_a_few_mails_are_none(url: String) {
    let (database, token) = filled(&url, 3).await;
    assert_eq!(database.claim_digest(&token, 4, 10, LONG).await.unwrap(), None);
    database.enqueue_mail(&token, &mail(3)).await.unwrap();
    let digest = database.claim_digest(&token, 4, 10, LONG).await.unwrap().unwrap();
    assert_eq!(digest.id, digest.mails[0].id);
    assert_eq!(keys(&digest), ["mail-0", "mail-1", "mail-2", "mail-3"]);
    assert_eq!(database.claim_digest(&token, 1, 10, LONG).await.unwrap(), None);
    assert_eq!(database.claim_mails(&token, 10, LONG).await.unwrap(), []);
    database.settle_digest(&digest, &MailOutcome::Sent).await.unwrap();
    assert_eq!(database.counts().await.unwrap(), Counts { mails_sent: 5, ..Counts::default() });
}

async fn a_digest_stays_what_it_was_until_it_has_left(url: String) {
    let (database, token) = filled(&url, 5).await;
    let first = database.claim_digest(&token, 4, 4, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(keys(&first), ["mail-0", "mail-1", "mail-2", "mail-3"], "no more than asked for");
    for number in 5..9 {
        database.enqueue_mail(&token, &mail(number)).await.unwrap();
    }
    // Its claim has run out: whoever comes next sends the very same, and no part of it alone.
    let others = database.claim_mails(&token, 1, Duration::ZERO).await.unwrap();
    assert_eq!(others[0].mail.key, "mail-4");
    let again = database.claim_digest(&token, 4, 10, LONG).await.unwrap().unwrap();
    assert_eq!((again.id, keys(&again)), (first.id, keys(&first)));
    let next = database.claim_digest(&token, 4, 10, LONG).await.unwrap().unwrap();
    assert_eq!(keys(&next), ["mail-4", "mail-5", "mail-6", "mail-7", "mail-8"]);
}

async fn a_digest_that_failed_waits_as_one(url: String) {
    let (database, token) = filled(&url, 4).await;
    let digest = database.claim_digest(&token, 4, 10, LONG).await.unwrap().unwrap();
    let retry = |delay| MailOutcome::Retry { delay, error: "451 later".into() };
    database.settle_digest(&digest, &retry(Duration::ZERO)).await.unwrap();
    let again = database.claim_digest(&token, 4, 10, LONG).await.unwrap().unwrap();
    assert_eq!((again.id, keys(&again)), (digest.id, keys(&digest)));
    assert!(again.mails.iter().all(|mail| mail.attempts == 1), "{again:?}");
    database.settle_digest(&again, &retry(LONG)).await.unwrap();
    assert_eq!(database.claim_digest(&token, 1, 10, LONG).await.unwrap(), None);
}

async fn one_of_a_digest_may_be_settled_for_itself(url: String) {
    let (database, token) = filled(&url, 4).await;
    let digest = database.claim_digest(&token, 4, 10, LONG).await.unwrap().unwrap();
    database.settle_mail(&digest.mails[1], &MailOutcome::Dead { error: "550".into() }).await.unwrap();
    assert_eq!(
        database.counts().await.unwrap(),
        Counts { mails_sent: 1, mails_waiting: 3, mails_dead: 1, ..Counts::default() }
    );
}

async fn a_claim_that_was_taken_over_settles_nothing_but_a_delivery(url: String) {
    let (database, token) = filled(&url, 6).await;
    let short = Duration::from_millis(1);
    let late = [
        MailOutcome::Retry { delay: Duration::ZERO, error: "late".into() },
        MailOutcome::Dead { error: "late".into() },
    ];
    let digest = database.claim_digest(&token, 4, 4, short).await.unwrap().unwrap();
    let mail = database.claim_mails(&token, 1, short).await.unwrap().remove(0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let again = (
        database.claim_digest(&token, 4, 4, LONG).await.unwrap().unwrap(),
        database.claim_mails(&token, 1, LONG).await.unwrap().remove(0),
    );
    assert_eq!((again.0.id, again.1.id), (digest.id, mail.id));
    for outcome in &late {
        database.settle_digest(&digest, outcome).await.unwrap();
        database.settle_mail(&mail, outcome).await.unwrap();
        assert_eq!(database.counts().await.unwrap(), Counts { mails_sent: 1, mails_waiting: 6, ..Counts::default() });
        assert_eq!(
            database.claim_digest(&token, 4, 4, LONG).await.unwrap(),
            None,
            "{outcome:?} took it from its claimer"
        );
    }
    database.settle_digest(&digest, &MailOutcome::Sent).await.unwrap();
    database.settle_mail(&mail, &MailOutcome::Sent).await.unwrap();
    assert_eq!(database.counts().await.unwrap(), Counts { mails_sent: 6, mails_waiting: 1, ..Counts::default() });
    let [retry, _] = late;
    database.settle_mail(&again.1, &retry).await.unwrap();
    assert_eq!(database.counts().await.unwrap().mails_sent, 6, "what has left has left");
}

async fn two_claimers_of_a_burst_share_nothing(url: String) {
    let (one, token) = filled(&url, 40).await;
    let two = Database::open(&url).await.unwrap();
    let mut claimed = std::collections::BTreeSet::new();
    loop {
        let (first, second) = tokio::join!(one.claim_digest(&token, 2, 8, LONG), two.claim_digest(&token, 2, 8, LONG));
        let digests: Vec<_> = [first.unwrap(), second.unwrap()].into_iter().flatten().collect();
        for mail in digests.iter().flat_map(|digest| &digest.mails) {
            assert!(claimed.insert(mail.id), "{} is claimed twice", mail.id);
        }
        if digests.is_empty() {
            break;
        }
    }
    assert_eq!(claimed.len(), 40);
}

fn keys(digest: &ClaimedDigest) -> Vec<&str> {
    digest.mails.iter().map(|mail| mail.mail.key.as_str()).collect()
}

fn mail(number: usize) -> NewMail {
    NewMail { key: format!("mail-{number}"), subject: format!("Mail {number}"), body: "Hello\n".into() }
}

/// A leader whose own announcement has been sent.
async fn open(url: &str) -> (Database, Token) {
    let (database, token) = open_as_leader(url).await;
    let announcement = database.claim_mails(&token, 1, LONG).await.unwrap();
    database.settle_mail(&announcement[0], &MailOutcome::Sent).await.unwrap();
    (database, token)
}

async fn filled(url: &str, mails: usize) -> (Database, Token) {
    let (database, token) = open(url).await;
    for number in 0..mails {
        database.enqueue_mail(&token, &mail(number)).await.unwrap();
    }
    (database, token)
}
