//! The command line.

use std::error::Error as _;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Config, Store};
use crate::{server, telemetry};

/// A sync server for Yjs documents that stores every edit before anyone sees it.
#[derive(Debug, Parser)]
#[command(name = "ruang", version, arg_required_else_help = true)]
#[command(after_help = "Start with `ruang serve`, then open http://127.0.0.1:8080/.")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(Box<ServeArgs>),
    Load(Box<crate::load::LoadArgs>),
    Replay(Box<crate::replay::ReplayArgs>),
    Token(Box<crate::token::TokenArgs>),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// A TOML file with the same settings, such as `listen = "127.0.0.1:9000"`.
    #[arg(long, env = "RUANG_CONFIG", value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    #[command(flatten)]
    settings: Config,
}

/// Runs the command line to its end. Exit code 2 means that a setting is wrong, 1 that the work
/// failed.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let matches = match with_file_defaults(command(), &args).try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => {
            if let Some(line) = setting_error(&error) {
                eprintln!("error: {line}");
                return ExitCode::from(2);
            }
            // Help goes to standard output and is no failure; clap knows which is which.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match parse(&matches) {
        Ok(Verb::Serve(args)) => serve(args.settings),
        Ok(Verb::Load(args)) => load(*args),
        Ok(Verb::Replay(args)) => crate::replay::run(&args),
        Ok(Verb::Token(args)) => crate::token::run(*args),
        Err(error) => {
            let _ = error.print();
            ExitCode::from(2)
        }
    }
}

/// One line for a setting whose value is refused: which, what was read, what is allowed. What was
/// read is left out where it may hold a password.
fn setting_error(error: &clap::Error) -> Option<String> {
    let text = |kind| error.get(kind).map(ToString::to_string);
    let setting = text(ContextKind::InvalidArg)?;
    let why = match error.kind() {
        ErrorKind::ValueValidation => error.source()?.to_string(),
        ErrorKind::InvalidValue => format!("allowed are {}", text(ContextKind::ValidValue)?),
        _ => return None,
    };
    let is_secret = ["--store", "--webhook-url"].iter().any(|named| setting.starts_with(named));
    let read = text(ContextKind::InvalidValue).filter(|_| !is_secret).map(|value| format!("{value:?}: "));
    Some(format!("{setting}: {}{why}", read.unwrap_or_default()))
}

fn parse(matches: &ArgMatches) -> Result<Verb, clap::Error> {
    Ok(Cli::from_arg_matches(matches)?.verb)
}

