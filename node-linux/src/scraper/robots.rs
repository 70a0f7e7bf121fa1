//! What robots.txt allows (RFC 9309).

use std::time::Duration;

use texting_robots::Robot;
use url::Url;

use super::{
    address::normalize,
    fetch::{AGENT, Answer, Fetcher, Reply, Validators},
};

/// At least 500 KiB must be understood (RFC 9309, 2.5).
const SIZE_MAX: usize = 512 * 1024;

/// Redirects followed at most (RFC 9309, 2.3.1.2).
const REDIRECTS_MAX: usize = 5;

/// A longer Crawl-delay is taken for a mistake and cut down to this.
const CRAWL_DELAY_MAX: Duration = Duration::from_secs(3600);

/// The rules of one origin.
pub(super) enum Rules {
    /// There are none.
    Open,
    /// They cannot be had: nothing may be fetched until they can.
    Closed,
    /// As written.
    Written(Robot),
}

impl Rules {
    pub(super) fn allow(&self, url: &Url) -> bool {
        match self {
            Self::Open => true,
            Self::Closed => false,
            Self::Written(robot) => robot.allowed(url.as_str()),
        }
    }

    /// Time between the starts of two requests that the origin asks for.
    pub(super) fn crawl_delay(&self) -> Option<Duration> {
        let Self::Written(robot) = self else { return None };
        robot
            .delay
            .and_then(|seconds| Duration::try_from_secs_f32(seconds).ok())
            .map(|delay| delay.min(CRAWL_DELAY_MAX))
    }

    fn parse(text: &[u8]) -> Self {
        match Robot::new(AGENT, text) {
            Ok(robot) => Self::Written(robot),
            Err(error) => {
                tracing::warn!(%error, "robots.txt cannot be read and is taken to allow everything");
                Self::Open
            }
        }
    }
}

/// Fetches the rules of the origin that `url` belongs to: 4xx means that there are none, 5xx and silence that nothing
/// may be fetched in this run.
pub(super) async fn fetch(fetcher: &Fetcher, url: &Url) -> (Rules, Reply) {
    let none = Reply { answer: Answer::NotModified, retries: 0, bytes: 0 };
    let Some(mut at) = normalize(url, "/robots.txt") else { return (Rules::Closed, none) };
    let mut cost = none;
    for _ in 0..=REDIRECTS_MAX {
        let reply = fetcher.get(&at, &Validators::default(), SIZE_MAX).await;
        cost.retries += reply.retries;
        cost.bytes += reply.bytes;
        let rules = match reply.answer {
            Answer::Page(page) => Rules::parse(&page.body),
            Answer::Refused(_) => Rules::Open,
            Answer::Redirect(to) => {
                at = to;
                continue;
            }
            Answer::NotModified => Rules::Closed,
            Answer::Failed(reason) => {
                tracing::warn!(url = %at, reason, "robots.txt is out of reach: its site is left alone in this run");
                Rules::Closed
            }
        };
        return (rules, cost);
    }
    (Rules::Open, cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_us_beat_rules_for_all() {
        let text = "User-agent: *\nDisallow: /\n\nUser-agent: Symphony\nDisallow: /cart\nAllow: /cart/help\nCrawl-delay: 2.5\n";
        let rules = Rules::parse(text.as_bytes());
        for (path, allowed) in
            [("/", true), ("/cart", false), ("/cart?add=1", false), ("/cart/help", true), ("/a/cart", true)]
        {
            let url = Url::parse(&format!("http://h.example{path}")).unwrap();
            assert_eq!(rules.allow(&url), allowed, "{path}");
        }
        assert_eq!(rules.crawl_delay(), Some(Duration::from_millis(2500)));
    }

    #[test]
    fn odd_rules_do_no_harm() {
        for (text, delay) in [
            ("User-agent: *\nCrawl-delay: 99999999999", Some(CRAWL_DELAY_MAX)),
            ("User-agent: *\nCrawl-delay: -1", None),
            ("User-agent: *\nCrawl-delay: NaN", None),
            ("\u{feff}<html>not found</html>", None),
            ("", None),
        ] {
            let rules = Rules::parse(text.as_bytes());
            assert_eq!(rules.crawl_delay(), delay, "{text:?}");
            assert!(rules.allow(&Url::parse("http://h.example/x").unwrap()), "{text:?}");
        }
        assert!(!Rules::Closed.allow(&Url::parse("http://h.example/x").unwrap()));
    }
}
