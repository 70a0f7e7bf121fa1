//! Mail: to an SMTP server, or into a folder for want of one.
//!
//! Delivery is at least once: after a timeout nobody knows whether the server took the mail. A mail sent again carries
//! the same Message-ID, by which receivers drop the second copy.

mod compose;
mod route;

use std::{error::Error, fmt, time::Duration};

use lettre::{
    AsyncFileTransport, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::Mailbox,
    transport::smtp::{AsyncSmtpTransportBuilder, Error as SmtpError},
};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::{sync::Mutex, time};

use self::route::Route;
use crate::tls::{self, Tls};

/// Characters of a failure that are worth repeating.
const MESSAGE_LEN_MAX: usize = 300;

/// Where mail goes, from whom and to whom.
#[derive(Clone)]
pub struct MailSettings {
    /// One of
    /// - `smtps://user:password@host:port`: TLS from the first byte (port 465 unless told);
    /// - `smtp://user:password@host:port`, also with `?tls=required`: STARTTLS or nothing (port 587 unless told);
    /// - `smtp://user:password@host:port?tls=none`: unencrypted, the password too, since that is plainly asked for (port 25
    ///   unless told). To the same machine, without a password, that need not be asked for;
    /// - `file:FOLDER`: a file `*.eml` for each mail; the folder is created.
    ///
    /// User and password are percent-encoded. STARTTLS only where offered (`tls=opportunistic`) is refused: whoever
    /// sits on the path decides about the offer.
    pub url: String,
    /// Sender: `name@example.org` or `Name <name@example.org>`.
    pub from: String,
    /// Recipients, at least one, in the same form.
    pub to: Vec<String>,
    /// For one mail, from connection to acknowledgement: lettre itself waits for a server's replies for ever.
    pub timeout: Duration,
}

impl MailSettings {
    /// Patient with a busy server, and well below the time for which a mail is claimed.
    pub const TIMEOUT: Duration = Duration::from_secs(60);
}

impl fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailSettings").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

/// Why no mail can be sent with these settings. Never shows a password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MailSettingsError {
    /// The URL says nothing usable.
    #[error("mail URL: {0}")]
    Url(String),
    /// An address is none.
    #[error("{0:?} is not a mail address")]
    Address(String),
    /// Nobody to write to.
    #[error("no recipient for mail is configured")]
    NoRecipient,
    /// The folder cannot be created.
    #[error("mail folder {folder:?}: {source}")]
    Folder {
        /// As configured.
        folder: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

/// A mail as its writer has it; whatever its texts contain, they stay text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Stable name of this mail among its sender's, such as `row-17`: 1 to 64 letters, digits, `-`, `_` or `.`. The
    /// Message-ID is made of it, of the content and of the sender's domain, so that a mail sent again has the same
    /// one and a new mail under an old name (after a database was set up anew) has another.
    pub id: String,
    /// One line; control characters become spaces, and what goes beyond 200 characters is cut.
    pub subject: String,
    /// Plain text, sent as such and as HTML; control characters but tabs and line feeds are dropped.
    pub text: String,
}

/// Why a mail was not sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MailError {
    /// Again later: the network, the server's state or its configuration stands in the way, not the mail.
    #[error("mail not sent for now: {0}")]
    Transient(String),
    /// Never: the server will not take this mail.
    #[error("mail refused ({code}): {message}")]
    Permanent {
        /// SMTP reply code, 5xx.
        code: u16,
        /// In the server's words.
        message: String,
    },
    /// Never: this is not a mail.
    #[error("not a mail: {0}")]
    Invalid(String),
}

/// Sends mail over one connection, kept open between mails for up to a minute.
#[derive(Debug)]
pub struct Mailer {
    from: Mailbox,
    to: Vec<Mailbox>,
    transport: Transport,
}

enum Transport {
    Smtp {
        builder: Box<AsyncSmtpTransportBuilder>,
        /// Taken while a mail is on its way, and put back only after the server's answer: a connection on which one
        /// is still owed would take it for the answer to the next mail.
        open: Mutex<Option<AsyncSmtpTransport<Tokio1Executor>>>,
        timeout: Duration,
    },
    Files(AsyncFileTransport<Tokio1Executor>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp { .. } => "Smtp",
            Self::Files(_) => "Files",
        })
    }
}

impl Mailer {
    /// Checks the settings; connects only when there is a mail to send.
    ///
    /// # Errors
    /// [`MailSettingsError`].
    pub fn new(settings: &MailSettings) -> Result<Self, MailSettingsError> {
        Self::with_authorities(settings, &[])
    }

    /// As [`Mailer::new`], for a server that the authorities of `tls` certify.
    ///
    /// # Errors
    /// [`MailSettingsError`].
    pub fn over(settings: &MailSettings, tls: &Tls) -> Result<Self, MailSettingsError> {
        Self::with_authorities(settings, tls.authorities())
    }

