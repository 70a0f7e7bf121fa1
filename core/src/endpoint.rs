//! The public face: an election behind its channels.

use embassy_time::{Duration, Instant};

use crate::{
    channel::{Channel, DatagramError},
    config::Config,
    election::{Command, CommandError, Election, Event, PeerView},
    stats::Stats,
    types::{NodeId, Role, Saved, Term},
    wire::DATAGRAM_SIZE_MAX,
};

#[cfg(feature = "bench")]
use crate::wire::Message;

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
    channel: Channel,
    election: Election<PEERS_MAX>,
}

impl<const PEERS_MAX: usize> Endpoint<PEERS_MAX> {
    /// Starts a node with the record it saved last, or with [`Saved::provision`] on its very first start.
    ///
    /// The first thing it wants is its record saved, with the boot counted up. Until that is acknowledged it sends
    /// nothing, and for the shortest election timeout it votes for nobody.
    #[must_use]
    pub fn new(config: Config<PEERS_MAX>, saved: Saved, now: Instant) -> Self {
        Self { channel: Channel::new(config.id(), config.cluster), election: Election::new(config, saved, now) }
    }

    /// Takes a datagram in. It may be changed in place.
    ///
    /// # Errors
    /// [`DatagramError`]: the datagram is not for this node and has changed nothing.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) -> Result<(), DatagramError> {
        let opened = self.channel.open(datagram);
        let opened = opened.and_then(|(from, message)| Ok((self.peer_index(from)?, message)));
        let stats = self.election.stats_mut();
        match opened {
            Ok((from, message)) => {
                stats.datagrams_accepted = stats.datagrams_accepted.saturating_add(1);
                self.election.handle_message(now, from, message);
                Ok(())
            }
            Err(error) => {
                stats.datagrams_refused = stats.datagrams_refused.saturating_add(1);
                Err(error)
            }
        }
    }

    /// Lets time pass. Early calls have no effect.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.election.handle_timeout(now);
    }

    /// Notes that `saved` is on stable storage. A record that is not the latest is ignored.
    pub fn handle_persisted(&mut self, now: Instant, saved: &Saved) {
        self.election.handle_persisted(now, saved);
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// [`CommandError`]: nothing has changed.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        self.election.handle_command(now, command)
    }

    /// The record to save, once a change. Nothing is sent before [`Self::handle_persisted`] has been told of it, so a
    /// node that cannot save votes for nobody and leads nobody.
    #[must_use]
    pub fn poll_persist(&mut self) -> Option<Saved> {
        self.election.poll_persist()
    }

    /// Writes the next datagram to `buffer`.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8; DATAGRAM_SIZE_MAX]) -> Option<Transmit> {
        let (index, message) = self.election.poll_message(now)?;
        let to = self.election.config().peers().get(index)?.id;
        let len = self.channel.seal(to, &message, buffer)?;
        Some(Transmit { to, len })
    }

    /// The next change that the host program should know of.
    #[must_use]
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        self.election.poll_event(now)
    }

    /// When to call [`Self::handle_timeout`] next; a moment that has passed while any `poll_*` function would yield.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        self.election.next_deadline()
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
    /// configuration says. Time that passes between asking and acting is the caller's to subtract.
    #[must_use]
    pub fn lease(&self, now: Instant) -> Option<Duration> {
        self.election.lease(now)
    }

    /// The record as it is in memory.
    #[must_use]
    pub fn saved(&self) -> &Saved {
        self.election.saved()
    }

    /// The other members, as this node sees them.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = PeerView> + '_ {
        self.election.peers(now)
    }

    /// Counts, and the reason of the latest change.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        self.election.stats()
    }

    fn peer_index(&self, id: NodeId) -> Result<usize, DatagramError> {
        self.election.peer_index(id).ok_or(DatagramError::Sender)
    }
}

/// What the bench measures beside the datagrams: the election without codec and protection.
#[cfg(feature = "bench")]
impl<const PEERS_MAX: usize> Endpoint<PEERS_MAX> {
    /// Takes a message in.
    ///
    /// # Errors
    /// [`DatagramError::Sender`]: it is from a stranger.
    pub fn handle_message(&mut self, now: Instant, from: NodeId, message: Message) -> Result<(), DatagramError> {
        let index = self.peer_index(from)?;
        self.election.handle_message(now, index, message);
        Ok(())
    }

    /// The next message, and the member to send it to.
    #[must_use]
    pub fn poll_message(&mut self, now: Instant) -> Option<(NodeId, Message)> {
        let (index, message) = self.election.poll_message(now)?;
        Some((self.election.config().peers().get(index)?.id, message))
    }
}
