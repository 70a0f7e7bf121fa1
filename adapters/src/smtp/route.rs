//! Where a mail URL leads.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, Tokio1Executor,
    transport::smtp::{
        AsyncSmtpTransportBuilder, Error as SmtpError, PoolConfig,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use rustls::pki_types::CertificateDer;
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
    /// Reads the URL (see [`super::MailSettings::url`]); none of the `authorities`: the public ones.
    pub(super) fn parse(url: &str, authorities: &[CertificateDer<'_>]) -> Result<Self, MailSettingsError> {
        match url.split_once(':') {
            Some(("file", path)) => files(path),
            Some(("smtp" | "smtps", _)) => smtp(url, authorities),
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

fn smtp(text: &str, authorities: &[CertificateDer<'_>]) -> Result<Route, MailSettingsError> {
    let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("the host is missing"))?.to_owned();
    let host = host.as_str();
    if url.username().is_empty() != url.password().is_none() {
        return Err(wrong("user and password go together"));
    }

    let encryption = encryption(&url, host)?;
    if encryption == Encryption::None && !is_loopback(host) {
        warn!(host, "mail goes unencrypted, as configured");
    }
    // lettre's words for it.
    url.set_query((encryption == Encryption::StartTls).then_some("tls=required"));
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())
        .map_err(|error| wrong(error.to_string()))?
        .timeout(Some(CONNECT_TIMEOUT))
        .pool_config(PoolConfig::new().max_size(1).idle_timeout(IDLE_TIMEOUT));
    if encryption != Encryption::None && !authorities.is_empty() {
        let parameters = trusting(host, authorities).map_err(|error| wrong(error.to_string()))?;
        let is_wrapped = encryption == Encryption::Wrapped;
        builder = builder.tls(if is_wrapped { Tls::Wrapper(parameters) } else { Tls::Required(parameters) });
    }
    Ok(Route::Smtp(Box::new(builder)))
}

/// What protects a mail on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    None,
    /// STARTTLS, or no mail.
    StartTls,
    /// TLS from the first byte.
    Wrapped,
}

/// None only where the URL says so, or where nobody is on the path and no password at stake.
fn encryption(url: &Url, host: &str) -> Result<Encryption, MailSettingsError> {
    let mut tls = None;
    for (key, value) in url.query_pairs() {
        match (&*key, tls) {
            ("tls", None) => tls = Some(value.into_owned()),
            _ => return Err(wrong(format!("{key:?} is not a setting, or is set twice"))),
        }
    }
    match (url.scheme(), tls.as_deref()) {
        ("smtps", None) => Ok(Encryption::Wrapped),
        ("smtp", Some("none")) => Ok(Encryption::None),
        ("smtp", None) if is_loopback(host) && url.password().is_none() => Ok(Encryption::None),
        ("smtp", None | Some("required")) => Ok(Encryption::StartTls),
        ("smtp", Some("opportunistic")) => {
            Err(wrong("tls=opportunistic protects from nobody: use tls=required or tls=none"))
        }
        ("smtps", Some(_)) => Err(wrong("smtps: is encrypted anyway; leave tls= out")),
        (_, Some(value)) => Err(wrong(format!("tls={value:?} is neither required nor none"))),
        (scheme, None) => Err(wrong(format!("{scheme}: is not a way to send mail"))),
    }
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// TLS with a server called `host` that one of the authorities certifies.
fn trusting(host: &str, authorities: &[CertificateDer<'_>]) -> Result<TlsParameters, SmtpError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut parameters = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::None);
    for authority in authorities {
        parameters = parameters.add_root_certificate(Certificate::from_der(authority.to_vec())?);
    }
    parameters.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(url: &str) -> String {
        match Route::parse(url, &[]) {
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
            assert!(matches!(Route::parse(url, &[]), Ok(Route::Smtp(_))), "{url}");
        }
        for (url, folder) in [("file:mails", "mails"), ("file:/var/mails", "/var/mails"), ("file:///a b", "/a b")] {
            assert!(matches!(Route::parse(url, &[]), Ok(Route::Files(path)) if path == folder), "{url}");
        }
    }

    #[test]
    fn nothing_goes_unencrypted_over_a_network_unless_that_is_asked_for() {
        let of = |url: &str| {
            let url = Url::parse(url).unwrap();
            encryption(&url, url.host_str().unwrap()).unwrap()
        };
        for (url, expected) in [
            ("smtp://mail.example.org", Encryption::StartTls),
            ("smtp://user:hunter2@mail.example.org", Encryption::StartTls),
            ("smtp://user:hunter2@localhost", Encryption::StartTls),
            ("smtp://mail.example.org?tls=required", Encryption::StartTls),
            ("smtp://mail.example.org?tls=none", Encryption::None),
            ("smtp://127.0.0.1:2525", Encryption::None),
            ("smtp://[::1]:2525", Encryption::None),
            ("smtps://mail.example.org", Encryption::Wrapped),
        ] {
            assert_eq!(of(url), expected, "{url}");
        }
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
