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
    way: watch::Sender<Way>,
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
        let way = watch::Sender::new(Way::Open);
        tokio::spawn(accept(listener, server, way.subscribe()));
        Self { url: url.replace(&server.to_string(), &own.to_string()), way }
    }

    /// The URL, through the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops forwarding; connections stay open.
    pub fn pause(&self) {
        self.way.send_replace(Way::Paused);
    }

    /// Ends every connection, with what was held back, and every new one at once.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Forwards again, first what was held back.
    pub fn resume(&self) {
        self.way.send_replace(Way::Open);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mut way: watch::Receiver<Way>) {
    loop {
        tokio::select! {
            // The proxy was dropped.
            () = dropped(&mut way) => return,
            Ok((client, _)) = listener.accept() => {
                if *way.borrow() != Way::Cut && let Ok(server) = TcpStream::connect(server).await {
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    tokio::spawn(forward(client_read, server_write, way.clone()));
                    tokio::spawn(forward(server_read, client_write, way.clone()));
                }
            }
        }
    }
}

async fn dropped(way: &mut watch::Receiver<Way>) {
    while way.changed().await.is_ok() {}
}

async fn forward(from: OwnedReadHalf, to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let pass_on = pass_on(from, to, way.clone());
    tokio::select! {
        // Also when the proxy was dropped.
        _ = way.wait_for(|way| *way == Way::Cut) => {}
        () = pass_on => {}
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let forwarding = way.wait_for(|way| *way == Way::Open).await.is_ok();
        let Some(bytes) = buffer.get(..len).filter(|_| forwarding) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
