//! A small seeded generator, for election timeouts only: nothing secret may come from it.

/// PCG-XSH-RR 64/32 (O'Neill, "PCG: A family of simple fast space-efficient statistically good algorithms for random
/// number generation", 2014), of stream 54, which the published program takes.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Mixes all of `seeds`: nodes that differ in any of them draw different timeouts.
    pub(crate) fn new(seeds: [u64; 3]) -> Self {
        let [first, second, third] = seeds;
        Self(0).mixed(first).mixed(second).mixed(third)
    }

    /// The halves change places between two steps, because a step carries no bit downwards.
    #[cfg_attr(target_os = "none", inline(never))]
    fn mixed(mut self, seed: u64) -> Self {
        self.0 ^= seed;
        self.next();
        self.0 = self.0.rotate_left(32);
        self.next();
        self
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn next(&mut self) -> u32 {
        let state = self.0;
        self.0 = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(2 * 54 + 1);
        ((((state >> 18) ^ state) >> 27) as u32).rotate_right((state >> 59) as u32)
    }

    /// A value of `0..=span`.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn up_to(&mut self, span: u32) -> u32 {
        let fraction = u64::from(self.next());
        ((fraction * u64::from(span) + fraction) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, vec::Vec};

    use super::*;

    /// The first values of the published program, which is seeded with 42.
    #[test]
    fn values_are_those_of_the_published_generator() {
        let mut rng = Rng(2 * 54 + 1 + 42);
        rng.next();
        let values: Vec<u32> = (0..6).map(|_| rng.next()).collect();
        assert_eq!(values, [0xA15C_02B7, 0x7B47_F409, 0xBA1D_3330, 0x83D2_F293, 0xBFA4_784B, 0xCBED_606E]);
    }

    #[test]
    fn every_bit_of_every_seed_matters() {
        let flipped = |bit: usize| {
            let mut seeds = [7, 8, 9];
            seeds[bit / 64] ^= 1 << (bit % 64);
            let mut rng = Rng::new(seeds);
            [rng.next(), rng.next()]
        };
        let firsts: BTreeSet<[u32; 2]> = (0..3 * 64).map(flipped).collect();
        assert_eq!(firsts.len(), 3 * 64);
    }

    #[test]
    fn nodes_and_starts_of_one_seed_draw_differently() {
        let start = |number: u64| Rng::new([7, number % 64, number / 64]).next();
        let firsts: BTreeSet<u32> = (0..64 * 64).map(start).collect();
        assert_eq!(firsts.len(), 64 * 64);
    }

    #[test]
    fn values_cover_the_whole_span_and_never_leave_it() {
        let mut rng = Rng::new([7, 8, 9]);
        let mut seen = [false; 4];
        for _ in 0..1000 {
            seen[usize::try_from(rng.up_to(3)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(rng.up_to(0), 0);
        assert_ne!(Rng::new([1, 1, 0]).next(), Rng::new([2, 2, 0]).next());
        assert!((0..1000).any(|_| rng.up_to(u32::MAX) > u32::MAX / 2));
    }
}
