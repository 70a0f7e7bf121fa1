//! The task that raises the fence.

use std::time::Duration;

use async_trait::async_trait;
use symphony_adapters::{
    database::{Database, DatabaseError, Leader, Token},
    http::{Dependency, api::LeaderInfo},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{ElectionView, FENCED_MAX, FenceView, LeadershipHandle, announce::Announcement};
use crate::backoff::Backoff;

/// Time for the database to answer.
const FENCE_TIMEOUT: Duration = Duration::from_secs(5);
/// Shortest wait between two attempts.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Where the fence stands: the database, or a stand-in that fails on command.
#[async_trait]
pub(super) trait Fence: Send + Sync + 'static {
    /// See [`Database::promote`].
    async fn promote(&self, leader: &Leader) -> Result<(), DatabaseError>;
    /// See [`Database::leader`].
    async fn leader(&self) -> Result<Option<Leader>, DatabaseError>;
}

#[async_trait]
impl Fence for Database {
    async fn promote(&self, leader: &Leader) -> Result<(), DatabaseError> {
        Self::promote(self, leader).await
    }

    async fn leader(&self) -> Result<Option<Leader>, DatabaseError> {
        Self::leader(self).await
    }
}

pub(super) fn start(
    task: Task<impl Fence>,
    election: watch::Receiver<ElectionView>,
    shutdown: CancellationToken,
) -> (LeadershipHandle, JoinHandle<()>) {
    let (publish, published) = watch::channel(FenceView::default());
    let (fenced, reports) = mpsc::channel(FENCED_MAX);
    let handle = LeadershipHandle { me: task.me, election: election.clone(), fence: published, fenced };
    task.ownership.up();
    (handle, tokio::spawn(Promotion { task, publish }.run(election, reports, shutdown)))
}

pub(super) struct Task<F> {
    pub(super) me: u16,
    pub(super) url: String,
    pub(super) fence: F,
    pub(super) announcement: Announcement,
    /// See [`super::Candidate::raise`].
    pub(super) raise: mpsc::Sender<u64>,
    /// Whether the fence is ours to raise.
    pub(super) ownership: Dependency,
}

struct Promotion<F> {
    task: Task<F>,
    publish: watch::Sender<FenceView>,
}

/// What a change of the election can change for this task; a longer lease does not.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Part {
    term: u64,
    leader: Option<u16>,
    is_leader: bool,
}

impl From<&ElectionView> for Part {
    fn from(view: &ElectionView) -> Self {
        Self { term: view.term, leader: view.leader, is_leader: view.is_leader }
    }
}

