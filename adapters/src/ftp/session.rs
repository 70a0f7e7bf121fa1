//! The conversation with the server, command by command, each under its timeout.

use std::{future::Future, time::Duration};

use rustls::pki_types::ServerName;
use suppaftp::{
    FtpError as Suppaftp, FtpResult, Mode, Status,
    tokio::{AsyncRustlsFtpStream, AsyncRustlsStream, AsyncTlsConnector, TransferStream},
    tokio_rustls::TlsConnector,
    types::{FileType, Response},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time,
};
use tracing::{debug, warn};

use super::{FtpError, FtpSettings, RemoteFile, Security, listing, name};
use crate::tls;

/// Bytes of a listing at most: some 80,000 files.
const LISTING_SIZE_MAX: u64 = 8 << 20;
/// Bytes moved under one timeout.
const CHUNK_SIZE: usize = 64 << 10;
/// One whole transfer at most, however steadily its bytes drip.
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// Characters of the server's words that are worth repeating.
const MESSAGE_LEN_MAX: usize = 200;

/// A logged-in connection that is in step: every command has had its reply.
pub(super) struct Session {
    stream: AsyncRustlsFtpStream,
    timeout: Duration,
    home: String,
    has_mlsd: bool,
    has_mdtm: bool,
}

/// Begins TLS, and says why if it cannot: the library's own connector leaves no more of an error than rustls's text.
struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

#[async_trait::async_trait]
impl AsyncTlsConnector for Connector {
    type Stream = AsyncRustlsStream;

    async fn connect(&self, domain: &str, stream: TcpStream) -> FtpResult<Self::Stream> {
        let name = ServerName::try_from(domain.to_owned()).map_err(|error| Suppaftp::SecureError(error.to_string()))?;
        let connected = self.0.connect(name, stream).await;
        connected.map(Into::into).map_err(|error| Suppaftp::SecureError(tls::describe(&error)))
    }
}

/// A command with a data connection.
#[derive(Clone, Copy)]
enum Transfer<'a> {
    Store(&'a str),
    Retrieve(&'a str),
    List(&'static str),
}

impl Transfer<'_> {
    fn step(self) -> &'static str {
        match self {
            Self::Store(_) => "upload",
            Self::Retrieve(_) => "download",
            Self::List(_) => "listing",
        }
    }
}

impl Session {
    pub(super) async fn connect(settings: &FtpSettings) -> Result<Self, FtpError> {
        let timeout = settings.timeout;
        let socket = within(timeout, "connection", async {
            TcpStream::connect(&settings.address).await.map_err(Suppaftp::ConnectionError)
        })
        .await?;
        // Commands are small and wait for their replies.
        let _ = socket.set_nodelay(true);
        let is_ipv6 = socket.peer_addr().is_ok_and(|peer| peer.is_ipv6());

        let greeting = AsyncRustlsFtpStream::connect_with_stream(socket);
        let mut stream = within(timeout, "greeting", greeting).await?;
        if let Security::Explicit(config) = &settings.security {
            let secured = stream.into_secure(Connector(TlsConnector::from(config.clone())), host(&settings.address));
            stream = within(timeout, "AUTH TLS", secured).await?;
        }
        within(timeout, "login", stream.login(&settings.user, &settings.password)).await.map_err(login_failure)?;

        let features = optional(within(timeout, "FEAT", stream.feat()).await)?.unwrap_or_default();
        let has = |feature: &str| features.keys().any(|key| key.eq_ignore_ascii_case(feature));
        within(timeout, "TYPE I", stream.transfer_type(FileType::Binary)).await?;
        let home = optional(within(timeout, "PWD", stream.pwd()).await)?.unwrap_or_else(|| "/".to_owned());

        // Either way the data connection goes to the control connection's address: what a server behind NAT says of
        // itself is wrong, and what a hostile one says is an attack on somebody else.
        stream.set_mode(if is_ipv6 || has("EPSV") { Mode::ExtendedPassive } else { Mode::Passive });
        stream.set_passive_nat_workaround(true);
        let (has_mlsd, has_mdtm) = (has("MLSD") || has("MLST"), has("MDTM"));
        debug!(address = settings.address, has_mlsd, has_mdtm, home, "logged in to FTP");
        Ok(Self { stream, timeout, home, has_mlsd, has_mdtm })
    }

