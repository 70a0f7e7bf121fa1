//! The manager role: from the queue and the file server to the leader, and users on their way to it.

mod answer;
mod dead_letters;
mod files;
mod finder;
mod leader_api;
mod mails;
mod probe;
mod pump;
mod route;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod traffic;

use std::{io, sync::Arc};

use axum::Router;
use futures_util::future::BoxFuture;
use symphony_adapters::{
    broker::Broker,
    database::Database,
    http::{ClientError, Health, Proxy, WebClient, operations, serve},
    smtp::Mailer,
};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use self::{
    files::Files,
    finder::Finder,
    mails::Mails,
    pump::{Courier, Patience, Pump},
    route::Route,
    traffic::Traffic,
};
use crate::config;

/// The manager with all it works with. It closes neither the broker nor the database: they may serve others.
pub struct Manager {
    /// What it does, and how patiently.
    pub settings: config::Manager,
    /// File server to poll; none: no files.
    pub ftp: Option<config::Ftp>,
    /// Queue to read.
    pub broker: Arc<dyn Broker>,
    /// Fence row, ledger and outbox.
    pub database: Database,
    /// Sends what is in the outbox; none: mails wait there.
    pub mailer: Option<Mailer>,
    /// Whether it is ready, per dependency: `broker`, `database`, `leader`, `ftp` and `mail`.
    pub health: Health,
}

/// Why the manager stopped by itself.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The HTTP client cannot be set up.
    #[error("HTTP client: {0}")]
    Client(#[from] ClientError),
    /// The listener failed.
    #[error("HTTP server: {0}")]
    Server(#[from] io::Error),
    /// A part ended that never should.
    #[error("a part of the manager ended: {0}")]
    Part(String),
}

impl Manager {
    /// Runs until `shutdown`; then it is not ready any more, finishes what is in flight within ten seconds, and gives
    /// the rest back to the queue.
    ///
    /// # Errors
    /// [`ManagerError`], never for a dependency that is away.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ManagerError> {
        // The parts stop with `shutdown`, and also when one of them fails.
        let stop = CancellationToken::new();
        let health = self.health.clone();
        let mut parts = self.start(listener, &stop)?;
        let result = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            ended = parts.join_next() => Err(failure(ended)),
        };
        health.set_draining();
        stop.cancel();
        while let Some(ended) = parts.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the manager failed");
            }
        }
        result
    }

    /// Starts every part; each ends when told to `stop`.
    fn start(
        self,
        listener: TcpListener,
        stop: &CancellationToken,
    ) -> Result<JoinSet<Result<(), ManagerError>>, ManagerError> {
        let Self { settings, ftp, broker, database, mailer, health } = self;
        let client = WebClient::new()?;
        let route = Route::new();
        let (dead_letters, dead_letter_mails) = dead_letters::channel();
        let mut parts = JoinSet::new();
        let mut spawn = |part: BoxFuture<'static, ()>| {
            parts.spawn(async move {
                part.await;
                Ok(())
            })
        };

        let finder = Finder {
            route: route.clone(),
            database: database.clone(),
            client: client.clone(),
            web: settings.web.clone(),
            health: health.dependency("leader"),
        };
        spawn(Box::pin(finder.run(stop.clone())));

        let courier = Courier::new(
            client.clone(),
            route.clone(),
            dead_letters.clone(),
            health.dependency("leader"),
            settings.deliveries_max,
            Patience::default(),
        );
        let pump = Pump::new(Arc::clone(&broker), &settings, courier, dead_letters);
        spawn(Box::pin(pump.run(stop.clone())));
        spawn(Box::pin(dead_letter_mails.run(database.clone(), route.clone(), stop.clone())));

        if let Some(ftp) = ftp {
            let ftp_health = health.dependency("ftp");
            let files = Files::new(&ftp, settings.ftp_every, database.clone(), client, route.clone(), ftp_health);
            spawn(Box::pin(files.run(stop.clone())));
        }
        if let Some(mailer) = mailer {
            let mails =
                Mails { database: database.clone(), mailer, route: route.clone(), health: health.dependency("mail") };
            spawn(Box::pin(mails.run(stop.clone())));
        }
        let (broker, database) = ((broker, health.dependency("broker")), (database, health.dependency("database")));
        spawn(Box::pin(probe::run(broker, database, stop.clone())));

        let traffic = Traffic { route: route.clone(), way: settings.route, proxy: Proxy::new()? };
        let router = Router::new().merge(operations(&health)).merge(leader_api::routes(route)).merge(traffic.routes());
        let stop = stop.clone();
        parts.spawn(async move { Ok(serve(listener, router, stop).await?) });
        Ok(parts)
    }
}

fn failure(ended: Option<Result<Result<(), ManagerError>, JoinError>>) -> ManagerError {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(error)) => ManagerError::Part(error.to_string()),
        Some(Ok(Ok(()))) | None => ManagerError::Part("without an error".into()),
    }
}
