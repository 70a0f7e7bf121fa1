//! Tables for people, JSON for programs.

use super::{
    Memory, Wired,
    cluster::Toll,
    measure::Cost,
    symphony::{self, Introductions},
};

/// All that was measured.
#[derive(Default, serde::Serialize)]
pub struct Report {
    pub sizes: Vec<Sized>,
    pub wire: Vec<(&'static str, Vec<Wired>)>,
}

/// What was measured with one size of cluster.
#[derive(Default, serde::Serialize)]
pub struct Sized {
    pub members: usize,
    pub figures: Vec<Figure>,
    pub memory: Vec<(&'static str, Memory)>,
    pub tolls: Vec<(&'static str, Toll)>,
    pub introductions: Option<Introductions>,
}

/// The cost of one thing in one library.
#[derive(serde::Serialize)]
pub struct Figure {
    pub library: &'static str,
    pub what: &'static str,
    #[serde(flatten)]
    pub cost: Cost,
}

impl Report {
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).unwrap());
            return;
        }
        for sized in &self.sizes {
            sized.print();
        }
        println!("\nbytes of a message with sender and receiver (and of the datagram)");
        for (library, kinds) in &self.wire {
            print!("  {library:<9}");
            for Wired { kind, message_bytes, datagram_bytes } in kinds {
                let datagram = datagram_bytes.map(|bytes| format!(" ({bytes})")).unwrap_or_default();
                print!("  {kind} {message_bytes}{datagram}");
            }
            println!();
        }
    }
}

/// Members of the cluster for which a node's size has a target.
const NODE_SIZE_MEMBERS: usize = 5;

/// The target, bytes.
const NODE_SIZE_MAX: usize = 512;

impl Sized {
    /// The size of a node against its target, and what stands in the way.
    fn print_node_size(&self) {
        let size = |name| self.memory.iter().find(|(library, _)| *library == name).map_or(0, |(_, memory)| memory.size);
        let (endpoint, election) = (size(symphony::NAME), size(symphony::ELECTION));
        let (channels, verdict) = (endpoint - election, if endpoint <= NODE_SIZE_MAX { "met" } else { "missed" });
        println!("  target for a node with 4 peers: {NODE_SIZE_MAX} bytes, {verdict} by {endpoint} here, on 64 bits;");
        println!(
            "  the election takes {election}, keys, sessions and replay windows {channels}; a record of 4 peers' starts,"
        );
        println!(
            "  without which a copied disk would not be found out, {}",
            self.introductions.map_or(0, |met| met.saved_size)
        );
    }

    /// The quickest round of a case of this core.
    fn least(&self, what: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.what == what).map(|figure| figure.cost.ns_min)
    }

    fn print(&self) {
        println!("\n{} members", self.members);
        println!("  {:<16} {:<9} {:>11} {:>11} {:>7} {:>9}", "", "", "median ns", "least ns", "allocs", "of ours");
        let mut whats: Vec<_> = self.figures.iter().map(|figure| figure.what).collect();
        whats.sort_unstable();
        whats.dedup();
        for what in whats {
            let ours = self.figures.iter().find(|figure| figure.what == what).map_or(1.0, |figure| figure.cost.ns);
            for Figure { library, cost, .. } in self.figures.iter().filter(|figure| figure.what == what) {
                let Cost { ns, ns_min, allocations } = cost;
                println!("  {what:<16} {library:<9} {ns:>11.1} {ns_min:>11.1} {allocations:>7.1} {:>8.2}x", ns / ours);
            }
        }
        for (library, Memory { size, heap, allocations }) in &self.memory {
            println!("  node of {library:<9} {size:>6} bytes and {heap} on the heap in {allocations} allocations");
        }
        if self.members == NODE_SIZE_MEMBERS {
            self.print_node_size();
        }
        if let (Some(bytes), Some(cipher)) = (self.least("heartbeat_bytes"), self.least("heartbeat_cipher")) {
            println!("  a sealed heartbeat and its answer take {:.2} times what the bare cipher takes", bytes / cipher);
        }
        if let Some(met) = &self.introductions {
            println!("  strangers meet in {} hellos and answers, {} bytes", met.datagrams, met.bytes);
            println!("  a record takes {} bytes in memory, {} saved at most", met.saved_size, met.saved_bytes_max);
        }
        for (library, toll) in &self.tolls {
            println!(
                "  election of {library:<9} {} messages until one leads, {} until all know ({} bytes), {} in all ({} bytes)",
                toll.until_one_leads,
                toll.until_all_know,
                toll.bytes_until_all_know,
                toll.until_quiet,
                toll.bytes_until_quiet
            );
        }
    }
}
