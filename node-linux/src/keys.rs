//! The file of the cluster's keys, which every member has.
//!
//! Lines: `send ID KEY`, once, and `receive ID KEY` while the key is being changed; ID is a number up to 255, KEY is 64
//! hexadecimal digits; `#` begins a comment. Of two keys the newer one has the next id, after 255 comes 0.
//!
//! Only its owner may have any right to the file. One that root owns may also be read by its group, because that is how
//! Docker and Kubernetes mount a secret for a process that is not root's (mode 0440). A member takes keys from a file of
//! its own user or of root alone.

mod command;
mod edit;
mod hangup;

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use symphony_adapters::secret::{current_user, is_exposed, is_trusted};
use symphony_core::{Key, KeyRing};
use thiserror::Error;
use zeroize::Zeroizing;

pub(crate) use command::{KeyCommand, run};
pub use edit::{Step, generate, rotate};
pub use hangup::LiveKeys;
pub(crate) use hangup::{Hangups, reload_until};

/// What tells a fingerprint of a key from any other use of it.
const FINGERPRINT_LABEL: &[u8] = b"symphony key fingerprint";

/// Bytes of the longest file that is read.
const FILE_SIZE_MAX: u64 = 64 * 1024;

/// Why a file of keys could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is none.
    #[error(
        "{path}: there is no such file of the cluster's keys; copy that of another member, or, for a new cluster, run: \
         symphony key gen {path}",
        path = .0.display()
    )]
    Missing(PathBuf),
    /// Others than its owner may read or change it.
    #[error(
        "{path}: others may read or change the cluster's keys (mode {mode:04o}); run: chmod 600 {path} (a secret mounted \
         by Docker or Kubernetes: set its mode to 0440, owned by root)",
        path = .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not as it should be.
    #[error("{path}:{line}: {reason}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The file belongs to somebody else, who can read and change it.
    #[error(
        "{path}: the cluster's keys belong to another user (uid {owner}); run: chown {user} {path}",
        path = .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        user: u32,
    },
    /// It is not the time for that step of a change of keys.
    #[error("{path}: {reason}", path = .path.display())]
    OutOfOrder {
        /// The file.
        path: PathBuf,
        /// Why not, and what comes next.
        reason: String,
    },
    /// The system did not do as asked.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeyFileError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Reads the keys.
///
/// # Errors
/// [`KeyFileError`], which says how to mend it.
pub fn load(path: &Path) -> Result<KeyRing, KeyFileError> {
    Ok(KeyFile::read(path)?.ring())
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyFile {
    send: Entry,
    receive: Option<Entry>,
}

/// One key of a file.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    id: u8,
    secret: Zeroizing<[u8; 32]>,
}

/// How far a change of keys has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is one key.
    Settled,
    /// A newer key is there to receive with.
    Added,
    /// The newer key is sent with.
    Switched,
}

impl KeyFile {
    /// For a member: nobody but root and its own user may have chosen the keys.
    fn read_own(path: &Path) -> Result<Self, KeyFileError> {
        let (file, owner) = Self::read_with_owner(path)?;
        let user = current_user();
        if is_trusted(owner, user) {
            Ok(file)
        } else {
            Err(KeyFileError::Foreign { path: path.to_owned(), owner, user })
        }
    }

    fn read(path: &Path) -> Result<Self, KeyFileError> {
        Self::read_with_owner(path).map(|(file, _)| file)
    }

    fn read_with_owner(path: &Path) -> Result<(Self, u32), KeyFileError> {
        let io = KeyFileError::io(path);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(KeyFileError::Missing(path.to_owned()));
            }
            opened => opened.map_err(&io)?,
        };
        // Of the file that was opened, whatever its name means a moment later.
        let metadata = file.metadata().map_err(&io)?;
        if is_exposed(metadata.mode(), metadata.uid()) {
            return Err(KeyFileError::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        // A text that grows leaves copies of the keys behind.
        let size = usize::try_from(metadata.len().min(FILE_SIZE_MAX)).unwrap_or_default();
        let mut text = Zeroizing::new(String::with_capacity(size.saturating_add(1)));
        file.take(FILE_SIZE_MAX).read_to_string(&mut text).map_err(&io)?;
        let malformed = |(line, reason)| KeyFileError::Malformed { path: path.to_owned(), line, reason };
        Ok((Self::parse(&text).map_err(malformed)?, metadata.uid()))
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let (mut send, mut receive): (Option<Entry>, Option<Entry>) = (None, None);
        let mut last = 1;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(word) = words.next() else { continue };
            last = number + 1;
            let (slot, other) = match word {
                "send" => (&mut send, &receive),
                "receive" => (&mut receive, &send),
                _ => return Err((last, "expected `send` or `receive`".into())),
            };
            if slot.is_some() {
                return Err((last, format!("a second key to {word} with")));
            }
            let entry = Entry::parse(words.next(), words.next()).map_err(|reason| (last, reason))?;
            if words.next().is_some() {
                return Err((last, "expected nothing after the key".into()));
            }
            if let Some(other) = other {
                entry.check_against(other).map_err(|reason| (last, reason))?;
            }
            *slot = Some(entry);
        }
        Ok(Self { send: send.ok_or((last, "no key to send with".to_owned()))?, receive })
    }

    fn ring(&self) -> KeyRing {
        let ring = KeyRing::new(self.send.key());
        match &self.receive {
            Some(entry) => ring.also_receiving(entry.key()),
            None => ring,
        }
    }

    /// Whether members with these files can hear each other.
    fn shares_a_key_with(&self, other: &Self) -> bool {
        let keys = |file: &Self| [Some(file.send.clone()), file.receive.clone()].into_iter().flatten();
        keys(self).any(|key| keys(other).any(|theirs| theirs == key))
    }

    fn stage(&self) -> Stage {
        match &self.receive {
            None => Stage::Settled,
            Some(receive) if receive.is_newer_than(&self.send) => Stage::Added,
            Some(_) => Stage::Switched,
        }
    }
}

