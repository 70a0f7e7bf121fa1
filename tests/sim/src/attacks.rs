//! Attacks by name: each closes a way that `symphony_core::secure` speaks of. Every invariant holds throughout; what an
//! attack must not achieve beyond that is asked in its own words.

use symphony_core::{Boot, ClusterId, Duration, Member, Timing};

use crate::{
    attacker::Attacker,
    disk::Disk,
    network::{Datagram, Quality},
    plan::{Plan, Saved},
    rng::Rng,
    run::{led_by_all, led_by_majority},
    sealed::{CLUSTER, Header, Kind, TAG_SIZE},
    world::World,
};

/// What an attack must not achieve, if it did.
pub type Outcome = Result<(), String>;

/// An attack's name, and the attack.
pub type Attack = (&'static str, fn() -> Outcome);

/// All attacks.
pub const ATTACKS: &[Attack] = &[
    ("forged", forged),
    ("forged-high-counter", forged_high_counter),
    ("replayed", replayed),
    ("replayed-after-a-restart", replayed_after_a_restart),
    ("held-and-dripped", held_and_dripped),
    ("reflected", reflected),
    ("other-cluster", || other_cluster(ClusterId([2; 16]))),
    ("other-cluster-of-the-same-tag", || other_cluster(like(CLUSTER))),
    ("stale-start", stale_start),
    ("copy-that-comes-second", copy_that_comes_second),
    ("copy-that-comes-first", copy_that_comes_first),
    ("copy-of-the-disk", copy_of_the_disk),
    ("old-record", old_record),
    ("old-record-kept-in-the-dark", || kept_in_the_dark(None)),
    ("copy-kept-in-the-dark", || kept_in_the_dark(Some(Saved { boot: Boot(9), ..Saved::provision([90; 8]) }))),
    ("old-record-fed-with-its-past", old_record_fed_with_its_past),
    ("lost-record", lost_record),
    ("flood-of-hellos", flood_of_hellos),
    ("flood-in-the-name-of-earlier-starts", flood_in_the_name_of_earlier_starts),
    ("hellos-that-displace", hellos_that_displace),
    ("delayed", delayed),
];

/// The longest election timeout of [`Timing::LOCAL`], microseconds.
const TIMEOUT_US: u64 = 300_000;

fn world_of(size: u16, seed: u64, cluster: ClusterId) -> World {
    let members: Vec<_> = (1..=size).map(Member::voter).collect();
    let mut world = World::new(Plan { cluster, ..Plan::calm(seed, &members, Timing::LOCAL) }, false);
    world.attacker = Some(Attacker::new(seed, &[], TIMEOUT_US));
    world
}

fn world(size: u16) -> World {
    world_of(size, 1, CLUSTER)
}

/// Another cluster whose id begins alike.
fn like(cluster: ClusterId) -> ClusterId {
    let mut other = cluster;
    other.0[15] += 1;
    other
}

fn expect(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn whole(world: &World) -> Outcome {
    world.checker.violation().map_or(Ok(()), |violation| Err(format!("{violation:?}")))
}

/// Waits until everybody who has not retired follows one leader with a lease.
fn elect(world: &mut World) -> Result<usize, String> {
    let settled = |world: &World| led_by_all(world).filter(|leader| world.has_lease(*leader));
    let elected = world.run_until(TIMEOUT_US * 10, |world| settled(world).is_some());
    whole(world)?;
    expect(elected, "nobody leads within 10 election timeouts")?;
    settled(world).ok_or_else(|| "there was a leader".to_owned())
}

/// The leader, with its term.
fn office(world: &World, leader: usize) -> Option<(usize, u64)> {
    let leads = world.leader() == Some(leader) && world.has_lease(leader);
    world.endpoint(leader).filter(|_| leads).map(|endpoint| (leader, endpoint.term().0))
}

/// The leader that there was still leads in its term, and everybody follows.
fn undisturbed(world: &mut World, before: Option<(usize, u64)>) -> Outcome {
    let leader = elect(world)?;
    expect(before.is_some() && office(world, leader) == before, "the leader has been disturbed")
}

/// What has been overheard.
fn overheard(world: &World) -> Vec<Datagram> {
    world.attacker.as_ref().map_or_else(Vec::new, |attacker| attacker.kept().to_vec())
}

fn kind(datagram: &Datagram) -> Option<Kind> {
    Header::read(&datagram.bytes).map(|header| header.kind)
}

/// Delivers datagrams one by one, a few in a millisecond.
fn deliver(world: &mut World, datagrams: impl IntoIterator<Item = Datagram>) {
    for datagram in datagrams {
        world.inject(Datagram { injected: true, ..datagram });
        world.run(300);
    }
}

fn restart_and_meet(world: &mut World, node: usize) -> Result<usize, String> {
    world.restart(node, 10);
    world.run(TIMEOUT_US * 2);
    elect(world)
}

fn accepted(world: &World, node: usize) -> u32 {
    world.endpoint(node).map_or(0, |endpoint| endpoint.stats().datagrams_accepted)
}

fn retired(world: &World, node: usize) -> Outcome {
    expect(world.has_retired(node), "it has not been found out")
}

/// Datagrams with headers that pass, and tags that were guessed.
fn forged() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let (before, mut rng) = (office(&world, leader), Rng::new(1, 1));
    world.run(TIMEOUT_US * 5);
    let mut forged = overheard(&world);
    for datagram in &mut forged {
        let tag = datagram.bytes.len() - TAG_SIZE;
        datagram.bytes[tag + rng.index(TAG_SIZE)] ^= 1 << rng.below(8);
    }
    deliver(&mut world, forged);
    undisturbed(&mut world, before)
}

/// A counter far ahead of all others, which would shut the real ones out.
fn forged_high_counter() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let before = office(&world, leader);
    for counter in [100_u32, 1 << 20, u32::MAX - 1, u32::MAX] {
        world.run(TIMEOUT_US);
        let mut forged = overheard(&world).split_off(overheard(&world).len() - 12);
        forged.iter_mut().for_each(|datagram| datagram.bytes[16..20].copy_from_slice(&counter.to_le_bytes()));
        deliver(&mut world, forged);
    }
    world.run(TIMEOUT_US * 5);
    undisturbed(&mut world, before)
}

