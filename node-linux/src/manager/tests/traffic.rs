//! Users' requests, on their way to the leader.

use super::*;

#[tokio::test]
async fn users_are_sent_to_the_leader_by_a_307_that_nobody_keeps() {
    let running = Running::start(With::default()).await;
    let nobody = running.get("/app/").await;
    assert_eq!((nobody.status().as_u16(), &nobody.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    running.announce(&json!({"term": 5, "node": 1, "url": "http://one:81"})).await;
    let answer = browser().post(format!("{}/app/items/1?a=%2F&b", running.url)).body("x").send().await.unwrap();
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["location"], "http://one:81/app/items/1?a=%2F&b");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let home = running.get("/").await;
    assert_eq!((home.status().as_u16(), home.headers()["location"].to_str().unwrap()), (307, "/app/"));
    assert_eq!(home.headers()["cache-control"], "no-store");
    running.stop().await;
}

#[tokio::test]
async fn no_request_is_sent_anywhere_but_to_the_leader() {
    for route in [config::Route::Redirect, config::Route::Proxy] {
        let running = Running::start(With { route, ..With::default() }).await;
        let web = StandIn::start(5, []).await;
        running.announce(&json!({"term": 5, "node": 1, "url": web.url})).await;
        for target in [
            "//evil",
            "//evil/app/",
            "http://evil/",
            "/\\evil",
            "/app/../v1/leader",
            "/app/%2e%2E/v1/items",
            "/app/x/..%2f..",
            "/app/\\..\\v1",
            "/@evil",
            "/app@evil/",
            "/application",
            "/v1/items",
        ] {
            let (status, location) = running.raw(target).await;
            // The only thing a stranger's target can become is a path on the leader, below /app/.
            if let Some(location) = location {
                assert!(
                    location.starts_with(&format!("{}/app/", web.url)) || location == "/app/",
                    "{target}: {location}"
                );
            } else {
                assert!((400..500).contains(&status), "{target}: {status}");
            }
        }
        let (status, location) = running.raw("http://evil/app/x?y").await;
        match route {
            config::Route::Redirect => assert_eq!(location.unwrap(), format!("{}/app/x?y", web.url)),
            config::Route::Proxy => assert_eq!(status, 404),
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn the_proxy_fetches_for_the_user_and_says_when_it_cannot() {
    let stop = CancellationToken::new();
    let running = Running::start(With { route: config::Route::Proxy, ..With::default() }).await;
    assert_eq!(running.get("/app/").await.status(), 503);
    let node = web_node(&running.folder, 1, vec![running.url.clone()], &stop).await;
    eventually(async || running.get("/v1/leader").await.status() == 200).await;
    // A node may be known as leader a moment before it knows.
    eventually(async || browser().get(format!("{node}/leader")).send().await.is_ok_and(|told| told.status() == 200))
        .await;
    let page = running.get("/app/").await;
    assert_eq!(page.status(), 200);
    let through = page.text().await.unwrap();
    let direct = browser().get(format!("{node}/app/")).send().await.unwrap().text().await.unwrap();
    assert!(!through.is_empty() && through == direct);
    stop.cancel();
    wait_until(|| std::net::TcpStream::connect(node.trim_start_matches("http://")).is_err()).await;
    let gone = running.get("/app/").await;
    assert_eq!((gone.status().as_u16(), &gone.headers()["retry-after"]), (502, &"1".parse().unwrap()));
    running.stop().await;
}
