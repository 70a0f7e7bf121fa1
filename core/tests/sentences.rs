//! What Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014) says of elections, sentence by sentence, and the
//! test that holds the core to it. The sentences are told in our own words.
//!
//! What it says of logs (3.5, 3.6, 4.1, 5), of clients' requests (6.1, 6.3, 6.4 but for the lease) and of changes of
//! membership does not apply; chapter 10 says nothing of elections.

#![allow(clippy::unwrap_used, reason = "a test that goes wrong may panic")]

use std::{collections::BTreeMap, fs, path::Path};

/// Section, what it says, and the test as `file::function`.
const SENTENCES: &[(&str, &str, &str)] = &[
    ("3.2", "A term has one leader at most", "thesis::a_term_has_one_leader"),
    ("3.3", "Nodes start as followers", "thesis::a_node_follows_while_it_hears_a_leader"),
    (
        "3.3",
        "A later term is adopted, and ends candidacy and leadership",
        "thesis::a_later_term_makes_a_follower_of_everyone",
    ),
    (
        "3.3",
        "A request of a stale term is refused, with the current one",
        "thesis::a_stale_request_is_refused_with_the_current_term",
    ),
    ("3.3", "An answer of a stale term is ignored", "thesis::a_stale_answer_changes_nothing"),
    (
        "3.3",
        "Requests are repeated until they are answered",
        "thesis::requests_are_repeated_to_those_who_have_not_answered",
    ),
    (
        "3.4",
        "A follower stays one while it hears a leader or a candidate it votes for",
        "thesis::a_node_follows_while_it_hears_a_leader",
    ),
    (
        "3.4",
        "A leader sends heartbeats to everyone, at once and then periodically",
        "thesis::a_leader_sends_heartbeats_to_everyone_at_once_and_then_periodically",
    ),
    (
        "3.4",
        "Silence for an election timeout begins an election",
        "reasons::a_silent_leader_is_told_with_how_long_it_was_silent",
    ),
    (
        "3.4",
        "A candidate moves to the next term, votes for itself and asks all others at once",
        "thesis::an_election_begins_with_a_new_term_an_own_vote_and_a_request_to_every_voter",
    ),
    ("3.4", "The votes of a majority of the cluster in one term win", "thesis::a_majority_of_all_voters_wins"),
    ("3.4", "A voter counts once", "thesis::a_majority_of_all_voters_wins"),
    ("3.4", "Only voters count", "thesis::votes_of_those_who_have_none_do_not_count"),
    (
        "3.4",
        "A node votes once in a term, for the first to ask",
        "thesis::the_first_to_ask_gets_the_only_vote_of_a_term",
    ),
    (
        "3.4",
        "Every case of a request for a vote has its answer",
        "votes::every_request_for_a_vote_gets_the_answer_of_the_table",
    ),
    (
        "3.4",
        "A candidate follows a leader of its term or a later one",
        "thesis::a_candidate_follows_a_leader_of_its_term_or_a_later_one",
    ),
    (
        "3.4",
        "A candidate refuses a leader of an earlier term, and goes on",
        "thesis::a_candidate_refuses_a_leader_of_an_earlier_term",
    ),
    (
        "3.4",
        "A split vote is followed by another election, in a later term",
        "thesis::a_split_vote_is_followed_by_another_election",
    ),
    ("3.4", "Timeouts are random, from a fixed range", "thesis::timeouts_are_drawn_anew_for_every_wait"),
    (
        "3.4",
        "A candidate restarts its randomised timeout at the start of an election",
        "deadlines::a_campaign_ends_after_an_election_timeout_of_its_own",
    ),
    ("3.4", "Who gives a vote waits anew (figure 3.1)", "thesis::giving_a_vote_starts_the_wait_anew"),
    ("3.7", "Requests may be repeated without harm", "thesis::requests_are_repeated_to_those_who_have_not_answered"),
    ("3.8", "Term and vote are on stable storage before an answer", "thesis::nothing_is_answered_before_it_is_saved"),
    ("3.8", "That holds for the own vote", "thesis::the_own_vote_counts_when_it_is_saved"),
    ("3.8", "A restart forgets neither term nor vote", "thesis::a_restart_forgets_neither_term_nor_vote"),
    (
        "3.8",
        "A node that has lost its state must not come back under its identity",
        "secure_starts::a_node_whose_record_is_not_the_latest_retires_for_good",
    ),
    (
        "3.8",
        "Nor may it vote again in the term it voted in",
        "secure_starts::a_lost_vote_is_found_out_in_the_same_term",
    ),
    ("3.9", "Safety does not depend on timing", "thesis::a_term_has_one_leader"),
    (
        "3.9",
        "Elections need message times well below the timeouts",
        "thesis::a_leader_stays_where_messages_take_much_less_time_than_timeouts",
    ),
    (
        "3.10",
        "The prior leader asks its successor to campaign at once",
        "transfers::a_successor_campaigns_without_waiting",
    ),
    (
        "3.10",
        "The successor's request makes the prior leader step down",
        "thesis::a_candidate_that_a_leader_has_let_go_for_is_voted_for",
    ),
    (
        "3.10",
        "A transfer that has not ended after an election timeout is given up",
        "transfers::a_transfer_that_fails_ends_after_an_election_timeout",
    ),
    (
        "3.10",
        "A transfer that goes wrong costs an election at worst",
        "election::a_transfer_to_a_peer_that_dies_leaves_a_leader",
    ),
    ("3.10", "The successor is a voter that could win", "transfers::leadership_goes_only_to_a_voter_that_answers"),
    (
        "3.10",
        "A leader may prefer a more suitable one, if that would lead",
        "priorities::a_preferred_peer_gets_the_leadership_when_it_has_been_healthy_for_ten_timeouts",
    ),
    (
        "4.2.3",
        "Who has heard a leader lately neither votes nor moves to the asker's term",
        "thesis::a_node_stands_by_a_leader_it_has_heard",
    ),
    (
        "4.2.3",
        "Nodes that were removed or cut off cannot disturb a leader",
        "thesis::a_node_that_was_cut_off_comes_back_in_the_same_term",
    ),
    (
        "4.2.3",
        "That does not slow normal elections down",
        "thesis::the_election_after_a_leaders_death_takes_one_timeout",
    ),
    (
        "4.2.3",
        "A transfer is let through all the same",
        "thesis::a_candidate_that_a_leader_has_let_go_for_is_voted_for",
    ),
    (
        "6.2",
        "A leader without the answers of a majority steps down after an election timeout",
        "leases::a_leader_without_a_majority_steps_down",
    ),
    ("6.2", "A leader that is answered goes on", "leases::a_leader_with_a_majority_goes_on"),
    (
        "6.2",
        "A follower forgets the leader at an election and at a later term",
        "thesis::a_follower_forgets_its_leader_when_it_asks_for_votes_and_when_the_term_changes",
    ),
    (
        "6.4.1",
        "A lease runs from the sending of the heartbeats that a majority answers",
        "leases::the_lease_counts_from_the_sending_of_heartbeats",
    ),
    ("6.4.1", "It is shortened by what clocks may drift", "leases::the_lease_counts_from_the_sending_of_heartbeats"),
    ("6.4.1", "A transfer ends it before the successor is asked", "leases::a_leader_that_hands_over_has_no_lease"),
    (
        "9.1",
        "An election takes the shortest of the followers' waits, and a round of votes",
        "thesis::the_election_after_a_leaders_death_takes_one_timeout",
    ),
    ("9.2", "Different timeouts make split votes rare", "reasons::two_nodes_that_start_at_once_wait_differently"),
    (
        "9.3",
        "The range of timeouts is chosen for the network",
        "thesis::every_wait_lies_in_the_range_of_the_configuration",
    ),
    ("9.4", "Split votes end, because every wait is drawn anew", "thesis::timeouts_are_drawn_anew_for_every_wait"),
    (
        "9.6",
        "A pre-vote asks whether an election could be won, and moves no term",
        "thesis::a_pre_vote_asks_and_changes_nothing",
    ),
    (
        "9.6",
        "A majority of pre-votes begins the election",
        "thesis::a_majority_of_pre_votes_of_this_round_begins_an_election",
    ),
    ("9.6", "Who hears a leader refuses", "votes::every_request_for_a_pre_vote_gets_the_answer_of_the_table"),
    (
        "9.6",
        "A node that was cut off comes back without disturbance",
        "thesis::a_node_that_was_cut_off_comes_back_in_the_same_term",
    ),
];

#[test]
fn every_sentence_has_a_test_that_exists() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut files = BTreeMap::new();
    for (section, sentence, test) in SENTENCES {
        let (file, function) = test.split_once("::").unwrap();
        let source =
            files.entry(file).or_insert_with(|| fs::read_to_string(folder.join(file).with_extension("rs")).unwrap());
        let is_a_test = source.contains(&format!("#[test]\nfn {function}() {{\n"));
        assert!(is_a_test, "{section}, {sentence}: no {test}");
    }
}
