//! Fetching one URL: validators, bounded body, retries with backoff, respect for Retry-After.

use std::time::{Duration, SystemTime};

use encoding_rs::{Encoding, UTF_8};
use reqwest::{
    Certificate, Client, Response, StatusCode,
    header::{
        ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
        RETRY_AFTER,
    },
    redirect,
};
use serde::{Deserialize, Serialize};
use symphony_adapters::tls::Tls;
use url::Url;

use super::{address::normalize, backoff::Backoff, pace::Pace};

/// Name by which robots.txt may speak to us.
pub(super) const AGENT: &str = "symphony";

/// Larger pages are not read.
pub(super) const PAGE_SIZE_MAX: usize = 8 * 1024 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(20);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LONGEST: Duration = Duration::from_secs(30);
/// A site that wants a longer rest is visited again in the next run.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// What the site gave us to ask whether a page has changed (RFC 9110, 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Validators {
    pub(super) fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// What became of a request, after all attempts.
#[derive(Debug)]
pub(super) enum Answer {
    /// 2xx.
    Page(Page),
    /// 304.
    NotModified,
    /// 3xx with a usable Location.
    Redirect(Url),
    /// 4xx: asking again would not help.
    Refused(StatusCode),
    /// The site or the way to it failed.
    Failed(String),
}

/// A response with a body.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) body: Vec<u8>,
    /// Whether the body was longer than asked for and has been cut off.
    pub(super) cut: bool,
    /// As sent, with its parameters.
    pub(super) content_type: Option<String>,
    pub(super) validators: Validators,
}

impl Page {
    /// Whether this can be read as HTML; what has no type is given the benefit of the doubt.
    pub(super) fn is_html(&self) -> bool {
        let Some(content_type) = &self.content_type else { return true };
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        ["text/html", "application/xhtml+xml"].iter().any(|html| essence.eq_ignore_ascii_case(html))
    }

    /// The body as text: by its byte order mark, the type's charset, or what the page itself says near its beginning.
    pub(super) fn text(&self) -> String {
        let charset = self.content_type.as_deref().and_then(charset_of).or_else(|| {
            let head = self.body.get(..1024).unwrap_or(&self.body);
            charset_of(&String::from_utf8_lossy(head))
        });
        let encoding = charset.and_then(|label| Encoding::for_label(label.as_bytes())).unwrap_or(UTF_8);
        encoding.decode(&self.body).0.into_owned()
    }
}

/// An answer and what it cost.
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// Attempts after the first.
    pub(super) retries: u32,
    pub(super) bytes: u64,
}

/// Fetches from one site.
pub(super) struct Fetcher {
    client: Client,
    pub(super) pace: Pace,
    retries: u32,
}

impl Fetcher {
    /// Sites are anybody's: the system's roots count, and the authorities of `tls` besides.
    ///
    /// # Errors
    /// When no TLS provider is installed, or the system has no usable roots.
    pub(super) fn new(pace: Pace, retries: u32, tls: &Tls) -> Result<Self, reqwest::Error> {
        let authorities = tls.authorities().iter().map(|authority| Certificate::from_der(authority));
        let client = Client::builder()
            .tls_certs_merge(authorities.collect::<Result<Vec<_>, _>>()?)
            .user_agent(format!("{AGENT}/{}", env!("CARGO_PKG_VERSION")))
            // A redirect is one more page to ask robots.txt about, and to visit once.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        Ok(Self { client, pace, retries })
    }

