//! Runs in the emulator, and prints one JSON object: bytes of RAM by capacity, peak stack of the calls of authenticated
//! elections, and ticks of the timer for each datagram. With `-icount shift=0`, an instruction takes a nanosecond.

#![no_std]
#![no_main]

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::entry;
use semihosting::{println, process};
use symphony_core::{
    ClusterId, Command, Config, DATAGRAM_SIZE_MAX, Duration, Endpoint, Instant, Key, KeyRing, Member, NodeId, Saved,
    Timing,
};
use symphony_footprint::{PEERS_MAX, stack};

/// Heartbeat intervals that are counted.
const ROUNDS: u32 = 256;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("{}", info);
    process::exit(1)
}

/// What calls of one kind take.
#[derive(Default)]
struct Cost {
    ticks: u64,
    calls: u64,
}

impl core::fmt::Display for Cost {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { ticks, calls } = self;
        write!(f, "{{\"ticks\": {ticks}, \"calls\": {calls}}}")
    }
}

/// What is counted of a datagram.
enum Kind {
    Make,
    TakeIn,
    Refuse,
}

/// What the calls take. Painting the stack takes instructions, so one is measured after the other.
#[derive(Default)]
struct Meter {
    counts: bool,
    /// Most stack that a call has taken, bytes.
    peak: usize,
    made: Cost,
    taken_in: Cost,
    refused: Cost,
}

impl Meter {
    /// Measures a call, which is of the kind that it turns out to be.
    fn call<R>(&mut self, kind: impl FnOnce(&R) -> Option<Kind>, call: impl FnOnce() -> R) -> R {
        if !self.counts {
            let (bytes, result) = stack::measure(call);
            self.peak = self.peak.max(bytes);
            return result;
        }
        let start = SYST::get_current();
        let result = call();
        // It counts down, and wraps after 24 bits.
        let ticks = u64::from(start.wrapping_sub(SYST::get_current()) & 0x00ff_ffff);
        let cost = match kind(&result) {
            Some(Kind::Make) => &mut self.made,
            Some(Kind::TakeIn) => &mut self.taken_in,
            Some(Kind::Refuse) => &mut self.refused,
            None => return result,
        };
        cost.ticks += ticks;
        cost.calls += 1;
        result
    }
}

type Nodes = [Endpoint<PEERS_MAX>; 3];

/// Everything that a node has to do at this moment; its network and its disk are perfect.
fn turn(nodes: &mut Nodes, sender: usize, now: Instant, meter: &mut Meter) {
    let Some(node) = nodes.get_mut(sender) else { return };
    meter.call(|()| None, || node.handle_timeout(now));
    if let Some(saved) = meter.call(|_| None, || node.poll_persist()) {
        let mut flash = [0; Saved::<PEERS_MAX>::SIZE_MAX];
        if let Ok(bytes) = meter.call(|_| None, || saved.encode(&mut flash)) {
            let _ = meter.call(|_| None, || Saved::<PEERS_MAX>::decode(bytes));
        }
        meter.call(|()| None, || node.handle_persisted(now, &saved));
    }
    while meter.call(|_| None, || node.poll_event(now)).is_some() {}
    let mut buffer = [0; DATAGRAM_SIZE_MAX];
    loop {
        let Some(node) = nodes.get_mut(sender) else { return };
        let made = |made: &Option<_>| made.is_some().then_some(Kind::Make);
        let Some(transmit) = meter.call(made, || node.poll_transmit(now, &mut buffer)) else { return };
        let receiver = nodes.get_mut(usize::from(transmit.to.0).wrapping_sub(1));
        let (Some(receiver), Some(datagram)) = (receiver, buffer.get_mut(..transmit.len)) else { return };
        if meter.counts {
            let mut forged = [0; DATAGRAM_SIZE_MAX];
            let Some(forged) = forged.get_mut(..datagram.len()) else { return };
            forged.copy_from_slice(datagram);
            if let Some(last) = forged.last_mut() {
                *last ^= 1;
            }
            let refused = |result: &Result<_, _>| result.is_err().then_some(Kind::Refuse);
            let _ = meter.call(refused, || receiver.handle_datagram(now, forged));
        }
        let taken_in = |result: &Result<_, _>| result.is_ok().then_some(Kind::TakeIn);
        let _ = meter.call(taken_in, || receiver.handle_datagram(now, datagram));
    }
}

