//! The mailer against aiosmtpd.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use symphony_adapters::smtp::{MailError, MailSettings, Mailer, OutgoingMail};
use symphony_tests::servers::{smtp::SmtpServer, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let smtp = |name: &str, test: fn()| trial(name, &[SmtpServer::PROGRAM], test);
    vec![
        smtp("mail::a_mail_arrives_as_it_was_written", delivery),
        smtp("mail::a_line_break_in_a_subject_does_not_reach_the_header", injection),
        smtp("mail::a_temporary_refusal_is_transient_and_a_final_one_permanent", refusals),
        smtp("mail::whatever_the_server_answers_at_whatever_step_is_read_as_it_is_meant", answers),
        smtp("mail::a_server_that_drops_or_hangs_is_a_passing_trouble_and_the_next_mail_goes_out", drops_and_hangs),
        smtp("mail::a_mail_that_was_taken_without_an_answer_is_sent_again_under_the_same_message_id", taken_in_silence),
        smtp("mail::a_restarted_server_gets_the_next_mail", restart),
        smtp("mail::without_the_required_tls_nothing_is_sent", no_tls),
        smtp("mail::a_wrong_password_is_the_operators_trouble_and_not_the_mails", no_login),
    ]
}

/// More than an honest server needs on a busy machine, and what a silent one costs.
const TIMEOUT: Duration = Duration::from_secs(15);

fn mailer(url: &str, to: &str) -> Mailer {
    let (from, to) = ("Symphony <symphony@example.org>".to_owned(), vec![to.to_owned()]);
    Mailer::new(&MailSettings { url: url.to_owned(), from, to, timeout: TIMEOUT }).unwrap()
}

fn plain(server: &SmtpServer, to: &str) -> Mailer {
    mailer(&format!("smtp://{}", server.address()), to)
}

