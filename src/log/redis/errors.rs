//! What an answer of Redis means for the one who asked.
//!
//! Pure: the crate's errors are taken apart here, and nothing else looks into them.

use redis::{ErrorKind, RedisError};

use crate::log::LogError;

/// Why a call brought no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// It was not sent: there is no connection now.
    Away(String),
    /// It may have been done: no answer came.
    Silent(String),
    /// Redis refused, and says why.
    Refused {
        /// The first word of the answer, in capitals, such as `OOM`.
        code: String,
        /// The rest of it.
        text: String,
    },
}

/// What was called, for the text of an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a> {
    /// The script or command.
    pub(super) what: &'static str,
    /// The key that it is about.
    pub(super) key: &'a str,
    /// Whether it may change something.
    pub(super) writes: bool,
}

impl CallError {
    /// Whether the connection cannot be used any more.
    pub(super) fn breaks_connection(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Away(_))
    }

    /// The first word of a refusal.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::Away(_) | Self::Silent(_) => None,
        }
    }

    /// Whether the script was not known there.
    pub(super) fn is_no_script(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "NOSCRIPT")
    }

    /// Whether another server is to be asked: this one is no primary any more.
    pub(super) fn is_demoted(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "READONLY" || code == "MASTERDOWN")
    }

    /// In one line.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Away(why) | Self::Silent(why) => why.clone(),
            Self::Refused { code, text } if text.is_empty() => code.clone(),
            Self::Refused { code, text } => format!("{code} {text}"),
        }
    }
}

impl From<RedisError> for CallError {
    fn from(error: RedisError) -> Self {
        let text = one_line(&error.to_string());
        let kind = error.kind();
        // Of a transaction that was refused, the first command that was.
        if let Some((_, refused)) = error.into_server_errors().as_deref().and_then(<[_]>::first) {
            let detail = refused.details().map(one_line).unwrap_or_default();
            return Self::Refused { code: refused.code().to_owned(), text: detail };
        }
        match kind {
            ErrorKind::AuthenticationFailed => Self::Refused { code: "WRONGPASS".to_owned(), text },
            ErrorKind::RESP3NotSupported => Self::Refused { code: "NOPROTO".to_owned(), text },
            ErrorKind::InvalidClientConfig | ErrorKind::Client | ErrorKind::UnexpectedReturnType => {
                Self::Refused { code: "ERR".to_owned(), text }
            }
            ErrorKind::ClusterConnectionNotFound
            | ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::NoValidReplicasFoundBySentinel => Self::Away(text),
            _ => Self::Silent(text),
        }
    }
}

/// What a failed call means: what is true now, and whether to try again.
pub(super) fn log_error(called: Called<'_>, error: CallError) -> LogError {
    let (code, text) = match error {
        CallError::Away(why) => return LogError::Unavailable(why),
        CallError::Silent(why) if called.writes => return LogError::Unknown(why),
        CallError::Silent(why) => return LogError::Unavailable(why),
        CallError::Refused { code, text } => (code, text),
    };
    let said = if text.is_empty() { code.clone() } else { format!("{code} {text}") };
    match code.as_str() {
        "OOM" => LogError::Full(said),
        "MISCONF" if text.contains("No space left") => LogError::Full(said),
        // The topology changes, it starts, a script runs, or what it must do for durability it cannot do now.
        "LOADING" | "BUSY" | "MASTERDOWN" | "READONLY" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK"
        | "MISCONF" | "NOREPLICAS" | "NOSCRIPT" => LogError::Unavailable(said),
        "ERR" if is_passing(&text) => LogError::Unavailable(said),
        // WRONGTYPE, NOPERM, NOAUTH, WRONGPASS, CROSSSLOT, NOPROTO, and whatever else we should never hear.
        _ => LogError::Fatal(format!("{} on {}: {said}", called.what, called.key)),
    }
}

/// Errors without a code of their own that end by themselves.
fn is_passing(text: &str) -> bool {
    ["max number of clients", "Script killed by user", "non local key", "shutdown"]
        .iter()
        .any(|known| text.contains(known))
}

fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(code: &str, text: &str) -> LogError {
        let called = Called { what: "append", key: "retro:room:{a}:log", writes: true };
        log_error(called, CallError::Refused { code: code.to_owned(), text: text.to_owned() })
    }

    /// [L81] Each answer of Redis that we know of says what is true now, and whether to try again.
    #[test]
    fn each_answer_has_its_meaning() {
        assert!(matches!(meaning("OOM", "command not allowed"), LogError::Full(_)));
        let full = "Errors writing to the AOF file: No space left on device";
        assert!(matches!(meaning("MISCONF", full), LogError::Full(_)));
        for passing in [
            "LOADING",
            "BUSY",
            "MASTERDOWN",
            "READONLY",
            "CLUSTERDOWN",
            "TRYAGAIN",
            "MOVED",
            "ASK",
            "MISCONF",
            "NOREPLICAS",
            "NOSCRIPT",
        ] {
            assert!(matches!(meaning(passing, "x"), LogError::Unavailable(_)), "{passing}");
        }
        assert!(matches!(meaning("ERR", "max number of clients reached"), LogError::Unavailable(_)));
        for lasting in ["WRONGTYPE", "NOPERM", "NOAUTH", "WRONGPASS", "CROSSSLOT", "NOPROTO", "ERR", "NEWS"] {
            let error = meaning(lasting, "x");
            let text = error.to_string();
            println!("{text}");
            assert!(matches!(error, LogError::Fatal(_)), "{lasting}");
            assert!(text.contains("append") && text.contains("retro:room:{a}:log") && text.contains(lasting));
        }
    }

    /// [L81] No answer leaves a change in doubt, and a question unanswered; what was never sent was never done.
    #[test]
    fn silence_is_doubt_for_changes_only() {
        let called = |writes| Called { what: "x", key: "k", writes };
        let (silent, away) = (CallError::Silent("s".to_owned()), CallError::Away("a".to_owned()));
        assert!(matches!(log_error(called(true), silent.clone()), LogError::Unknown(_)));
        assert!(matches!(log_error(called(false), silent), LogError::Unavailable(_)));
        for writes in [true, false] {
            assert!(matches!(log_error(called(writes), away.clone()), LogError::Unavailable(_)));
        }
    }
}
