//! What is in a datagram, for people who look at a capture. An [`crate::Endpoint`] needs none of it.

use super::{
    DatagramError, Hello, KeyRing,
    header::{Header, Introduction, Kind},
    open::unseal,
};
use crate::{
    types::{ClusterId, Incarnation},
    wire::{self, Message},
};

/// The part of a datagram that anybody can read. Nothing in it is proven before the rest has been opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Of every datagram.
    pub header: Header,
    /// Of a hello and its answer.
    pub introduction: Option<Introduction>,
}

/// Between which starts of which nodes a datagram went. Sessions do not matter: the header has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The sender; a hello and its answer tell it themselves.
    pub sender: Incarnation,
    /// The receiver; a hello knows none.
    pub receiver: Incarnation,
}

/// What was sealed in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Of a message.
    Message(Message),
    /// Of a hello and its answer.
    Hello(Hello),
}

impl Envelope {
    /// Reads the header.
    ///
    /// # Errors
    /// [`DatagramError::Version`], [`DatagramError::Malformed`].
    pub fn read(datagram: &[u8]) -> Result<Self, DatagramError> {
        let header = Header::read(datagram)?;
        let introduction = match header.kind {
            Kind::Message => None,
            Kind::Hello | Kind::HelloReply => Some(Introduction::read(datagram).ok_or(DatagramError::Malformed)?),
        };
        Ok(Self { header, introduction })
    }

    /// Decrypts the datagram that begins with this header, in place, and reads its text. Neither whether it is new nor
    /// whether its ends are members is looked at.
    ///
    /// # Errors
    /// [`DatagramError::Key`]; [`DatagramError::Cluster`]; [`DatagramError::Forged`]: also if it went between other
    /// ends; [`DatagramError::Malformed`].
    pub fn open(
        &self,
        datagram: &mut [u8],
        keys: &KeyRing,
        cluster: ClusterId,
        ends: &Ends,
    ) -> Result<Text, DatagramError> {
        if self.header.cluster_tag != super::tag_of(cluster) {
            return Err(DatagramError::Cluster);
        }
        let key = keys.find(self.header.key_id).ok_or(DatagramError::Key)?;
        let ends = self.ends(ends);
        let text = unseal(&self.header, key, &cluster, (&ends.sender, &ends.receiver), datagram)?;
        match self.header.kind {
            Kind::Message => wire::decode(text).map(Text::Message),
            Kind::Hello | Kind::HelloReply => Hello::read(text).map(Text::Hello),
        }
        .ok_or(DatagramError::Malformed)
    }

    /// Writes the datagram with this header, and returns its length: for test vectors. A counter that was used before
    /// gives the text away.
    #[cfg(feature = "messages")]
    pub fn seal(
        &self,
        keys: &KeyRing,
        cluster: ClusterId,
        ends: &Ends,
        text: &Text,
        buffer: &mut [u8; wire::DATAGRAM_SIZE_MAX],
    ) -> Option<usize> {
        let (head, sealed) = buffer.split_at_mut_checked(self.header.size())?;
        self.header.write(head)?;
        if let Some(introduction) = &self.introduction {
            introduction.write(head)?;
        }
        let size = match text {
            Text::Message(message) => wire::encode(message, sealed)?,
            Text::Hello(hello) => hello.write(sealed).map(|()| Hello::SIZE)?,
        };
        let ends = self.ends(ends);
        super::seal::seal_text(
            &self.header,
            keys.sending(),
            &cluster,
            (&ends.sender, &ends.receiver),
            (head, sealed, size),
        )
    }

    /// With what the header tells of them.
    fn ends(&self, ends: &Ends) -> Ends {
        let session = self.header.from_session;
        let sender = match &self.introduction {
            Some(introduction) => introduction.incarnation(session),
            None => Incarnation { session, ..ends.sender },
        };
        let receiver = if self.header.kind == Kind::Hello { Incarnation::default() } else { ends.receiver };
        Ends { sender, receiver }
    }
}
