//! Authenticated datagrams: somebody on the path can drop them, and nothing more.
//!
//! Every member has the cluster's key, 32 random bytes. Numbers are little-endian. There is no other form of datagram.
//!
//! # Header
//!
//! Authenticated, and read before any cryptography:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 1 | high half: 1 for XChaCha20-Poly1305, 2 for Ascon-AEAD128; low half: 0 message, 1 hello, 2 answer to a hello |
//! | 1 | 1 | number of the key |
//! | 2 | 2 | sender's id |
//! | 4 | 2 | receiver's id |
//! | 6 | 2 | first two bytes of the cluster's id |
//! | 8 | 4 | sender's session |
//! | 12 | 4 | receiver's session; in a hello the latest that the sender knows, or 0 |
//! | 16 | 4 | counter: 1 for the sender's first datagram to this receiver since its start, then one more for each |
//!
//! In a hello and its answer there follow:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 20 | 8 | sender's salt |
//! | 28 | 4 | sender's boot |
//! | 32 | 4 | counter of the hello that is answered; 0 in a hello |
//!
//! Then the sealed text, as long as the plain one, and its tag of 16 bytes. A message adds 36 bytes, a heartbeat is at
//! most 64 bytes for terms and clocks below 2^63, and hellos and answers are all 81 bytes.
//!
//! # Seal
//!
//! - Nonce, 24 bytes: sender's salt 8, sender's boot 4, sender's id 2, receiver's id 2, sender's session 4, counter 4.
//! - Associated data: the header; the cluster's id, 16; the receiver's salt, 8, and boot, 4, both zero in a hello.
//! - XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) takes key and nonce as they are.
//! - Ascon-AEAD128 (NIST SP 800-232) first makes a key of 16 bytes: the tag of an empty text under the key's first 16
//!   bytes, with the nonce's first 16 bytes as nonce and the key's last 16 bytes as associated data. The nonce is then
//!   the last 8 bytes of the one above and 8 zeros.
//!
//! # Text
//!
//! Of a message: [`crate::Message`] in postcard's encoding. Of a hello and its answer, 29 bytes:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 1 | 1 in an answer that wants an answer itself, else 0 |
//! | 1 | 4 | digest of the members: the sum, modulo 2^32, of FNV-1a (32 bits) over each member's id (2 bytes) and suffrage (1 byte: 0 voter, 1 witness, 2 observer) |
//! | 5 | 8 | salt of the receiver's latest start that the sender knows; it and all that follows is zero in a hello |
//! | 13 | 4 | boot of that start |
//! | 17 | 4 | session of that start |
//! | 21 | 8 | latest term in which the receiver gave the sender its vote |
//!
//! # Starts
//!
//! A node's salt is drawn when it is provisioned, its boot is counted up and saved at every start before anything is
//! sent, and its session is drawn at every start. The three together name a start, and a message is taken only from the
//! latest start of its sender, for the current start of its receiver, and only once (a window of 64 counters, RFC 6479).
//!
//! A node asks every peer for its start when it begins, when a peer of another start asks, and after so many datagrams
//! without an answer as there are heartbeats in a shortest election timeout, eight at least; it waits between rounds from
//! one heartbeat interval up to so many. A start is taken over only from an
//! answer: that echoes the salt, boot, session and counter of this node's own latest hello, so it cannot be an old one.
//! It is saved before anything rests on it. Another salt, an earlier boot or the same boot with another session is an
//! impostor or a copy, is never taken over, and raises an alarm, until the start that is known or a later one answers.
//! Such a node is answered all the same, and so learns what it is. What any other answer tells of this node proves to it
//! whether its own record is the latest; if not, the node retires for good.
//!
//! A node that is refused so can make nobody retire. A node whose own record is old is told nevertheless, because it
//! refuses nobody who knows better: its record is the older of the two, so it knows the start of such a peer or an
//! earlier one. Without that order a copy of a whole cluster that was started in the reach of the first would end both.
//!
//! Anyone can make what looks like a hello, so of those that do not name the receiver's session 16 of each peer are
//! opened at once, and then one every 10 ms. Whoever listens can name the session, and repeat what the peer's earlier
//! starts have said: of hellos and answers of starts that are not believed as many are opened, counted apart. What claims
//! to be of a later start is opened always, as every message is: whoever injects would else silence a peer that has
//! started again. What that peer really says can be repeated only until its start is known.
//!
//! `tests/vectors` has datagrams of every kind for other implementations; [`Envelope`] reads and opens single ones.
//!
//! # What it does not protect from
//!
//! Every member has the key: whoever steals one node can speak for all. A node whose record was put back to an older
//! state is found out by any peer that met a later start of it or got a later vote from it, and not before it reaches
//! such a peer: for one shortest election timeout after it can first speak it votes for nobody and does not campaign, so
//! that it has time to; an answer that takes longer than a heartbeat interval may come too late. What peers know of its
//! votes is lost when they restart themselves. Two nodes that have both started since they last met, and meet again in a
//! flood of forged hellos of both their names, may have to wait until it ends.