/// What it does with which keys, for people; no secret.
impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sends with {}", self.send)?;
        self.receive.as_ref().map_or(Ok(()), |receive| write!(f, ", also receives with {receive}"))
    }
}

impl Entry {
    fn parse(id: Option<&str>, secret: Option<&str>) -> Result<Self, String> {
        const DIGITS: &str = "expected 64 hexadecimal digits";
        let id = id.and_then(|id| id.parse().ok()).ok_or("expected the key's number, up to 255")?;
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(secret.ok_or(DIGITS)?, &mut *bytes).map_err(|_| DIGITS)?;
        if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
            return Err("a key of equal bytes is no secret".into());
        }
        Ok(Self { id, secret: bytes })
    }

    fn check_against(&self, other: &Self) -> Result<(), String> {
        if self.id == other.id {
            Err(format!("both keys have the id {}", self.id))
        } else if self.secret == other.secret {
            Err("both keys are the same".into())
        } else if self.is_newer_than(other) == other.is_newer_than(self) {
            Err(format!("the ids {} and {} do not tell which key is newer", self.id, other.id))
        } else {
            Ok(())
        }
    }

    /// Ids are counted around: 0 is newer than 255.
    fn is_newer_than(&self, other: &Self) -> bool {
        let ahead = self.id.wrapping_sub(other.id);
        ahead != 0 && ahead < 128
    }

    fn key(&self) -> Key {
        Key::new(self.id, *self.secret)
    }

    /// The same for the same key, and nothing that helps to guess it.
    fn fingerprint(&self) -> String {
        let digest = Sha256::new().chain_update(FINGERPRINT_LABEL).chain_update(*self.secret).finalize();
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} ({})", self.id, self.fingerprint())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0101010101010101010101010101010101010101010101010101010101010102";
    const TWO: &str = "0202020202020202020202020202020202020202020202020202020202020203";

    #[test]
    fn every_mistake_is_found_in_its_line() {
        for (text, line, reason) in [
            (String::new(), 1, "no key to send with"),
            (format!("\n# nothing\nreceive 1 {ONE}\n"), 3, "no key to send with"),
            (format!("send 1 {ONE}\nsend 2 {TWO}\n"), 2, "a second key to send with"),
            (format!("send 1 {ONE}\nreceive 2 {TWO}\nreceive 3 {TWO}\n"), 3, "a second key to receive with"),
            (format!("send 1 {ONE}\n\nreceive 1 {TWO}\n"), 3, "both keys have the id 1"),
            (format!("receive 1 {TWO}\nsend 1 {ONE}\n"), 2, "both keys have the id 1"),
            (format!("send 1 {ONE}\nreceive 2 {ONE}\n"), 2, "both keys are the same"),
            (format!("send 1 {ONE}\nreceive 129 {TWO}\n"), 2, "the ids 129 and 1 do not tell which key is newer"),
            (format!("sent 1 {ONE}\n"), 1, "expected `send` or `receive`"),
            (format!("send {ONE}\n"), 1, "expected the key's number, up to 255"),
            (format!("send 256 {ONE}\n"), 1, "expected the key's number, up to 255"),
            ("send 1\n".into(), 1, "expected 64 hexadecimal digits"),
            (format!("send 1 {}\n", &ONE[2..]), 1, "expected 64 hexadecimal digits"),
            (format!("send 1 {}x\n", &ONE[1..]), 1, "expected 64 hexadecimal digits"),
            (format!("send 1 {ONE} {TWO}\n"), 1, "expected nothing after the key"),
            (format!("send 1 {}\n", "07".repeat(32)), 1, "a key of equal bytes is no secret"),
        ] {
            let found = KeyFile::parse(&text).unwrap_err();
            assert!(found.1.starts_with(reason) && found.0 == line, "{text:?}: {found:?}");
            assert!(!found.1.contains(&ONE[1..9]), "no part of a key is shown: {}", found.1);
        }
    }

    #[test]
    fn comments_and_order_do_not_matter() {
        let file = KeyFile::parse(&format!("# keys\nreceive 2 {TWO} # the next\n\n  send 1 {ONE}\r\n")).unwrap();
        assert_eq!((file.send.id, file.receive.as_ref().map(|key| key.id)), (1, Some(2)));
        assert_eq!(file.stage(), Stage::Added);
        let around = KeyFile::parse(&format!("send 0 {ONE}\nreceive 255 {TWO}")).unwrap();
        assert_eq!(around.stage(), Stage::Switched, "0 comes after 255");
    }

    #[test]
    fn neither_a_fingerprint_nor_a_debug_text_is_the_key() {
        let file = KeyFile::parse(&format!("send 1 {ONE}\nreceive 2 {TWO}")).unwrap();
        let shown = format!("{file} {file:?}");
        assert!(!shown.contains(&ONE[..8]) && !shown.contains(&TWO[..8]), "{shown}");
        // What another program computes: printf 'symphony key fingerprint' + key | sha256sum.
        assert_eq!(file.send.fingerprint(), "db13c787");
        assert_ne!(file.send.fingerprint(), file.receive.unwrap().fingerprint());
    }
}