/// Lets the nodes run until another than `before` leads, as all of them see it.
fn elect(nodes: &mut Nodes, mut now: Instant, before: Option<NodeId>, meter: &mut Meter) -> Instant {
    while nodes.iter().any(|node| node.leader().is_none() || node.leader() == before) {
        let deadline = nodes.iter().map(|node| meter.call(|_| None, || node.next_deadline())).min();
        now = deadline.map_or(now, |deadline| now.max(deadline));
        for sender in 0..nodes.len() {
            turn(nodes, sender, now, meter);
        }
    }
    now
}

#[entry]
fn main() -> ! {
    let Some(mut peripherals) = cortex_m::Peripherals::take() else { process::exit(1) };
    peripherals.SYST.set_clock_source(SystClkSource::Core);
    peripherals.SYST.set_reload(0x00ff_ffff);
    peripherals.SYST.clear_current();
    peripherals.SYST.enable_counter();

    let mut meter = Meter::default();
    let mut now = Instant::from_secs(1);
    let nodes = [1, 2, 3].map(|id| {
        let config = meter.call(|_| None, || config(id))?;
        let record = saved(id);
        Some(meter.call(|_| None, || Endpoint::new(config, record, now)))
    });
    let [Some(first), Some(second), Some(third)] = nodes else { process::exit(1) };
    let mut nodes = [first, second, third];
    now = elect(&mut nodes, now, None, &mut meter);
    let leader = nodes.iter().find_map(Endpoint::leader);
    for node in &mut nodes {
        meter.call(|()| None, || node.set_keys(keys()));
        // Only the leader can.
        let _ = meter.call(|_| None, || node.handle_command(now, Command::Transfer(None)));
    }
    now = elect(&mut nodes, now, leader, &mut meter);

    meter.counts = true;
    for _ in 0..ROUNDS {
        now += Duration::from_millis(50);
        // Heartbeats, and the answers to them.
        for sender in (0..nodes.len()).chain(0..nodes.len()) {
            turn(&mut nodes, sender, now, &mut meter);
        }
    }

    let Meter { peak, made, taken_in, refused, .. } = &meter;
    println!(
        "{{\"ram\": [{}, {}, {}, {}, {}], \"stack_peak\": {}, \"make\": {}, \"take_in\": {}, \"refuse_forged\": {}}}",
        size::<1>(),
        size::<2>(),
        size::<4>(),
        size::<8>(),
        size::<16>(),
        peak,
        made,
        taken_in,
        refused
    );
    process::exit(0)
}

fn keys() -> KeyRing {
    KeyRing::new(Key::new(1, [7; 32]))
}

/// A configuration of three members.
fn config(id: u16) -> Option<Config<PEERS_MAX>> {
    let members = [Member::voter(1), Member::voter(2), Member::witness(3)];
    Config::new(ClusterId([9; 16]), NodeId(id), &members, Timing::LOCAL, keys(), id.into()).ok()
}

/// The record of a new node.
fn saved(id: u16) -> Saved<PEERS_MAX> {
    Saved::provision([id.to_le_bytes()[0]; 8])
}

/// A node of this capacity, as JSON.
fn size<const PEERS: usize>() -> Ram {
    Ram { peers: PEERS, endpoint: size_of::<Endpoint<PEERS>>(), record: Saved::<PEERS>::SIZE_MAX }
}

struct Ram {
    peers: usize,
    endpoint: usize,
    record: usize,
}

impl core::fmt::Display for Ram {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { peers, endpoint, record } = self;
        write!(f, "{{\"peers\": {peers}, \"endpoint\": {endpoint}, \"record\": {record}}}")
    }
}
