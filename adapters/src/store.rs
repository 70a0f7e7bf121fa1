//! The record that must survive a crash, in a file of two slots.
//!
//! A save overwrites the older slot, syncs it and reads it back, so that a crash at any moment leaves the old record or
//! the new one. After any failure the file is written anew under another name and renamed into place: a kernel that has
//! once failed to sync a page may call it clean without having written it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use symphony_core::{MEMBERS_MAX, Saved};
use thiserror::Error;

/// First bytes of every slot: a name and a version.
const MAGIC: [u8; 4] = *b"SYM2";

/// Peers that a node on Linux may have.
pub const PEERS_MAX: usize = MEMBERS_MAX - 1;

/// The record of a node on Linux.
pub type Record = Saved<PEERS_MAX>;

/// Bytes of a slot: magic, sequence number, length, record, checksum; the rest is zero.
const SLOT_SIZE: usize = 2048;

/// Bytes between the slots' beginnings: no disk tears two blocks of this size with one write.
const SLOT_STRIDE: u64 = 4096;

/// Why a record could not be read or saved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is a file and neither of its slots holds a record: the node has forgotten what it promised.
    #[error("{0} holds no readable record: this node must not vote again under its id; give it a new one")]
    Lost(PathBuf),
    /// Another process uses the file.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The disk did not do as asked.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was read back is not what was written.
    #[error("{0}: the disk did not keep what was written")]
    NotKept(PathBuf),
}

/// The file of one node's record, locked while it is open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    sequence: u64,
    intact: bool,
}

impl Store {
    /// Opens the record at `path`, or makes the first one of a node that has never run, with its folder.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Lost`] needs a person.
    pub fn open(path: &Path) -> Result<(Self, Record), StoreError> {
        let io = |source| StoreError::Io { path: path.to_owned(), source };
        if !path.try_exists().map_err(io)? {
            let mut install_salt = [0; 8];
            getrandom::fill(&mut install_salt).map_err(|error| io(io::Error::other(error)))?;
            let saved = Record::provision(install_salt);
            fs::create_dir_all(folder(path)).map_err(io)?;
            let file = write_anew(path, &saved, 1)?;
            return Ok((Self { path: path.to_owned(), file, sequence: 1, intact: true }, saved));
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
        lock(&file, path)?;
        let (sequence, saved) = read_newest(&mut file, path)?;
        Ok((Self { path: path.to_owned(), file, sequence, intact: true }, saved))
    }

    /// Puts `saved` on stable storage. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`StoreError`]: the record is not known to be saved, and the next call starts over with a new file.
    pub fn save(&mut self, saved: &Record) -> Result<(), StoreError> {
        let sequence = self.sequence.saturating_add(1);
        let result = if self.intact {
            self.overwrite(saved, sequence)
        } else {
            write_anew(&self.path, saved, sequence).map(|file| self.file = file)
        };
        self.intact = result.is_ok();
        if self.intact {
            self.sequence = sequence;
        }
        result
    }

    fn overwrite(&mut self, saved: &Record, sequence: u64) -> Result<(), StoreError> {
        let slot = sequence % 2;
        let io = |source| StoreError::Io { path: self.path.clone(), source };
        let bytes = encode_slot(saved, sequence).map_err(io)?;
        self.file.seek(SeekFrom::Start(slot * SLOT_STRIDE)).map_err(io)?;
        self.file.write_all(&bytes).map_err(io)?;
        self.file.sync_data().map_err(io)?;
        check_kept(&mut self.file, &self.path, slot, saved, sequence)
    }
}

/// Reads a record to look at it, of a node that may be running; to start a node, [`Store::open`] it.
///
/// # Errors
/// [`StoreError::Lost`], [`StoreError::Io`].
pub fn read(path: &Path) -> Result<Record, StoreError> {
    let mut file = File::open(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    Ok(read_newest(&mut file, path)?.1)
}

fn read_newest(file: &mut File, path: &Path) -> Result<(u64, Record), StoreError> {
    let slots = [0, 1].into_iter().filter_map(|slot| read_slot(file, slot));
    slots.max_by_key(|(sequence, _)| *sequence).ok_or_else(|| StoreError::Lost(path.to_owned()))
}

/// Writes a new file with the record and renames it into place.
fn write_anew(path: &Path, saved: &Record, sequence: u64) -> Result<File, StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&temporary).map_err(io)?;
    lock(&file, path)?;
    let slot = sequence % 2;
    let bytes = encode_slot(saved, sequence).map_err(io)?;
    file.set_len(SLOT_STRIDE + SLOT_SIZE as u64).map_err(io)?;
    file.seek(SeekFrom::Start(slot * SLOT_STRIDE)).map_err(io)?;
    file.write_all(&bytes).map_err(io)?;
    file.sync_all().map_err(io)?;
    check_kept(&mut file, path, slot, saved, sequence)?;
    fs::rename(&temporary, path).map_err(io)?;
    File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(file)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => StoreError::InUse(path.to_owned()),
        TryLockError::Error(source) => StoreError::Io { path: path.to_owned(), source },
    })
}

fn check_kept(file: &mut File, path: &Path, slot: u64, saved: &Record, sequence: u64) -> Result<(), StoreError> {
    match read_slot(file, slot) {
        Some(kept) if kept == (sequence, saved.clone()) => Ok(()),
        _ => Err(StoreError::NotKept(path.to_owned())),
    }
}

