//! Roles that need no server beside them, each as a process of its own.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use reqwest::StatusCode;
use symphony_tests::{
    servers::free_port,
    symphony::{Symphony, Visitor, until},
};

/// Linked from the same sources as this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_symphony-under-test");

/// What a process has to end in good order.
const GRACE: Duration = Duration::from_secs(20);

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
    let folder = tempfile::tempdir().unwrap();
    write_hook(folder.path());
    let [one, two, three] = [free_port(), free_port(), free_port()];
    let members = format!(
        "node.members=[{{id=1,address=\"127.0.0.1:{one}\"}},{{id=2,address=\"127.0.0.1:{two}\"}},\
         {{id=3,address=\"127.0.0.1:{three}\"}}]"
    );
    let visitor = Visitor::new();
    let mut nodes = Vec::new();
    for (id, port) in [(1, one), (2, two), (3, three)] {
        let listen = format!("127.0.0.1:{port}");
        let operations = format!("127.0.0.1:{}", free_port());
        let settings = [format!("node.operations={operations}"), format!("node.state=node-{id}.state")];
        let id_text = id.to_string();
        let mut arguments = vec!["node", "--id", &id_text, "--listen", &listen, "--hook", "./hook", "--set", &members];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        // On a busy machine a heartbeat may be late.
        arguments.extend(["--set", "node.election_timeout_min=1s", "--set", "node.election_timeout_max=2s"]);
        let node = Symphony::start(PROGRAM, folder.path(), &format!("node-{id}"), &arguments, &[]);
        nodes.push((id, node, format!("http://{operations}/readyz")));
    }
    for (_, _, url) in &nodes {
        until(url, || async { (visitor.try_get(url).await?.status() == StatusCode::OK).then_some(()) }).await;
    }
    let (term, old) = until("a leader in the hooks", || async { leader(folder.path()) }).await;

    let position = nodes.iter().position(|(id, ..)| *id == old).unwrap();
    nodes.remove(position).1.stop(GRACE);
    let (new_term, new) =
        until("another leader in the hooks", || async { leader(folder.path()).filter(|(_, id)| *id != old) }).await;
    assert!(new_term > term, "{new} in term {new_term} after {old} in term {term}");
    for (_, mut node, _) in nodes {
        node.stop(GRACE);
    }
    // Whoever followed was told of both leaders.
    let third = 6 - old - new;
    let told = fs::read_to_string(folder.path().join(format!("told-{third}"))).unwrap();
    for (term, leader) in [(term, old), (new_term, new)] {
        assert!(told.contains(&format!("follower {term} {leader}\n")), "{told}");
    }
}

/// A program that writes down what it is told.
fn write_hook(folder: &Path) {
    let hook = folder.join("hook");
    let script = "#!/bin/sh\necho \"$SYMPHONY_ROLE $SYMPHONY_TERM $SYMPHONY_LEADER\" >> told-$SYMPHONY_ID\n";
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The latest term of which a node was told that it leads, and the node.
fn leader(folder: &Path) -> Option<(u64, u16)> {
    let told = (1..=3).filter_map(|id| Some((id, fs::read_to_string(folder.join(format!("told-{id}"))).ok()?)));
    let terms = told.flat_map(|(id, told)| {
        let terms: Vec<u64> = told
            .lines()
            .filter_map(|line| line.strip_prefix("leader ")?.split_whitespace().next()?.parse().ok())
            .collect();
        terms.into_iter().map(move |term| (term, id))
    });
    terms.max()
}
