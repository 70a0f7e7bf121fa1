//! What signals do to a process: the first asks, the second ends it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, stdin},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use symphony::shutdown::Shutdown;

const DEADLINE: Duration = Duration::from_secs(30);

/// Set for the process that the tests start.
const STARTED_BY_TEST: &str = "SYMPHONY_TEST_BUSY_PROCESS";

#[test]
fn a_second_signal_ends_even_a_busy_process_at_once() {
    for (second, code) in [("TERM", 143), ("INT", 130)] {
        let mut process = BusyProcess::start();
        process.signal("TERM");
        process.wait_for_line("asked");
        assert!(process.child.try_wait().unwrap().is_none(), "one signal ended it");
        process.signal(second);
        assert_eq!(process.exit_code(), Some(code));
    }
}

#[test]
fn either_signal_asks_and_leaves_the_exit_code_to_the_process() {
    for signal in ["TERM", "INT"] {
        let mut process = BusyProcess::start();
        process.signal(signal);
        process.wait_for_line("asked");
        process.child.stdin.take();
        assert_eq!(process.exit_code(), Some(0));
    }
}

/// Not a test of its own, but the process that the tests start. It says when it listens and when it was asked to end;
/// then it keeps its runtime's only thread busy until its standard input ends.
#[test]
fn busy_process() {
    if env::var_os(STARTED_BY_TEST).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().unwrap();
        println!("\nlistens");
        shutdown.requested().await;
        println!("\nasked");
        stdin().read_to_end(&mut Vec::new()).unwrap();
    });
}

/// This test program once more, as [`busy_process`].
struct BusyProcess {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl BusyProcess {
    fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "busy_process", "--nocapture"]).env(STARTED_BY_TEST, "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let process = Self { child, lines };
        process.wait_for_line("listens");
        process
    }

    fn wait_for_line(&self, expected: &str) {
        while self.lines.recv_timeout(DEADLINE).unwrap() != expected {}
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for BusyProcess {
    fn drop(&mut self) {
        // Both fail for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
