//! The election and the codec of its messages, without authentication.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use symphony_core::{Config, Election, decode, encode};
use symphony_footprint::{PEERS_MAX, link};

symphony_footprint::halt_on_panic!();

type Node = Election<PEERS_MAX>;

#[entry]
fn main() -> ! {
    link![
        Config::<PEERS_MAX>::new,
        Node::new,
        Node::handle_timeout,
        Node::handle_message,
        Node::handle_persisted,
        Node::handle_command,
        Node::poll_persist,
        Node::poll_message,
        Node::poll_event,
        Node::next_deadline,
        Node::lease,
        Node::leader,
        Node::role,
        encode,
        decode,
    ];
    loop {
        cortex_m::asm::wfi();
    }
}
