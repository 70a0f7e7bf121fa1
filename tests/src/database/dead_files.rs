//! Files that were given up: visible, left alone as they are, and tried again when somebody says so.

use symphony_adapters::database::{FileState, NewFile, Token};

use super::{assert_fenced, assert_invalid, files::file, leader, open_as_leader, promises};

promises![
    a_file_that_was_given_up_is_shown_with_its_reason,
    one_mail_for_each_state_of_a_file,
    a_file_is_tried_again_when_somebody_says_so,
    what_is_stored_at_a_path_is_not_dead_any_more,
    a_stale_leader_gives_up_nothing,
];

/// A file of seven bytes.
pub(super) fn state(path: &str, modified_at_ms: i64) -> FileState {
    FileState { path: path.into(), size: 7, modified_at_ms }
}

async fn a_file_that_was_given_up_is_shown_with_its_reason(url: String) {
    let (database, token) = open_as_leader(&url).await;
    assert_eq!(database.dead_files(10).await.unwrap(), (vec![], 0));
    for path in ["/a", "/b", "/\u{fc} b"] {
        database.give_up_file(&token, &state(path, 1), "422: no\0pe").await.unwrap();
    }
    // As it is now: one file has one row.
    database.give_up_file(&token, &FileState { size: 9, ..state("/a", 2) }, &"\u{fc}".repeat(5_000)).await.unwrap();
    let (files, total) = database.dead_files(2).await.unwrap();
    assert_eq!((files.len(), total), (2, 3));
    let (files, total) = database.dead_files(10).await.unwrap();
    assert_eq!((files.len(), total), (3, 3));
    assert!(files.is_sorted_by_key(|file| file.given_up_at_ms), "{files:?}");
    let b = files.iter().find(|file| file.file == state("/b", 1)).unwrap();
    assert_eq!(b.reason, "422: no\u{fffd}pe");
    let a = files.iter().find(|file| file.file.path == "/a").unwrap();
    assert_eq!((a.file.size, a.file.modified_at_ms, a.reason.chars().count()), (9, 2, 1_000));
    let mut states = database.files_given_up().await.unwrap();
    states.sort_by(|one, other| one.path.cmp(&other.path));
    assert_eq!(states, [FileState { size: 9, ..state("/a", 2) }, state("/b", 1), state("/\u{fc} b", 1)]);
    for path in [String::new(), "x".repeat(9_000)] {
        assert_invalid(database.give_up_file(&token, &state(&path, 1), "x").await);
    }
}

async fn one_mail_for_each_state_of_a_file(url: String) {
    let (database, token) = open_as_leader(&url).await;
    for (modified_at_ms, mails) in [(1, 2), (1, 2), (2, 3)] {
        database.give_up_file(&token, &state("/a\nb", modified_at_ms), "422: nope").await.unwrap();
        assert_eq!(database.counts().await.unwrap().mails_waiting, mails, "its leader's, and one a state");
    }
    let mails = database.claim_mails(&token, 10, std::time::Duration::from_secs(60)).await.unwrap();
    let mail = &mails.last().unwrap().mail;
    assert_eq!(mail.subject, "File a b was given up");
    assert!(mail.body.contains("422: nope"), "{}", mail.body);
}

async fn a_file_is_tried_again_when_somebody_says_so(url: String) {
    let (database, token) = open_as_leader(&url).await;
    for path in ["/a", "/b", "/c"] {
        database.give_up_file(&token, &state(path, 1), "x").await.unwrap();
    }
    assert_eq!(database.retry_files(&token, Some("/d")).await.unwrap(), 0);
    assert_eq!(database.retry_files(&token, Some("/b")).await.unwrap(), 1);
    assert_eq!(database.retry_files(&token, Some("/b")).await.unwrap(), 0);
    assert_eq!(database.dead_files(10).await.unwrap().1, 2);
    assert_eq!(database.retry_files(&token, None).await.unwrap(), 2);
    assert_eq!(database.files_given_up().await.unwrap(), []);
}

async fn what_is_stored_at_a_path_is_not_dead_any_more(url: String) {
    let (database, token) = open_as_leader(&url).await;
    for path in ["/a", "/b"] {
        database.give_up_file(&token, &state(path, 1), "x").await.unwrap();
    }
    let good = file("/a", b"content");
    database.store_file(&token, &good).await.unwrap();
    assert_eq!(database.files_given_up().await.unwrap(), [state("/b", 1)]);
    // As a duplicate, too.
    database.store_file(&token, &NewFile { path: "/b".into(), ..good }).await.unwrap();
    assert_eq!(database.files_given_up().await.unwrap(), []);
}

async fn a_stale_leader_gives_up_nothing(url: String) {
    let (database, token) = open_as_leader(&url).await;
    database.give_up_file(&token, &state("/a", 1), "x").await.unwrap();
    let next = leader(2, 2);
    database.promote(&next).await.unwrap();
    assert_fenced(database.give_up_file(&token, &state("/b", 1), "x").await, Some(&next));
    assert_fenced(database.retry_files(&token, None).await, Some(&next));
    let stranger = Token { holder: 3, ..next.token };
    assert_fenced(database.retry_files(&stranger, Some("/a")).await, Some(&next));
    assert_eq!(database.files_given_up().await.unwrap(), [state("/a", 1)]);
}
