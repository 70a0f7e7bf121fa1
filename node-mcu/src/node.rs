//! The task around the core: datagrams, a timer, a record.

use embassy_futures::select::{Either3, select3};
use embassy_time::Timer;
use embedded_storage_async::nor_flash::NorFlash;
use symphony_core::{Command, DATAGRAM_SIZE_MAX, DatagramError, Duration, Endpoint, Event, Instant, Saved};

use crate::{
    board::{Board, TURN_INTERVAL_MAX},
    links::Links,
    record::Record,
    start::PEERS_MAX,
};

/// Wait after the first of several saves that fail; it doubles with each, because each may wear the flash.
const RETRY_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Longest wait after a save that failed.
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// At most one line of the log for datagrams that are refused.
const REFUSALS_INTERVAL: Duration = Duration::from_secs(1);

/// The node, and all that it needs of the board.
pub(crate) struct Node<'a, F: NorFlash, B> {
    endpoint: Endpoint<PEERS_MAX>,
    links: Links<'a>,
    record: Record<F>,
    board: B,
    unsaved: Option<Unsaved>,
    /// Wait after the latest save, if it failed.
    retry_interval: Option<Duration>,
    /// Somebody at the board wants it to lead no more.
    is_paused: bool,
    refusals: Refusals,
}

/// A record that could not be saved yet.
struct Unsaved {
    saved: Saved<PEERS_MAX>,
    retry_at: Instant,
}

impl<'a, F: NorFlash<Error: defmt::Format>, B: Board> Node<'a, F, B> {
    /// A node that has not begun.
    pub(crate) fn new(endpoint: Endpoint<PEERS_MAX>, links: Links<'a>, record: Record<F>, board: B) -> Self {
        let refusals = Refusals { count: 0, tell_at: Instant::MIN };
        Self { endpoint, links, record, board, unsaved: None, retry_interval: None, is_paused: false, refusals }
    }

    /// Takes part for ever, and tells of every change.
    pub(crate) async fn run(mut self) -> ! {
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        loop {
            self.board.on_turn();
            self.endpoint.handle_timeout(Instant::now());
            self.save().await;
            self.transmit(&mut buffer);
            while let Some(event) = self.endpoint.poll_event(Instant::now()) {
                match &event {
                    Event::Alarm(alarm) => defmt::error!("{}", alarm),
                    event => defmt::info!("{}", event),
                }
                self.board.on_event(&event);
            }
            let timer = Timer::at(self.next_deadline());
            match select3(self.links.receive(&mut buffer), timer, self.board.command()).await {
                Either3::First(datagram) => {
                    let now = Instant::now();
                    if let Err(error) = self.endpoint.handle_datagram(now, datagram) {
                        self.refusals.tell(now, error);
                    }
                }
                Either3::Second(()) => {}
                Either3::Third(command) => self.ask(command),
            }
        }
    }

    /// Saves what has changed. The core sends nothing that rests on a record before it has been told that it is saved,
    /// so a loss of power between the two loses nothing but time.
    async fn save(&mut self) {
        if let Some(saved) = self.endpoint.poll_persist() {
            let retry_at = self.unsaved.as_ref().map_or(Instant::MIN, |unsaved| unsaved.retry_at);
            self.unsaved = Some(Unsaved { saved, retry_at });
        }
        let Some(Unsaved { saved, .. }) = self.unsaved.take_if(|unsaved| unsaved.retry_at <= Instant::now()) else {
            return;
        };
        match self.record.save(&saved).await {
            Ok(()) => {
                self.endpoint.handle_persisted(Instant::now(), &saved);
                if self.retry_interval.take().is_some() && !self.is_paused {
                    self.command(Command::Resume);
                }
            }
            Err(error) => {
                defmt::error!("the record cannot be saved, so this board does not vote: {}", error);
                let doubled = self.retry_interval.map(|interval| (interval * 2).min(RETRY_INTERVAL_MAX));
                let interval = doubled.unwrap_or(RETRY_INTERVAL_MIN);
                self.unsaved = Some(Unsaved { saved, retry_at: Instant::now().saturating_add(interval) });
                self.retry_interval = Some(interval);
                self.command(Command::Pause);
            }
        }
    }

    fn transmit(&mut self, buffer: &mut [u8; DATAGRAM_SIZE_MAX]) {
        while let Some(transmit) = self.endpoint.poll_transmit(Instant::now(), buffer) {
            if let Some(datagram) = buffer.get(..transmit.len) {
                self.links.send(transmit.to, datagram);
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let retry_at = self.unsaved.as_ref().map_or(Instant::MAX, |unsaved| unsaved.retry_at);
        let turn_at = Instant::now().saturating_add(TURN_INTERVAL_MAX);
        self.endpoint.next_deadline().min(retry_at).min(turn_at)
    }

    /// Does what somebody at the board asks for. A flash that fails, and works again, does not undo that.
    fn ask(&mut self, command: Command) {
        match command {
            Command::Pause | Command::Resign => self.is_paused = true,
            Command::Resume => self.is_paused = false,
            _ => {}
        }
        if command != Command::Resume || self.retry_interval.is_none() {
            self.command(command);
        }
    }

    fn command(&mut self, command: Command) {
        if let Err(error) = self.endpoint.handle_command(Instant::now(), command) {
            defmt::warn!("{} refused: {}", command, error);
        }
    }
}

/// Datagrams that were refused. Anybody can send them, so they must not fill the log: its line is slow, and whoever
/// writes to it waits.
struct Refusals {
    count: u32,
    tell_at: Instant,
}

impl Refusals {
    fn tell(&mut self, now: Instant, latest: DatagramError) {
        self.count = self.count.saturating_add(1);
        if now >= self.tell_at {
            defmt::debug!("datagrams refused: {}, the latest: {}", self.count, latest);
            *self = Self { count: 0, tell_at: now.saturating_add(REFUSALS_INTERVAL) };
        }
    }
}
