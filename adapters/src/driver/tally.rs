//! What becomes of datagrams, counted and, where it tells of a mistake in a configuration, logged; and what the node is,
//! measured.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use metrics::{SharedString, counter, gauge};
use symphony_core::{Alarm, DatagramError, Duration, Instant, NodeId};

use super::Status;

/// Time between two lines of the log about datagrams refused for one reason: anybody can send such datagrams.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Time without a leader before the log says why, and between two such lines: the reason may change with every datagram.
const LEADERLESS_MIN: Duration = Duration::from_secs(1);
const LEADERLESS_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Counts, each with the node's id, since one process may hold several nodes.
#[derive(Debug)]
pub(super) struct Tally {
    node: SharedString,
    logged: HashMap<DatagramError, Instant>,
    /// When the log says, or says again, why there is no leader; none while there is one.
    leaderless_log_at: Option<Instant>,
}

impl Tally {
    pub(super) fn new(node: NodeId) -> Self {
        Self { node: Arc::<str>::from(node.0.to_string()).into(), logged: HashMap::new(), leaderless_log_at: None }
    }

    pub(super) fn accepted(&self) {
        counter!("symphony_datagrams_accepted_total", "node" => self.node.clone()).increment(1);
    }

    pub(super) fn refused(&mut self, now: Instant, error: DatagramError, from: SocketAddr) {
        counter!("symphony_datagrams_refused_total", "node" => self.node.clone(), "reason" => error.name())
            .increment(1);
        let is_due = self.logged.get(&error).is_none_or(|last| now >= last.saturating_add(LOG_INTERVAL));
        if is_due && is_lasting(error) {
            self.logged.insert(error, now);
            tracing::warn!(%from, %error, "datagrams are refused");
        } else {
            tracing::debug!(%from, %error, "datagram refused");
        }
    }

    /// What the node is from now on.
    pub(super) fn is(&mut self, now: Instant, status: &Status) {
        self.leaderless_log_at = match (status.leader, self.leaderless_log_at) {
            (Some(_), _) => None,
            (None, None) => Some(now.saturating_add(LEADERLESS_MIN)),
            (None, Some(at)) if at <= now => {
                tracing::warn!(term = status.term, role = %status.role, reason = status.reason, "no leader");
                Some(now.saturating_add(LEADERLESS_LOG_INTERVAL))
            }
            (None, later) => later,
        };
        let set = |gauge: metrics::Gauge, holds: bool| gauge.set(f64::from(u8::from(holds)));
        set(gauge!("symphony_leader", "node" => self.node.clone()), status.is_leader());
        set(gauge!("symphony_record_unsaved", "node" => self.node.clone()), status.store_error.is_some());
        gauge!("symphony_term", "node" => self.node.clone())
            .set(f64::from(u32::try_from(status.term).unwrap_or(u32::MAX)));
        for kind in ALARM_KINDS {
            let stands = status.alarms.iter().any(|alarm| alarm_kind(*alarm) == kind);
            set(gauge!("symphony_alarm", "node" => self.node.clone(), "kind" => kind), stands);
        }
    }

    pub(super) fn alarm(&self, alarm: Alarm) {
        counter!("symphony_alarms_total", "node" => self.node.clone()).increment(1);
        match alarm {
            Alarm::MembersDiffer { .. } => tracing::warn!("{alarm}"),
            Alarm::Retired(_) => tracing::error!(
                "{alarm}; it stays silent: stop it, give it an id that no node of the cluster ever had and a new state \
                 file, and tell all members"
            ),
            _ => tracing::error!("{alarm}"),
        }
    }
}

/// A node whose driver has ended leads no longer, whatever it was.
impl Drop for Tally {
    fn drop(&mut self) {
        gauge!("symphony_leader", "node" => self.node.clone()).set(0.0);
    }
}

/// Alarms, as a label of the metrics.
const ALARM_KINDS: [&str; 4] = ["retired", "impostor", "peer_rolled_back", "members_differ"];

const fn alarm_kind(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Retired(_) => "retired",
        Alarm::Impostor { .. } => "impostor",
        Alarm::PeerRolledBack { .. } => "peer_rolled_back",
        Alarm::MembersDiffer { .. } => "members_differ",
        _ => "other",
    }
}

/// Whether datagrams go on being refused until somebody changes a configuration or a key. The others come and go with
/// restarts, delays and attacks.
const fn is_lasting(error: DatagramError) -> bool {
    matches!(
        error,
        DatagramError::Version
            | DatagramError::Cluster
            | DatagramError::Receiver
            | DatagramError::Sender
            | DatagramError::Key
            | DatagramError::Forged
    )
}
