//! What this board is told at its start: a text file, `board.conf` in the emulator's folder, read through semihosting.
//!
//! ```text
//! cluster = 32 hexadecimal digits, the first half of the SHA-256 of the cluster's name
//! send = 1 64 hexadecimal digits          # as in the servers' file of keys; while a key is changed, `receive` too
//! id = 3
//! prefix_length = 24                      # of the network
//! gateway = 10.0.2.2
//! heartbeat_ms = 100
//! election_timeout_ms = 250 500
//! member = 1 voter 0 10.0.2.2:7401        # id, kind, priority, address
//! member = 2 voter 0 10.0.2.2:7402
//! member = 3 witness 0 10.0.2.15:7400
//! provision = yes                         # a board without a record is a new one
//! ```

use core::net::SocketAddrV4;

use heapless::Vec;
use symphony_core::{ClusterId, Duration, Key, KeyRing, Member, NodeId, Suffrage, Timing};
use symphony_node_mcu::Settings;

/// All that the file says.
pub(crate) struct File {
    pub(crate) settings: Settings,
    pub(crate) may_provision: bool,
    sending: Option<Key>,
    receiving: Option<Key>,
}

/// The line that is wrong, counted from 1; 0 if there is no key to send with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub(crate) struct FileError {
    pub(crate) line: usize,
}

impl File {
    /// Reads the text.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn parse(text: &str) -> Result<Self, FileError> {
        let settings = Settings {
            cluster: ClusterId([0; 16]),
            id: NodeId(0),
            members: Vec::new(),
            timing: Timing::LOCAL,
            keys: KeyRing::new(Key::new(0, [0; 32])),
            prefix_length: 24,
            gateway: None,
        };
        let mut file = Self { settings, may_provision: false, sending: None, receiving: None };
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() && file.set(line).is_none() {
                return Err(FileError { line: index + 1 });
            }
        }
        let keys = file.sending.take().map(KeyRing::new).ok_or(FileError { line: 0 })?;
        file.settings.keys = match file.receiving.take() {
            Some(key) => keys.also_receiving(key),
            None => keys,
        };
        Ok(file)
    }

    /// Takes one line; none if it is wrong.
    fn set(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        let Settings { cluster, id, members, timing, prefix_length, gateway, .. } = &mut self.settings;
        match key.trim() {
            "cluster" => *cluster = ClusterId(hex(value)?),
            "send" => self.sending = Some(parse_key(value)?),
            "receive" => self.receiving = Some(parse_key(value)?),
            "id" => *id = NodeId(value.parse().ok()?),
            "member" => members.push(member(value)?).ok()?,
            "heartbeat_ms" => timing.heartbeat_interval = Duration::from_millis(value.parse().ok()?),
            "election_timeout_ms" => {
                let (min, max) = value.split_once(' ')?;
                timing.election_timeout_min = Duration::from_millis(min.parse().ok()?);
                timing.election_timeout_max = Duration::from_millis(max.trim().parse().ok()?);
            }
            "prefix_length" => *prefix_length = value.parse().ok().filter(|length| *length <= 32)?,
            "gateway" => *gateway = Some(value.parse().ok()?),
            "provision" => self.may_provision = value == "yes",
            _ => return None,
        }
        Some(())
    }
}

/// Id, kind, priority and address of a member.
fn member(value: &str) -> Option<(Member, SocketAddrV4)> {
    let mut words = value.split_ascii_whitespace();
    let id = NodeId(words.next()?.parse().ok()?);
    let suffrage = match words.next()? {
        "voter" => Suffrage::Voter,
        "witness" => Suffrage::Witness,
        "observer" => Suffrage::Observer,
        _ => return None,
    };
    let priority = words.next()?.parse().ok()?;
    let address = words.next()?.parse().ok()?;
    Some((Member { id, suffrage, priority }, address))
}

/// Number and secret of a key.
fn parse_key(value: &str) -> Option<Key> {
    let (number, secret) = value.split_once(' ')?;
    Some(Key::new(number.parse().ok()?, hex(secret.trim())?))
}

/// Bytes from hexadecimal digits, exactly as many as there is room for.
fn hex<const SIZE: usize>(text: &str) -> Option<[u8; SIZE]> {
    let mut bytes = [0; SIZE];
    if text.len() != 2 * SIZE || !text.is_ascii() {
        return None;
    }
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * position..2 * position + 2)?, 16).ok()?;
    }
    Some(bytes)
}