impl<F: Fence> Promotion<F> {
    async fn run(
        self,
        mut election: watch::Receiver<ElectionView>,
        mut reports: mpsc::Receiver<Token>,
        shutdown: CancellationToken,
    ) {
        loop {
            let part = Part::from(&*election.borrow_and_update());
            self.show(FenceView { term: part.term, ..FenceView::default() });
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = until_other_part(&mut election, part) => {}
                () = self.play(part, &mut reports) => {}
            }
            if election.has_changed().is_err() {
                break;
            }
        }
        self.show(FenceView::default());
    }

    /// Tells everybody, and measures whether this node may write.
    fn show(&self, view: FenceView) {
        let node = self.task.me.to_string();
        metrics::gauge!("symphony_promoted", "node" => node).set(f64::from(u8::from(view.promoted)));
        self.publish.send_replace(view);
    }

    /// Leads or follows, until dropped.
    async fn play(&self, part: Part, reports: &mut mpsc::Receiver<Token>) {
        if part.is_leader {
            let token = Token { term: part.term, holder: self.task.me };
            loop {
                tokio::select! {
                    () = self.lead(token.clone()) => break,
                    () = until_reported(reports, &token) => {}
                }
                self.show(FenceView { term: part.term, ..FenceView::default() });
                if self.fence_moved_on(&token).await {
                    break;
                }
                warn!(term = part.term, "the fence of this term is lost, or cannot be seen: it is raised again");
            }
            warn!(term = part.term, "the fence is elsewhere: no writes under this term");
        }
        self.follow(part).await;
    }

    /// Whether a later leader is seen to have raised the fence. If not, an older copy of the database may have taken its
    /// place.
    async fn fence_moved_on(&self, token: &Token) -> bool {
        match timeout(FENCE_TIMEOUT, self.task.fence.leader()).await {
            Ok(Ok(Some(at))) => at.token.term >= token.term && at.token != *token,
            // Raising it asks again.
            _ => false,
        }
    }

    /// Raises the fence, then acts as leader; returns when the database says that the fence is elsewhere.
    async fn lead(&self, token: Token) {
        let Task { me, url, fence, announcement, .. } = &self.task;
        let leader = Leader { token: token.clone(), url: url.clone() };
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        loop {
            match timeout(FENCE_TIMEOUT, fence.promote(&leader)).await {
                Ok(Ok(())) => break,
                Ok(Err(DatabaseError::Fenced(at))) => {
                    warn!(term = token.term, fence = ?at, "won an election but the database knows a later leader");
                    if let Some(at) = at {
                        self.leave_behind(&token, &at.token).await;
                    }
                    return;
                }
                Ok(Err(error @ DatabaseError::Foreign(_))) => {
                    error!(term = token.term, %error, "cannot raise the fence");
                    self.task.ownership.down(error.to_string());
                }
                Ok(Err(error)) => warn!(term = token.term, %error, "cannot raise the fence yet"),
                Err(_) => warn!(term = token.term, "cannot raise the fence yet: no answer in time"),
            }
            sleep(backoff.next_wait()).await;
        }
        self.task.ownership.up();
        info!(term = token.term, node = me, "promoted: the fence stands at this term");
        metrics::counter!("symphony_promotions_total", "node" => me.to_string()).increment(1);
        self.show(FenceView { term: token.term, promoted: true, leader_url: Some(url.clone()) });
        let info = LeaderInfo { term: token.term, node: *me, url: Some(url.clone()) };
        announcement.repeat(&info).await;
        // Without managers there is nobody to tell, and still the term to lead.
        std::future::pending::<()>().await;
    }

    /// Lets the election go on beyond the fence: the records of all nodes are lost, or older than the database. The next
    /// leader is above it. A leader that has been replaced hears the same of its successor's term, which it enters anyway.
    async fn leave_behind(&self, won: &Token, fence: &Token) {
        let term = fence.term.max(won.term.saturating_add(1));
        metrics::counter!("symphony_fence_ahead_total", "node" => self.task.me.to_string()).increment(1);
        // Without an election nobody needs it.
        let _ = self.task.raise.send(term).await;
    }

    /// Learns the leader's URL from the fence, then waits to be dropped.
    async fn follow(&self, part: Part) {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
        while let Some(leader) = part.leader {
            let token = Token { term: part.term, holder: leader };
            if let Ok(Ok(Some(known))) = timeout(FENCE_TIMEOUT, self.task.fence.leader()).await
                && known.token == token
            {
                self.show(FenceView { term: part.term, promoted: false, leader_url: Some(known.url) });
                break;
            }
            sleep(backoff.next_wait()).await;
        }
        std::future::pending::<()>().await;
    }
}

/// Returns when the election changes in a way that matters here, or its driver is gone.
async fn until_other_part(election: &mut watch::Receiver<ElectionView>, part: Part) {
    while election.changed().await.is_ok() {
        if Part::from(&*election.borrow_and_update()) != part {
            return;
        }
    }
}

