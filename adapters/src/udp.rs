//! UDP: a socket, and the members' addresses.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use symphony_core::NodeId;
use tokio::{
    net::{UdpSocket, lookup_host},
    sync::watch,
};

/// Where the members are at the moment.
pub type AddressBook = BTreeMap<NodeId, SocketAddr>;

/// Time between two look-ups of all names; a member that is moved is found within it.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);

/// The same while a name is unknown.
const LOOKUP_INTERVAL_UNKNOWN: Duration = Duration::from_millis(500);

/// Longest look-up of one name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens a socket at `listen`; port 0 takes a free one.
///
/// # Errors
/// What the system said: address in use, or not of this machine.
pub async fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(listen).await
}

/// Looks the members' names up again and again, apart from those who send: a slow name server delays no heartbeat.
/// Ends when nobody looks at the book any more.
pub fn resolve(names: BTreeMap<NodeId, String>) -> watch::Receiver<AddressBook> {
    let (sender, receiver) = watch::channel(AddressBook::new());
    tokio::spawn(async move {
        loop {
            let mut book = sender.borrow().clone();
            for (id, name) in &names {
                match tokio::time::timeout(LOOKUP_TIMEOUT, lookup_host(name)).await {
                    Ok(Ok(mut addresses)) => {
                        if let Some(address) = addresses.next() {
                            book.insert(*id, address);
                        }
                    }
                    Ok(Err(error)) => tracing::debug!(member = id.0, name, %error, "name not found"),
                    Err(_) => tracing::debug!(member = id.0, name, "name server silent"),
                }
            }
            let complete = book.len() == names.len();
            sender.send_if_modified(|current| {
                let changed = *current != book;
                *current = book;
                changed
            });
            let interval = if complete { LOOKUP_INTERVAL } else { LOOKUP_INTERVAL_UNKNOWN };
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_found_and_unknown_ones_do_not_hold_the_others_up() {
        let names = [(1, "127.0.0.1:7400"), (2, "localhost:7401"), (3, "no.such.name.invalid:7402")];
        let mut book = resolve(names.map(|(id, name)| (NodeId(id), name.to_owned())).into());
        let found = tokio::time::timeout(Duration::from_secs(20), book.wait_for(|book| book.len() == 2)).await;
        let found = found.unwrap().unwrap().clone();
        assert_eq!(found[&NodeId(1)], SocketAddr::from(([127, 0, 0, 1], 7400)));
        assert_eq!(found[&NodeId(2)].port(), 7401);
    }
}
