//! The answers to candidates, as tables: every combination of what can matter, and the first row that matches.

#![allow(clippy::unwrap_used, reason = "a test that goes wrong may panic")]

use crate::common::solo::{self, Solo, TIMEOUT_MIN, only, saved};
use symphony_core::{Body, Member, Message, NodeId, Role, Stamp, Suffrage, Term, Timing, Verdict};

/// The receiver's term.
const TERM: u64 = 5;

const CANDIDATE: u16 = 2;
const OTHER: u16 = 3;
const LEADER: u16 = 4;

/// How long ago the leader was heard, milliseconds.
const AGO: u64 = 40;

const HEARD: Verdict = Verdict::HeardLeader { ago_ms: 40 };

/// What a column of a table may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Nobody,
    Same,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    /// Of the candidate.
    term: u64,
    vote: Given,
    /// The leader of the receiver's term was heard lately.
    heard: bool,
    released: u64,
    own: Suffrage,
    candidate: Suffrage,
}

impl Case {
    fn all() -> Vec<Self> {
        let suffrages = [Suffrage::Voter, Suffrage::Witness, Suffrage::Observer];
        let mut all = Vec::new();
        for term in [TERM - 1, TERM, TERM + 1] {
            for vote in [Given::Nobody, Given::Same, Given::Other] {
                for (heard, released) in
                    [true, false].into_iter().flat_map(|heard| [0, 1, 4, 5, 6].map(|to| (heard, to)))
                {
                    for (own, candidate) in suffrages.into_iter().flat_map(|own| suffrages.map(|other| (own, other))) {
                        all.push(Self { term, vote, heard, released, own, candidate });
                    }
                }
            }
        }
        all
    }

    /// The receiver may vote, and the candidate be voted for.
    fn eligible(&self) -> bool {
        self.own != Suffrage::Observer && self.candidate == Suffrage::Voter
    }

    /// The receiver stands by the leader that it has heard.
    fn stands(&self) -> bool {
        self.heard && self.released < TERM
    }

    fn receiver(&self) -> Solo {
        let member = |id, suffrage| Member { id: NodeId(id), suffrage, priority: 0 };
        let members =
            [member(1, self.own), member(CANDIDATE, self.candidate), Member::voter(OTHER), Member::voter(LEADER)];
        let vote = match self.vote {
            Given::Nobody => None,
            Given::Same => Some(CANDIDATE),
            Given::Other => Some(OTHER),
        };
        let mut solo = Solo::with(&members, Timing::LOCAL, saved(TERM, vote));
        solo.pass(TIMEOUT_MIN);
        if self.heard {
            solo.hear(LEADER, TERM);
            solo.pass(AGO);
        }
        solo
    }
}

/// A row: what must hold, then the verdict and the term it is given in.
type Row = (&'static str, fn(&Case) -> bool, Verdict, u64);

/// Requests for votes (thesis, sections 3.4 and 4.2.3).
const VOTES: &[Row] = &[
    (
        "the vote of this term is the candidate's",
        |case| case.term == TERM && case.vote == Given::Same,
        Verdict::Granted,
        5,
    ),
    ("the term is over, not eligible", |case| case.term < TERM && !case.eligible(), Verdict::NotEligible, 5),
    ("the term is over, a leader is heard", |case| case.term < TERM && case.heard, HEARD, 5),
    ("the term is over", |case| case.term < TERM, Verdict::StaleTerm, 5),
    ("this term, not eligible", |case| case.term == TERM && !case.eligible(), Verdict::NotEligible, 5),
    ("this term, the leader is not let go of", |case| case.term == TERM && case.stands(), HEARD, 5),
    ("this term, the vote is free", |case| case.term == TERM && case.vote == Given::Nobody, Verdict::Granted, 5),
    ("this term, a leader is heard", |case| case.term == TERM && case.heard, HEARD, 5),
    ("this term, the vote is given", |case| case.term == TERM, Verdict::AlreadyVoted, 5),
    ("later, not eligible, and not let go of", |case| case.stands() && !case.eligible(), Verdict::NotEligible, 5),
    ("later, the leader is not let go of", Case::stands, HEARD, 5),
    ("later, not eligible", |case| !case.eligible(), Verdict::NotEligible, 6),
    ("later", |_| true, Verdict::Granted, 6),
];

/// Requests for pre-votes (thesis, section 9.6); no leader lets go for those.
const PRE_VOTES: &[Row] = &[
    ("later, not eligible", |case| case.term > TERM && !case.heard && !case.eligible(), Verdict::NotEligible, 6),
    ("later", |case| case.term > TERM && !case.heard, Verdict::Granted, 6),
    ("not eligible", |case| !case.eligible(), Verdict::NotEligible, 5),
    ("a leader is heard", |case| case.heard, HEARD, 5),
    ("the term is over", |case| case.term < TERM, Verdict::StaleTerm, 5),
    ("this term", |_| true, Verdict::Granted, 5),
];

fn row<'a>(table: &'a [Row], case: &Case, used: &mut Vec<&'static str>) -> &'a Row {
    let row = table.iter().find(|(_, applies, ..)| applies(case)).unwrap();
    used.push(row.0);
    row
}

#[track_caller]
fn assert_all_used(table: &[Row], mut used: Vec<&'static str>) {
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), table.len(), "a row is never used");
}