    pub(super) async fn upload(&mut self, folder: &str, name: &str, content: &[u8]) -> Result<String, FtpError> {
        let part = name::part(name)?;
        let folder = name::absolute(&self.home, folder)?;
        self.enter_or_create(&folder).await?;
        let (part, path) = (name::join(&folder, &part), name::join(&folder, name));

        let result = self.store(&part, &path, content).await;
        if result.as_ref().is_err_and(FtpError::leaves_connection_in_step)
            && let Err(error) = within(self.timeout, "DELE", self.stream.rm(&part)).await
        {
            debug!(part, %error, "could not remove an unfinished upload");
        }
        result.map(|()| path)
    }

    pub(super) async fn list(&mut self, folder: &str) -> Result<Vec<RemoteFile>, FtpError> {
        let folder = name::absolute(&self.home, folder)?;
        // Entering it tells a missing folder from an empty one, and spares the listing an argument, which servers take
        // for options and patterns.
        self.enter(&folder).await?;
        let command = if self.has_mlsd { "MLSD" } else { "LIST" };
        let content = self.receive(Transfer::List(command), "listing", LISTING_SIZE_MAX).await?;
        let text = String::from_utf8_lossy(&content);
        let entries = if self.has_mlsd { listing::mlsd(&text) } else { listing::list(&text) };

        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = name::join(&folder, &entry.name);
            let Some(size) = self.size_of(&path, &entry).await? else { continue };
            let Some(modified_at_ms) = self.modified_at_ms_of(&path, &entry).await? else { continue };
            files.push(RemoteFile { name: entry.name, path, size, modified_at_ms });
        }
        Ok(files)
    }

    pub(super) async fn download(&mut self, path: &str, size_max: u64) -> Result<Vec<u8>, FtpError> {
        let path = name::absolute(&self.home, path)?;
        let expected = self.size(&path).await?;
        if expected > size_max {
            return Err(FtpError::TooLarge { what: path, size_max });
        }
        let before = if self.has_mdtm { self.mdtm(&path).await? } else { None };
        let content = self.receive(Transfer::Retrieve(&path), &path, size_max).await?;
        // A server sends what was there when it began: whoever writes meanwhile shows only now.
        let (actual, expected) = (len(&content), expected.max(self.size(&path).await?));
        if actual != expected {
            return Err(FtpError::Incomplete { path, expected, actual });
        }
        if self.has_mdtm && self.mdtm(&path).await? != before {
            return Err(FtpError::Changed(path));
        }
        Ok(content)
    }

    pub(super) async fn quit(&mut self) {
        if let Err(error) = within(self.timeout, "QUIT", self.stream.quit()).await {
            debug!(%error, "left the FTP server without its goodbye");
        }
    }

    async fn enter(&mut self, folder: &str) -> Result<(), FtpError> {
        match within(self.timeout, "CWD", self.stream.cwd(folder)).await {
            Err(FtpError::Refused { code: 550, .. }) => Err(FtpError::FolderMissing(folder.to_owned())),
            result => result,
        }
    }

    async fn enter_or_create(&mut self, folder: &str) -> Result<(), FtpError> {
        match self.enter(folder).await {
            Err(FtpError::FolderMissing(_)) => {}
            result => return result,
        }
        let ends = folder.match_indices('/').map(|(at, _)| at).skip(1).chain([folder.len()]);
        for ancestor in ends.filter_map(|end| folder.get(..end)) {
            // An ancestor that exists is refused; whether it all worked shows below.
            optional(within(self.timeout, "MKD", self.stream.mkdir(ancestor)).await)?;
        }
        self.enter(folder).await
    }

    async fn store(&mut self, part: &str, path: &str, content: &[u8]) -> Result<(), FtpError> {
        let transfer = Transfer::Store(part);
        let mut data = self.open(transfer).await?;
        let timeout = self.timeout;
        let sent = async {
            for chunk in content.chunks(CHUNK_SIZE) {
                let write = async { data.write_all(chunk).await.map_err(Suppaftp::ConnectionError) };
                within(timeout, transfer.step(), write).await?;
            }
            Ok(())
        };
        let sent = whole(transfer.step(), sent).await;
        if matches!(sent, Err(FtpError::Timeout(_))) {
            return sent;
        }
        let finished = within(timeout, transfer.step(), data.finish()).await;
        if sent.is_err() && !matches!(finished, Err(FtpError::Refused { .. } | FtpError::Timeout(_))) {
            // The server took no more, as with a full disk, and its reply has been read: what is there is of no use.
            if let Err(error) = within(timeout, "DELE", self.stream.rm(part)).await {
                debug!(part, %error, "could not remove an unfinished upload");
            }
            return sent;
        }
        finished?;

        let (expected, actual) = (len(content), self.size(part).await?);
        if actual != expected {
            return Err(FtpError::Incomplete { path: part.to_owned(), expected, actual });
        }
        within(timeout, "rename", self.stream.rename(part, path)).await
    }

    async fn receive(&mut self, transfer: Transfer<'_>, what: &str, size_max: u64) -> Result<Vec<u8>, FtpError> {
        let mut data = self.open(transfer).await?;
        let timeout = self.timeout;
        let received = async {
            let mut content = Vec::new();
            let mut chunk = vec![0; CHUNK_SIZE];
            loop {
                let read = async { data.read(&mut chunk).await.map_err(Suppaftp::ConnectionError) };
                let count = within(timeout, transfer.step(), read).await?;
                if count == 0 {
                    return Ok(content);
                }
                content.extend_from_slice(chunk.get(..count).unwrap_or_default());
                if len(&content) > size_max {
                    return Err(FtpError::TooLarge { what: what.to_owned(), size_max });
                }
            }
        };
        let content = whole(transfer.step(), received).await?;
        within(timeout, transfer.step(), data.finish()).await?;
        Ok(content)
    }

    /// Opens the data connection, by PASV if the server turns out not to know EPSV.
    async fn open(&mut self, transfer: Transfer<'_>) -> Result<TransferStream<AsyncRustlsStream>, FtpError> {
        match self.open_once(transfer).await {
            Err(FtpError::Refused { code: 500..=504 | 522, .. }) => {
                self.stream.set_mode(Mode::Passive);
                self.open_once(transfer).await
            }
            result => result,
        }
    }

    async fn open_once(&mut self, transfer: Transfer<'_>) -> Result<TransferStream<AsyncRustlsStream>, FtpError> {
        let preliminary = [Status::AboutToSend, Status::AlreadyOpen];
        within(self.timeout, transfer.step(), async {
            match transfer {
                Transfer::Store(path) => self.stream.put_with_stream(path).await,
                Transfer::Retrieve(path) => self.stream.retr_as_stream(path).await,
                Transfer::List(command) => {
                    self.stream.custom_data_command(command, &preliminary).await.map(|(_, data)| data)
                }
            }
        })
        .await
    }

    async fn size(&mut self, path: &str) -> Result<u64, FtpError> {
        let size = within(self.timeout, "SIZE", self.stream.size(path)).await?;
        u64::try_from(size).map_err(|_| FtpError::Protocol("SIZE"))
    }

    /// The listing's size, or the server's answer; none if the file is gone by now.
    async fn size_of(&mut self, path: &str, entry: &listing::Entry) -> Result<Option<u64>, FtpError> {
        if entry.size.is_some() {
            return Ok(entry.size);
        }
        let size = optional(self.size(path).await)?;
        if size.is_none() {
            debug!(path, "left a file without a size out of the FTP listing");
        }
        Ok(size)
    }

    /// The time of MLSD, or of MDTM: LIST says it to the minute at best, which hides changes. None if the file is gone.
    async fn modified_at_ms_of(&mut self, path: &str, entry: &listing::Entry) -> Result<Option<i64>, FtpError> {
        if entry.modified_at_ms.is_some() && (self.has_mlsd || !self.has_mdtm) {
            return Ok(entry.modified_at_ms);
        }
        let modified = self.mdtm(path).await?;
        if modified.is_none() {
            warn!(path, "left a file without a time out of the FTP listing");
        }
        Ok(modified)
    }

    /// When a file was changed, in milliseconds since the Unix epoch; none if the server does not tell.
    async fn mdtm(&mut self, path: &str) -> Result<Option<i64>, FtpError> {
        let modified = optional(within(self.timeout, "MDTM", self.stream.mdtm(path)).await)?;
        Ok(modified.map(|time| time.and_utc().timestamp_millis()))
    }
}