/// All that was said, once more: in the same order and backwards, so that both edges of the window are met.
fn replayed() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let before = office(&world, leader);
    world.run(TIMEOUT_US * 8);
    let heard = overheard(&world);
    expect(heard.len() > 200, "too little to replay")?;
    deliver(&mut world, heard.iter().cloned());
    deliver(&mut world, heard.into_iter().rev());
    undisturbed(&mut world, before)
}

/// All that was said before a node started again, to the node and in its name.
fn replayed_after_a_restart() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    world.run(TIMEOUT_US * 2);
    let heard = overheard(&world);
    for node in world.others(leader) {
        restart_and_meet(&mut world, node)?;
        let before = office(&world, leader);
        deliver(&mut world, heard.iter().cloned());
        undisturbed(&mut world, before)?;
    }
    Ok(())
}

/// The last heartbeats of a leader that has died, one by one, each as late as it could still keep a follower quiet.
fn held_and_dripped() -> Outcome {
    (0..8).try_for_each(|seed| {
        let mut world = world_of(5, seed, CLUSTER);
        let leader = elect(&mut world)?;
        let mut held = world.crash_held_back(leader, TIMEOUT_US * 2 / 5);
        let begun_us = world.now_us;
        while world.leader().is_none() {
            let dripped: Vec<_> = held.iter_mut().filter_map(Vec::pop).collect();
            deliver(&mut world, dripped);
            let patience_us = Timing::LOCAL.election_timeout_min.as_micros() - 10_000;
            world.run_until(patience_us, |world| world.leader().is_some());
            // The last that was fresh came before the hold; the longest timeout since then is over soon.
            expect(world.now_us - begun_us < TIMEOUT_US * 9 / 10, "they have kept the followers quiet")?;
        }
        elect(&mut world).map(|_| ())
    })
}