mod aead;
mod alarm;
mod channel;
mod error;
mod header;
mod hello;
mod inspect;
mod keys;
mod nonce;
mod open;
mod replay;
mod seal;
mod words;

use embassy_time::Instant;
use heapless::Vec;

use crate::{
    config::{Config, Settings, Ticks},
    rng::Rng,
    time::after,
    types::{ClusterId, Incarnation, KnownPeer, NodeId, Saved, Session, Term},
};
use alarm::PeerAlarm;
use channel::Channel;
use hello::Question;
use replay::Window;

pub use aead::KEY_SIZE;
pub use alarm::{Alarm, Retirement};
pub use error::DatagramError;
pub use header::{Header, Introduction, Kind};
pub use hello::Hello;
pub use inspect::{Ends, Envelope, Text};
pub use keys::{Key, KeyRing};
pub(crate) use open::Opened;

/// Heartbeat intervals that an answer to a hello is waited for, at least.
const ANSWER_WAIT_MIN: u16 = 8;

/// What an answer to a hello has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    /// A later start of the peer.
    Start(Incarnation),
    /// That this node must not go on.
    Retirement(Retirement),
}

/// What a node is and knows, beside its channels.
#[derive(Debug)]
pub(crate) struct Own<'a, const PEERS_MAX: usize> {
    pub(crate) config: &'a Settings,
    pub(crate) saved: &'a Saved<PEERS_MAX>,
}

impl<const PEERS_MAX: usize> Clone for Own<'_, PEERS_MAX> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<const PEERS_MAX: usize> Copy for Own<'_, PEERS_MAX> {}

impl<const PEERS_MAX: usize> Own<'_, PEERS_MAX> {
    const fn incarnation(self, session: Session) -> Incarnation {
        Incarnation { install_salt: self.saved.install_salt, boot: self.saved.boot, session }
    }

    const fn cluster_tag(self) -> [u8; 2] {
        tag_of(self.config.cluster)
    }
}

/// The channels to all peers.
#[derive(Clone, Debug)]
pub(crate) struct Channels<const PEERS_MAX: usize> {
    members: u32,
    session: Session,
    channels: Vec<Channel, PEERS_MAX, u8>,
    /// The next round of hellos.
    hello_at: Instant,
    /// How long to wait after it, heartbeat intervals.
    hello_wait: u16,
    /// The longest such wait. A later hello makes the answer to an earlier one worthless, so it lasts a shortest election
    /// timeout: no election works where answers take longer.
    answer_wait: u16,
    retirement: Option<Retirement>,
    retirement_reported: bool,
}

