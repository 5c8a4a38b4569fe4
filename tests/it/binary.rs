//! The real `ruang` binary as a process: run to its end, or serving until its test ends. Nothing of our own
//! environment reaches it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::harness::PATIENCE;

/// The longest that a drain may take, and some more.
const DRAIN: Duration = Duration::from_secs(40);

/// The binary with these arguments.
pub fn ruang(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ruang"));
    let ours = |name: &str| name.starts_with("RUANG_") || name.starts_with("REDIS_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end: the exit code, and what it wrote to standard error and output.
pub fn said(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut child = ruang(args).envs(variables.iter().copied()).spawn().unwrap();
    let (stderr, stdout) = (all_of(child.stderr.take().unwrap()), all_of(child.stdout.take().unwrap()));
    let status = end_of(&mut child, PATIENCE);
    (status.code(), stderr.join().unwrap(), stdout.join().unwrap())
}

/// Reads while it is written, so that a full pipe holds nobody up.
fn all_of(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

pub fn end_of(child: &mut Child, within: Duration) -> ExitStatus {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the process did not end within {within:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A server that runs. Dropping it ends it by kill -9, and nothing else.
pub struct Served {
    pub address: String,
    child: Child,
    lines: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Served {
    /// Once it listens: on a free port, unless `args` say where.
    pub fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let free: &[&str] = if args.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let mut command = ruang(&[&["serve"], free, args].concat());
        let mut child = command.envs(variables.iter().copied()).stdout(Stdio::null()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines: Arc<Mutex<String>> = Arc::default();
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| sink.lock().push_str(&(line + "\n")));
        });
        let mut served = Self { address: String::new(), child, lines, reader: Some(reader) };
        served.address = served.until_logged(" listening on http://");
        served
    }

    pub fn url(&self, room: &str) -> String {
        format!("ws://{}/ws/{room}", self.address)
    }

    /// All that it has logged so far.
    pub fn logged(&self) -> String {
        self.lines.lock().clone()
    }

    /// Waits for a log line; what follows `text` in it, up to a space.
    pub fn until_logged(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((_, rest)) = self.lines.lock().split_once(text)
                && let Some((line, _)) = rest.split_once('\n')
            {
                return line.split(' ').next().unwrap_or_default().to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            let in_time = Instant::now() < deadline && ended.is_none();
            assert!(in_time, "waited in vain for {text:?}: {ended:?}\n{}", self.lines.lock());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// kill -9; it is gone when this returns.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end: the exit code, and all that was logged.
    pub fn ended(mut self, within: Duration) -> (Option<i32>, String) {
        let status = end_of(&mut self.child, within);
        self.reader.take().unwrap().join().unwrap();
        (status.code(), self.logged())
    }

    /// Ends it as a supervisor does: all that it has logged.
    pub fn end(self) -> String {
        self.signal("-TERM");
        self.ended(DRAIN).1
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
