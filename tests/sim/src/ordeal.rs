//! What a healthy cluster must ride out: a minority that comes back, a network that only a hub keeps together, and the
//! loss of its leader in ways that strain the lease.

use symphony_core::{Command, Duration, NodeId, Role, Suffrage, Timing};

use crate::{
    invariant::Invariant,
    rng::Rng,
    run::{LEADER_TIMEOUTS_MAX, Run, led_by_majority},
    world::World,
};

/// Election timeouts that a healthy cluster is watched for.
pub(super) const QUIET_TIMEOUTS: u64 = 8;

/// How a leader is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Its process ends.
    Crash,
    /// It hears nobody, and nobody hears it.
    Cut,
    /// The same, and all others start again at the same moment, with no memory but their disks.
    Siege,
    /// One other node does not hear it, and all others start again at the same moment.
    Amnesia,
    /// Its process starts again at once, and the first candidate after that is not heard for a while.
    Rival,
    /// It hands over to a voter whose words are held back for a while.
    HeldSuccessor,
    /// It hands over to a voter, and the request is held back for a while.
    HeldRequest,
    /// Its process ends, and heartbeats of it that were held back before go on coming, one by one.
    HeldHeartbeats,
}

/// Election timeouts after which a healthy preferred peer leads at the latest: ten, doubled six times at most, and time
/// for elections.
const PREFERRED_TIMEOUTS_MAX: u64 = 10 * 64 + LEADER_TIMEOUTS_MAX;

impl Run {
    /// Waits for a leader that no voter at work is preferred to. In a healthy network no hand-over fails, so each makes a
    /// leader of higher priority.
    pub(super) fn preferred_takes_over(&mut self) -> Option<usize> {
        let elections_before = self.world.checker.leaders().len();
        let first = self.world.leader().map_or(0, |leader| self.world.plan.members[leader].priority);
        let limit_us = self.world.plan.timeout_us * PREFERRED_TIMEOUTS_MAX;
        if !self.world.run_until(limit_us, |world| world.leader().is_some_and(|leader| is_preferred(world, leader))) {
            self.fail_unless_failed(Invariant::PreferredTakesOver, "a healthy preferred peer does not lead");
            return None;
        }
        let leader = self.settle()?;
        let priority = self.world.plan.members[leader].priority;
        let elections = self.world.checker.leaders().len() - elections_before;
        if elections > usize::from(priority.saturating_sub(first)) {
            let detail = format!("{elections} elections from priority {first} to n{}'s, {priority}", leader + 1);
            self.fail_unless_failed(Invariant::PreferredTakesOver, &detail);
        }
        Some(leader)
    }

