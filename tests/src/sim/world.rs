//! Real endpoints on virtual clocks, disks and links. Nothing here is left to chance but what the seed draws.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use symphony_core::{Command, CommandError, DATAGRAM_SIZE_MAX, Endpoint, Instant, NodeId, Role};

use super::{
    disk::SaveOutcome,
    invariant::{Checker, Invariant, Shown},
    network::{CORRUPTION, Corruption, Datagram, Network},
    node::{Node, Save},
    plan::{PEERS_MAX, Plan},
    rng::Rng,
    trace::Trace,
    wire,
};

/// Outputs of one node at one moment, at most: more than one message of each kind for each peer would be an error.
const WORK_MAX: usize = 200;

/// What lies in the future.
#[derive(Clone, Debug)]
enum Happening {
    Arrival(Datagram),
    SaveEnds { node: usize, boot: u32 },
    Start { node: usize, boot: u32 },
    PauseEnds { node: usize, boot: u32 },
}

/// A moment, and the order of what happens at the same moment.
type When = (u64, u64);

/// A cluster under simulation.
#[derive(Debug)]
pub struct World {
    /// What the run was made from.
    pub plan: Plan,
    /// True time, microseconds.
    pub now_us: u64,
    /// The judge.
    pub checker: Checker,
    /// What happened.
    pub trace: Trace,
    /// The links.
    pub network: Network,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Bad times: disks fail, too.
    pub(super) stormy: bool,
    pub(super) rng: Rng,
    pub(super) nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(When, usize)>>,
    happenings: Vec<Option<Happening>>,
    free: Vec<usize>,
    happened: u64,
    arrivals: Vec<(u64, Datagram)>,
}

impl World {
    /// Starts all nodes of a plan at once.
    #[must_use]
    pub fn new(plan: Plan, readable: bool) -> Self {
        let mut rng = Rng::new(plan.seed, 2);
        let size = plan.members.len();
        let nodes = (0..size).map(|index| Node::new(&plan, index, 0, rng.below(10_000_000_000))).collect();
        let mut world = Self {
            now_us: 0,
            checker: Checker::new(&plan.members, !plan.clocks_jump),
            trace: Trace::new(readable),
            network: Network::new(size, plan.healthy),
            datagrams: 0,
            stormy: false,
            rng,
            nodes,
            queue: BinaryHeap::new(),
            happenings: Vec::new(),
            free: Vec::new(),
            happened: 0,
            arrivals: Vec::new(),
            plan,
        };
        for node in 0..size {
            world.start(node);
        }
        world
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The endpoint at an index, if it runs.
    #[must_use]
    pub fn endpoint(&self, node: usize) -> Option<&Endpoint<PEERS_MAX>> {
        self.nodes[node].endpoint.as_ref()
    }

    /// Whether a node has a process that is not paused.
    #[must_use]
    pub fn is_awake(&self, node: usize) -> bool {
        self.nodes[node].endpoint.is_some() && !self.nodes[node].paused
    }

    /// Whether a node's disk is lost.
    #[must_use]
    pub fn is_lost(&self, node: usize) -> bool {
        self.nodes[node].lost
    }

    /// What a node's clock shows.
    #[must_use]
    pub fn local(&self, node: usize) -> Instant {
        self.nodes[node].clock.local(self.now_us)
    }

    /// Whether a node holds a lease and could say so now.
    #[must_use]
    pub fn has_lease(&self, node: usize) -> bool {
        let local = self.local(node);
        self.is_awake(node) && self.endpoint(node).is_some_and(|endpoint| endpoint.lease(local).is_some())
    }

    /// The leader of the latest term, awake or not.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        (0..self.size())
            .filter_map(|node| self.endpoint(node).map(|endpoint| (endpoint, node)))
            .filter(|(endpoint, _)| endpoint.role() == Role::Leader)
            .max_by_key(|(endpoint, _)| endpoint.term())
            .map(|(_, node)| node)
    }

