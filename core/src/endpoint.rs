//! The public face: an election behind its channels.

use embassy_time::{Duration, Instant};

use crate::{
    config::Config,
    election::{Command, CommandError, Election, Event, PeerView},
    secure::{Alarm, Channels, DatagramError, Hello, KeyRing, Kind, Opened, Retirement, Shown},
    stats::Stats,
    types::{Incarnation, KnownPeer, NodeId, Role, Saved, Term},
    wire::{self, Body, DATAGRAM_SIZE_MAX, Verdict},
};

/// A datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Transmit {
    /// The member to send it to.
    pub to: NodeId,
    /// Bytes of the buffer that it takes.
    pub len: usize,
}

/// One node of a cluster, without a clock, a socket or a disk of its own.
///
/// After every `handle_*` call, and when [`Self::next_deadline`] has come, call [`Self::handle_timeout`] and then every
/// `poll_*` function until it yields nothing. `now` comes from a monotonic clock; if it falls back, the latest value
/// seen is taken in its place.
#[derive(Clone, Debug)]
pub struct Endpoint<const PEERS_MAX: usize> {
    channels: Channels<PEERS_MAX>,
    election: Election<PEERS_MAX>,
}

impl<const PEERS_MAX: usize> Endpoint<PEERS_MAX> {
    /// Starts a node with the record it saved last, or with [`Saved::provision`] on its very first start.
    ///
    /// The first thing it wants is its record saved, with the boot counted up. Until that is acknowledged it sends
    /// nothing, and for the shortest election timeout after that it votes for nobody and does not campaign.
    #[must_use]
    pub fn new(config: Config<PEERS_MAX>, mut saved: Saved<PEERS_MAX>, now: Instant) -> Self {
        saved.count_start();
        saved.peers = config.map_peers(|peer| known_peer(&saved, peer.id));
        Self { channels: Channels::new(&config, &saved, now), election: Election::of_start(config, saved, now) }
    }

