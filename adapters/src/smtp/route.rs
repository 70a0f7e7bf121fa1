//! Where a mail URL leads.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, Tokio1Executor,
    transport::smtp::{AsyncSmtpTransportBuilder, PoolConfig},
};
use tracing::warn;
use url::Url;

use super::MailSettingsError;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without mail is closed after this.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Where mail goes.
pub(super) enum Route {
    Smtp(Box<AsyncSmtpTransportBuilder>),
    Files(String),
}

impl Route {
    /// Reads the URL; see [`super::MailSettings::url`].
    pub(super) fn parse(url: &str) -> Result<Self, MailSettingsError> {
        match url.split_once(':') {
            Some(("file", path)) => files(path),
            Some(("smtp" | "smtps", _)) => smtp(url),
            _ => Err(wrong("it starts with smtps:, smtp: or file:")),
        }
    }
}

fn wrong(reason: impl Into<String>) -> MailSettingsError {
    MailSettingsError::Url(reason.into())
}

fn files(path: &str) -> Result<Route, MailSettingsError> {
    match path.strip_prefix("//").unwrap_or(path) {
        "" => Err(wrong("file: needs a folder")),
        folder => Ok(Route::Files(folder.to_owned())),
    }
}

fn smtp(text: &str) -> Result<Route, MailSettingsError> {
    let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("the host is missing"))?;
    let is_local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if url.username().is_empty() != url.password().is_none() {
        return Err(wrong("user and password go together"));
    }

    let mut tls = None;
    for (key, value) in url.query_pairs() {
        match (&*key, tls) {
            ("tls", None) => tls = Some(value.into_owned()),
            _ => return Err(wrong(format!("{key:?} is not a setting, or is set twice"))),
        }
    }
    let is_plain = match (url.scheme(), tls.as_deref()) {
        ("smtps", None) | ("smtp", Some("required")) => false,
        ("smtp", Some("none")) => true,
        ("smtp", None) if url.password().is_none() => true,
        ("smtp", None) => {
            return Err(wrong("it would send the password unencrypted: add ?tls=required, or ?tls=none to insist"));
        }
        ("smtp", Some("opportunistic")) => {
            return Err(wrong("tls=opportunistic protects from nobody: use tls=required or tls=none"));
        }
        ("smtps", Some(_)) => return Err(wrong("smtps: is encrypted anyway; leave tls= out")),
        (_, Some(value)) => return Err(wrong(format!("tls={value:?} is neither required nor none"))),
        (scheme, None) => return Err(wrong(format!("{scheme}: is not a way to send mail"))),
    };
    if is_plain {
        if !is_local {
            warn!(host, "mail goes unencrypted, as configured");
        }
        // lettre's word for it.
        url.set_query(None);
    }
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())
        .map_err(|error| wrong(error.to_string()))?
        .timeout(Some(CONNECT_TIMEOUT))
        .pool_config(PoolConfig::new().max_size(1).idle_timeout(IDLE_TIMEOUT));
    Ok(Route::Smtp(Box::new(builder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(url: &str) -> String {
        match Route::parse(url) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{url} was accepted"),
        }
    }

    #[test]
    fn every_documented_url_leads_somewhere() {
        for url in [
            "smtps://user:p%40ss@mail.example.org:465",
            "smtps://mail.example.org",
            "smtp://user:pass@mail.example.org:587?tls=required",
            "smtp://mail.example.org?tls=required",
            "smtp://localhost:2525",
            "smtp://user:pass@localhost:2525?tls=none",
        ] {
            assert!(matches!(Route::parse(url), Ok(Route::Smtp(_))), "{url}");
        }
        for (url, folder) in [("file:mails", "mails"), ("file:/var/mails", "/var/mails"), ("file:///a b", "/a b")] {
            assert!(matches!(Route::parse(url), Ok(Route::Files(path)) if path == folder), "{url}");
        }
    }

    #[test]
    fn a_password_never_goes_unencrypted_by_accident() {
        assert!(reason("smtp://user:hunter2@mail.example.org").contains("tls=required"));
        assert!(reason("smtp://user:hunter2@mail.example.org?tls=opportunistic").contains("tls=required"));
    }

    #[test]
    fn wrong_urls_are_refused_without_showing_the_password() {
        for url in [
            "",
            "mail.example.org",
            "http://mail.example.org",
            "smtp:",
            "smtp://",
            "smtp://user@mail.example.org",
            "smtp://:hunter2@mail.example.org",
            "smtp://user:hunter2@mail.example.org:port",
            "smtp://user:hunter2@mail.example.org?tls=maybe",
            "smtp://user:hunter2@mail.example.org?tls=none&tls=required",
            "smtp://mail.example.org?timeout=1",
            "smtps://user:hunter2@mail.example.org?tls=none",
            "file:",
            "file://",
        ] {
            assert!(!reason(url).contains("hunter2"), "{url}");
        }
    }
}
