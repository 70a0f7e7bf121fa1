//! The mailer against aiosmtpd.

use std::future::Future;

use libtest_mimic::Trial;
use symphony_adapters::smtp::{MailError, MailSettings, Mailer, OutgoingMail};
use symphony_tests::servers::{smtp::SmtpServer, trial};

pub(crate) fn trials() -> Vec<Trial> {
    let smtp = |name: &str, test: fn()| trial(name, &[SmtpServer::PROGRAM], test);
    vec![
        smtp("mail::a_mail_arrives_as_it_was_written", delivery),
        smtp("mail::a_line_break_in_a_subject_does_not_reach_the_header", injection),
        smtp("mail::a_temporary_refusal_is_transient_and_a_final_one_permanent", refusals),
        smtp("mail::a_restarted_server_gets_the_next_mail", restart),
        smtp("mail::without_the_required_tls_nothing_is_sent", no_tls),
        smtp("mail::a_wrong_password_is_the_operators_trouble_and_not_the_mails", no_login),
    ]
}

fn mailer(url: &str, to: &str) -> Mailer {
    let from = "Symphony <symphony@example.org>".to_owned();
    Mailer::new(&MailSettings { url: url.to_owned(), from, to: vec![to.to_owned()] }).unwrap()
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
    assert!(mail.trim_end().ends_with("\r\n\r\nNode 2 leads.\r\n.\r\nQUIT\r\n..dots"), "{mail}");
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
