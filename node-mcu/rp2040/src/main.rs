//! A complete node on a W5500-EVB-Pico: an RP2040 (Cortex-M0+, which has no compare-and-swap) with Ethernet.
//!
//! A witness: it votes and never leads. Its LED is on while it knows a leader. Whatever stops it, the watchdog restarts it.
//! Built and linked in CI; flash it with `probe-rs run --chip RP2040 IMAGE`.

#![no_std]
#![no_main]

use core::net::{Ipv4Addr, SocketAddrV4};

use defmt::unwrap;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_net_wiznet::{State, chip::W5500};
use embassy_rp::{
    bind_interrupts,
    clocks::RoscRng,
    dma,
    flash::{Async, Flash},
    gpio::{Input, Level, Output, Pull},
    peripherals::{DMA_CH0, DMA_CH1, DMA_CH2},
    spi::{self, Spi},
    watchdog::Watchdog,
};
use embassy_time::Delay;
use embedded_hal_bus::spi::ExclusiveDevice;
use heapless::Vec;
use panic_probe as _;
use symphony_core::{ClusterId, Duration, Event, Key, KeyRing, Member, NodeId, Saved, Timing};
use symphony_node_mcu::{Board, Record, Settings};

bind_interrupts!(struct Interrupts {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>, dma::InterruptHandler<DMA_CH2>;
});

/// Time without a turn of the node after which the board is restarted: almost the longest that the chip can count.
const WATCHDOG_TIMEOUT: Duration = Duration::from_secs(8);

const FLASH_SIZE: usize = 2 * 1024 * 1024;

/// The last four sectors, which memory.x keeps free. The processor stands still while a sector is erased, 45 ms and at
/// the worst 400 ms, once in 30 saves or more.
const RECORD: core::ops::Range<u32> = FLASH_SIZE as u32 - 4 * 4096..FLASH_SIZE as u32;

const HARDWARE_ADDRESS: [u8; 6] = [0x02, 0, 0, 0, 0, 3];

/// `printf %s symphony | sha256sum | cut -c1-32`.
const CLUSTER: ClusterId = ClusterId(0x0c87_3ecb_d3c5_7a01_16ca_9190_d67c_9d72_u128.to_be_bytes());

/// 32 random bytes that all members share: `head -c 32 /dev/urandom > cluster.key`. The one here is for the build alone.
const KEY: &[u8; 32] = b"an example, not a secret, 32 b !";

const MEMBERS: [(Member, SocketAddrV4); 3] = [
    (Member::voter(1), SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 11), 7400)),
    (Member::voter(2), SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 12), 7400)),
    (Member::witness(3), SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 13), 7400)),
];

/// Longer than an erasure; the same for all members.
const TIMING: Timing = Timing {
    heartbeat_interval: Duration::from_millis(250),
    election_timeout_min: Duration::from_millis(1000),
    election_timeout_max: Duration::from_millis(2000),
    clock_drift_max_percent: 1,
};

/// What people and the watchdog see of the node.
struct Panel {
    led: Output<'static>,
    watchdog: Watchdog,
}

impl Board for Panel {
    fn on_event(&mut self, event: &Event) {
        if let Event::LeaderChanged { leader, .. } = event {
            self.led.set_level(leader.is_some().into());
        }
    }

    fn on_turn(&mut self) {
        self.watchdog.feed(WATCHDOG_TIMEOUT);
    }
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let board = embassy_rp::init(Default::default());
    let mut watchdog = Watchdog::new(board.WATCHDOG);
    watchdog.pause_on_debug(true);
    if let Some(reason) = watchdog.reset_reason() {
        defmt::warn!("restarted by the watchdog: {}", defmt::Debug2Format(&reason));
    }
    watchdog.start(WATCHDOG_TIMEOUT);
    let panel = Panel { led: Output::new(board.PIN_25, Level::Low), watchdog };

    let flash = Flash::<_, Async, FLASH_SIZE>::new(board.FLASH, board.DMA_CH2, Interrupts);
    let mut record = unwrap!(Record::new(flash, RECORD));
    // Erased flash is that of a board that has never run. One that has lost its record needs a new id.
    let saved = unwrap!(record.load().await).unwrap_or_else(|| Saved::provision(random()));
    let seed = u64::from_le_bytes(random());

    let mut bus = spi::Config::default();
    bus.frequency = 50_000_000;
    let (clock, output, input) = (board.PIN_18, board.PIN_19, board.PIN_16);
    let bus = Spi::new(board.SPI0, clock, output, input, board.DMA_CH0, board.DMA_CH1, Interrupts, bus);
    let chip = unwrap!(ExclusiveDevice::new(bus, Output::new(board.PIN_17, Level::High), Delay));
    let mut frames = State::<4, 2>::new();
    let interrupt = Input::new(board.PIN_21, Pull::Up);
    let reset = Output::new(board.PIN_20, Level::High);
    let ethernet =
        embassy_net_wiznet::new::<_, _, W5500, _, _, _>(HARDWARE_ADDRESS, &mut frames, chip, interrupt, reset);
    let Ok((driver, ethernet)) = ethernet.await else { defmt::panic!("the W5500 does not answer") };

    let settings = Settings {
        cluster: CLUSTER,
        id: NodeId(3),
        members: Vec::from_array(MEMBERS),
        timing: TIMING,
        keys: KeyRing::new(Key::new(1, *KEY)),
        prefix_length: 24,
        gateway: Some(Ipv4Addr::new(192, 168, 1, 1)),
    };
    let node = symphony_node_mcu::run(&settings, driver, record, saved, seed, panel);
    let Err(error) = join(node, ethernet.run()).await.0;
    defmt::error!("{}", error);
}

/// From the ring oscillator's jitter: enough to tell boards and starts apart, not for secrets.
fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    RoscRng.fill_bytes(&mut bytes);
    bytes
}
