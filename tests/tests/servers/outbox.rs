//! The outbox, emptied by the manager into a real SMTP server.

use std::time::Duration;

use libtest_mimic::Trial;
use symphony::{config, manager::Manager};
use symphony_adapters::{
    broker,
    database::{Counts, Database, MailOutcome, NewMail},
    http::{Bearer, Health},
    smtp::{MailSettings, Mailer},
    tls::Tls,
};
use symphony_tests::{
    database::leader,
    servers::{smtp::SmtpServer, trial},
    symphony::until,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Mails in the outbox at the start, besides that about the leader.
const MAILS: usize = 6;

pub(crate) fn trials() -> Vec<Trial> {
    let smtp = |name: &str, test: fn()| trial(name, &[SmtpServer::PROGRAM], test);
    vec![
        smtp("outbox::a_burst_leaves_as_one_digest", || run(a_burst_leaves_as_one_digest())),
        smtp("outbox::mails_that_nobody_will_ever_take_are_dead_one_by_one_and_seen", || run(dead_mails())),
        smtp("outbox::what_a_server_does_not_take_yet_waits_and_is_not_lost", || run(waiting_mails())),
    ]
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test);
}

async fn a_burst_leaves_as_one_digest() {
    let smtp = tokio::task::spawn_blocking(SmtpServer::start).await.unwrap();
    let outbox = Outbox::start(&smtp, "ops@example.org").await;
    outbox.settles_at(Counts { mails_sent: 7, ..Counts::default() }).await;
    let received = smtp.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(received[0].contains("\r\nSubject: Node 1 leads in term 1 and 6 more\r\n"), "{}", received[0]);
    for number in 0..MAILS {
        assert!(received[0].contains(&format!("Mail {number}")), "{}", received[0]);
        assert!(received[0].contains(&format!("Text {number}")), "{}", received[0]);
    }
    outbox.stop().await;
}

async fn dead_mails() {
    let smtp = tokio::task::spawn_blocking(SmtpServer::start).await.unwrap();
    let outbox = Outbox::start(&smtp, "data-554@example.org").await;
    outbox.settles_at(Counts { mails_dead: 7, ..Counts::default() }).await;
    assert!(smtp.received().is_empty());
    outbox.stop().await;
}

async fn waiting_mails() {
    let smtp = tokio::task::spawn_blocking(SmtpServer::start).await.unwrap();
    let outbox = Outbox::start(&smtp, "data-451@example.org").await;
    until("trouble with the mail server", || async {
        let dependencies = outbox.health.report().dependencies;
        let mail = dependencies.into_iter().find(|dependency| dependency.name == "mail")?;
        mail.detail.is_some_and(|detail| detail.contains("451")).then_some(())
    })
    .await;
    assert_eq!(outbox.database.counts().await.unwrap(), Counts { mails_waiting: 7, ..Counts::default() });
    let (database, _folder) = outbox.stop().await;
    // Another manager, with a server that takes them, finds the same digest.
    let digest = until("the digest to be due", || async {
        database.claim_digest(&leader(1, 1).token, 1, 100, Duration::ZERO).await.unwrap()
    })
    .await;
    assert_eq!(digest.mails.len(), 7);
    assert!(digest.mails[0].attempts >= 1, "{digest:?}");
    database.settle_digest(&digest, &MailOutcome::Sent).await.unwrap();
    assert_eq!(database.counts().await.unwrap().mails_sent, 7);
}

/// A manager that has nothing to do but to send mails.
struct Outbox {
    database: Database,
    health: Health,
    shutdown: CancellationToken,
    manager: JoinHandle<()>,
    folder: TempDir,
}

impl Outbox {
    async fn start(smtp: &SmtpServer, to: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let database = Database::open(&url("symphony.db")).await.unwrap();
        let leader = leader(1, 1);
        database.promote(&leader).await.unwrap();
        for number in 0..MAILS {
            let (key, subject) = (format!("mail-{number}"), format!("Mail {number}"));
            let mail = NewMail { key, subject, body: format!("Text {number}\n") };
            database.enqueue_mail(&leader.token, &mail).await.unwrap();
        }
        let mailer = Mailer::new(&MailSettings {
            url: format!("smtp://{}", smtp.address()),
            from: "symphony@example.org".into(),
            to: vec![to.into()],
            timeout: MailSettings::TIMEOUT,
        });
        let (health, shutdown) = (Health::new(), CancellationToken::new());
        let manager = Manager {
            settings: config::Manager::default(),
            ftp: None,
            broker: broker::open(&url("queue.db"), "items").await.unwrap(),
            database: database.clone(),
            mailer: Some(mailer.unwrap()),
            bearer: Bearer::new("token-of-the-outbox").unwrap(),
            tls: Tls::new(None).unwrap(),
            health: health.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = shutdown.clone();
        let manager = tokio::spawn(async move { manager.run(listener, stop).await.unwrap() });
        Self { database, health, shutdown, manager, folder }
    }

    async fn settles_at(&self, expected: Counts) {
        until("the mails to be settled", || async {
            (self.database.counts().await.unwrap() == expected).then_some(())
        })
        .await;
    }

    async fn stop(self) -> (Database, TempDir) {
        self.shutdown.cancel();
        self.manager.await.unwrap();
        (self.database, self.folder)
    }
}
