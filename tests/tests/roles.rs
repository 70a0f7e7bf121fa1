//! Roles that need no server beside them, each as a process of its own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

use std::time::Duration;

use reqwest::StatusCode;
use symphony_tests::{
    nodes::{Cluster, IDS},
    servers::free_port,
    symphony::{Symphony, Visitor, until},
};

/// Linked from the same sources as this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-under-test");

/// What a process has to end in good order.
const GRACE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn each_role_tells_how_it_is_and_ends_in_good_order_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let visitor = Visitor::new();
    let [shop, file_server, operations] =
        [free_port(), free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let password = [("SYMPHONY_FTP_SERVER__PASSWORD", "secret".to_owned())];
    let operations_key = format!("ftp_server.operations={operations}");
    let ftp = ["ftp", "--listen", &file_server, "--root", "ftp", "--set", &operations_key];
    let roles = [
        (Symphony::start(PROGRAM, folder.path(), "shop", ["shop", "--listen", &shop], &[]), &shop),
        (Symphony::start(PROGRAM, folder.path(), "ftp", ftp, &password), &operations),
    ];
    for (mut role, address) in roles {
        for path in ["healthz", "readyz", "metrics"] {
            let url = format!("http://{address}/{path}");
            assert_eq!(until(&url, || visitor.try_get(&url)).await.status(), StatusCode::OK, "{url}");
        }
        let metrics = visitor.get(&format!("http://{address}/metrics")).await.text().await.unwrap();
        assert!(metrics.contains("symphony_http_requests_total"), "{metrics}");
        assert_eq!(visitor.get(&format!("http://{address}/nowhere")).await.status(), StatusCode::NOT_FOUND);
        role.stop(GRACE);
        assert!(visitor.try_get(&format!("http://{address}/healthz")).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_elect_tell_their_hooks_and_hand_over_when_asked_to_end() {
    let mut cluster = Cluster::running(PROGRAM).await;
    let (term, old) = cluster.leader(&IDS).await;
    cluster.process(old).stop(GRACE);
    let others: Vec<_> = IDS.into_iter().filter(|id| *id != old).collect();
    let (new_term, new) =
        until("another leader in the hooks", async || Some(cluster.leader(&others).await).filter(|(_, id)| *id != old))
            .await;
    assert!(new_term > term, "{new} in term {new_term} after {old} in term {term}");
    for id in &others {
        cluster.process(*id).stop(GRACE);
    }
    // Whoever followed was told of both leaders.
    let third = 6 - old - new;
    let told = &cluster.told()[usize::from(third) - 1];
    for (term, leader) in [(term, old), (new_term, new)] {
        assert!(told.contains(&format!("follower {term} {leader}\n")), "{told}");
    }
}
