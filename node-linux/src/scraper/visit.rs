//! One visit to one page.

use std::sync::Arc;

use time::OffsetDateTime;
use url::Url;

use super::{
    crawl::{Stop, Tools},
    extract::{PARSE_TIME_MAX, PageContent, extract},
    fetch::{Answer, PAGE_SIZE_MAX, Page, Validators},
};

/// A visit that is over.
pub(super) struct Visit {
    pub(super) stop: Stop,
    pub(super) outcome: Outcome,
    /// Attempts after the first.
    pub(super) retries: u32,
    pub(super) bytes: u64,
}

/// What a visit brought.
pub(super) enum Outcome {
    Fetched(PageContent),
    /// 304: what the page held last time.
    Unchanged(PageContent),
    Redirect(Url),
    /// 404, 410.
    Missing(u16),
    /// Not HTML; its media type.
    NoPage(String),
    Failed(String),
}

/// Fetches a page, unless it is as it was, and reads it.
pub(super) async fn visit(tools: Arc<Tools>, stop: Stop) -> Visit {
    let remembered = tools.pages.recall(&stop.url).await;
    let validators = remembered.as_ref().map(|page| page.validators.clone()).unwrap_or_default();
    let reply = tools.fetcher.get(&stop.url, &validators, PAGE_SIZE_MAX).await;
    let outcome = match (reply.answer, remembered) {
        (Answer::NotModified, Some(page)) => {
            let mut content = page.content;
            let now_ms = now_ms();
            for item in &mut content.items {
                item.scraped_at_ms = now_ms;
            }
            Outcome::Unchanged(content)
        }
        (Answer::NotModified, None) => Outcome::Failed("304 without having been asked".to_owned()),
        (Answer::Page(page), _) if !page.is_html() => Outcome::NoPage(page.content_type.unwrap_or_default()),
        (Answer::Page(page), _) if page.cut => Outcome::Failed(format!("longer than {PAGE_SIZE_MAX} bytes")),
        (Answer::Page(page), _) => read(&tools, &stop.url, page).await,
        (Answer::Redirect(to), _) => Outcome::Redirect(to),
        (Answer::Refused(status), _) if matches!(status.as_u16(), 404 | 410) => Outcome::Missing(status.as_u16()),
        (Answer::Refused(status), _) => Outcome::Failed(status.to_string()),
        (Answer::Failed(reason), _) => Outcome::Failed(reason),
    };
    Visit { stop, outcome, retries: reply.retries, bytes: reply.bytes }
}

/// Parsing is work for the processor: it gets a thread of its own.
async fn read(tools: &Arc<Tools>, url: &Url, page: Page) -> Outcome {
    let validators: Validators = page.validators.clone();
    let (shared, at) = (Arc::clone(tools), url.clone());
    let reading = move || extract(&shared.plan, &at, &page.text(), now_ms(), PARSE_TIME_MAX);
    match tokio::task::spawn_blocking(reading).await {
        Ok(None) => Outcome::Failed(format!("could not be parsed within {PARSE_TIME_MAX:?}")),
        Ok(Some(content)) => {
            if let Err(error) = tools.pages.remember(url, validators, &content).await {
                tracing::warn!(%url, %error, "the page is not remembered and will be fetched again");
            }
            Outcome::Fetched(content)
        }
        Err(error) => Outcome::Failed(format!("reading the page broke off: {error}")),
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}
