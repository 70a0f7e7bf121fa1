//! The ports of passive data connections.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use async_trait::async_trait;
use libunftp::options::Binder;
use tokio::net::TcpSocket;

/// Picks a port that is free. libunftp by itself guesses nine times within the range, and cannot take any free port.
#[derive(Clone, Debug)]
pub(super) struct PassivePorts {
    range: RangeInclusive<u16>,
}

impl PassivePorts {
    /// `0..=0` means any free port; none for any other range that is empty or has port 0 in it.
    pub(super) fn new(range: RangeInclusive<u16>) -> Option<Self> {
        let is_any = range == (0..=0);
        (is_any || (*range.start() > 0 && !range.is_empty())).then_some(Self { range })
    }

    /// All ports of the range once, from a place that is hard to foretell: a stranger must not guess the next port.
    fn candidates(&self) -> impl Iterator<Item = u16> + use<> {
        let (first, count) = (u32::from(*self.range.start()), u32::try_from(self.range.len()).unwrap_or(1));
        let from = rand::random_range(0..count);
        (0..count).filter_map(move |step| u16::try_from(first + (from + step) % count).ok())
    }
}

#[async_trait]
impl Binder for PassivePorts {
    async fn bind(&mut self, address: IpAddr, _: RangeInclusive<u16>) -> io::Result<TcpSocket> {
        let mut outcome = Err(io::Error::from(io::ErrorKind::AddrInUse));
        for port in self.candidates() {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // Ports of a small range come round while their last connections are still in TIME_WAIT.
            socket.set_reuseaddr(port != 0)?;
            outcome = socket.bind(SocketAddr::new(address, port)).map(|()| socket);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, net::Ipv4Addr};

    use super::*;

    #[test]
    fn every_port_of_the_range_is_tried_once() {
        let ports = PassivePorts::new(65_530..=65_535).unwrap();
        let tried: Vec<u16> = ports.candidates().collect();
        assert_eq!(tried.len(), 6);
        assert_eq!(tried.into_iter().collect::<BTreeSet<_>>(), (65_530..=65_535).collect());
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        assert!(PassivePorts::new(RangeInclusive::new(2, 1)).is_none());
        assert!(PassivePorts::new(0..=100).is_none());
        assert!(PassivePorts::new(0..=0).is_some());
        assert!(PassivePorts::new(1..=u16::MAX).is_some());
    }

    #[tokio::test]
    async fn a_port_in_use_is_passed_over() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut any = PassivePorts::new(0..=0).unwrap();
        let taken = any.bind(address, 0..=0).await.unwrap().listen(1).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut only = PassivePorts::new(port..=port).unwrap();
        assert!(only.bind(address, 0..=0).await.is_err());
    }
}