/// All that a node says comes back to it: as it was, with the addresses exchanged, and with the sessions, too.
fn reflected() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let before = office(&world, leader);
    world.run(TIMEOUT_US * 2);
    for exchanged in 0..3 {
        let mut reflected = overheard(&world);
        for datagram in &mut reflected {
            (datagram.from, datagram.to) = (datagram.to, datagram.from);
            if exchanged > 0 {
                (0..2).for_each(|at| datagram.bytes.swap(2 + at, 4 + at));
            }
            if exchanged > 1 {
                (0..4).for_each(|at| datagram.bytes.swap(8 + at, 12 + at));
            }
        }
        deliver(&mut world, reflected);
    }
    undisturbed(&mut world, before)
}

/// Two clusters of the same key and the same members on one network.
fn other_cluster(cluster: ClusterId) -> Outcome {
    let mut worlds = [world(3), world_of(3, 2, cluster)];
    for _ in 0..40 {
        for world in &mut worlds {
            world.run(TIMEOUT_US / 10);
        }
        let [ours, theirs] = [0, 1].map(|place| overheard(&worlds[place]));
        deliver(&mut worlds[0], theirs.into_iter().rev().take(10));
        deliver(&mut worlds[1], ours.into_iter().rev().take(10));
    }
    worlds.iter_mut().try_for_each(|world| elect(world).map(|_| ()))
}

/// What several starts of a node have said, and nobody has heard, comes when a later start is known.
fn stale_start() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let node = world.others(leader)[0];
    let mut held = Vec::new();
    for other in world.others(node) {
        world.network.hold(node, other);
    }
    for _ in 0..3 {
        world.restart(node, 10);
        world.run(TIMEOUT_US);
    }
    for other in world.others(node) {
        held.extend(world.network.take_held(node, other));
    }
    let leader = restart_and_meet(&mut world, node)?;
    let before = office(&world, leader);
    expect(held.iter().any(|held| kind(held) == Some(Kind::HelloReply)), "it has answered nobody")?;
    deliver(&mut world, held.iter().cloned());
    deliver(&mut world, held.into_iter().rev());
    world.run(TIMEOUT_US * 2);
    undisturbed(&mut world, before)
}

/// A device is installed under an id that is in use.
fn copy_that_comes_second() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let before = office(&world, leader);
    for of in 0..3 {
        let copy = world.add_machine(of, Disk::new(Saved::provision([90 + of as u8; 8])));
        world.checker.suspect(copy);
        world.run(TIMEOUT_US * 3);
        retired(&world, copy)?;
    }
    undisturbed(&mut world, before)
}

/// The same, and the device that was meant to have the id comes second.
fn copy_that_comes_first() -> Outcome {
    let mut world = world(3);
    world.crash(2);
    let copy = world.add_machine(2, Disk::new(Saved::provision([90; 8])));
    let leader = elect(&mut world)?;
    let before = office(&world, leader);
    world.checker.suspect(2);
    world.start(2);
    world.run(TIMEOUT_US * 3);
    retired(&world, 2)?;
    expect(!world.has_retired(copy), "both have retired")?;
    undisturbed(&mut world, before)
}

/// The disk of a node that runs is copied, and the copy is started beside it: the later start is believed.
fn copy_of_the_disk() -> Outcome {
    for of in 0..3 {
        let mut world = world(3);
        elect(&mut world)?;
        let disk = world.disk(of).clone();
        let copy = world.add_machine(of, disk);
        world.checker.suspect(of);
        world.checker.suspect(copy);
        world.run(TIMEOUT_US * 10);
        expect(world.has_retired(of) != world.has_retired(copy), "not one of the two has retired")?;
        elect(&mut world)?;
    }
    Ok(())
}

/// A node with a record from before starts that its peers know.
fn node_with_an_old_record(world: &mut World) -> Result<(usize, Disk), String> {
    let leader = elect(world)?;
    let node = world.others(leader)[0];
    let disk = world.disk(node).clone();
    restart_and_meet(world, node)?;
    restart_and_meet(world, node)?;
    world.crash(node);
    Ok((node, disk))
}

/// It is told so before it may vote.
fn old_record() -> Outcome {
    let mut world = world(3);
    let (node, disk) = node_with_an_old_record(&mut world)?;
    world.replace_disk(node, disk);
    world.start(node);
    world.run(Timing::LOCAL.election_timeout_min.as_micros());
    retired(&world, node)?;
    elect(&mut world).map(|_| ())
}

