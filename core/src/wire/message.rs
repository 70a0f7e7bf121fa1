//! A message as the numbers that postcard writes: the term, the kind, and the fields in their order.

use super::{Body, Message, Stamp, Verdict};
use crate::{
    numbers::{Reader, Writer},
    types::Term,
};

/// The verdict that has a number behind it.
const HEARD_LEADER: u32 = 1;

impl Writer<'_> {
    #[cfg_attr(target_os = "none", inline(never))]
    fn put_verdict(&mut self, verdict: Verdict) {
        self.put(match verdict {
            Verdict::Granted => 0,
            Verdict::HeardLeader { .. } => HEARD_LEADER.into(),
            Verdict::StaleTerm => 2,
            Verdict::AlreadyVoted => 3,
            Verdict::NotEligible => 4,
        });
        if let Verdict::HeardLeader { ago_ms } = verdict {
            self.put(ago_ms.into());
        }
    }

    pub(super) fn put_message(&mut self, Message { term, body }: &Message) {
        self.put(term.0);
        self.put(match body {
            Body::Heartbeat { .. } => 0,
            Body::HeartbeatReply { .. } => 1,
            Body::PreVote { .. } => 2,
            Body::PreVoteReply { .. } => 3,
            Body::Vote { .. } => 4,
            Body::VoteReply { .. } => 5,
            Body::TimeoutNow { .. } => 6,
        });
        let last = match *body {
            Body::Heartbeat { sent, echo } => {
                self.put(sent.0);
                echo.0
            }
            Body::HeartbeatReply { echo, sent, promise_ms, available } => {
                self.put(echo.0);
                self.put(sent.0);
                self.put(promise_ms.into());
                available.into()
            }
            Body::PreVote { round: Stamp(only) }
            | Body::Vote { released: Term(only) }
            | Body::TimeoutNow { echo: Stamp(only) } => only,
            Body::PreVoteReply { round, verdict, sent } => {
                self.put(round.0);
                self.put_verdict(verdict);
                sent.0
            }
            Body::VoteReply { verdict, sent } => {
                self.put_verdict(verdict);
                sent.0
            }
        };
        self.put(last);
    }
}

impl Reader<'_> {
    fn take_stamp(&mut self) -> Stamp {
        Stamp(self.take())
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn take_verdict(&mut self) -> Verdict {
        match self.take_up_to(4) {
            0 => Verdict::Granted,
            HEARD_LEADER => Verdict::HeardLeader { ago_ms: self.take_u32() },
            2 => Verdict::StaleTerm,
            3 => Verdict::AlreadyVoted,
            _ => Verdict::NotEligible,
        }
    }

    pub(super) fn take_message(&mut self) -> Message {
        let term = Term(self.take());
        let body = match self.take_up_to(6) {
            0 => Body::Heartbeat { sent: self.take_stamp(), echo: self.take_stamp() },
            1 => Body::HeartbeatReply {
                echo: self.take_stamp(),
                sent: self.take_stamp(),
                promise_ms: self.take_u32(),
                available: self.take_flag(),
            },
            2 => Body::PreVote { round: self.take_stamp() },
            3 => Body::PreVoteReply { round: self.take_stamp(), verdict: self.take_verdict(), sent: self.take_stamp() },
            4 => Body::Vote { released: Term(self.take()) },
            5 => Body::VoteReply { verdict: self.take_verdict(), sent: self.take_stamp() },
            _ => Body::TimeoutNow { echo: self.take_stamp() },
        };
        Message { term, body }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Granted),
            any::<u32>().prop_map(|ago_ms| Verdict::HeardLeader { ago_ms }),
            Just(Verdict::StaleTerm),
            Just(Verdict::AlreadyVoted),
            Just(Verdict::NotEligible),
        ]
    }

    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
    }

    fn body() -> impl Strategy<Value = Body> {
        let stamp = || number().prop_map(Stamp);
        prop_oneof![
            (stamp(), stamp()).prop_map(|(sent, echo)| Body::Heartbeat { sent, echo }),
            (stamp(), stamp(), any::<u32>(), any::<bool>()).prop_map(|(echo, sent, promise_ms, available)| {
                Body::HeartbeatReply { echo, sent, promise_ms, available }
            }),
            stamp().prop_map(|round| Body::PreVote { round }),
            (stamp(), verdict(), stamp()).prop_map(|(round, verdict, sent)| Body::PreVoteReply {
                round,
                verdict,
                sent
            }),
            number().prop_map(|released| Body::Vote { released: Term(released) }),
            (verdict(), stamp()).prop_map(|(verdict, sent)| Body::VoteReply { verdict, sent }),
            stamp().prop_map(|echo| Body::TimeoutNow { echo }),
        ]
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_that_serde_derives(term in number(), body in body()) {
            let message = Message { term: Term(term), body };
            let (mut derived, mut written) = ([0; 64], [0; 64]);
            let derived = postcard::to_slice(&message, &mut derived).unwrap();
            let size = super::super::encode(&message, &mut written).unwrap();
            prop_assert_eq!(&*derived, &written[..size]);
            prop_assert_eq!(super::super::decode(derived), Some(message));
        }

        /// What postcard's derived reader takes is taken as the same message; what it refuses, but for numbers of 32
        /// bits and flags with leading zeros, is refused.
        #[test]
        fn other_bytes_mean_what_they_mean_to_serde(bytes in prop::collection::vec(prop_oneof![0..8_u8, any::<u8>()], 0..20)) {
            if let Ok((message, [])) = postcard::take_from_bytes::<Message>(&bytes) {
                prop_assert_eq!(super::super::decode(&bytes), Some(message));
            } else if let Some(message) = super::super::decode(&bytes) {
                let mut written = [0; 64];
                let size = super::super::encode(&message, &mut written).unwrap();
                prop_assert!(size < bytes.len(), "{:?} from {:?}", message, bytes);
            }
        }
    }
}
