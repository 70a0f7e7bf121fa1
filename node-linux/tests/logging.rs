//! The log, as machines read it.

use std::{
    env,
    process::{Command, Stdio},
};

use serde_json::Value;
use symphony::{
    config::{Log, LogFormat},
    logging,
};

/// Set for the process that the test starts.
const STARTED_BY_TEST: &str = "SYMPHONY_TEST_LOGGING_PROCESS";

#[test]
fn every_line_is_one_object_also_for_a_panic() {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "logging_process", "--nocapture"]).env(STARTED_BY_TEST, "1");
    let output = command.stdout(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let fields = |key: &str| lines.iter().map(|line| line[key].clone()).collect::<Vec<_>>();
    assert_eq!(fields("level"), ["WARN", "ERROR"]);
    assert_eq!(fields("message"), ["two\nlines", "said \"no\""]);
    assert_eq!(lines[0]["node"], 7);
    assert!(lines[1]["place"].as_str().unwrap().starts_with("node-linux/tests/logging.rs:"), "{text}");
}

/// Not a test of its own, but the process that the test starts.
#[test]
fn logging_process() {
    if env::var_os(STARTED_BY_TEST).is_none() {
        return;
    }
    logging::init(&Log { filter: "warn".into(), format: LogFormat::Json }).unwrap();
    tracing::info!("left out");
    tracing::warn!(node = 7, "two\nlines");
    panic!("said {:?}", "no");
}
