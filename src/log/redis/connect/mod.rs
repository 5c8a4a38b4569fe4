//! Connections to Redis: what `RedisLog` calls, whatever kind of Redis it is.
//!
//! Everything goes through [`Connect::call`] and [`Connect::call_all`], with the key whose slot decides where.
//! A kind of Redis is a variant of [`Connect`] and a file beside this one.
//!
//! Invariants:
//! - Nothing is sent twice: who gets no answer is told so ([`CallError::Silent`]) and decides.
//! - A call takes no longer than its lane's bound, connected or not.
//! - What is read in bulk has a connection of its own, so that it does not hold up appends.

mod cluster;
mod link;
mod sentinel;
mod single;
mod slots;
pub(super) mod way;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::Notify;

use super::address::{Place, RedisAddress};
use super::errors::CallError;
use crate::limits::{REDIS_BULK_MS_MAX, REDIS_CALL_MS_MAX};
use cluster::{Cluster, Work};
use sentinel::Sentinel;
use single::Single;
use way::Way;

/// A connected Redis.
pub(super) enum Connect {
    /// One server.
    Single(Single),
    /// The server that Sentinel calls the primary.
    Sentinel(Sentinel),
    /// A cluster of servers.
    Cluster(Cluster),
}

/// Which connection a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Changes, and short questions; appends only on a cluster.
    Write,
    /// What may be large: pages of records, chunks of snapshots.
    Bulk,
    /// Subscriptions and what comes by them: it must not stand behind other answers. Appends too, where there is no
    /// cluster.
    Push,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Write, Self::Bulk, Self::Push];
}

/// What a channel brings.
pub(super) enum Push<'a> {
    /// Somebody has published this.
    Said {
        /// Where.
        channel: &'a [u8],
        /// What.
        payload: Bytes,
    },
    /// The subscription has ended, asked for or not.
    Ended {
        /// Of this channel.
        channel: &'a [u8],
    },
}

type Hear = dyn Fn(Push<'_>, &Ears) + Send + Sync;

/// Who hears what comes by subscriptions.
#[derive(Clone)]
pub(super) struct Ears {
    hear: Arc<Hear>,
    again: Arc<Notify>,
}

impl Ears {
    pub(super) fn new(hear: impl Fn(Push<'_>, &Self) + Send + Sync + 'static) -> Self {
        Self { hear: Arc::new(hear), again: Arc::default() }
    }

    fn hear(&self, push: Push<'_>) {
        (self.hear)(push, self);
    }

    /// Resolves when subscriptions may be lost. For one caller.
    pub(super) async fn again(&self) {
        self.again.notified().await;
    }

    /// Subscriptions may be lost.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }
}

/// Who is told of what happens to a link.
#[derive(Clone)]
struct Told {
    /// The connection was made again.
    again: Arc<Notify>,
    /// What comes by subscriptions.
    ears: Option<Ears>,
}

impl Told {
    /// Of the links of one Redis, each for its lane.
    fn of(lane: Lane, again: &Arc<Notify>, ears: &Ears) -> Self {
        match lane {
            Lane::Push => Self { again: Arc::clone(&ears.again), ears: Some(ears.clone()) },
            Lane::Write | Lane::Bulk => Self { again: Arc::clone(again), ears: None },
        }
    }
}

impl Lane {
    /// How long a call takes at most.
    pub(super) fn bound(self) -> Duration {
        Duration::from_millis(match self {
            Self::Write => REDIS_CALL_MS_MAX,
            Self::Bulk => REDIS_BULK_MS_MAX,
            Self::Push => REDIS_CALL_MS_MAX,
        })
    }
}

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
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
    pub(super) async fn open(address: &RedisAddress, ears: &Ears) -> Result<Self, CallError> {
        let way = Way::of(address).await?;
        match &address.place {
            Place::Tcp(host) => Single::open(&way.client(host)?, address, ears).await.map(Self::Single),
            Place::Unix(path) => {
                Single::open(&way.local_client(path)?, address, ears).await.map(Self::Single)
            }
            Place::Sentinel(watched) => Sentinel::open(way, watched, ears).await.map(Self::Sentinel),
            Place::Cluster(seeds) => Cluster::open(way, seeds, ears).await.map(Self::Cluster),
        }
    }

    /// Sends one command and waits for the answer.
    pub(super) async fn call(&self, lane: Lane, route: Route<'_>, command: &Cmd) -> Result<Value, CallError> {
        match self {
            Self::Single(single) => single.link(lane).call(command).await,
            Self::Sentinel(sentinel) => sentinel.link(lane).call(command).await,
            Self::Cluster(cluster) => cluster.send(lane, route, Work::One(command)).await?.one(),
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
            Self::Single(single) => single.link(lane).call_all(commands).await,
            Self::Sentinel(sentinel) => sentinel.link(lane).call_all(commands).await,
            Self::Cluster(cluster) => cluster.send(lane, route, Work::All(commands)).await?.all(),
        }
    }

    /// Whether commands of clusters are needed.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// The servers that hold rooms, as far as it is known now.
    pub(super) async fn primaries(&self) -> Result<Vec<Primary>, CallError> {
        match self {
            Self::Single(single) => Ok(vec![single.primary().clone()]),
            Self::Sentinel(sentinel) => Ok(vec![sentinel.primary().clone()]),
            Self::Cluster(cluster) => Ok(cluster.primaries()),
        }
    }

    /// Resolves when a connection was made again, or the servers may be others: what was known of them is to be looked
    /// at again. Cancel-safe; for one caller at a time.
    pub(super) async fn reconnected(&self) {
        match self {
            Self::Single(single) => single.reconnected().await,
            Self::Sentinel(sentinel) => sentinel.reconnected().await,
            Self::Cluster(cluster) => cluster.reconnected().await,
        }
    }

    /// Lets go of all connections; later calls are [`CallError::Away`].
    pub(super) fn close(&self) {
        match self {
            Self::Single(single) => single.close(),
            Self::Sentinel(sentinel) => sentinel.close(),
            Self::Cluster(cluster) => cluster.close(),
        }
    }
}
