//! Datagrams on their way: what leaves a node is opened and judged, what arrives is judged by what becomes of it.

use std::collections::VecDeque;

use symphony_core::{Endpoint, NodeId};

use crate::{
    invariant::Invariant,
    ledger::Taker,
    network::Datagram,
    plan::PEERS_MAX,
    sealed::{Header, Kind},
    wire::{self, Said, SaidBody},
    world::{Happening, World},
};

impl World {
    /// Delivers a datagram now.
    pub fn inject(&mut self, datagram: Datagram) {
        self.schedule(self.now_us, Happening::Arrival(datagram));
    }

    pub(super) fn transmit(&mut self, node: usize, endpoint: &Endpoint<PEERS_MAX>, to: NodeId, bytes: &[u8]) {
        self.datagrams += 1;
        let id = self.nodes[node].member.id;
        let sent = self.ledger.send(self.plan.cluster, (id, endpoint.incarnation()), to, bytes);
        let (kind, said) = match sent {
            Ok((Header { kind: Kind::Message, .. }, text)) => (Kind::Message, wire::read(&text)),
            Ok((header, _)) => (header.kind, None),
            Err((invariant, detail)) => return self.checker.fail(self.now_us, invariant, || detail),
        };
        self.checker.sent(self.now_us, node, to, said, endpoint.saved(), self.nodes[node].disk.read());
        if let Some(Said { term, body: SaidBody::TimeoutNow { .. } }) = said
            && self.nodes[node].orders.names_another(term, to)
        {
            let invariant = Invariant::TransferGoesWhereTold;
            self.checker.fail(self.now_us, invariant, || format!("n{} asks n{} to take over", node + 1, to.0));
        }
        self.trace.note(self.now_us, node, "says", bytes, || {
            format!("to n{}: {}", to.0, said.map_or_else(|| format!("{kind:?}"), |said| said.to_string()))
        });
        for receiver in 0..self.nodes.len() {
            if self.nodes[receiver].member.id == to {
                self.send(Datagram { from: node, to: receiver, injected: false, bytes: bytes.to_vec() });
            }
        }
    }

    fn send(&mut self, datagram: Datagram) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let watched = (self.plan.members.len(), &self.ledger);
        let passes = self
            .attacker
            .as_mut()
            .is_none_or(|attacker| attacker.see(self.now_us, self.stormy, watched, &datagram, &mut arrivals));
        if passes {
            self.network.send(&mut self.rng, self.now_us, datagram, &mut arrivals);
        }
        self.arrivals = arrivals;
        self.schedule_arrivals();
    }

    pub(super) fn arrive(&mut self, datagram: Datagram) {
        let to = datagram.to;
        if self.nodes[to].endpoint.is_none() {
            return;
        }
        if self.nodes[to].is_busy(self.plan.disk_blocks) {
            self.nodes[to].keep(datagram);
        } else {
            self.take_in(datagram);
        }
    }

    fn take_in(&mut self, mut datagram: Datagram) {
        let (from, to) = (datagram.from, datagram.to);
        let local = self.look_at_clock(to);
        let bytes = datagram.bytes.clone();
        let Some(mut endpoint) = self.nodes[to].endpoint.take() else { return };
        let (own, before) = (endpoint.incarnation(), endpoint.saved().clone());
        let seen = self.nodes[to].seen;
        let office = |endpoint: &Endpoint<PEERS_MAX>| (endpoint.role(), endpoint.leader(), endpoint.lease(seen));
        let (office_before, deadline) = (office(&endpoint), endpoint.next_deadline());
        let result = endpoint.handle_datagram(local, &mut datagram.bytes);
        let after = endpoint.saved();
        self.trace.note(self.now_us, to, "hears", &bytes, || {
            let kind = Header::read(&bytes).map(|header| header.kind);
            format!("n{}: {kind:?}: {result:?}", from + 1)
        });
        let taken = self.ledger.take(Taker { own, before: &before }, &bytes, result, after);
        let moved = self.ledger.compare(&bytes, result, &before, after);
        if let Err((invariant, detail)) = taken.and(moved) {
            self.checker.fail(self.now_us, invariant, || format!("n{}: {detail}", to + 1));
        }
        // A hello may be due earlier, to ask who is speaking; what is due already cannot be put off.
        let deadline = deadline.max(local);
        if result.is_err() && (office(&endpoint) != office_before || endpoint.next_deadline() > deadline) {
            let invariant = Invariant::RefusedChangesNothing;
            self.checker.fail(self.now_us, invariant, || format!("n{}: {office_before:?}, {deadline:?}", to + 1));
        }
        self.nodes[to].endpoint = Some(endpoint);
        self.drive(to);
    }

    /// Reads what came while the process was busy.
    pub(super) fn drain(&mut self, node: usize) {
        self.drive(node);
        let mut waiting: VecDeque<_> = std::mem::take(&mut self.nodes[node].socket);
        while let Some(datagram) = waiting.pop_front() {
            if self.nodes[node].endpoint.is_none() {
                return;
            }
            if self.nodes[node].is_busy(self.plan.disk_blocks) {
                waiting.push_front(datagram);
                break;
            }
            self.take_in(datagram);
        }
        self.nodes[node].socket = waiting;
    }
}
