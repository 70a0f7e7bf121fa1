//! PostgreSQL.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use super::{certificates::Certificate, find_program, free_port, wait_until};

/// Programs that [`Postgres`] needs.
pub const PROGRAMS: &[&str] = &["initdb", "postgres", "pg_isready", "createdb"];

/// Password of the account of every URL.
pub const PASSWORD: &str = "correct-horse";

const START_TIME_MAX: Duration = Duration::from_secs(300);
const STOP_TIME_MAX: Duration = Duration::from_secs(120);

/// A server with its data in a temporary folder.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    account: Option<Account>,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
    databases: AtomicU32,
}

/// Who runs the server when we are root: it refuses to be.
#[derive(Clone, Copy, Debug)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Starts a server with an empty data folder.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with an empty data folder and further settings, each as `name=value`.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        let folder = TempDir::with_prefix("symphony-postgres-").expect("a temporary folder");
        let account = Account::find();
        if let Some(Account { uid, gid }) = account {
            chown(folder.path(), Some(uid), Some(gid)).expect("root may give its folder away");
        }
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("the temporary folder is writable");
        if let Some(Account { uid, gid }) = account {
            chown(&password, Some(uid), Some(gid)).expect("root may give its file away");
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let (port, databases) = (free_port(), AtomicU32::new(0));
        let mut postgres = Self { folder, account, port, settings, server: None, databases };
        let mut initdb = postgres.command("initdb");
        initdb.args(["--username=symphony", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb.arg("--pwfile").arg(password).arg("--pgdata").arg(postgres.data());
        let output = initdb.output().expect("initdb runs");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        postgres.resume();
        postgres
    }

    /// Makes an empty database.
    ///
    /// Returns its URL.
    #[must_use]
    pub fn create_database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut createdb = self.command("createdb");
        createdb.env("PGPASSWORD", PASSWORD);
        createdb.args(["--host=127.0.0.1", &format!("--port={}", self.port), "--username=symphony", &name]);
        let output = createdb.output().expect("createdb runs");
        assert!(output.status.success(), "createdb: {}", String::from_utf8_lossy(&output.stderr));
        format!("postgres://symphony:{PASSWORD}@127.0.0.1:{}/{name}", self.port)
    }

    /// Starts the server again, with this certificate; connections without TLS are still taken.
    pub fn certify(&mut self, certificate: &Certificate) {
        self.crash();
        let names = ["server.crt", "server.key"];
        certificate.copy_to(&self.data(), names);
        if let Some(Account { uid, gid }) = self.account {
            for name in names {
                chown(self.data().join(name), Some(uid), Some(gid)).expect("root may give its file away");
            }
        }
        let settings = self.data().join("postgresql.auto.conf");
        fs::write(settings, "ssl = on\n").expect("the settings are writable");
        self.resume();
    }

    /// Loopback port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server at once, as a crash would; the data stay.
    pub fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGQUIT is PostgreSQL's immediate shutdown: its children go, too.
            let signalled = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
            let gone = signalled.is_ok_and(|status| status.success())
                && wait_until(STOP_TIME_MAX, || !matches!(server.try_wait(), Ok(None)));
            if !gone {
                let _ = server.kill();
                let _ = server.wait();
            }
        }
    }

    /// Starts the server again, on the same port.
    pub fn resume(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).expect("the temporary folder is writable");
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-k"]);
        server.arg(self.folder.path()).args(["-c", "fsync=off", "-c", "max_connections=100"]);
        server.args(self.settings.iter().flat_map(|setting| ["-c", setting]));
        self.server =
            Some(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("postgres runs"));
        let ready = wait_until(START_TIME_MAX, || {
            let mut is_ready = self.command("pg_isready");
            is_ready.args(["--quiet", "--host=127.0.0.1", &format!("--port={}", self.port)]);
            is_ready.status().is_ok_and(|status| status.success())
        });
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(ready, "postgres does not start: {log}");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let program = find_program(program).unwrap_or_else(|| program.into());
        let mut command = match self.account {
            None => Command::new(program),
            Some(Account { uid, gid }) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "--"]);
                command.arg(program);
                command
            }
        };
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Account {
    fn find() -> Option<Self> {
        let own_uid = fs::metadata("/proc/self").expect("Linux has /proc").uid();
        if own_uid != 0 {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").expect("Linux has /etc/passwd");
        let find = |name: &str| {
            let mut columns =
                accounts.lines().map(|line| line.split(':')).find(|line| line.clone().next() == Some(name))?;
            Some(Self { uid: columns.nth(2)?.parse().ok()?, gid: columns.next()?.parse().ok()? })
        };
        find("postgres").or_else(|| find("nobody"))
    }
}
