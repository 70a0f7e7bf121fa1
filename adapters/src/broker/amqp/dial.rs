//! One attempt to connect, bounded in time to the last thread.
//!
//! lapin runs each connection on a thread of its own, which outlives a cancelled attempt for as long as the peer keeps
//! the socket open. So every socket made here can be shut from outside, and is when its [`Wire`] goes.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::{AsyncTcpStream, RustlsConnector};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use crate::tls::Tls;

/// From the first packet to the end of AMQP's handshake.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A hold on the socket beneath a connection: shuts it when dropped.
pub(super) struct Wire(Arc<Mutex<Option<TcpStream>>>);

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(socket) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Fails when the socket is already closed, which is as good.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Connects, with lapin's own recovery off.
pub(super) async fn connect(uri: &AMQPUri, name: &str, tls: &Tls) -> Result<(Connection, Wire), lapin::Error> {
    let wire = Wire(Arc::default());
    let socket = wire.0.clone();
    let connector = RustlsConnector::from(tls.client());
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(
        uri.clone(),
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            let host = uri.authority.host.as_str();
            let stream = timeout(CONNECT_TIMEOUT, async {
                let mut refused = io::Error::new(io::ErrorKind::NotFound, "the broker's name has no address");
                for address in tokio::net::lookup_host((host, uri.authority.port)).await? {
                    match AsyncTcpStream::connect(&runtime, address).await {
                        Ok(stream) => return Ok(stream),
                        Err(error) => refused = error,
                    }
                }
                Err(refused)
            })
            .await
            .map_err(io::Error::from)??;
            if let AsyncTcpStream::Plain(plain) = &stream {
                let held = TcpStream::from(plain.get_ref().as_fd().try_clone_to_owned()?);
                *socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
            }
            Ok(match uri.scheme {
                AMQPScheme::AMQP => stream,
                AMQPScheme::AMQPS => {
                    timeout(CONNECT_TIMEOUT, stream.into_rustls(&connector, host)).await.map_err(io::Error::from)??
                }
            })
        },
        properties,
    );
    let connection = timeout(CONNECT_TIMEOUT, connecting).await.map_err(io::Error::from)??;
    Ok((connection, wire))
}
