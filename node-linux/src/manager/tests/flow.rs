//! Items, files and mails, from end to end.

use super::*;

#[tokio::test]
async fn items_files_and_mails_reach_their_places_once() {
    let stop = CancellationToken::new();
    let ftp_root = TempDir::new().unwrap();
    let ftp = ftp_server(ftp_root.path().to_owned(), &stop).await;
    let running = Running::start(With { ftp: Some(ftp.clone()), mail: true, ..With::default() }).await;
    std::fs::write(ftp_root.path().join("run.csv"), "id,title\n1,One\n").unwrap();
    std::fs::write(ftp_root.path().join(".hidden.part"), "half").unwrap();
    for id in ["a", "b", "a"] {
        running.broker.put(message(id));
    }
    running.broker.put(raw_message("bad", "no item"));
    wait_until(|| !running.health.is_ready()).await;
    web_node(&running.folder, 1, vec![running.url.clone()], &stop).await;

    wait_until(|| running.broker.acked().len() == 3 && running.broker.rejected().len() == 1).await;
    eventually(async || running.database.counts().await.unwrap().mails_sent == 3).await;
    wait_until(|| running.health.is_ready()).await;
    let mut mails = running.mails();
    mails.sort();
    assert!(mails[0].contains("bad") && mails.iter().any(|mail| mail.contains("run.csv")), "{mails:?}");
    let counts = running.database.counts().await.unwrap();
    assert_eq!((counts.items, counts.files, counts.mails_sent, counts.mails_waiting), (2, 1, 3, 0));
    let file = &running.database.files(None, None).await.unwrap().rows[0];
    assert_eq!((file.path.as_str(), file.content_type.as_str(), file.size), ("/run.csv", "text/csv", 15));

    // Another manager, with no memory but the ledger, fetches only what is new.
    let Running { folder, shutdown, manager, .. } = running;
    shutdown.cancel();
    manager.await.unwrap().unwrap();
    std::fs::write(ftp_root.path().join("run.json"), "[]").unwrap();
    let running = Running::start_in(folder, With { ftp: Some(ftp), mail: true, ..With::default() }).await;
    eventually(async || running.database.counts().await.unwrap().mails_sent == 4).await;
    assert_eq!((running.mails().len(), running.database.counts().await.unwrap().files), (4, 2));
    running.stop().await;
    stop.cancel();
}

#[tokio::test]
async fn a_real_queue_arrives_whole_and_once_although_leader_and_manager_change() {
    const ITEMS: usize = 300;
    let queue = TempDir::new().unwrap();
    let url = format!("sqlite:{}", queue.path().join("queue.db").display());
    let broker = broker::open(&url, "items").await.unwrap();
    for number in 0..ITEMS {
        broker.publish(&message(&format!("m{number:03}"))).await.unwrap();
    }
    broker.publish(&raw_message("bad", "no item")).await.unwrap();
    let with = || With { broker: Some(Arc::clone(&broker)), ..With::default() };
    let stored = async |running: &Running| running.database.counts().await.unwrap().items;

    let first = Running::start(with()).await;
    let (stop_one, stop_two) = (CancellationToken::new(), CancellationToken::new());
    web_node(&first.folder, 1, vec![first.url.clone()], &stop_one).await;
    eventually(async || stored(&first).await > 0).await;
    web_node(&first.folder, 2, vec![first.url.clone()], &stop_two).await;
    eventually(async || first.leader().await["term"] == 2).await;
    let Running { folder, shutdown, manager, .. } = first;
    shutdown.cancel();
    manager.await.unwrap().unwrap();
    stop_one.cancel();

    let second = Running::start_in(folder, with()).await;
    eventually(async || stored(&second).await == ITEMS as u64).await;
    eventually(async || broker.depth().await.unwrap() == Depth { ready: 0, dead: 1 }).await;
    second.stop().await;
    assert_eq!(broker.depth().await.unwrap(), Depth { ready: 0, dead: 1 });
    broker.close().await;
    stop_two.cancel();
}

#[tokio::test]
async fn a_file_waits_for_a_leader_that_takes_it() {
    let stop = CancellationToken::new();
    let ftp_root = TempDir::new().unwrap();
    std::fs::write(ftp_root.path().join("run.csv"), "1").unwrap();
    let ftp = ftp_server(ftp_root.path().to_owned(), &stop).await;
    let other = StandIn::start(1, []).await;
    other.set(|script| script.otherwise = Mood::NotLeader(None));
    let running = Running::start(With { ftp: Some(ftp), fence: Some(other.leader(9)), ..With::default() }).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(running.database.counts().await.unwrap().files, 0);
    web_node(&running.folder, 2, Vec::new(), &stop).await;
    eventually(async || running.database.counts().await.unwrap().files == 1).await;
    running.stop().await;
    stop.cancel();
}

#[tokio::test]
async fn a_file_in_the_ledger_is_not_sent_again() {
    let stop = CancellationToken::new();
    let ftp_root = TempDir::new().unwrap();
    let ftp = ftp_server(ftp_root.path().to_owned(), &stop).await;
    let web = StandIn::start(1, []).await;
    let folder = TempDir::new().unwrap();
    let database = open(&folder).await;
    database.promote(&web.leader(1)).await.unwrap();
    let known = ftp_root.path().join("known.csv");
    std::fs::write(&known, "known").unwrap();
    let modified = std::fs::metadata(&known).unwrap().modified().unwrap();
    let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let file = NewFile {
        path: "/known.csv".into(),
        modified_at_ms: i64::try_from(seconds * 1000).unwrap(),
        content_type: "text/csv".into(),
        sha256: hex::encode(Sha256::digest("known")),
        content: b"known".to_vec(),
    };
    database.store_file(&web.leader(1).token, &file).await.unwrap();
    std::fs::write(ftp_root.path().join("new.csv"), "new").unwrap();
    let running = Running::start_in(folder, With { ftp: Some(ftp), ..With::default() }).await;
    wait_until(|| web.set(|script| script.files.contains(&"/new.csv".to_owned()))).await;
    assert_eq!(web.set(|script| script.files.clone()), ["/new.csv"]);
    running.stop().await;
    stop.cancel();
}
