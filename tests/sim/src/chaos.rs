//! Bad times: at random moments something breaks, or is mended.

use symphony_core::{Boot, Command, Endpoint, Incarnation, NodeId, Suffrage, Term};

use crate::{
    clock::Clock,
    disk::Disk,
    plan::{PEERS_MAX, Saved},
    rng::Rng,
    world::World,
};

/// Something that goes wrong, or right again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Two groups do not hear each other.
    Partition,
    /// Some links work one way only.
    OneWayCuts,
    /// One pair does not hear each other, as when one switch fails in part.
    PairCut,
    /// The leader hears nobody, or nobody hears it.
    LeaderCut,
    /// Everybody hears one node only.
    Hub,
    /// Everybody hears two neighbours only.
    Chain,
    /// Links keep what is sent, and let go of it later.
    Hold,
    /// A process stops for 0 to 10 election timeouts.
    Pause,
    /// The same, and it is the leader's.
    LeaderPause,
    /// A process ends, and starts again at once or later.
    Crash,
    /// The same, and it is the leader's.
    LeaderCrash,
    /// All processes end, and start again.
    Blackout,
    /// A disk is lost, with its node.
    DiskLoss,
    /// A disk fails every save, until it is mended; its node goes on.
    DiskDeath,
    /// A process ends, and starts again with the timing of a slower node; quicker ones would have to wait.
    OtherSettings,
    /// A clock leaps, falls back or stands still for up to 10 election timeouts.
    ClockJump,
    /// An operator's command to a random node.
    Command,
    /// An operator's command to the leader.
    LeaderCommand,
    /// All links work well for a while, or badly.
    Weather,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Partition,
        Self::OneWayCuts,
        Self::PairCut,
        Self::LeaderCut,
        Self::Hub,
        Self::Chain,
        Self::Hold,
        Self::Pause,
        Self::LeaderPause,
        Self::Crash,
        Self::LeaderCrash,
        Self::Blackout,
        Self::DiskLoss,
        Self::DiskDeath,
        Self::OtherSettings,
        Self::ClockJump,
        Self::Command,
        Self::LeaderCommand,
        Self::Weather,
    ];
}

impl World {
    /// Runs the bad times of the plan, then ends them.
    pub fn storm(&mut self) {
        let mut rng = Rng::new(self.plan.seed, 3);
        self.stormy = true;
        self.network.set_quality(self.plan.bad);
        let end_us = self.now_us + self.plan.chaos_us;
        while self.now_us < end_us && self.checker.violation().is_none() {
            self.run(rng.range(1, self.plan.fault_gap_us * 2).min(end_us - self.now_us));
            if rng.percent(35) {
                self.network.mend();
                self.release();
            } else if !self.plan.faults.is_empty() {
                let fault = rng.pick(&self.plan.faults);
                self.strike(fault, &mut rng);
            }
        }
        self.calm_down();
    }

    /// Ends all faults: the network is clean, every process runs that can, and nobody is told not to campaign.
    pub fn calm_down(&mut self) {
        self.stormy = false;
        self.network.set_quality(self.plan.healthy);
        self.network.mend();
        self.release();
        for node in 0..self.size() {
            self.set_disk_dead(node, false);
            self.unpause(node);
            // A clock that fell back has caught up.
            let local = self.local(node).max(self.nodes[node].seen);
            self.nodes[node].clock = Clock::new(self.plan.rates_ppm[node], self.now_us, local.as_micros());
            if !(self.plan.disk_rollback && self.endpoint(node).is_none() && self.rng.percent(50)) {
                self.start(node);
            }
        }
        for node in 0..self.size() {
            self.roll_back(node);
            self.start(node);
            // A node that is busy with its disk hears the command when it is done.
            while self.command(node, Command::Resume).is_err()
                && self.is_awake(node)
                && self.checker.violation().is_none()
            {
                self.step(self.now_us + self.plan.timeout_us);
            }
        }
    }

    /// Puts an old record, or one of a new installation, on the disk of a node that does not run: if somebody knows
    /// better, and will be heard before the node votes (`symphony_core::secure`, "What it does not protect from"). The
    /// network is healthy now, so it is enough that a node is awake which has met a later start than the record's next
    /// one. The node will retire, so a majority must be left without it.
    fn roll_back(&mut self, node: usize) {
        if self.endpoint(node).is_some() || !self.plan.disk_rollback || !self.can_lose(node) {
            return;
        }
        let salt = self.rng.bits().to_le_bytes();
        // A new installation that has been started elsewhere passes for a late start.
        let boot = Boot(if self.rng.percent(50) { 0 } else { 1 << 11 });
        let disk = if self.is_lost(node) {
            Disk::new(Saved { boot, ..Saved::provision(salt) })
        } else {
            self.nodes[node].snapshot.clone()
        };
        let (id, Some(record)) = (self.nodes[node].member.id, disk.read()) else { return };
        let knows_better = |endpoint: &Endpoint<PEERS_MAX>| {
            let known = endpoint.saved().peers.iter().find(|peer| peer.id == id).map(|peer| peer.incarnation);
            known.is_some_and(|Incarnation { install_salt, boot, session }| {
                session.0 != 0 && (install_salt != record.install_salt || boot > record.boot)
            })
        };
        let others = (0..self.size()).filter(|other| *other != node && !self.is_lost(*other));
        if others.filter_map(|other| self.endpoint(other)).any(knows_better) {
            self.replace_disk(node, disk);
        }
    }