/// Returns when the fence is reported to have moved on from `token`; a report about another term is old news.
async fn until_reported(reports: &mut mpsc::Receiver<Token>, token: &Token) {
    while let Some(reported) = reports.recv().await {
        if reported == *token {
            return;
        }
    }
    // Nobody is left to report anything.
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    };

    use symphony_adapters::http::{Bearer, Health, WebClient};
    use tokio::sync::Semaphore;

    use super::*;

    /// A fence whose door opens when told, after failing as often as told.
    #[derive(Clone)]
    struct Door {
        failures: Arc<AtomicU32>,
        open: Arc<Semaphore>,
        at: Arc<watch::Sender<Option<Leader>>>,
    }

    impl Door {
        fn new(failures: u32, open: bool) -> Self {
            let open = if open { Semaphore::MAX_PERMITS } else { 0 };
            Self {
                failures: Arc::new(AtomicU32::new(failures)),
                open: Arc::new(Semaphore::new(open)),
                at: Arc::new(watch::Sender::new(None)),
            }
        }
    }

    #[async_trait]
    impl Fence for Door {
        async fn promote(&self, leader: &Leader) -> Result<(), DatabaseError> {
            let _permit = self.open.acquire().await.unwrap();
            if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                return Err(DatabaseError::Unavailable("busy".into()));
            }
            let later = |at: &Leader| {
                at.token.term > leader.token.term
                    || (at.token.term == leader.token.term && at.token.holder != leader.token.holder)
            };
            let stale = self.at.borrow().clone().filter(later);
            if stale.is_some() {
                return Err(DatabaseError::Fenced(stale));
            }
            self.at.send_replace(Some(leader.clone()));
            Ok(())
        }

        async fn leader(&self) -> Result<Option<Leader>, DatabaseError> {
            Ok(self.at.borrow().clone())
        }
    }

    struct Node {
        election: watch::Sender<ElectionView>,
        handle: LeadershipHandle,
        raised: mpsc::Receiver<u64>,
        health: Health,
        shutdown: CancellationToken,
    }

    fn start_with(fence: impl Fence) -> Node {
        let (election, view) = watch::channel(ElectionView::default());
        let shutdown = CancellationToken::new();
        let client = WebClient::new(Bearer::new("token-of-the-tests").unwrap()).unwrap();
        let announcement = Announcement { managers: Vec::new(), client };
        let ((raise, raised), health) = (mpsc::channel(1), Health::new());
        let ownership = health.dependency("fence");
        let task = Task { me: 1, url: "http://one".into(), fence, announcement, raise, ownership };
        let (handle, _task) = start(task, view, shutdown.clone());
        Node { election, handle, raised, health, shutdown }
    }

    fn won(term: u64) -> ElectionView {
        ElectionView { term, leader: Some(1), is_leader: true, lease_until: None }
    }

    fn token(term: u64) -> Option<Token> {
        Some(Token { term, holder: 1 })
    }

    async fn promoted_becomes(node: &mut Node, expected: Option<Token>) {
        let reached = async {
            while node.handle.current().promoted != expected {
                node.handle.promotion_changed().await;
            }
        };
        timeout(Duration::from_secs(10), reached).await.expect("promotion never became as expected");
    }

    #[tokio::test]
    async fn winning_an_election_is_not_enough_without_the_fence() {
        let door = Door::new(0, false);
        let mut node = start_with(door.clone());
        node.election.send_replace(won(3));
        tokio::task::yield_now().await;
        assert_eq!(node.handle.current().promoted, None);
        assert_eq!(node.handle.current().leader, Some(1));
        door.open.add_permits(1);
        promoted_becomes(&mut node, token(3)).await;
        assert_eq!(node.handle.current().leader_url.as_deref(), Some("http://one"));
    }

    #[tokio::test]
    async fn the_fence_is_raised_for_as_long_as_it_takes() {
        let mut node = start_with(Door::new(3, true));
        node.election.send_replace(won(1));
        promoted_becomes(&mut node, token(1)).await;
    }

    #[tokio::test]
    async fn losing_the_election_ends_the_promotion_at_once() {
        let mut node = start_with(Door::new(0, true));
        node.election.send_replace(won(1));
        promoted_becomes(&mut node, token(1)).await;
        // No turn for the task: the view itself must not be older than the election.
        node.election.send_replace(ElectionView { leader: None, is_leader: false, ..won(1) });
        assert_eq!(node.handle.current().promoted, None, "a leader that steps down stays in its term");
        node.election.send_replace(won(2));
        assert_eq!(node.handle.current().promoted, None, "another term needs another promotion");
        node.election.send_replace(won(5));
        promoted_becomes(&mut node, token(5)).await;
    }

    #[tokio::test]
    async fn a_lease_that_ran_out_suspends_the_promotion() {
        let mut node = start_with(Door::new(0, true));
        node.election.send_replace(won(1));
        promoted_becomes(&mut node, token(1)).await;
        let now = std::time::Instant::now();
        node.election.send_replace(ElectionView { lease_until: Some(now), ..won(1) });
        assert_eq!(node.handle.current().promoted, None);
        let later = now + Duration::from_secs(60);
        node.election.send_replace(ElectionView { lease_until: Some(later), ..won(1) });
        assert_eq!(node.handle.current().promoted, token(1));
    }

    #[tokio::test]
    async fn a_fence_that_moved_on_ends_the_promotion_until_the_next_term() {
        let door = Door::new(0, true);
        let mut node = start_with(door.clone());
        node.election.send_replace(won(4));
        promoted_becomes(&mut node, token(4)).await;
        node.handle.fenced(&Token { term: 3, holder: 1 });
        tokio::task::yield_now().await;
        assert_eq!(node.handle.current().promoted, token(4), "news of an earlier term is old");
        door.at.send_replace(Some(Leader { token: Token { term: 5, holder: 2 }, url: "http://two".into() }));
        node.handle.fenced(&Token { term: 4, holder: 1 });
        promoted_becomes(&mut node, None).await;
        node.election.send_replace(won(6));
        promoted_becomes(&mut node, token(6)).await;
    }

    #[tokio::test]
    async fn a_fence_that_an_older_copy_of_the_database_has_forgotten_is_raised_again() {
        let door = Door::new(0, true);
        let mut node = start_with(door.clone());
        node.election.send_replace(won(4));
        promoted_becomes(&mut node, token(4)).await;
        let older = Leader { token: Token { term: 2, holder: 3 }, url: "http://three".into() };
        for forgotten in [Some(older), None] {
            door.at.send_replace(forgotten);
            node.handle.fenced(&Token { term: 4, holder: 1 });
            let mut at = door.at.subscribe();
            let raised = at.wait_for(|at| at.as_ref().map(|leader| leader.token.clone()) == token(4));
            timeout(Duration::from_secs(10), raised).await.unwrap().unwrap();
            promoted_becomes(&mut node, token(4)).await;
        }
    }

    #[tokio::test]
    async fn a_winner_behind_the_fence_asks_for_a_later_term_and_is_promoted_in_it() {
        for (fence, asked) in [(9, 9), (5, 5), (4, 5)] {
            let door = Door::new(0, true);
            door.at.send_replace(Some(Leader { token: Token { term: fence, holder: 2 }, url: "http://two".into() }));
            let mut node = start_with(door);
            node.election.send_replace(won(4));
            let raised = timeout(Duration::from_secs(10), node.raised.recv()).await.unwrap();
            assert_eq!((raised, node.handle.current().promoted), (Some(asked), None), "fence at {fence}");
            node.election.send_replace(ElectionView { term: asked, leader: None, is_leader: false, lease_until: None });
            node.election.send_replace(won(asked + 1));
            promoted_becomes(&mut node, token(asked + 1)).await;
        }
    }

    /// A fence that another cluster has, until it is given up.
    struct Foreign(Arc<AtomicBool>);

    #[async_trait]
    impl Fence for Foreign {
        async fn promote(&self, _: &Leader) -> Result<(), DatabaseError> {
            match self.0.load(Ordering::SeqCst) {
                true => Err(DatabaseError::Foreign("north".into())),
                false => Ok(()),
            }
        }

        async fn leader(&self) -> Result<Option<Leader>, DatabaseError> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn a_node_at_another_clusters_database_is_not_ready_and_raises_nothing() {
        let foreign = Arc::new(AtomicBool::new(true));
        let mut node = start_with(Foreign(Arc::clone(&foreign)));
        assert!(node.health.is_ready());
        node.election.send_replace(won(4));
        let refused = async {
            while node.health.is_ready() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), refused).await.unwrap();
        let why = node.health.report().dependencies.remove(0).detail.unwrap();
        assert!(why.contains("north"), "{why}");
        assert_eq!((node.handle.current().promoted, node.raised.try_recv().ok()), (None, None));
        foreign.store(false, Ordering::SeqCst);
        promoted_becomes(&mut node, token(4)).await;
        assert!(node.health.is_ready());
    }

    #[tokio::test]
    async fn a_follower_learns_where_the_leader_is() {
        let door = Door::new(0, true);
        let node = start_with(door.clone());
        node.election.send_replace(ElectionView { term: 7, leader: Some(2), is_leader: false, lease_until: None });
        door.at.send_replace(Some(Leader { token: Token { term: 7, holder: 2 }, url: "http://two".into() }));
        let learnt = async {
            while node.handle.current().leader_url.as_deref() != Some("http://two") {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), learnt).await.unwrap();
        assert_eq!(node.handle.current().promoted, None);
    }

    #[tokio::test]
    async fn nobody_leads_without_a_driver_or_after_shutdown() {
        let mut node = start_with(Door::new(0, true));
        node.election.send_replace(won(1));
        promoted_becomes(&mut node, token(1)).await;
        node.shutdown.cancel();
        promoted_becomes(&mut node, None).await;

        let mut node = start_with(Door::new(0, true));
        node.election.send_replace(won(1));
        promoted_becomes(&mut node, token(1)).await;
        let (gone, _) = watch::channel(ElectionView::default());
        drop(std::mem::replace(&mut node.election, gone));
        assert_eq!(node.handle.current().promoted, None);
    }
}
