//! Progress for a person who watches.

use std::{collections::HashMap, io::IsTerminal as _, time::Duration};

use indicatif::{HumanCount, MultiProgress, ProgressBar};
use tokio::sync::watch;

use super::Progress;

/// Frames a second are few: the terminal may be far away.
const TICK: Duration = Duration::from_millis(150);

/// Shows one moving line per site on standard error until the scraper is gone; does nothing if that is no terminal.
pub async fn show(mut progress: watch::Receiver<Progress>) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let lines = MultiProgress::new();
    let mut bars: HashMap<String, ProgressBar> = HashMap::new();
    loop {
        let now = progress.borrow_and_update().clone();
        bars.retain(|site, bar| {
            let running = now.current.contains_key(site);
            if !running {
                bar.finish_and_clear();
                lines.remove(bar);
            }
            running
        });
        for (site, state) in &now.current {
            let bar = bars.entry(site.clone()).or_insert_with(|| lines.add(ProgressBar::new_spinner()));
            bar.set_message(format!(
                "{site}: {} pages, {} to go · {} items, {} published",
                HumanCount(state.pages_visited),
                HumanCount(state.pages_waiting),
                HumanCount(state.items_seen),
                HumanCount(state.items_published),
            ));
            bar.tick();
        }
        tokio::time::sleep(TICK).await;
        if progress.changed().await.is_err() {
            break;
        }
    }
    for bar in bars.values() {
        bar.finish_and_clear();
    }
}
