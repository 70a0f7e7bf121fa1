//! From a datagram to what a member said.

use embassy_time::Instant;

use super::{
    Channels, DatagramError, Key, Own, aead,
    aead::TAG_SIZE,
    channel::Channel,
    header::{Header, Introduction, Kind},
    hello::Question,
    judge_peer,
    nonce::Nonce,
    seal::{ASSOCIATED_SIZE_MAX, associate},
};
use crate::{
    types::{ClusterId, Incarnation, Session},
    wire::DATAGRAM_SIZE_MAX,
};

/// An authentic datagram.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    /// Index of the sender.
    pub(crate) from: usize,
    pub(crate) kind: Kind,
    /// Start of the sender, and the datagram's number.
    pub(crate) question: Question,
    pub(crate) text: &'a [u8],
}

impl<const PEERS_MAX: usize> Channels<PEERS_MAX> {
    /// Checks and decrypts a datagram in place. Nothing is changed by one whose tag is wrong but the budget for hellos.
    pub(crate) fn open<'a>(
        &mut self,
        now: Instant,
        own: Own<'_, PEERS_MAX>,
        datagram: &'a mut [u8],
    ) -> Result<Opened<'a>, DatagramError> {
        if self.retirement.is_some() {
            return Err(DatagramError::Retired);
        }
        if datagram.len() > DATAGRAM_SIZE_MAX {
            return Err(DatagramError::Malformed);
        }
        let header = Header::read(datagram)?;
        let (from, known) = self.check_addresses(&header, own)?;
        let introduction = match header.kind {
            Kind::Message => None,
            Kind::Hello | Kind::HelloReply => Some(Introduction::read(datagram).ok_or(DatagramError::Malformed)?),
        };
        let sender = introduction.map_or(known, |introduction| introduction.incarnation(header.from_session));
        let channel = self.channels.get_mut(from).ok_or(DatagramError::Sender)?;
        check_session(&header, introduction, self.session, known, channel)?;
        if sender == known && !channel.window.is_new(header.counter) {
            return Err(DatagramError::Replayed);
        }
        let key = own.config.keys.find(header.key_id).ok_or(DatagramError::Key)?;
        if header.to_session != self.session {
            // It is a hello.
            channel.strangers.pay(now)?;
        } else if judge_peer(&known, &sender).is_some() {
            channel.unbelieved.pay(now)?;
        }
        let receiver = match header.kind {
            Kind::Hello => Incarnation::default(),
            Kind::Message | Kind::HelloReply => own.incarnation(self.session),
        };
        let text = unseal(&header, key, &own.config.cluster, (&sender, &receiver), datagram)?;
        if sender == known {
            channel.window.note(header.counter);
            channel.unheard = 0;
        }
        let question = Question { asker: sender, counter: header.counter, may_ask: header.kind == Kind::Hello };
        Ok(Opened { from, kind: header.kind, question, text })
    }

    fn check_addresses(&self, header: &Header, own: Own<'_, PEERS_MAX>) -> Result<(usize, Incarnation), DatagramError> {
        if header.cluster_tag != own.cluster_tag() {
            return Err(DatagramError::Cluster);
        }
        if header.to != own.config.own.id {
            return Err(DatagramError::Receiver);
        }
        let known = own.saved.peers.iter().enumerate().find(|(_, known)| known.id == header.from);
        known.map(|(index, known)| (index, known.incarnation)).ok_or(DatagramError::Sender)
    }
}

/// Decrypts what follows the header, in place, and returns the text.
pub(super) fn unseal<'a>(
    header: &Header,
    key: &Key,
    cluster: &ClusterId,
    (sender, receiver): (&Incarnation, &Incarnation),
    datagram: &'a mut [u8],
) -> Result<&'a [u8], DatagramError> {
    let nonce = Nonce::new(sender, header.from, header.to, header.counter);
    let (head, sealed) = datagram.split_at_mut_checked(header.size()).ok_or(DatagramError::Malformed)?;
    let mut associated = [0; ASSOCIATED_SIZE_MAX];
    let associated = associate(&mut associated, head, cluster, receiver).ok_or(DatagramError::Malformed)?;
    let (text, tag) = sealed.split_last_chunk_mut::<TAG_SIZE>().ok_or(DatagramError::Malformed)?;
    if aead::open(key.secret(), &nonce, associated, text, tag) { Ok(text) } else { Err(DatagramError::Forged) }
}

/// Whether a datagram is between the current starts of both nodes, or a hello that looks for them.
#[cfg_attr(not(target_os = "none"), inline)]
fn check_session(
    header: &Header,
    introduction: Option<Introduction>,
    own: Session,
    known: Incarnation,
    channel: &Channel,
) -> Result<(), DatagramError> {
    let echo = introduction.map_or(0, |introduction| introduction.echo);
    let current = match header.kind {
        Kind::Message => header.to_session == own && header.from_session == known.session,
        Kind::Hello => echo == 0,
        Kind::HelloReply => header.to_session == own && echo == channel.asked && echo != 0,
    };
    if current && header.from_session != Session(0) { Ok(()) } else { Err(DatagramError::Session) }
}
