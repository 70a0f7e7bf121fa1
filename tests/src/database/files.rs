//! Files: one row per content, one ledger entry per place and time.

use symphony_adapters::database::{Database, NewFile, Outcome};

use super::{assert_invalid, open_as_leader, promises};

promises![
    a_file_is_stored_with_one_mail,
    the_same_content_elsewhere_is_a_duplicate_that_the_ledger_knows,
    content_that_does_not_match_its_hash_is_invalid,
    two_sessions_with_one_file_store_it_once,
    files_are_listed_latest_first,
    a_large_file_comes_back_whole_and_in_parts,
];

/// A file with the right hash.
pub(super) fn file(path: &str, content: &[u8]) -> NewFile {
    NewFile {
        path: path.into(),
        modified_at_ms: 1_000,
        content_type: "text/csv".into(),
        sha256: sha256(content),
        content: content.into(),
    }
}

async fn a_file_is_stored_with_one_mail(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let file = file("/out/items\n.csv", b"a,b\n\0\xff");
    assert!(!database.has_file(&file.path, 7, 1_000).await.unwrap());
    assert_eq!(database.store_file(&token, &file).await.unwrap(), Outcome::Stored);
    assert!(database.has_file(&file.path, 6, 1_000).await.unwrap());
    for (path, size, modified_at_ms) in [("/out", 6, 1_000), (&file.path, 5, 1_000), (&file.path, 6, 1_001)] {
        assert!(!database.has_file(path, size, modified_at_ms).await.unwrap());
    }
    let stored = database.file(&file.sha256).await.unwrap().unwrap();
    assert_eq!(database.file_content(&file.sha256, 0, 100).await.unwrap(), file.content);
    assert_eq!((stored.path.as_str(), stored.size, stored.term), (file.path.as_str(), 6, 1));
    assert_eq!((stored.content_type.as_str(), stored.modified_at_ms), ("text/csv", 1_000));
    assert_eq!(database.file("no such file").await.unwrap(), None);
    assert_eq!(database.file_content("no such file", 0, 100).await.unwrap(), [0; 0]);

    let mails = database.claim_mails(&token, 10, std::time::Duration::from_secs(60)).await.unwrap();
    let mail = mails.iter().find(|mail| mail.mail.key == format!("file-{}", file.sha256)).unwrap();
    assert_eq!(mail.mail.subject, "New file items .csv");
}

async fn the_same_content_elsewhere_is_a_duplicate_that_the_ledger_knows(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let original = file("/a.csv", b"content");
    database.store_file(&token, &original).await.unwrap();
    let before = database.counts().await.unwrap();
    let moved = NewFile { path: "/b.csv".into(), ..original.clone() };
    let touched = NewFile { modified_at_ms: 2_000, ..original.clone() };
    for again in [&original, &moved, &touched, &touched] {
        assert_eq!(database.store_file(&token, again).await.unwrap(), Outcome::Duplicate);
        assert!(database.has_file(&again.path, 7, again.modified_at_ms).await.unwrap());
    }
    assert_eq!(database.counts().await.unwrap(), before);
    assert_eq!(database.file(&original.sha256).await.unwrap().unwrap().path, "/a.csv");
}

async fn content_that_does_not_match_its_hash_is_invalid(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let good = file("/a.csv", b"content");
    for sha256 in [sha256(b"other"), good.sha256.to_uppercase(), String::new()] {
        assert_invalid(database.store_file(&token, &NewFile { sha256, ..good.clone() }).await);
    }
    assert_invalid(database.store_file(&token, &NewFile { path: String::new(), ..good.clone() }).await);
    assert_invalid(database.store_file(&token, &NewFile { path: "x".repeat(9_000), ..good }).await);
    assert_eq!(database.counts().await.unwrap().files, 0);
}

async fn two_sessions_with_one_file_store_it_once(url: String) {
    let (one, token) = open_as_leader(&url).await;
    let two = Database::open(&url).await.unwrap();
    for round in 0..10 {
        let (a, b) = (file("/a", &[round]), file("/b", &[round]));
        let (a, b) = tokio::join!(one.store_file(&token, &a), two.store_file(&token, &b));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(matches!((a, b), (Outcome::Stored, Outcome::Duplicate) | (Outcome::Duplicate, Outcome::Stored)));
    }
    let counts = one.counts().await.unwrap();
    assert_eq!((counts.files, counts.mails_waiting), (10, 11));
}

async fn files_are_listed_latest_first(url: String) {
    let (database, token) = open_as_leader(&url).await;
    for number in 0..10 {
        database.store_file(&token, &file(&format!("/{number}"), &[number])).await.unwrap();
    }
    let mut listed = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = database.files(cursor.as_deref(), Some(3)).await.unwrap();
        listed.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        let late = format!("late {}", listed.len());
        database.store_file(&token, &file("/late", late.as_bytes())).await.unwrap();
    }
    assert_eq!(listed.len(), 10);
    assert!(listed.is_sorted_by(|a, b| a.stored_at_ms >= b.stored_at_ms));
    assert!(listed.iter().all(|file| file.path != "/late"));
}

/// It travels in parts, in both directions.
async fn a_large_file_comes_back_whole_and_in_parts(url: String) {
    let (database, token) = open_as_leader(&url).await;
    let content: Vec<u8> = (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = file("/large", &content);
    assert_eq!(database.store_file(&token, &file).await.unwrap(), Outcome::Stored);
    let part = async |offset: usize, len: usize| {
        database.file_content(&file.sha256, offset as u64, u32::try_from(len).unwrap()).await.unwrap()
    };
    assert!(part(0, content.len() + 1).await == content);
    for (offset, len) in [(0, 1), (8 * 1024 * 1024 - 1, 2), (12_345_678, 100_000), (content.len() - 10, 100)] {
        let end = content.len().min(offset + len);
        assert!(part(offset, len).await == content[offset..end], "{len} bytes from {offset}");
    }
    for offset in [content.len(), usize::MAX] {
        assert_eq!(part(offset, 10).await, [0; 0]);
    }
}

fn sha256(content: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(content))
}
