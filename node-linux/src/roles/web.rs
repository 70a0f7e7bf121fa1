//! Role `web`: an election, the shared database and the web server that acts on both.

use std::{net::SocketAddr, time::Duration};

use symphony_adapters::{
    database::Database,
    driver::{Driver, Status},
    http::{Health, WebClient},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{RunError, dependencies::open_database, listen};
use crate::{
    config::{self, Config},
    election,
    web::{
        self, WebState,
        leadership::{self, Candidate, ElectionView},
    },
};

/// A leader that stops waits this long for another to take over.
const HANDOVER_MAX: Duration = Duration::from_secs(3);

/// A web node that takes part in the election and does not serve yet.
pub(crate) struct WebNode {
    listener: TcpListener,
    database: Database,
    driver: Driver,
    candidate: Candidate,
    health: Health,
}

pub(super) async fn run(config: &Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let listener = listen(config.web.listen).await?;
    match WebNode::start(config, listener, &shutdown).await? {
        Some(node) => node.serve(shutdown).await,
        None => Ok(()),
    }
}

impl WebNode {
    /// Opens the database, however long that takes, and joins the election. `None` if `shutdown` came first.
    pub(crate) async fn start(
        config: &Config,
        listener: TcpListener,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, RunError> {
        let health = Health::new();
        let url = public_url(&config.web, listener.local_addr()?);
        let opened = open_database(&config.database, &health, listener, shutdown).await?;
        let Some((database, listener)) = opened else { return Ok(None) };
        let driver = election::start(&config.node).await?;
        let candidate = Candidate {
            me: config.node.id,
            url,
            managers: config.web.managers.clone(),
            database: database.clone(),
            client: WebClient::new()?,
        };
        Ok(Some(Self { listener, database, driver, candidate, health }))
    }

    /// What the node knows of the election.
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.driver.status()
    }

    /// Serves until `shutdown`; then it is not ready any more, hands the leadership over, and finishes what is in flight.
    pub(crate) async fn serve(self, shutdown: CancellationToken) -> Result<(), RunError> {
        let Self { listener, database, driver, candidate, health } = self;
        let stop = CancellationToken::new();
        let (leadership, acting) = leadership::start(candidate, view(driver.status()), stop.clone());
        let state = WebState { database: database.clone(), leadership, health: health.clone() };
        let server = web::serve(listener, state, stop.clone());
        let resign = async {
            shutdown.cancelled().await;
            health.set_draining();
            driver.resign(HANDOVER_MAX).await;
            stop.cancel();
        };
        let (served, ()) = tokio::join!(
            async {
                let served = server.await;
                // A server that fails takes the node down with it.
                shutdown.cancel();
                served
            },
            resign
        );
        if let Err(error) = acting.await {
            return Err(RunError::Part(Box::new(error)));
        }
        driver.stop().await?;
        database.close().await;
        Ok(served?)
    }
}

fn public_url(web: &config::Web, address: SocketAddr) -> String {
    let url = web.url.clone().unwrap_or_else(|| format!("http://{address}"));
    url.trim_end_matches('/').to_owned()
}

/// The election as the web role sees it. The lease is extended in silence, so it is looked up again in time.
fn view(mut status: watch::Receiver<Status>) -> watch::Receiver<ElectionView> {
    let (sender, receiver) = watch::channel(ElectionView::default());
    tokio::spawn(async move {
        loop {
            let (view, next) = {
                let status = status.borrow_and_update();
                let left = status.lease.and_then(|lease| lease.remaining());
                let now = Instant::now();
                let view = ElectionView {
                    term: status.term,
                    leader: status.leader.map(|leader| leader.0),
                    is_leader: status.is_leader(),
                    lease_until: status.is_leader().then(|| (now + left.unwrap_or_default()).into_std()),
                };
                (view, left.map(|left| now + left / 2))
            };
            sender.send_if_modified(|current| {
                let changed = *current != view;
                *current = view;
                changed
            });
            let changed = tokio::select! {
                changed = status.changed() => changed,
                () = async { match next { Some(next) => sleep_until(next).await, None => std::future::pending().await } } => Ok(()),
                () = sender.closed() => return,
            };
            if changed.is_err() {
                return;
            }
        }
    });
    receiver
}
