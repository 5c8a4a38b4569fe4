//! Real Redis servers for tests, on 127.0.0.1 and free ports, each in a directory of its own. They end with
//! the test: when their owner is dropped, and when the process of the test is killed.
//!
//! `process` is one server; `sentinel` and `cluster` put several together; `proxy` stands between an
//! instance and a server and does what networks do. `single` and `store` put logs on them; `acl` is the user that is
//! documented, `tls` an authority that signs certificates.
//!
//! All calls wait on their own thread, so that they work outside of any runtime. A test that lets its own
//! tasks go on meanwhile runs them on other threads (`flavor = "multi_thread"`).

pub mod acl;
pub mod cluster;
pub mod process;
pub mod proxy;
pub mod sentinel;
pub mod single;
pub mod store;
pub mod tls;

use std::time::{Duration, Instant};

/// How long anything that must happen may take. Longer than any of it needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Settings as words of a command line.
pub fn words(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

/// Asks every few milliseconds until there is an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
