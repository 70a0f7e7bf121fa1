//! aiosmtpd, which keeps every mail as a file and refuses on demand.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use super::{certificates::Certificate, find_program, free_port, process::Process};

/// A running SMTP server.
///
/// Some recipients' names make it misbehave, as `smtp_keeper.py` tells; mail to anyone else is kept.
#[derive(Debug)]
pub struct SmtpServer {
    process: Option<Process>,
    folder: TempDir,
    address: SocketAddr,
    certificate: Option<Certificate>,
    /// TLS from the first byte, or STARTTLS.
    is_wrapped: bool,
}

impl SmtpServer {
    /// The program's name.
    pub const PROGRAM: &str = "aiosmtpd";

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn start() -> Self {
        Self::start_as(None, false)
    }

    /// Starts one that asks for STARTTLS, with this certificate.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn start_with_tls(certificate: &Certificate) -> Self {
        Self::start_as(Some(certificate.clone()), false)
    }

    /// Starts one that speaks TLS from the first byte, with this certificate.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    pub fn start_with_wrapped_tls(certificate: &Certificate) -> Self {
        Self::start_as(Some(certificate.clone()), true)
    }

    fn start_as(certificate: Option<Certificate>, is_wrapped: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("mails")).expect("a folder for mails");
        fs::write(folder.path().join("keeper.py"), include_str!("smtp_keeper.py")).expect("a handler");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut server = Self { process: None, folder, address, certificate, is_wrapped };
        server.restart();
        server
    }

    /// Ends it, with all its connections, and starts it again at the same address.
    ///
    /// # Panics
    /// If it does not listen again.
    pub fn restart(&mut self) {
        self.stop();
        let program = find_program(Self::PROGRAM).expect("aiosmtpd is installed");
        let mut command = Command::new(program);
        command.env("PYTHONPATH", self.folder.path()).args(["--nosetuid", "--listen", &self.address.to_string()]);
        if let Some(Certificate { certificate, key }) = &self.certificate {
            let [certificate_flag, key_flag] =
                if self.is_wrapped { ["--smtpscert", "--smtpskey"] } else { ["--tlscert", "--tlskey"] };
            command.arg(certificate_flag).arg(certificate).arg(key_flag).arg(key);
        }
        command.args(["--class", "keeper.Keeper"]).arg(self.mails());
        let mut process = Process::start(&mut command, self.folder.path().join("output.log"));
        process.wait_for(self.address);
        self.process = Some(process);
    }

    /// Ends it, with all its connections.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The mails kept so far, in the order they came, each after a line with the envelope's sender and recipients.
    ///
    /// # Panics
    /// If they cannot be read.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        let entries = fs::read_dir(self.mails()).expect("the folder of mails");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("a mail").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).expect("a mail in UTF-8")).collect()
    }

    fn mails(&self) -> PathBuf {
        self.folder.path().join("mails")
    }
}

/// Subjects of all mails that a digest stands for, or of the mail itself.
#[must_use]
pub fn subjects(mail: &str) -> Vec<String> {
    // The same text follows in HTML.
    let plain = mail.split("text/html").next().unwrap_or_default();
    let listed: Vec<_> = plain.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
    let own = mail.lines().filter_map(|line| line.strip_prefix("Subject: ")).take(1);
    let subjects = if listed.is_empty() { own.collect() } else { listed };
    subjects.into_iter().map(|subject| subject.trim().to_owned()).collect()
}
