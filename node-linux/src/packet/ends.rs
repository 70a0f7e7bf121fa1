//! Between which starts of two nodes a datagram went, from the state file of one of them.

use std::path::Path;

use symphony_adapters::store::{self, Record};
use symphony_core::{
    Incarnation, NodeId, Session,
    secure::{Ends, Header, Kind},
};

/// What the keys alone do not tell. Says why if the file is of no help, and what would be.
pub(super) fn find(header: &Header, state: Option<&Path>) -> Result<Ends, String> {
    if header.kind == Kind::Hello {
        return Ok(Ends::default());
    }
    let Some(path) = state else {
        return Err(format!(
            "messages and answers open only with the salts and boots of both nodes: give --state, the state file of \
             node {} or {}",
            header.from.0, header.to.0
        ));
    };
    let record = store::read(path).map_err(|error| error.to_string())?;
    between(header, &record).map_err(|reason| format!("{}: {reason}", path.display()))
}

fn between(header: &Header, record: &Record) -> Result<Ends, String> {
    let own = Incarnation { install_salt: record.install_salt, boot: record.boot, session: Session(0) };
    let known = |id: NodeId| record.peers.iter().find(|peer| peer.id == id).map(|peer| peer.incarnation);
    match (known(header.from), known(header.to)) {
        (None, Some(receiver)) => {
            check(header.to, receiver, header.to_session)?;
            Ok(Ends { sender: own, receiver })
        }
        // An answer tells its sender itself, known or not.
        (Some(sender), None) if header.kind == Kind::HelloReply => Ok(Ends { sender, receiver: own }),
        (Some(sender), None) => {
            check(header.from, sender, header.from_session)?;
            Ok(Ends { sender, receiver: own })
        }
        (Some(_), Some(_)) => Err(format!(
            "this is the state of neither node {} nor node {}, which are both its node's peers",
            header.from.0, header.to.0
        )),
        (None, None) => Err(format!("neither node {} nor node {} is a peer of its node", header.from.0, header.to.0)),
    }
}

/// Whether the peer's start that the record knows is the one of the datagram.
fn check(peer: NodeId, known: Incarnation, session: Session) -> Result<(), String> {
    if known.session == Session(0) {
        Err(format!("its node has never met node {}", peer.0))
    } else if known.session != session {
        Err(format!(
            "the datagram belongs to another start of node {}: the latest that its node has met is boot {}, session {:08x}",
            peer.0, known.boot.0, known.session.0
        ))
    } else {
        Ok(())
    }
}
