//! Every run of three voters, within a bound, by [stateright](https://docs.rs/stateright) over the real election.
//!
//! **Bound**: three voters, and terms up to [`Bound::term_max`]. Nothing else is bounded: any number of restarts of any
//! node at any step of a save, of timeouts, of lost, late, repeated and reordered messages, and of commands to hand
//! leadership over. Each node's clock runs on its own, by steps of an election timeout, and stops where it likes.
//!
//! **Steps** of a node are calls of [`symphony_core::Election`] and nothing else: messages, time, a record
//! that reaches the disk, its acknowledgement (both separate, with crashes between), a restart with what the disk has.
//!
//! **The network** is stronger than one that loses, repeats, reorders and delays (`said`). Messages that promise
//! nothing come whenever their sender could have sent them, with any stamp; requests for votes and votes come from the
//! moment they are saved, heartbeats and leave to campaign from the moment of an election, all of them for ever. That
//! each message an election sends is one of these is itself checked ("what is said is saved").
//!
//! **Sets of states** (`possible`). Others learn of a node only what it has shown: a record saved, a term led. What
//! they have shown only adds to what can come to it. So a node's other steps can be left to the last moment before it
//! shows something again, without a run being missed, and a state of the model holds, for each node, what it has shown
//! and the set of states of a node it may be in. stateright explores these; each step of a node is computed once.
//!
//! **Equal states** (`canonical`). States of a node are compared by their `Debug` text, with moments as steps from now
//! and without fields that cannot matter: counts, events for the host, priorities, stamps of others, what is owed.
//! [`Bound::finer`] tells some of these apart too, and must find the same words sayable.
//!
//! Not looked at here: datagrams (whoever is on the path can do no more than this network), the lease, which rests on clocks (the simulator has it), priorities, witnesses and pausing.

mod canonical;
mod debug;
mod node;
mod possible;
mod said;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Mutex,
    time::Instant,
};

use serde::Serialize;
use stateright::{Checker as _, Expectation, HasDiscoveries, Model, Property};

use possible::{Possible, SetNumber};
use said::{Said, Shown, TERMS_MAX};

/// Nodes of the cluster.
const NODES: usize = 3;

/// Promises, as bits: each is set when it is broken.
mod broken {
    pub(super) const TWO_LEADERS: u8 = 1;
    pub(super) const TWO_VOTES: u8 = 2;
    pub(super) const TERM_FELL: u8 = 4;
    pub(super) const COUNTED_EARLY: u8 = 8;
    pub(super) const SAID_UNSAVED: u8 = 16;
}

/// A mistake built into the model, not into the core: the check must find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Saves are acknowledged, and the disk keeps what it had.
    NothingStored,
    /// A node that starts again has forgotten its vote.
    VoteForgotten,
    /// Records are acknowledged before they reach the disk.
    AcknowledgedEarly,
}

/// What the runs are bounded by.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bound {
    /// The last term, at most 6.
    pub term_max: u8,
    /// Also tell states of a node apart by timers and by what they owe to others.
    pub finer: bool,
    /// A mistake to find.
    pub fault: Option<Fault>,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the runs were bounded by.
    pub bound: Bound,
    /// States of the whole cluster that are not the same.
    pub states_unique: usize,
    /// States of the whole cluster reached, the same ones by other ways included.
    pub states_total: usize,
    /// Steps to the deepest state that others can know of, the first state included.
    pub depth: usize,
    /// States of the nodes.
    pub endpoint_states: usize,
    /// Steps of the nodes.
    pub endpoint_steps: usize,
    /// Words that the three nodes can have given, all together.
    pub words: usize,
    /// Whether every state within the bound was looked at.
    pub exhausted: bool,
    /// Broken promises, each with the steps to it that others can know of.
    pub broken: BTreeMap<&'static str, Vec<String>>,
    /// What should be reachable and is not.
    pub unreachable: Vec<&'static str>,
    /// Wall time, seconds.
    pub seconds: f64,
}

/// Checks every run within the bound. With a fault it stops at the first broken promise, or at `until`.
#[must_use]
pub fn check(bound: Bound, until: Option<&'static str>) -> Report {
    let start = Instant::now();
    let mut builder = Cluster::new(bound).checker().threads(std::thread::available_parallelism().map_or(1, Into::into));
    let stops = bound.fault.is_some();
    if stops {
        builder =
            builder.finish_when(until.map_or(HasDiscoveries::AnyFailures, |name| HasDiscoveries::AllOf([name].into())));
    }
    let checker = builder.spawn_bfs().join();
    let cluster = checker.model();
    let mut discoveries = checker.discoveries();
    let mut broken = BTreeMap::new();
    let mut unreachable = Vec::new();
    for Property { name, expectation, .. } in cluster.properties() {
        match (expectation, discoveries.remove(name)) {
            (Expectation::Always, Some(path)) => {
                let steps = path.into_actions().iter().map(|action| cluster.format_action(action)).collect();
                broken.insert(name, steps);
            }
            (Expectation::Sometimes, None) => unreachable.push(name),
            _ => {}
        }
    }
    Report {
        bound,
        states_unique: checker.unique_state_count(),
        states_total: checker.state_count(),
        depth: checker.max_depth(),
        endpoint_states: cluster.nodes.iter().map(Possible::states_met).sum(),
        endpoint_steps: cluster.nodes.iter().map(Possible::steps_made).sum(),
        words: cluster.words.lock().map_or(0, |words| words.len()),
        exhausted: !stops || broken.is_empty(),
        broken,
        unreachable,
        seconds: start.elapsed().as_secs_f64(),
    }
}

