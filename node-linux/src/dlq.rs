//! `symphony dlq`: messages that could not be stored, each with its reason.

use std::{fmt::Write as _, process::ExitCode};

use symphony_adapters::http::api::{DeadLetterInfo, DeadLetters, Replayed};

use crate::{
    cli::DlqCommand,
    config::Sources,
    inquiry::{self, how_many, moment, one_line, say},
};

pub(crate) fn run(command: &DlqCommand, sources: &Sources) -> ExitCode {
    let json = command.manager().json;
    inquiry::run(command.manager(), sources, async |client, url| {
        Ok(match command {
            DlqCommand::Ls { limit, .. } => say(json, &client.dead_letters(url, *limit).await?, list),
            DlqCommand::Show { id, .. } => say(json, &client.dead_letter(url, id).await?, show),
            DlqCommand::Replay { id, .. } => say(json, &client.replay(url, id.as_deref()).await?, replayed),
        })
    })
}

fn list(DeadLetters { total, letters }: &DeadLetters) -> String {
    let mut text = String::new();
    for letter in letters {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}  {}  {}", when(letter), name(letter), one_line(&letter.reason));
    }
    text + &how_many(*total, letters.len(), "dead letters")
}

fn show(letter: &DeadLetterInfo) -> String {
    let body: String =
        letter.body.as_deref().unwrap_or_default().split('\n').map(|line| one_line(line) + "\n").collect();
    format!(
        "message  {}\nrejected {}\nreason   {}\ntype     {}\nsize     {} bytes\n\n{body}",
        name(letter),
        when(letter),
        one_line(&letter.reason),
        one_line(&letter.content_type),
        letter.size
    )
}

fn replayed(Replayed { replayed }: &Replayed) -> String {
    format!("{replayed} back in the queue\n")
}

fn when(letter: &DeadLetterInfo) -> String {
    letter.rejected_at_ms.map_or_else(|| "at an unknown time".to_owned(), moment)
}

fn name(letter: &DeadLetterInfo) -> String {
    if letter.message_id.is_empty() { "(no id)".to_owned() } else { one_line(&letter.message_id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str) -> DeadLetterInfo {
        DeadLetterInfo {
            message_id: id.into(),
            reason: "not an item:\nsyntax".into(),
            rejected_at_ms: Some(1_795_472_163_776),
            content_type: "text/plain".into(),
            size: 7,
            body: Some("one\ntwo".into()),
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_letter_and_says_what_it_leaves_out() {
        let letters = DeadLetters { total: 5, letters: vec![letter("a"), letter("")] };
        assert_eq!(
            list(&letters),
            "2026-11-23T22:16:03.776Z  a  not an item:\u{fffd}syntax\n\
             2026-11-23T22:16:03.776Z  (no id)  not an item:\u{fffd}syntax\n2 of 5 dead letters\n"
        );
        assert_eq!(list(&DeadLetters { total: 0, letters: Vec::new() }), "no dead letters\n");
    }

    #[test]
    fn a_letter_is_shown_with_its_body() {
        assert!(show(&letter("a")).ends_with("type     text/plain\nsize     7 bytes\n\none\ntwo\n"));
    }
}
