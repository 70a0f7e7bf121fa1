//! The codec of the record alone.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use symphony_core::Saved;
use symphony_footprint::{PEERS_MAX, link};

symphony_footprint::halt_on_panic!();

type Record = Saved<PEERS_MAX>;

#[entry]
fn main() -> ! {
    link![Record::encode, Record::decode];
    loop {
        cortex_m::asm::wfi();
    }
}
