//! `symphony trace`: where an item has been.

use std::{fmt::Write as _, process::ExitCode};

use symphony_adapters::http::{
    ClientError,
    api::{TraceResponse, TraceStepKind},
};

use crate::{
    cli::TraceOptions,
    config::Sources,
    inquiry::{self, moment, one_line, say},
};

pub(crate) fn run(options: &TraceOptions, sources: &Sources) -> ExitCode {
    inquiry::run(&options.manager, sources, async |client, url| {
        let manager = client.trace(url, &options.item).await;
        let trace = match &options.scraper {
            Some(scraper) => together(manager, client.without_token().trace(scraper.as_str(), &options.item).await),
            None => manager,
        };
        Ok(say(options.manager.json, &trace?, words))
    })
}

/// Two accounts as one, in which what both tell is told once. One of the two may know nothing.
fn together(
    manager: Result<TraceResponse, ClientError>,
    scraper: Result<TraceResponse, ClientError>,
) -> Result<TraceResponse, ClientError> {
    let (mut trace, other) = match (manager, scraper) {
        (Ok(manager), Ok(scraper)) => (manager, scraper),
        (Ok(known), Err(ClientError::Refused { status: 404, .. }))
        | (Err(ClientError::Refused { status: 404, .. }), Ok(known)) => return Ok(known),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    for step in other.steps {
        if !trace.steps.iter().any(|known| known.step == step.step && known.detail == step.detail) {
            trace.steps.push(step);
        }
    }
    trace.sort();
    Ok(trace)
}

fn words(trace: &TraceResponse) -> String {
    let mut text = format!("item {}\n", one_line(&trace.item));
    for step in &trace.steps {
        let at = step.at_ms.map_or_else(|| "not yet".to_owned(), moment);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:<9}  {at:<24}  {}", name(step.step), one_line(&step.detail));
    }
    text
}

fn name(step: TraceStepKind) -> &'static str {
    match step {
        TraceStepKind::Scraped => "scraped",
        TraceStepKind::Queued => "queued",
        TraceStepKind::Delivered => "delivered",
        TraceStepKind::Stored => "stored",
        TraceStepKind::Filed => "filed",
        TraceStepKind::Mailed => "mailed",
        TraceStepKind::Dead => "dead",
    }
}

#[cfg(test)]
mod tests {
    use symphony_adapters::http::{Problem, api::TraceStep};

    use super::*;

    #[test]
    fn two_accounts_are_one_and_either_may_know_nothing() {
        let trace = |steps: &[(TraceStepKind, Option<i64>, &str)]| {
            let step = |&(step, at_ms, detail): &(TraceStepKind, Option<i64>, &str)| TraceStep {
                step,
                at_ms,
                detail: detail.to_owned(),
            };
            Ok(TraceResponse { item: "a1".into(), steps: steps.iter().map(step).collect() })
        };
        let unknown = || Err(ClientError::Refused { status: 404, problem: Box::new(Problem::not_found("a1")) });
        let (scraped, queued) = (TraceStepKind::Scraped, TraceStepKind::Queued);
        let manager = [(scraped, Some(1), "message m"), (queued, Some(2), "message m")];
        // The clocks differ.
        let scraper = [(queued, Some(3), "message m"), (scraped, Some(4), "message n"), (queued, None, "message n: …")];
        let both = together(trace(&manager), trace(&scraper)).unwrap();
        assert_eq!(both, trace(&[manager[0], manager[1], scraper[1], scraper[2]]).unwrap());
        assert_eq!(together(unknown(), trace(&scraper)).unwrap(), trace(&scraper).unwrap());
        assert_eq!(together(trace(&manager), unknown()).unwrap(), trace(&manager).unwrap());
        assert!(matches!(together(unknown(), unknown()), Err(ClientError::Refused { status: 404, .. })));
        let away = Err(ClientError::Unavailable("away".into()));
        assert!(matches!(together(away, trace(&scraper)), Err(ClientError::Unavailable(_))));
    }

    #[test]
    fn each_step_has_a_line_with_its_time() {
        let step = |step, at_ms, detail: &str| TraceStep { step, at_ms, detail: detail.into() };
        let steps = vec![
            step(TraceStepKind::Scraped, Some(1_795_472_163_776), "message m"),
            step(TraceStepKind::Mailed, None, "/a\n.csv: mail waiting"),
        ];
        assert_eq!(
            words(&TraceResponse { item: "a1".into(), steps }),
            "item a1\n\
             scraped    2026-11-23T22:16:03.776Z  message m\n\
             mailed     not yet                   /a\u{fffd}.csv: mail waiting\n"
        );
    }
}
