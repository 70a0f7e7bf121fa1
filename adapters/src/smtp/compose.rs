//! From texts to a message that says what they say, and nothing more.

use lettre::{
    Message,
    message::{Mailbox, MultiPart},
};
use sha2::{Digest as _, Sha256};

use super::{MailError, MailSettingsError, OutgoingMail};

/// Characters of a subject at most.
const SUBJECT_LEN_MAX: usize = 200;
/// Characters of [`OutgoingMail::id`] at most.
const ID_LEN_MAX: usize = 64;

/// One line of at most `len_max` characters: control characters become spaces.
///
/// lettre 0.11.23 panics on a line break in a header, so none may reach it.
pub(super) fn line(text: &str, len_max: usize) -> String {
    let spaced = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    spaced.take(len_max).collect::<String>().trim().to_owned()
}

/// Text of whole lines, without what a terminal or a mail server would take for a command.
fn text(text: &str) -> String {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    unix.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect()
}

/// Reads `name@example.org` or `Name <name@example.org>`.
pub(super) fn mailbox(address: &str) -> Result<Mailbox, MailSettingsError> {
    let wrong = || MailSettingsError::Address(address.to_owned());
    let Mailbox { name, email } = line(address, usize::MAX).parse().map_err(|_| wrong())?;
    let name = name.map(|name| line(&name, usize::MAX)).filter(|name| !name.is_empty());
    Ok(Mailbox::new(name, email))
}

/// Builds the message.
pub(super) fn message(from: &Mailbox, to: &[Mailbox], mail: &OutgoingMail) -> Result<Message, MailError> {
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(line(&mail.subject, SUBJECT_LEN_MAX))
        .message_id(Some(message_id(from, mail)?));
    for recipient in to {
        builder = builder.to(recipient.clone());
    }
    let plain = text(&mail.text);
    let html = html(&plain);
    builder
        .multipart(MultiPart::alternative_plain_html(plain, html))
        .map_err(|error| MailError::Invalid(error.to_string()))
}

/// The same text for readers that show HTML: nothing in it is markup.
fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            char => escaped.push(char),
        }
    }
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head>\n\
         <body><pre style=\"white-space: pre-wrap; font: inherit\">\n{escaped}</pre></body></html>\n"
    )
}

/// `<row-17.0123456789abcdef.symphony@example.org>`: the same for the same mail, wherever it is sent from.
fn message_id(from: &Mailbox, mail: &OutgoingMail) -> Result<String, MailError> {
    let OutgoingMail { id, subject, text } = mail;
    let is_plain = id.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.'));
    if id.is_empty() || id.len() > ID_LEN_MAX || !is_plain || id.starts_with('.') || id.contains("..") {
        return Err(MailError::Invalid(format!("{id:?} cannot be part of a Message-ID")));
    }
    let domain = from.email.domain();
    let domain = if domain.is_ascii() { domain } else { "localhost" };
    let content = Sha256::new().chain_update(subject).chain_update([0]).chain_update(text).finalize();
    let digest = hex::encode(content.get(..8).unwrap_or_default());
    Ok(format!("<{id}.{digest}.symphony@{domain}>"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mail(id: &str, subject: &str, text: &str) -> OutgoingMail {
        OutgoingMail { id: id.to_owned(), subject: subject.to_owned(), text: text.to_owned() }
    }

    fn formatted(name: &str, mail: &OutgoingMail) -> Vec<u8> {
        let email: lettre::Address = "symphony@example.org".parse().unwrap();
        let from = Mailbox::new(Some(line(name, usize::MAX)), email.clone());
        message(&from, &[Mailbox::new(None, email)], mail).unwrap().formatted()
    }

    fn header_names(message: &[u8]) -> Vec<String> {
        let text = String::from_utf8(message.to_vec()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let starts = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        starts.map(|line| line.split_once(':').unwrap().0.to_owned()).collect()
    }

    fn header<'a>(message: &'a str, name: &str) -> &'a str {
        message.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
    }

    #[test]
    fn a_line_break_in_a_subject_is_a_space() {
        let message = formatted("Symphony", &mail("row-1", "Hello\r\nBcc: everyone@example.org", "x"));
        let message = String::from_utf8(message).unwrap();
        assert_eq!(header(&message, "Subject"), "Hello  Bcc: everyone@example.org");
    }

    #[test]
    fn a_mail_sent_again_has_the_same_message_id_and_another_mail_has_not() {
        let id =
            |mail: &OutgoingMail| header(&String::from_utf8(formatted("", mail)).unwrap(), "Message-ID").to_owned();
        let first = id(&mail("row-17", "a", "b"));
        assert!(first.starts_with("<row-17.") && first.ends_with(".symphony@example.org>"), "{first}");
        assert_eq!(first, id(&mail("row-17", "a", "b")));
        assert_ne!(first, id(&mail("row-18", "a", "b")));
        assert_ne!(first, id(&mail("row-17", "a", "c")));
        assert_ne!(id(&mail("row-17", "ab", "c")), id(&mail("row-17", "a", "bc")));
    }

    #[test]
    fn a_text_is_the_same_in_html_and_none_of_it_is_markup() {
        let text = "1 < 2 & \"3\" > 2\n<script>alert('x')</script>\n";
        let message = String::from_utf8(formatted("", &mail("row-1", "a", text))).unwrap();
        let (head, body) = message.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("multipart/alternative"), "{head}");
        let (plain, html) = body.split_once("Content-Type: text/html").unwrap();
        assert!(plain.contains("1 < 2 & \"3\" > 2\r\n<script>"), "{plain}");
        assert!(html.contains("1 &lt; 2 &amp; &quot;3&quot; &gt; 2"), "{html}");
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
    }

    #[test]
    fn an_id_that_would_break_the_header_is_refused() {
        let from: Mailbox = "a@example.org".parse().unwrap();
        for id in ["", "a b", "a>", "a@b", "a\r\nb", "ä", ".a", "a..b", &"x".repeat(65)] {
            assert!(
                matches!(message(&from, std::slice::from_ref(&from), &mail(id, "", "")), Err(MailError::Invalid(_))),
                "{id:?}"
            );
        }
    }

    #[test]
    fn a_name_with_line_breaks_is_no_way_into_the_header() {
        assert!(mailbox("a@example.org\r\nBcc: b@example.org").is_err());
        let named = mailbox("\"A\r\nB\" <a@example.org>").unwrap();
        assert!(!named.name.unwrap().contains(char::is_control));
    }

    proptest! {
        #[test]
        fn no_text_panics_or_adds_a_header(
            name in any::<String>(),
            subject in any::<String>(),
            text in any::<String>(),
            breaks in prop::collection::vec(prop::sample::select(vec!["\r", "\n", "\r\n", "\r\n.\r\n", "Bcc: x@y.z", "\0"]), 0..6),
        ) {
            let hostile = breaks.concat();
            let mail = mail("row-1", &format!("{subject}{hostile}{subject}"), &format!("{text}{hostile}{text}"));
            let message = formatted(&format!("{name}{hostile}{name}"), &mail);
            let mut names = header_names(&message);
            names.sort_unstable();
            prop_assert_eq!(names.join(" "), "Content-Type Date From MIME-Version Message-ID Subject To");
            // A line break that is not both characters is read differently by different servers.
            let text = String::from_utf8(message).unwrap();
            prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
            prop_assert!(text.split("\r\n").all(|line| line.len() <= 998));
        }

        #[test]
        fn any_address_is_read_or_refused(address in any::<String>()) {
            let _ = mailbox(&address);
            let _ = mailbox(&format!("{address} <a@example.org>"));
        }
    }
}
