//! Election: members and patience.

use std::collections::BTreeSet;

use super::{super::section::Node, Check, Path, Role, text};
use crate::config::MemberKind;

pub(super) fn check(check: &mut Check<'_>, node: &Node, role: Option<Role>) {
    check.require(node.id > 0, &Path::new("node", "id"), "ids begin at 1");
    check.require(!node.cluster.is_empty(), &Path::new("node", "cluster"), "must not be empty");
    timers(check, node);
    members(check, node, role);
}

fn timers(check: &mut Check<'_>, node: &Node) {
    let path = |key| Path::new("node", key);
    check.require(!node.heartbeat.is_zero(), &path("heartbeat"), "must be above 0");
    let (min, max) = (node.election_timeout_min, node.election_timeout_max);
    if min / 2 < node.heartbeat {
        let message = format!(
            "the shortest election timeout ({}) must be at least twice the heartbeat ({})",
            humantime::format_duration(min),
            humantime::format_duration(node.heartbeat)
        );
        let blamed = check.set_among([path("election_timeout_min"), path("heartbeat")]);
        check.problem(&blamed, message);
    }
    if max < min {
        let message = format!(
            "the longest election timeout ({}) must not be below the shortest ({})",
            humantime::format_duration(max),
            humantime::format_duration(min)
        );
        let blamed = check.set_among([path("election_timeout_max"), path("election_timeout_min")]);
        check.problem(&blamed, message);
    }
}

fn members(check: &mut Check<'_>, node: &Node, role: Option<Role>) {
    let path = Path::new("node", "members");
    if node.members.is_empty() {
        return;
    }
    let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (index, member) in node.members.iter().enumerate() {
        let path = path.index(index);
        check.require(member.id > 0, &path.key("id"), "ids begin at 1");
        check.require(ids.insert(member.id), &path.key("id"), format!("another member has the id {}", member.id));
        check.accept(text::host_and_port(&member.address), &path.key("address"));
        let unique = addresses.insert(&member.address);
        check.require(unique, &path.key("address"), format!("another member has the address {:?}", member.address));
    }
    let votes = node.members.iter().any(|member| member.kind == MemberKind::Voter);
    check.require(votes, &path, "none of them is a voter: nobody could be elected");
    // A file shared by all nodes names the members; each node's own id comes from elsewhere.
    let id = Path::new("node", "id");
    let own_id_matters = role.map_or_else(|| check.is_set(&id), Role::elects);
    if own_id_matters && !ids.contains(&node.id) {
        let known: Vec<_> = ids.iter().map(u16::to_string).collect();
        check.problem(&id, format!("{} is not the id of a member; the members are {}", node.id, known.join(", ")));
    }
}
