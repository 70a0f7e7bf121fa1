//! What every node has sealed, and who has taken it: a datagram counts for the one start that it was sealed for, once.

use std::collections::{BTreeMap, HashMap, HashSet};

use symphony_core::{ClusterId, DatagramError, Incarnation, NodeId, Session};

use crate::{
    invariant::Invariant,
    plan::Saved,
    sealed::{self, Header, Kind, TAG_SIZE},
};

/// Counters behind the highest that a receiver still tells apart.
const WINDOW: u32 = 64;

type Tag = [u8; TAG_SIZE];

/// A promise that was broken, and how.
pub type Broken = (Invariant, String);

/// A datagram as a node has sealed it.
#[derive(Clone, Debug)]
struct Sent {
    header: Header,
    sender: Incarnation,
    receiver: Incarnation,
    bytes: Vec<u8>,
}

/// A process that takes a datagram in.
#[derive(Clone, Copy, Debug)]
pub struct Taker<'a> {
    /// Its present start.
    pub own: Incarnation,
    /// Its record before it took the datagram in.
    pub before: &'a Saved,
}

/// The memory of all datagrams.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    starts: BTreeMap<NodeId, Vec<Incarnation>>,
    nonces: HashSet<[u8; 24]>,
    sent: HashMap<Tag, Sent>,
    /// Tags taken by a start, which its session tells apart.
    taken: HashSet<(Session, Tag)>,
    /// Highest counter that one start has taken of another.
    highest: HashMap<(Session, Session), u32>,
    /// Counter of the latest hello, or answer that asks, of a start to a peer.
    asked: HashMap<(Session, NodeId), u32>,
}

impl Ledger {
    /// Notes a start of a node.
    pub fn begin(&mut self, id: NodeId, start: Incarnation) {
        let starts = self.starts.entry(id).or_default();
        if !starts.contains(&start) {
            starts.push(start);
        }
    }

    /// All starts of a node.
    #[must_use]
    pub fn starts(&self, id: NodeId) -> &[Incarnation] {
        self.starts.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Opens what a node sends, and returns a message's text.
    ///
    /// # Errors
    /// It is not sealed as specified, or under a nonce that was used before.
    pub fn send(
        &mut self,
        cluster: ClusterId,
        (from, sender): (NodeId, Incarnation),
        to: NodeId,
        bytes: &[u8],
    ) -> Result<(Header, Vec<u8>), Broken> {
        let unsealed = || (Invariant::SealedAsSpecified, format!("n{} to n{}: {bytes:02x?}", from.0, to.0));
        let header = Header::read(bytes).ok_or_else(unsealed)?;
        self.begin(from, sender);
        let receivers = match header.kind {
            Kind::Hello => vec![Incarnation::default()],
            _ => self.starts(to).iter().copied().filter(|start| start.session == header.to_session).collect(),
        };
        let open = |receiver: &Incarnation| sealed::open(cluster, (from, &sender), (to, receiver), bytes);
        let opened = receivers.iter().find_map(|receiver| open(receiver).map(|text| (*receiver, text)));
        let (receiver, text) = opened.ok_or_else(unsealed)?;
        if !self.nonces.insert(sealed::nonce(&sender, from, to, header.counter)) {
            return Err((Invariant::NonceOnce, format!("n{} to n{}: {header:?} of {sender:?}", from.0, to.0)));
        }
        if header.kind == Kind::Hello || header.kind == Kind::HelloReply && text.first() == Some(&1) {
            self.asked.insert((sender.session, to), header.counter);
        }
        self.sent.insert(tag_of(bytes), Sent { header, sender, receiver, bytes: bytes.to_vec() });
        Ok((header, text))
    }

    /// Judges what a node makes of a datagram that it has got.
    ///
    /// # Errors
    /// It has taken what it should not have, or refused what it should have taken.
    pub fn take(
        &mut self,
        taker: Taker<'_>,
        bytes: &[u8],
        result: Result<(), DatagramError>,
        after: &Saved,
    ) -> Result<(), Broken> {
        let own = taker.own;
        let tag = tag_of(bytes);
        let sent = self.sent.get(&tag).filter(|sent| sent.bytes == bytes);
        let genuine = sent.filter(|sent| self.is_for(taker, sent, &tag, after));
        match (genuine, result) {
            (Some(Sent { header, sender, .. }), Ok(())) => {
                let highest = self.highest.entry((own.session, sender.session)).or_default();
                *highest = header.counter.max(*highest);
                self.taken.insert((own.session, tag));
                Ok(())
            }
            (None, Ok(())) => {
                let what = sent.map_or_else(|| format!("{bytes:02x?}"), |sent| format!("{:?}", sent.header));
                Err((Invariant::OnlyTheGenuineCounts, format!("start {} takes {what}", own.boot.0)))
            }
            (Some(sent), Err(error)) if sent.header.kind == Kind::Message && error != DatagramError::Retired => {
                let highest = self.highest.get(&(own.session, sent.sender.session)).copied().unwrap_or(0);
                let in_window = sent.header.counter.saturating_add(WINDOW) > highest;
                let refused = || (Invariant::MembersAreHeard, format!("{:?}: {error}", sent.header));
                if in_window { Err(refused()) } else { Ok(()) }
            }
            (_, Err(_)) => Ok(()),
        }
    }

    /// Whether a datagram may count for a process. A hello may come late and often, because it moves nothing; so may
    /// the answer of a start that is not believed.
    fn is_for(&self, Taker { own, before, .. }: Taker<'_>, sent: &Sent, tag: &Tag, after: &Saved) -> bool {
        let Sent { header, sender, receiver, .. } = sent;
        let known = |record: &Saved| record.peers.iter().any(|peer| peer.incarnation == *sender);
        let again = self.taken.contains(&(own.session, *tag));
        match header.kind {
            Kind::Hello => true,
            Kind::Message => *receiver == own && known(before) && !again,
            Kind::HelloReply => {
                let asked = self.asked.get(&(own.session, header.from)) == Some(&header.echo);
                *receiver == own && asked && !(again && known(after))
            }
        }
    }

    /// Judges how a record has changed while a datagram was taken in: a hello moves nothing, and a start that is taken
    /// over is a later one of the same installation, which exists.
    ///
    /// # Errors
    /// It should not have changed so.
    pub fn compare(
        &self,
        bytes: &[u8],
        result: Result<(), DatagramError>,
        before: &Saved,
        after: &Saved,
    ) -> Result<(), Broken> {
        let kind = Header::read(bytes).map(|header| header.kind);
        if (result.is_err() || kind == Some(Kind::Hello)) && before != after {
            return Err((Invariant::RefusedChangesNothing, format!("{before:?} became {after:?}")));
        }
        for (old, new) in before.peers.iter().zip(&after.peers).filter(|(old, new)| old != new) {
            let (id, old, new) = (new.id, old.incarnation, new.incarnation);
            let first = old == Incarnation::default();
            let later = first || (new.install_salt == old.install_salt && new.boot > old.boot);
            if kind != Some(Kind::HelloReply) || !later || !self.starts(id).contains(&new) {
                return Err((Invariant::LaterStartsOnly, format!("n{}: {old:?} became {new:?}", id.0)));
            }
        }
        Ok(())
    }
}

/// The tag, which tells datagrams apart; zeros where there is none.
fn tag_of(bytes: &[u8]) -> Tag {
    bytes.last_chunk().copied().unwrap_or_default()
}
