//! The Ethernet controller: a FIFO of words each way (data sheet, chapter 16).

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

use core::task::Context;

use crate::{
    interrupt::Interrupt,
    mmio::{
        Peripheral::{self, GpioF},
        Register,
    },
};

/// What has happened; written, what was seen of it.
const STATUS: Register = Register::new(Peripheral::Ethernet, 0x000);
const INTERRUPTS: Register = Register::new(Peripheral::Ethernet, 0x004);
const RECEIVE_CONTROL: Register = Register::new(Peripheral::Ethernet, 0x008);
const TRANSMIT_CONTROL: Register = Register::new(Peripheral::Ethernet, 0x00c);
const DATA: Register = Register::new(Peripheral::Ethernet, 0x010);
const ADDRESS_0: Register = Register::new(Peripheral::Ethernet, 0x014);
const ADDRESS_1: Register = Register::new(Peripheral::Ethernet, 0x018);
const FRAMES: Register = Register::new(Peripheral::Ethernet, 0x034);
const TRANSMIT: Register = Register::new(Peripheral::Ethernet, 0x038);
const GPIO_ALTERNATE: Register = Register::new(GpioF, 0x420);
const GPIO_DIGITAL: Register = Register::new(GpioF, 0x51c);

const RECEIVED: u32 = 1 << 0;
/// A frame could not be sent. Its acknowledgement empties the FIFO.
const TRANSMIT_FAILED: u32 = 1 << 1;
/// The FIFO was too full for a frame, and is out of step.
const OVERRUN: u32 = 1 << 3;
/// Receive, and refuse what has a bad checksum.
const RECEIVE_ON: u32 = 1 << 0 | 1 << 3;
const RECEIVE_RESET: u32 = 1 << 4;
/// Transmit at full duplex, pad short frames, add the checksum.
const TRANSMIT_ON: u32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4;
const TRANSMIT_BUSY: u32 = 1 << 0;
const LED_PINS: u32 = 0b1100;

/// Addresses and type, which the length of a frame to send leaves out.
const HEADER_SIZE: usize = 14;

/// Largest frame without its checksum: the smallest that IPv4 allows (RFC 791), four times what the election needs.
const FRAME_SIZE_MAX: usize = HEADER_SIZE + 576;

/// The length before a received frame and the checksum behind it count as parts of it.
const RECEIVED_OVERHEAD: usize = 2 + 4;

/// Lengths that the controller can give: its FIFO has 2 KiB.
const FRAME_SIZES_RECEIVED: core::ops::RangeInclusive<usize> = RECEIVED_OVERHEAD + HEADER_SIZE..=2048;

/// Looks at a transmitter that is busy: more than the longest frame takes.
const TRANSMIT_LOOKS: usize = 100_000;

static ARRIVAL: AtomicWaker = AtomicWaker::new();

/// The controller, with one frame each way.
pub(crate) struct Ethernet {
    address: [u8; 6],
    inbound: [u8; FRAME_SIZE_MAX],
    outbound: [u8; FRAME_SIZE_MAX],
}

impl Ethernet {
    /// Sets the controller up under a hardware address.
    pub(crate) fn start(address: [u8; 6]) -> Self {
        GPIO_ALTERNATE.set(LED_PINS);
        GPIO_DIGITAL.set(LED_PINS);
        INTERRUPTS.write(0);
        let [a, b, c, d, e, f] = address;
        ADDRESS_0.write(u32::from_le_bytes([a, b, c, d]));
        ADDRESS_1.write(u32::from_le_bytes([e, f, 0, 0]));
        TRANSMIT_CONTROL.write(TRANSMIT_ON);
        restart_receiver();
        Interrupt::Ethernet.enable();
        Self { address, inbound: [0; FRAME_SIZE_MAX], outbound: [0; FRAME_SIZE_MAX] }
    }

