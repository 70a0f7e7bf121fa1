//! Real endpoints on virtual clocks, disks and links. Nothing here is left to chance but what the seed draws.

use std::{cmp::Reverse, collections::BinaryHeap};

use symphony_core::{Command, CommandError, DATAGRAM_SIZE_MAX, Endpoint, Event, Instant, Role};

use crate::{
    attacker::Attacker,
    disk::{Disk, SaveOutcome},
    invariant::{Checker, Invariant, Shown},
    ledger::Ledger,
    network::{Datagram, Network},
    node::Node,
    plan::{PEERS_MAX, Plan, Saved},
    rng::Rng,
    trace::Trace,
};

/// Outputs of one node at one moment, at most: more than one message of each kind for each peer would be an error.
const WORK_MAX: usize = 200;

/// What lies in the future.
#[derive(Clone, Debug)]
pub(super) enum Happening {
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
    /// All datagrams.
    pub ledger: Ledger,
    /// Who is on the path, if anybody.
    pub attacker: Option<Attacker>,
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
    pub(super) arrivals: Vec<(u64, Datagram)>,
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
            ledger: Ledger::default(),
            attacker: (!plan.tricks.is_empty()).then(|| Attacker::new(plan.seed, &plan.tricks, plan.timeout_us)),
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

    /// How many nodes there are, running or not; copies of them are not counted.
    #[must_use]
    pub fn size(&self) -> usize {
        self.plan.members.len()
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

    /// Whether a node is gone for good: its disk is lost, or it must retire.
    #[must_use]
    pub fn is_lost(&self, node: usize) -> bool {
        self.nodes[node].lost || self.checker.suspects().contains(&node)
    }

    /// Whether a node has retired.
    #[must_use]
    pub fn has_retired(&self, node: usize) -> bool {
        self.endpoint(node).is_some_and(|endpoint| endpoint.saved().retired)
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

    /// The leader of the latest term, awake or not; its machine may be a copy.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        (0..self.nodes.len())
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
            self.nodes[node].clock =
                super::clock::Clock::new(self.plan.rates_ppm[self.home(node)], self.now_us, local_us);
        }
        self.nodes[node].start(&self.plan, self.now_us);
        if let Some(endpoint) = &self.nodes[node].endpoint {
            self.ledger.begin(self.nodes[node].member.id, endpoint.incarnation());
        }
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

    /// Everybody but one.
    pub fn others(&self, than: usize) -> Vec<usize> {
        (0..self.size()).filter(|node| *node != than).collect()
    }

    /// Ends a process whose datagrams have been held back for a while, and returns those for each of the others, the last
    /// first.
    pub fn crash_held_back(&mut self, node: usize, for_us: u64) -> Vec<Vec<Datagram>> {
        let others = self.others(node);
        others.iter().for_each(|other| self.network.hold(node, *other));
        self.run(for_us);
        self.crash(node);
        let held = others.iter().map(|other| self.network.take_held(node, *other));
        held.map(|held| held.into_iter().rev().collect()).collect()
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
        let timeout = self.plan.timings[self.home(node)].election_timeout_max;
        let Node { endpoint, orders, seen, .. } = &mut self.nodes[node];
        let endpoint = endpoint.as_mut().ok_or(CommandError::NotLeader)?;
        let result = endpoint.handle_command(local, command);
        if result.is_ok() {
            orders.given(command, timeout, local.max(*seen), endpoint);
        }
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

    /// Lets go of all that the links hold.
    pub fn release(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        self.network.release(&mut self.rng, self.now_us, &mut arrivals);
        self.arrivals = arrivals;
        self.schedule_arrivals();
    }

    /// Starts another machine with the identity of a node and a disk of its own, and returns its index. It gets what is
    /// sent to the node, too.
    pub fn add_machine(&mut self, of: usize, disk: Disk) -> usize {
        let machine = self.nodes.len();
        let mut node = Node::new(&self.plan, of, self.now_us, self.rng.below(10_000_000_000));
        node.disk = disk;
        // No two starts draw the same session.
        node.boot = 1 << 12;
        self.checker.add(node.member);
        self.nodes.push(node);
        self.network.add();
        self.start(machine);
        machine
    }

    /// A node's disk.
    #[must_use]
    pub fn disk(&self, node: usize) -> &Disk {
        &self.nodes[node].disk
    }

    /// Puts another disk into a machine that does not run; it must find out that its peers know better.
    pub fn replace_disk(&mut self, node: usize, disk: Disk) {
        self.checker.suspect(node);
        self.nodes[node].lost = false;
        self.nodes[node].disk = disk;
        self.trace.note(self.now_us, node, "replaced", &[], String::new);
    }

    /// The index of the node whose identity a machine has.
    pub(super) fn home(&self, machine: usize) -> usize {
        usize::from(self.nodes[machine].member.id.0) - 1
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

    /// Does what a host program does after every input: lets time pass, then polls until nothing comes.
    pub(super) fn drive(&mut self, node: usize) {
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
        let durable = self.nodes[node].is_durable(endpoint.saved());
        if let Some(violation) = self.nodes[node].orders.judge(self.now_us, seen, durable, &endpoint) {
            self.checker.fail(self.now_us, violation.invariant, || violation.detail);
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
                self.nodes[node].orders.heard(event);
                if let Event::Alarm(alarm) = event {
                    self.checker.alarmed(self.now_us, node, alarm);
                }
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

    fn judge(&mut self) {
        let mut shown = vec![None; self.nodes.len()];
        for (node, shown) in self.nodes.iter().zip(&mut shown) {
            let Some(endpoint) = &node.endpoint else { continue };
            let local = node.clock.local(self.now_us);
            let role = endpoint.role();
            let lease = role == Role::Leader && endpoint.lease(local).is_some();
            let word = |record: &Saved| (record.term, record.vote);
            if role == Role::Leader && node.disk.read().as_ref().map(word) != Some(word(endpoint.saved())) {
                let detail = || format!("n{} leads by a vote that is not on its disk", node.member.id.0);
                self.checker.fail(self.now_us, Invariant::SavedBeforeSent, detail);
            }
            *shown = Some(Shown { term: endpoint.term().0, role, lease });
        }
        self.checker.look(self.now_us, &shown);
    }

    /// What the clock shows to the process; also keeps the latest that it has shown.
    pub(super) fn look_at_clock(&mut self, node: usize) -> Instant {
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

    pub(super) fn schedule_arrivals(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for (at_us, datagram) in arrivals.drain(..) {
            self.schedule(at_us, Happening::Arrival(datagram));
        }
        self.arrivals = arrivals;
    }

    pub(super) fn schedule(&mut self, at_us: u64, happening: Happening) {
        self.happened += 1;
        let slot = self.free.pop().unwrap_or(self.happenings.len());
        if slot == self.happenings.len() {
            self.happenings.push(None);
        }
        self.happenings[slot] = Some(happening);
        self.queue.push(Reverse(((at_us, self.happened), slot)));
    }
}
