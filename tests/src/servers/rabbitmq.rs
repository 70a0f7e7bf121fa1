//! A RabbitMQ node with a port mapper of its own.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::{certificates::Certificate, find_program, free_port, wait_until};

/// The programs without which a node cannot run.
pub const PROGRAMS: &[&str] = &["rabbitmq-server", "epmd"];

/// Debian's program on the path insists on the user `rabbitmq`; this one runs as whoever runs the test.
const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

const START_DEADLINE: Duration = Duration::from_secs(600);
const STOP_DEADLINE: Duration = Duration::from_secs(120);

/// One node, which keeps its ports and its data when it is stopped and started again.
#[derive(Debug)]
pub struct RabbitMq {
    server: Option<(Child, Guard)>,
    port_mapper: (Child, Guard),
    folder: TempDir,
    port: u16,
    tls_port: Option<u16>,
    distribution_port: u16,
    port_mapper_port: u16,
}

impl RabbitMq {
    /// Chooses ports and a folder; the node is not yet running.
    ///
    /// # Panics
    /// If there is no folder, or no port mapper to run.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("plugins"), "[].").expect("a file in it");
        let port_mapper_port = free_port();
        let port_mapper = Command::new(find_program("epmd").expect("epmd is installed"))
            .process_group(0)
            .args(["-port", &port_mapper_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("epmd runs");
        let guard = Guard::over(&port_mapper);
        let port_mapper = (port_mapper, guard);
        Self {
            server: None,
            port_mapper,
            folder,
            port: free_port(),
            tls_port: None,
            distribution_port: free_port(),
            port_mapper_port,
        }
    }

    /// A new node, running.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn started() -> Self {
        let mut node = Self::new();
        node.start();
        node
    }

    /// What a client connects to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Chooses a port for TLS, and this certificate for when the node is started next.
    ///
    /// # Panics
    /// If the settings cannot be written.
    pub fn certify(&mut self, certificate: &Certificate) {
        let port = *self.tls_port.get_or_insert_with(free_port);
        let (pem, key) = (certificate.certificate.display(), certificate.key.display());
        let settings = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {pem}\nssl_options.certfile = {pem}\n\
             ssl_options.keyfile = {key}\nssl_options.verify = verify_none\n"
        );
        fs::write(self.folder.path().join("settings.conf"), settings).expect("a file of settings");
    }

    /// What a client connects to that calls this machine `host` and speaks TLS.
    ///
    /// # Panics
    /// Without a certificate.
    #[must_use]
    pub fn tls_url(&self, host: &str) -> String {
        format!("amqps://guest:guest@{host}:{}/%2f", self.tls_port.expect("a certificate"))
    }

    /// Starts the node and waits until it takes connections.
    ///
    /// # Panics
    /// If it does not; with what it wrote.
    pub fn start(&mut self) {
        let folder = self.folder.path();
        let log = folder.join("output.log");
        let output = File::options().create(true).append(true).open(&log).expect("a log file");
        let errors = output.try_clone().expect("a second handle of the log file");
        let program = match Path::new(SCRIPT) {
            script if script.is_file() => script.to_owned(),
            _ => find_program("rabbitmq-server").expect("RabbitMQ is installed"),
        };
        let mut server = Command::new(program)
            .process_group(0)
            .env("HOME", folder)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.port_mapper_port.to_string())
            .env("RABBITMQ_NODENAME", format!("symphony-{}@localhost", self.port))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("settings"))
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("none.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("RabbitMQ runs");
        let guard = Guard::over(&server);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listens = wait_until(START_DEADLINE, || {
            TcpStream::connect(address).is_ok() || server.try_wait().is_ok_and(|status| status.is_some())
        }) && TcpStream::connect(address).is_ok();
        let tls = self.tls_port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let listens = listens && tls.is_none_or(|tls| wait_until(START_DEADLINE, || TcpStream::connect(tls).is_ok()));
        self.server = Some((server, guard));
        assert!(listens, "RabbitMQ does not listen on {address}; it wrote:\n{}", self.output(&log));
    }

    /// Asks the node to stop, and waits until it has.
    ///
    /// # Panics
    /// If it does not.
    pub fn stop(&mut self) {
        if let Some((mut server, _guard)) = self.server.take() {
            // To the whole process group: the node is a child of its start script.
            let term = format!("kill -s TERM -- -{}", server.id());
            Command::new("/bin/sh").args(["-c", &term]).status().expect("a shell");
            let stopped = wait_until(STOP_DEADLINE, || server.try_wait().is_ok_and(|status| status.is_some()));
            assert!(stopped, "RabbitMQ does not stop");
        }
    }

    /// Ends the node as a crash would.
    pub fn crash(&mut self) {
        if let Some((mut server, guard)) = self.server.take() {
            drop(guard);
            let _ = server.wait();
        }
    }

    fn output(&self, log: &Path) -> String {
        fs::read_to_string(log).unwrap_or_default()
    }
}

impl Default for RabbitMq {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.crash();
        self.port_mapper.1.end();
        let _ = self.port_mapper.0.wait();
    }
}

/// A shell that kills a process group when the pipe from this process closes: on drop, and also if this process is
/// itself killed.
#[derive(Debug)]
struct Guard(Child);

impl Guard {
    fn over(leader: &Child) -> Self {
        let shell = Command::new("/bin/sh")
            .args(["-c", &format!("read -r _; kill -s KILL -- -{}", leader.id())])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(shell.expect("a shell"))
    }

    fn end(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}
