//! An emulated board votes beside Linux nodes; ignored where the emulator is not installed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "board/peer.rs"]
mod peer;
#[path = "board/server.rs"]
mod server;

use std::{net::UdpSocket, path::Path, thread, time::Instant};

use libtest_mimic::Arguments;
use symphony_core::{Duration, Endpoint, Member, NodeId, Reason, Role, Session, Timing, Verdict};
use symphony_tests::{
    board::{ABSENT, BOARD, Board, Cluster, PATIENCE, programs},
    servers::{trial, wait_until},
};

use peer::Peer;
use server::Server;

/// What is done in a folder of its own.
type Test = fn(&Path);

fn main() {
    let programs = programs();
    let tests: [(&str, Test); 9] = [
        ("as a witness it elects the server that is left", as_a_witness_it_elects_the_server_that_is_left),
        ("as a voter it elects the server that is left", as_a_voter_it_elects_the_server_that_is_left),
        ("as leader it hands over to the better server that comes back", it_hands_over_to_the_better_server),
        ("as leader it hands over when asked", it_hands_over_when_asked),
        ("reset in the middle of a term it votes for nobody else", reset_it_votes_for_nobody_else),
        ("reset when it has just voted it votes for nobody else", reset_when_it_has_just_voted),
        ("after a loss of power or a fault it goes on with its record", switched_off_and_on_it_goes_on),
        ("what strangers send does not keep it from its work", what_strangers_send_does_not_keep_it_from_its_work),
        ("a member that is switched off holds nothing back", a_member_switched_off_holds_nothing_back),
    ];
    let trials = tests.map(|(name, test)| trial(name, &programs, move || test(tempfile::tempdir().unwrap().path())));
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit();
}

fn as_a_witness_it_elects_the_server_that_is_left(folder: &Path) {
    let members = [Member::voter(1), Member::voter(2), Member::witness(BOARD)];
    let cluster = Cluster::new("board as witness", &members);
    let time_max = election_time_max(&cluster);
    the_server_that_is_left_is_elected(folder, &cluster, time_max);
}

/// If the board is elected first, it hands over, because the server has a higher priority.
fn as_a_voter_it_elects_the_server_that_is_left(folder: &Path) {
    let members = [Member::voter(1).with_priority(1), Member::voter(2).with_priority(1), Member::voter(BOARD)];
    let cluster = Cluster::new("board as voter", &members);
    let time_max = election_time_max(&cluster) + 10 * timeout_max(&cluster) + election_time_max(&cluster);
    the_server_that_is_left_is_elected(folder, &cluster, time_max);
}

/// How long an election takes where the machine is not busy. A vote that is split costs one more timeout; the rest is for
/// the emulator.
fn election_time_max(cluster: &Cluster) -> std::time::Duration {
    2 * timeout_max(cluster) + std::time::Duration::from_secs(1)
}

fn timeout_max(cluster: &Cluster) -> std::time::Duration {
    std::time::Duration::from_millis(cluster.timing.election_timeout_max.as_millis())
}

fn the_server_that_is_left_is_elected(folder: &Path, cluster: &Cluster, time_max: std::time::Duration) {
    // First, so that none of them owes its leadership to the board: a second hand-over waits for longer.
    let mut servers = [Server::start(folder, cluster, 1), Server::start(folder, cluster, 2)];
    let is_one = wait_until(PATIENCE, || servers.iter().any(|server| server.led_last().is_some()));
    assert!(is_one, "no server leads:\n{}\n{}", servers[0].log(), servers[1].log());
    let mut board = Board::start(folder, cluster);
    let mut led = None;
    let follows = wait_until(PATIENCE, || {
        led = board.leader().filter(|(term, id)| {
            servers.get(usize::from(*id) - 1).is_some_and(|server| server.led_last() == Some(*term))
        });
        led.is_some()
    });
    assert!(follows, "it follows no server:\n{}", board.log());
    let (term, old) = led.unwrap();
    let left = usize::from(2 - old);

    let killed = Instant::now();
    servers[usize::from(old) - 1].kill();
    let is_elected = wait_until(PATIENCE, || servers[left].led_last() > Some(term));
    let took = killed.elapsed();
    assert!(is_elected, "nobody is elected:\n{}\n{}", servers[left].log(), board.log());
    let (new_term, left) = (servers[left].led_last().unwrap(), left + 1);
    let vote = format!("term Term({new_term}): VotedFor {{ candidate: NodeId({left}) }}");
    board.wait_for("its vote", |log| log.contains(&vote));
    let follows =
        wait_until(PATIENCE, || board.leader().is_some_and(|(now, id)| now >= new_term && usize::from(id) == left));
    assert!(follows, "{}", board.log());
    let Timing { election_timeout_min, election_timeout_max, .. } = cluster.timing;
    println!(
        "{}: node {left} leads {} ms after node {old} was killed, of {} ms; timeouts {} to {} ms",
        cluster.name,
        took.as_millis(),
        time_max.as_millis(),
        election_timeout_min.as_millis(),
        election_timeout_max.as_millis()
    );
    println!("{}", board.log());
}

