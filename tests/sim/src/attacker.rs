//! Somebody on every path, without the key: sees, keeps, repeats, changes, reflects, swallows and injects datagrams.

use std::collections::VecDeque;

use symphony_core::{Incarnation, NodeId};

use crate::{
    ledger::Ledger,
    network::{Datagram, damage},
    rng::Rng,
    sealed::{HEADER_SIZE, HELLO_HEADER_SIZE, Header, Kind, Speaker},
};

/// Datagrams that an attacker keeps to use them again.
const KEPT_MAX: usize = 512;

/// Datagrams that an attacker injects in one longest election timeout, for each node of the cluster: a flood for the
/// simulator, not for a network. [`super::attacks`] has floods that are.
const INJECTED_MAX: u64 = 100;

/// What an attacker does with a datagram that passes, or one that passed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// Makes one up behind a header that is right.
    Forge,
    /// Turns bits of it.
    Damage,
    /// Sends it once more, soon or late.
    Replay,
    /// Sends it back, as it is or with the addresses exchanged.
    Reflect,
    /// Sends it to somebody else, as it is or with the address changed.
    Redirect,
    /// Gives it a counter far ahead.
    RaiseCounter,
    /// Gives it the sessions, or the header, of another.
    Splice,
    /// Repeats and makes up hellos, many at once.
    FloodWithHellos,
    /// Has it sealed under the same key by a member of another cluster.
    Foreign,
    /// Swallows it in bad times, and lets it go later, one by one.
    HoldAndDrip,
    /// Swallows all hellos, or all answers, or all messages, in bad times.
    Censor,
}

impl Trick {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Forge,
        Self::Damage,
        Self::Replay,
        Self::Reflect,
        Self::Redirect,
        Self::RaiseCounter,
        Self::Splice,
        Self::FloodWithHellos,
        Self::Foreign,
        Self::HoldAndDrip,
        Self::Censor,
    ];
}

/// Somebody on every path.
#[derive(Clone, Debug)]
pub struct Attacker {
    rng: Rng,
    tricks: Vec<Trick>,
    kept: Vec<Datagram>,
    held: VecDeque<Datagram>,
    censored: Kind,
    timeout_us: u64,
    since_us: u64,
    injected: u64,
}

impl Attacker {
    /// An attacker that does all of `tricks`, as chance has it.
    #[must_use]
    pub fn new(seed: u64, tricks: &[Trick], timeout_us: u64) -> Self {
        let mut rng = Rng::new(seed, 5);
        Self {
            tricks: tricks.to_vec(),
            kept: Vec::new(),
            held: VecDeque::new(),
            censored: rng.pick(&[Kind::Message, Kind::Hello, Kind::HelloReply]),
            rng,
            timeout_us,
            since_us: 0,
            injected: 0,
        }
    }

    /// What it keeps, of all that it has seen: all, as long as there is room.
    #[must_use]
    pub fn kept(&self) -> &[Datagram] {
        &self.kept
    }

    /// Lets a datagram pass or not, which is the answer, and puts others on their way. In good times all pass.
    pub fn see(
        &mut self,
        now_us: u64,
        bad_times: bool,
        (size, ledger): (usize, &Ledger),
        datagram: &Datagram,
        arrivals: &mut Vec<(u64, Datagram)>,
    ) -> bool {
        let place = self.rng.index(KEPT_MAX);
        if self.kept.len() < KEPT_MAX {
            self.kept.push(datagram.clone());
        } else {
            // What it keeps is of all ages.
            self.kept[place] = datagram.clone();
        }
        if now_us > self.since_us + self.timeout_us {
            (self.since_us, self.injected) = (now_us, 0);
        }
        let moves = if self.tricks.is_empty() { 0 } else { self.rng.below(4) };
        for _ in 0..moves {
            let trick = self.rng.pick(&self.tricks);
            let count = if trick == Trick::FloodWithHellos { 8 } else { 1 };
            for _ in 0..count {
                if self.injected >= INJECTED_MAX * size as u64 {
                    break;
                }
                if let Some(injected) = self.make(trick, datagram, size, ledger) {
                    self.injected += 1;
                    let longest_us = self.timeout_us / self.rng.pick(&[2, 20, 200]);
                    let delay_us = self.rng.below(longest_us);
                    arrivals.push((now_us + delay_us, Datagram { injected: true, ..injected }));
                }
            }
        }
        let is_censored = Header::read(&datagram.bytes).is_some_and(|header| header.kind == self.censored);
        let swallows = self.tricks.contains(&Trick::HoldAndDrip) && self.rng.percent(10);
        if bad_times && swallows && self.held.len() < KEPT_MAX {
            self.held.push_back(datagram.clone());
            return false;
        }
        !(bad_times && is_censored && self.tricks.contains(&Trick::Censor))
    }

