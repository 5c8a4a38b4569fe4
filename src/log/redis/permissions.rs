//! What a Redis user must be allowed to do. Asked at the start, so that what is missing is told at once and all
//! together, and again when a script was refused: what Redis says then names neither the command nor the key.

use redis::cmd;

use super::connect::{Connect, Lane, Route};
use super::errors::CallError;
use super::reply::text;

/// Every command that is sent or that a script calls, as it is called on a room of any name. docs/OPERATIONS.md has the
/// same list, as an ACL.
const NEEDED: &[&str] = &[
    "EVALSHA 0 1 retro:room:{-}:log",
    "EXISTS retro:room:{-}:tomb",
    "GET retro:room:{-}:tomb",
    "HDEL retro:room:{-}:meta f",
    "HEXISTS retro:room:{-}:snap:0-0 0",
    "HGETALL retro:room:{-}:meta",
    "HMGET retro:room:{-}:meta f",
    "HSET retro:room:{-}:meta f v",
    "HSTRLEN retro:room:{-}:snap:0-0 0",
    "INFO",
    "PERSIST retro:room:{-}:log",
    "PEXPIRE retro:room:{-}:snap:0-0 1",
    "PEXPIREAT retro:room:{-}:log 1",
    "PING",
    "RENAME retro:room:{-}:snap:0-0 retro:room:{-}:snap:1-0",
    "SCAN 0",
    "SET retro:room:{-}:tomb 1",
    "SPUBLISH retro:room:{-}:bus m",
    "SSUBSCRIBE retro:room:{-}:bus",
    "SUNSUBSCRIBE retro:room:{-}:bus",
    "TIME",
    "UNLINK retro:room:{-}:log",
    "XADD retro:room:{-}:log * e r",
    "XINFO STREAM retro:room:{-}:log",
    "XRANGE retro:room:{-}:log - +",
    "XREVRANGE retro:room:{-}:log + -",
    "XTRIM retro:room:{-}:log MINID 0",
];

/// The same for a cluster only.
const NEEDED_IN_CLUSTERS: &[&str] = &["ASKING", "CLUSTER SLOTS"];

/// Gives back those of its arguments that the user may not call.
const CHECK: &str = "\
local missing = {}
for i = 1, #ARGV do
  local words = {}
  for word in string.gmatch(ARGV[i], '%S+') do words[#words + 1] = word end
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if not known or not allowed then missing[#missing + 1] = ARGV[i] end
end
return missing";

/// What the user may not do on a server, in one line; `None`: nothing is missing.
///
/// # Errors
/// If the server does not answer, or does not let the user ask this way.
pub(super) async fn missing(connect: &Connect, route: Route<'_>) -> Result<Option<String>, CallError> {
    let mut check = cmd("EVAL");
    check.arg(CHECK).arg(0).arg(NEEDED);
    if connect.is_cluster() {
        check.arg(NEEDED_IN_CLUSTERS);
    }
    let redis::Value::Array(missing) = connect.call(Lane::Write, route, &check).await? else {
        return Ok(None);
    };
    let missing: Vec<_> = missing.iter().filter_map(text).map(|line| shown(&line)).collect();
    Ok((!missing.is_empty()).then(|| missing.join(", ")))
}

/// A command and the key or channel that it is called on.
fn shown(line: &str) -> String {
    let key = line.split(' ').find(|word| word.starts_with("retro:"));
    let words: Vec<_> =
        line.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_uppercase())).collect();
    let pattern = key.map(|key| format!(" on {}", key.replace("{-}", "*").replace("0-0", "*")));
    format!("{}{}", words.join(" "), pattern.unwrap_or_default())
}

/// Adds what is missing to the refusal of a script for lack of permission.
pub(super) async fn explain(connect: &Connect, route: Route<'_>, error: &mut CallError) {
    if let CallError::Refused { code, text } = error
        && is_forbidden(code, text)
        && let Ok(Some(missing)) = missing(connect, route).await
    {
        text.push_str(&format!(" (not allowed: {missing})"));
    }
}

/// Whether Redis refused something for lack of permission.
fn is_forbidden(code: &str, text: &str) -> bool {
    let inside = ["executing the script can't", "ACL failure in script"];
    code == "NOPERM" || inside.iter().any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [L93] What is missing is named as an operator writes it.
    #[test]
    fn commands_are_named_with_their_keys() {
        assert_eq!(shown("XADD retro:room:{-}:log * e r"), "XADD on retro:room:*:log");
        assert_eq!(shown("XINFO STREAM retro:room:{-}:log"), "XINFO STREAM on retro:room:*:log");
        assert_eq!(shown("EVALSHA 0 1 retro:room:{-}:log"), "EVALSHA on retro:room:*:log");
        assert_eq!(shown("CLUSTER SLOTS"), "CLUSTER SLOTS");
        assert_eq!(shown("SCAN 0"), "SCAN");
    }

    /// [L93] Every command of the scripts is asked for.
    #[test]
    fn the_commands_of_scripts_are_asked_for() {
        let asked: Vec<_> = NEEDED.iter().filter_map(|line| line.split(' ').next()).collect();
        for script in super::super::script::all() {
            for call in script.code().split("call('").skip(1) {
                let command = call.split('\'').next().expect("a name");
                assert!(asked.contains(&command), "{}: {command}", script.name);
            }
        }
    }
}