/// Waits for one step.
async fn within<T>(
    timeout: Duration,
    step: &'static str,
    work: impl Future<Output = FtpResult<T>>,
) -> Result<T, FtpError> {
    match time::timeout(timeout, work).await {
        Ok(result) => result.map_err(|error| failure(step, error)),
        Err(_) => Err(FtpError::Timeout(step)),
    }
}

/// Waits for the bytes of one whole transfer.
async fn whole<T>(step: &'static str, work: impl Future<Output = Result<T, FtpError>>) -> Result<T, FtpError> {
    time::timeout(TRANSFER_TIME_MAX, work).await.unwrap_or(Err(FtpError::Timeout(step)))
}

/// What the server may refuse: none if it did.
fn optional<T>(result: Result<T, FtpError>) -> Result<Option<T>, FtpError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(FtpError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn failure(step: &'static str, error: Suppaftp) -> FtpError {
    match error {
        Suppaftp::ConnectionError(source) => FtpError::Connection { step, source },
        Suppaftp::SecureError(reason) => FtpError::Tls { step, reason },
        Suppaftp::UnexpectedResponse(response) => refusal(step, &response),
        Suppaftp::BadResponse | Suppaftp::InvalidAddress(_) | Suppaftp::DataConnectionAlreadyOpen => {
            FtpError::Protocol(step)
        }
    }
}

fn refusal(step: &'static str, response: &Response) -> FtpError {
    let text = String::from_utf8_lossy(&response.body);
    let (code, message) = text.split_at_checked(3).unwrap_or_default();
    let message = message.trim_start_matches(['-', ' ']).trim_end();
    let message =
        message.chars().take(MESSAGE_LEN_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect();
    FtpError::Refused { step, code: code.parse().unwrap_or_else(|_| response.status.code()), message }
}

fn login_failure(error: FtpError) -> FtpError {
    match error {
        FtpError::Refused { code, message, .. } if code >= 500 => FtpError::Login(message),
        error => error,
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn len(content: &[u8]) -> u64 {
    u64::try_from(content.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_checked_against_the_host_alone() {
        assert_eq!(host("ftp.example.org:21"), "ftp.example.org");
        assert_eq!(host("[::1]:21"), "::1");
    }

    #[test]
    fn a_refusal_repeats_the_servers_words_on_one_short_line() {
        let body = format!("553-no\r\n553 {}\r\n", "x".repeat(1000)).into_bytes();
        let error = refusal("rename", &Response::new(Status::BadFilename, body));
        let FtpError::Refused { step: "rename", code: 553, message } = error else { panic!("{error:?}") };
        assert!(message.starts_with("no  553 xxx") && message.len() <= MESSAGE_LEN_MAX, "{message}");
    }

    #[test]
    fn only_a_permanent_refusal_means_the_account_is_wrong() {
        let refused = |code| FtpError::Refused { step: "login", code, message: String::new() };
        assert!(matches!(login_failure(refused(530)), FtpError::Login(_)));
        assert!(matches!(login_failure(refused(421)), FtpError::Refused { .. }));
    }
}
