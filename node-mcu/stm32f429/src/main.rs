//! A complete node on a Nucleo-F429ZI: an STM32F429 (Cortex-M4) with Ethernet of its own.
//!
//! A voter: it may lead, its blue LED is on while it is certain to be the only leader, and its blue button asks it to hand
//! over. Whatever stops it, the watchdog restarts it. Built and linked in CI; flash it with
//! `probe-rs run --chip STM32F429ZITx IMAGE`.

#![no_std]
#![no_main]

use core::net::{Ipv4Addr, SocketAddrV4};

use defmt::unwrap;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_stm32::{
    bind_interrupts,
    eth::{self, Ethernet, PacketQueue},
    flash::{self, Flash},
    gpio::{Input, Level, Output, Pull, Speed},
    peripherals::{IWDG, RNG},
    rcc::{self, APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllQDiv, PllSource, Sysclk},
    rng::{self, Rng},
    time::Hertz,
    wdg::IndependentWatchdog,
};
use heapless::Vec;
use panic_probe as _;
use static_cell::StaticCell;
use symphony_core::{ClusterId, Command, Duration, Event, Key, KeyRing, Member, NodeId, Saved, Timing};
use symphony_node_mcu::{Board, Button, Record, Settings};

bind_interrupts!(struct Interrupts {
    ETH => eth::InterruptHandler;
    FLASH => flash::InterruptHandler;
    HASH_RNG => rng::InterruptHandler<RNG>;
});

/// Time without a turn of the node after which the board is restarted, µs.
const WATCHDOG_TIMEOUT_US: u32 = 30_000_000;

/// The four sectors of 16 KiB at the start of the second bank. The node waits while one is erased, 500 ms at the worst,
/// once in 120 saves or more.
const RECORD: core::ops::Range<u32> = 0..4 * 16 * 1024;

const HARDWARE_ADDRESS: [u8; 6] = [0x02, 0, 0, 0, 0, 3];

/// `printf %s symphony | sha256sum | cut -c1-32`.
const CLUSTER: ClusterId = ClusterId(0x0c87_3ecb_d3c5_7a01_16ca_9190_d67c_9d72_u128.to_be_bytes());

/// 32 random bytes that all members share: `head -c 32 /dev/urandom > cluster.key`. The one here is for the build alone.
const KEY: &[u8; 32] = b"an example, not a secret, 32 b !";

const MEMBERS: [(Member, SocketAddrV4); 3] = [
    (Member::voter(1).with_priority(1), SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 11), 7400)),
    (Member::voter(2).with_priority(1), SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 12), 7400)),
    (Member::voter(3), SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 13), 7400)),
];

/// Longer than an erasure; the same for all members.
const TIMING: Timing = Timing {
    heartbeat_interval: Duration::from_millis(250),
    election_timeout_min: Duration::from_millis(1000),
    election_timeout_max: Duration::from_millis(2000),
    clock_drift_max_percent: 1,
};

/// 168 MHz from the 8 MHz that the board's debugger gives: Ethernet needs 25 MHz at least, and the random number
/// generator 48 MHz.
fn clocks() -> rcc::Config {
    let mut clocks = rcc::Config::new();
    clocks.hse = Some(Hse { freq: Hertz(8_000_000), mode: HseMode::Bypass });
    clocks.pll_src = PllSource::HSE;
    // 8 MHz / 4 * 168 = 336 MHz, of which a half and a seventh.
    clocks.pll = Some(Pll {
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL168,
        divp: Some(PllPDiv::DIV2),
        divq: Some(PllQDiv::DIV7),
        divr: None,
    });
    clocks.sys = Sysclk::PLL1_P;
    // At most 45 and 90 MHz.
    clocks.apb1_pre = APBPrescaler::DIV4;
    clocks.apb2_pre = APBPrescaler::DIV2;
    clocks
}

/// What people and the watchdog see of the node.
struct Panel<F> {
    led: Output<'static>,
    button: Button<F>,
    watchdog: IndependentWatchdog<'static, IWDG>,
}

impl<F: FnMut() -> bool> Board for Panel<F> {
    fn on_event(&mut self, event: &Event) {
        match event {
            Event::LeaseAcquired => self.led.set_high(),
            Event::LeaseLost => self.led.set_low(),
            _ => {}
        }
    }

    fn on_turn(&mut self) {
        self.watchdog.pet();
    }

    async fn command(&mut self) -> Command {
        self.button.press().await;
        Command::Transfer(None)
    }
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    static FRAMES: StaticCell<PacketQueue<4, 4>> = StaticCell::new();
    let mut config = embassy_stm32::Config::default();
    config.rcc = clocks();
    let board = embassy_stm32::init(config);
    let mut watchdog = IndependentWatchdog::new(board.IWDG, WATCHDOG_TIMEOUT_US);
    watchdog.unleash();
    let button = Input::new(board.PC13, Pull::Down);
    let panel = Panel {
        led: Output::new(board.PB7, Level::Low, Speed::Low),
        button: Button::new(move || button.is_high()),
        watchdog,
    };

    let flash = Flash::new(board.FLASH, Interrupts).into_regions().bank2_region1;
    let mut record = unwrap!(Record::new(flash, RECORD));
    // Erased flash is that of a board that has never run. One that has lost its record needs a new id.
    let mut random = Rng::new(board.RNG, Interrupts);
    let salt = random.next_u64().to_le_bytes();
    let saved = unwrap!(record.load().await).unwrap_or(Saved::provision(salt));
    let seed = random.next_u64();

    let driver = Ethernet::new(
        FRAMES.init(PacketQueue::new()),
        board.ETH,
        Interrupts,
        board.PA1,
        board.PA7,
        board.PC4,
        board.PC5,
        board.PG13,
        board.PB13,
        board.PG11,
        HARDWARE_ADDRESS,
        board.ETH_SMA,
        board.PA2,
        board.PC1,
    );
    let settings = Settings {
        cluster: CLUSTER,
        id: NodeId(3),
        members: Vec::from_array(MEMBERS),
        timing: TIMING,
        keys: KeyRing::new(Key::new(1, *KEY)),
        prefix_length: 24,
        gateway: Some(Ipv4Addr::new(192, 168, 1, 1)),
    };
    let Err(error) = symphony_node_mcu::run(&settings, driver, record, saved, seed, panel).await;
    defmt::error!("{}", error);
}