    /// Takes a datagram in. It is decrypted in place.
    ///
    /// # Errors
    /// [`DatagramError`]: it has changed nothing but counts.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) -> Result<(), DatagramError> {
        let now = self.election.advance(now);
        let result = self.take_in(now, datagram);
        let stats = self.election.stats_mut();
        let count = if result.is_ok() { &mut stats.datagrams_accepted } else { &mut stats.datagrams_refused };
        *count = count.saturating_add(1);
        result
    }

    fn take_in(&mut self, now: Instant, datagram: &mut [u8]) -> Result<(), DatagramError> {
        let Opened { from, kind, question, text } = self.channels.open(now, self.election.own(), datagram)?;
        match kind {
            Kind::Message => {
                let message = wire::decode(text).ok_or(DatagramError::Malformed)?;
                if let Body::VoteReply { verdict: Verdict::Granted, .. } = message.body {
                    self.channels.note_vote(from, message.term);
                }
                self.election.handle_message(now, from, message);
            }
            Kind::Hello | Kind::HelloReply => {
                let hello = Hello::read(text).ok_or(DatagramError::Malformed)?;
                if kind == Kind::Hello {
                    self.channels.handle_hello(now, self.election.own(), from, question);
                    return Ok(());
                }
                match self.channels.handle_hello_reply(self.election.own(), from, question, &hello) {
                    Shown::Start(incarnation) => self.election.meet(from, incarnation),
                    Shown::Retirement(_) => self.election.retire(now),
                    Shown::Nothing => {}
                }
            }
        }
        Ok(())
    }

    /// Lets time pass. Early calls have no effect.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.election.advance(now);
        self.channels.handle_timeout(now, self.election.own());
        self.election.handle_timeout(now);
    }

    /// Notes that `saved` is on stable storage. A record that is not the latest is ignored.
    pub fn handle_persisted(&mut self, now: Instant, saved: &Saved<PEERS_MAX>) {
        self.election.handle_persisted(now, saved);
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// [`CommandError`]: nothing has changed.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        if self.election.saved().retired {
            return Err(CommandError::Retired);
        }
        self.election.handle_command(now, command)
    }

    /// Changes the keys, from the next datagram on.
    pub fn set_keys(&mut self, keys: KeyRing) {
        self.election.set_keys(keys);
    }

    /// The record to save, once a change. Nothing is sent before [`Self::handle_persisted`] has been told of it, so a
    /// node that cannot save votes for nobody and leads nobody.
    #[must_use]
    pub fn poll_persist(&mut self) -> Option<Saved<PEERS_MAX>> {
        self.election.poll_persist()
    }

    /// Writes the next datagram to `buffer`.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8; DATAGRAM_SIZE_MAX]) -> Option<Transmit> {
        if self.channels.is_exhausted() {
            self.election.raise_boot(now);
            if self.election.saved().retired {
                self.channels.retire(Retirement::Exhausted);
            } else {
                self.channels.begin_anew(now);
            }
        }
        if !self.election.is_durable() {
            return None;
        }
        let (index, len) = match self.channels.poll_hello(self.election.own(), buffer) {
            Some(hello) => hello,
            None => self.poll_sealed(now, buffer)?,
        };
        Some(Transmit { to: self.election.saved().peers.get(index)?.id, len })
    }

    /// The next message, sealed. One for a peer that has not been met is lost: what matters is said again.
    fn poll_sealed(&mut self, now: Instant, buffer: &mut [u8; DATAGRAM_SIZE_MAX]) -> Option<(usize, usize)> {
        loop {
            let (index, message) = self.election.poll_message(now)?;
            if let Some(len) = self.channels.seal(self.election.own(), index, &message, buffer) {
                return Some((index, len));
            }
        }
    }

    /// The next change that the host program should know of.
    #[must_use]
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        let alarm = self.channels.poll_alarm(self.election.own()).map(Event::Alarm);
        alarm.or_else(|| self.election.poll_event(now))
    }

    /// When to call [`Self::handle_timeout`] next; a moment that has passed while any `poll_*` function would yield.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        let waits = self.channels.alarm_waits() || self.election.is_durable() && self.channels.owes_something();
        if waits { self.election.now() } else { self.election.next_deadline().min(self.channels.next_deadline()) }
    }

    /// What this node is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.election.role()
    }

    /// The latest term it knows.
    #[must_use]
    pub fn term(&self) -> Term {
        self.election.saved().term
    }

    /// Who leads in that term, as far as it knows.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.election.leader()
    }

    /// How much longer this node is certain to be the only leader, if it is, and if every clock is as true as the
    /// configuration says. Time that passes between asking and acting is the caller's to subtract. The certainty is that
    /// of the moment of asking: a command, a hand-over to a preferred peer or a later term takes it back at once, so a
    /// lease that is remembered holds until it ends or [`Event::LeaseLost`], whichever comes first.
    #[must_use]
    pub fn lease(&self, now: Instant) -> Option<Duration> {
        self.election.lease(now)
    }

    /// This start of this node, as its peers know it once they have met it.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.channels.incarnation(self.election.own())
    }

    /// The record as it is in memory.
    #[must_use]
    pub fn saved(&self) -> &Saved<PEERS_MAX> {
        self.election.saved()
    }

    /// The other members, as this node sees them.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerView> + '_ {
        self.election.peers(now)
    }

    /// What is wrong at the moment, as [`Event::Alarm`] has told it.
    pub fn alarms(&self) -> impl Iterator<Item = Alarm> + '_ {
        self.channels.alarms(self.election.own())
    }

    /// Counts, and the reasons of the latest change and of what stands in the way.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        self.election.stats()
    }
}

