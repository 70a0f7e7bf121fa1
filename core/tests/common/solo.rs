//! One election among members that the test plays: every message in and out is the test's.

#![allow(unreachable_pub, reason = "nothing is outside of a test program")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test that goes wrong may panic")]

use symphony_core::{
    Body, Boot, ClusterId, Config, Duration, Election, Instant, Key, KeyRing, Member, Message, NodeId, Role, Saved,
    Stamp, Term, Timing, Verdict,
};

pub const CLUSTER: ClusterId = ClusterId([1; 16]);

/// Shortest and longest election timeout, and time between heartbeats, milliseconds ([`Timing::LOCAL`]).
pub const TIMEOUT_MIN: u64 = 150;
pub const TIMEOUT_MAX: u64 = 300;
pub const HEARTBEAT: u64 = 50;

/// What a node has said, and to whom.
pub type Said = Vec<(u16, Message)>;

/// Node 1, its disk and its clock.
#[derive(Clone)]
pub struct Solo {
    pub node: Election<6>,
    pub now: Instant,
    pub disk: Saved<6>,
    members: Vec<Member>,
    timing: Timing,
}

pub fn saved(term: u64, vote: Option<u16>) -> Saved<6> {
    Saved { boot: Boot(3), term: Term(term), vote: vote.map(NodeId), ..Saved::provision([1; 8]) }
}

/// What node 1 is started with.
pub fn config<const PEERS_MAX: usize>(members: &[Member], timing: Timing, seed: u64) -> Config<PEERS_MAX> {
    Config::new(CLUSTER, NodeId(1), members, timing, keys(), seed).unwrap()
}

/// A key that an election alone never uses.
pub fn keys() -> KeyRing {
    KeyRing::new(Key::new(1, [1; 32]))
}

pub fn voters(count: u16) -> Vec<Member> {
    (1..=count).map(Member::voter).collect()
}

impl Solo {
    /// Starts node 1 with a record, and saves what it wants saved.
    pub fn with(members: &[Member], timing: Timing, disk: Saved<6>) -> Self {
        let now = Instant::from_millis(1_000_000);
        let node = Election::new(config(members, timing, 5), disk.clone(), now);
        let mut solo = Self { node, now, disk, members: members.to_vec(), timing };
        assert_eq!(solo.settle(), []);
        solo
    }

    pub fn new(members: &[Member]) -> Self {
        Self::with(members, Timing::LOCAL, saved(4, None))
    }

    pub fn voters(count: u16) -> Self {
        Self::new(&voters(count))
    }

    /// Stops it, and starts it again with what its disk has.
    pub fn restart(&mut self) {
        self.node = Election::new(config(&self.members, self.timing, 6), self.disk.clone(), self.now);
    }

    /// Lets the clock run without a word to the node.
    pub fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Lets the clock run, tells the node, and returns what it says.
    pub fn wait(&mut self, ms: u64) -> Said {
        self.pass(ms);
        self.node.handle_timeout(self.now);
        self.settle()
    }

    /// Lets the clock run to the node's next deadline, and returns what it says then.
    pub fn wait_for_deadline(&mut self) -> Said {
        self.now = self.now.max(self.node.next_deadline());
        self.wait(0)
    }

    /// Waits until it says nothing more and its election timeout has made it ask for pre-votes.
    pub fn wait_for_pre_votes(&mut self) -> Said {
        let before = self.node.stats().pre_votes;
        for _ in 0..1000 {
            let said = self.wait_for_deadline();
            if self.node.stats().pre_votes > before {
                return said;
            }
        }
        panic!("no pre-votes are asked for")
    }

    /// Gives it a message, and returns what it says.
    pub fn get(&mut self, from: u16, term: u64, body: Body) -> Said {
        self.get_unsaved(from, term, body);
        self.settle()
    }

    /// Gives it a message, and leaves it at that.
    pub fn get_unsaved(&mut self, from: u16, term: u64, body: Body) {
        let index = self.node.peer_index(NodeId(from)).unwrap();
        self.node.handle_message(self.now, index, Message { term: Term(term), body });
    }

