//! vsftpd with one folder that anonymous users may write to.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use super::{find_program, free_port, process::Process};

/// A running vsftpd. It needs no privileges and no accounts: it runs as whoever runs the tests, without a chroot, so
/// its users' home is [`Vsftpd::home`] and not `/`.
#[derive(Debug)]
pub struct Vsftpd {
    _process: Process,
    folder: TempDir,
    address: SocketAddr,
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
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a home");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let configuration = folder.path().join("vsftpd.conf");
        fs::write(&configuration, settings(&home.display().to_string(), address.port())).expect("a configuration");

        let program = find_program(Self::PROGRAM).expect("vsftpd is installed");
        let log = folder.path().join("output.log");
        let mut process = Process::start(Command::new(program).arg(&configuration), log);
        process.wait_for(address);
        Self { _process: process, folder, address }
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
    format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n\
         run_as_launching_user=YES\nftp_username={user}\nseccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\n\
         anonymous_enable=YES\nlocal_enable=NO\nanon_root={home}\nallow_writeable_chroot=YES\n\
         write_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\n\
         anon_world_readable_only=NO\nanon_umask=022\nconnect_from_port_20=NO\nxferlog_enable=NO\n"
    )
}
