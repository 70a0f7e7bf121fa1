//! What is kept about the datagrams from and to one peer.

use embassy_time::{Duration, Instant};

use super::{DatagramError, alarm::Alarms, hello::Question, replay::Window};
use crate::{
    time::{after, since},
    types::{Incarnation, Term},
};

/// Of the hellos that a budget is for, this many are opened at once, and then one in each interval.
const HELLO_BURST: u32 = 16;
const HELLO_INTERVAL: u32 = Duration::from_millis(10).as_ticks() as u32;

/// Bounds what hellos cost that anyone can send, made up or again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    full_at: Instant,
}

impl Budget {
    /// Takes the price of one hello.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn pay(&mut self, now: Instant) -> Result<(), DatagramError> {
        let full_at = after(self.full_at.max(now), HELLO_INTERVAL);
        if since(full_at, now) > HELLO_INTERVAL * HELLO_BURST {
            return Err(DatagramError::Flood);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) window: Window,
    /// Counter of the latest datagram sent.
    pub(super) sent: u32,
    /// Counter of the latest datagram that asks for the peer's start and has not been answered; 0 if none.
    pub(super) asked: u32,
    /// Datagrams sent since the peer was heard.
    pub(super) unheard: u16,
    pub(super) owes_hello: bool,
    /// The peer's start may be another than the known one.
    pub(super) seeking: bool,
    pub(super) alarms: Alarms,
    /// What is to be answered.
    pub(super) question: Option<Question>,
    /// For hellos that do not name this node's session.
    pub(super) strangers: Budget,
    /// For hellos, and answers to them, of starts that are not believed.
    pub(super) unbelieved: Budget,
    /// The latest term in which the peer gave this node its vote.
    pub(super) voted: Term,
}

impl Channel {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            window: Window::default(),
            sent: 0,
            asked: 0,
            unheard: 0,
            owes_hello: true,
            seeking: true,
            alarms: Alarms::default(),
            question: None,
            strangers: Budget { full_at: now },
            unbelieved: Budget { full_at: now },
            voted: Term(0),
        }
    }

    /// This node has another boot, of which the peer must learn.
    pub(super) fn begin_anew(&mut self) {
        self.sent = 0;
        self.seeking = true;
    }

    /// A hello, or an answer to one.
    pub(super) fn owes_something(&self) -> bool {
        self.owes_hello || self.question.is_some()
    }

    /// The counter of the next datagram; none when there is no next.
    pub(super) fn next_counter(&mut self) -> Option<u32> {
        self.sent = self.sent.checked_add(1)?;
        Some(self.sent)
    }

    /// A message has been sent. After `unheard_max` without an answer the peer is asked whether it is still the same.
    pub(super) fn note_sent(&mut self, unheard_max: u16) {
        self.unheard = self.unheard.saturating_add(1);
        if self.unheard >= unheard_max {
            self.unheard = 0;
            self.owes_hello = true;
        }
    }

    /// Somebody with this peer's id wants to be answered. Old hellos that come between do not displace a later one.
    pub(super) fn owe_reply(&mut self, known: &Incarnation, question: Question) {
        let rank = |question: &Question| {
            let asker = &question.asker;
            (asker.install_salt == known.install_salt, asker.boot, question.counter)
        };
        if self.question.as_ref().is_none_or(|earlier| rank(earlier) <= rank(&question)) {
            self.question = Some(question);
        }
    }
}
