//! The command line of `ruang load`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::LoadError;
use super::crowd::Shape;
pub(super) use super::target::Family;

/// Loads a running server of the y-websocket family and reports latency, loss and cost. The load is
/// open: every update has a due time, and latency counts from it.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Where the server listens, as ws://HOST:PORT; a path may follow, with {room} where the room's
    /// name goes (else it is appended; without a path: /ws/{room})
    #[arg(value_name = "URL", default_value = "ws://127.0.0.1:8080")]
    pub url: String,

    /// What the clients speak; with hocuspocus the path is /hocuspocus, and nothing is known of acks
    #[arg(long, value_enum, default_value = "y-websocket")]
    pub family: Family,

    /// Where a further instance of the same store listens, as HOST:PORT: clients connect to all of them in turn;
    /// again for each
    #[arg(long, value_name = "HOST:PORT")]
    pub also: Vec<String>,

    /// A known shape of load; the options below change parts of it
    #[arg(long, value_enum, default_value = "custom")]
    pub scenario: Scenario,

    /// Rooms
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rooms: Option<u32>,

    /// Clients in each room
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub clients: Option<u32>,

    /// How many of a room's clients write
    #[arg(long, value_name = "N")]
    pub writers: Option<u32>,

    /// Updates per second in each room, shared by its writers; for saturate*, where the search starts; for
    /// converge, edits per second of each client
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,

    /// Keys of the board that each writer sets in turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keys: Option<u32>,

    /// How long updates are written, warm-up included (10s, 500ms, 2m)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub duration: Option<Duration>,

    /// How much of it is not measured
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub warmup: Option<Duration>,

    /// More rooms with one silent client each
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub idle_rooms: u32,

    /// Updates written before the measurement: in the room that is joined (connect, coldload), or
    /// before the kill (durability); by each client (rooms, joinrace)
    #[arg(long, value_name = "N")]
    pub updates: Option<u32>,

    /// Process id of the server, for its CPU and memory; again for each process that belongs to it
    /// (its Redis)
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,

    /// Writes the report as JSON to FILE; - is standard output (the table then goes to standard error)
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,

    /// A name for the report: which server this was
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,

    /// saturate*: a rate holds while the 99th percentile is at most this
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "100ms")]
    pub p99_max: Duration,

    /// rooms: how long to wait for memory to come back after everyone left
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "45s")]
    pub settle: Duration,

    /// Kills the server N times under load and looks for what is missing (needs --server-cmd)
    #[arg(long, value_name = "N")]
    pub kill_trial: Option<u32>,

    /// The server keeps nothing (a bare relay): who comes late is not expected to get what came before
    #[arg(long)]
    pub no_history: bool,

    /// Kills: do not ask for acks (other servers than Ruang have none)
    #[arg(long)]
    pub no_acks: bool,

    /// A command that runs a server, with {port} and {dir} where its port and its data directory go;
    /// then we start, kill and restart it, and URL only gives the path
    #[arg(long, value_name = "COMMAND")]
    pub server_cmd: Option<String>,

    /// coldload: a command that restarts the server at URL and returns
    #[arg(long, value_name = "COMMAND", conflicts_with = "server_cmd")]
    pub restart_cmd: Option<String>,

    /// Repeats a run's random choices (room names, client ids, moments of kills)
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Threads that receive; by default as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

/// The scenarios whose figures are kept in docs/BENCHMARKS.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum Scenario {
    /// What the options say (by default 1 room, 10 clients, 1 writer, 10 updates/s, 10 s)
    Custom,
    /// 1 room of 1,000 clients, 20 updates/s
    Fanout20,
    /// 1 room of 1,000 clients, 100 updates/s
    Fanout100,
    /// 100 rooms of 10 clients, 10 updates/s each
    Fleet,
    /// 1 room of 1,000 clients: the highest rate that keeps --p99-max
    Saturate1,
    /// 100 rooms of 10 clients: the highest rate that keeps --p99-max
    Saturate100,
    /// 1,000 clients join a room of 500 items at once
    Connect,
    /// 2,000 rooms of 1 client: memory with them, and after they left
    Rooms,
    /// 20,000 updates, a restart, then the time until the first client has them
    Coldload,
    /// 1,200 updates seen by another client, then kill -9 (needs --server-cmd)
    Durability,
    /// 200 new rooms, 5 clients joining and writing in each at once
    Joinrace,
    /// 20 clients with random edits and disconnects: do they end up the same?
    Converge,
}

