//! A file server as a process: vsftpd, or our own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use symphony_adapters::ftp::{FtpClient, FtpSettings, Security};
use tempfile::TempDir;

use super::{PASSIVE_PORTS, disk::Disk, free_port, vsftpd::Vsftpd, wait_until};
use crate::symphony::{PATIENCE, Symphony};

/// What a slow vsftpd moves in a second.
const RATE: usize = 1 << 20;

/// A running file server.
#[derive(Debug)]
pub enum FileServer {
    /// Another's, which knows no MLSD.
    Vsftpd(Vsftpd),
    /// Role `ftp` of the program under test.
    Own(Own),
}

impl FileServer {
    /// vsftpd, at full speed.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn vsftpd() -> Self {
        Self::Vsftpd(Vsftpd::start())
    }

    /// vsftpd, so slow that a file of [`FileServer::large`] bytes is under way for seconds.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn slow_vsftpd() -> Self {
        Self::Vsftpd(Vsftpd::start_slow(RATE))
    }

    /// Our own, played by `program`.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn own(program: &str) -> Self {
        Self::Own(Own::start(program, None))
    }

    /// Our own, with a disk of so many bytes.
    ///
    /// # Panics
    /// If it does not listen, or there is no such disk to be had ([`Disk::can_be_had`]).
    #[must_use]
    pub fn own_with_disk_of(program: &str, bytes: usize) -> Self {
        Self::Own(Own::start(program, Some(bytes)))
    }

    /// A client that has logged in.
    ///
    /// # Panics
    /// If it is not let in.
    pub async fn connect(&self) -> FtpClient {
        let (address, user) = match self {
            Self::Vsftpd(server) => (server.address(), Vsftpd::USER),
            Self::Own(server) => (server.address, Own::USER),
        };
        let settings = FtpSettings {
            address: address.to_string(),
            user: user.to_owned(),
            password: Own::PASSWORD.to_owned(),
            security: Security::Plain,
            timeout: Duration::from_secs(10),
        };
        FtpClient::connect(&settings).await.expect("a server that lets us in")
    }

    /// The folder served, as we see it.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        match self {
            Self::Vsftpd(server) => server.home(),
            Self::Own(server) => server.root.clone(),
        }
    }

    /// A file's path on the server.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        match self {
            Self::Vsftpd(server) => server.home().join(name).display().to_string(),
            Self::Own(_) => format!("/{name}"),
        }
    }

    /// Bytes of a file that does not travel at once.
    #[must_use]
    pub fn large(&self) -> usize {
        match self {
            Self::Vsftpd(_) => 3 * RATE,
            // Many times what the connection itself holds.
            Self::Own(_) => 64 << 20,
        }
    }

    /// Whether a download of the file is under way: the server, or a child of it, has read some of it.
    #[must_use]
    pub fn is_sending(&self, file: &Path) -> bool {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.map(|process| has_read_of(&process.path(), file)).any(|bytes| bytes > 0)
    }

    /// Ends it at once, with all its connections.
    pub fn stop(&mut self) {
        match self {
            Self::Vsftpd(server) => server.stop(),
            Self::Own(server) => server.process = None,
        }
    }

    /// Starts it again at the same address, with the files of before.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn restart(&mut self) {
        match self {
            Self::Vsftpd(server) => server.restart(),
            Self::Own(server) => server.restart(),
        }
    }
}

/// Our own file server.
#[derive(Debug)]
pub struct Own {
    process: Option<Symphony>,
    program: String,
    folder: TempDir,
    root: PathBuf,
    address: SocketAddr,
    operations: SocketAddr,
    _disk: Option<Disk>,
}

impl Own {
    const USER: &str = "symphony";
    const PASSWORD: &str = "secret";

    fn start(program: &str, disk: Option<usize>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = disk.map(|bytes| Disk::mount(&folder.path().join("disk"), bytes));
        let root = disk.as_ref().map_or_else(|| folder.path().to_owned(), Disk::path).join("root");
        let [address, operations] = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let program = program.to_owned();
        let mut server = Self { process: None, program, folder, root, address, operations, _disk: disk };
        server.restart();
        server
    }

    fn restart(&mut self) {
        self.process = None;
        let variables = [
            ("SYMPHONY_FTP_SERVER__LISTEN", self.address.to_string()),
            ("SYMPHONY_FTP_SERVER__OPERATIONS", self.operations.to_string()),
            ("SYMPHONY_FTP_SERVER__ROOT", self.root.display().to_string()),
            ("SYMPHONY_FTP_SERVER__USER", Self::USER.to_owned()),
            ("SYMPHONY_FTP_SERVER__PASSWORD", Self::PASSWORD.to_owned()),
            ("SYMPHONY_FTP_SERVER__PASSIVE_PORT_MIN", PASSIVE_PORTS.start().to_string()),
            ("SYMPHONY_FTP_SERVER__PASSIVE_PORT_MAX", PASSIVE_PORTS.end().to_string()),
        ];
        let mut process = Symphony::start(&self.program, self.folder.path(), "ftp", ["ftp"], &variables);
        let listens = wait_until(PATIENCE, || !process.is_running() || TcpStream::connect(self.address).is_ok());
        assert!(listens && process.is_running(), "it does not listen:\n{}", process.log());
        self.process = Some(process);
    }
}

/// Bytes of a file that a process has read so far; none if it has not opened it.
fn has_read_of(process: &Path, file: &Path) -> u64 {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let open = descriptors.filter(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|at| at == file));
    let positions = open.filter_map(|descriptor| {
        let state = fs::read_to_string(process.join("fdinfo").join(descriptor.file_name())).ok()?;
        state.lines().find_map(|line| line.strip_prefix("pos:"))?.trim().parse().ok()
    });
    positions.max().unwrap_or(0)
}