fn serve(config: Config) -> ExitCode {
    if let Err(error) = telemetry::start_logging(&config.log, config.log_format) {
        eprintln!("error: --log {:?}: {error}", config.log);
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // The document engine recurses over what it is given; the gate bounds it, this is the belt.
        .thread_stack_size(8 << 20)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(server::serve(config));
    // Work that hangs in the store must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if error.is_setting() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Exit code 1 also means that the server has failed the test.
fn load(args: crate::load::LoadArgs) -> ExitCode {
    match crate::load::run(args) {
        Ok(report) if report.passed() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            if matches!(error, crate::load::LoadError::Usage(_)) {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The command line, with the Redis that the environment names as the store if no other is given.
fn command() -> Command {
    let variables = Store::from_variables();
    if variables == Ok(None) {
        return Cli::command();
    }
    // A bad variable is an error only if it is what decides.
    let parser = move |text: &str| match &variables {
        Ok(Some(store)) if text == VARIABLES_STORE => Ok(store.clone()),
        Err(why) if text == VARIABLES_STORE => Err(why.clone()),
        _ => text.parse::<Store>(),
    };
    ["serve", "replay"].into_iter().fold(Cli::command(), |command, verb| {
        let parser = parser.clone();
        command.mut_subcommand(verb, |verb| {
            verb.mut_arg("store", |arg| arg.default_value(VARIABLES_STORE).value_parser(parser))
        })
    })
}

/// The default that stands for a store which the environment names.
const VARIABLES_STORE: &str = "as REDIS_HOST, REDIS_PORT, REDIS_PASSWORD and REDIS_DB say";

/// Puts the settings of the TOML file, if one is named, in place of the built-in defaults: flags
/// and environment still win. A file that cannot be used ends the process with one line.
fn with_file_defaults(command: Command, args: &[OsString]) -> Command {
    let named = args
        .iter()
        .position(|arg| arg == "--config")
        .and_then(|at| args.get(at + 1).cloned())
        .or_else(|| args.iter().find_map(|arg| arg.to_str()?.strip_prefix("--config=").map(OsString::from)))
        .or_else(|| std::env::var_os("RUANG_CONFIG"));
    let Some(file) = named.filter(|_| args.iter().any(|arg| arg == "serve")) else { return command };
    match read_settings(Path::new(&file), &command) {
        Ok(settings) => command.mut_subcommand("serve", |serve| {
            settings
                .into_iter()
                .fold(serve, |serve, (name, value)| serve.mut_arg(name, |arg| arg.default_value(value)))
        }),
        Err(why) => {
            eprintln!("error: --config {}: {why}", Path::new(&file).display());
            std::process::exit(2);
        }
    }
}

fn read_settings(file: &Path, command: &Command) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let serve = command.find_subcommand("serve").ok_or("no command `serve`")?;
    let known: Vec<&str> =
        serve.get_arguments().filter_map(Arg::get_long).filter(|name| *name != "config").collect();
    let mut settings = Vec::new();
    for (name, value) in table {
        if !known.contains(&name.as_str()) {
            return Err(format!("no setting is called `{name}`; allowed are {}", known.join(", ")));
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Integer(number) => number.to_string(),
            other => return Err(format!("`{name}` is a {}, expected a string", other.type_str())),
        };
        settings.push((name.replace('-', "_"), value));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// [O1] [P24] A refused setting is one line with what is allowed; addresses that may hold a password are not repeated.
    #[test]
    fn refused_settings_are_one_line() {
        let line = |args: &[&str]| {
            let error = Cli::command().try_get_matches_from(args).unwrap_err();
            setting_error(&error).unwrap()
        };
        let store = line(&["ruang", "serve", "--store", "redis://:secret@host/x"]);
        assert!(store.contains("--store") && store.contains("redis://"), "{store}");
        assert!(!store.contains("secret") && !store.contains('\n'), "{store}");
        let receiver = line(&["ruang", "serve", "--webhook-url", "https://ann:secret@host/"]);
        assert!(receiver.contains("--webhook-url") && !receiver.contains("secret"), "{receiver}");
        let level = line(&["ruang", "serve", "--durability", "much"]);
        assert!(level.contains("much") && level.contains("fsync") && !level.contains('\n'), "{level}");
        let listen = line(&["ruang", "serve", "--listen", "here"]);
        assert!(listen.contains("--listen") && listen.contains("here"), "{listen}");
        let help = Cli::command().find_subcommand_mut("serve").unwrap().render_long_help().to_string();
        assert!(help.contains("[env: RUANG_STORE]"), "{help}");
    }

    /// [O1] The file gives defaults; an unknown name is refused with those that exist.
    #[test]
    fn settings_come_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ruang.toml");
        std::fs::write(
            &file,
            "listen = \"127.0.0.1:9\"\nroom-idle = \"1s\"\ninsecure = true\nsockets = 7\n\
             allow-origin = \"https://a.example,https://*.b.example\"\n",
        )
        .unwrap();
        let args: Vec<OsString> =
            ["ruang", "serve", "--config", file.to_str().unwrap()].map(OsString::from).into();
        let matches = with_file_defaults(command(), &args).try_get_matches_from(&args).unwrap();
        let Verb::Serve(serve) = parse(&matches).unwrap() else { panic!("serve was asked for") };
        assert_eq!(serve.settings.listen.port(), 9);
        assert!(serve.settings.insecure);
        assert_eq!(serve.settings.limits.limits().sockets, 7);
        assert_eq!(serve.settings.front.allow_origin.len(), 2);
        std::fs::write(&file, "lissten = \"x\"").unwrap();
        let error = read_settings(&file, &Cli::command()).unwrap_err();
        assert!(error.contains("lissten") && error.contains("listen"), "{error}");
    }
}