    fn with_authorities(
        settings: &MailSettings,
        authorities: &[CertificateDer<'_>],
    ) -> Result<Self, MailSettingsError> {
        let from = compose::mailbox(&settings.from)?;
        let to = settings.to.iter().map(|address| compose::mailbox(address)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(MailSettingsError::NoRecipient);
        }
        let transport = match Route::parse(&settings.url, authorities)? {
            Route::Smtp(builder) => Transport::Smtp { builder, open: Mutex::new(None), timeout: settings.timeout },
            Route::Files(folder) => {
                std::fs::create_dir_all(&folder)
                    .map_err(|source| MailSettingsError::Folder { folder: folder.clone(), source })?;
                Transport::Files(AsyncFileTransport::new(folder))
            }
        };
        Ok(Self { from, to, transport })
    }

    /// Sends one mail to all recipients; `Ok` once the server has taken responsibility for it.
    ///
    /// A recipient refused for good refuses the mail for all.
    ///
    /// # Errors
    /// [`MailError`].
    pub async fn send(&self, mail: &OutgoingMail) -> Result<(), MailError> {
        let message = compose::message(&self.from, &self.to, mail)?;
        match &self.transport {
            Transport::Smtp { builder, open, timeout } => send_over_smtp(builder, open, *timeout, message).await,
            Transport::Files(files) => match files.send(message).await {
                Ok(_) => Ok(()),
                Err(error) => Err(MailError::Transient(explain(&error))),
            },
        }
    }
}

async fn send_over_smtp(
    builder: &AsyncSmtpTransportBuilder,
    open: &Mutex<Option<AsyncSmtpTransport<Tokio1Executor>>>,
    timeout: Duration,
    message: Message,
) -> Result<(), MailError> {
    let mut open = open.lock().await;
    let transport = open.take().unwrap_or_else(|| builder.clone().build());
    let Ok(result) = time::timeout(timeout, transport.send(message)).await else {
        return Err(MailError::Transient(format!("no answer within {timeout:?}")));
    };
    *open = Some(transport);
    result.map(|_| ()).map_err(|error| failure(&error))
}

fn failure(error: &SmtpError) -> MailError {
    let code = error.status().map(u16::from);
    match code {
        // Wrong credentials, or TLS or a login asked for (RFC 4954, section 6; RFC 3207, section 4): the operator will
        // see to it, and the mail is none the worse for it.
        Some(530 | 534 | 535 | 538) | None => MailError::Transient(explain(error)),
        Some(code) if error.is_permanent() => MailError::Permanent { code, message: explain(error) },
        Some(_) => MailError::Transient(explain(error)),
    }
}

/// A failure with its causes, as one short line.
fn explain(error: &(dyn Error + 'static)) -> String {
    compose::line(&tls::describe(error), MESSAGE_LEN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> MailSettings {
        MailSettings {
            url: url.to_owned(),
            from: "Symphony <symphony@example.org>".to_owned(),
            to: vec!["ops@example.org".to_owned()],
            timeout: MailSettings::TIMEOUT,
        }
    }

    fn mail() -> OutgoingMail {
        OutgoingMail { id: "row-1".to_owned(), subject: "Hello".to_owned(), text: "World\n".to_owned() }
    }

    #[tokio::test]
    async fn without_a_server_mails_are_files_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mails = folder.path().join("out").join("mails");
        let mailer = Mailer::new(&settings(&format!("file:{}", mails.display()))).unwrap();
        mailer.send(&mail()).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(&mails).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].extension().unwrap(), "eml");
        let text = std::fs::read_to_string(&files[0]).unwrap();
        assert!(text.contains("Subject: Hello\r\n") && text.contains("\r\n\r\nWorld\r\n"), "{text}");
    }

    #[tokio::test]
    async fn an_absent_server_is_a_passing_trouble() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mailer = Mailer::new(&settings(&format!("smtp://127.0.0.1:{port}"))).unwrap();
        for _ in 0..2 {
            assert!(matches!(mailer.send(&mail()).await, Err(MailError::Transient(_))));
        }
    }

    #[test]
    fn addresses_are_checked_before_the_first_mail() {
        let wrong = MailSettings { from: "nobody".to_owned(), ..settings("file:x") };
        assert!(matches!(Mailer::new(&wrong), Err(MailSettingsError::Address(_))));
        let wrong = MailSettings { to: vec!["a@b@c".to_owned()], ..settings("file:x") };
        assert!(matches!(Mailer::new(&wrong), Err(MailSettingsError::Address(_))));
        let wrong = MailSettings { to: vec![], ..settings("file:x") };
        assert!(matches!(Mailer::new(&wrong), Err(MailSettingsError::NoRecipient)));
    }

    #[test]
    fn settings_do_not_show_the_password() {
        let shown = format!("{:?}", settings("smtps://user:hunter2@example.org"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