#[test]
fn every_request_for_a_vote_gets_the_answer_of_the_table() {
    let mut used = Vec::new();
    for case in Case::all() {
        let (name, _, verdict, term) = *row(VOTES, &case, &mut used);
        let mut solo = case.receiver();
        let before = solo.disk.vote;
        let answer = only(&solo.get(CANDIDATE, case.term, Body::Vote { released: Term(case.released) }));
        let sent = Stamp::of(solo.now);
        let expected = Message { term: Term(term), body: Body::VoteReply { verdict, sent } };
        assert_eq!(answer, (CANDIDATE, expected), "{name}: {case:?}");
        let vote = match (verdict, term) {
            (Verdict::Granted, _) => Some(NodeId(CANDIDATE)),
            (_, TERM) => before,
            _ => None,
        };
        assert_eq!((solo.disk.term, solo.disk.vote), (Term(term), vote), "{name}: {case:?}");
        assert_eq!(solo.role(), Role::Follower, "{name}: {case:?}");
        let same_leader = case.heard && term == TERM && vote == before;
        assert_eq!(solo.node.leader(), same_leader.then_some(NodeId(LEADER)), "{name}: {case:?}");
    }
    assert_all_used(VOTES, used);
}

#[test]
fn every_request_for_a_pre_vote_gets_the_answer_of_the_table() {
    let mut used = Vec::new();
    for case in Case::all() {
        let (name, _, verdict, term) = *row(PRE_VOTES, &case, &mut used);
        let mut solo = case.receiver();
        let before = solo.disk.vote;
        let round = Stamp(12_345);
        let answer = only(&solo.get(CANDIDATE, case.term, Body::PreVote { round }));
        let expected =
            Message { term: Term(term), body: Body::PreVoteReply { round, verdict, sent: Stamp::of(solo.now) } };
        assert_eq!(answer, (CANDIDATE, expected), "{name}: {case:?}");
        let vote = if term == TERM { before } else { None };
        assert_eq!((solo.disk.term, solo.disk.vote), (Term(term), vote), "{name}: {case:?}");
    }
    assert_all_used(PRE_VOTES, used);
}

/// Who asks whom in which role: candidates have voted for themselves, leaders stand by themselves, and who only asks for
/// pre-votes still has its vote.
#[test]
fn every_role_answers_a_rival_of_its_term() {
    type Make = fn(&mut Solo);
    let roles: [(Make, u64, Verdict, Verdict); 4] = [
        (|_| {}, 4, Verdict::Granted, Verdict::Granted),
        (|solo| drop(solo.wait_for_pre_votes()), 4, Verdict::Granted, Verdict::Granted),
        (|solo| drop(solo.campaign()), 5, Verdict::AlreadyVoted, Verdict::Granted),
        (|solo| drop(solo.lead()), 5, Verdict::HeardLeader { ago_ms: 0 }, Verdict::HeardLeader { ago_ms: 0 }),
    ];
    for (make, term, vote, pre_vote) in roles {
        let mut solo = Solo::voters(3);
        solo.pass(TIMEOUT_MIN);
        make(&mut solo);
        let role = solo.role();
        let round = Stamp(8);
        let answer = only(&solo.clone().get(3, term, Body::PreVote { round })).1.body;
        assert_eq!(answer, Body::PreVoteReply { round, verdict: pre_vote, sent: Stamp::of(solo.now) }, "{role:?}");
        let answer = only(&solo.get(3, term, solo::VOTE)).1.body;
        assert_eq!(answer, Body::VoteReply { verdict: vote, sent: Stamp::of(solo.now) }, "{role:?}");
        let after = if vote == Verdict::Granted { Role::Follower } else { role };
        assert_eq!(solo.role(), after);
    }
}
