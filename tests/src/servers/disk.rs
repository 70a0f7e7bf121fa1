//! A small disk of a test's own, in a mount namespace that only the programs started there see.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use libtest_mimic::Trial;

use super::{find_program, impossible, process::Process, wait_until};

const MOUNT_TIME_MAX: Duration = Duration::from_secs(60);

/// Programs that a disk needs.
pub const PROGRAMS: &[&str] = &["unshare", "nsenter", "mount"];

/// A test that needs a disk and `programs`: like [`super::trial`] where there is no disk to be had.
#[must_use]
pub fn trial(name: &str, programs: &[&str], test: impl FnOnce() + Send + 'static) -> Trial {
    let needed = [PROGRAMS, programs].concat();
    if super::missing(&needed).is_empty() && !Disk::can_be_had() {
        return impossible(name, "the right to mount a disk: unshare --mount --map-root-user");
    }
    super::trial(name, &needed, test)
}

/// A disk in memory, which is gone when this is dropped.
#[derive(Debug)]
pub struct Disk {
    /// Keeps the mount namespace.
    _keeper: Process,
    pid: u32,
    mount: PathBuf,
}

impl Disk {
    /// Whether the system lets us have one.
    #[must_use]
    pub fn can_be_had() -> bool {
        let status = Command::new("unshare").args(["--mount", "--map-root-user", "true"]).status();
        PROGRAMS.iter().all(|program| find_program(program).is_some()) && status.is_ok_and(|status| status.success())
    }

    /// Mounts a disk of this many bytes on the folder `mount`, which is made.
    ///
    /// # Panics
    /// If the system does not let us.
    #[must_use]
    pub fn mount(mount: &Path, bytes: usize) -> Self {
        fs::create_dir_all(mount).expect("a folder to mount on");
        let script =
            format!("mount -t tmpfs -o size={bytes} tmpfs \"$0\" && touch \"$0/mounted\" && exec sleep infinity");
        let mut keeper = Command::new("unshare");
        keeper.args(["--mount", "--map-root-user", "sh", "-c", &script]).arg(mount);
        let keeper = Process::start(&mut keeper, mount.with_extension("log"));
        let disk = Self { pid: keeper.id(), _keeper: keeper, mount: mount.to_owned() };
        let mounted = wait_until(MOUNT_TIME_MAX, || disk.path().join("mounted").exists());
        assert!(mounted, "no disk of our own: {}", disk._keeper.log());
        disk
    }

    /// The disk, as we see it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let inner = self.mount.strip_prefix("/").unwrap_or(&self.mount);
        PathBuf::from(format!("/proc/{}/root", self.pid)).join(inner)
    }

    /// A program at `path` that runs `program`, with the same arguments, where the disk is mounted.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_program(&self, path: &Path, program: &str) {
        // The working folder of before would be that of the namespace of before, without the disk.
        let script = format!(
            "#!/bin/sh\nexec nsenter --preserve-credentials --user --mount --target {} -- \\\n\
             sh -c 'cd \"$0\" && exec \"$@\"' \"$PWD\" {program} \"$@\"\n",
            self.pid
        );
        fs::write(path, script).expect("a script");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
    }

    /// Fills it to the last byte.
    ///
    /// # Panics
    /// If that fails for another reason than a full disk.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file on the disk");
        for size in [4096, 1] {
            loop {
                match file.write(&vec![0; size]) {
                    Ok(1..) => {}
                    Ok(0) => break,
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("the disk cannot be filled: {error}"),
                }
            }
        }
    }

    /// Gives the space back.
    ///
    /// # Panics
    /// If it was not full.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("what filled the disk");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}
