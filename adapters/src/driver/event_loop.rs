//! The loop itself: whatever comes first of a datagram, a deadline, a finished save and a command.

use std::{
    future::{Future, pending},
    pin::Pin,
    time::Duration,
};

use symphony_core::{Command, CommandError, DATAGRAM_SIZE_MAX, Endpoint, Event, Instant, Reason, Role, Stats};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, watch},
    task::{JoinError, spawn_blocking},
};

use super::{Lease, PEERS_MAX, Request, Status, clock::Clock, tally::Tally, timer::Timer};
use crate::{
    store::{Record, Store, StoreError},
    udp::AddressBook,
};

/// Datagrams taken from the socket before anything else gets its turn.
const DATAGRAMS_PER_TURN: usize = 64;

/// Wait after a failed save, doubled up to the largest.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A leader writes nothing for as long as it leads, so it tries its disk this often: with a dead one it could not be a
/// candidate again, and hands over.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Longest sleep; the core's deadlines come sooner while there is anything to do.
const SLEEP_MAX: Duration = Duration::from_secs(60);

type Saving = Pin<Box<dyn Future<Output = Result<(Store, Record, Result<(), StoreError>), JoinError>> + Send>>;

/// Where the store is: at hand, or on another thread with a record.
enum Disk {
    Idle(Store),
    Busy(Saving),
    /// The thread that had the store died.
    Gone,
}

pub(super) struct EventLoop {
    endpoint: Endpoint<PEERS_MAX>,
    clock: Clock,
    timer: Timer,
    socket: UdpSocket,
    addresses: watch::Receiver<AddressBook>,
    status: watch::Sender<Status>,
    requests: mpsc::Receiver<Request>,
    disk: Disk,
    /// What waits to be saved, and when it may be tried.
    unsaved: Option<(Record, Instant)>,
    retry: Duration,
    probe_at: Instant,
    store_error: Option<String>,
    /// What was last said about campaigning.
    standing: Command,
    /// The latest reason in the status, and when it came.
    told: (Instant, Reason),
    tally: Tally,
}

impl EventLoop {
    pub(super) fn new(
        endpoint: Endpoint<PEERS_MAX>,
        (clock, timer): (Clock, Timer),
        store: Store,
        socket: UdpSocket,
        addresses: watch::Receiver<AddressBook>,
        status: watch::Sender<Status>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let (mut tally, told) = (Tally::new(status.borrow().id), endpoint.stats().latest);
        tally.is(clock.now(), &status.borrow());
        Self {
            endpoint,
            clock,
            timer,
            socket,
            addresses,
            status,
            requests,
            disk: Disk::Idle(store),
            unsaved: None,
            retry: RETRY_MIN,
            probe_at: clock.now(),
            store_error: None,
            standing: Command::Resume,
            told,
            tally,
        }
    }

    /// Runs until the [`super::Driver`] is dropped.
    pub(super) async fn run(mut self) {
        loop {
            self.work();
            let wait = self.wait();
            let saving = async {
                match &mut self.disk {
                    Disk::Busy(saving) => saving.await,
                    Disk::Idle(_) | Disk::Gone => pending().await,
                }
            };
            tokio::select! {
                biased;
                result = saving => self.finish_save(result),
                // Before the socket, which anybody can keep readable.
                request = self.requests.recv() => match request {
                    Some(request) => self.answer(request),
                    None => return,
                },
                ready = self.socket.readable() => {
                    if ready.is_ok() {
                        self.receive();
                    }
                }
                () = self.timer.wait(wait) => {}
            }
        }
    }

    /// Everything that can be done without waiting.
    fn work(&mut self) {
        self.endpoint.handle_timeout(self.clock.now());
        if let Some(saved) = self.endpoint.poll_persist() {
            self.unsaved = Some((saved, self.clock.now()));
        }
        self.save();
        self.transmit();
        self.report();
    }

    fn wait(&self) -> Duration {
        let now = self.clock.now();
        let save_at = match (&self.disk, &self.unsaved) {
            (Disk::Idle(_), Some((_, at))) => *at,
            (Disk::Idle(_), None) if self.is_probing() => self.probe_at,
            _ => Instant::MAX,
        };
        let deadline = self.endpoint.next_deadline().min(save_at);
        Duration::from_micros(deadline.saturating_duration_since(now).as_micros()).min(SLEEP_MAX)
    }

    fn receive(&mut self) {
        let mut buffer = [0; DATAGRAM_SIZE_MAX + 1];
        for _ in 0..DATAGRAMS_PER_TURN {
            let Ok((length, from)) = self.socket.try_recv_from(&mut buffer) else { return };
            let now = self.clock.now();
            let Some(datagram) = buffer.get_mut(..length) else { return };
            match self.endpoint.handle_datagram(now, datagram) {
                Ok(()) => self.tally.accepted(),
                Err(error) => self.tally.refused(now, error, from),
            }
        }
    }

