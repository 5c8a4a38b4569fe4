//! `coldload`: a long history, a restart, and the first client.

use std::process::Command;
use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::open::JOINING_MAX;
use super::report::Report;
use super::server::Server;
use super::storm::{WINDOW, write_all};
use super::target::Target;
use super::{Context, LoadError};

/// How long the first client may wait.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a server may take to send what its Step2 did not hold.
const REST_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes `--updates` as fast as a reader receives them, kills and restarts the server, and
/// measures from the connect of the first client until it has them all.
pub(super) async fn run(context: &Context) -> Result<Report, LoadError> {
    let mut server = match &context.args.server_cmd {
        Some(command) => Some(Server::start(command).await?),
        None => None,
    };
    let target = server.as_ref().map_or_else(|| context.target.clone(), |own| own.target(&context.target));
    let shape = context.args.shape()?;
    let count = context.args.update_count();
    let mut report = context.report(Some(shape));
    let mut crowd = Crowd::new(&context.prefix, shape, context.seed);
    crowd.join_all(&target, JOINING_MAX).await?;
    let wrote = write_all(&crowd, count, WINDOW).await?;
    report.figure_ms("writing ms", wrote);
    report.figure("written per s", (f64::from(count) / wrote.as_secs_f64()).round());
    crowd.leave_all();

    let restarted = match (&mut server, &context.args.restart_cmd) {
        (Some(server), _) => server.restart().await?,
        (None, Some(command)) => restart(command, &target).await?,
        (None, None) => {
            let text = "coldload restarts the server: give --server-cmd or --restart-cmd";
            return Err(LoadError::Usage(text.into()));
        }
    };
    report.figure_ms("restart ms", restarted);
    let (cold, lost) = first_client(&mut crowd, &target).await?;
    report.figure_ms("cold load ms", cold);
    report.figure("lost", lost as f64);
    if lost > 0 {
        report.failures.push(format!("{lost} of {count} updates are gone after the restart"));
    }
    let (warm, _) = first_client(&mut crowd, &target).await?;
    report.figure_ms("warm load ms", warm);
    if let Some(pid) = server.as_ref().and_then(Server::pid) {
        report.figure("server MiB afterwards", (super::process::usage(&[pid])?.rss_kib / 1024) as f64);
    }
    Ok(report)
}

/// A new client: the time from its connect until it has everything, and what it still lacks when
/// nothing more comes.
async fn first_client(crowd: &mut Crowd, target: &Target) -> Result<(Duration, u64), LoadError> {
    let newcomer = crowd.add_newcomer(0);
    let start = Instant::now();
    crowd.connect(&[newcomer], target, 1).await?;
    crowd.wait_joined(&[newcomer], LOAD_TIMEOUT).await?;
    let joined = crowd.clients[newcomer].state.lock().joined;
    if crowd.missing_at(newcomer) == 0 {
        return Ok((joined.unwrap_or(start.elapsed()), 0));
    }
    while crowd.missing_at(newcomer) > 0 && start.elapsed() < REST_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok((start.elapsed(), crowd.missing_at(newcomer)))
}

/// Runs `command` and waits until the server accepts connections again.
async fn restart(command: &str, target: &Target) -> Result<Duration, LoadError> {
    let failed = |reason: String| LoadError::Command { command: command.to_owned(), reason };
    let start = Instant::now();
    let status = Command::new("sh").args(["-c", command]).status();
    let status = status.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    while tokio::net::TcpStream::connect(&target.authority).await.is_err() {
        if start.elapsed() > LOAD_TIMEOUT {
            return Err(failed(format!("nothing listens at {} afterwards", target.authority)));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(start.elapsed())
}