/// A node with an old record, or another installation under its id: its peers' answers are kept from it, but not their
/// questions. They know better, and do not listen to it.
fn kept_in_the_dark(record: Option<Saved>) -> Outcome {
    let mut world = world(3);
    let (node, old) = node_with_an_old_record(&mut world)?;
    let disk = record.map_or(old, Disk::new);
    let leader = elect(&mut world)?;
    let before = office(&world, leader);
    world.replace_disk(node, disk);
    world.others(node).into_iter().for_each(|other| world.network.set_cut(other, node, true));
    world.start(node);
    let mut asked = 0;
    for _ in 0..40 {
        let from = overheard(&world).len();
        world.run(TIMEOUT_US / 10);
        let questions = overheard(&world).split_off(from.min(overheard(&world).len()));
        let questions: Vec<_> =
            questions.into_iter().filter(|said| said.to == node && kind(said) == Some(Kind::Hello)).collect();
        asked += questions.len();
        deliver(&mut world, questions);
    }
    expect(asked > 0, "nobody has asked it")?;
    whole(&world)?;
    expect(office(&world, leader) == before, "the leader has been disturbed")?;
    world.network.mend();
    world.run(TIMEOUT_US * 5);
    retired(&world, node)
}

/// It hears again what was said to a start of the same number.
fn old_record_fed_with_its_past() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let node = world.others(leader)[0];
    let disk = world.disk(node).clone();
    restart_and_meet(&mut world, node)?;
    world.run(TIMEOUT_US);
    let heard: Vec<_> = overheard(&world).into_iter().filter(|said| said.to == node).collect();
    world.crash(node);
    world.others(node).into_iter().for_each(|other| world.network.set_cut(other, node, true));
    world.replace_disk(node, disk);
    world.start(node);
    world.run(10_000);
    let before = accepted(&world, node);
    let messages = heard.into_iter().filter(|said| kind(said) != Some(Kind::Hello));
    deliver(&mut world, messages);
    expect(accepted(&world, node) == before, "it has taken what was meant for another start")?;
    whole(&world)
}

/// The record is lost, and the node provisioned anew under its old id.
fn lost_record() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let node = world.others(leader)[0];
    let before = office(&world, leader);
    world.crash(node);
    world.replace_disk(node, Disk::new(Saved::provision([77; 8])));
    world.start(node);
    world.run(TIMEOUT_US);
    retired(&world, node)?;
    undisturbed(&mut world, before)
}

/// Old hellos and made-up ones, more than can be opened. Those who have met elect a leader nevertheless; whoever starts
/// again is met when the flood is over.
fn flood_of_hellos() -> Outcome {
    let mut world = world(5);
    let hellos: Vec<_> = overheard_hellos(&mut world)?;
    let mut rng = Rng::new(1, 1);
    let mut flood = move |world: &mut World| {
        for _ in 0..40 {
            let mut hello = hellos[rng.index(hellos.len())].clone();
            let at = rng.range(8, 80) as usize;
            hello.bytes[at] ^= if rng.percent(80) { rng.bits() as u8 } else { 0 };
            world.inject(Datagram { injected: true, ..hello });
        }
        world.run(1_000);
    };
    let leader = elect(&mut world)?;
    let before = office(&world, leader);
    (0..1_000).for_each(|_| flood(&mut world));
    expect(office(&world, leader) == before, "the leader has been disturbed")?;
    world.crash(leader);
    let mut left = TIMEOUT_US * 10 / 1_000;
    while led_by_majority(&world).is_none_or(|next| next == leader) {
        left -= 1;
        expect(left > 0, "nobody leads within 10 election timeouts")?;
        flood(&mut world);
    }
    world.start(leader);
    (0..300).for_each(|_| flood(&mut world));
    elect(&mut world).map(|_| ())
}

