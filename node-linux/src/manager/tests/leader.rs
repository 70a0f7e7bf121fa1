//! Who leads, and who may say so.

use super::*;

#[tokio::test]
async fn nobody_without_the_token_says_who_leads() {
    let running = Running::start(With::default()).await;
    let usurper = json!({"term": 5, "node": 9, "url": "http://evil.example/"});
    for token in [None, Some("Bearer token-of-the-testz"), Some("Bearer")] {
        let put = browser().put(format!("{}/v1/leader", running.url)).json(&usurper);
        let put = if let Some(token) = token { put.header(AUTHORIZATION, token) } else { put };
        let refused = put.send().await.unwrap();
        assert_eq!(refused.status(), 401, "{token:?}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(running.get("/v1/leader").await.status(), 503);
    running.stop().await;
}

#[tokio::test]
async fn a_leader_of_a_lower_term_is_refused() {
    let running = Running::start(With::default()).await;
    assert_eq!(running.get("/v1/leader").await.status(), 503);
    let first = json!({"term": 5, "node": 1, "url": "http://one.example/"});
    assert_eq!(running.announce(&first).await.0, 200);
    assert_eq!(running.announce(&first).await.0, 200);
    for stale in
        [json!({"term": 4, "node": 2, "url": "http://two"}), json!({"term": 5, "node": 2, "url": "http://two"})]
    {
        let (status, problem) = running.announce(&stale).await;
        assert_eq!((status.as_u16(), &problem["term"]), (409, &json!(5)));
    }
    assert_eq!(running.leader().await, json!({"term": 5, "node": 1, "url": "http://one.example"}));
    assert_eq!(running.announce(&json!({"term": 6, "node": 2, "url": "http://two"})).await.0, 200);
    assert_eq!(running.leader().await, json!({"term": 6, "node": 2, "url": "http://two"}));
    running.stop().await;
}

#[tokio::test]
async fn an_announcement_that_is_none_gets_a_clear_error() {
    let running = Running::start(With::default()).await;
    for (body, expected) in [
        (json!({"term": 5, "node": 1}), 422),
        (json!({"term": 5, "node": 1, "url": "javascript:alert(1)"}), 422),
        (json!({"term": 5, "node": 1, "url": "http://user@one"}), 422),
        (json!({"term": -5, "node": 1, "url": "http://one"}), 422),
        (json!({"term": 5, "node": 70_000, "url": "http://one"}), 422),
        (json!([]), 422),
        (json!({"term": 5, "node": 1, "url": "x".repeat(10_000)}), 413),
    ] {
        let (status, problem) = running.announce(&body).await;
        assert_eq!(status.as_u16(), expected, "{body}");
        assert!(problem["detail"].is_string(), "{problem}");
    }
    assert_eq!(running.get("/v1/leader").await.status(), 503);
    running.stop().await;
}

#[tokio::test]
async fn the_route_is_seeded_from_the_fence() {
    let running = Running::start(With { fence: Some(leader(9, 3, "http://three")), ..With::default() }).await;
    eventually(async || running.get("/v1/leader").await.status() == 200).await;
    assert_eq!(running.leader().await, json!({"term": 9, "node": 3, "url": "http://three"}));
    assert_eq!(running.announce(&json!({"term": 8, "node": 1, "url": "http://one"})).await.0, 409);
    running.stop().await;
}

#[tokio::test]
async fn a_leader_that_nobody_announces_is_found() {
    let (old, new) = (StandIn::start(1, []).await, StandIn::start(2, []).await);
    old.set(|script| script.otherwise = Mood::NotLeader(None));
    let running = Running::start(With { fence: Some(old.leader(1)), ..With::default() }).await;
    for id in ["a", "b", "c"] {
        running.broker.put(message(id));
    }
    wait_until(|| !old.posts().is_empty()).await;
    running.database.promote(&new.leader(2)).await.unwrap();
    wait_until(|| running.broker.acked().len() == 3).await;
    assert_eq!(new.stored(), ["a", "b", "c"]);
    running.stop().await;

    // Without a fence row, the nodes themselves are asked.
    let running = Running::start(With { web: vec![new.url.clone()], ..With::default() }).await;
    running.broker.put(message("d"));
    wait_until(|| running.broker.acked() == ["d"]).await;
    running.stop().await;
}