    fn strike(&mut self, fault: Fault, rng: &mut Rng) {
        let size = self.size();
        let node = rng.index(size);
        let leader = self.leader().unwrap_or(node);
        let timeout_us = self.plan.timeout_us;
        self.trace.note(self.now_us, node, "fault", &[], || format!("{fault:?}"));
        match fault {
            Fault::Partition => {
                let side = rng.bits();
                self.cut_if(|from, to| (side >> from) & 1 != (side >> to) & 1);
            }
            Fault::OneWayCuts => {
                let bits = rng.bits();
                self.cut_if(|from, to| (bits >> (from * size + to)) & 1 == 1);
            }
            Fault::PairCut => {
                let other = rng.index(size);
                self.cut_if(|from, to| (from, to) == (node, other) || (to, from) == (node, other));
            }
            Fault::LeaderCut => {
                let (deaf, dumb) = rng.pick(&[(true, true), (true, false), (false, true)]);
                self.cut_if(|from, to| (deaf && to == leader) || (dumb && from == leader));
            }
            Fault::Hub => self.cut_if(|from, to| from != node && to != node),
            Fault::Chain => self.cut_if(|from, to| from.abs_diff(to) > 1),
            Fault::Hold => {
                let bits = rng.bits();
                for (from, to) in pairs(size).filter(|(from, to)| (bits >> (from * size + to)) & 1 == 1) {
                    self.network.hold(from, to);
                }
            }
            Fault::Pause => self.pause(node, rng.below(timeout_us * 10)),
            Fault::LeaderPause => self.pause(leader, rng.below(timeout_us * 10)),
            Fault::Crash => self.crash_and_return(node, rng),
            Fault::LeaderCrash => self.crash_and_return(leader, rng),
            Fault::Blackout => (0..size).for_each(|node| self.crash_and_return(node, rng)),
            Fault::DiskLoss => {
                if rng.percent(30) && self.can_lose(node) {
                    self.lose_disk(node);
                }
            }
            Fault::DiskDeath => {
                let dead = self.nodes[node].disk_dead;
                self.set_disk_dead(node, !dead);
            }
            Fault::OtherSettings => {
                let other = self.plan.timings[rng.index(size)];
                if other.election_timeout_min > self.plan.timings[node].election_timeout_min {
                    self.plan.timings[node] = other;
                    self.crash_and_return(node, rng);
                }
            }
            Fault::ClockJump => {
                let by_us = rng.below(timeout_us * 10);
                let kind = rng.below(3);
                self.disturb_clock(node, |clock, now_us| match kind {
                    0 => clock.leap(now_us, by_us),
                    1 => clock.fall_back(now_us, by_us),
                    _ => clock.stall(now_us, by_us),
                });
            }
            Fault::Command => self.command_at_random(node, rng),
            Fault::LeaderCommand => self.command_at_random(leader, rng),
            Fault::Weather => {
                let quality = if rng.percent(50) { self.plan.healthy } else { self.plan.bad };
                self.network.set_quality(quality);
            }
        }
    }

    fn cut_if(&mut self, cut: impl Fn(usize, usize) -> bool) {
        for (from, to) in pairs(self.size()).filter(|(from, to)| cut(*from, *to)) {
            self.network.set_cut(from, to, true);
        }
    }

    fn crash_and_return(&mut self, node: usize, rng: &mut Rng) {
        if self.endpoint(node).is_none() {
            return;
        }
        if rng.percent(20) {
            self.nodes[node].snapshot = self.nodes[node].disk.clone();
        }
        let after_us = if rng.percent(50) { 10 } else { rng.below(self.plan.timeout_us * 5) };
        self.restart(node, after_us);
    }

    /// Whether a majority would still be left, with a voter in it.
    pub(super) fn can_lose(&self, node: usize) -> bool {
        let left = (0..self.size()).filter(|other| *other != node && !self.is_lost(*other));
        let mut votes = 0;
        let mut voters = 0;
        for other in left {
            let suffrage = self.plan.members[other].suffrage;
            votes += usize::from(suffrage != Suffrage::Observer);
            voters += usize::from(suffrage == Suffrage::Voter);
        }
        votes >= self.plan.majority() && voters > 0
    }

    fn command_at_random(&mut self, node: usize, rng: &mut Rng) {
        let to = NodeId(u16::try_from(rng.range(1, self.size() as u64)).unwrap_or(1));
        let term = self.endpoint(node).map_or(Term(0), Endpoint::term);
        let command = match rng.below(7) {
            0 | 1 => Command::Transfer(None),
            2 => Command::Transfer(Some(to)),
            3 => Command::Resign,
            4 => Command::Pause,
            5 => Command::RaiseTerm(Term(term.0 + rng.below(3))),
            _ => Command::Resume,
        };
        // A refusal is an answer, too.
        let _ = self.command(node, command);
    }
}

fn pairs(size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..size).flat_map(move |from| (0..size).map(move |to| (from, to))).filter(|(from, to)| from != to)
}
