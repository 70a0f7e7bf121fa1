//! The record as the numbers that postcard writes of it.

use heapless::Vec;

use super::{Boot, Incarnation, KnownPeer, NodeId, Saved, Session, Term};
use crate::numbers::{Reader, Writer};

impl<const PEERS_MAX: usize> Saved<PEERS_MAX> {
    /// Largest encoding, bytes. There are fewer than 128 peers.
    pub const SIZE_MAX: usize = 8 + 5 + 10 + 4 + 1 + 1 + PEERS_MAX * (3 + 8 + 5 + 5);

    /// Encodes the record into `buffer` and returns the part used.
    ///
    /// # Errors
    /// The buffer is too small; [`Self::SIZE_MAX`] bytes never are.
    pub fn encode<'a>(&self, buffer: &'a mut [u8]) -> Result<&'a mut [u8], postcard::Error> {
        let Self { install_salt, boot, term, vote, retired, peers } = self;
        let mut writer = Writer::new(buffer);
        writer.put_bytes(install_salt);
        writer.put(boot.0.into());
        writer.put(term.0);
        writer.put(vote.is_some().into());
        if let Some(vote) = vote {
            writer.put(vote.0.into());
        }
        writer.put((*retired).into());
        writer.put(peers.len() as u64);
        for KnownPeer { id, incarnation: Incarnation { install_salt, boot, session } } in peers {
            writer.put(id.0.into());
            writer.put_bytes(install_salt);
            writer.put(boot.0.into());
            writer.put(session.0.into());
        }
        writer.finish().ok_or(postcard::Error::SerializeBufferFull)
    }

    /// Decodes a record, the whole of `bytes`.
    ///
    /// # Errors
    /// The bytes are not a record, or one with more peers.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let mut reader = Reader::new(bytes);
        let mut saved = Self {
            install_salt: reader.take_bytes(),
            boot: Boot(reader.take_u32()),
            term: Term(reader.take()),
            vote: reader.take_flag().then(|| reader.take_id()),
            retired: reader.take_flag(),
            peers: Vec::new(),
        };
        for _ in 0..reader.take_up_to(PEERS_MAX as u32) {
            let id = reader.take_id();
            let install_salt = reader.take_bytes();
            let (boot, session) = (Boot(reader.take_u32()), Session(reader.take_u32()));
            let _ = saved.peers.push(KnownPeer { id, incarnation: Incarnation { install_salt, boot, session } });
        }
        if reader.ends_well() { Ok(saved) } else { Err(postcard::Error::DeserializeBadEncoding) }
    }
}

impl Reader<'_> {
    fn take_id(&mut self) -> NodeId {
        NodeId(self.take_up_to(u16::MAX.into()) as u16)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Record = Saved<3>;

    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
    }

    fn id() -> impl Strategy<Value = NodeId> {
        number().prop_map(|number| NodeId(number as u16))
    }

    fn start() -> impl Strategy<Value = Incarnation> {
        (any::<[u8; 8]>(), number(), number()).prop_map(|(install_salt, boot, session)| Incarnation {
            install_salt,
            boot: Boot(boot as u32),
            session: Session(session as u32),
        })
    }

    fn record() -> impl Strategy<Value = Record> {
        let peer = (id(), start()).prop_map(|(id, incarnation)| KnownPeer { id, incarnation });
        let peers = prop::collection::vec(peer, 0..=3).prop_map(|peers| peers.into_iter().collect());
        (start(), number(), prop::option::of(id()), any::<bool>(), peers).prop_map(
            |(own, term, vote, retired, peers)| Record {
                install_salt: own.install_salt,
                boot: own.boot,
                term: Term(term),
                vote,
                retired,
                peers,
            },
        )
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_that_serde_derives(record in record()) {
            let (mut derived, mut written) = ([0; Record::SIZE_MAX], [0; Record::SIZE_MAX]);
            let derived = postcard::to_slice(&record, &mut derived).unwrap();
            let written = record.encode(&mut written).unwrap();
            prop_assert_eq!(&*derived, &*written);
            prop_assert_eq!(Record::decode(derived), Ok(record));
        }

        #[test]
        fn a_part_of_a_record_is_none(record in record(), cut in any::<prop::sample::Index>()) {
            let mut buffer = [0; Record::SIZE_MAX];
            let bytes = record.encode(&mut buffer).unwrap();
            let cut = cut.index(bytes.len());
            prop_assert!(Record::decode(&bytes[..cut]).is_err());
            prop_assert!(record.encode(&mut [0; Record::SIZE_MAX][..cut]).is_err());
        }

        /// As for messages: what is taken beyond what serde takes is numbers and flags with leading zeros.
        #[test]
        fn other_bytes_mean_what_they_mean_to_serde(
            record in record(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![0..8_u8, any::<u8>()]), 1..4),
        ) {
            let mut buffer = [0; Record::SIZE_MAX];
            let bytes = record.encode(&mut buffer).unwrap();
            for (at, byte) in changes {
                bytes[at.index(bytes.len())] = byte;
            }
            if let Ok((record, [])) = postcard::take_from_bytes::<Record>(bytes) {
                prop_assert_eq!(Record::decode(bytes), Ok(record));
            } else if let Ok(record) = Record::decode(bytes) {
                let mut written = [0; Record::SIZE_MAX];
                prop_assert!(record.encode(&mut written).unwrap().len() < bytes.len(), "{:?} from {:?}", record, bytes);
            }
        }
    }
}
