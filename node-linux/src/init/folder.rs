//! A service's folder: files that are written once, for their owner and at most one group.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{InitError, io_error};

/// One folder, and what was done in it.
pub(super) struct Folder {
    name: String,
    path: PathBuf,
    group: Option<u32>,
    written: Vec<String>,
    kept: usize,
}

impl Folder {
    /// Makes the folder, or takes the one that is there, such as the root of a volume.
    pub(super) fn open(parent: &Path, name: &str, group: Option<u32>) -> Result<Self, InitError> {
        let path = parent.join(name);
        prepare(&path, group).map_err(io_error(&path))?;
        Ok(Self { name: name.to_owned(), path, group, written: Vec::new(), kept: 0 })
    }

    /// Keeps every other run out of this folder, and waits for one that is in it, until what is returned is dropped.
    pub(super) fn lock(&self) -> Result<File, InitError> {
        let lock = || {
            let folder = File::open(&self.path)?;
            folder.lock()?;
            Ok(folder)
        };
        lock().map_err(io_error(&self.path))
    }

    /// Whether a file is in it.
    pub(super) fn has(&self, name: &str) -> Result<bool, InitError> {
        let path = self.path(name);
        path.try_exists().map_err(io_error(&path))
    }

    /// Path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Content of a file, without newlines around it.
    pub(super) fn read(&self, name: &str) -> Result<Zeroizing<String>, InitError> {
        let path = self.path(name);
        let text = Zeroizing::new(fs::read_to_string(&path).map_err(io_error(&path))?);
        match text.trim() {
            "" => Err(InitError::Empty(path)),
            text => Ok(Zeroizing::new(text.to_owned())),
        }
    }

    /// Content of a file that is made, by its owner for its owner, if it is not there.
    pub(super) fn read_or_make(
        &mut self,
        name: &str,
        make: impl FnOnce() -> io::Result<String>,
    ) -> Result<Zeroizing<String>, InitError> {
        if !self.has(name)? {
            let content = Zeroizing::new(make().map_err(io_error(&self.path(name)))?);
            self.write(name, content.as_bytes())?;
        }
        self.read(name)
    }

    /// Writes a file unless it is there.
    pub(super) fn write(&mut self, name: &str, content: &[u8]) -> Result<(), InitError> {
        let path = self.path(name);
        if self.has(name)? {
            self.kept += 1;
            return Ok(());
        }
        // Under another name first: a run that was cut off leaves no half a secret behind.
        let temporary = self.path(&format!(".{name}.new"));
        self.write_whole(&temporary, content).and_then(|()| fs::rename(&temporary, &path)).map_err(io_error(&path))?;
        self.note_written(name);
        Ok(())
    }

    /// Takes note of a file that somebody else wrote.
    pub(super) fn note_written(&mut self, name: &str) {
        self.written.push(name.to_owned());
    }

    fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)?;
        file.write_all(content)?;
        if let Some(group) = self.group {
            fchown(&file, None, Some(group))?;
            file.set_permissions(fs::Permissions::from_mode(0o440))?;
        }
        file.sync_all()?;
        File::open(&self.path)?.sync_all()
    }
}

/// Without a group, a folder that is there stays as it is: a run that forgets to name the group locks nobody out.
fn prepare(path: &Path, group: Option<u32>) -> io::Result<()> {
    let is_new = !path.try_exists()?;
    fs::create_dir_all(path)?;
    let mode = match group {
        None if is_new => 0o700,
        None => return Ok(()),
        Some(_) => 0o750,
    };
    let metadata = fs::metadata(path)?;
    if group.is_some_and(|group| group != metadata.gid()) {
        chown(path, None, group)?;
    }
    if metadata.mode() & 0o7777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// What was done, without any content.
impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.written.as_slice() {
            [] => write!(f, "{}: nothing to write", self.name),
            written => write!(f, "{}: {} written", self.name, written.join(", ")),
        }?;
        if self.kept > 0 { write!(f, ", {} kept", self.kept) } else { Ok(()) }
    }
}
