//! What every board shares: the task around `symphony-core`, its sockets and its record.
//!
//! A board brings a network driver, a time driver and a flash; `lm3s6965` is one that QEMU emulates, `rp2040` and
//! `stm32f429` are complete programs for boards that can be bought.

#![no_std]
#![forbid(unsafe_code)]

mod board;
mod button;
mod links;
mod node;
mod record;
mod start;

pub use board::{Board, TURN_INTERVAL_MAX};
pub use button::Button;
pub use record::{Record, RecordError, SAVES_PER_PAGE};
pub use start::{MEMBERS_MAX, PEERS_MAX, Settings, StartError, run};