    /// Asks until there is an answer or the attempts are used up. At most `size_max` bytes of the body are read.
    pub(super) async fn get(&self, url: &Url, validators: &Validators, size_max: usize) -> Reply {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_LONGEST);
        let mut bytes = 0;
        let mut retries = 0;
        loop {
            self.pace.turn().await;
            let failure = match self.attempt(url, validators, size_max, &mut bytes).await {
                Ok(answer) => return Reply { answer, retries, bytes },
                Err(failure) => failure,
            };
            let out_of_patience = failure.retry_after.is_some_and(|rest| rest > RETRY_AFTER_MAX);
            if retries >= self.retries || out_of_patience {
                return Reply { answer: Answer::Failed(failure.reason), retries, bytes };
            }
            retries += 1;
            tracing::debug!(%url, reason = failure.reason, retries, "trying again");
            match failure.retry_after {
                Some(rest) => self.pace.rest(rest),
                None => tokio::time::sleep(backoff.next()).await,
            }
        }
    }

    async fn attempt(
        &self,
        url: &Url,
        validators: &Validators,
        size_max: usize,
        bytes: &mut u64,
    ) -> Result<Answer, Failure> {
        let mut request =
            self.client.get(url.clone()).header(ACCEPT, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.1");
        if let Some(etag) = &validators.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(date) = &validators.last_modified {
            request = request.header(IF_MODIFIED_SINCE, date);
        }
        let mut response = request.send().await.map_err(Failure::of)?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && !validators.is_empty() {
            return Ok(Answer::NotModified);
        }
        if status.is_redirection() {
            let target = header(response.headers(), LOCATION).and_then(|location| normalize(url, &location));
            return Ok(
                target.map_or_else(|| Answer::Failed(format!("{status} without a usable Location")), Answer::Redirect)
            );
        }
        let passing = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        if status.is_server_error() || passing {
            return Err(Failure { reason: status.to_string(), retry_after: retry_after(response.headers()) });
        }
        if !status.is_success() {
            return Ok(Answer::Refused(status));
        }
        let (body, cut) = read_body(&mut response, size_max, bytes).await?;
        Ok(Answer::Page(Page {
            body,
            cut,
            content_type: header(response.headers(), CONTENT_TYPE),
            validators: Validators {
                etag: header(response.headers(), ETAG),
                last_modified: header(response.headers(), LAST_MODIFIED),
            },
        }))
    }
}

/// Something that may pass.
struct Failure {
    reason: String,
    retry_after: Option<Duration>,
}

impl Failure {
    fn of(error: reqwest::Error) -> Self {
        // The first of the chain says only that there was an error, the last says which.
        let error = error.without_url();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let reason = causes.last().map(ToString::to_string).unwrap_or_default();
        Self { reason, retry_after: None }
    }
}

async fn read_body(response: &mut Response, size_max: usize, bytes: &mut u64) -> Result<(Vec<u8>, bool), Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failure::of)? {
        *bytes += u64::try_from(chunk.len()).unwrap_or_default();
        let room = size_max.saturating_sub(body.len());
        match chunk.get(..room) {
            Some(part) if chunk.len() > room => {
                body.extend_from_slice(part);
                return Ok((body, true));
            }
            _ => body.extend_from_slice(&chunk),
        }
    }
    Ok((body, false))
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = header(headers, RETRY_AFTER)?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value.trim()).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The label after `charset=`, in a header or in a page's `meta`.
fn charset_of(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (_, after) = lower.split_once("charset")?;
    let after = after.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let label: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:.".contains(*c)).collect();
    (!label.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(content_type: Option<&str>, body: &[u8]) -> Page {
        let content_type = content_type.map(str::to_owned);
        Page { body: body.to_vec(), cut: false, content_type, validators: Validators::default() }
    }

    #[test]
    fn text_is_decoded_by_what_is_said_about_it() {
        let cases: [(Option<&str>, &[u8], &str); 6] = [
            (Some("text/html; charset=ISO-8859-1"), b"\xe9", "é"),
            (Some("text/html; charset=\"utf-8\""), "é".as_bytes(), "é"),
            (Some("text/html"), b"<meta charset='windows-1252'>\x80", "<meta charset='windows-1252'>€"),
            (None, "é".as_bytes(), "é"),
            (Some("text/html; charset=nonsense"), "é".as_bytes(), "é"),
            (Some("text/html; charset=ISO-8859-1"), b"\xef\xbb\xbf\xc3\xa9", "é"),
        ];
        for (content_type, body, expected) in cases {
            assert_eq!(page(content_type, body).text(), expected, "{content_type:?}");
        }
    }

    #[test]
    fn only_html_is_read() {
        for (content_type, expected) in [
            (None, true),
            (Some("text/html"), true),
            (Some("TEXT/HTML;charset=utf-8"), true),
            (Some("application/xhtml+xml"), true),
            (Some("application/pdf"), false),
            (Some("text/plain"), false),
        ] {
            assert_eq!(page(content_type, b"").is_html(), expected, "{content_type:?}");
        }
    }
}
