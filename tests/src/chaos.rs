//! Faults, with real servers: what the pipeline makes of each is counted, item by item.
//!
//! RabbitMQ, PostgreSQL and every role run as processes of their own. While a scraper runs over and over, a fault is
//! struck; then everything may settle, and the account is drawn up: what the scraper says that it published against
//! what the database has, and what the queues still hold. The account asks nobody who could be wrong: the files of the
//! runs, the tables, and PostgreSQL's own times of commits.

mod account;
mod broker;
mod cut;
mod database;
mod disk;
mod feed;
mod frozen;
mod leader;
mod manager;
mod report;
mod scraper;
mod world;

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

pub use account::{Account, Difference, audit, difference, prepare};
pub use report::{Figures, Report};

use symphony_sim::rng::Rng;

use crate::servers;
use world::World;

/// What to do to the pipeline, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A program that plays every role.
    pub program: String,
    /// Time for all faults together. Up to [`Settings::WHOLE`] most faults are fewer in proportion, but each server is
    /// killed ten times and the leader for a minute; beyond, all of them are struck again until the time is over.
    pub time: Duration,
    /// What is drawn is drawn from it: moments, kinds and victims.
    pub seed: u64,
    /// Only the fault of this name.
    pub only: Option<String>,
}

impl Settings {
    /// Time in which every fault is struck as often as it should be.
    pub const WHOLE: Duration = Duration::from_secs(5 * 60);

    /// Programs that must be installed.
    #[must_use]
    pub fn programs() -> Vec<&'static str> {
        [
            servers::rabbitmq::PROGRAMS,
            servers::postgres::PROGRAMS,
            servers::disk::PROGRAMS,
            &[servers::smtp::SmtpServer::PROGRAM],
        ]
        .concat()
    }
}

/// A fault by its name: strikes as often as told (at least once), and returns how often it did.
type Fault = (&'static str, for<'a> fn(&'a mut World, &'a mut Rng, Share) -> Struck<'a>);
type Struck<'a> = Pin<Box<dyn Future<Output = u32> + 'a>>;

const FAULTS: [Fault; 8] = [
    ("broker killed", |world, rng, share| Box::pin(broker::strike(world, rng, share))),
    ("database killed", |world, rng, share| Box::pin(database::strike(world, rng, share))),
    ("leader killed", |world, rng, share| Box::pin(leader::strike(world, rng, share))),
    ("manager killed before the ack", |world, rng, share| Box::pin(manager::strike(world, rng, share))),
    ("manager frozen", |world, rng, share| Box::pin(frozen::strike(world, rng, share))),
    ("manager cut from the leader", |world, rng, share| Box::pin(cut::strike(world, rng, share))),
    ("disk of the leader full", |world, rng, share| Box::pin(disk::strike(world, rng, share))),
    ("disk of the scraper full", |world, rng, share| Box::pin(scraper::strike(world, rng, share))),
];

/// The part of a whole run that there is time for.
#[derive(Clone, Copy, Debug)]
struct Share(f64);

impl Share {
    fn of(self, whole: u32) -> u32 {
        ((f64::from(whole) * self.0).round() as u32).max(1)
    }
}

/// Strikes every fault, and draws up an account after each.
///
/// # Errors
/// There is no such fault.
///
/// # Panics
/// If the servers or the roles do not start, or never come back.
pub async fn run(settings: &Settings, mut progress: impl FnMut(&Figures)) -> Result<Report, String> {
    let chosen: Vec<_> =
        FAULTS.iter().filter(|(name, _)| settings.only.as_deref().is_none_or(|only| name.contains(only))).collect();
    if chosen.is_empty() {
        let names: Vec<_> = FAULTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no such fault; there are: {}", names.join(", ")));
    }
    let share = Share((settings.time.as_secs_f64() / Settings::WHOLE.as_secs_f64()).min(1.0));
    let mut world = World::start(&settings.program).await;
    let mut report = Report::new(settings.seed);
    let begun = Instant::now();
    let mut rng = Rng::new(settings.seed, 0);
    loop {
        for (name, strike) in &chosen {
            let figures = strike_and_count(&mut world, &mut rng, share, name, *strike).await;
            progress(&figures);
            report.add(figures);
        }
        // Half a round more is nearer to what was asked for than none.
        let round = begun.elapsed() / report.rounds(chosen.len());
        if begun.elapsed() + round / 2 > settings.time {
            break;
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    world.stop();
    Ok(report)
}

async fn strike_and_count(
    world: &mut World,
    rng: &mut Rng,
    share: Share,
    name: &str,
    strike: for<'a> fn(&'a mut World, &'a mut Rng, Share) -> Struck<'a>,
) -> Figures {
    let (begun, before) = (Instant::now(), world.before().await);
    let feed = world.feed();
    world.flows().await;
    world.publish_bad(2).await;
    let strikes = strike(world, rng, share).await;
    world.publish_bad(1).await;
    let scraper = feed.finish().await;
    let account = world.settle(scraper).await;
    Figures::new(name, strikes, begun.elapsed(), &before, &world.before().await, account)
}
