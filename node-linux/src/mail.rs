//! `symphony mail`: mails that were given up, each with the server's reason.

use std::{fmt::Write as _, process::ExitCode};

use symphony_adapters::{
    database::DeadMail,
    http::api::{DeadMails, Retried},
};

use crate::{
    cli::MailCommand,
    config::Sources,
    inquiry::{self, how_many, moment, one_line, say},
};

pub(crate) fn run(command: &MailCommand, sources: &Sources) -> ExitCode {
    let json = command.manager().json;
    inquiry::run(command.manager(), sources, async |client, url| {
        Ok(match command {
            MailCommand::Ls { limit, .. } => say(json, &client.dead_mails(url, *limit).await?, list),
            MailCommand::Retry { id, .. } => say(json, &client.retry_mails(url, *id).await?, retried),
        })
    })
}

fn list(DeadMails { total, mails }: &DeadMails) -> String {
    let mut text = String::new();
    for DeadMail { id, subject, attempts, error, given_up_at_ms, .. } in mails {
        let (at, subject, error) = (moment(*given_up_at_ms), one_line(subject), one_line(error));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{at}  {id}  {subject:?}  after {attempts} attempts: {error}");
    }
    text + &how_many(*total, mails.len(), "dead mails")
}

fn retried(Retried { retried }: &Retried) -> String {
    format!("{retried} back in the outbox\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_line_for_each_mail_and_says_what_it_leaves_out() {
        let mail = DeadMail {
            id: 7,
            key: "dead-a".into(),
            subject: "Dead letter a".into(),
            body: "…".into(),
            attempts: 2,
            error: "550 no\nsuch user".into(),
            created_at_ms: 0,
            given_up_at_ms: 1_795_472_163_776,
        };
        assert_eq!(
            list(&DeadMails { total: 5, mails: vec![mail] }),
            "2026-11-23T22:16:03.776Z  7  \"Dead letter a\"  after 2 attempts: 550 no\u{fffd}such user\n1 of 5 dead mails\n"
        );
        assert_eq!(list(&DeadMails { total: 0, mails: Vec::new() }), "no dead mails\n");
    }
}
