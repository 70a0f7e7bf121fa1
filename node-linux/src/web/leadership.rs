//! From winning an election to acting as leader: the fence in the database lies between.
//!
//! A node that wins a term raises the fence to it, for as long as it takes, and counts as promoted only then. Losing
//! the election, or hearing from the database that the fence has moved on, ends the promotion at once.

mod announce;
mod promotion;

use std::time::Instant;

use symphony_adapters::{
    database::{Database, Token},
    http::{Health, WebClient, api::LeaderInfo},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Reports of a moved fence waiting to be heard; one is enough, for they all say the same.
const FENCED_MAX: usize = 1;

/// The state of the election as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElectionView {
    /// Current term.
    pub term: u64,
    /// Leader of the term, if known.
    pub leader: Option<u16>,
    /// Whether this node won the term.
    pub is_leader: bool,
    /// When this node's lease as leader runs out, republished as it is extended; `None`: no lease is kept.
    pub lease_until: Option<Instant>,
}

/// Who leads, and whether this node may act as leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Current term.
    pub term: u64,
    /// Leader of the term, if known.
    pub leader: Option<u16>,
    /// This node.
    pub me: u16,
    /// What this node's writes carry, once it has won the term and the fence stands at it.
    pub promoted: Option<Token>,
    /// Base URL of the leader's web server, if known.
    pub leader_url: Option<String>,
}

impl Leadership {
    /// The leader as told to others, if one is known.
    #[must_use]
    pub fn info(&self) -> Option<LeaderInfo> {
        self.leader.map(|node| LeaderInfo { term: self.term, node, url: self.leader_url.clone() })
    }
}

/// What a node needs to act on the outcome of an election.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Id of this node.
    pub me: u16,
    /// Base URL of this node's web server, without a slash at the end.
    pub url: String,
    /// Base URLs of the managers to tell of a new leader.
    pub managers: Vec<String>,
    /// Where the fence stands.
    pub database: Database,
    /// How managers are told.
    pub client: WebClient,
    /// Where terms go that the fence is at and the election is behind: the election is to leave them behind
    /// ([`symphony_core::Command::RaiseTerm`]).
    pub raise: mpsc::Sender<u64>,
    /// Where it is reported that the database is another cluster's.
    pub health: Health,
}

/// A view of the leadership that is never older than the election's own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LeadershipHandle {
    me: u16,
    election: watch::Receiver<ElectionView>,
    fence: watch::Receiver<FenceView>,
    fenced: mpsc::Sender<Token>,
}

/// What is known of the fence, about one term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FenceView {
    term: u64,
    promoted: bool,
    leader_url: Option<String>,
}

impl LeadershipHandle {
    /// Who leads right now.
    #[must_use]
    pub fn current(&self) -> Leadership {
        let election = self.election.borrow().clone();
        let fence = self.fence.borrow().clone();
        let of_this_term = fence.term == election.term;
        let leased = election.lease_until.is_none_or(|until| Instant::now() < until);
        // Without the election's driver nobody would tell us of the next leader.
        let informed = self.election.has_changed().is_ok();
        let promoted = fence.promoted && of_this_term && election.is_leader && leased && informed;
        Leadership {
            term: election.term,
            leader: election.leader,
            me: self.me,
            promoted: promoted.then_some(Token { term: election.term, holder: self.me }),
            leader_url: fence.leader_url.filter(|_| of_this_term),
        }
    }

    /// Ends the promotion to `token`: the database says that the fence is elsewhere. If no later leader has it, it is raised
    /// again.
    pub fn fenced(&self, token: &Token) {
        // A full channel holds the same news.
        let _ = self.fenced.try_send(token.clone());
    }

    /// Waits until this node is promoted, or is no longer.
    pub async fn promotion_changed(&mut self) {
        let before = self.current().promoted;
        loop {
            let changed = tokio::select! {
                changed = self.election.changed() => changed,
                changed = self.fence.changed() => changed,
            };
            if self.current().promoted != before || changed.is_err() {
                return;
            }
        }
    }
}

/// Starts to act on the election, until `shutdown`.
pub fn start(
    candidate: Candidate,
    election: watch::Receiver<ElectionView>,
    shutdown: CancellationToken,
) -> (LeadershipHandle, JoinHandle<()>) {
    let Candidate { me, url, managers, database, client, raise, health } = candidate;
    let announcement = announce::Announcement { managers, client };
    let task = promotion::Task { me, url, fence: database, announcement, raise, ownership: health.dependency("fence") };
    promotion::start(task, election, shutdown)
}
