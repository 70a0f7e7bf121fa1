//! What was given up, shown and tried again.

use super::*;

#[tokio::test]
async fn dead_mails_are_shown_and_tried_again_by_whoever_has_the_token() {
    let running = Running::start(With { fence: Some(leader(1, 1, "http://one")), ..With::default() }).await;
    // What the promotion told of.
    let mail = running.database.claim_mails(&Token { term: 1, holder: 1 }, 1, CLAIM).await.unwrap().remove(0);
    running.database.settle_mail(&mail, &MailOutcome::Dead { error: "550 no".into() }).await.unwrap();
    assert_eq!(running.get("/v1/dead-mails").await.status(), 401);
    let bare = browser().post(format!("{}/v1/dead-mails/retry?all=true", running.url)).send().await.unwrap();
    assert_eq!(bare.status(), 401);

    eventually(async || running.get("/v1/leader").await.status() == 200).await;
    let client = testing::client();
    let dead = client.dead_mails(&running.url, 50).await.unwrap();
    assert_eq!((dead.total, dead.mails[0].id, dead.mails[0].error.as_str()), (1, mail.id, "550 no"));
    let unknown = client.retry_mails(&running.url, Some(mail.id + 1)).await.unwrap_err();
    assert!(matches!(unknown, ClientError::Refused { status: 404, .. }), "{unknown}");
    assert_eq!(client.retry_mails(&running.url, Some(mail.id)).await.unwrap().retried, 1);
    assert_eq!(client.dead_mails(&running.url, 50).await.unwrap().total, 0);
    assert_eq!(client.retry_mails(&running.url, None).await.unwrap().retried, 0);
    running.stop().await;
}

#[tokio::test]
async fn dead_letters_are_replayed_by_name_or_all_in_so_many_words() {
    let web = StandIn::start(1, []).await;
    let running = Running::start(With { fence: Some(web.leader(1)), ..With::default() }).await;
    running.broker.put(raw_message("bad", "no item"));
    running.broker.put(raw_message("a b&c=\u{fc}", "no item"));
    wait_until(|| running.broker.rejected().len() == 2).await;
    let replay = async |query: &str| {
        let post = browser().post(format!("{}/v1/dead-letters/replay{query}", running.url));
        post.header(AUTHORIZATION, testing::bearer().header()).send().await.unwrap().status().as_u16()
    };
    for query in ["", "?all=false", "?id=bad&all=true", "?every=true"] {
        assert_eq!(replay(query).await, 400, "{query}");
    }
    assert_eq!(replay("?id=none").await, 404);
    for query in ["?limit=0", "?limit=1001", "?limit=x"] {
        let get = browser().get(format!("{}/v1/dead-letters{query}", running.url));
        let answer = get.header(AUTHORIZATION, testing::bearer().header()).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
    }
    // A look takes the letters out of everybody else's reach for that time, and shows what is in them.
    for path in ["/v1/dead-letters", "/v1/dead-letter?id=bad", "/v1/trace?item=bad"] {
        assert_eq!(running.get(path).await.status(), 401, "{path}");
    }
    let odd = testing::client().dead_letter(&running.url, "a b&c=\u{fc}").await.unwrap();
    assert_eq!(odd.body.as_deref(), Some("no item"));
    let bare = browser().post(format!("{}/v1/dead-letters/replay?all=true", running.url)).send().await.unwrap();
    assert_eq!(bare.status(), 401);
    assert_eq!(running.broker.rejected().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_file_that_no_leader_takes_is_shown_left_alone_and_tried_again_when_asked() {
    let stop = CancellationToken::new();
    let ftp_root = TempDir::new().unwrap();
    let ftp = ftp_server(ftp_root.path().to_owned(), &stop).await;
    let web = StandIn::start(1, []).await;
    web.set(|script| script.poison = vec![("/bad.csv".into(), Mood::Content)]);
    for name in ["bad.csv", "good.csv"] {
        std::fs::write(ftp_root.path().join(name), name).unwrap();
    }
    // As large as no leader takes it, without the disk that it would need.
    std::fs::File::create(ftp_root.path().join("large.csv")).unwrap().set_len(65 << 20).unwrap();
    let with = || With { ftp: Some(ftp.clone()), fence: Some(web.leader(1)), ..With::default() };
    let running = Running::start(with()).await;
    let client = testing::client();
    eventually(async || client.dead_files(&running.url, 50).await.is_ok_and(|dead| dead.total == 2)).await;
    wait_until(|| web.set(|script| script.files.contains(&"/good.csv".to_owned()))).await;
    let reasons: BTreeMap<_, _> = {
        let dead = client.dead_files(&running.url, 50).await.unwrap().files;
        dead.into_iter().map(|dead| (dead.file.path, (dead.file.size, dead.reason))).collect()
    };
    assert_eq!(reasons["/bad.csv"], (7, "422: bad".to_owned()));
    assert!(reasons["/large.csv"].0 == 65 << 20 && reasons["/large.csv"].1.contains("larger than"), "{reasons:?}");

    // Another manager, with no memory but the database, leaves them alone, too.
    let Running { folder, shutdown, manager, .. } = running;
    shutdown.cancel();
    manager.await.unwrap().unwrap();
    let running = Running::start_in(folder, with()).await;
    // Whatever comes in which order in the first round: the second begins after it.
    for name in ["next.csv", "last.csv"] {
        std::fs::write(ftp_root.path().join(name), name).unwrap();
        wait_until(|| web.set(|script| script.files.contains(&format!("/{name}")))).await;
    }
    let times = |path: &str| web.set(|script| script.files.iter().filter(|sent| *sent == path).count());
    assert_eq!((times("/bad.csv"), times("/large.csv")), (1, 0));

    assert_eq!(running.get("/v1/dead-files").await.status(), 401);
    let bare = browser().post(format!("{}/v1/dead-files/retry?all=true", running.url)).send().await.unwrap();
    assert_eq!((bare.status().as_u16(), running.database.dead_files(9).await.unwrap().1), (401, 2));
    let missing = client.retry_files(&running.url, Some("/none.csv")).await;
    assert!(matches!(missing, Err(ClientError::Refused { status: 404, .. })), "{missing:?}");

    web.set(|script| script.poison.clear());
    assert_eq!(client.retry_files(&running.url, Some("/bad.csv")).await.unwrap().retried, 1);
    wait_until(|| times("/bad.csv") == 2).await;
    // What is as bad as before is given up again, without another mail.
    assert_eq!(client.retry_files(&running.url, None).await.unwrap().retried, 1);
    eventually(async || running.database.dead_files(9).await.unwrap().1 == 1).await;
    assert_eq!(running.database.counts().await.unwrap().mails_waiting, 3, "of the leader, and of two files");
    running.stop().await;
    stop.cancel();
}
