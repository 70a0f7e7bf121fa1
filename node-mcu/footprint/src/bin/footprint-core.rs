//! The whole of the core: election, codec, authentication, and the codec of the record.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use symphony_core::{Config, Endpoint, Saved};
use symphony_footprint::{PEERS_MAX, link};

symphony_footprint::halt_on_panic!();

type Node = Endpoint<PEERS_MAX>;
type Record = Saved<PEERS_MAX>;

#[entry]
fn main() -> ! {
    link![
        Config::<PEERS_MAX>::new,
        Node::new,
        Node::handle_timeout,
        Node::handle_datagram,
        Node::handle_persisted,
        Node::handle_command,
        Node::set_keys,
        Node::poll_persist,
        Node::poll_transmit,
        Node::poll_event,
        Node::next_deadline,
        Node::lease,
        Node::leader,
        Node::role,
        Record::provision,
        Record::encode,
        Record::decode,
    ];
    loop {
        cortex_m::asm::wfi();
    }
}