impl Scenario {
    /// As on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl LoadArgs {
    /// The scenario's shape, as changed by options.
    ///
    /// # Errors
    /// [`LoadError::Usage`] if it makes no sense.
    pub(super) fn shape(&self) -> Result<Shape, LoadError> {
        let (rooms, clients, writers, rate, keys) = match self.scenario {
            Scenario::Custom if self.kill_trial.is_some() => (2, 4, 3, 200.0, 5),
            Scenario::Custom => (1, 10, 1, 10.0, 1),
            Scenario::Fanout20 => (1, 1000, 20, 20.0, 1),
            Scenario::Fanout100 => (1, 1000, 20, 100.0, 1),
            Scenario::Fleet => (100, 10, 10, 10.0, 1),
            Scenario::Saturate1 => (1, 1000, 20, 100.0, 1),
            Scenario::Saturate100 => (100, 10, 10, 50.0, 1),
            Scenario::Connect => (1, 1000, 1, 1.0, 500),
            Scenario::Rooms => (2000, 1, 1, 1.0, 1),
            Scenario::Coldload => (1, 2, 1, 1.0, 500),
            Scenario::Durability => (1, 2, 1, 600.0, 1),
            Scenario::Joinrace => (200, 5, 5, 1.0, 1),
            Scenario::Converge => (1, 20, 20, 5.0, 1),
        };
        let clients = self.clients.unwrap_or(clients);
        let shape = Shape {
            rooms: self.rooms.unwrap_or(rooms),
            clients,
            writers: self.writers.unwrap_or(writers.min(clients)),
            rate: self.rate.unwrap_or(rate),
            keys: self.keys.unwrap_or(keys),
        };
        if shape.writers > shape.clients {
            let text = format!("--writers {} is more than --clients {}", shape.writers, shape.clients);
            return Err(LoadError::Usage(text));
        }
        if !(shape.rate > 0.0 && shape.rate <= 1e7) {
            return Err(LoadError::Usage(format!("--rate {}: more than 0, at most 10000000", shape.rate)));
        }
        Ok(shape)
    }

    /// Warm-up and whole duration.
    ///
    /// # Errors
    /// [`LoadError::Usage`] if nothing would be measured.
    pub(super) fn times(&self) -> Result<(Duration, Duration), LoadError> {
        let (warmup, duration) = match self.scenario {
            Scenario::Fanout20 | Scenario::Fanout100 | Scenario::Fleet => (3, 23),
            Scenario::Saturate1 | Scenario::Saturate100 => (1, 5),
            Scenario::Converge => (0, 20),
            _ => (1, 11),
        };
        let duration = self.duration.unwrap_or(Duration::from_secs(duration));
        let warmup = self.warmup.unwrap_or(Duration::from_secs(warmup).min(duration / 4));
        if warmup >= duration {
            return Err(LoadError::Usage(format!(
                "--warmup {warmup:?} leaves nothing of --duration {duration:?}"
            )));
        }
        Ok((warmup, duration))
    }

    /// How many updates a scenario writes that counts them.
    pub(super) fn update_count(&self) -> u32 {
        self.updates.unwrap_or(match self.scenario {
            Scenario::Connect => 500,
            Scenario::Coldload => 20_000,
            Scenario::Durability => 1_200,
            _ => 5,
        })
    }
}

/// `10s`, `500ms`, `2m`, or seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let unit = match &text[at..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number with ms, s, m or h".to_owned()),
    };
    let number: f64 = text[..at].parse().map_err(|_| "a time is a number with ms, s, m or h".to_owned())?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn args(line: &str) -> LoadArgs {
        Command::try_parse_from(std::iter::once("load").chain(line.split(' '))).unwrap().load
    }

    #[test]
    fn scenarios_set_a_shape_and_options_change_it() {
        let fleet = args("ws://h:1 --scenario fleet --rate 20 --warmup 500ms").shape().unwrap();
        println!("fleet with --rate 20: {fleet:?}");
        assert_eq!((fleet.rooms, fleet.clients, fleet.rate), (100, 10, 20.0));
        for scenario in Scenario::value_variants() {
            let args = args(&format!("--scenario {}", scenario.name()));
            println!("{}: {:?} {:?}", scenario.name(), args.shape().unwrap(), args.times().unwrap());
        }
        for bad in ["--writers 11", "--rate 0", "--rate NaN"] {
            println!("{bad}: {}", args(bad).shape().unwrap_err());
        }
        assert!(args("--warmup 20s").times().is_err());
    }

    #[test]
    fn times_have_units() {
        for (text, ms) in [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1.5", 1_500)] {
            println!("{text} is {ms} ms");
            assert_eq!(parse_time(text), Ok(Duration::from_millis(ms)));
        }
        assert!(parse_time("x").is_err() && parse_time("-1s").is_err() && parse_time("1d").is_err());
    }
}