fn encode_slot(saved: &Record, sequence: u64) -> io::Result<[u8; SLOT_SIZE]> {
    let mut buffer = [0; Record::SIZE_MAX];
    let record = saved.encode(&mut buffer).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(SLOT_SIZE);
    bytes.extend(MAGIC);
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(u16::try_from(record.len()).map_err(io::Error::other)?.to_le_bytes());
    bytes.extend_from_slice(record);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.resize(SLOT_SIZE, 0);
    bytes.try_into().map_err(|_| io::Error::other("a record does not fit its slot"))
}

fn read_slot(file: &mut File, slot: u64) -> Option<(u64, Record)> {
    let mut bytes = [0; SLOT_SIZE];
    file.seek(SeekFrom::Start(slot * SLOT_STRIDE)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    decode_slot(&bytes)
}

fn decode_slot(bytes: &[u8; SLOT_SIZE]) -> Option<(u64, Record)> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (record, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let (checksum, _) = rest.split_first_chunk::<4>()?;
    let covered = bytes.get(..4 + 8 + 2 + record.len())?;
    if *magic != MAGIC || u32::from_le_bytes(*checksum) != crc32fast::hash(covered) {
        return None;
    }
    Some((u64::from_le_bytes(*sequence), Record::decode(record).ok()?))
}

#[cfg(test)]
mod tests {
    use symphony_core::{Boot, Incarnation, KnownPeer, NodeId, Session, Term};

    use super::*;

    fn store() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/node.state");
        (folder, path)
    }

    fn at_term(saved: &Record, term: u64) -> Record {
        Record { term: Term(term), vote: Some(NodeId(3)), ..saved.clone() }
    }

    #[test]
    fn what_was_saved_last_is_read_again() {
        let (_folder, path) = store();
        let (mut store, first) = Store::open(&path).unwrap();
        for term in 1..=5 {
            store.save(&at_term(&first, term)).unwrap();
        }
        drop(store);
        assert_eq!(Store::open(&path).unwrap().1, at_term(&first, 5));
    }

    #[test]
    fn a_torn_write_leaves_the_record_before_it() {
        let (_folder, path) = store();
        let (mut store, first) = Store::open(&path).unwrap();
        store.save(&at_term(&first, 1)).unwrap();
        store.save(&at_term(&first, 2)).unwrap();
        drop(store);
        let mut bytes = fs::read(&path).unwrap();
        // The record of sequence 3 is in slot 1.
        let torn = usize::try_from(SLOT_STRIDE).unwrap() + 20;
        bytes[torn] ^= 0xFF;
        fs::write(&path, bytes).unwrap();
        assert_eq!(Store::open(&path).unwrap().1, at_term(&first, 1));
    }

    #[test]
    fn a_file_without_a_record_is_not_mistaken_for_a_new_node() {
        let (_folder, path) = store();
        drop(Store::open(&path).unwrap());
        for content in [vec![], vec![0; 5000], vec![0xFF; 10_000]] {
            fs::write(&path, content).unwrap();
            assert!(matches!(Store::open(&path), Err(StoreError::Lost(_))));
        }
    }

    #[test]
    fn two_processes_cannot_use_one_record() {
        let (_folder, path) = store();
        let (mut store, saved) = Store::open(&path).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::InUse(_))));
        store.intact = false;
        store.save(&at_term(&saved, 1)).unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::InUse(_))), "the new file is locked too");
    }

    #[test]
    fn after_a_failure_the_record_is_written_to_a_new_file() {
        let (_folder, path) = store();
        let (mut store, first) = Store::open(&path).unwrap();
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        let before = inode(&path);
        // A file opened for reading only refuses the write, as a broken disk would.
        store.file = File::open(&path).unwrap();
        assert!(matches!(store.save(&at_term(&first, 1)), Err(StoreError::Io { .. })));
        store.save(&at_term(&first, 2)).unwrap();
        assert_ne!(inode(&path), before);
        drop(store);
        assert_eq!(Store::open(&path).unwrap().1, at_term(&first, 2));
    }

    #[test]
    fn the_largest_record_fits_a_slot() {
        let (_folder, path) = store();
        let (mut store, first) = Store::open(&path).unwrap();
        let incarnation = Incarnation { install_salt: [0xFF; 8], boot: Boot(u32::MAX), session: Session(u32::MAX) };
        let peers = (0..PEERS_MAX).map(|_| KnownPeer { id: NodeId(u16::MAX), incarnation }).collect();
        let (boot, term, vote) = (Boot(u32::MAX), Term(u64::MAX), Some(NodeId(u16::MAX)));
        let largest = Record { boot, term, vote, retired: true, peers, ..first };
        store.save(&largest).unwrap();
        drop(store);
        assert_eq!(Store::open(&path).unwrap().1, largest);
        assert_eq!(read(&path).unwrap(), largest);
    }

    #[test]
    fn the_record_of_a_running_node_can_be_looked_at() {
        let (_folder, path) = store();
        let (mut store, first) = Store::open(&path).unwrap();
        store.save(&at_term(&first, 7)).unwrap();
        assert_eq!(read(&path).unwrap(), at_term(&first, 7));
        fs::write(&path, [0; 5000]).unwrap();
        assert!(matches!(read(&path), Err(StoreError::Lost(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_file_content_makes_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, SLOT_SIZE)) {
            decode_slot(&bytes.try_into().unwrap());
        }
    }
}
