//! New keys, and the steps from one key to the next.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{Entry, KeyFile, KeyFileError, Stage};

const HEAD: &str = "# Keys of the cluster. Whoever has them can speak for every member.\n";

/// One step of a change of keys. Every member has taken a step before any takes the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Receive with a newer key, too: a new one, or that of the file of another member.
    Add {
        /// The other member's file.
        from: Option<PathBuf>,
    },
    /// Send with the newer key.
    Switch,
    /// Forget the older key.
    Drop,
}

/// Writes a file with one new key, with its folder. It never overwrites one.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn generate(path: &Path) -> Result<(), KeyFileError> {
    let io = KeyFileError::io(path);
    let file = KeyFile { send: new_key(1).map_err(&io)?, receive: None };
    fs::create_dir_all(folder(path)).map_err(&io)?;
    write_new(path, &file).and_then(|_| sync_folder(path)).map_err(&io)
}

/// Takes one step: replaces the file at once, with its mode and its owner.
///
/// # Errors
/// [`KeyFileError`]: the file is as it was.
pub fn rotate(path: &Path, step: &Step) -> Result<(), KeyFileError> {
    // A link stays a link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let KeyFile { send, receive } = KeyFile::read(&target)?;
    let file = match (step, receive) {
        (Step::Add { from }, None) => {
            let newer = match from {
                Some(other) => newer_of(other, &send)?,
                None => new_key(send.id.wrapping_add(1)).map_err(KeyFileError::io(path))?,
            };
            KeyFile { send, receive: Some(newer) }
        }
        (Step::Switch, Some(receive)) if receive.is_newer_than(&send) => KeyFile { send: receive, receive: Some(send) },
        (Step::Drop, Some(receive)) if send.is_newer_than(&receive) => KeyFile { send, receive: None },
        (_, receive) => {
            let reason = out_of_order(step, KeyFile { send, receive }.stage());
            return Err(KeyFileError::OutOfOrder { path: path.to_owned(), reason });
        }
    };
    replace(&target, &file).map_err(KeyFileError::io(path))
}

fn out_of_order(step: &Step, stage: Stage) -> String {
    let so_far = match stage {
        Stage::Settled => "there is one key, and nothing to switch to or to drop",
        Stage::Added => "the newer key is there to receive with, and not yet sent with",
        Stage::Switched => "the newer key is sent with, and the older one still there",
    };
    let wanted = match step {
        Step::Add { .. } => "add",
        Step::Switch => "switch",
        Step::Drop => "drop",
    };
    let next = match stage {
        Stage::Settled => "add",
        Stage::Added => "switch",
        Stage::Switched => "drop",
    };
    format!("{so_far}: the next step is `{next}`, not `{wanted}`")
}

/// The newer key of another member, whose file has ours as well.
fn newer_of(other: &Path, ours: &Entry) -> Result<Entry, KeyFileError> {
    let KeyFile { send, receive } = KeyFile::read(other)?;
    let keys = [Some(send), receive].map(|key| key.filter(|key| key != ours));
    match keys {
        [Some(newer), None] | [None, Some(newer)] if newer.is_newer_than(ours) => Ok(newer),
        _ => Err(KeyFileError::OutOfOrder {
            path: other.to_owned(),
            reason: format!("it has not both our {ours} and a newer one"),
        }),
    }
}

fn new_key(id: u8) -> io::Result<Entry> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(io::Error::other)?;
    Ok(Entry { id, secret })
}

/// Puts a file in the place of another: a crash leaves the one or the other.
fn replace(path: &Path, file: &KeyFile) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    let replaced = fs::metadata(path)?;
    let new = write_new(temporary, file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::other(format!(
            "{} is there: another change is under way, or was cut off; then remove it",
            temporary.display()
        )),
        _ => error,
    })?;
    let put = || {
        fchown(&new, Some(replaced.uid()), Some(replaced.gid()))?;
        new.set_permissions(fs::Permissions::from_mode(replaced.mode() & 0o7777))?;
        new.sync_all()?;
        fs::rename(temporary, path)
    };
    if let Err(error) = put() {
        // The error that matters is the first one.
        let _ = fs::remove_file(temporary);
        return Err(error);
    }
    sync_folder(path)
}