    /// Gives it a heartbeat that shows that the leader has just heard it.
    pub fn hear(&mut self, from: u16, term: u64) -> Said {
        let echo = Stamp::of(self.now);
        self.get(from, term, Body::Heartbeat { sent: Stamp(self.now.as_millis()), echo })
    }

    /// Answers its latest heartbeat, or one sent earlier, with a promise.
    pub fn answer(&mut self, from: u16, sent_ago_ms: u64) -> Said {
        let term = self.term();
        self.get(from, term, self.promise(sent_ago_ms, TIMEOUT_MIN))
    }

    /// The answer to a heartbeat sent that long ago.
    pub fn promise(&self, sent_ago_ms: u64, promise_ms: u64) -> Body {
        Body::HeartbeatReply {
            echo: Stamp(self.now.as_millis() - sent_ago_ms),
            sent: Stamp(77),
            promise_ms: u32::try_from(promise_ms).unwrap(),
            available: true,
        }
    }

    /// Saves what it wants saved, and takes out what it says.
    pub fn settle(&mut self) -> Said {
        self.save();
        self.said()
    }

    pub fn save(&mut self) {
        while let Some(saved) = self.node.poll_persist() {
            self.node.handle_persisted(self.now, &saved);
            self.disk = saved;
        }
    }

    /// What it says now, in order.
    pub fn said(&mut self) -> Said {
        let mut said = Vec::new();
        while let Some((index, message)) = self.node.poll_message(self.now) {
            said.push((self.node.peers(self.now).nth(index).unwrap().id.0, message));
        }
        while self.node.poll_event(self.now).is_some() {}
        said
    }

    /// Lets it win pre-votes and ask for votes, and returns the requests. Its own vote is saved.
    pub fn campaign(&mut self) -> Said {
        let said = self.wait_for_pre_votes();
        self.pre_elect(&said)
    }

    /// Grants the pre-votes that it asks for until it has enough.
    pub fn pre_elect(&mut self, requests: &Said) -> Said {
        // Stamps are whole milliseconds, timeouts are not.
        self.now = Instant::from_millis(self.now.as_millis() + 1);
        let mut said = Vec::new();
        let term = self.term();
        for (to, message) in requests {
            if let (Body::PreVote { round }, Role::PreCandidate) = (message.body, self.node.role()) {
                said = self.get(*to, term, Body::PreVoteReply { round, verdict: Verdict::Granted, sent: Stamp(9) });
            }
        }
        said
    }

    /// Lets it win an election, and returns what it says as the new leader.
    pub fn lead(&mut self) -> Said {
        let requests = self.campaign();
        let mut said = requests.clone();
        let term = self.term();
        for (to, _) in requests {
            if self.node.role() == Role::Candidate {
                said = self.get(to, term, GRANTED);
            }
        }
        assert_eq!(self.node.role(), Role::Leader);
        said
    }

    pub fn term(&self) -> u64 {
        self.node.saved().term.0
    }

    pub fn role(&self) -> Role {
        self.node.role()
    }

    /// How long until its next deadline.
    pub fn idle(&self) -> Duration {
        self.node.next_deadline().saturating_duration_since(self.now)
    }
}

/// A vote.
pub const GRANTED: Body = Body::VoteReply { verdict: Verdict::Granted, sent: Stamp(9) };

/// A request for a vote.
pub const VOTE: Body = Body::Vote { released: Term(0) };

/// The members that something was said to, and what, if all were told the same.
#[track_caller]
pub fn told(said: &Said) -> (Vec<u16>, Message) {
    let message = said.first().unwrap().1;
    assert!(said.iter().all(|(_, other)| *other == message), "{said:?}");
    (said.iter().map(|(to, _)| *to).collect(), message)
}

/// The only thing said.
#[track_caller]
pub fn only(said: &Said) -> (u16, Message) {
    assert_eq!(said.len(), 1, "{said:?}");
    said[0]
}
