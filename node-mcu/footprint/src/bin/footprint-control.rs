//! Something that panics, so that whoever looks for panics is known to find one.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use symphony_footprint::link;

symphony_footprint::halt_on_panic!();

#[entry]
fn main() -> ! {
    link![nth];
    loop {
        cortex_m::asm::wfi();
    }
}

#[inline(never)]
#[allow(clippy::indexing_slicing, reason = "it must panic")]
fn nth(bytes: &[u8], index: usize) -> u8 {
    bytes[index]
}
