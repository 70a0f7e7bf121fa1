//! Sets of states that a node may be in, as far as others can tell; states and their steps are computed once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    Bound, NODES,
    node::{Event, Node},
    said::{Said, Shown},
};

/// The number of a state of a node.
type Number = u32;

/// The number of a set of them.
pub(super) type SetNumber = u32;

/// A step of a node.
#[derive(Clone, Copy, Debug)]
struct Step {
    to: Number,
    shown: Option<Shown>,
    broken: u8,
}

/// Words of a set of events.
const EVENT_WORDS: usize = 6;

/// A state, and its steps as far as they have been computed.
struct Entry {
    node: Node,
    /// By event; none where the event cannot happen or changes nothing.
    steps: Box<[OnceLock<Option<Step>>]>,
    /// Events known to change nothing.
    idle: [AtomicU64; EVENT_WORDS],
}

impl Entry {
    /// Events of the set that may change something.
    fn busy(&self, set: [u64; EVENT_WORDS]) -> impl Iterator<Item = usize> {
        set.into_iter().zip(&self.idle).enumerate().flat_map(|(word, (bits, idle))| {
            let busy = bits & !idle.load(Ordering::Relaxed);
            (0..64).filter(move |bit| busy & (1 << bit) != 0).map(move |bit| word * 64 + bit)
        })
    }
}

/// What a node can show next, and the states it may be in then.
pub(super) type Next = Arc<[(Shown, SetNumber)]>;

/// One node's states.
pub(super) struct Possible {
    bound: Bound,
    own: usize,
    events: Vec<Event>,
    states: RwLock<Vec<Arc<Entry>>>,
    numbers: Mutex<HashMap<u64, Number>>,
    sets: RwLock<Vec<Arc<[Number]>>>,
    set_numbers: Mutex<HashMap<Arc<[Number]>, SetNumber>>,
    nexts: RwLock<HashMap<(SetNumber, [Said; NODES]), Next>>,
    steps: AtomicUsize,
}

impl Possible {
    /// The states of the node at place `own`; set 0 is its first start.
    pub(super) fn new(own: usize, bound: Bound) -> Self {
        let possible = Self {
            bound,
            own,
            events: Event::all(own, bound.term_max),
            states: RwLock::default(),
            numbers: Mutex::default(),
            sets: RwLock::default(),
            set_numbers: Mutex::default(),
            nexts: RwLock::default(),
            steps: AtomicUsize::new(0),
        };
        let first = possible.number(Node::new(own, bound.finer));
        possible.set(vec![first]);
        possible
    }

    /// States met so far.
    pub(super) fn states_met(&self) -> usize {
        self.states.read().unwrap().len()
    }

    /// Steps of the endpoint computed so far.
    pub(super) fn steps_made(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    /// What the node can show next, if it is in one of the states of the set and others have said `said`.
    ///
    /// Steps that others cannot know of are left to the last moment: what others say only adds to what can happen, so
    /// no run is missed.
    pub(super) fn next(&self, set: SetNumber, mut said: [Said; NODES]) -> Next {
        said[self.own] = Said::default();
        if let Some(next) = self.nexts.read().unwrap().get(&(set, said)) {
            return Arc::clone(next);
        }
        let events: Vec<usize> = (0..self.events.len()).filter(|event| self.can_happen(*event, &said)).collect();
        let mut mask = [0; EVENT_WORDS];
        events.iter().for_each(|event| mask[event / 64] |= 1 << (event % 64));
        let mut pending: Vec<Number> = self.sets.read().unwrap()[set as usize].to_vec();
        let mut seen: HashSet<Number> = pending.iter().copied().collect();
        let mut shown: BTreeMap<Shown, Vec<Number>> = BTreeMap::new();
        while let Some(number) = pending.pop() {
            let state = Arc::clone(&self.states.read().unwrap()[number as usize]);
            for event in state.busy(mask) {
                let Some(step) = self.step(number, &state, event) else { continue };
                if step.broken != 0 {
                    shown.entry(Shown::Breaks(step.broken)).or_default().push(step.to);
                }
                match step.shown {
                    Some(word) => shown.entry(word).or_default().push(step.to),
                    None if seen.insert(step.to) => pending.push(step.to),
                    None => {}
                }
            }
        }
        let next: Next = shown.into_iter().map(|(word, set)| (word, self.set(set))).collect();
        self.nexts.write().unwrap().insert((set, said), Arc::clone(&next));
        next
    }

    fn can_happen(&self, event: usize, said: &[Said; NODES]) -> bool {
        match self.events[event] {
            Event::Arrival(arrival) => arrival.can_come(self.own, said),
            _ => true,
        }
    }

    fn step(&self, number: Number, state: &Entry, event: usize) -> Option<Step> {
        let step = *state.steps[event].get_or_init(|| {
            self.steps.fetch_add(1, Ordering::Relaxed);
            let outcome = state.node.after(self.events[event], &self.bound)?;
            // Beyond the last term nothing is looked at.
            if outcome.node.term() > self.bound.term_max {
                return None;
            }
            let step = Step { shown: outcome.shown, broken: outcome.broken, to: self.number(outcome.node) };
            (step.to != number || step.shown.is_some() || step.broken != 0).then_some(step)
        });
        if step.is_none() {
            state.idle[event / 64].fetch_or(1 << (event % 64), Ordering::Relaxed);
        }
        step
    }

    fn number(&self, node: Node) -> Number {
        let digest = node.digest;
        let mut numbers = self.numbers.lock().unwrap();
        *numbers.entry(digest).or_insert_with(|| {
            let mut states = self.states.write().unwrap();
            let steps = self.events.iter().map(|_| OnceLock::new()).collect();
            states.push(Arc::new(Entry { node, steps, idle: Default::default() }));
            u32::try_from(states.len() - 1).expect("no memory holds 2^32 states")
        })
    }

    fn set(&self, mut set: Vec<Number>) -> SetNumber {
        set.sort_unstable();
        set.dedup();
        let set: Arc<[Number]> = set.into();
        let mut numbers = self.set_numbers.lock().unwrap();
        *numbers.entry(Arc::clone(&set)).or_insert_with(|| {
            let mut sets = self.sets.write().unwrap();
            sets.push(set);
            u32::try_from(sets.len() - 1).expect("no memory holds 2^32 sets")
        })
    }
}
