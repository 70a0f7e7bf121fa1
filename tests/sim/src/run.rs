//! One seed: bad times, then good times in which the cluster must recover, stay quiet, and ride out small faults.

use symphony_core::{Endpoint, NodeId, Role, Suffrage};

use crate::{
    invariant::{Invariant, Violation},
    ordeal::QUIET_TIMEOUTS,
    plan::{Plan, Sizes},
    rng::Rng,
    world::World,
};

/// Election timeouts within which a healthy cluster must have a leader, always.
pub const LEADER_TIMEOUTS_MAX: u64 = 50;

/// Election timeouts within which a healthy cluster must have a leader in 99.99 % of all cases.
pub const LEADER_TIMEOUTS_USUAL: u64 = 10;

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// Hash of everything that happened.
    pub hash: u64,
    /// Readable lines of what happened, if asked for.
    pub lines: Vec<String>,
    /// Times until a healthy cluster without a leader had one, thousandths of the longest election timeout.
    pub elections_permille: Vec<u64>,
    /// Simulated time, microseconds.
    pub simulated_us: u64,
    /// Terms that had a leader.
    pub leaders: u64,
    /// Datagrams sent.
    pub datagrams: u64,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, sizes: Sizes, readable: bool) -> Outcome {
    let mut run = Run { world: World::new(Plan::draw(seed, sizes), readable), elections_permille: Vec::new() };
    run.all();
    let Run { world, elections_permille } = run;
    Outcome {
        seed,
        violation: world.checker.violation().cloned(),
        hash: world.trace.hash(),
        lines: world.trace.lines().to_vec(),
        elections_permille,
        simulated_us: world.now_us,
        leaders: world.checker.leaders().len() as u64,
        datagrams: world.datagrams,
    }
}

pub(super) struct Run {
    pub(super) world: World,
    elections_permille: Vec<u64>,
}

impl Run {
    fn all(&mut self) {
        let mut rng = Rng::new(self.world.plan.seed, 4);
        if rng.percent(50) && self.settle().is_none() {
            return;
        }
        self.world.storm();
        if self.settle().is_none() {
            return;
        }
        // What a clock that stood still has kept alive is over by now.
        self.world.run(self.world.plan.timeout_us * 2);
        if let Some(node) = self.world.checker.suspects().iter().find(|node| !self.world.has_retired(**node)).copied() {
            let detail = format!("n{} has not retired", node + 1);
            self.fail_unless_failed(Invariant::OldRecordsAreFoundOut, &detail);
        }
        // Who is still down may come back with a later term.
        let all_run =
            |world: &World| (0..world.size()).all(|node| world.is_lost(node) || world.endpoint(node).is_some());
        self.world.run_until(self.world.plan.timeout_us * LEADER_TIMEOUTS_MAX, all_run);
        if self.settle().is_none() {
            return;
        }
        let Some(leader) = self.preferred_takes_over() else { return };
        self.watch(leader, Invariant::HealthyClusterIsQuiet, QUIET_TIMEOUTS);
        self.minority_leaves_and_rejoins(leader, &mut rng);
        if rng.percent(30) {
            self.only_a_hub_is_heard(&mut rng);
        }
        self.leader_is_lost(&mut rng);
    }

    /// Waits for a leader that a majority follows, then for everybody to follow it and for its lease, which it does not
    /// have while it hands its office over.
    pub(super) fn settle(&mut self) -> Option<usize> {
        let start_us = self.world.now_us;
        let timeout_us = self.world.plan.timeout_us;
        let limit_us = timeout_us * LEADER_TIMEOUTS_MAX;
        if !self.world.run_until(limit_us, |world| led_by_majority(world).is_some()) {
            self.fail_unless_failed(Invariant::LeaderInTime, "nobody is followed by a majority");
            return None;
        }
        if self.world.now_us > start_us {
            self.elections_permille.push((self.world.now_us - start_us) * 1_000 / timeout_us);
        }
        let settled = |world: &World| led_by_all(world).filter(|leader| world.has_lease(*leader));
        if !self.world.run_until(limit_us, |world| settled(world).is_some()) {
            self.fail_unless_failed(Invariant::LeaderInTime, "not everybody follows one leader that has a lease");
            return None;
        }
        settled(&self.world)
    }

    /// Watches a leader that nothing may depose.
    pub(super) fn watch(&mut self, leader: usize, invariant: Invariant, timeouts: u64) {
        let Some(term) = self.world.endpoint(leader).map(Endpoint::term) else { return };
        let deposed = |world: &World| {
            !world.endpoint(leader).is_some_and(|endpoint| endpoint.role() == Role::Leader && endpoint.term() == term)
        };
        if self.world.run_until(self.world.plan.timeout_us * timeouts, deposed) {
            self.fail_unless_failed(invariant, &format!("n{} does not lead in {term:?} any more", leader + 1));
        }
    }

    pub(super) fn fail_unless_failed(&mut self, invariant: Invariant, detail: &str) {
        let now_us = self.world.now_us;
        self.world.checker.fail(now_us, invariant, || detail.to_owned());
    }
}

/// The leader that a majority of the voters follows, itself included.
#[must_use]
pub fn led_by_majority(world: &World) -> Option<usize> {
    let leader = world.leader().filter(|leader| world.is_awake(*leader))?;
    let elects = |node: &usize| world.plan.members[*node].suffrage != Suffrage::Observer;
    (world.followers(leader).filter(elects).count() >= world.plan.majority()).then_some(leader)
}

/// The leader that every node follows which runs and has not retired.
#[must_use]
pub fn led_by_all(world: &World) -> Option<usize> {
    let leader = led_by_majority(world)?;
    let id = Some(NodeId(u16::try_from(world.home(leader) + 1).ok()?));
    let follows = |node| world.has_retired(node) || world.endpoint(node).is_none_or(|endpoint| endpoint.leader() == id);
    (0..world.size()).all(follows).then_some(leader)
}