    /// Takes the next frame out of the FIFO; none if it is too long, or if the FIFO does not begin with a frame, and is
    /// thus emptied.
    fn take_frame(&mut self) -> Option<usize> {
        // The first word holds the length and the first two bytes.
        let [low, high, first, second] = DATA.read().to_le_bytes();
        let total = usize::from(u16::from_le_bytes([low, high]));
        if !FRAME_SIZES_RECEIVED.contains(&total) {
            restart_receiver();
            return None;
        }
        let length = total - RECEIVED_OVERHEAD;
        let mut put = |position: usize, byte: u8| {
            if let Some(place) = self.inbound.get_mut(position) {
                *place = byte;
            }
        };
        put(0, first);
        put(1, second);
        for word in 1..total.div_ceil(4) {
            for (offset, byte) in DATA.read().to_le_bytes().into_iter().enumerate() {
                put(4 * word - 2 + offset, byte);
            }
        }
        (length <= FRAME_SIZE_MAX).then_some(length)
    }
}

/// Empties the receiver's FIFO, which the receiver must not fill meanwhile.
fn restart_receiver() {
    RECEIVE_CONTROL.write(0);
    RECEIVE_CONTROL.write(RECEIVE_RESET);
    RECEIVE_CONTROL.write(RECEIVE_ON);
}

/// A frame has come: the task takes it out, and enables the interrupt again when there are no more.
pub(crate) fn on_interrupt() {
    INTERRUPTS.write(0);
    ARRIVAL.wake();
}

impl Driver for Ethernet {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Vacant<'a>;

    fn receive(&mut self, context: &mut Context<'_>) -> Option<(Received<'_>, Vacant<'_>)> {
        ARRIVAL.register(context.waker());
        if STATUS.read() & OVERRUN != 0 {
            restart_receiver();
        }
        STATUS.write(RECEIVED | OVERRUN);
        while FRAMES.read() > 0 {
            if let Some(length) = self.take_frame() {
                let Self { inbound, outbound, .. } = self;
                return Some((Received(inbound.get_mut(..length)?), Vacant(outbound)));
            }
        }
        // A frame that came since the acknowledgement interrupts at once.
        INTERRUPTS.write(RECEIVED | OVERRUN);
        None
    }

    fn transmit(&mut self, context: &mut Context<'_>) -> Option<Vacant<'_>> {
        if TRANSMIT.read() & TRANSMIT_BUSY != 0 {
            // A frame of this size is gone after 50 µs.
            context.waker().wake_by_ref();
            return None;
        }
        Some(Vacant(&mut self.outbound))
    }

    /// Always up: what is sent over a link that is down is lost, and the election expects that of any link.
    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_SIZE_MAX;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A received frame.
pub(crate) struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame to send.
pub(crate) struct Vacant<'a>(&'a mut [u8; FRAME_SIZE_MAX]);

impl TxToken for Vacant<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let frame = self.0.get_mut(..length).unwrap_or_default();
        let result = f(frame);
        // A reply to a received frame may meet the one before it. Whatever cannot be sent is lost.
        if (0..TRANSMIT_LOOKS).any(|_| TRANSMIT.read() & TRANSMIT_BUSY == 0) {
            send_frame(frame);
        }
        result
    }
}

fn send_frame(frame: &[u8]) {
    let (Some(body_length), Some((first, rest))) = (frame.len().checked_sub(HEADER_SIZE), frame.split_first_chunk())
    else {
        return;
    };
    if STATUS.read() & TRANSMIT_FAILED != 0 {
        STATUS.write(TRANSMIT_FAILED);
    }
    let [low, high] = u16::try_from(body_length).unwrap_or_default().to_le_bytes();
    let [first, second] = *first;
    DATA.write(u32::from_le_bytes([low, high, first, second]));
    for chunk in rest.chunks(4) {
        let mut word = [0; 4];
        for (place, byte) in word.iter_mut().zip(chunk) {
            *place = *byte;
        }
        DATA.write(u32::from_le_bytes(word));
    }
    TRANSMIT.write(TRANSMIT_BUSY);
}
