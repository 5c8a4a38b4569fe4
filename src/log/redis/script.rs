//! The scripts: each does one change of one room, whole or not at all, but for `page`, which reads. `lua/prelude.lua` stands before each of them.

use std::sync::LazyLock;

use redis::Cmd;

use super::connect::{Connect, Lane, Route};
use super::errors::{CallError, Called, log_error};
use super::permissions;
use super::reply::Reply;
use crate::log::LogError;

/// A script, and the hash by which Redis knows it.
pub(super) struct Script {
    /// For texts.
    pub(super) name: &'static str,
    code: String,
    hash: String,
}

macro_rules! scripts {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(
            $file,
            include_str!(concat!("lua/", $file, ".lua")),
        ));)*

        #[cfg(test)]
        pub(super) fn all() -> Vec<&'static Script> {
            vec![$(&$name),*]
        }
    };
}

scripts![
    APPEND = "append",
    MEND = "mend",
    PAGE = "page",
    PUT_CHUNK = "put_chunk",
    ADOPT = "adopt",
    FORGET = "forget",
    TRIM = "trim",
    TOUCH = "touch",
    FREEZE = "freeze",
    REMOVE = "remove",
];

impl Script {
    fn new(name: &'static str, body: &str) -> Self {
        let body = body.replace("-- include settle", include_str!("lua/settle.lua"));
        let code = format!("{}\n{body}", include_str!("lua/prelude.lua"));
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Self { name, code, hash }
    }

    /// Runs it where the first key is.
    pub(super) async fn run(
        &self,
        connect: &Connect,
        keys: &[String],
        args: &[&[u8]],
    ) -> Result<Reply, LogError> {
        self.run_on(Lane::Write, connect, keys, args).await
    }

    /// The same on another connection. A server that does not know it (it was started again, took over, or was told to
    /// forget) did nothing, and gets it in full: whichever server that is, also one to which a slot is on its way.
    pub(super) async fn run_on(
        &self,
        lane: Lane,
        connect: &Connect,
        keys: &[String],
        args: &[&[u8]],
    ) -> Result<Reply, LogError> {
        let key = keys.first().expect("every script has a key").as_str();
        let route = Route::Key(key);
        let mut answer = connect.call(lane, route, &self.known(keys, args)).await;
        if answer.as_ref().is_err_and(CallError::is_no_script) {
            answer = connect.call(lane, route, &self.in_full(keys, args)).await;
        }
        if let Err(error) = &mut answer {
            permissions::explain(connect, route, error).await;
        }
        let called = Called { what: self.name, key, writes: true };
        let value = answer.map_err(|error| log_error(called, error))?;
        Reply::of(value, called)
    }

    /// The call of a script that the server should know.
    pub(super) fn known(&self, keys: &[String], args: &[&[u8]]) -> Cmd {
        self.command("EVALSHA", &self.hash, keys, args)
    }

    /// The same for one that says that it does not.
    pub(super) fn in_full(&self, keys: &[String], args: &[&[u8]]) -> Cmd {
        self.command("EVAL", &self.code, keys, args)
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Arguments go in as they are: the crate's own type for scripts copies each of them first.
    fn command(&self, word: &str, script: &str, keys: &[String], args: &[&[u8]]) -> Cmd {
        let bytes =
            args.iter().map(|arg| arg.len() + 16).sum::<usize>() + script.len() + 64 * (keys.len() + 2);
        let mut command = Cmd::with_capacity(3 + keys.len() + args.len(), bytes);
        command.arg(word).arg(script).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        for arg in args {
            command.arg(*arg);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts have names and hashes of their own, and no line that a terminal would fold.
    #[test]
    fn scripts_are_told_apart() {
        let mut hashes: Vec<_> = all().iter().map(|script| script.hash.clone()).collect();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), all().len());
        assert!(hashes.iter().all(|hash| hash.len() == 40));
        for script in all() {
            assert!(script.code.lines().all(|line| line.len() <= 120), "{}", script.name);
        }
    }
}
