//! FTP server: one account, one folder, passive connections.

mod account;
mod events;
mod folder;
mod ports;

use std::{io, net::SocketAddr, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use libunftp::{
    ServerBuilder, ServerError,
    options::{ActivePassiveMode, FtpsRequired, SiteMd5},
};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};
use unftp_sbe_fs::Filesystem;

use self::{account::Account, events::Events, folder::Folder, ports::PassivePorts};
use crate::tls::Identity;

/// Clients logged in at once; more wait in the listening socket's queue.
const SESSIONS_MAX: usize = 64;
/// Time that running sessions have to finish at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// Wait after a failed accept, most often for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
const GREETING: &str = "Symphony file server";

/// Who may come in, and to what.
#[derive(Clone)]
pub struct FtpServerSettings {
    /// Control connection; port 0 takes a free one ([`FtpServer::local_address`] says which).
    pub listen: SocketAddr,
    /// Folder served; created if missing. Nothing outside it can be reached.
    pub root: PathBuf,
    /// The account.
    pub user: String,
    /// Its password; empty, nobody may log in.
    pub password: String,
    /// Ports of passive data connections; `0..=0` takes any free one.
    pub passive_ports: RangeInclusive<u16>,
    /// Time without a command after which a session ends.
    pub idle_timeout: Duration,
}

impl FtpServerSettings {
    /// Time without a command after which a session ends, unless told.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
}

impl std::fmt::Debug for FtpServerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FtpServerSettings")
            .field("listen", &self.listen)
            .field("root", &self.root)
            .field("user", &self.user)
            .field("passive_ports", &self.passive_ports)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

/// Why the server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FtpServerError {
    /// The address is taken or not ours.
    #[error("the FTP server cannot listen on {address}: {source}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// The folder cannot be created or opened.
    #[error("the FTP server cannot serve {root}: {source}", root = .root.display())]
    Root {
        /// As configured.
        root: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The range of ports is empty, or only half of it is free to choose.
    #[error("passive ports {min} to {max} are no range")]
    PassivePorts {
        /// First port.
        min: u16,
        /// Last port.
        max: u16,
    },
}

/// A server that listens: clients that connect before [`FtpServer::serve`] wait for it.
#[derive(Debug)]
pub struct FtpServer {
    listener: TcpListener,
    local_address: SocketAddr,
    folder: Folder,
    account: Arc<Account>,
    passive_ports: PassivePorts,
    idle_timeout: Duration,
    identity: Option<Identity>,
}

impl FtpServer {
    /// Opens the folder and listens.
    ///
    /// # Errors
    /// [`FtpServerError`].
    pub async fn bind(settings: FtpServerSettings) -> Result<Self, FtpServerError> {
        let FtpServerSettings { listen, root, user, password, passive_ports, idle_timeout } = settings;
        let (min, max) = (*passive_ports.start(), *passive_ports.end());
        let passive_ports = PassivePorts::new(passive_ports).ok_or(FtpServerError::PassivePorts { min, max })?;
        let unusable = |source| FtpServerError::Root { root: root.clone(), source };
        tokio::fs::create_dir_all(&root).await.map_err(unusable)?;
        let folder = Folder::new(Filesystem::new(&root).map_err(unusable)?);

        let refused = |source| FtpServerError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let local_address = listener.local_addr().map_err(refused)?;
        if password.is_empty() {
            warn!(user, "the FTP server has no password: nobody may log in");
        }
        let account = Arc::new(Account::new(user, &password));
        Ok(Self { listener, local_address, folder, account, passive_ports, idle_timeout, identity: None })
    }

    /// With a certificate, nobody may log in or move a file but by FTPS (`AUTH TLS`, RFC 4217).
    #[must_use]
    pub fn with_identity(self, identity: Option<Identity>) -> Self {
        Self { identity, ..self }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Serves until `shutdown`; running sessions then have three seconds to finish.
    pub async fn serve(self, shutdown: CancellationToken) {
        info!(address = %self.local_address, "the FTP server listens");
        let sessions = TaskTracker::new();
        let abort = CancellationToken::new();
        let places = Arc::new(Semaphore::new(SESSIONS_MAX));
        while let Some(Ok(place)) = shutdown.run_until_cancelled(places.clone().acquire_owned()).await {
            let Some(accepted) = shutdown.run_until_cancelled(self.listener.accept()).await else { break };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "the FTP server could not accept a connection");
                    time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let session = self.session(stream, peer);
            let abort = abort.clone();
            sessions.spawn(async move {
                // Dropping a session closes its connection.
                abort.run_until_cancelled(session).await;
                drop(place);
            });
        }
        drop(self.listener);
        sessions.close();
        if time::timeout(SHUTDOWN_GRACE, sessions.wait()).await.is_err() {
            debug!(count = sessions.len(), "closing FTP sessions that have not finished");
            abort.cancel();
            sessions.wait().await;
        }
    }

    /// One client. libunftp could listen by itself, but would neither say which port it took nor bound its sessions.
    fn session(&self, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> + Send + use<> {
        // Replies are small and waited for.
        let _ = stream.set_nodelay(true);
        let folder = self.folder.clone();
        let mut server = ServerBuilder::with_authenticator(Box::new(move || folder.clone()), self.account.clone())
            .greeting(GREETING)
            .idle_session_timeout(self.idle_timeout.as_secs())
            .active_passive_mode(ActivePassiveMode::PassiveOnly)
            .binder(self.passive_ports.clone())
            .sitemd5(SiteMd5::None)
            .notify_data(Events);
        if let Some(identity) = &self.identity {
            server =
                server.ftps(identity.certificate(), identity.key()).ftps_required(FtpsRequired::All, FtpsRequired::All);
        }
        async move {
            let result = match server.build() {
                Ok(server) => server.service(stream).await.map_err(|error| error.to_string()),
                Err(error) => Err(ServerError::to_string(&error)),
            };
            if let Err(error) = result {
                warn!(%peer, error, "an FTP session failed");
            }
        }
    }
}
