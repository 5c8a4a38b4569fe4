//! A server that we run ourselves, to be killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::LoadError;
use super::target::Target;

/// How long a server may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A server process with a port and a data directory of its own, which are the same after a
/// restart. Dropping it kills it.
pub(super) struct Server {
    template: String,
    port: u16,
    dir: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Starts `template`, with `{port}` and `{dir}` replaced, and waits until it accepts connections.
    pub(super) async fn start(template: &str) -> Result<Self, LoadError> {
        let failed = |error: std::io::Error| LoadError::Command {
            command: template.to_owned(),
            reason: error.to_string(),
        };
        if !template.contains("{port}") {
            let text = format!("--server-cmd {template:?} has no {{port}}, where its port goes");
            return Err(LoadError::Usage(text));
        }
        let dir = std::env::temp_dir().join(format!("ruang-load-{:x}", rand::random::<u64>()));
        std::fs::create_dir_all(&dir).map_err(failed)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let mut server =
            Self { template: template.to_owned(), port: port.map_err(failed)?.port(), dir, child: None };
        server.restart().await?;
        Ok(server)
    }

    /// Where it listens; the path is `like`'s.
    pub(super) fn target(&self, like: &Target) -> Target {
        Target { authority: format!("127.0.0.1:{}", self.port), ..like.clone() }
    }

    /// Its process, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where what it prints is kept.
    fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Starts it again on the same port and data: the time until it accepts connections.
    pub(super) async fn restart(&mut self) -> Result<Duration, LoadError> {
        self.kill();
        let command = self
            .template
            .replace("{port}", &self.port.to_string())
            .replace("{dir}", &self.dir.join("data").to_string_lossy());
        let failed = |reason: String| LoadError::Command { command: command.clone(), reason };
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.map_err(|error| failed(error.to_string()))?;
        let errors = log.try_clone().map_err(|error| failed(error.to_string()))?;
        let start = Instant::now();
        let child = Command::new("sh")
            .args(["-c", &format!("exec {command}")]) // exec: the process we kill is the server
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        self.child = Some(child.map_err(|error| failed(error.to_string()))?);
        loop {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(start.elapsed());
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                return Err(failed(format!("it ended with {status}: {}", last_line(&self.log()))));
            }
            if start.elapsed() > START_TIMEOUT {
                return Err(failed(format!("nothing listens on port {} after 30 s", self.port)));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends it as a power cut would end it, but for what the system still writes: SIGKILL.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Keeps data and log, for whoever looks into a failure.
    pub(super) fn keep(mut self) -> PathBuf {
        self.kill();
        std::mem::take(&mut self.dir)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if !self.dir.as_os_str().is_empty() {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it printed nothing").to_owned()
}
