//! Nothing: what every program takes.

#![no_std]
#![no_main]

use cortex_m_rt::entry;

symphony_footprint::halt_on_panic!();

#[entry]
fn main() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}
