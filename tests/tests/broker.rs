//! The embedded broker keeps every promise of a broker.

use libtest_mimic::{Arguments, Trial};
use symphony_tests::contract::{block_on, broker::PROMISES};

fn main() {
    let arguments = Arguments::from_args();
    let trials = PROMISES.iter().map(|(name, promise)| {
        Trial::test(format!("embedded: {name}"), move || {
            let folder = tempfile::tempdir()?;
            let url = format!("sqlite:{}", folder.path().join("queue.db").display());
            block_on(promise(url, "items".into()));
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
