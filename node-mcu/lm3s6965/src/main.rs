//! Symphony on the LM3S6965 evaluation board (Cortex-M3, 256 KiB of flash, 64 KiB of RAM, Ethernet), which QEMU emulates:
//! `../run-qemu FOLDER`.
//!
//! The log leaves through UART0 as defmt frames. Settings, flash and random bytes come through semihosting, which only an
//! emulator or a debugger offers. Whoever presses SELECT asks a board that leads to hand over.

#![no_std]
#![no_main]

mod button;
mod ethernet;
mod fault;
mod flash;
mod interrupt;
mod mmio;
mod settings;
mod system;
mod time_driver;
mod uart;
mod watchdog;

use core::convert::Infallible;

use embassy_executor::Spawner;
use semihosting::{experimental::random, fs::File, io::Read as _};
use static_cell::StaticCell;
use symphony_core::{Command, Saved};
use symphony_node_mcu::{Board, Button, Record};

use crate::{ethernet::Ethernet, flash::Flash, uart::Uart};

/// Largest settings, bytes.
const SETTINGS_SIZE_MAX: usize = 2048;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    static UART: StaticCell<Uart> = StaticCell::new();
    system::start();
    watchdog::start();
    button::start();
    defmt_serial::defmt_serial(UART.init(Uart::start()));
    let Some(peripherals) = cortex_m::Peripherals::take() else { return };
    time_driver::start(peripherals.SYST);
    let Err(reason) = run().await;
    defmt::error!("this board takes no part: {=str}", reason);
}

/// Takes part for ever.
///
/// # Errors
/// Why the board cannot.
async fn run() -> Result<Infallible, &'static str> {
    let mut text = [0; SETTINGS_SIZE_MAX];
    let settings::File { settings, may_provision, .. } = read_settings(&mut text)?;
    let flash = Flash::open().await.map_err(|_| "there is no file board.flash, nor can it be made")?;
    let mut record = Record::new(flash, flash::PAGES).map_err(|_| "the range for the record does not serve")?;
    let saved = match record.load().await {
        Ok(Some(saved)) => saved,
        Ok(None) if may_provision => Saved::provision(random()?),
        Ok(None) => return Err("there is no record, and the settings do not say that this board is new"),
        Err(_) => return Err("the record cannot be read: provision this board under a new id"),
    };
    let seed = u64::from_le_bytes(random()?);
    let driver = Ethernet::start(system::hardware_address().ok_or("the board has no hardware address")?);
    let panel = Panel { select: Button::new(button::is_down) };
    match symphony_node_mcu::run(&settings, driver, record, saved, seed, panel).await {
        Ok(never) => match never {},
        Err(error) => {
            defmt::error!("{}", error);
            Err("the settings do not serve")
        }
    }
}

/// What people and the watchdog see of the node.
struct Panel {
    select: Button<fn() -> bool>,
}

impl Board for Panel {
    fn on_turn(&mut self) {
        watchdog::feed();
    }

    async fn command(&mut self) -> Command {
        self.select.press().await;
        Command::Transfer(None)
    }
}

fn read_settings(text: &mut [u8]) -> Result<settings::File, &'static str> {
    let mut file = File::open(c"board.conf").map_err(|_| "there is no file board.conf")?;
    let length = file.read(text).map_err(|_| "board.conf cannot be read")?;
    if length == text.len() {
        return Err("board.conf is too long");
    }
    let text = text.get(..length).and_then(|text| core::str::from_utf8(text).ok()).ok_or("board.conf is not text")?;
    settings::File::parse(text).map_err(|error| {
        defmt::error!("board.conf: {}", error);
        "board.conf is not as it should be"
    })
}

/// The chip has no source of random bytes; the emulator's host has.
fn random() -> Result<[u8; 8], &'static str> {
    let mut bytes = [0; 8];
    random::fill_bytes(&mut bytes).map_err(|_| "there are no random bytes")?;
    Ok(bytes)
}
