//! Real servers for tests, each on free loopback ports with a folder of its own, stopped when dropped.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test that cannot start its server fails")]

pub mod certificates;
pub mod disk;
pub mod files;
pub mod postgres;
pub mod process;
pub mod rabbitmq;
pub mod smtp;
pub mod vsftpd;

use std::{
    env,
    fs::{self, File},
    mem,
    net::{TcpListener, UdpSocket},
    ops::{Range, RangeInclusive},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::{Failed, Trial};

/// Where Debian keeps programs that are not on everyone's path.
const FURTHER_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Below the ports that Linux gives to whoever connects, so that a port that is free stays so.
const PORTS: Range<u16> = 12_000..30_000;

/// What file servers choose from for data connections, each port for a moment; nobody else is given any of these.
pub const PASSIVE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// The program of that name, if it is installed.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(FURTHER_FOLDERS.iter().map(PathBuf::from));
    folders.chain(postgresql_folders()).map(|folder| folder.join(name)).find(|program| is_executable(program))
}

/// Those of the programs that are not installed.
#[must_use]
pub fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    programs.iter().copied().filter(|program| find_program(program).is_none()).collect()
}

/// Debian keeps each version of PostgreSQL in a folder of its own; the latest comes first.
fn postgresql_folders() -> Vec<PathBuf> {
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    folders.reverse();
    folders
}

fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    program.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// A test that needs `programs`: ignored where one is missing, or failed if `SYMPHONY_REQUIRE_SERVERS` is set.
#[must_use]
pub fn trial(name: &str, programs: &[&str], test: impl FnOnce() + Send + 'static) -> Trial {
    let missing = missing(programs);
    if !missing.is_empty() {
        return impossible(name, &missing.join(", "));
    }
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// A test that cannot be run here for want of something: ignored, or failed if `SYMPHONY_REQUIRE_SERVERS` is set.
#[must_use]
pub fn impossible(name: &str, need: &str) -> Trial {
    let reason = format!("needs {need}");
    let is_required = env::var_os("SYMPHONY_REQUIRE_SERVERS").is_some();
    let message = reason.clone();
    Trial::test(name, move || Err(Failed::from(message))).with_kind(reason).with_ignored_flag(!is_required)
}

/// A loopback port that is free, for TCP and for UDP, and that the system gives to nobody who does not ask for it, nor
/// this function to anybody else while this process lives.
///
/// # Panics
/// If there can be no lock files.
#[must_use]
pub fn free_port() -> u16 {
    // Another user could not open our files.
    let user = fs::metadata("/proc/self").expect("Linux has /proc").uid();
    let folder = env::temp_dir().join(format!("symphony-ports-{user}"));
    fs::create_dir_all(&folder).expect("a folder for lock files");
    loop {
        let port = rand::random_range(PORTS);
        let lock = File::create(folder.join(port.to_string())).expect("a lock file");
        if lock.try_lock().is_ok()
            && TcpListener::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port)).is_ok()
        {
            // The system unlocks it when the process ends.
            mem::forget(lock);
            return port;
        }
    }
}

/// Asks `condition` until it holds, and returns whether it did within `deadline`.
#[must_use]
pub fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
