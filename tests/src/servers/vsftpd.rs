//! vsftpd with one folder that anonymous users may write to.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use super::{PASSIVE_PORTS, certificates::Certificate, find_program, free_port, process::Process};

/// A running vsftpd. It needs no privileges and no accounts: it runs as whoever runs the tests, without a chroot, so
/// its users' home is [`Vsftpd::home`] and not `/`.
#[derive(Debug)]
pub struct Vsftpd {
    process: Option<Process>,
    folder: TempDir,
    address: SocketAddr,
    disk: Disk,
}

/// What the users' home is on.
#[derive(Clone, Copy, Debug)]
enum Disk {
    /// The disk of the tests, where [`Vsftpd::home`] can be looked into.
    Shared,
    /// A disk of this many bytes, which nobody but the server sees, and which is gone when it stops.
    Own(usize),
}

impl Vsftpd {
    /// The program's name.
    pub const PROGRAM: &str = "vsftpd";
    /// The account that may log in, with any password.
    pub const USER: &str = "anonymous";

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("", Disk::Shared)
    }

    /// Starts one that moves at most this many bytes a second.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn start_slow(bytes_per_second: usize) -> Self {
        // What it reads itself shows in the position of the file.
        Self::start_with(&format!("anon_max_rate={bytes_per_second}\nuse_sendfile=NO\n"), Disk::Shared)
    }

    /// Starts one with a disk of this many bytes for its users; see [`super::disk::Disk::can_be_had`].
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn start_with_disk_of(bytes: usize) -> Self {
        Self::start_with("", Disk::Own(bytes))
    }

    /// Starts one that asks for TLS, with this certificate.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn start_with_tls(certificate: &Certificate) -> Self {
        let (pem, key) = (certificate.certificate.display(), certificate.key.display());
        let more = format!(
            "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\n\
             rsa_cert_file={pem}\nrsa_private_key_file={key}\nssl_ciphers=HIGH\nrequire_ssl_reuse=NO\n"
        );
        Self::start_with(&more, Disk::Shared)
    }

    fn start_with(more: &str, disk: Disk) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a home");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let configuration = folder.path().join("vsftpd.conf");
        let settings = settings(&home.display().to_string(), address.port()) + more;
        fs::write(&configuration, settings).expect("a configuration");
        let mut server = Self { process: None, folder, address, disk };
        server.restart();
        server
    }

    /// Ends it at once, with all its connections.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again at the same address, with the files of before.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn restart(&mut self) {
        self.stop();
        let program = find_program(Self::PROGRAM).expect("vsftpd is installed");
        let configuration = self.folder.path().join("vsftpd.conf");
        let mut command = match self.disk {
            Disk::Shared => Command::new(program),
            Disk::Own(bytes) => {
                let script = format!("mount -t tmpfs -o size={bytes} tmpfs \"$0\" && exec \"$@\"");
                let mut command = Command::new("unshare");
                command.args(["--mount", "--map-root-user", "sh", "-c", &script]).arg(self.home()).arg(program);
                command
            }
        };
        let mut process = Process::start(command.arg(configuration), self.folder.path().join("output.log"));
        process.wait_for(self.address);
        self.process = Some(process);
    }

    /// `host:port` of the control connection.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The users' home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
}

fn settings(home: &str, port: u16) -> String {
    let user = Command::new("id").arg("-un").output().expect("the user's name").stdout;
    let user = String::from_utf8_lossy(&user).trim().to_owned();
    let (first, last) = (PASSIVE_PORTS.start(), PASSIVE_PORTS.end());
    format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n\
         run_as_launching_user=YES\nftp_username={user}\nseccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\n\
         anonymous_enable=YES\nlocal_enable=NO\nanon_root={home}\nallow_writeable_chroot=YES\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\n\
         anon_world_readable_only=NO\nanon_umask=022\nconnect_from_port_20=NO\nxferlog_enable=NO\n\
         pasv_min_port={first}\npasv_max_port={last}\n"
    )
}
