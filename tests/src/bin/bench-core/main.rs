//! What the core costs: time, allocations, messages, bytes and memory, and beside it, in the same run, two other Raft
//! crates under the feature `peers`.
//!
//! ```text
//! cargo run --release -p symphony-tests --features peers --bin bench-core -- --json
//! ```
//!
//! - `heartbeat`: a follower takes its leader's message in and gives the answer out, both as types.
//! - `heartbeat_bytes`: the same from sealed datagram to sealed datagram, and `heartbeat_cycle` with all that a host does
//!   after one. `heartbeat_cipher`: the cipher's library opens and seals the same bytes, and nothing else happens.
//! - `reply_cycle`: a leader with a lease takes an answer's datagram in, with all that a host does after it.
//! - `tick`, `tick_bytes`: a leader's timer ends, and a heartbeat to each peer comes out, as types or as datagrams.
//! - `refuse_*`: a spoofed datagram, of another session, of a stranger, with an old counter, of another cluster, under an
//!   unknown key, or a hello more than is opened.
//! - `election`: a cold cluster in memory until every node knows who leads; see the module `cluster`.
//!
//! All libraries run with pre-vote, and raft-rs with check-quorum, as this core always does. The cases take turns, and
//! the figures are medians over many short rounds with the quickest beside them; on a busy machine compare those.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a bench, not a library")]

mod allocator;
mod cluster;
mod measure;
#[cfg(feature = "peers")]
mod raft_io;
#[cfg(feature = "peers")]
mod raft_rs;
mod report;
mod symphony;

use std::time::Duration;

use clap::Parser;

use measure::{Case, measure};
use report::{Figure, Report, Sized};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Measures what the core costs, and with the feature `peers` two other Raft crates beside it.
#[derive(Parser)]
struct Arguments {
    /// One JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Rounds, of which the median is taken.
    #[arg(long, default_value_t = 41)]
    rounds: usize,
    /// How long each case runs in each round, milliseconds.
    #[arg(long, default_value_t = 4)]
    batch_ms: u64,
    /// Sizes of the cluster; any of 3, 5, 9, 31 and 63.
    #[arg(long, value_delimiter = ',', default_value = "3,5,9,31,63")]
    members: Vec<usize>,
    /// Runs this case of this core alone, so many times, without measuring: for instruction counters.
    #[arg(long)]
    only: Option<String>,
}

/// Bytes of one kind of message.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Wired {
    pub kind: &'static str,
    /// With sender and receiver, without what protects it.
    pub message_bytes: usize,
    /// As it leaves the socket, where the library goes that far.
    pub datagram_bytes: Option<usize>,
}

/// What a node takes, at rest.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Memory {
    /// The node's own size, bytes.
    pub size: usize,
    /// What it has allocated, bytes.
    pub heap: usize,
    /// Allocations that made it.
    pub allocations: u64,
}

impl Memory {
    fn of<T>(make: impl Fn() -> T) -> Self {
        let (bytes, allocations) = (allocator::bytes_live(), allocator::allocations());
        let node = make();
        let heap = usize::try_from(allocator::bytes_live() - bytes).unwrap_or(0);
        let allocations = allocator::allocations() - allocations;
        drop(node);
        Self { size: size_of::<T>(), heap, allocations }
    }
}

/// Calls a function with the number of peers as a constant.
macro_rules! of_size {
    ($members:expr, $($function:ident)::+) => {
        match $members {
            3 => $($function)::+::<2>(),
            5 => $($function)::+::<4>(),
            9 => $($function)::+::<8>(),
            31 => $($function)::+::<30>(),
            _ => $($function)::+::<62>(),
        }
    };
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(what) = &arguments.only {
        let mut cases = of_size!(arguments.members[0], symphony::cases);
        let case = cases.iter_mut().find(|case| case.what == what).expect("a case");
        (case.run)(10_000);
        return;
    }
    let mut report = Report { wire: vec![(symphony::NAME, symphony::wire())], ..Report::default() };
    #[cfg(feature = "peers")]
    report.wire.extend([(raft_io::NAME, raft_io::wire()), (raft_rs::NAME, raft_rs::wire())]);
    for members in &arguments.members {
        report.sizes.push(one_size(*members, &arguments));
    }
    report.print(arguments.json);
}

fn one_size(members: usize, arguments: &Arguments) -> Sized {
    let mut cases: Vec<Case> = of_size!(members, symphony::cases);
    #[cfg(feature = "peers")]
    cases.extend(raft_io::cases(members).into_iter().chain(raft_rs::cases(members)));
    let costs = measure(&mut cases, arguments.rounds, Duration::from_millis(arguments.batch_ms));
    let figures = cases.iter().zip(costs).map(|(case, cost)| Figure { library: case.library, what: case.what, cost });
    let mut sized = Sized { members, figures: figures.collect(), ..Sized::default() };
    sized.memory.push((symphony::NAME, of_size!(members, memory_of_core)));
    sized.memory.push((symphony::ELECTION, of_size!(members, memory_of_election)));
    sized.introductions = Some(of_size!(members, symphony::introductions));
    sized.tolls.push((symphony::NAME, of_size!(members, toll_of_core)));
    #[cfg(feature = "peers")]
    {
        sized.memory.push((raft_io::NAME, raft_io::memory(members)));
        sized.memory.push((raft_rs::NAME, raft_rs::memory(members)));
        sized.tolls.push((raft_io::NAME, cluster::toll(raft_io::cluster(members))));
        sized.tolls.push((raft_rs::NAME, cluster::toll(raft_rs::cluster(members))));
    }
    sized
}

fn memory_of_core<const PEERS: usize>() -> Memory {
    symphony::memory::<PEERS>()
}

fn memory_of_election<const PEERS: usize>() -> Memory {
    symphony::typed::memory::<PEERS>()
}

fn toll_of_core<const PEERS: usize>() -> cluster::Toll {
    cluster::toll(symphony::typed::cluster::<PEERS>())
}
