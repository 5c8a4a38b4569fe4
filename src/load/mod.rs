//! `ruang load`: plays many people against a running server, and says what they saw.
//!
//! Reading order: [`args`](LoadArgs) what is asked; `schedule`, `author`, `seen` (pure) what is due,
//! what is written, what was received; `client`, `socket`, `outgoing` one person; `crowd` many;
//! `open` the measurement that most scenarios share; then one file per other scenario.
//!
//! Invariants:
//! - The schedule never waits for the server: latency counts from the moment an update was due.
//! - Every update is looked for at every recipient; nothing is sampled.
//! - Nothing here knows the server's code: any server that speaks to y-websocket can be measured,
//!   and a mistake of ours cannot hide itself.

mod args;
mod author;
mod bytes;
mod client;
mod cold;
mod converge;
mod crowd;
mod frame;
mod kill;
mod memo;
mod open;
mod outgoing;
mod pacer;
mod peer;
mod process;
mod race;
mod report;
mod saturate;
mod scan;
mod schedule;
mod seen;
mod server;
mod socket;
mod storm;
mod target;
mod world;

use std::io::Write as _;
use std::time::Duration;

pub use args::{LoadArgs, Scenario};
pub use report::{Cost, Loss, Percentiles, Report, Step, Traffic, Trial};

use crowd::Shape;
use process::Usage;
use target::{Family, Target};

/// Why a load test could not be run. That a server failed it is no error: the [`Report`] tells.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The options make no sense.
    #[error("{0}")]
    Usage(String),
    /// No TCP connection.
    #[error(
        "cannot connect to {authority}: {source}. Is the server running there? Start it, or give its URL"
    )]
    Connect {
        /// Host and port.
        authority: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server is there but took no WebSocket.
    #[error("{url} did not accept a WebSocket: {answer}. Check the path of the URL")]
    Refused {
        /// Where, with `{room}` for the room's name.
        url: String,
        /// The beginning of the answer.
        answer: String,
    },
    /// No answer.
    #[error("{what} got no answer within {after:?}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// Not everyone got a Step2.
    #[error("only {joined} of {of} clients got the room's content within {waited:.1?}: {reason}")]
    Join {
        /// Who did.
        joined: usize,
        /// How many there are.
        of: usize,
        /// How long.
        waited: Duration,
        /// The first reason known.
        reason: String,
    },
    /// Too few file descriptors.
    #[error(
        "this load needs {need} open files and the limit is {have}: run `ulimit -n {need}` first, for the server too"
    )]
    OpenFiles {
        /// The limit.
        have: u64,
        /// What is needed.
        need: u64,
    },
    /// A `--pid` that cannot be read.
    #[error("cannot read the CPU time of process {pid} (--pid): {source}")]
    Process {
        /// The process.
        pid: u32,
        /// What the system said.
        source: std::io::Error,
    },
    /// A command that we were to run.
    #[error("the command {command:?} failed: {reason}")]
    Command {
        /// As given.
        command: String,
        /// What happened.
        reason: String,
    },
    /// The report could not be written.
    #[error("cannot write the report to {path}: {source}")]
    Json {
        /// Where to.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Our own fault.
    #[error("the load generator failed: {0}")]
    Bug(String),
}

/// What every scenario is given.
struct Context {
    args: LoadArgs,
    target: Target,
    seed: u64,
    /// Room names of this run begin with it, so that no run meets another's rooms.
    prefix: String,
}

impl Context {
    fn new(args: LoadArgs) -> Result<Self, LoadError> {
        let mut target = Target::parse(&args.url)?;
        target.also.clone_from(&args.also);
        target.family = args.family;
        let needs_acks = args.kill_trial.is_some() || matches!(args.scenario, Scenario::Durability);
        if args.family == Family::Hocuspocus && (needs_acks || matches!(args.scenario, Scenario::Converge)) {
            let why = "kills, durability and converge speak y-websocket only".to_owned();
            return Err(LoadError::Usage(why));
        }
        let seed = args.seed.unwrap_or_else(|| rand::random::<u64>() >> 16);
        let prefix = format!("load-{:x}", rand::random::<u64>() >> 24);
        Ok(Self { args, target, seed, prefix })
    }

    /// An empty report.
    fn report(&self, shape: Option<Shape>) -> Report {
        Report {
            scenario: match self.args.kill_trial {
                Some(_) => "kills".to_owned(),
                None => self.args.scenario.name(),
            },
            server: match (&self.args.label, &self.args.server_cmd) {
                (Some(label), _) => label.clone(),
                (None, Some(command)) => command.clone(),
                (None, None) => self.target.to_string(),
            },
            seed: self.seed,
            shape,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            ..Report::default()
        }
    }

    /// What the server uses, if we were told its process.
    fn server_usage(&self) -> Result<Option<Usage>, LoadError> {
        match &self.args.pid[..] {
            [] => Ok(None),
            pids => process::usage(pids).map(Some),
        }
    }

    /// Refuses a run with more sockets than may be opened.
    fn check_sockets(&self, clients: u64) -> Result<(), LoadError> {
        process::check_open_files(clients + u64::from(self.args.idle_rooms))
    }
}

/// Runs what `args` ask, prints the table (and progress on standard error), writes the JSON report.
/// Blocks; has a runtime of its own, so it may be called inside or outside of one. The command's
/// exit code is 1 if the report has not [`passed`](Report::passed).
///
/// # Errors
/// [`LoadError`] if there is no result; its text says what to do.
pub fn run(args: LoadArgs) -> Result<Report, LoadError> {
    let context = Context::new(args)?;
    let report = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            if let Some(threads) = context.args.threads {
                runtime.worker_threads(usize::from(threads));
            }
            let runtime = runtime.enable_all().build().map_err(|error| LoadError::Bug(error.to_string()))?;
            runtime.block_on(scenario(&context))
        });
        work.join().unwrap_or_else(|_| Err(LoadError::Bug("it panicked".into())))
    })?;
    print(&context.args, &report)?;
    Ok(report)
}

async fn scenario(context: &Context) -> Result<Report, LoadError> {
    match context.args.scenario {
        _ if context.args.kill_trial.is_some() => kill::run(context).await,
        Scenario::Durability => kill::run(context).await,
        Scenario::Joinrace => race::run(context).await,
        Scenario::Connect => storm::connect(context).await,
        Scenario::Rooms => storm::rooms(context).await,
        Scenario::Coldload => cold::run(context).await,
        Scenario::Converge => converge::run(context).await,
        Scenario::Saturate1 | Scenario::Saturate100 => saturate::run(context).await,
        Scenario::Custom | Scenario::Fanout20 | Scenario::Fanout100 | Scenario::Fleet => {
            open::run(context).await
        }
    }
}

fn print(args: &LoadArgs, report: &Report) -> Result<(), LoadError> {
    let Some(path) = &args.json else {
        print!("{report}");
        return Ok(());
    };
    let failed = |source| LoadError::Json { path: path.clone(), source };
    let json = serde_json::to_vec_pretty(report).map_err(|error| LoadError::Bug(error.to_string()))?;
    if path == "-" {
        eprint!("{report}");
        return std::io::stdout().write_all(&[&json[..], b"\n"].concat()).map_err(failed);
    }
    print!("{report}");
    std::fs::write(path, json).map_err(failed)
}