    /// Cuts a minority off from the leader or from everybody, one way or both, and lets it come back.
    pub(super) fn minority_leaves_and_rejoins(&mut self, leader: usize, rng: &mut Rng) {
        let size = self.world.size();
        let running: Vec<_> =
            (0..size).filter(|node| self.world.endpoint(*node).is_some() && !self.world.has_retired(*node)).collect();
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
    pub(super) fn only_a_hub_is_heard(&mut self, rng: &mut Rng) {
        let size = self.world.size();
        let hub = rng.index(size);
        let is_voter = self.world.plan.members[hub].suffrage == Suffrage::Voter;
        if !is_voter || self.world.endpoint(hub).is_none() || self.world.has_retired(hub) {
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

    /// Takes the leader away and waits for the next.
    pub(super) fn leader_is_lost(&mut self, rng: &mut Rng) {
        let Some(leader) = self.settle() else { return };
        let timeout_us = self.world.plan.timeout_us;
        let other = rng.index(self.world.size());
        let losses = [
            Loss::Crash,
            Loss::Cut,
            Loss::Cut,
            Loss::Siege,
            Loss::Amnesia,
            Loss::Rival,
            Loss::HeldSuccessor,
            Loss::HeldRequest,
            Loss::HeldHeartbeats,
        ];
        let loss = rng.pick(&losses);
        match loss {
            Loss::Crash | Loss::Cut | Loss::Siege | Loss::HeldHeartbeats if !self.world.can_lose(leader) => return,
            Loss::Crash => self.world.crash(leader),
            Loss::Cut | Loss::Siege => {
                self.leader_is_cut_off(leader, matches!(loss, Loss::Siege));
            }
            Loss::HeldHeartbeats => self.leader_dies_and_is_heard(leader),
            Loss::Amnesia => {
                self.world.network.set_cut(leader, other, true);
                self.world.network.set_cut(other, leader, true);
                self.world.run(timeout_us * 3);
                self.restart_all_but(&[leader, other]);
                self.world.run(timeout_us * 2);
            }
            Loss::Rival => {
                self.world.restart(leader, 10);
                self.rival_is_cut_off(rng);
            }
            Loss::HeldSuccessor | Loss::HeldRequest => {
                for receiver in 0..self.world.size() {
                    match loss {
                        Loss::HeldSuccessor => self.world.network.hold(other, receiver),
                        _ => self.world.network.hold(leader, other),
                    }
                }
                let to = NodeId(u16::try_from(other + 1).unwrap_or(1));
                // A refusal leaves everything as it was.
                let _ = self.world.command(leader, Command::Transfer(Some(to)));
                self.world.run(timeout_us * rng.range(5, 25) / 10);
                self.world.network.set_cut(other, leader, rng.percent(50));
                self.world.release();
                self.world.run(timeout_us * 2);
            }
        }
        self.world.network.mend();
        self.settle();
    }

    /// Keeps heartbeats of a leader back for as long as its followers wait, lets it die, and lets them go one by one, each
    /// before the followers' patience ends. They show no sign of life that is younger than the leader's death, so
    /// somebody asks for votes as if they had not come.
    fn leader_dies_and_is_heard(&mut self, leader: usize) {
        let timings = &self.world.plan.timings;
        let longest = |of: fn(&Timing) -> Duration| timings.iter().map(of).max().unwrap_or(Duration::MIN).as_micros();
        let patience_us = longest(|timing| timing.election_timeout_min);
        let interval_us = longest(|timing| timing.heartbeat_interval);
        // The slowest clock counts a tenth less, and who grants a pre-vote waits for a heartbeat's time more.
        let limit_us = (patience_us + self.world.plan.timeout_us + interval_us) * 10 / 9 + interval_us;
        let shortest = timings.iter().map(|timing| timing.election_timeout_min).min().unwrap_or(Duration::MIN);
        let step_us = shortest.as_micros() * 85 / 100;
        let asked = |world: &World| {
            let others = (0..world.size()).filter(|node| *node != leader).filter_map(|node| world.endpoint(node));
            others.map(|node| u64::from(node.stats().pre_votes) + u64::from(node.stats().elections)).sum::<u64>()
        };
        let before = asked(&self.world);
        let mut held = self.world.crash_held_back(leader, step_us);
        let died_us = self.world.now_us;
        while held.iter().any(|held| !held.is_empty()) && asked(&self.world) == before {
            let next: Vec<_> = held.iter_mut().filter_map(Vec::pop).collect();
            next.into_iter().for_each(|datagram| self.world.inject(datagram));
            self.world.run(step_us);
            if self.world.now_us - died_us > limit_us && asked(&self.world) == before {
                self.fail_unless_failed(Invariant::HeldBackQuietsNobody, "nobody asks for votes");
                return;
            }
        }
    }

    fn rival_is_cut_off(&mut self, rng: &mut Rng) {
        let timeout_us = self.world.plan.timeout_us;
        let campaigns = |world: &World, node: usize| {
            world.endpoint(node).is_some_and(|endpoint| endpoint.role() == Role::Candidate)
        };
        let rival = |world: &World| (0..world.size()).find(|node| campaigns(world, *node));
        self.world.run_until(timeout_us * LEADER_TIMEOUTS_MAX, |world| rival(world).is_some());
        if let Some(rival) = rival(&self.world) {
            self.cut_off(rival);
            let longest_us = if rng.percent(50) { timeout_us * 3 } else { timeout_us / 20 };
            self.world.run(rng.below(longest_us));
        }
    }

    fn cut_off(&mut self, node: usize) {
        for other in (0..self.world.size()).filter(|other| *other != node) {
            self.world.network.set_cut(node, other, true);
            self.world.network.set_cut(other, node, true);
        }
    }

    fn leader_is_cut_off(&mut self, leader: usize, others_restart: bool) {
        self.cut_off(leader);
        if others_restart {
            self.restart_all_but(&[leader]);
        }
        let timeout_us = self.world.plan.timeout_us;
        self.world.run(timeout_us * 3);
        if !self.world.run_until(timeout_us * LEADER_TIMEOUTS_MAX, |world| led_by_majority(world).is_some()) {
            self.fail_unless_failed(Invariant::LeaderInTime, "nobody succeeds a leader that is cut off");
        }
    }

    fn restart_all_but(&mut self, spared: &[usize]) {
        for node in (0..self.world.size()).filter(|node| !spared.contains(node)) {
            if self.world.endpoint(node).is_some() {
                self.world.restart(node, 10);
            }
        }
    }
}

/// No voter at work has a higher priority.
fn is_preferred(world: &World, leader: usize) -> bool {
    let members = &world.plan.members;
    let may_lead = |node: &usize| {
        members[*node].suffrage == Suffrage::Voter && world.endpoint(*node).is_some() && !world.has_retired(*node)
    };
    (0..world.size()).filter(may_lead).all(|node| members[node].priority <= members[leader].priority)
}
