//! Links between nodes, each way on its own: slow, lossy, repeating, reordering, cut or held.

use crate::rng::Rng;

/// A datagram under way.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Index of the sender, as far as its receiver can tell.
    pub from: usize,
    /// Index of the receiver.
    pub to: usize,
    /// Put on its way by an attacker.
    pub injected: bool,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// Later datagrams that may overtake one that is reordered.
const REORDER_DISTANCE_MAX: u64 = 64;

/// Datagrams that a held link keeps.
const HELD_MAX: usize = 256;

/// How well links work.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// Shortest and longest time under way, microseconds.
    pub delay_us: (u64, u64),
    /// Datagrams lost.
    pub drop_percent: u64,
    /// Datagrams that come twice.
    pub duplicate_percent: u64,
    /// Datagrams overtaken by up to 64 later ones.
    pub reorder_percent: u64,
    /// Datagrams that arrive with some of their bits turned.
    pub corrupt_percent: u64,
}

impl Quality {
    /// A network that only takes its time.
    #[must_use]
    pub const fn clean(delay_us: (u64, u64)) -> Self {
        Self { delay_us, drop_percent: 0, duplicate_percent: 0, reorder_percent: 0, corrupt_percent: 0 }
    }
}

#[derive(Clone, Debug, Default)]
struct Link {
    cut: bool,
    held: Option<Vec<Datagram>>,
    /// Datagrams to be overtaken, with how many still will.
    overtaken: Vec<(u64, Datagram)>,
}

/// All links.
#[derive(Clone, Debug)]
pub struct Network {
    /// By sender and receiver.
    links: Vec<Vec<Link>>,
    quality: Quality,
}

impl Network {
    /// Links between `size` nodes.
    #[must_use]
    pub fn new(size: usize, quality: Quality) -> Self {
        Self { links: vec![vec![Link::default(); size]; size], quality }
    }

    /// Links one machine more to all others.
    pub fn add(&mut self) {
        self.links.iter_mut().for_each(|links| links.push(Link::default()));
        self.links.push(vec![Link::default(); self.links.len() + 1]);
    }

    /// Changes how well all links work.
    pub fn set_quality(&mut self, quality: Quality) {
        self.quality = quality;
    }

    /// Cuts or mends one way.
    pub fn set_cut(&mut self, from: usize, to: usize, cut: bool) {
        self.link(from, to).cut = cut;
    }

    /// Whether nothing passes this way.
    #[must_use]
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.links[from][to].cut
    }

    /// Mends every cut. What is held stays held.
    pub fn mend(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.cut = false;
        }
    }

    /// Keeps all that is sent this way until it is released.
    pub fn hold(&mut self, from: usize, to: usize) {
        self.link(from, to).held.get_or_insert_default();
    }

    /// Takes what a link holds, and lets the link go.
    pub fn take_held(&mut self, from: usize, to: usize) -> Vec<Datagram> {
        self.link(from, to).held.take().unwrap_or_default()
    }

    /// Lets go of what is held and of what waits to be overtaken, on all links.
    pub fn release(&mut self, rng: &mut Rng, now_us: u64, arrivals: &mut Vec<(u64, Datagram)>) {
        let quality = self.quality;
        for link in self.links.iter_mut().flatten() {
            let held = link.held.take().unwrap_or_default();
            let overtaken = std::mem::take(&mut link.overtaken).into_iter().map(|(_, datagram)| datagram);
            for datagram in held.into_iter().chain(overtaken) {
                arrivals.push((now_us + delay(rng, quality), datagram));
            }
        }
    }

    /// Takes a datagram in, and tells which datagrams arrive when.
    pub fn send(&mut self, rng: &mut Rng, now_us: u64, datagram: Datagram, arrivals: &mut Vec<(u64, Datagram)>) {
        let quality = self.quality;
        let link = self.link(datagram.from, datagram.to);
        link.overtaken.retain_mut(|(more, overtaken)| {
            *more -= 1;
            if *more == 0 {
                arrivals.push((now_us + quality.delay_us.1, overtaken.clone()));
            }
            *more > 0
        });
        if link.cut || rng.percent(quality.drop_percent) {
            return;
        }
        let mut datagram = datagram;
        if rng.percent(quality.corrupt_percent) {
            damage(rng, &mut datagram.bytes);
        }
        if let Some(held) = &mut link.held {
            if held.len() < HELD_MAX {
                held.push(datagram);
            }
            return;
        }
        if rng.percent(quality.duplicate_percent) {
            arrivals.push((now_us + delay(rng, quality), datagram.clone()));
        }
        if rng.percent(quality.reorder_percent) {
            link.overtaken.push((rng.range(1, REORDER_DISTANCE_MAX), datagram));
        } else {
            arrivals.push((now_us + delay(rng, quality), datagram));
        }
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from][to]
    }
}

fn delay(rng: &mut Rng, quality: Quality) -> u64 {
    rng.range(quality.delay_us.0, quality.delay_us.1)
}

/// Turns a few bits.
pub fn damage(rng: &mut Rng, bytes: &mut [u8]) {
    for _ in 0..rng.range(1, 4) {
        let index = rng.index(bytes.len());
        if let Some(byte) = bytes.get_mut(index) {
            *byte ^= 1 << rng.below(8);
        }
    }
}
