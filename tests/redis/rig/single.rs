//! One Redis server of a test's own: a process on a free port of 127.0.0.1, in a directory that goes with it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::{Client, Connection, FromRedisValue};
use ruang::log::redis::{RedisAddress, RedisLog, RedisOpenError, RedisOptions};
use tempfile::TempDir;

/// A server; its process is killed when this is dropped.
pub struct Single {
    pub port: u16,
    process: Option<Child>,
    settings: Vec<String>,
    dir: TempDir,
}

/// An append-only file that is synced before each answer.
pub const FSYNC: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

impl Single {
    /// Starts one, with settings as on its command line.
    pub fn start(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { port: 0, process: None, settings, dir: tempfile::tempdir().unwrap() };
        // A port that is free now may be taken a moment later: then another one.
        for _ in 0..20 {
            server.port = free_port();
            if server.run() {
                return server;
            }
        }
        panic!("no Redis server can be started; scripts/test setup installs redis-server");
    }

    /// Begins the process. False if it ends at once.
    fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"])
            .arg("--dir")
            .arg(self.dir.path())
            .args(&self.settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is in the PATH; scripts/test setup installs it");
        let process = self.process.insert(process);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if process.try_wait().unwrap().is_some() {
                self.process = None;
                return false;
            }
            if is_ready(self.port) {
                return true;
            }
            sleep(Duration::from_millis(5));
        }
        panic!("the Redis server on port {port} does not answer");
    }

    /// Ends the process without a warning.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Begins it again, on the same port, with what it had written.
    pub fn restart(&mut self) {
        self.kill();
        let began = Instant::now();
        while !self.run() {
            assert!(began.elapsed() < Duration::from_secs(30), "port {} does not become free", self.port);
        }
    }

    /// Freezes the process, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn address(&self) -> RedisAddress {
        self.url().parse().unwrap()
    }

    /// A log on this server with the server's clock.
    pub async fn log(&self) -> RedisLog {
        self.try_log(RedisOptions::default()).await.unwrap()
    }

    pub async fn try_log(&self, options: RedisOptions) -> Result<RedisLog, RedisOpenError> {
        RedisLog::open(&self.address(), options).await
    }

    pub fn connection(&self) -> Connection {
        Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// What redis-cli would say.
    pub fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query(&mut self.connection()).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_ready(port: u16) -> bool {
    let client = Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let Ok(mut connection) = client.get_connection_with_timeout(Duration::from_secs(2)) else { return false };
    match redis::cmd("PING").exec(&mut connection) {
        Ok(()) => true,
        Err(error) => error.code() == Some("NOAUTH"), // it serves, but not us
    }
}
