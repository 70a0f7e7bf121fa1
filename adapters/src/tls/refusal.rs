//! Why we do not talk to a server, in words that say what to do.

use std::{error::Error, fmt, io, time::Duration};

use rustls::{CertificateError, Error as RustlsError};
use time::{OffsetDateTime, macros::format_description};

/// Why a server was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No authority that we trust has made its certificate.
    Authority,
    /// Its certificate is for other names than the one it was called by.
    Name {
        /// What we called it.
        expected: String,
        /// What its certificate is for.
        presented: Vec<String>,
    },
    /// Its certificate is too old.
    Expired {
        /// When it ended, in UTC; empty if nobody knows.
        at: String,
    },
    /// Its certificate is not valid yet.
    NotYetValid {
        /// When it begins, in UTC; empty if nobody knows.
        at: String,
    },
    /// Anything else about its certificate.
    Certificate(String),
    /// It does not speak TLS.
    Plain,
}

impl Refusal {
    /// Looks for a refusal in an error and its causes.
    #[must_use]
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<RustlsError>() {
                return Self::of(error);
            }
            // The source of such an error is its content's source: the content itself would be passed over.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(refusal) = inner.and_then(|inner| Self::find(inner)) {
                return Some(refusal);
            }
            cause = error.source();
        }
        None
    }

    fn of(error: &RustlsError) -> Option<Self> {
        let error = match error {
            RustlsError::InvalidCertificate(error) => error,
            RustlsError::InvalidMessage(_) => return Some(Self::Plain),
            _ => return None,
        };
        Some(match error {
            // An authority of the same name but with another key has signed badly.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Authority,
            CertificateError::NotValidForNameContext { expected, presented } => Self::Name {
                expected: expected.to_str().into_owned(),
                presented: presented.iter().map(|name| bare(name).to_owned()).collect(),
            },
            CertificateError::NotValidForName => Self::Name { expected: String::new(), presented: Vec::new() },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired { at: moment(not_after.as_secs()) },
            CertificateError::Expired => Self::Expired { at: String::new() },
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { at: moment(not_before.as_secs()) }
            }
            CertificateError::NotValidYet => Self::NotYetValid { at: String::new() },
            error => Self::Certificate(error.to_string()),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AT: &str = " at ";
        let at = |at: &str| if at.is_empty() { String::new() } else { format!("{AT}{at}") };
        match self {
            Self::Authority => f.write_str(
                "wrong authority: none that we trust has made the server's certificate; let tls.ca name the file of the \
                 one that has",
            ),
            Self::Name { expected, presented } => {
                let names = if presented.is_empty() { "other names".into() } else { presented.join(", ") };
                write!(
                    f,
                    "wrong name: the server's certificate is for {names}, not for {expected}; use such a name, or give \
                     the server a certificate for {expected}"
                )
            }
            Self::Expired { at: end } => write!(
                f,
                "expired: the server's certificate ended{}; renew it, or set this machine's clock right",
                at(end)
            ),
            Self::NotYetValid { at: begin } => write!(
                f,
                "not yet valid: the server's certificate begins{}; set this machine's clock right, or the server's \
                 where it was made",
                at(begin)
            ),
            Self::Certificate(reason) => write!(f, "the server's certificate cannot be used: {reason}"),
            Self::Plain => f.write_str("no TLS: the server does not speak it here; use its port for TLS, or switch it on"),
        }
    }
}

/// An error with its causes on one line; a refused certificate in words that say what to do.
#[must_use]
pub fn describe(error: &(dyn Error + 'static)) -> String {
    if let Some(refusal) = Refusal::find(error) {
        return refusal.to_string();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

/// The name in `DnsName("web1")`, as rustls has it.
fn bare(presented: &str) -> &str {
    presented.split_once('(').and_then(|(_, name)| name.strip_suffix(')')).unwrap_or(presented).trim_matches('"')
}

/// A moment in UTC, of seconds since the Unix epoch.
fn moment(seconds: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let at = OffsetDateTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds).try_into().unwrap_or_default());
    at.and_then(|at| at.format(&format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    fn refused(error: CertificateError) -> String {
        // As protocols have it: wrapped once by the system's error, and once by their own.
        let error = io::Error::new(io::ErrorKind::InvalidData, RustlsError::InvalidCertificate(error));
        describe(&io::Error::other(error))
    }

    #[test]
    fn each_refusal_says_which_it_is_and_what_to_do() {
        let error = refused(CertificateError::UnknownIssuer);
        assert!(error.starts_with("wrong authority: ") && error.contains("tls.ca"), "{error}");
        let error = refused(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("web2").unwrap(),
            presented: vec!["DnsName(\"web1\")".into(), "IpAddress(127.0.0.1)".into()],
        });
        assert!(
            error.starts_with("wrong name: the server's certificate is for web1, 127.0.0.1, not for web2;"),
            "{error}"
        );
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let error = refused(CertificateError::ExpiredContext { time: at(1_800_000_000), not_after: at(1_795_472_163) });
        assert!(error.starts_with("expired: the server's certificate ended at 2026-11-23 22:16 UTC; renew"), "{error}");
    }

    #[test]
    fn other_errors_keep_their_words() {
        assert_eq!(describe(&io::Error::other("no such host")), "no such host");
        assert_eq!(Refusal::find(&io::Error::other("no such host")), None);
    }
}
