//! `/v1/election`: what a node knows of the election, and what an operator can ask of it.

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use symphony_adapters::{
    driver::{Commander, DriverError, Status},
    http::{Bearer, Problem, guarded},
};
use symphony_core::{Command, NodeId};
use tokio::sync::watch;

/// A running election, from outside.
#[derive(Clone)]
struct Election {
    commander: Commander,
    status: watch::Receiver<Status>,
}

/// What a node knows.
#[derive(Debug, Serialize)]
struct View {
    id: u16,
    role: String,
    term: u64,
    leader: Option<u16>,
    reason: String,
}

/// Whom to hand the leadership to; the best peer if none is named.
#[derive(Debug, Deserialize)]
struct Successor {
    to: Option<u16>,
}

/// The routes, of which those that change something want the token.
pub(crate) fn routes(commander: Commander, status: watch::Receiver<Status>, bearer: Bearer) -> Router {
    let routes = Router::new()
        .route("/v1/election", get(show))
        .route("/v1/election/transfer", post(transfer))
        .route("/v1/election/pause", post(async |state| obey(state, Command::Pause).await))
        .route("/v1/election/resume", post(async |state| obey(state, Command::Resume).await));
    guarded(routes, bearer).with_state(Election { commander, status })
}

async fn show(State(election): State<Election>) -> Json<View> {
    let status = election.status.borrow();
    Json(View {
        id: status.id.0,
        role: status.role.to_string(),
        term: status.term,
        leader: status.leader.map(|leader| leader.0),
        reason: status.reason.clone(),
    })
}

async fn transfer(state: State<Election>, Query(Successor { to }): Query<Successor>) -> Result<StatusCode, Problem> {
    obey(state, Command::Transfer(to.map(NodeId))).await
}

/// Done as soon as it has begun: what comes of it is what `GET /v1/election` tells then.
async fn obey(State(election): State<Election>, command: Command) -> Result<StatusCode, Problem> {
    election.commander.command(command).await.map(|()| StatusCode::ACCEPTED).map_err(|error| {
        let status = match error {
            DriverError::Command(_) => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem::new(status).with_detail(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use serde_json::Value;
    use symphony_adapters::{driver::Driver, http, store::Store, udp};
    use symphony_core::{ClusterId, Config, Key, KeyRing, Member, Timing};
    use tokio::{net::TcpListener, time::Instant};
    use tokio_util::sync::CancellationToken;

    use super::*;

    const TOKEN: &str = "token-of-the-tests";

    const PATIENCE: Duration = Duration::from_secs(60);

    /// So long that a leader stays one on a machine that stands still for half a second now and then.
    const TIMING: Timing = Timing {
        heartbeat_interval: symphony_core::Duration::from_millis(100),
        election_timeout_min: symphony_core::Duration::from_millis(1000),
        election_timeout_max: symphony_core::Duration::from_millis(2000),
        ..Timing::LOCAL
    };

    /// A node with a real socket, record and HTTP interface.
    struct Node {
        driver: Driver,
        url: String,
        client: reqwest::Client,
    }

    impl Node {
        async fn ask(&self, command: &str, token: Option<&str>) -> u16 {
            let request = self.client.post(format!("{}/v1/election/{command}", self.url));
            let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            request.send().await.unwrap().status().as_u16()
        }

        async fn view(&self) -> Value {
            self.client.get(format!("{}/v1/election", self.url)).send().await.unwrap().json().await.unwrap()
        }
    }

    async fn cluster(folder: &std::path::Path) -> BTreeMap<u64, Node> {
        let mut sockets = BTreeMap::new();
        for id in 1..=3 {
            sockets.insert(id, udp::bind("127.0.0.1:0".parse().unwrap()).await.unwrap());
        }
        let name =
            |(id, socket): (&u16, &tokio::net::UdpSocket)| (NodeId(*id), socket.local_addr().unwrap().to_string());
        let names: BTreeMap<_, _> = sockets.iter().map(name).collect();
        let mut nodes = BTreeMap::new();
        for (id, socket) in sockets {
            let keys = KeyRing::new(Key::new(1, [1; 32]));
            let members = [1, 2, 3].map(Member::voter);
            let config = Config::new(ClusterId([9; 16]), NodeId(id), &members, TIMING, keys, 1).unwrap();
            let store = Store::open(&folder.join(format!("{id}.state"))).unwrap();
            let driver = Driver::start(config, store, socket, udp::resolve(names.clone())).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let router = routes(driver.commander(), driver.status(), Bearer::new(TOKEN).unwrap());
            tokio::spawn(http::serve(listener, router, CancellationToken::new()));
            // Installs the provider of TLS that every client needs.
            http::WebClient::new(Bearer::new(TOKEN).unwrap()).unwrap();
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            nodes.insert(u64::from(id), Node { driver, url, client });
        }
        nodes
    }

    /// Waits until all know one leader that `wanted` accepts, by their HTTP interfaces.
    async fn leader(nodes: &BTreeMap<u64, Node>, wanted: impl Fn(u64) -> bool) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut seen = Vec::new();
            for node in nodes.values() {
                seen.push(node.view().await["leader"].as_u64());
            }
            if let Some(leader) = seen[0]
                && seen.iter().all(|other| *other == Some(leader))
                && wanted(leader)
            {
                return leader;
            }
            assert!(Instant::now() < deadline, "{seen:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks again while it answers 409: a successor must have answered the leader first.
    async fn until_accepted(node: &Node, command: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match node.ask(command, Some(TOKEN)).await {
                202 => return,
                status => assert_eq!(status, 409),
            }
            assert!(Instant::now() < deadline, "{command} is refused: {}", node.view().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_operator_moves_the_leadership_with_the_token_alone() {
        let folder = tempfile::tempdir().unwrap();
        let nodes = cluster(folder.path()).await;
        let first = leader(&nodes, |_| true).await;
        for command in ["transfer", "pause", "resume"] {
            assert_eq!(nodes[&first].ask(command, None).await, 401);
            assert_eq!(nodes[&first].ask(command, Some("another-token-of-16")).await, 401);
        }
        let second = first % 3 + 1;
        assert_eq!(nodes[&second].ask("transfer", Some(TOKEN)).await, 409, "it does not lead");
        assert_eq!(nodes[&first].ask("transfer?to=me", Some(TOKEN)).await, 400);
        until_accepted(&nodes[&first], &format!("transfer?to={second}")).await;
        leader(&nodes, |leader| leader == second).await;
        let view = nodes[&second].view().await;
        assert_eq!((&view["id"], &view["role"]), (&Value::from(second), &Value::from("leader")), "{view}");

        assert_eq!(nodes[&second].ask("pause", Some(TOKEN)).await, 202);
        let third = leader(&nodes, |leader| leader != second).await;
        let refused = nodes[&third].ask(&format!("transfer?to={second}"), Some(TOKEN)).await;
        assert_eq!(refused, 409, "it does not campaign");
        assert_eq!(nodes[&second].ask("resume", Some(TOKEN)).await, 202);
        until_accepted(&nodes[&third], &format!("transfer?to={second}")).await;
        leader(&nodes, |leader| leader == second).await;
        for node in nodes.into_values() {
            node.driver.stop().await.unwrap();
        }
    }
}
