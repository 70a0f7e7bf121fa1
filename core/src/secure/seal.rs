//! From what this node says to a datagram.

use super::{
    Channels, Key, Own, aead,
    aead::TAG_SIZE,
    channel::Channel,
    header::{HEADER_SIZE, HELLO_HEADER_SIZE, Header, Introduction, Kind},
    hello::{Hello, Question},
    nonce::Nonce,
    words,
};
use crate::{
    types::{ClusterId, Incarnation},
    wire::{self, DATAGRAM_SIZE_MAX, Message},
};

/// Associated data: the longest header, the cluster, the receiver's salt and boot.
pub(super) const ASSOCIATED_SIZE_MAX: usize = HELLO_HEADER_SIZE + 16 + 8 + 4;

impl<const PEERS_MAX: usize> Channels<PEERS_MAX> {
    /// Writes a hello or an answer to one, for the peer of the index returned.
    pub(crate) fn poll_hello(
        &mut self,
        own: Own<'_, PEERS_MAX>,
        buffer: &mut [u8; DATAGRAM_SIZE_MAX],
    ) -> Option<(usize, usize)> {
        if self.retirement.is_some() {
            return None;
        }
        let peer = self.channels.iter().position(Channel::owes_something)?;
        let channel = self.channels.get_mut(peer)?;
        let counter = channel.next_counter()?;
        let (kind, (to, echo), hello) = match channel.question.take() {
            Some(Question { asker, counter: echo, may_ask }) => {
                // A hello of its own that is under way is not forgotten: two that begin at once would cross for ever.
                let asks = may_ask && channel.seeking && channel.asked == 0;
                let known = own.saved.peers.get(peer)?.incarnation;
                let hello = Hello { asks, members: self.members, known, voted: channel.voted };
                (Kind::HelloReply, (asker, echo), hello)
            }
            None => {
                channel.owes_hello = false;
                let session = own.saved.peers.get(peer)?.incarnation.session;
                let to = (Incarnation { session, ..Incarnation::default() }, 0);
                (Kind::Hello, to, Hello { members: self.members, ..Hello::default() })
            }
        };
        if kind == Kind::Hello || hello.asks {
            channel.asked = counter;
        }
        hello.write(buffer.get_mut(HELLO_HEADER_SIZE..)?)?;
        Some((peer, self.seal_as(own, peer, (kind, counter), (&to, echo), Hello::SIZE, buffer)?))
    }

    /// Writes a message; nothing if the peer's start is not known, or the counter has come to its end.
    pub(crate) fn seal(
        &mut self,
        own: Own<'_, PEERS_MAX>,
        peer: usize,
        message: &Message,
        buffer: &mut [u8; DATAGRAM_SIZE_MAX],
    ) -> Option<usize> {
        let receiver = &own.saved.peers.get(peer)?.incarnation;
        if self.retirement.is_some() || !receiver.is_known() {
            return None;
        }
        let channel = self.channels.get_mut(peer)?;
        let counter = channel.next_counter()?;
        channel.note_sent(self.answer_wait);
        let size = wire::encode(message, buffer.get_mut(HEADER_SIZE..)?)?;
        self.seal_as(own, peer, (Kind::Message, counter), (receiver, 0), size, buffer)
    }

    /// Writes the header before a text of this size, seals it, and returns the length of the datagram.
    #[cfg_attr(target_os = "none", inline(never))]
    fn seal_as(
        &self,
        own: Own<'_, PEERS_MAX>,
        peer: usize,
        (kind, counter): (Kind, u32),
        (receiver, echo): (&Incarnation, u32),
        size: usize,
        buffer: &mut [u8; DATAGRAM_SIZE_MAX],
    ) -> Option<usize> {
        let header = Header {
            kind,
            key_id: own.config.keys.sending().id(),
            from: own.config.own.id,
            to: own.saved.peers.get(peer)?.id,
            cluster_tag: own.cluster_tag(),
            from_session: self.session,
            to_session: receiver.session,
            counter,
        };
        let (head, text) = buffer.split_at_mut_checked(header.size())?;
        header.write(head)?;
        if kind != Kind::Message {
            Introduction { install_salt: own.saved.install_salt, boot: own.saved.boot, echo }.write(head)?;
        }
        let ends = (&own.incarnation(self.session), receiver);
        seal_text(&header, own.config.keys.sending(), &own.config.cluster, ends, (head, text, size))
    }
}

/// Encrypts the text, which is `size` bytes at the beginning of `sealed`, puts the tag behind it, and returns the length
/// of the whole.
pub(super) fn seal_text(
    header: &Header,
    key: &Key,
    cluster: &ClusterId,
    (sender, receiver): (&Incarnation, &Incarnation),
    (head, sealed, size): (&[u8], &mut [u8], usize),
) -> Option<usize> {
    let nonce = Nonce::new(sender, header.from, header.to, header.counter);
    let mut associated = [0; ASSOCIATED_SIZE_MAX];
    let associated = associate(&mut associated, head, cluster, receiver)?;
    let (text, rest) = sealed.split_at_mut_checked(size)?;
    *rest.first_chunk_mut()? = aead::seal(key.secret(), &nonce, associated, text)?;
    Some(head.len().saturating_add(size).saturating_add(TAG_SIZE))
}

/// What the seal covers beside the text.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn associate<'a>(
    buffer: &'a mut [u8; ASSOCIATED_SIZE_MAX],
    head: &[u8],
    cluster: &ClusterId,
    receiver: &Incarnation,
) -> Option<&'a [u8]> {
    let (first, rest) = buffer.split_at_mut_checked(head.len())?;
    first.copy_from_slice(head);
    let (of_cluster, of_receiver) = rest.split_first_chunk_mut()?;
    *of_cluster = cluster.0;
    words::write(of_receiver, words::of_start(receiver.install_salt, receiver.boot))?;
    buffer.get(..head.len().saturating_add(ASSOCIATED_SIZE_MAX - HELLO_HEADER_SIZE))
}