    fn transmit(&mut self) {
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        let addresses = self.addresses.borrow();
        while let Some(transmit) = self.endpoint.poll_transmit(self.clock.now(), &mut buffer) {
            let (Some(address), Some(datagram)) = (addresses.get(&transmit.to), buffer.get(..transmit.len)) else {
                continue;
            };
            // A datagram that does not leave is a datagram lost: the election repeats what matters.
            if let Err(error) = self.socket.try_send_to(datagram, *address) {
                tracing::trace!(%address, %error, "datagram not sent");
            }
        }
    }

    /// Starts a save, or a trial one, if there is reason to and the store is at hand.
    fn save(&mut self) {
        let now = self.clock.now();
        let saved = match self.unsaved {
            Some((ref saved, at)) if at <= now => saved.clone(),
            None if self.is_probing() && self.probe_at <= now => self.endpoint.saved().clone(),
            _ => return,
        };
        match std::mem::replace(&mut self.disk, Disk::Gone) {
            Disk::Idle(mut store) => {
                self.unsaved = None;
                let task = spawn_blocking(move || {
                    let result = store.save(&saved);
                    (store, saved, result)
                });
                self.disk = Disk::Busy(Box::pin(task));
            }
            other => self.disk = other,
        }
    }

    /// Whether the disk is to be tried although nothing has changed.
    fn is_probing(&self) -> bool {
        self.store_error.is_some() || self.endpoint.role() == Role::Leader
    }

    fn finish_save(&mut self, result: Result<(Store, Record, Result<(), StoreError>), JoinError>) {
        let now = self.clock.now();
        self.probe_at = after(now, PROBE_INTERVAL);
        match result {
            Ok((store, saved, Ok(()))) => {
                self.disk = Disk::Idle(store);
                self.retry = RETRY_MIN;
                self.endpoint.handle_persisted(now, &saved);
                if self.store_error.take().is_some() {
                    tracing::info!("the record can be saved again");
                    self.command(self.standing);
                }
            }
            Ok((store, saved, Err(error))) => {
                self.disk = Disk::Idle(store);
                self.fail(error.to_string());
                if self.unsaved.is_none() && *self.endpoint.saved() == saved {
                    self.unsaved = Some((saved, after(now, self.retry)));
                }
                self.retry = self.retry.saturating_mul(2).min(RETRY_MAX);
            }
            Err(error) => {
                self.disk = Disk::Gone;
                self.fail(error.to_string());
            }
        }
    }

    fn fail(&mut self, error: String) {
        tracing::error!(%error, "the record cannot be saved: this node does not vote, and does not lead");
        if self.store_error.replace(error).is_none() {
            self.command(Command::Pause);
        }
    }

    /// Does what was asked. Whoever asked may have gone; it is done all the same.
    fn answer(&mut self, request: Request) {
        match request {
            Request::Command { command, answer } => {
                let _ = answer.send(self.obey(command));
            }
            Request::Keys { keys, answer } => {
                self.endpoint.set_keys(keys);
                let _ = answer.send(());
            }
        }
    }

    /// Carries out a command; whether to campaign is remembered for the time after a broken disk, with which a node does
    /// not campaign whatever it is told.
    fn obey(&mut self, command: Command) -> Result<(), CommandError> {
        if matches!(command, Command::Pause | Command::Resign | Command::Resume) {
            self.standing = command;
        }
        let is_too_early = command == Command::Resume && self.store_error.is_some();
        self.endpoint.handle_command(self.clock.now(), if is_too_early { Command::Pause } else { command })
    }

    fn command(&mut self, command: Command) {
        if let Err(error) = self.endpoint.handle_command(self.clock.now(), command) {
            tracing::warn!(%error, "command refused");
        }
    }

    fn report(&mut self) {
        let now = self.clock.now();
        while let Some(event) = self.endpoint.poll_event(now) {
            match event {
                Event::Alarm(alarm) => self.tally.alarm(alarm),
                event => tracing::debug!(?event, "election"),
            }
        }
        let lease = self.endpoint.lease(now).map(|left| Lease { clock: self.clock, until: now.saturating_add(left) });
        let latest = self.endpoint.stats().latest;
        let reason_changed = std::mem::replace(&mut self.told, latest) != latest;
        self.status.send_if_modified(|status| {
            let before = (status.term, status.role, status.leader, status.lease.is_some());
            let held = lease.is_some();
            let after = (self.endpoint.term().0, self.endpoint.role(), self.endpoint.leader(), held);
            let alarms_changed = !status.alarms.iter().copied().eq(self.endpoint.alarms());
            let changed = before != after || status.store_error != self.store_error || alarms_changed || reason_changed;
            (status.term, status.role, status.leader) = (after.0, after.1, after.2);
            status.lease = lease;
            if changed {
                status.reason = reason(self.endpoint.stats());
                status.store_error.clone_from(&self.store_error);
                status.alarms = self.endpoint.alarms().collect();
                self.tally.is(now, status);
            }
            changed
        });
    }
}

/// Why the node is what it is, and what stands in the way of a change.
pub(super) fn reason(stats: &Stats) -> String {
    let ((_, change), (_, latest)) = (stats.change, stats.latest);
    if change == latest { change.to_string() } else { format!("{change}; {latest}") }
}

fn after(now: Instant, wait: Duration) -> Instant {
    now.saturating_add(symphony_core::Duration::from_micros(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
}
