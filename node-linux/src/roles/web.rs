//! Role `web`: an election, the shared database and the web server that acts on both.

use std::{io, time::Duration};

use symphony_adapters::{
    database::Database,
    driver::{Driver, Status},
    http::{Bearer, Health, Listener, WebClient},
    tls::Tls,
};
use symphony_core::{Command, Term};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{RunError, dependencies::open_database, listen_with};
use crate::{
    config::{self, Config},
    election,
    keys::{Hangups, LiveKeys, reload_until},
    web::{
        self, WebState,
        leadership::{self, Candidate, ElectionView},
    },
};

/// A leader that stops waits this long for another to take over.
const HANDOVER_MAX: Duration = Duration::from_secs(3);

/// A web node that takes part in the election and does not serve yet.
pub(crate) struct WebNode {
    listener: Listener,
    database: Database,
    driver: Driver,
    keys: LiveKeys,
    candidate: Candidate,
    /// Terms that the election is to leave behind.
    raises: mpsc::Receiver<u64>,
    bearer: Bearer,
    health: Health,
}

pub(super) async fn run(config: &Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let hangups = Hangups::listen()?;
    let tls = config.tls.load()?;
    let listener = listen_with(config.web.listen, &tls).await?;
    match WebNode::start(config, &tls, listener, &shutdown).await? {
        Some(node) => node.serve(hangups, shutdown).await,
        None => Ok(()),
    }
}

impl WebNode {
    /// Opens the database, however long that takes, and joins the election. `None` if `shutdown` came first.
    pub(crate) async fn start(
        config: &Config,
        tls: &Tls,
        listener: impl Into<Listener>,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, RunError> {
        let listener = listener.into();
        let health = Health::new();
        let bearer = config.api.bearer()?;
        let url = public_url(&config.web, &listener)?;
        let opened = open_database(&config.database, tls, &health, listener, shutdown).await?;
        let Some((database, listener)) = opened else { return Ok(None) };
        let (driver, keys) = election::start(&config.node).await?;
        let database = database.of_cluster(&config.node.cluster);
        let (raise, raises) = mpsc::channel(1);
        let candidate = Candidate {
            me: config.node.id,
            url,
            managers: config.web.managers.clone(),
            database: database.clone(),
            client: WebClient::over(tls, Some(bearer.clone()))?,
            raise,
            health: health.clone(),
        };
        election::report_membership(driver.status(), &health);
        Ok(Some(Self { listener, database, driver, keys, candidate, raises, bearer, health }))
    }

    /// What the node knows of the election.
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        self.driver.status()
    }

    /// Serves until `shutdown`; then it is not ready any more, hands the leadership over, and finishes what is in flight.
    pub(crate) async fn serve(self, hangups: Hangups, shutdown: CancellationToken) -> Result<(), RunError> {
        let Self { listener, database, driver, keys, candidate, mut raises, bearer, health } = self;
        let stop = CancellationToken::new();
        let (leadership, acting) = leadership::start(candidate, view(driver.status()), stop.clone());
        let election = election::api::routes(driver.commander(), driver.status(), bearer.clone());
        let state = WebState { database: database.clone(), leadership, bearer, health: health.clone() };
        let server = web::serve(listener, state, election, stop.clone());
        let resign = async {
            reload_until(&shutdown, hangups, &driver, keys).await;
            health.set_draining();
            driver.resign(HANDOVER_MAX).await;
            stop.cancel();
        };
        // Ends with the task that asks.
        let raise = async {
            while let Some(term) = raises.recv().await {
                tracing::warn!(term, "the next election is for a term later than the fence's");
                if let Err(error) = driver.command(Command::RaiseTerm(Term(term))).await {
                    tracing::warn!(term, %error, "cannot raise the term");
                }
            }
        };
        let (served, (), ()) = tokio::join!(
            async {
                let served = server.await;
                // A server that fails takes the node down with it.
                shutdown.cancel();
                served
            },
            resign,
            raise
        );
        if let Err(error) = acting.await {
            return Err(RunError::Part(Box::new(error)));
        }
        driver.stop().await?;
        database.close().await;
        Ok(served?)
    }
}

fn public_url(web: &config::Web, listener: &Listener) -> io::Result<String> {
    Ok(match &web.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("{}://{}", listener.scheme(), listener.local_addr()?),
    })
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