/// No two nodes lead one term (thesis, figure 3.2: election safety).
pub const ONE_LEADER: &str = "at most one leader is elected in a term";
/// A node's vote of a term never changes, restarts included (thesis, section 3.4).
pub const ONE_VOTE: &str = "a node votes once in a term";
/// In memory and on disk (thesis, section 3.3).
pub const TERMS: &str = "terms never fall";
/// The own vote is a vote like others.
pub const OWN_VOTE: &str = "a node's own vote counts only when it is saved";
/// Save, then send (thesis, section 3.8).
pub const SAVED: &str = "what is said is saved";

/// The model.
struct Cluster {
    bound: Bound,
    nodes: [Possible; NODES],
    words: Mutex<HashSet<[Said; NODES]>>,
}

/// A step of the node at this place that others can come to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Action {
    place: usize,
    shown: Shown,
    then: SetNumber,
}

/// What has been said, and what each node may be up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    said: [Said; NODES],
    possible: [SetNumber; NODES],
    broken: u8,
}

impl Cluster {
    fn new(bound: Bound) -> Self {
        assert!(usize::from(bound.term_max) <= TERMS_MAX, "terms are counted up to {TERMS_MAX}");
        Self { bound, nodes: std::array::from_fn(|own| Possible::new(own, bound)), words: Mutex::default() }
    }
}

impl State {
    fn leaders(&self, term: u8) -> usize {
        self.said.iter().filter(|said| said.led & (1 << term) != 0).count()
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State { said: [Said::default(); NODES], possible: [0; NODES], broken: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, node) in self.nodes.iter().enumerate() {
            let next = node.next(state.possible[place], state.said);
            actions.extend(next.iter().map(|(shown, then)| Action { place, shown: *shown, then: *then }));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        next.possible[action.place] = action.then;
        let said = &mut next.said[action.place];
        match action.shown {
            Shown::Saved { term, vote } => {
                if term < said.term {
                    next.broken |= broken::TERM_FELL;
                }
                said.term = said.term.max(term);
                let votes = &mut said.votes[usize::from(term)];
                *votes |= vote.map_or(0, |vote| 1 << vote);
                if votes.count_ones() > 1 {
                    next.broken |= broken::TWO_VOTES;
                }
            }
            Shown::Leads { term } => {
                said.led |= 1 << term;
                if next.leaders(term) > 1 {
                    next.broken |= broken::TWO_LEADERS;
                }
            }
            Shown::Breaks(promises) => next.broken |= promises,
        }
        if let Ok(mut words) = self.words.lock() {
            words.insert(next.said);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_LEADER, |_, state: &State| state.broken & broken::TWO_LEADERS == 0),
            Property::always(ONE_VOTE, |_, state: &State| state.broken & broken::TWO_VOTES == 0),
            Property::always(TERMS, |_, state: &State| state.broken & broken::TERM_FELL == 0),
            Property::always(OWN_VOTE, |_, state: &State| state.broken & broken::COUNTED_EARLY == 0),
            Property::always(SAVED, |_, state: &State| state.broken & broken::SAID_UNSAVED == 0),
            Property::sometimes("every term has a leader", |cluster: &Self, state: &State| {
                (1..=cluster.bound.term_max).all(|term| state.leaders(term) > 0)
            }),
            Property::sometimes("three candidates split the votes of a term", |_, state: &State| {
                state.said.iter().enumerate().all(|(place, said)| said.votes[1] == 1 << place)
            }),
        ]
    }

    fn format_action(&self, action: &Action) -> String {
        format!("node {}: {}", action.place + 1, action.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bound = Bound { term_max: 1, finer: false, fault: None };

    #[test]
    fn every_run_of_the_first_term_keeps_every_promise() {
        let report = check(SMALL, None);
        assert!(report.exhausted && report.broken.is_empty(), "{report:#?}");
        assert_eq!(report.unreachable, [""; 0]);
        assert!(report.endpoint_states > 100 && report.words > 10, "{report:#?}");
    }

    #[test]
    fn a_disk_that_keeps_nothing_makes_two_leaders() {
        let report = check(Bound { fault: Some(Fault::NothingStored), ..SMALL }, Some(ONE_LEADER));
        assert!(report.broken.contains_key(ONE_LEADER), "{report:#?}");
    }

    #[test]
    fn a_forgotten_vote_is_given_twice_and_makes_two_leaders() {
        let report = check(Bound { fault: Some(Fault::VoteForgotten), ..SMALL }, Some(ONE_LEADER));
        assert!(report.broken.contains_key(ONE_VOTE) && report.broken.contains_key(ONE_LEADER), "{report:#?}");
    }

    #[test]
    fn an_early_acknowledgement_is_found_out() {
        let report = check(Bound { fault: Some(Fault::AcknowledgedEarly), ..SMALL }, None);
        assert!(report.broken.contains_key(SAVED) || report.broken.contains_key(OWN_VOTE), "{report:#?}");
    }
}
