//! FTP client: finished files up, stable files down, over passive connections.
//!
//! An upload goes to `.{name}.part`, is compared by size and only then renamed, so that nobody fetches half a file; a
//! download takes only what [`StableFiles`] lets through and never more than its bound. There is no resuming: a
//! transfer that broke off starts again from nothing.

mod listing;
mod name;
mod session;
mod stable;

use std::{fmt, io, sync::Arc, time::Duration};

use rustls::ClientConfig;
use thiserror::Error;

use self::session::Session;
pub use self::stable::StableFiles;

/// How the connections are protected.
#[derive(Clone, Debug)]
pub enum Security {
    /// Not at all: anyone on the path reads the password and the files.
    Plain,
    /// FTPS as of RFC 4217: `AUTH TLS` before the password, and private data connections.
    Explicit(Arc<ClientConfig>),
}

/// Where to log in, and how patient to be.
#[derive(Clone)]
pub struct FtpSettings {
    /// `host:port`.
    pub address: String,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: String,
    /// How the connections are protected.
    pub security: Security,
    /// Longest wait for one step: a connection, a reply, the next bytes of a transfer.
    pub timeout: Duration,
}

impl FtpSettings {
    /// Longest wait for one step unless told.
    pub const TIMEOUT: Duration = Duration::from_secs(15);
}

impl fmt::Debug for FtpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FtpSettings")
            .field("address", &self.address)
            .field("user", &self.user)
            .field("security", &self.security)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A file on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Name within its folder; safe to use as a local file name.
    pub name: String,
    /// Absolute path on the server.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since the Unix epoch; to the second, or to the minute from a server without MLSD and MDTM.
    pub modified_at_ms: i64,
}

/// Why the server did not do as asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FtpError {
    /// The connection was not made or broke off.
    #[error("FTP {step}: {source}")]
    Connection {
        /// What was being done.
        step: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// The server took longer than the settings allow.
    #[error("FTP {0}: timed out")]
    Timeout(&'static str),
    /// The encrypted connection was not made.
    #[error("FTP {step}: TLS: {reason}")]
    Tls {
        /// What was being done.
        step: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// The server does not let this account in.
    #[error("FTP login refused: {0}")]
    Login(String),
    /// The folder is not there.
    #[error("FTP folder {0:?} does not exist")]
    FolderMissing(String),
    /// The server refused.
    #[error("FTP {step} refused: {code} {message}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// Of the reply; 4xx is passing, 5xx is not.
        code: u32,
        /// In the server's words.
        message: String,
    },
    /// The server said what nobody understands.
    #[error("FTP {0}: the server's reply makes no sense")]
    Protocol(&'static str),
    /// A name or path that no file may have.
    #[error("{name:?} is not a usable file name: {reason}")]
    Name {
        /// As given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More than the bound.
    #[error("{what} is larger than {size_max} bytes")]
    TooLarge {
        /// File or listing.
        what: String,
        /// The bound.
        size_max: u64,
    },
    /// As many bytes were not transferred as there should have been.
    #[error("{path:?} is incomplete: {actual} of {expected} bytes")]
    Incomplete {
        /// Which file.
        path: String,
        /// Bytes there should be.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// The file was changed while it was read.
    #[error("{0:?} was changed while it was read")]
    Changed(String),
    /// An earlier failure, or a call that was cancelled, ended this connection.
    #[error("the FTP connection was closed after an earlier failure")]
    Closed,
}

impl FtpError {
    /// Whether request and reply still match up after this error, so that the connection can go on.
    fn leaves_connection_in_step(&self) -> bool {
        match self {
            Self::FolderMissing(_)
            | Self::Refused { .. }
            | Self::Name { .. }
            | Self::TooLarge { .. }
            | Self::Incomplete { .. }
            | Self::Changed(_) => true,
            Self::Connection { .. }
            | Self::Timeout(_)
            | Self::Tls { .. }
            | Self::Login(_)
            | Self::Protocol(_)
            | Self::Closed => false,
        }
    }
}

/// A logged-in connection.
///
/// A call that fails by time or connection, or whose future is dropped, ends the connection: a reply that comes late
/// must never be taken for the answer to the next command. Later calls then fail with [`FtpError::Closed`].
pub struct FtpClient {
    session: Option<Session>,
}

impl FtpClient {
    /// Connects, secures the connection if so configured, logs in and asks what the server can do.
    ///
    /// Each step may take up to the settings' timeout.
    ///
    /// # Errors
    /// Any [`FtpError`]; [`FtpError::Login`] for a wrong account or password.
    pub async fn connect(settings: &FtpSettings) -> Result<Self, FtpError> {
        Ok(Self { session: Some(Session::connect(settings).await?) })
    }

    /// Stores a file as `name` in `folder`, which is created if missing, and returns the file's path.
    ///
    /// A relative folder is below the account's home. The file appears complete or not at all: it grows as
    /// `.{name}.part`, its size is compared, then it is renamed. A file already there is replaced by that rename, in
    /// one step, on servers that allow it (vsftpd, libunftp, ProFTPD, Pure-FTPd); elsewhere it stays and the upload
    /// fails. Two uploads of one name must not run at once.
    ///
    /// # Errors
    /// Any [`FtpError`]; the unfinished part is removed where the connection still allows it.
    pub async fn upload(&mut self, folder: &str, name: &str, content: &[u8]) -> Result<String, FtpError> {
        let mut session = self.session.take().ok_or(FtpError::Closed)?;
        let result = session.upload(folder, name, content).await;
        self.keep(session, result)
    }

    /// The files in `folder` that may be fetched: no folders, links, hidden names or `*.part`.
    ///
    /// A relative folder is below the account's home. Names that could do harm elsewhere (with `/`, `\` or control
    /// characters, over 255 bytes, not UTF-8) are left out with a warning in the log.
    ///
    /// # Errors
    /// Any [`FtpError`]; [`FtpError::FolderMissing`] if there is no such folder, [`FtpError::TooLarge`] beyond 8 MiB
    /// of listing.
    pub async fn list(&mut self, folder: &str) -> Result<Vec<RemoteFile>, FtpError> {
        let mut session = self.session.take().ok_or(FtpError::Closed)?;
        let result = session.list(folder).await;
        self.keep(session, result)
    }

    /// The content of the file at `path`, whole and at most `size_max` bytes.
    ///
    /// # Errors
    /// Any [`FtpError`]; [`FtpError::TooLarge`] beyond `size_max`, [`FtpError::Incomplete`] and [`FtpError::Changed`] if
    /// size or time differ from what the server said before.
    pub async fn download(&mut self, path: &str, size_max: u64) -> Result<Vec<u8>, FtpError> {
        let mut session = self.session.take().ok_or(FtpError::Closed)?;
        let result = session.download(path, size_max).await;
        self.keep(session, result)
    }

    /// Says goodbye. Nothing is lost without it: dropping the client closes the connection too.
    pub async fn quit(mut self) {
        if let Some(mut session) = self.session.take() {
            session.quit().await;
        }
    }

    fn keep<T>(&mut self, session: Session, result: Result<T, FtpError>) -> Result<T, FtpError> {
        if result.as_ref().err().is_none_or(FtpError::leaves_connection_in_step) {
            self.session = Some(session);
        }
        result
    }
}

impl fmt::Debug for FtpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FtpClient").field("open", &self.session.is_some()).finish()
    }
}
