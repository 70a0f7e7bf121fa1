//! The route: who leads, as far as the manager knows. It changes only to a higher term.

use std::sync::Arc;

use symphony_adapters::{
    database::{Leader, Token},
    http::api::LeaderInfo,
};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use url::Url;

/// Where items, files and users' traffic go. Cheap to clone; all clones are one route.
#[derive(Clone, Debug)]
pub(super) struct Route {
    leader: watch::Sender<Option<Leader>>,
    doubt: Arc<Notify>,
}

/// What an accepted offer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A leader of a higher term.
    Leader,
    /// The same leader at another URL.
    Url,
    /// Nothing: all of it was known.
    None,
}

/// Why an offered leader was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub(super) enum RouteError {
    /// The route is at a higher term, or at this term with another leader.
    #[error("the route is at term {} with node {}", .0.token.term, .0.token.holder)]
    Stale(Leader),
    /// The leader cannot be reached at such a URL.
    #[error("{url:?} is not a base URL: {reason}")]
    Url {
        /// As offered.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Route {
    /// A route that leads nowhere yet.
    #[must_use]
    pub(super) fn new() -> Self {
        Self { leader: watch::Sender::new(None), doubt: Arc::new(Notify::new()) }
    }

    /// The leader, if one is known.
    #[must_use]
    pub(super) fn current(&self) -> Option<Leader> {
        self.leader.borrow().clone()
    }

    /// Follows the route's changes.
    #[must_use]
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Leader>> {
        self.leader.subscribe()
    }

    /// Takes `offered` as the leader if its term is higher than the current one, or as its new URL if it is the same
    /// leader.
    ///
    /// # Errors
    /// [`RouteError`]; the route stays as it was.
    pub(super) fn offer(&self, mut offered: Leader) -> Result<Change, RouteError> {
        offered.url = base_url(&offered.url)?;
        let mut outcome = Ok(Change::None);
        self.leader.send_if_modified(|current| {
            outcome = compare(current.as_ref(), &offered);
            let changed = matches!(outcome, Ok(Change::Leader | Change::Url));
            if changed {
                tracing::info!(term = offered.token.term, node = offered.token.holder, url = offered.url, "new route");
                *current = Some(offered);
            }
            changed
        });
        outcome
    }

    /// Takes the leader that the fence is at, unless the route knows better.
    pub(super) fn follow_fence(&self, fence: Option<Leader>) {
        if let Some(Err(error)) = fence.map(|leader| self.offer(leader)) {
            tracing::debug!(%error, "the fence row changes nothing");
        }
    }

    /// Takes the leader that a web node knows, unless the route knows better or the node does not know its URL.
    pub(super) fn follow_node(&self, leader: Option<LeaderInfo>) {
        let Some(LeaderInfo { term, node, url: Some(url) }) = leader else { return };
        if let Err(error) = self.offer(Leader { token: Token { term, holder: node }, url }) {
            tracing::debug!(%error, "a node's word changes nothing");
        }
    }

    /// Says that the current leader, if any, does not act as one: whoever waits in [`Route::doubted`] looks again.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Waits until the route is in doubt.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }
}

impl Default for Route {
    fn default() -> Self {
        Self::new()
    }
}

fn compare(current: Option<&Leader>, offered: &Leader) -> Result<Change, RouteError> {
    let Some(current) = current else { return Ok(Change::Leader) };
    if offered.token.term > current.token.term {
        Ok(Change::Leader)
    } else if offered.token != current.token {
        Err(RouteError::Stale(current.clone()))
    } else if offered.url != current.url {
        Ok(Change::Url)
    } else {
        Ok(Change::None)
    }
}

/// `url` without a slash at its end, if paths can be appended to it.
fn base_url(url: &str) -> Result<String, RouteError> {
    let refuse = |reason: String| RouteError::Url { url: url.to_owned(), reason };
    let parsed = Url::parse(url).map_err(|error| refuse(error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(refuse("neither http nor https".into()));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(refuse("it names a user".into()));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(refuse("it has a query or a fragment".into()));
    }
    Ok(parsed.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(term: u64, holder: u16, url: &str) -> Leader {
        Leader { token: Token { term, holder }, url: url.to_owned() }
    }

    #[test]
    fn changes_only_to_a_higher_term() {
        let route = Route::new();
        assert_eq!(route.offer(leader(5, 1, "http://one")), Ok(Change::Leader));
        assert_eq!(route.offer(leader(4, 2, "http://two")), Err(RouteError::Stale(leader(5, 1, "http://one"))));
        assert_eq!(route.offer(leader(5, 2, "http://two")), Err(RouteError::Stale(leader(5, 1, "http://one"))));
        assert_eq!(route.current(), Some(leader(5, 1, "http://one")));
        assert_eq!(route.offer(leader(6, 2, "http://two")), Ok(Change::Leader));
        assert_eq!(route.current(), Some(leader(6, 2, "http://two")));
    }

    #[test]
    fn same_leader_may_move() {
        let route = Route::new();
        assert_eq!(route.offer(leader(5, 1, "http://one/")), Ok(Change::Leader));
        assert_eq!(route.offer(leader(5, 1, "http://one")), Ok(Change::None));
        assert_eq!(route.offer(leader(5, 1, "http://one:81")), Ok(Change::Url));
        assert_eq!(route.current(), Some(leader(5, 1, "http://one:81")));
    }

    #[test]
    fn refuses_urls_that_are_no_base() {
        let route = Route::new();
        for url in
            ["", "one", "//one", "ftp://one", "javascript:alert(1)", "http://u:p@one", "http://one/?q", "http://one#f"]
        {
            assert!(matches!(route.offer(leader(1, 1, url)), Err(RouteError::Url { .. })), "{url}");
        }
        assert_eq!(route.current(), None);
    }

    #[test]
    fn subscribers_hear_changes_and_nothing_else() {
        let route = Route::new();
        let mut changes = route.subscribe();
        route.offer(leader(5, 1, "http://one")).unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        route.offer(leader(5, 1, "http://one")).unwrap();
        route.offer(leader(3, 1, "http://one")).unwrap_err();
        assert!(!changes.has_changed().unwrap());
    }
}
