//! The manager role: from the queue and the file server to the leader, and users on their way to it.

mod dead_file_api;
mod dead_letter_api;
mod dead_letters;
mod dead_mail_api;
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
mod trace_api;
mod traffic;
mod unavailable;
mod which;

use std::{io, sync::Arc};

use axum::Router;
use futures_util::future::BoxFuture;
use symphony_adapters::{
    broker::Broker,
    database::Database,
    http::{Bearer, ClientError, Health, Listener, Proxy, WebClient, closed, guarded, operations, serve},
    smtp::Mailer,
    tls::Tls,
};
use thiserror::Error;
use tokio::task::{JoinError, JoinSet};
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
    /// What requests that change something carry.
    pub bearer: Bearer,
    /// How it protects the connections it makes.
    pub tls: Tls,
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
    pub async fn run(self, listener: impl Into<Listener>, shutdown: CancellationToken) -> Result<(), ManagerError> {
        // The parts stop with `shutdown`, and also when one of them fails.
        let stop = CancellationToken::new();
        let health = self.health.clone();
        let mut parts = self.start(listener.into(), &stop)?;
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
        listener: Listener,
        stop: &CancellationToken,
    ) -> Result<JoinSet<Result<(), ManagerError>>, ManagerError> {
        let Self { settings, ftp, broker, database, mailer, bearer, tls, health } = self;
        let client = WebClient::over(&tls, Some(bearer.clone()))?;
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
            let files =
                Files::new((&ftp, &tls), settings.ftp_every, database.clone(), client, route.clone(), ftp_health);
            spawn(Box::pin(files.run(stop.clone())));
        }
        if let Some(mailer) = mailer {
            let mails =
                Mails { database: database.clone(), mailer, route: route.clone(), health: health.dependency("mail") };
            spawn(Box::pin(mails.run(stop.clone())));
        }
        let inquiries = dead_letter_api::routes(Arc::clone(&broker))
            .merge(dead_mail_api::routes(database.clone(), route.clone()))
            .merge(dead_file_api::routes(database.clone(), route.clone()))
            .merge(trace_api::routes(database.clone(), Arc::clone(&broker)));
        let (broker, database) = ((broker, health.dependency("broker")), (database, health.dependency("database")));
        spawn(Box::pin(probe::run(broker, database, stop.clone())));

        let traffic =
            Traffic { route: route.clone(), way: settings.route, proxy: Proxy::over(&tls, listener.scheme())? };
        let api = guarded(leader_api::routes(route), bearer.clone()).merge(closed(inquiries, bearer));
        let router = Router::new().merge(operations(&health)).merge(api).merge(traffic.routes());
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