impl<const PEERS_MAX: usize> Channels<PEERS_MAX> {
    /// The channels of a start, which owe a hello to every peer.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn new(config: &Config<PEERS_MAX>, saved: &Saved<PEERS_MAX>, now: Instant) -> Self {
        let salt = u64::from_le_bytes(saved.install_salt);
        let mut rng = Rng::new([config.seed, salt, u64::from(saved.boot.0)]);
        let session = rng.up_to(u32::MAX - 1).saturating_add(1);
        let Settings { timing, .. } = &config.settings;
        let alone = config.peers.is_empty();
        Self {
            members: hello::members_digest(config),
            session: Session(session),
            channels: config.map_peers(|_| Channel::new(now)),
            hello_at: if alone { Instant::MAX } else { after(now, timing.heartbeat_interval) },
            hello_wait: 2,
            answer_wait: answer_wait(timing),
            retirement: saved.retired.then_some(Retirement::Earlier),
            retirement_reported: false,
        }
    }

    pub(crate) const fn incarnation(&self, own: Own<'_, PEERS_MAX>) -> Incarnation {
        own.incarnation(self.session)
    }

    /// Somebody asks who this node is. That may be an old datagram, so nothing is believed but that an answer is due.
    pub(crate) fn handle_hello(&mut self, now: Instant, own: Own<'_, PEERS_MAX>, from: usize, question: Question) {
        let (Some(peer), Some(channel)) = (own.saved.peers.get(from), self.channels.get_mut(from)) else { return };
        channel.owe_reply(&peer.incarnation, question);
        if peer.incarnation != question.asker && !channel.seeking {
            channel.seeking = true;
            self.hello_wait = 1;
            self.hello_at = self.hello_at.min(after(now, own.config.timing.heartbeat_interval));
        }
    }

    /// A peer has answered this node's own, latest hello.
    pub(crate) fn handle_hello_reply(
        &mut self,
        own: Own<'_, PEERS_MAX>,
        from: usize,
        question: Question,
        hello: &Hello,
    ) -> Shown {
        let (Some(peer), Some(channel)) = (own.saved.peers.get(from), self.channels.get_mut(from)) else {
            return Shown::Nothing;
        };
        let KnownPeer { id, incarnation: known } = *peer;
        if hello.asks {
            channel.owe_reply(&known, question);
        }
        let Question { asker, counter, .. } = question;
        if let Some(alarm) = judge_peer(&known, &asker) {
            channel.alarms.raise(alarm);
            return Shown::Nothing;
        }
        if let Some(retirement) = judge_self(own, self.session, id, hello) {
            self.retire(retirement);
            return Shown::Retirement(retirement);
        }
        channel.alarms.clear(PeerAlarm::Impostor);
        channel.alarms.clear(PeerAlarm::RolledBack);
        if hello.members == self.members {
            channel.alarms.clear(PeerAlarm::MembersDiffer);
        } else {
            channel.alarms.raise(PeerAlarm::MembersDiffer);
        }
        channel.seeking = false;
        channel.asked = 0;
        if asker == known {
            return Shown::Nothing;
        }
        channel.window = Window::of(counter);
        Shown::Start(asker)
    }

    /// Falls silent for good.
    pub(crate) const fn retire(&mut self, why: Retirement) {
        self.retirement = Some(why);
    }

    /// The peer has given this node its vote.
    pub(crate) fn note_vote(&mut self, from: usize, term: Term) {
        if let Some(channel) = self.channels.get_mut(from) {
            channel.voted = channel.voted.max(term);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, own: Own<'_, PEERS_MAX>) {
        if now < self.hello_at {
            return;
        }
        let mut seeks = false;
        for channel in &mut self.channels {
            channel.owes_hello |= channel.seeking;
            seeks |= channel.seeking;
        }
        let interval = own.config.timing.heartbeat_interval;
        let wait = interval.saturating_mul(self.hello_wait.into());
        self.hello_wait = self.hello_wait.saturating_mul(2).min(self.answer_wait);
        self.hello_at = if seeks { after(now, wait) } else { Instant::MAX };
    }

    /// Whether [`Self::poll_hello`] would yield.
    pub(crate) fn owes_something(&self) -> bool {
        self.retirement.is_none() && self.channels.iter().any(Channel::owes_something)
    }

    pub(crate) const fn next_deadline(&self) -> Instant {
        if self.retirement.is_some() { Instant::MAX } else { self.hello_at }
    }

    /// Another boot: its counters begin anew, and the peers must learn of it.
    pub(crate) fn begin_anew(&mut self, now: Instant) {
        self.session = Session(self.session.0.wrapping_add(1).max(1));
        for channel in &mut self.channels {
            channel.begin_anew();
        }
        (self.hello_at, self.hello_wait) = (now, 1);
    }

    /// As if a peer had been sent nearly as much as can be.
    #[cfg(test)]
    pub(crate) fn wear_out(&mut self) {
        for channel in &mut self.channels {
            channel.sent = u32::MAX - 1;
        }
    }

    /// Whether a counter has come to its end: only another boot has numbers left.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.retirement.is_none() && self.channels.iter().any(|channel| channel.sent == u32::MAX)
    }
}

fn answer_wait(timing: &Ticks) -> u16 {
    let timeout = timing.election_timeout_min.checked_div(timing.heartbeat_interval);
    let intervals = timeout.and_then(|intervals| u16::try_from(intervals.saturating_add(1)).ok());
    intervals.unwrap_or(u16::MAX).max(ANSWER_WAIT_MIN)
}

const fn tag_of(cluster: ClusterId) -> [u8; 2] {
    let [first, second, ..] = cluster.0;
    [first, second]
}

/// What is wrong with a start of a peer beside the one that is known.
#[cfg_attr(target_os = "none", inline(never))]
#[cfg_attr(not(target_os = "none"), inline)]
fn judge_peer(known: &Incarnation, start: &Incarnation) -> Option<PeerAlarm> {
    if known.is_known() && start.install_salt != known.install_salt {
        Some(PeerAlarm::Impostor)
    } else if start != known && start.boot <= known.boot {
        Some(PeerAlarm::RolledBack)
    } else {
        None
    }
}

/// Whether what a peer knows of this node shows that its record is not the latest.
fn judge_self<const PEERS_MAX: usize>(
    own: Own<'_, PEERS_MAX>,
    session: Session,
    by: NodeId,
    hello: &Hello,
) -> Option<Retirement> {
    let (saved, this, known) = (own.saved, own.incarnation(session), hello.known);
    let vote_lost =
        hello.voted > saved.term || hello.voted == saved.term && hello.voted > Term(0) && saved.vote != Some(by);
    if known.is_known() && known.install_salt != this.install_salt {
        Some(Retirement::IdTaken { by })
    } else if known.boot > this.boot || known.boot == this.boot && known.is_known() && known != this || vote_lost {
        Some(Retirement::RolledBack { by })
    } else {
        None
    }
}