fn mail(subject: &str, text: &str) -> OutgoingMail {
    OutgoingMail { id: "row-17".to_owned(), subject: subject.to_owned(), text: text.to_owned() }
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn delivery() {
    let server = SmtpServer::start();
    block_on(async {
        let mailer = plain(&server, "Ops <ops@example.org>");
        mailer.send(&mail("New leader", "Node 2 leads.\n.\nQUIT\n..dots\n")).await.unwrap();
        mailer.send(&mail("New leader", "Node 2 leads.\n.\nQUIT\n..dots\n")).await.unwrap();
    });
    let received = server.received();
    assert_eq!(received.len(), 2);
    let mail = &received[0];
    assert!(mail.starts_with("symphony@example.org -> ops@example.org\r\n"), "{mail}");
    assert!(mail.contains("\r\nSubject: New leader\r\n"), "{mail}");
    assert!(mail.contains("\r\nMessage-ID: <row-17."), "{mail}");
    assert!(mail.contains("\r\n\r\nNode 2 leads.\r\n.\r\nQUIT\r\n..dots\r\n"), "{mail}");
    assert!(mail.contains("text/plain") && mail.contains("text/html"), "{mail}");
    let id = |mail: &str| mail.lines().find(|line| line.starts_with("Message-ID")).map(str::to_owned);
    assert_eq!(id(mail), id(&received[1]));
}

fn injection() {
    let server = SmtpServer::start();
    block_on(async {
        let subject = "Hello\r\nBcc: everyone@example.org\r\n\r\nBody";
        plain(&server, "ops@example.org").send(&mail(subject, "x")).await.unwrap();
    });
    let received = server.received();
    assert!(received[0].starts_with("symphony@example.org -> ops@example.org\r\n"), "{}", received[0]);
    assert!(!received[0].contains("\nBcc"), "{}", received[0]);
}

fn refusals() {
    let server = SmtpServer::start();
    block_on(async {
        let transient = plain(&server, "code-451@example.org").send(&mail("a", "b")).await;
        assert!(matches!(&transient, Err(MailError::Transient(reason)) if reason.contains("451")), "{transient:?}");
        let permanent = plain(&server, "code-550@example.org").send(&mail("a", "b")).await;
        assert!(matches!(permanent, Err(MailError::Permanent { code: 550, .. })), "{permanent:?}");
    });
    assert!(server.received().is_empty());
}

fn answers() {
    let server = SmtpServer::start();
    block_on(async {
        for step in ["code", "data"] {
            for code in [421, 450, 451, 452, 454, 530, 535] {
                let result = plain(&server, &format!("{step}-{code}@example.org")).send(&mail("a", "b")).await;
                let is_told = |reason: &str| reason.contains(&code.to_string());
                assert!(
                    matches!(&result, Err(MailError::Transient(reason)) if is_told(reason)),
                    "{step} {code}: {result:?}"
                );
            }
            for code in [500, 550, 552, 553, 554] {
                let result = plain(&server, &format!("{step}-{code}@example.org")).send(&mail("a", "b")).await;
                assert!(
                    matches!(&result, Err(MailError::Permanent { code: told, .. }) if *told == code),
                    "{step} {code}: {result:?}"
                );
            }
        }
    });
    assert!(server.received().is_empty());
}

fn drops_and_hangs() {
    let server = SmtpServer::start();
    block_on(async {
        for trouble in ["drop-rcpt", "drop-data", "hang-rcpt", "hang-data"] {
            let mailer = Mailer::new(&MailSettings {
                url: format!("smtp://{}", server.address()),
                from: "symphony@example.org".to_owned(),
                to: vec!["ops@example.org".to_owned(), format!("{trouble}@example.org")],
                timeout: TIMEOUT,
            })
            .unwrap();
            let start = Instant::now();
            let result = mailer.send(&mail("a", "b")).await;
            assert!(matches!(result, Err(MailError::Transient(_))), "{trouble}: {result:?}");
            assert!(start.elapsed() < 3 * TIMEOUT, "{trouble}: {:?}", start.elapsed());
            // The same mailer is none the worse for it: whatever answer was owed is not taken for that to another mail.
            let again = mailer.send(&mail("a", "b")).await;
            assert!(matches!(again, Err(MailError::Transient(_))), "{trouble}: {again:?}");
            assert!(server.received().is_empty());
        }
        plain(&server, "ops@example.org").send(&mail("after", "b")).await.unwrap();
    });
    assert_eq!(server.received().len(), 1);
}

fn taken_in_silence() {
    let server = SmtpServer::start();
    block_on(async {
        for silence in ["keep-drop", "keep-hang"] {
            let mailer = plain(&server, &format!("{silence}@example.org"));
            for _ in 0..2 {
                let result = mailer.send(&mail(silence, "b")).await;
                assert!(matches!(result, Err(MailError::Transient(_))), "{silence}: {result:?}");
            }
        }
    });
    let received = server.received();
    let ids: Vec<_> = received.iter().map(|mail| mail.lines().find(|line| line.starts_with("Message-ID"))).collect();
    assert_eq!(ids.len(), 4);
    assert!(ids[0].is_some() && ids[0] == ids[1] && ids[2] == ids[3] && ids[0] != ids[2], "{ids:?}");
}

fn restart() {
    let mut server = SmtpServer::start();
    block_on(async {
        let mailer = plain(&server, "ops@example.org");
        mailer.send(&mail("before", "x")).await.unwrap();
        server.stop();
        assert!(matches!(mailer.send(&mail("meanwhile", "x")).await, Err(MailError::Transient(_))));
        server.restart();
        mailer.send(&mail("after", "x")).await.unwrap();
    });
    assert_eq!(server.received().len(), 2);
}

fn no_tls() {
    let server = SmtpServer::start();
    block_on(async {
        let url = format!("smtp://user:password@{}?tls=required", server.address());
        let result = mailer(&url, "ops@example.org").send(&mail("a", "b")).await;
        assert!(matches!(&result, Err(MailError::Transient(reason)) if reason.contains("STARTTLS")), "{result:?}");
    });
    assert!(server.received().is_empty());
}

fn no_login() {
    let server = SmtpServer::start();
    block_on(async {
        let url = format!("smtp://user:password@{}?tls=none", server.address());
        let result = mailer(&url, "ops@example.org").send(&mail("a", "b")).await;
        assert!(matches!(result, Err(MailError::Transient(_))), "{result:?}");
    });
}