    /// The nodes that lead or follow `leader`.
    pub fn followers(&self, leader: usize) -> impl Iterator<Item = usize> + '_ {
        let id = self.nodes[leader].member.id;
        (0..self.size()).filter(move |node| self.endpoint(*node).is_some_and(|endpoint| endpoint.leader() == Some(id)))
    }

    /// Lets something happen, unless nothing does before `end_us`, or an invariant is broken.
    pub fn step(&mut self, end_us: u64) -> bool {
        let wake = self.nodes.iter().enumerate().map(|(index, node)| (node.wake_us, index)).min();
        let (wake_us, node) = wake.unwrap_or((u64::MAX, 0));
        let event_us = self.queue.peek().map_or(u64::MAX, |Reverse(((at_us, _), _))| *at_us);
        let next_us = wake_us.min(event_us);
        if next_us > end_us || self.checker.violation().is_some() {
            self.now_us = self.now_us.max(end_us);
            return false;
        }
        self.now_us = self.now_us.max(next_us);
        if event_us <= wake_us {
            self.happen();
        } else {
            self.trace.note(self.now_us, node, "wake", &[], String::new);
            self.drive(node);
        }
        self.judge();
        true
    }

    /// Lets `time_us` pass.
    pub fn run(&mut self, time_us: u64) {
        let end_us = self.now_us + time_us;
        while self.step(end_us) {}
    }

    /// Lets time pass until `done`, for `time_us` at most; tells whether it came to that.
    pub fn run_until(&mut self, time_us: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end_us = self.now_us + time_us;
        while !done(self) {
            if !self.step(end_us) {
                return false;
            }
        }
        true
    }

    /// Starts the process of a node that has none, with what its disk has.
    pub fn start(&mut self, node: usize) {
        if self.nodes[node].endpoint.is_some() || self.nodes[node].lost {
            return;
        }
        if self.plan.clocks_restart && self.nodes[node].boot > 0 {
            let local_us = self.rng.below(5_000);
            self.nodes[node].clock = super::clock::Clock::new(self.plan.rates_ppm[node], self.now_us, local_us);
        }
        self.nodes[node].start(&self.plan, self.now_us);
        let disk = self.nodes[node].disk.read();
        self.trace.note(self.now_us, node, "start", &[], || format!("with {disk:?}"));
        self.drive(node);
        self.judge();
    }

    /// Ends a process without a warning.
    pub fn crash(&mut self, node: usize) {
        if self.nodes[node].endpoint.is_some() {
            self.trace.note(self.now_us, node, "crash", &[], String::new);
            self.nodes[node].stop();
        }
    }

    /// Ends a process, and starts it again later.
    pub fn restart(&mut self, node: usize, after_us: u64) {
        self.crash(node);
        let boot = self.nodes[node].boot;
        self.schedule(self.now_us + after_us, Happening::Start { node, boot });
    }

    /// Stops a process for a while; its clock goes on.
    pub fn pause(&mut self, node: usize, for_us: u64) {
        if !self.is_awake(node) {
            return;
        }
        self.trace.note(self.now_us, node, "pause", &[], || format!("for {for_us} us"));
        self.nodes[node].paused = true;
        self.nodes[node].wake_us = u64::MAX;
        let boot = self.nodes[node].boot;
        self.schedule(self.now_us + for_us, Happening::PauseEnds { node, boot });
    }

    /// Lets a paused process go on.
    pub fn unpause(&mut self, node: usize) {
        if !std::mem::take(&mut self.nodes[node].paused) {
            return;
        }
        self.trace.note(self.now_us, node, "go on", &[], String::new);
        self.drain(node);
    }

    /// Gives a node a command.
    ///
    /// # Errors
    /// The node's own; a node that does not run refuses as one that does not lead.
    pub fn command(&mut self, node: usize, command: Command) -> Result<(), CommandError> {
        let local = self.local(node);
        if self.nodes[node].is_busy(self.plan.disk_blocks) {
            return Err(CommandError::NotLeader);
        }
        let endpoint = self.nodes[node].endpoint.as_mut().ok_or(CommandError::NotLeader)?;
        let result = endpoint.handle_command(local, command);
        self.trace.note(self.now_us, node, "command", &[], || format!("{command:?}: {result:?}"));
        self.drive(node);
        self.judge();
        result
    }

    /// Makes a node's clock leap, fall back or stand still; leases are not judged any more.
    pub fn disturb_clock(&mut self, node: usize, disturb: impl FnOnce(&mut super::clock::Clock, u64)) {
        self.checker.stop_judging_leases();
        disturb(&mut self.nodes[node].clock, self.now_us);
        self.trace.note(self.now_us, node, "clock", &[], String::new);
        self.plan_wake(node);
    }

    /// Decides what becomes of a node's next save, in good times or bad.
    pub fn decide_next_save(&mut self, node: usize, outcome: SaveOutcome) {
        self.nodes[node].next_outcome = Some(outcome);
    }

    /// From now on no save of the node succeeds, or all do again.
    pub fn set_disk_dead(&mut self, node: usize, dead: bool) {
        self.nodes[node].disk_dead = dead;
    }

    /// Delivers a datagram now that was caught on a held link.
    pub fn inject(&mut self, datagram: Datagram) {
        self.schedule(self.now_us, Happening::Arrival(datagram));
    }

    /// Lets go of all that the links hold.
    pub fn release(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.network.release(&mut self.rng, self.now_us, &mut arrivals);
        self.arrivals = arrivals;
        self.schedule_arrivals();
    }

    /// Loses a node's disk: it never starts again.
    pub fn lose_disk(&mut self, node: usize) {
        self.crash(node);
        self.nodes[node].lost = true;
        self.trace.note(self.now_us, node, "lost", &[], String::new);
    }

    fn happen(&mut self) {
        let Some(Reverse((_, slot))) = self.queue.pop() else { return };
        let Some(happening) = self.happenings[slot].take() else { return };
        self.free.push(slot);
        match happening {
            Happening::Arrival(datagram) => self.arrive(datagram),
            Happening::SaveEnds { node, boot } if boot == self.nodes[node].boot => self.end_save(node),
            Happening::Start { node, boot } if boot == self.nodes[node].boot => self.start(node),
            Happening::PauseEnds { node, boot } if boot == self.nodes[node].boot => self.unpause(node),
            Happening::SaveEnds { .. } | Happening::Start { .. } | Happening::PauseEnds { .. } => {}
        }
    }

    fn arrive(&mut self, datagram: Datagram) {
        let Datagram { from, to, from_boot, to_boot, .. } = datagram;
        let of_another_start = from_boot != self.nodes[from].boot || to_boot != self.nodes[to].boot;
        if self.nodes[to].endpoint.is_none() || (self.plan.clocks_restart && of_another_start) {
            return;
        }
        if self.nodes[to].is_busy(self.plan.disk_blocks) {
            self.nodes[to].keep(datagram);
        } else {
            self.take_in(datagram);
        }
    }

    fn take_in(&mut self, mut datagram: Datagram) {
        let (from, to) = (datagram.from, datagram.to);
        let local = self.look_at_clock(to);
        self.trace.note(self.now_us, to, "hears", &datagram.bytes, || {
            let said = wire::read(&datagram.bytes).map_or_else(String::new, |said| said.to_string());
            format!("n{}: {said}", from + 1)
        });
        let Some(endpoint) = self.nodes[to].endpoint.as_mut() else { return };
        let result = endpoint.handle_datagram(local, &mut datagram.bytes);
        if let Err(error) = result
            && CORRUPTION == Corruption::CaughtByChecksum
        {
            self.checker.fail(self.now_us, Invariant::MembersAreHeard, || format!("n{}: {error}", to + 1));
        }
        self.drive(to);
    }

    /// Reads what came while the process was busy.
    fn drain(&mut self, node: usize) {
        self.drive(node);
        let mut waiting: VecDeque<_> = std::mem::take(&mut self.nodes[node].socket);
        while let Some(datagram) = waiting.pop_front() {
            if self.nodes[node].endpoint.is_none() {
                return;
            }
            if self.nodes[node].is_busy(self.plan.disk_blocks) {
                waiting.push_front(datagram);
                break;
            }
            self.take_in(datagram);
        }
        self.nodes[node].socket = waiting;
    }

    /// Does what a host program does after every input: lets time pass, then polls until nothing comes.
    fn drive(&mut self, node: usize) {
        if self.nodes[node].is_busy(self.plan.disk_blocks) {
            self.nodes[node].wake_us = u64::MAX;
            return;
        }
        let local = self.look_at_clock(node);
        let Some(mut endpoint) = self.nodes[node].endpoint.take() else { return };
        endpoint.handle_timeout(local);
        let announced = endpoint.next_deadline();
        let work = self.poll(node, local, &mut endpoint);
        let seen = self.nodes[node].seen;
        if work > 0 && announced > seen {
            let detail = || format!("n{} announces {announced:?} and yields at {seen:?}", node + 1);
            self.checker.fail(self.now_us, Invariant::HonestDeadline, detail);
        }
        if endpoint.next_deadline() <= seen {
            let detail = || format!("n{} yields nothing more, and wants to be called at once again", node + 1);
            self.checker.fail(self.now_us, Invariant::HonestDeadline, detail);
        }
        self.nodes[node].endpoint = Some(endpoint);
        self.plan_wake(node);
    }

    fn poll(&mut self, node: usize, local: Instant, endpoint: &mut Endpoint<PEERS_MAX>) -> usize {
        let mut work = 0;
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        loop {
            let before = work;
            if let Some(record) = endpoint.poll_persist() {
                work += 1;
                if self.nodes[node].saving.is_some() {
                    self.nodes[node].save_next = Some(record);
                } else {
                    self.begin_save(node, record);
                }
            }
            while let Some(transmit) = endpoint.poll_transmit(local, &mut buffer) {
                work += 1;
                self.transmit(node, endpoint, transmit.to, &buffer[..transmit.len]);
                if work > WORK_MAX {
                    break;
                }
            }
            while let Some(event) = endpoint.poll_event(local) {
                work += 1;
                self.trace.note(self.now_us, node, "event", &[], || format!("{event:?}"));
                if work > WORK_MAX {
                    break;
                }
            }
            if work > WORK_MAX {
                self.checker.fail(self.now_us, Invariant::PollingEnds, || format!("n{}", node + 1));
                return work;
            }
            if work == before {
                return work;
            }
        }
    }

    fn transmit(&mut self, node: usize, endpoint: &Endpoint<PEERS_MAX>, to: NodeId, bytes: &[u8]) {
        self.datagrams += 1;
        let said = wire::read(bytes);
        self.checker.sent(self.now_us, node, to, said, endpoint.saved(), self.nodes[node].disk.read());
        self.trace.note(self.now_us, node, "says", bytes, || {
            format!("to n{}: {}", to.0, said.map_or_else(String::new, |said| said.to_string()))
        });
        let receiver = usize::from(to.0 - 1);
        let datagram = Datagram {
            from: node,
            to: receiver,
            from_boot: self.nodes[node].boot,
            to_boot: self.nodes[receiver].boot,
            bytes: bytes.to_vec(),
        };
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.network.send(&mut self.rng, self.now_us, datagram, &mut arrivals);
        self.arrivals = arrivals;
        self.schedule_arrivals();
    }

    fn begin_save(&mut self, node: usize, record: symphony_core::Saved) {
        let usual = if self.stormy { self.draw_outcome() } else { SaveOutcome::Done };
        let failed = SaveOutcome::SyncFailed { written: false };
        let outcome = self.nodes[node].next_outcome.take().unwrap_or(usual);
        let outcome = if self.nodes[node].disk_dead { failed } else { outcome };
        let (low, high) = if self.stormy { self.plan.save_bad_us } else { self.plan.save_us };
        let ends_us = self.now_us + self.rng.range(low, high);
        self.trace.note(self.now_us, node, "saves", &[], || format!("{record:?}: {outcome:?}"));
        self.nodes[node].saving = Some(Save { record, outcome });
        let boot = self.nodes[node].boot;
        self.schedule(ends_us, Happening::SaveEnds { node, boot });
    }

    fn draw_outcome(&mut self) -> SaveOutcome {
        if self.rng.percent(self.plan.save_crash_percent) {
            let crashes = [
                SaveOutcome::CrashBefore,
                SaveOutcome::CrashTorn,
                SaveOutcome::CrashUnheard,
                SaveOutcome::CrashHeard,
                SaveOutcome::CrashActed,
            ];
            self.rng.pick(&crashes)
        } else if self.rng.percent(self.plan.sync_fail_percent) {
            SaveOutcome::SyncFailed { written: self.rng.percent(50) }
        } else {
            SaveOutcome::Done
        }
    }

    fn end_save(&mut self, node: usize) {
        let Some(Save { record, outcome }) = self.nodes[node].saving.take() else { return };
        self.trace.note(self.now_us, node, "saved", &[], || format!("{outcome:?}"));
        match outcome {
            SaveOutcome::CrashBefore => return self.crash_in_save(node),
            SaveOutcome::CrashTorn => {
                self.nodes[node].disk.tear();
                return self.crash_in_save(node);
            }
            SaveOutcome::SyncFailed { written } => {
                // The pages of a failed sync may be marked clean, so the next attempt writes the record again.
                if written {
                    self.nodes[node].disk.write(record);
                } else {
                    self.nodes[node].disk.tear();
                }
                let next = self.nodes[node].save_next.take().unwrap_or(record);
                return self.begin_save(node, next);
            }
            SaveOutcome::Done | SaveOutcome::CrashUnheard | SaveOutcome::CrashHeard | SaveOutcome::CrashActed => {
                self.nodes[node].disk.write(record);
            }
        }
        if outcome == SaveOutcome::CrashUnheard {
            return self.crash_in_save(node);
        }
        let local = self.look_at_clock(node);
        if let Some(endpoint) = self.nodes[node].endpoint.as_mut() {
            endpoint.handle_persisted(local, &record);
        }
        if outcome == SaveOutcome::CrashHeard {
            return self.crash_in_save(node);
        }
        if let Some(next) = self.nodes[node].save_next.take() {
            self.begin_save(node, next);
        }
        self.drain(node);
        if outcome == SaveOutcome::CrashActed {
            self.crash_in_save(node);
        }
    }

    fn crash_in_save(&mut self, node: usize) {
        let after_us = self.rng.below(self.plan.timeout_us * 3);
        let at_once = self.rng.percent(50);
        self.restart(node, if at_once { 10 } else { after_us });
    }

    fn judge(&mut self) {
        let mut shown = [None; PEERS_MAX + 1];
        for (node, shown) in self.nodes.iter().zip(&mut shown) {
            let Some(endpoint) = &node.endpoint else { continue };
            let local = node.clock.local(self.now_us);
            let role = endpoint.role();
            let lease = role == Role::Leader && !node.paused && endpoint.lease(local).is_some();
            if role == Role::Leader && node.disk.read() != Some(*endpoint.saved()) {
                let detail = || format!("n{} leads by a vote that is not on its disk", node.member.id.0);
                self.checker.fail(self.now_us, Invariant::SavedBeforeSent, detail);
            }
            *shown = Some(Shown { term: endpoint.term().0, role, lease });
        }
        self.checker.look(self.now_us, &shown[..self.nodes.len()]);
    }

    /// What the clock shows to the process; also keeps the latest that it has shown.
    fn look_at_clock(&mut self, node: usize) -> Instant {
        let local = self.nodes[node].clock.local(self.now_us);
        self.nodes[node].seen = self.nodes[node].seen.max(local);
        local
    }

    fn plan_wake(&mut self, node: usize) {
        let busy = self.nodes[node].is_busy(self.plan.disk_blocks);
        let deadline = self.nodes[node].endpoint.as_ref().filter(|_| !busy).map(Endpoint::next_deadline);
        let wake_us = deadline.and_then(|deadline| self.nodes[node].clock.when(deadline));
        self.nodes[node].wake_us = wake_us.map_or(u64::MAX, |wake_us| wake_us.max(self.now_us));
    }

    fn schedule_arrivals(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for (at_us, datagram) in arrivals.drain(..) {
            self.schedule(at_us, Happening::Arrival(datagram));
        }
        self.arrivals = arrivals;
    }

    fn schedule(&mut self, at_us: u64, happening: Happening) {
        self.happened += 1;
        let slot = self.free.pop().unwrap_or(self.happenings.len());
        if slot == self.happenings.len() {
            self.happenings.push(None);
        }
        self.happenings[slot] = Some(happening);
        self.queue.push(Reverse(((at_us, self.happened), slot)));
    }
}