    fn make(&mut self, trick: Trick, seen: &Datagram, size: usize, ledger: &Ledger) -> Option<Datagram> {
        let rng = &mut self.rng;
        let mut datagram = if rng.percent(50) { seen.clone() } else { self.kept[rng.index(self.kept.len())].clone() };
        let node = rng.index(size);
        let bytes = &mut datagram.bytes;
        match trick {
            Trick::Forge => {
                let head = if Header::read(bytes)?.kind == Kind::Message { HEADER_SIZE } else { HELLO_HEADER_SIZE };
                bytes[head..].iter_mut().for_each(|byte| *byte = rng.bits() as u8);
                if rng.percent(50) {
                    bytes.truncate(rng.index(bytes.len() + 1));
                }
            }
            Trick::Damage => damage(rng, bytes),
            Trick::Replay => {}
            Trick::Reflect => {
                (datagram.from, datagram.to) = (datagram.to, datagram.from);
                if rng.percent(50) {
                    exchange(bytes, 2, 4, 2);
                    if rng.percent(50) {
                        exchange(bytes, 8, 12, 4);
                    }
                }
            }
            Trick::Redirect => {
                datagram.to = node;
                if rng.percent(50) {
                    bytes[4..6].copy_from_slice(&u16::try_from(node + 1).ok()?.to_le_bytes());
                }
            }
            Trick::RaiseCounter => {
                let counter = rng.pick(&[u32::MAX, 1 << 31, 10_000]);
                bytes[16..20].copy_from_slice(&counter.to_le_bytes());
            }
            Trick::Splice => {
                let other = &self.kept[rng.index(self.kept.len())].bytes;
                let (start, end) = rng.pick(&[(8, 12), (12, 16), (16, 20), (0, HEADER_SIZE)]);
                bytes[start..end].copy_from_slice(&other[start..end]);
            }
            Trick::FloodWithHellos => {
                let hello = self.kept.iter().find(|kept| {
                    kept.to == datagram.to && Header::read(&kept.bytes).is_some_and(|header| header.kind == Kind::Hello)
                });
                datagram = hello?.clone();
                if rng.percent(70) {
                    let at = rng.range(8, 35) as usize;
                    datagram.bytes[at] ^= rng.bits() as u8;
                }
            }
            Trick::Foreign => {
                let header = Header::read(bytes)?;
                let latest = |id: NodeId| ledger.starts(id).last().copied();
                let sender = latest(header.from)?;
                let receiver = if header.kind == Kind::Hello { Incarnation::default() } else { latest(header.to)? };
                *bytes = foreign(header, sender, receiver, rng);
            }
            Trick::HoldAndDrip => datagram = self.held.pop_front()?,
            Trick::Censor => return None,
        }
        Some(datagram)
    }
}

/// Exchanges two fields.
fn exchange(bytes: &mut [u8], first: usize, second: usize, size: usize) {
    for at in 0..size {
        bytes.swap(first + at, second + at);
    }
}

/// What a member of a cluster would send whose key, members and even starts are the same, and whose id begins alike.
fn foreign(header: Header, sender: Incarnation, receiver: Incarnation, rng: &mut Rng) -> Vec<u8> {
    let mut cluster = super::sealed::CLUSTER;
    cluster.0[15] ^= 1;
    let mut speaker = Speaker { cluster, counter: header.counter, ..Speaker::new(header.from, sender) };
    let size = if header.kind == Kind::Message { 4 } else { 29 };
    let text: Vec<u8> = (0..size).map(|_| rng.below(3) as u8).collect();
    speaker.seal(header.kind, header.to, &receiver, header.echo, &text)
}