/// What the record knows of a peer.
fn known_peer<const PEERS_MAX: usize>(saved: &Saved<PEERS_MAX>, id: NodeId) -> KnownPeer {
    let known = saved.peers.iter().find(|known| known.id == id).copied();
    known.unwrap_or(KnownPeer { id, incarnation: Incarnation::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterId, Key, Member, Timing};

    fn config(id: u16) -> Config<1> {
        let members = [Member::voter(1), Member::voter(2)];
        let keys = KeyRing::new(Key::new(1, [7; 32]));
        Config::new(ClusterId([1; 16]), NodeId(id), &members, Timing::LOCAL, keys, 3).unwrap()
    }

    fn node(id: u16) -> Endpoint<1> {
        Endpoint::new(config(id), Saved::provision([u8::try_from(id).unwrap(); 8]), Instant::from_secs(1))
    }

    fn talk(nodes: &mut [Endpoint<1>; 2], now: Instant) {
        let mut buffer = [0; DATAGRAM_SIZE_MAX];
        for _ in 0..20 {
            for sender in [0, 1] {
                nodes[sender].handle_timeout(now);
                if let Some(saved) = nodes[sender].poll_persist() {
                    nodes[sender].handle_persisted(now, &saved);
                }
                while let Some(transmit) = nodes[sender].poll_transmit(now, &mut buffer) {
                    let _ = nodes[1 - sender].handle_datagram(now, &mut buffer[..transmit.len]);
                }
            }
        }
    }

    /// A counter that has come to its end begins anew under another boot, and the leader leads on.
    #[test]
    fn counters_do_not_wrap() {
        let mut nodes = [node(1), node(2)];
        let mut now = Instant::from_secs(1);
        while nodes[0].role() != Role::Leader && nodes[1].role() != Role::Leader {
            assert!(now < Instant::from_secs(10), "nobody was elected");
            now += Duration::from_millis(1);
            talk(&mut nodes, now);
        }
        let leader = usize::from(nodes[1].role() == Role::Leader);
        let (before, term) = (nodes[leader].incarnation(), nodes[leader].term());
        nodes[leader].channels.wear_out();
        for _ in 0..500 {
            now += Duration::from_millis(1);
            talk(&mut nodes, now);
        }
        let after = nodes[leader].incarnation();
        assert_eq!((after.boot.0, after.install_salt), (before.boot.0 + 1, before.install_salt));
        assert_ne!(after.session, before.session);
        assert_eq!((nodes[leader].role(), nodes[leader].term()), (Role::Leader, term));
        assert_eq!(nodes[1 - leader].saved().peers[0].incarnation, after);
        assert_eq!(nodes[1 - leader].leader(), nodes[leader].leader());
    }

    /// Under the next boot no datagram goes out before it is saved.
    #[test]
    fn the_next_boot_is_saved_before_it_is_used() {
        let (mut node, now, mut buffer) = (node(1), Instant::from_secs(1), [0; DATAGRAM_SIZE_MAX]);
        let first = node.poll_persist().unwrap();
        node.handle_persisted(now, &first);
        node.channels.wear_out();
        assert!(node.poll_transmit(now, &mut buffer).is_some(), "the last one of this boot");
        assert!(node.poll_transmit(now, &mut buffer).is_none());
        let second = node.poll_persist().unwrap();
        assert_eq!(second.boot.0, first.boot.0 + 1);
        assert!(node.poll_transmit(now, &mut buffer).is_none());
        node.handle_persisted(now, &second);
        node.handle_timeout(now);
        assert!(node.poll_transmit(now, &mut buffer).is_some());
        assert_eq!(buffer[16..20], 1_u32.to_le_bytes(), "its first datagram");
    }

    /// Counters that cannot begin anew would repeat a nonce.
    #[test]
    fn a_node_without_another_boot_retires() {
        let (mut node, now, mut buffer) = (node(1), Instant::from_secs(1), [0; DATAGRAM_SIZE_MAX]);
        let mut last = node.poll_persist().unwrap();
        last.boot.0 = u32::MAX - 1;
        let mut node = Endpoint::new(config(1), last, now);
        let saved = node.poll_persist().unwrap();
        assert_eq!((saved.boot.0, saved.retired), (u32::MAX, false));
        node.handle_persisted(now, &saved);
        node.channels.wear_out();
        assert!(node.poll_transmit(now, &mut buffer).is_some());
        assert!(node.poll_transmit(now, &mut buffer).is_none());
        let retired = node.poll_persist().unwrap();
        assert!(retired.retired);
        node.handle_persisted(now, &retired);
        assert_eq!(node.poll_event(now), Some(Event::Alarm(Alarm::Retired(Retirement::Exhausted))));
        let now = now + Duration::from_secs(10);
        node.handle_timeout(now);
        assert!(node.poll_transmit(now, &mut buffer).is_none(), "it says nothing more");
        assert!(node.poll_persist().is_none() && node.next_deadline() > now, "and has nothing more to do");
        let node = Endpoint::new(config(1), saved, now);
        assert!(node.saved().retired, "nor does it start");
    }
}