/// The board, elected by itself and the witness 2, that witness, and the term.
fn a_board_that_leads(folder: &Path, cluster: &Cluster) -> (Board, Server, u64) {
    let mut board = Board::start(folder, cluster);
    let witness = Server::start(folder, cluster, 2);
    board.wait_for("its lease", |log| log.contains("LeaseAcquired"));
    let mut led = None;
    let leads = wait_until(PATIENCE, || {
        led = board.leader().filter(|(_, id)| *id == BOARD);
        led.is_some()
    });
    assert!(leads, "{}", board.log());
    (board, witness, led.unwrap().0)
}

/// The server that is to lead comes when the board does already.
fn it_hands_over_to_the_better_server(folder: &Path) {
    let members = [Member::voter(1).with_priority(10), Member::witness(2), Member::voter(BOARD)];
    let cluster = Cluster::new("board as leader", &members);
    let (mut board, _witness, term) = a_board_that_leads(folder, &cluster);

    let server = Server::start(folder, &cluster, 1);
    let leads = wait_until(PATIENCE, || server.led_last() > Some(term));
    assert!(leads, "{}\n{}", server.log(), board.log());
    board.wait_for("the hand-over", |log| log.contains("HandingOver { to: NodeId(1) }"));
    assert!(wait_until(PATIENCE, || follows_server_after(&board, term)), "{}", board.log());
    println!("{}", board.log());
}

/// Whether the board knows the server 1 as leader of a later term than this.
fn follows_server_after(board: &Board, term: u64) -> bool {
    board.leader().is_some_and(|(now, id)| now > term && id == 1)
}

/// Nobody is better than the board, so it leads until somebody presses its button.
fn it_hands_over_when_asked(folder: &Path) {
    let members = [Member::voter(1), Member::witness(2), Member::voter(BOARD)];
    let cluster = Cluster::new("board that is asked", &members);
    let (mut board, _witness, term) = a_board_that_leads(folder, &cluster);
    let server = Server::start(folder, &cluster, 1);
    assert!(wait_until(PATIENCE, || server.follows(BOARD)), "{}", server.log());

    // On a busy machine a hand-over may come to nothing.
    let leads = wait_until(PATIENCE, || {
        board.press_select();
        wait_until(3 * timeout_max(&cluster), || server.led_last() > Some(term))
    });
    assert!(leads, "{}\n{}", server.log(), board.log());
    board.wait_for("the hand-over", |log| log.contains("HandingOver { to: NodeId(1) }"));
    board.wait_for("its vote", |log| log.contains("VotedFor { candidate: NodeId(1) }"));
    assert!(wait_until(PATIENCE, || follows_server_after(&board, term)), "{}", board.log());
    println!("{}", board.log());
}

fn reset_it_votes_for_nobody_else(folder: &Path) {
    votes_for_nobody_else(folder, "board reset", |first, _| first.role() == Role::Leader);
}

/// Before or after the vote is saved, before or after it has left.
fn reset_when_it_has_just_voted(folder: &Path) {
    votes_for_nobody_else(folder, "board reset at its vote", |_, log| {
        log.contains("VotedFor { candidate: NodeId(1) }")
    });
}

/// Two candidates of one term, here in this process; the board is reset between their requests.
fn votes_for_nobody_else(folder: &Path, name: &str, is_time: impl Fn(&Endpoint<4>, &str) -> bool) {
    let members = [Member::voter(1), Member::voter(2), Member::witness(BOARD)];
    let cluster = Cluster::new(name, &members);
    let mut board = Board::start(folder, &cluster);
    // Each campaigns once, for an hour: in the same term however slow the emulator is, and also after the reset.
    let hour = Duration::from_secs(3600);
    let patient = Timing { election_timeout_min: hour, election_timeout_max: hour, ..cluster.timing };
    let candidate = |id| {
        let mut peer = Peer::start(&cluster, id, patient);
        peer.run_until(|_| true, |peer| peer.saved().peers.iter().any(|known| known.incarnation.session != Session(0)));
        peer.skip(hour);
        peer
    };
    let mut second = candidate(2);
    // Whatever it says as candidate is held back.
    second.run_until(|peer| peer.role() != Role::Candidate, |peer| peer.role() == Role::Candidate);
    let mut first = candidate(1);
    first.run_until(|_| true, |peer| is_time(peer, &board.log()));
    let term = second.endpoint().term();
    assert_eq!(first.endpoint().term(), term, "two candidates of one term");

    board.reset();
    first.hear();
    let (before, after) = (board.starts()[0], board.starts()[1]);
    assert!(after.1 > before.1, "{before:?} {after:?}");
    if after.0 < term.0 {
        assert_ne!(first.endpoint().role(), Role::Leader, "a vote that was not saved has left:\n{}", board.log());
        println!("{name}: the reset came before the vote was saved, and the vote has not left");
        return;
    }
    assert_eq!(after.0, term.0, "the record of its vote is read");
    drop(first);

    // Before the shortest timeout has passed, it votes for nobody at all.
    board.wait_for("the end of its patience", |log| {
        log.rsplit(" starts in ").next().is_some_and(|since| since.contains("LeaderSilent"))
    });
    let refusal = Reason::VoteRefused { by: NodeId(BOARD), verdict: Verdict::AlreadyVoted };
    second.run_until(
        |_| true,
        |peer| {
            assert_ne!(peer.role(), Role::Leader, "the board has voted twice:\n{}", board.log());
            peer.stats().latest.1 == refusal
        },
    );
    println!("{}", board.log());
}

