//! `symphony packet decode`: what a datagram is, field by field.

mod ends;
mod text;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use symphony_core::{
    ClusterId, DATAGRAM_SIZE_MAX, DatagramError, KeyRing,
    secure::{Envelope, Header, Introduction, Kind},
};

use crate::{config::Sources, election::cluster_id, keys};

#[derive(Debug, Subcommand)]
pub(crate) enum PacketCommand {
    /// Print a datagram of the election: exit code 0 if it could be opened, 1 if not, saying why
    Decode(DecodeOptions),
}

#[derive(Debug, Args)]
pub(crate) struct DecodeOptions {
    /// The datagram's bytes in hexadecimal; blanks and colons between them do not matter
    #[arg(value_name = "HEX", required = true, num_args = 1..)]
    datagram: Vec<String>,
    /// File of the cluster's keys [default: node.keys of the configuration]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Name of the cluster [default: node.cluster of the configuration]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// State file of the sender or the receiver (node.state): opens messages and answers to hellos
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// With what a datagram may be opened.
struct Means {
    key_file: PathBuf,
    keys: KeyRing,
    cluster_name: String,
    cluster: ClusterId,
    state: Option<PathBuf>,
}

pub(crate) fn run(command: &PacketCommand, sources: &Sources) -> ExitCode {
    let PacketCommand::Decode(options) = command;
    let (key_file, cluster_name) = match (&options.key_file, &options.cluster) {
        (Some(file), Some(name)) => (file.clone(), name.clone()),
        (file, name) => match sources.load() {
            Ok(loaded) => {
                let node = loaded.config.node;
                (file.clone().unwrap_or(node.keys), name.clone().unwrap_or(node.cluster))
            }
            Err(error) => return crate::refuse(&error),
        },
    };
    let keys = match keys::load(&key_file) {
        Ok(keys) => keys,
        Err(error) => return fail(&error.to_string()),
    };
    let cluster = cluster_id(&cluster_name);
    let means = Means { key_file, keys, cluster_name, cluster, state: options.state.clone() };
    match decode(&options.datagram.concat(), &means) {
        Ok((text, Ok(()))) => crate::print(&text),
        Ok((text, Err(reason))) => {
            crate::print(&text);
            fail(&format!("not opened: {reason}"))
        }
        Err(reason) => fail(&reason),
    }
}

fn fail(reason: &str) -> ExitCode {
    crate::complain(format_args!("error: {reason}"));
    ExitCode::FAILURE
}

/// What could be read, and why that is not all.
type Decoded = (String, Result<(), String>);

fn decode(digits: &str, means: &Means) -> Result<Decoded, String> {
    let digits = digits.trim_start_matches("0x").replace(|c: char| c.is_whitespace() || c == ':', "");
    let mut datagram = hex::decode(digits).map_err(|error| format!("not a datagram in hexadecimal: {error}"))?;
    if datagram.len() > DATAGRAM_SIZE_MAX {
        return Err(format!("{} bytes: no datagram has more than {DATAGRAM_SIZE_MAX}", datagram.len()));
    }
    let envelope = Envelope::read(&datagram).map_err(|error| unreadable(error, &datagram))?;
    let mut text = String::new();
    describe_header(&mut text, &envelope.header);
    if let Some(introduction) = &envelope.introduction {
        describe_introduction(&mut text, introduction);
    }
    Ok(match open(&envelope, &mut datagram, means) {
        Ok(opened) => {
            text::describe(&mut text, &opened);
            (text, Ok(()))
        }
        Err(reason) => (text, Err(reason)),
    })
}

fn unreadable(error: DatagramError, datagram: &[u8]) -> String {
    match (error, datagram.first()) {
        (DatagramError::Version, Some(first)) => {
            let cipher = match first >> 4 {
                1 => "XChaCha20-Poly1305",
                2 => "Ascon-AEAD128, which this program does not have",
                _ => "no cipher known",
            };
            format!("the first byte is {first:02x}: {cipher}, kind {}", first & 0x0F)
        }
        _ => format!("{} bytes: shorter than the header of its kind", datagram.len()),
    }
}

fn open(envelope: &Envelope, datagram: &mut [u8], means: &Means) -> Result<symphony_core::secure::Text, String> {
    let Means { key_file, keys, cluster_name, cluster, state } = means;
    let ends = ends::find(&envelope.header, state.as_deref());
    // The ends matter last: a wrong cluster or key is the plainer reason.
    let opened = envelope.open(datagram, keys, *cluster, ends.as_ref().unwrap_or(&Default::default()));
    match (opened, ends) {
        (Err(DatagramError::Cluster), _) => {
            let [first, second, ..] = cluster.0;
            Err(format!("it is of another cluster: the tag of \"{cluster_name}\" is {first:02x}{second:02x}"))
        }
        (Err(DatagramError::Key), _) => {
            Err(format!("{} does not have key {}", key_file.display(), envelope.header.key_id))
        }
        (_, Err(reason)) => Err(reason),
        (Err(DatagramError::Forged), Ok(_)) => Err(forged(envelope.header.kind, key_file, state.as_deref())),
        (Err(error), Ok(_)) => Err(error.to_string()),
        (Ok(text), Ok(_)) => Ok(text),
    }
}

fn forged(kind: Kind, key_file: &Path, state: Option<&Path>) -> String {
    let mut text = format!(
        "its tag is wrong: it was changed on its way, or the key of that number in {} is another",
        key_file.display()
    );
    if let (Kind::Message | Kind::HelloReply, Some(state)) = (kind, state) {
        // Writing to a string does not fail.
        let _ = write!(text, ", or it belongs to another start of a node than the one in {}", state.display());
    }
    text
}

fn describe_header(text: &mut String, header: &Header) {
    let Header { kind, key_id, from, to, cluster_tag: [first, second], from_session, to_session, counter } = header;
    let kind = match kind {
        Kind::Message => "message",
        Kind::Hello => "hello",
        Kind::HelloReply => "answer to a hello",
    };
    line(text, "kind", kind);
    line(text, "key", key_id);
    line(text, "from", format_args!("node {}, session {:08x}", from.0, from_session.0));
    line(text, "to", format_args!("node {}, session {:08x}", to.0, to_session.0));
    line(text, "cluster tag", format_args!("{first:02x}{second:02x}"));
    line(text, "counter", counter);
}

fn describe_introduction(text: &mut String, introduction: &Introduction) {
    let Introduction { install_salt, boot, echo } = introduction;
    line(text, "sender's salt", hex::encode(install_salt));
    line(text, "sender's boot", boot.0);
    if *echo != 0 {
        line(text, "answers hello", echo);
    }
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{name:<16}{value}");
}
