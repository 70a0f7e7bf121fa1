//! A socket to serve HTTP or HTTPS on.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::ServerConfig;
use tokio::net::TcpListener;

use crate::tls::Tls;

/// A listening socket, and what those who connect to it are met with.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: TcpListener,
    /// None: plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

impl From<TcpListener> for Listener {
    /// For plain HTTP.
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }
}

impl Listener {
    /// For HTTPS if `tls` has a certificate of our own, for plain HTTP otherwise.
    #[must_use]
    pub fn new(socket: TcpListener, tls: &Tls) -> Self {
        Self { socket, tls: tls.identity().map(crate::tls::Identity::http) }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Scheme of the URLs that lead here.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Two handles of one socket: while either is left, connections wait and none is refused.
    ///
    /// # Errors
    /// Those of the system.
    pub fn split(self) -> io::Result<(Self, Self)> {
        let Self { socket, tls } = self;
        let socket = socket.into_std()?;
        let other = TcpListener::from_std(socket.try_clone()?)?;
        Ok((Self { socket: TcpListener::from_std(socket)?, tls: tls.clone() }, Self { socket: other, tls }))
    }
}
