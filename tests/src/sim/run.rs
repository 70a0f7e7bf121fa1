//! One seed: bad times, then good times in which the cluster must recover, stay quiet, and ride out small faults.

use symphony_core::{NodeId, Role, Suffrage};

use super::{
    invariant::{Invariant, Violation},
    plan::{Plan, Sizes},
    rng::Rng,
    world::World,
};

/// Election timeouts within which a healthy cluster must have a leader, always.
pub const LEADER_TIMEOUTS_MAX: u64 = 50;

/// Election timeouts within which a healthy cluster must have a leader in 99.99 % of all cases.
pub const LEADER_TIMEOUTS_USUAL: u64 = 10;

/// Election timeouts that a healthy cluster is watched for.
const QUIET_TIMEOUTS: u64 = 8;

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

struct Run {
    world: World,
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
        let Some(leader) = self.settle() else { return };
        if self.is_preferred(leader) {
            self.watch(leader, Invariant::HealthyClusterIsQuiet, QUIET_TIMEOUTS);
            self.minority_leaves_and_rejoins(leader, &mut rng);
        }
        if rng.percent(30) {
            self.only_a_hub_is_heard(&mut rng);
        }
        if let Some(leader) = self.world.leader()
            && self.world.can_lose(leader)
        {
            self.world.crash(leader);
            self.settle();
        }
    }

    /// Waits for a leader that a majority follows, then for everybody to follow it and for its lease, which it does not
    /// have while it hands its office over.
    fn settle(&mut self) -> Option<usize> {
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

    /// Cuts a minority off from the leader or from everybody, one way or both, and lets it come back.
    fn minority_leaves_and_rejoins(&mut self, leader: usize, rng: &mut Rng) {
        let size = self.world.size();
        let running: Vec<_> = (0..size).filter(|node| self.world.endpoint(*node).is_some()).collect();
        let elects = |world: &World, node: usize| world.plan.members[node].suffrage != Suffrage::Observer;
        let mut spare = running.iter().filter(|node| elects(&self.world, **node)).count() - self.world.plan.majority();
        let (hears, speaks, partial) = rng.pick(&[
            (false, false, false),
            (true, false, false),
            (false, true, false),
            (false, false, true),
            (true, false, true),
            (false, true, true),
        ]);
        let restarts = rng.percent(20);
        for node in running.into_iter().filter(|node| *node != leader) {
            let votes = elects(&self.world, node);
            if rng.percent(40) || (votes && spare == 0) {
                continue;
            }
            spare -= usize::from(votes);
            for other in (0..size).filter(|other| !partial || *other == leader) {
                self.world.network.set_cut(other, node, !hears);
                self.world.network.set_cut(node, other, !speaks);
            }
            if restarts {
                self.world.restart(node, 10);
            }
        }
        self.watch(leader, Invariant::HealthyLeaderStays, rng.range(1, 12));
        self.world.network.mend();
        self.watch(leader, Invariant::HealthyLeaderStays, QUIET_TIMEOUTS);
    }

    /// Cuts all links but those of one voter: it must come to lead, or be led, with a majority (Omni-Paxos, section 2.1,
    /// "quorum loss" and "constrained election").
    fn only_a_hub_is_heard(&mut self, rng: &mut Rng) {
        let size = self.world.size();
        let hub = rng.index(size);
        let is_voter = self.world.plan.members[hub].suffrage == Suffrage::Voter;
        if !is_voter || self.world.endpoint(hub).is_none() {
            return;
        }
        for from in (0..size).filter(|from| *from != hub) {
            (0..size).filter(|to| *to != hub).for_each(|to| self.world.network.set_cut(from, to, true));
        }
        let timeout_us = self.world.plan.timeout_us;
        self.world.run(timeout_us * 3);
        if !self.world.run_until(timeout_us * LEADER_TIMEOUTS_MAX, |world| led_by_majority(world).is_some()) {
            self.fail_unless_failed(Invariant::LeaderInTime, "nobody is followed by a majority through one hub");
        }
        self.world.network.mend();
        self.settle();
    }

    /// Watches a leader that nothing may depose.
    fn watch(&mut self, leader: usize, invariant: Invariant, timeouts: u64) {
        let Some(term) = self.world.endpoint(leader).map(|endpoint| endpoint.term()) else { return };
        let deposed = |world: &World| {
            !world.endpoint(leader).is_some_and(|endpoint| endpoint.role() == Role::Leader && endpoint.term() == term)
        };
        if self.world.run_until(self.world.plan.timeout_us * timeouts, deposed) {
            self.fail_unless_failed(invariant, &format!("n{} does not lead in {term:?} any more", leader + 1));
        }
    }

    /// Nobody has a higher priority, so the leader keeps its office.
    fn is_preferred(&self, leader: usize) -> bool {
        let members = &self.world.plan.members;
        members.iter().all(|member| member.priority <= members[leader].priority)
    }

    fn fail_unless_failed(&mut self, invariant: Invariant, detail: &str) {
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

/// The leader that every running node follows.
#[must_use]
pub fn led_by_all(world: &World) -> Option<usize> {
    let leader = led_by_majority(world)?;
    let id = Some(NodeId(u16::try_from(leader + 1).ok()?));
    (0..world.size()).all(|node| world.endpoint(node).is_none_or(|endpoint| endpoint.leader() == id)).then_some(leader)
}
