//! Connections to Redis: what `RedisLog` calls, whatever kind of Redis it is.
//!
//! Everything goes through [`Connect::call`] and [`Connect::call_all`], with the key whose slot decides where.
//! A kind of Redis is a variant of [`Connect`] and a file beside this one.
//!
//! Invariants:
//! - Nothing is sent twice: who gets no answer is told so ([`CallError::Silent`]) and decides.
//! - A call takes no longer than its lane's bound, connected or not.
//! - What is read in bulk has a connection of its own, so that it does not hold up appends.

mod link;
mod single;

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use super::address::{Place, RedisAddress};
use super::errors::CallError;
use crate::limits::{REDIS_BULK_MS_MAX, REDIS_CALL_MS_MAX};
use single::Single;

/// A connected Redis.
pub(super) enum Connect {
    /// One server.
    Single(Single),
}

/// Which connection a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Appends and other changes, and short questions.
    Write,
    /// What may be large: pages of records, chunks of snapshots.
    Bulk,
}

impl Lane {
    /// How long a call takes at most.
    pub(super) fn bound(self) -> Duration {
        Duration::from_millis(match self {
            Self::Write => REDIS_CALL_MS_MAX,
            Self::Bulk => REDIS_BULK_MS_MAX,
        })
    }
}

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "one server takes every call")]
pub(super) enum Route<'a> {
    /// To the primary that has this key's slot.
    Key(&'a str),
    /// To a primary of [`Connect::primaries`].
    Primary(&'a Primary),
}

/// One of the servers that hold rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Primary {
    /// Its name, for texts: `Redis` if there is one only, else `host:port`.
    pub(super) name: String,
}

impl Connect {
    /// Connects. Later losses are repaired in the background.
    pub(super) async fn open(address: &RedisAddress) -> Result<Self, CallError> {
        match &address.place {
            Place::Tcp { .. } | Place::Unix(_) => Single::open(address).await.map(Self::Single),
        }
    }

    /// Sends one command and waits for the answer.
    pub(super) async fn call(&self, lane: Lane, route: Route<'_>, command: &Cmd) -> Result<Value, CallError> {
        match self {
            Self::Single(single) => single.link(lane, route).call(command).await,
        }
    }

    /// Sends commands on keys of one slot in one write, and waits for their answers. What others ask may come between
    /// them: `commands` is no transaction, since Redis refuses those when its memory is full, reads included.
    pub(super) async fn call_all(
        &self,
        lane: Lane,
        route: Route<'_>,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, CallError> {
        match self {
            Self::Single(single) => single.link(lane, route).call_all(commands).await,
        }
    }

    /// The servers that hold rooms, as far as it is known now.
    pub(super) async fn primaries(&self) -> Result<Vec<Primary>, CallError> {
        match self {
            Self::Single(single) => Ok(vec![single.primary().clone()]),
        }
    }

    /// Resolves when a connection was made again, or the servers may be others: what was known of them is to be looked
    /// at again. Cancel-safe; for one caller at a time.
    pub(super) async fn reconnected(&self) {
        match self {
            Self::Single(single) => single.reconnected().await,
        }
    }

    /// Lets go of all connections; later calls are [`CallError::Away`].
    pub(super) fn close(&self) {
        match self {
            Self::Single(single) => single.close(),
        }
    }
}