/// As a witness between two servers: it has lost its power, and comes back as the one it was.
fn switched_off_and_on_it_goes_on(folder: &Path) {
    let members = [Member::voter(1), Member::voter(2), Member::witness(BOARD)];
    let cluster = Cluster::new("board without power", &members);
    let mut board = Board::start(folder, &cluster);
    let servers = [Server::start(folder, &cluster, 1), Server::start(folder, &cluster, 2)];
    assert!(wait_until(PATIENCE, || board.leader().is_some()), "{}", board.log());
    let leader = board.leader().unwrap();
    drop(board);

    board = Board::start(folder, &cluster);
    let (term, boot) = board.starts()[0];
    assert!(term >= leader.0 && boot > 0, "the record is read: {}", board.log());
    assert!(wait_until(PATIENCE, || board.leader().is_some_and(|(now, _)| now >= term)), "{}", board.log());

    board.crash();
    assert!(board.log().contains("fault at 0xf0000000"), "{}", board.log());
    assert!(board.starts()[1].1 > boot, "{}", board.log());
    let log = board.log();
    let follows_again =
        |log: &str| log.rsplit(" starts in ").next().is_some_and(|since| since.contains("LeaderChanged"));
    let follows =
        wait_until(PATIENCE, || follows_again(&board.log()) && board.leader().is_some_and(|(now, _)| now >= term));
    assert!(follows, "{log}\n{}\n{}", servers[0].log(), board.log());
    let is_stranger = servers.iter().any(|server| server.log().contains("alarm"));
    assert!(!is_stranger, "{}\n{}", servers[0].log(), servers[1].log());
    println!("{}", board.log());
}

/// Anybody can send datagrams. The log's line is slow, so a line for each would keep the board from its heartbeats.
fn what_strangers_send_does_not_keep_it_from_its_work(folder: &Path) {
    let members = [Member::voter(1), Member::witness(BOARD)];
    let cluster = Cluster::new("board under a flood", &members);
    let board = Board::start(folder, &cluster);
    let server = Server::start(folder, &cluster, 1);
    assert!(wait_until(PATIENCE, || board.leader().is_some()), "{}", board.log());

    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let told = || board.log().matches("datagrams refused: ").count();
    let is_unmoved = || {
        assert!(wait_until(PATIENCE, || board.leader().is_some()), "{}", board.log());
        let (leader, before, start, mut sent) = (board.leader(), told(), Instant::now(), 0);
        while start.elapsed() < std::time::Duration::from_secs(5) {
            // Some may find no room.
            sent += u32::from(stranger.send_to(&[0x5a; 64], cluster.address(BOARD)).is_ok());
            thread::sleep(std::time::Duration::from_millis(1));
        }
        let (lines, seconds) = (told() - before, start.elapsed().as_secs());
        println!("{sent} datagrams of a stranger in {seconds} s, {lines} lines of the log");
        lines > 1 && u64::try_from(lines).unwrap() <= seconds + 1 && board.leader() == leader
    };
    // A busy machine may keep an emulator from its work as well.
    assert!((0..5).any(|_| is_unmoved()), "{}\n{}", server.log(), board.log());
}

/// The network stack waits for the hardware address of a member that nobody answers for.
fn a_member_switched_off_holds_nothing_back(folder: &Path) {
    let members = [Member::witness(1), Member::voter(BOARD), Member::observer(ABSENT)];
    // No longer than the waits for an address.
    let cluster = Cluster::new("board and an absent member", &members).with_timeouts(1000, 2000);
    let mut board = Board::start(folder, &cluster);
    let witness = Server::start(folder, &cluster, 1);
    board.wait_for("its lease", |log| log.contains("LeaseAcquired"));
    let leads = wait_until(PATIENCE, || witness.follows(BOARD));
    assert!(leads, "{}", witness.log());
    let lost = || board.log().matches("LeaseLost").count();
    let holds_its_lease = || {
        let has_lease = || board.log().matches("LeaseAcquired").count() > lost();
        assert!(wait_until(PATIENCE, has_lease), "{}", board.log());
        let before = lost();
        // The address is asked for every second or so; three election timeouts see some of that.
        !wait_until(3 * timeout_max(&cluster), || lost() > before)
    };
    // A busy machine may cost an emulator its lease as well.
    assert!((0..5).any(|_| holds_its_lease()), "{}", board.log());
}
