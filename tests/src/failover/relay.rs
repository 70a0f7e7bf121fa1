//! A relay that loses datagrams.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::UdpSocket;

/// Passes on to `to` what it receives, but for `percent` of it, until the program ends; returns where to send.
pub(super) async fn start(to: SocketAddr, percent: u8) -> io::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            // A receiver that is stopped shows as an error here; its datagrams are lost like others.
            let Ok((length, _)) = socket.recv_from(&mut buffer).await else { continue };
            if rand::random_range(0..100) >= percent {
                let _ = socket.send_to(&buffer[..length], to).await;
            }
        }
    });
    Ok(address)
}
