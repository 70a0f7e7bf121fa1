//! A TCP proxy that can stop forwarding: to each side, the other looks paused. It can also cut what is under way.
#![allow(clippy::expect_used, reason = "a test whose proxy cannot be started has failed")]

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// Forwards connections from a free loopback port until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    way: Way,
    /// So far: a connection that slept through a cut ends all the same.
    cuts: u64,
}

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    Paused,
    Cut,
}

impl Proxy {
    /// Starts a proxy to the loopback server that `url` names.
    ///
    /// # Panics
    /// If the URL has no port, or loopback none free.
    pub async fn start(url: &str) -> Self {
        let port = url.rsplit_once("127.0.0.1:").and_then(|(_, rest)| rest.split('/').next()?.parse::<u16>().ok());
        let server = SocketAddr::from(([127, 0, 0, 1], port.expect("a URL with a loopback port")));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let own = listener.local_addr().expect("a bound socket has an address");
        let state = watch::Sender::new(State { way: Way::Open, cuts: 0 });
        tokio::spawn(accept(listener, server, state.subscribe()));
        Self { url: url.replace(&server.to_string(), &own.to_string()), state }
    }

    /// The URL, through the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops forwarding; connections stay open.
    pub fn pause(&self) {
        self.state.send_modify(|state| state.way = Way::Paused);
    }

    /// Ends every connection, with what was held back, and every new one at once.
    pub fn cut(&self) {
        self.state.send_modify(|state| *state = State { way: Way::Cut, cuts: state.cuts + 1 });
    }

    /// Forwards again, first what was held back.
    pub fn resume(&self) {
        self.state.send_modify(|state| state.way = Way::Open);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mut state: watch::Receiver<State>) {
    loop {
        tokio::select! {
            // The proxy was dropped.
            () = dropped(&mut state) => return,
            Ok((client, _)) = listener.accept() => {
                let State { way, cuts } = *state.borrow();
                if way != Way::Cut && let Ok(server) = TcpStream::connect(server).await {
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    tokio::spawn(forward(client_read, server_write, state.clone(), cuts));
                    tokio::spawn(forward(server_read, client_write, state.clone(), cuts));
                }
            }
        }
    }
}

async fn dropped(state: &mut watch::Receiver<State>) {
    while state.changed().await.is_ok() {}
}

/// Forwards until there are more cuts than these.
async fn forward(from: OwnedReadHalf, to: OwnedWriteHalf, mut state: watch::Receiver<State>, cuts: u64) {
    let pass_on = pass_on(from, to, state.clone(), cuts);
    tokio::select! {
        // Also when the proxy was dropped.
        _ = state.wait_for(|state| state.cuts > cuts) => {}
        () = pass_on => {}
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>, cuts: u64) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let forwarding = state.wait_for(|state| state.way == Way::Open).await.is_ok_and(|state| state.cuts == cuts);
        let Some(bytes) = buffer.get(..len).filter(|_| forwarding) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_ends_what_is_under_way_though_it_is_over_at_once() {
        let server = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let proxy = Proxy::start(&format!("http://{}", server.local_addr().unwrap())).await;
        let mut client = TcpStream::connect(proxy.url().trim_start_matches("http://")).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        client.write_all(b"before").await.unwrap();
        served.read_exact(&mut [0; 6]).await.unwrap();
        proxy.cut();
        proxy.resume();
        let _ = client.write_all(b"after").await;
        assert!(!matches!(served.read(&mut [0; 6]).await, Ok(1..)), "what was cut is forwarded");
    }
}