/// What earlier starts of a node have said to the present start of another, and forgeries of it: few are opened, and the
/// node is met when it starts again in the middle of it, though others are flooded in its name as well.
fn flood_in_the_name_of_earlier_starts() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let node = world.others(leader)[0];
    restart_and_meet(&mut world, node)?;
    let session = |world: &World, of: usize| world.endpoint(of).map(|endpoint| endpoint.incarnation().session);
    let names_it =
        |said: &Datagram| Header::read(&said.bytes).map(|header| header.to_session) == session(&world, said.to);
    let (named, others): (Vec<_>, Vec<_>) =
        overheard(&world).into_iter().filter(|said| kind(said) == Some(Kind::Hello)).partition(names_it);
    expect(named.iter().any(|said| said.from == node), "it has named no session")?;
    restart_and_meet(&mut world, node)?;
    let old: Vec<_> = named.into_iter().filter(|said| said.from == node).collect();
    let mut rng = Rng::new(1, 1);
    let mut flood = |world: &mut World, of: &[Datagram]| {
        for turn in 0..20 {
            let mut hello = of[turn % of.len()].clone();
            let tag = hello.bytes.len() - TAG_SIZE;
            hello.bytes[tag + rng.index(TAG_SIZE)] ^= if rng.percent(50) { 1 } else { 0 };
            world.inject(Datagram { injected: true, ..hello });
        }
        world.run(1_000);
    };
    let (before, taken) = (office(&world, leader), accepted(&world, leader));
    (0..1_000).for_each(|_| flood(&mut world, &old));
    let taken = accepted(&world, leader) - taken;
    // Of these 16 and one in 10 ms; the rest is what the members say.
    expect(taken < 300, &format!("{taken} have been taken"))?;
    expect(office(&world, leader) == before, "the leader has been disturbed")?;
    world.restart(node, 10);
    world.run(1_000);
    let all: Vec<_> = old.iter().chain(&others).cloned().collect();
    (0..TIMEOUT_US * 2 / 1_000).for_each(|_| flood(&mut world, &all));
    expect(world.others(node).into_iter().all(|by| has_met(&world, by, node)), "it has not been met")?;
    undisturbed(&mut world, before)
}

/// Whether a node knows the present start of another.
fn has_met(world: &World, by: usize, node: usize) -> bool {
    let (Some(by), Some(node)) = (world.endpoint(by), world.endpoint(node)) else { return false };
    by.saved().peers.iter().any(|peer| peer.incarnation == node.incarnation())
}

/// Everything comes late: an answer takes twenty heartbeats, which is less than an election waits for.
fn delayed() -> Outcome {
    let members: Vec<_> = (1..=3).map(Member::voter).collect();
    let timing = Timing {
        heartbeat_interval: Duration::from_millis(10),
        election_timeout_min: Duration::from_millis(500),
        election_timeout_max: Duration::from_millis(1_000),
        ..Timing::LOCAL
    };
    let plan = Plan { healthy: Quality::clean((100_000, 110_000)), ..Plan::calm(1, &members, timing) };
    let mut world = World::new(plan, false);
    let elected = world.run_until(10_000_000, |world| led_by_all(world).is_some());
    whole(&world)?;
    expect(elected, "nobody leads within 10 election timeouts")
}

/// Every hello of the first starts.
fn overheard_hellos(world: &mut World) -> Result<Vec<Datagram>, String> {
    elect(world)?;
    let hellos: Vec<_> = overheard(world).into_iter().filter(|said| kind(said) == Some(Kind::Hello)).collect();
    expect(!hellos.is_empty(), "nobody has introduced itself")?;
    Ok(hellos)
}

/// Hellos of earlier starts come between the real ones, so that an answer may go to them alone.
fn hellos_that_displace() -> Outcome {
    let mut world = world(3);
    let leader = elect(&mut world)?;
    let node = world.others(leader)[0];
    restart_and_meet(&mut world, node)?;
    let old: Vec<_> =
        overheard(&world).into_iter().filter(|said| said.from == node && kind(said) == Some(Kind::Hello)).collect();
    world.restart(node, 10);
    for turn in 0..300 {
        world.inject(Datagram { injected: true, ..old[turn % old.len()].clone() });
        world.run(2_000);
    }
    expect(has_met(&world, leader, node), "the leader has not met the node")?;
    elect(&mut world).map(|_| ())
}
