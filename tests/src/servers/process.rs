//! A program with its children.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use super::wait_until;

/// How long a server may take to listen.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A running program, leader of its own process group, which is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program with its output in the file `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let output = File::create(&log).expect("a log file");
        command.stdout(output);
        Self::start_with_errors_in(command, log)
    }

    /// Starts the program with its standard error in the file `log`; standard output is the command's matter.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start_with_errors_in(command: &mut Command, log: PathBuf) -> Self {
        let errors = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = command.process_group(0).stdin(Stdio::null()).stderr(errors).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{command:?}: {error}")), log }
    }

    /// Waits until something listens on `address`.
    ///
    /// # Panics
    /// If the program ends before, or takes too long; with what it wrote.
    pub fn wait_for(&mut self, address: SocketAddr) {
        let child = &mut self.child;
        let mut has_ended = false;
        let listens = wait_until(START_DEADLINE, || {
            has_ended = child.try_wait().is_ok_and(|status| status.is_some());
            has_ended || TcpStream::connect(address).is_ok()
        });
        assert!(listens && !has_ended, "the server does not listen on {address}; it wrote:\n{}", self.log());
    }

    /// Sends the program itself, not its children, the signal of this name, such as `TERM`.
    ///
    /// # Panics
    /// If it has ended and been waited for.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("/bin/sh").args(["-c", &kill]).status();
        assert!(status.is_ok_and(|status| status.success()), "{kill} fails");
    }

    /// How the program ended; none if it is running.
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of our own child")
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the program wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = format!("kill -s KILL -- -{}", self.child.id());
        let _ = Command::new("/bin/sh").args(["-c", &group]).stderr(Stdio::null()).status();
        // Never wait for a leader that the shell did not reach.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