fn write_new(path: &Path, keys: &KeyFile) -> io::Result<File> {
    let mut text = Zeroizing::new(HEAD.to_owned());
    // All of it is written in place: a text that grows leaves copies behind.
    text.reserve(512);
    for (word, entry) in [("send", Some(&keys.send)), ("receive", keys.receive.as_ref())] {
        let Some(entry) = entry else { continue };
        let secret = Zeroizing::new(hex::encode(*entry.secret));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{word} {} {}", entry.id, *secret);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // It would be in the way of the next attempt; the error that matters is the first one.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(file)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path)).and_then(|folder| folder.sync_all())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: Step = Step::Add { from: None };

    fn generated() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/cluster.keys");
        generate(&path).unwrap();
        (folder, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_none_is_overwritten() {
        let (_folder, path) = generated();
        assert_eq!(mode(&path), 0o600);
        let before = KeyFile::read(&path).unwrap();
        let refused = generate(&path).unwrap_err().to_string();
        assert!(refused.contains("exists"), "{refused}");
        assert_eq!(KeyFile::read(&path).unwrap(), before);
    }

    #[test]
    fn the_steps_lead_from_one_key_to_the_next_in_one_order() {
        let (_folder, path) = generated();
        let refuse = |step: Step| {
            let before = fs::read(&path).unwrap();
            assert!(matches!(rotate(&path, &step), Err(KeyFileError::OutOfOrder { .. })), "{step:?}");
            assert_eq!(fs::read(&path).unwrap(), before);
        };
        let old = KeyFile::read(&path).unwrap().send;
        refuse(Step::Switch);
        refuse(Step::Drop);
        rotate(&path, &ADD).unwrap();
        let added = KeyFile::read(&path).unwrap();
        let new = added.receive.unwrap();
        assert_eq!((added.send, new.id), (old.clone(), 2));
        refuse(ADD);
        refuse(Step::Drop);
        rotate(&path, &Step::Switch).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap(), KeyFile { send: new.clone(), receive: Some(old) });
        refuse(ADD);
        refuse(Step::Switch);
        rotate(&path, &Step::Drop).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap(), KeyFile { send: new, receive: None });
    }

    #[test]
    fn the_new_key_can_come_from_another_members_file() {
        let (folder, path) = generated();
        let other = folder.path().join("other.keys");
        fs::copy(&path, &other).unwrap();
        let add = Step::Add { from: Some(other.clone()) };
        assert!(rotate(&path, &add).is_err(), "it has no newer key yet");
        rotate(&other, &ADD).unwrap();
        rotate(&path, &add).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap(), KeyFile::read(&other).unwrap());

        let stranger = folder.path().join("stranger.keys");
        generate(&stranger).unwrap();
        assert!(rotate(&stranger, &add).is_err(), "it is of another cluster");
    }

    #[test]
    fn mode_and_link_stay_and_nothing_is_left_behind() {
        let (folder, path) = generated();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        rotate(&link, &ADD).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(mode(&path), 0o400);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_change_that_was_cut_off_is_pointed_out() {
        let (_folder, path) = generated();
        fs::write(path.with_extension("keys.new"), "").unwrap();
        let refused = rotate(&path, &ADD).unwrap_err().to_string();
        assert!(refused.contains("cluster.keys.new is there"), "{refused}");
    }

    #[test]
    fn ids_are_counted_around() {
        let (_folder, path) = generated();
        let last = KeyFile { send: Entry { id: 255, ..KeyFile::read(&path).unwrap().send }, receive: None };
        replace(&path, &last).unwrap();
        rotate(&path, &ADD).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap().receive.unwrap().id, 0);
        rotate(&path, &Step::Switch).unwrap();
        rotate(&path, &Step::Drop).unwrap();
        assert_eq!(KeyFile::read(&path).unwrap().send.id, 0);
    }
}
