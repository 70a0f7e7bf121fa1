//! A cold election in memory, the same for every library: the first node's timer ends, every message is delivered once
//! and in the order of sending, and a node's answers are taken from it after each message. Records count as saved at once.

use std::collections::VecDeque;

use super::measure::{Case, Took};

/// Messages under way: sender, receiver, message.
pub type Wire<M> = VecDeque<(usize, usize, M)>;

/// One node of a cluster in memory; the nodes are numbered from 0.
pub trait Node {
    type Message;

    /// Ends the wait for a leader.
    fn time_out(&mut self, wire: &mut Wire<Self::Message>);
    /// Takes a message in, and puts the answers on the wire.
    fn receive(&mut self, from: usize, message: Self::Message, wire: &mut Wire<Self::Message>);
    fn leads(&self) -> bool;
    fn knows_a_leader(&self) -> bool;
    /// The message's bytes on a wire.
    fn bytes(message: &Self::Message) -> usize;
}

/// What an election takes.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Toll {
    /// Messages delivered until one node leads.
    pub until_one_leads: usize,
    /// Messages delivered until every node knows who leads.
    pub until_all_know: usize,
    /// Messages until none is under way any more.
    pub until_quiet: usize,
    /// Bytes of the messages until every node knows who leads.
    pub bytes_until_all_know: usize,
    /// Bytes until none is under way any more.
    pub bytes_until_quiet: usize,
}

/// Elects a leader and waits until all know it.
pub fn elect<N: Node>(nodes: &mut [N], wire: &mut Wire<N::Message>) {
    let mut ignorant = nodes.len();
    nodes[0].time_out(wire);
    while let Some((from, to, message)) = wire.pop_front() {
        let node = &mut nodes[to];
        let knew = node.knows_a_leader();
        node.receive(from, message, wire);
        if !knew && node.knows_a_leader() {
            ignorant -= 1;
            if ignorant == 0 {
                break;
            }
        }
    }
    assert_eq!(ignorant, 0, "everybody knows the leader");
    wire.clear();
}

/// Counts what an election takes.
pub fn toll<N: Node>(mut nodes: Vec<N>) -> Toll {
    let mut wire = Wire::new();
    let mut toll = Toll::default();
    nodes[0].time_out(&mut wire);
    while let Some((from, to, message)) = wire.pop_front() {
        toll.until_quiet += 1;
        toll.bytes_until_quiet += N::bytes(&message);
        nodes[to].receive(from, message, &mut wire);
        if toll.until_one_leads == 0 && nodes[0].leads() {
            toll.until_one_leads = toll.until_quiet;
        }
        if toll.until_all_know == 0 && nodes.iter().all(N::knows_a_leader) {
            toll.until_all_know = toll.until_quiet;
            toll.bytes_until_all_know = toll.bytes_until_quiet;
        }
    }
    toll
}

/// The election as something to measure; making the nodes is not part of it.
pub fn case<N: Node + 'static>(library: &'static str, make: impl Fn() -> Vec<N> + 'static) -> Case
where
    N::Message: 'static,
{
    let mut wire = Wire::with_capacity(1 << 14);
    let run = move |times: u32| {
        let mut took = Took::default();
        let mut left = times;
        while left > 0 {
            let batch = left.min(32);
            let mut clusters: Vec<Vec<N>> = (0..batch).map(|_| make()).collect();
            took += Took::by(|| clusters.iter_mut().for_each(|nodes| elect(nodes, &mut wire)));
            left -= batch;
        }
        took
    };
    Case { library, what: "election", run: Box::new(run) }
}
