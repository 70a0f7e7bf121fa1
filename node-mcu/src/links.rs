//! Datagrams to and from the peers.
//!
//! Everything comes in at one socket. Every peer has a socket of its own to send from, with room for one datagram: the
//! network stack holds a datagram back while it asks for a peer's hardware address, and a peer that is switched off must
//! not hold back what is for the others.

use core::task::{Context, Waker};

use embassy_net::{
    IpEndpoint, Stack,
    udp::{PacketMetadata, RecvError, UdpSocket},
};
use heapless::Vec;
use symphony_core::{DATAGRAM_SIZE_MAX, NodeId};

use crate::start::{PEERS_MAX, StartError};

/// Sockets of a node.
pub(crate) const SOCKETS: usize = 1 + PEERS_MAX;

/// Datagrams that may wait to be taken in.
const INBOUND_MAX: usize = 8;

/// What the sockets keep their datagrams in.
#[derive(Debug)]
pub(crate) struct LinkBuffers {
    inbound: Buffer<INBOUND_MAX, { INBOUND_MAX * DATAGRAM_SIZE_MAX }>,
    outbound: [Buffer<1, DATAGRAM_SIZE_MAX>; PEERS_MAX],
}

#[derive(Debug)]
struct Buffer<const DATAGRAMS: usize, const BYTES: usize> {
    metadata: [PacketMetadata; DATAGRAMS],
    payload: [u8; BYTES],
}

impl<const DATAGRAMS: usize, const BYTES: usize> Buffer<DATAGRAMS, BYTES> {
    const EMPTY: Self = Self { metadata: [PacketMetadata::EMPTY; DATAGRAMS], payload: [0; BYTES] };
}

impl LinkBuffers {
    pub(crate) const fn new() -> Self {
        Self { inbound: Buffer::EMPTY, outbound: [Buffer::EMPTY; PEERS_MAX] }
    }
}

struct Outbound<'a> {
    id: NodeId,
    address: IpEndpoint,
    socket: UdpSocket<'a>,
}

/// The sockets of one node.
pub(crate) struct Links<'a> {
    inbound: UdpSocket<'a>,
    outbound: Vec<Outbound<'a>, PEERS_MAX, u8>,
}

impl<'a> Links<'a> {
    /// Opens the sockets, all at `port`: [`SOCKETS`] at most.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn open(
        stack: Stack<'a>,
        buffers: &'a mut LinkBuffers,
        port: u16,
        peers: &[(NodeId, IpEndpoint)],
    ) -> Result<Self, StartError> {
        let LinkBuffers { inbound, outbound } = buffers;
        // The stack gives a datagram to the first socket at its port, so this one is opened first.
        let inbound = socket(stack, &mut inbound.metadata, &mut inbound.payload, Direction::In, port)?;
        if peers.len() > PEERS_MAX {
            return Err(StartError::TooManyPeers);
        }
        let mut links = Self { inbound, outbound: Vec::new() };
        for (&(id, address), buffer) in peers.iter().zip(outbound) {
            let socket = socket(stack, &mut buffer.metadata, &mut buffer.payload, Direction::Out, port)?;
            let outbound = Outbound { id, address, socket };
            links.outbound.push(outbound).map_err(|_| StartError::TooManyPeers)?;
        }
        Ok(links)
    }

    /// Waits for a datagram, and returns the part of `buffer` that it takes.
    pub(crate) async fn receive<'b>(&self, buffer: &'b mut [u8; DATAGRAM_SIZE_MAX]) -> &'b mut [u8] {
        loop {
            // What is too long is not from a peer.
            let length = match self.inbound.recv_from(buffer).await {
                Ok((length, _)) => length,
                Err(RecvError::Truncated) => continue,
            };
            return buffer.get_mut(..length).unwrap_or_default();
        }
    }

    /// Sends a datagram, or loses it if the one before it is still held back: the election repeats what matters.
    pub(crate) fn send(&self, to: NodeId, datagram: &[u8]) {
        let Some(Outbound { address, socket, .. }) = self.outbound.iter().find(|outbound| outbound.id == to) else {
            return;
        };
        let mut nobody = Context::from_waker(Waker::noop());
        if !matches!(socket.poll_send_to(datagram, *address, &mut nobody), core::task::Poll::Ready(Ok(()))) {
            defmt::trace!("datagram to {} lost", to);
        }
    }
}

enum Direction {
    In,
    Out,
}

fn socket<'a>(
    stack: Stack<'a>,
    metadata: &'a mut [PacketMetadata],
    payload: &'a mut [u8],
    direction: Direction,
    port: u16,
) -> Result<UdpSocket<'a>, StartError> {
    let mut socket = match direction {
        Direction::In => UdpSocket::new(stack, metadata, payload, &mut [], &mut []),
        Direction::Out => UdpSocket::new(stack, &mut [], &mut [], metadata, payload),
    };
    socket.bind(port).map_err(StartError::Port)?;
    Ok(socket)
}
