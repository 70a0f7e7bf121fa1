//! A small seeded generator, for election timeouts only: nothing secret may come from it.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Mixes all of `seeds`: nodes that differ in any of them draw different timeouts.
    pub(crate) fn new(seeds: [u64; 3]) -> Self {
        seeds.iter().fold(Self(0), |mut rng, seed| Self(rng.next() ^ seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A value of `0..=span`, for spans below 2^32; of a longer span only the first part is used.
    pub(crate) fn up_to(&mut self, span: u64) -> u64 {
        let fraction = self.next() >> 32;
        (fraction.saturating_mul(span.saturating_add(1)) >> 32).min(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!((0..1000).all(|_| rng.up_to(u64::MAX) < 1 << 32));
    }
}
