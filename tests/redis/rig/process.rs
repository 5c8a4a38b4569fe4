//! One Redis server, as a process of ours.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::Rng;
use redis::{ConnectionLike, RedisResult, Value};
use tempfile::TempDir;

use super::wait_for;

/// Longer than any command of a test takes; a stopped server is noticed.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A server, and what is needed to start it again as it was. Dropped: killed, waited for.
pub struct RedisProcess {
    name: String,
    pub port: u16,
    dir: PathBuf,
    /// The command line without the program.
    args: Vec<String>,
    running: Option<Running>,
    /// Kept here so that it goes after the process.
    _own_dir: Option<TempDir>,
}

struct Running {
    child: Child,
    watchdog: Child,
}

/// An append-only file that is synced before each answer.
pub const FSYNC: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

impl RedisProcess {
    /// A server with a directory of its own, and settings as on its command line. It keeps nothing on the disk unless
    /// they say so ([`FSYNC`]).
    pub fn alone(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = Self::start("redis", dir.path(), settings);
        server._own_dir = Some(dir);
        server
    }

    /// A server with its files in `dir`, which exists; its log is `dir/NAME.log`.
    pub fn start(name: &str, dir: &Path, settings: &[&str]) -> Self {
        Self::start_with(name, dir, |port| command_line(port, dir, settings))
    }

    /// A server on a free port, with the command line that `args` makes for it.
    pub fn start_with(name: &str, dir: &Path, args: impl Fn(u16) -> Vec<String>) -> Self {
        for _ in 0..20 {
            let port = free_port();
            let mut server = Self {
                name: name.to_owned(),
                port,
                dir: dir.to_owned(),
                args: args(port),
                running: None,
                _own_dir: None,
            };
            if server.try_run(true) {
                return server;
            }
            let log = server.log();
            assert!(log.contains("Address already in use"), "{name} does not start:\n{log}");
        }
        panic!("no free port for {name}");
    }

    /// Starts it again, on the same port and with the same settings and files; kills it first if it runs.
    pub fn restart(&mut self) {
        self.restart_and_load(true);
    }

    /// The same; `loaded`: waits until it has read its files.
    pub fn restart_and_load(&mut self, loaded: bool) {
        self.kill();
        // The port stays ours: nothing else here takes ports of this range for long.
        wait_for("its port", || self.try_run(loaded).then_some(()));
    }

    /// False if it ended at once. Waits until it answers.
    fn try_run(&mut self, loaded: bool) -> bool {
        let out = fs::File::options().create(true).append(true).open(self.log_path()).expect("its log");
        // A file that may not grow is an error then, as a full disk is, and not the end: see `limit_files`.
        let child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec redis-server \"$@\"", "redis-server"])
            .args(&self.args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("its log"))
            .stderr(out)
            .spawn()
            .expect("a shell");
        let watchdog = watchdog(child.id());
        let mut running = Running { child, watchdog };
        let is_up = wait_for("an answer to PING", || {
            if running.child.try_wait().expect("a child").is_some() {
                return Some(false);
            }
            let mut connection = self.try_connect().ok()?;
            let info: RedisResult<String> = redis::cmd("INFO").arg("server").query(&mut connection);
            match info {
                // Another server may have taken the port meanwhile: it is another process then.
                Ok(info) if !info.contains(&format!("process_id:{}\r", running.child.id())) => Some(false),
                Ok(_) if !loaded => Some(true),
                // Not while it is loading.
                Ok(_) => redis::cmd("PING").exec(&mut connection).is_ok().then_some(true),
                // It serves, but not us.
                Err(error) => (error.code() == Some("NOAUTH")).then_some(true),
            }
        });
        if is_up {
            self.running = Some(running);
        } else {
            running.end();
        }
        is_up
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.end();
        }
    }

    /// SIGTERM: what an operator does. Waits for the end.
    pub fn stop(&mut self) {
        self.signal("TERM");
        if let Some(mut running) = self.running.take() {
            running.child.wait().expect("a child");
            running.end();
        }
    }

    /// SIGSTOP: it takes connections (the kernel does) and says nothing, until it is thawed by SIGCONT.
    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { "STOP" } else { "CONT" });
    }

    /// Lets none of its files grow, or all of them again.
    pub fn limit_files(&self, limited: bool) {
        let running = self.running.as_ref().expect("a running server");
        let bytes = if limited { "--fsize=1:" } else { "--fsize=unlimited:" };
        let pid = running.child.id().to_string();
        let done = Command::new("prlimit").args(["--pid", &pid, bytes]).status();
        assert!(done.expect("prlimit is not here: it is part of util-linux").success());
    }

    fn signal(&self, name: &str) {
        let running = self.running.as_ref().expect("a running server");
        let pid = running.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }

    /// Whether it was started and neither killed nor stopped.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Where it speaks TLS, if its settings have [`TLS_PORT`].
    pub fn tls_port(&self) -> u16 {
        self.port + 1
    }

    /// Where it listens.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// As `--store` takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the server has written to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    /// A connection that waits at most [`ANSWER_MAX`] for an answer.
    pub fn connection(&self) -> redis::Connection {
        self.try_connect().unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.log()))
    }

    fn try_connect(&self) -> RedisResult<redis::Connection> {
        let connection = redis::Client::open(self.url())?.get_connection_with_timeout(ANSWER_MAX)?;
        connection.set_read_timeout(Some(ANSWER_MAX))?;
        connection.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(connection)
    }

    /// One command on a connection of its own.
    ///
    /// # Panics
    /// If the server refuses it, or does not answer.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|error| panic!("{} {words:?}: {error}\n{}", self.name, self.log()))
    }

    /// As [`Self::ask`], for what may fail.
    pub fn try_ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut command = redis::Cmd::new();
        command.arg(words);
        let value: Value = self.try_connect()?.req_command(&command)?.extract_error()?;
        Ok(redis::from_redis_value(value)?)
    }

    /// A line of INFO, such as `role`.
    pub fn info(&self, key: &str) -> Option<String> {
        let info: String = self.try_ask(&["INFO", "everything"]).ok()?;
        let line = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.to_owned())
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    /// SIGKILL, and everything is waited for; also of a stopped process, and of one that has ended.
    fn end(&mut self) {
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A word of settings that stands for a server's port for TLS: the one after its port.
pub const TLS_PORT: &str = "{port + 1}";

fn command_line(port: u16, dir: &Path, settings: &[&str]) -> Vec<String> {
    let tls_port = (port + 1).to_string();
    let port = port.to_string();
    let dir = dir.to_str().expect("a path in UTF-8");
    let always = ["--port", &port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--daemonize", "no"];
    let words = always.iter().chain(settings);
    words.map(|word| if *word == TLS_PORT { tls_port.clone() } else { (*word).to_owned() }).collect()
}

/// Kills `pid` when this process is gone, however it went: the pipe to it closes then.
fn watchdog(pid: u32) -> Child {
    Command::new("sh")
        .args(["-c", "read -r _; kill -9 \"$0\"", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh")
}

/// A port that nobody listens on, below those that the system hands out by itself, so that it stays free
/// while a server is down.
pub fn free_port() -> u16 {
    loop {
        let port = rand::rng().random_range(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
