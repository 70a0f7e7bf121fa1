//! Role `dev`: the whole pipeline in one process, on embedded parts. Three web nodes elect over real UDP.

mod control;
mod nodes;
mod once;
mod plan;
mod report;

use std::{future::Future, sync::Arc, time::Instant};

use symphony_adapters::{
    broker::{self, Broker},
    database::Database,
    http::{self, Health},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::DevOptions,
    config::Config,
    manager::Manager,
    roles::{FtpUpload, RunError, manager::mailer},
    scraper::{self, Progress},
    shop,
};
use nodes::Nodes;
use plan::Plan;

pub(crate) async fn run(options: &DevOptions, config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let started = Instant::now();
    let mut plan = Plan::make(&options.data, config).await?;
    if options.once {
        // A second scrape would count the same items again.
        plan.config.scraper.every = None;
    }
    if !options.json {
        report::print_table(&plan);
    }
    let stop = CancellationToken::new();
    let mut parts = JoinSet::new();
    let pipeline = Arc::new(start(plan, &mut parts, &stop).await?);
    if !options.json {
        parts.spawn(report::print_events(pipeline.clone(), stop.clone()));
    }
    let result = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        passed = once::pass(&pipeline, started, options) => passed,
        ended = parts.join_next() => ended.map_or(Ok(()), |ended| ended.unwrap_or_else(|error| Err(part_failed(error)))),
    };
    // The leader goes last, so that what is in flight can still be stored.
    stop.cancel();
    while let Some(ended) = parts.join_next().await {
        ended.map_err(part_failed)??;
    }
    pipeline.nodes.stop_all().await;
    pipeline.broker.close().await;
    pipeline.database.close().await;
    result
}

/// What can be watched from outside.
struct Pipeline {
    nodes: Arc<Nodes>,
    broker: Arc<dyn Broker>,
    database: Database,
    progress: watch::Receiver<Progress>,
}

/// Starts every part as a task that ends with `stop`.
async fn start(
    plan: Plan,
    parts: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) -> Result<Pipeline, RunError> {
    // Its own parts talk over loopback, unencrypted; what it shares with others may be elsewhere.
    let tls = plan.config.tls.client()?;
    let broker = broker::open_over(plan.config.broker.url.expose(), &plan.config.broker.queue, &tls).await?;
    plan.write_token()?;
    let Plan { config, nodes, shop, ftp, manager, control, .. } = plan;
    let database = Database::open_over(config.database.url.expose(), &tls).await?;

    spawn(parts, shop::serve(shop, config.shop.clone(), stop.clone()));
    let ftp_stop = stop.clone();
    parts.spawn(async move {
        ftp.serve(ftp_stop).await;
        Ok(())
    });
    let nodes = Arc::new(Nodes::new(nodes, tls.clone()));
    nodes.start_all().await?;
    let bearer = config.api.bearer()?;
    spawn(parts, http::serve(control, control::routes(nodes.clone(), bearer.clone()), stop.clone()));

    let upload = Arc::new(FtpUpload::new(&config.ftp, &tls));
    let role = Manager {
        settings: config.manager,
        ftp: Some(config.ftp),
        broker: broker.clone(),
        database: database.clone(),
        mailer: mailer(&config.mail, &tls)?,
        bearer,
        tls: tls.clone(),
        health: Health::new(),
    };
    spawn(parts, role.run(manager, stop.clone()));

    let (progress, seen) = watch::channel(Progress::default());
    let queue = broker.clone();
    let stop = stop.clone();
    parts.spawn(async move {
        scraper::run(config.scraper, &tls, queue, upload, progress, stop.clone()).await?;
        // With nothing left to scrape, the others still have to deliver.
        stop.cancelled().await;
        Ok(())
    });
    Ok(Pipeline { nodes, broker, database, progress: seen })
}

fn spawn<E: Into<RunError> + 'static>(
    parts: &mut JoinSet<Result<(), RunError>>,
    part: impl Future<Output = Result<(), E>> + Send + 'static,
) {
    parts.spawn(async move { part.await.map_err(Into::into) });
}

fn part_failed(error: tokio::task::JoinError) -> RunError {
    RunError::Part(Box::new(error))
}
