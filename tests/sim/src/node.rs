//! One machine: its process if it runs, its clock, its disk and its socket.

use std::collections::VecDeque;

use symphony_core::{Config, Endpoint, Instant, Member};

use crate::{
    clock::Clock,
    disk::{Disk, SaveOutcome},
    network::Datagram,
    orders::Orders,
    plan::{PEERS_MAX, Plan, Saved},
    sealed,
};

/// Datagrams that a socket keeps while its process does not read; and as many of an attacker, because an attack that
/// nothing can get past is the loss of all packets, and is simulated as such.
const SOCKET_MAX: usize = 64;

/// A record on its way to the disk.
#[derive(Clone, Debug)]
pub(super) struct Save {
    pub(super) record: Saved,
    pub(super) outcome: SaveOutcome,
}

/// One machine.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) member: Member,
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    /// A copy of the disk from some time ago.
    pub(super) snapshot: Disk,
    pub(super) endpoint: Option<Endpoint<PEERS_MAX>>,
    /// What this process was told, and what it told.
    pub(super) orders: Orders,
    /// Counts starts and crashes: what was under way for an earlier one is void.
    pub(super) boot: u32,
    pub(super) paused: bool,
    pub(super) saving: Option<Save>,
    /// A later record, to be saved next.
    pub(super) save_next: Option<Saved>,
    pub(super) socket: VecDeque<Datagram>,
    /// When the process wakes by itself, true time in microseconds.
    pub(super) wake_us: u64,
    /// The latest that its clock has shown to this start.
    pub(super) seen: Instant,
    /// Its disk is lost, and it never starts again.
    pub(super) lost: bool,
    /// No save succeeds.
    pub(super) disk_dead: bool,
    /// What becomes of the next save, if that is decided.
    pub(super) next_outcome: Option<SaveOutcome>,
}

impl Node {
    pub(super) fn new(plan: &Plan, index: usize, now_us: u64, local_us: u64) -> Self {
        let member = plan.members[index];
        let disk = Disk::new(Saved::provision([u8::try_from(index).unwrap_or(0); 8]));
        Self {
            member,
            clock: Clock::new(plan.rates_ppm[index], now_us, local_us),
            snapshot: disk.clone(),
            disk,
            endpoint: None,
            orders: Orders::new(member.id),
            boot: 0,
            paused: false,
            saving: None,
            save_next: None,
            socket: VecDeque::new(),
            wake_us: u64::MAX,
            seen: Instant::MIN,
            lost: false,
            disk_dead: false,
            next_outcome: None,
        }
    }

    pub(super) fn start(&mut self, plan: &Plan, now_us: u64) {
        let Some(saved) = self.disk.read() else {
            self.lost = true;
            return;
        };
        let index = usize::from(self.member.id.0 - 1);
        let timing = plan.timings[index];
        self.boot += 1;
        let seed = plan.seed.wrapping_add(u64::from(self.boot) << 48);
        let config = Config::new(plan.cluster, self.member.id, &plan.members, timing, sealed::keys(), seed)
            .expect("a plan holds valid configurations");
        self.seen = self.clock.local(now_us);
        self.endpoint = Some(Endpoint::new(config, saved, self.seen));
    }

    pub(super) fn stop(&mut self) {
        self.endpoint = None;
        self.orders = Orders::new(self.member.id);
        self.boot += 1;
        self.paused = false;
        self.saving = None;
        self.save_next = None;
        self.socket.clear();
        self.wake_us = u64::MAX;
    }

    /// Whether the process has heard that its record is on the disk.
    pub(super) fn is_durable(&self, record: &Saved) -> bool {
        self.saving.is_none() && self.disk.read().as_ref() == Some(record)
    }

    /// The process is paused, or waits for its disk.
    pub(super) fn is_busy(&self, disk_blocks: bool) -> bool {
        self.paused || (disk_blocks && self.saving.is_some())
    }

    pub(super) fn keep(&mut self, datagram: Datagram) {
        let of_the_kind = self.socket.iter().filter(|kept| kept.injected == datagram.injected).count();
        if of_the_kind < SOCKET_MAX {
            self.socket.push_back(datagram);
        }
    }
}
