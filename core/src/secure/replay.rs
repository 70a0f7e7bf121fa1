//! The replay window (RFC 6479): which counters of a peer have been seen.

/// Counters behind the highest that are still told apart; older ones count as seen.
pub(crate) const WINDOW: u32 = 64;

/// Counters seen, from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    highest: u32,
    /// Bit `n`: `highest - n` has been seen.
    seen: u64,
}

impl Window {
    /// The window after a first datagram.
    pub(crate) const fn of(counter: u32) -> Self {
        Self { highest: counter, seen: 1 }
    }

    /// Whether the counter has not been seen, and is not too old to tell.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn is_new(&self, counter: u32) -> bool {
        if counter > self.highest {
            return true;
        }
        let age = self.highest.saturating_sub(counter);
        counter > 0 && age < WINDOW && self.seen & bit(age) == 0
    }

    /// Notes a counter, after the datagram's tag has been found right.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(crate) fn note(&mut self, counter: u32) {
        match counter.checked_sub(self.highest) {
            Some(ahead) => {
                self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
                self.highest = counter;
            }
            None => self.seen |= bit(self.highest.saturating_sub(counter)),
        }
    }
}

fn bit(age: u32) -> u64 {
    1_u64.checked_shl(age).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_counter_passes_once_and_only_within_the_window() {
        let mut window = Window::default();
        assert!(!window.is_new(0));
        for (counter, new) in [
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (3, false),
            (66, true),
            (3, false),
            (4, true),
            (2, false),
            (u32::MAX, true),
            (66, false),
            (u32::MAX, false),
            (u32::MAX - 63, true),
            (u32::MAX - 64, false),
        ] {
            assert_eq!(window.is_new(counter), new, "{counter}");
            if new {
                window.note(counter);
                window.note(counter);
                assert!(!window.is_new(counter), "{counter} has been seen");
            }
        }
    }

    /// What was sent before the first datagram that came is late, not seen.
    #[test]
    fn a_window_begins_with_one_counter_seen() {
        let window = Window::of(70);
        for (counter, new) in [(6, false), (7, true), (69, true), (70, false), (71, true)] {
            assert_eq!(window.is_new(counter), new, "{counter}");
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(counters in prop::collection::vec(1_u32..300, 0..400)) {
            let (mut window, mut seen) = (Window::default(), BTreeSet::new());
            for counter in counters {
                let highest = seen.last().copied().unwrap_or(0);
                let new = !seen.contains(&counter) && counter + WINDOW > highest;
                prop_assert_eq!(window.is_new(counter), new);
                if new {
                    window.note(counter);
                    seen.insert(counter);
                }
            }
        }
    }
}
