//! A TCP proxy that can stop forwarding: to each side, the other looks paused.
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
    paused: watch::Sender<bool>,
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
        let paused = watch::Sender::new(false);
        tokio::spawn(accept(listener, server, paused.subscribe()));
        Self { url: url.replace(&server.to_string(), &own.to_string()), paused }
    }

    /// The URL, through the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stops forwarding; connections stay open.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Forwards again, first what was held back.
    pub fn resume(&self) {
        self.paused.send_replace(false);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mut paused: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            // The proxy was dropped.
            () = closed(&mut paused) => return,
            Ok((client, _)) = listener.accept() => {
                if let Ok(server) = TcpStream::connect(server).await {
                    let (client_read, client_write) = client.into_split();
                    let (server_read, server_write) = server.into_split();
                    tokio::spawn(forward(client_read, server_write, paused.clone()));
                    tokio::spawn(forward(server_read, client_write, paused.clone()));
                }
            }
        }
    }
}

async fn closed(paused: &mut watch::Receiver<bool>) {
    while paused.changed().await.is_ok() {}
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut paused: watch::Receiver<bool>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let forwarding = paused.wait_for(|paused| !paused).await.is_ok();
        let Some(bytes) = buffer.get(..len).filter(|_| forwarding) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
