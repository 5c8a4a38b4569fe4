//! The server that Sentinel calls the primary.
//!
//! Who that is is asked before each connection, and once a second: a primary that was replaced in good order may take
//! writes for seconds before it hears of it, and loses them. A majority of the sentinels is heard, and who speaks of
//! the newest failover is believed: one that was away for a while still names the old primary.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Value, cmd};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::link::{Dial, Link};
use super::way::Way;
use super::{Ears, Lane, Primary, Told};
use crate::limits::{REDIS_SENTINEL_ANSWER_MS_MAX, REDIS_SENTINEL_MS};
use crate::log::redis::address::{HostPort, Watched, shown};
use crate::log::redis::errors::CallError;

/// See the module.
pub(in crate::log::redis) struct Sentinel {
    lanes: Arc<Lanes>,
    primary: Primary,
    again: Arc<Notify>,
    closed: CancellationToken,
}

/// A connection for each lane, and where each leads.
struct Lanes {
    write: (Link, Arc<Followed>),
    bulk: (Link, Arc<Followed>),
    push: (Link, Arc<Followed>),
}

/// The primary of a name, for one link.
pub(super) struct Followed {
    sentinels: Arc<Sentinels>,
    /// Where the newest connection leads.
    connected: Mutex<Option<HostPort>>,
}

/// Whom to ask, and how.
struct Sentinels {
    watched: Watched,
    to_sentinels: Way,
    to_servers: Way,
}

impl Sentinel {
    pub(super) async fn open(way: Way, watched: &Watched, ears: &Ears) -> Result<Self, CallError> {
        let to_sentinels = way.for_sentinels(&watched.login);
        let sentinels = Arc::new(Sentinels { watched: watched.clone(), to_sentinels, to_servers: way });
        let again = Arc::new(Notify::new());
        let open = async |lane: Lane| {
            let followed =
                Arc::new(Followed { sentinels: Arc::clone(&sentinels), connected: Mutex::new(None) });
            let link =
                Link::open(Dial::Sentinel(Arc::clone(&followed)), lane.bound(), Told::of(lane, &again, ears))
                    .await?;
            Ok::<_, CallError>((link, followed))
        };
        let (write, bulk, push) = tokio::try_join!(open(Lane::Write), open(Lane::Bulk), open(Lane::Push))?;
        let (lanes, closed) = (Arc::new(Lanes { write, bulk, push }), CancellationToken::new());
        tokio::spawn(follow(Arc::clone(&sentinels), Arc::downgrade(&lanes), closed.clone()));
        let primary = Primary { name: sentinels.to_string() };
        Ok(Self { lanes, primary, again, closed })
    }

    pub(super) fn link(&self, lane: Lane) -> &Link {
        match lane {
            Lane::Write => &self.lanes.write.0,
            Lane::Bulk => &self.lanes.bulk.0,
            Lane::Push => &self.lanes.push.0,
        }
    }

    pub(super) fn primary(&self) -> &Primary {
        &self.primary
    }

    /// Resolves when a connection was made again, perhaps to another server.
    pub(super) async fn reconnected(&self) {
        self.again.notified().await;
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
        for (link, _) in self.lanes.all() {
            link.close();
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl Lanes {
    fn all(&self) -> [&(Link, Arc<Followed>); 3] {
        [&self.write, &self.bulk, &self.push]
    }
}

/// Leaves a server that is not the primary any more, though it does not know it yet.
async fn follow(sentinels: Arc<Sentinels>, lanes: Weak<Lanes>, closed: CancellationToken) {
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            () = sleep(Duration::from_millis(REDIS_SENTINEL_MS)) => {}
        }
        // Without an answer, what is known stands: links that break ask again by themselves.
        let Ok(primary) = sentinels.primary().await else { continue };
        let Some(lanes) = lanes.upgrade() else { return };
        for (link, followed) in lanes.all() {
            if followed.connected.lock().as_ref().is_some_and(|connected| *connected != primary) {
                link.give_up(&format!("Sentinel names {} now", shown(&primary)));
            }
        }
    }
}

impl Followed {
    /// Connects to the primary: one that says so itself.
    pub(super) async fn dial(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, CallError> {
        let to = self.sentinels.primary().await?;
        let client = self.sentinels.to_servers.client(&to)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
        let info: String = cmd("INFO").arg("replication").query_async(&mut connection).await?;
        if !info.lines().any(|line| line.trim_end() == "role:master") {
            return Err(CallError::Away(format!("Sentinel names {}, which is no primary", shown(&to))));
        }
        *self.connected.lock() = Some(to);
        Ok(connection)
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sentinels)
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the primary of {}", self.watched.name)
    }
}

impl Sentinels {
    /// Who the primary is, of what a majority says, or as many as answer.
    async fn primary(&self) -> Result<HostPort, CallError> {
        let asked = &self.watched.sentinels;
        let mut answers: FuturesUnordered<_> = asked.iter().map(|sentinel| self.ask(sentinel)).collect();
        let (mut heard, mut newest, mut why) = (0, None, CallError::Away("no sentinel is known".to_owned()));
        while let Some(answer) = answers.next().await {
            match answer {
                Ok((epoch, primary)) => {
                    heard += 1;
                    if newest.as_ref().is_none_or(|(known, _)| *known < epoch) {
                        newest = Some((epoch, primary));
                    }
                    if heard > asked.len() / 2 {
                        break;
                    }
                }
                Err(error) => why = error,
            }
        }
        newest.map(|(_, primary)| primary).ok_or(why)
    }

    /// The primary, and which failover made it one.
    async fn ask(&self, sentinel: &HostPort) -> Result<(u64, HostPort), CallError> {
        let within = Duration::from_millis(REDIS_SENTINEL_ANSWER_MS_MAX);
        let answer = timeout(within, self.ask_at_leisure(sentinel)).await;
        let answer = answer.unwrap_or_else(|_| Err(CallError::Away(format!("no answer within {within:?}"))));
        answer.map_err(|error| match error {
            CallError::Refused { code, text } => {
                let (sentinel, name) = (shown(sentinel), &self.watched.name);
                CallError::Refused {
                    code,
                    text: format!("{text} (the sentinel {sentinel}, asked for {name})"),
                }
            }
            other => CallError::Away(format!("the sentinel {}: {}", shown(sentinel), other.text())),
        })
    }

    async fn ask_at_leisure(&self, sentinel: &HostPort) -> Result<(u64, HostPort), CallError> {
        let name = &self.watched.name;
        let mut connection = self.to_sentinels.client(sentinel)?.get_multiplexed_async_connection().await?;
        // While a failover is under way, only the first answer has the new address already.
        let mut both = redis::pipe();
        both.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        both.cmd("SENTINEL").arg("MASTER").arg(name);
        let (address, details): (Option<(String, u16)>, Value) = both.query_async(&mut connection).await?;
        let unknown = || CallError::Away(format!("no primary is called {name}"));
        let details: Vec<(String, String)> = redis::from_redis_value(details).map_err(|_| unknown())?;
        let epoch =
            details.iter().find(|(key, _)| key == "config-epoch").and_then(|(_, epoch)| epoch.parse().ok());
        Ok((epoch.unwrap_or(0), address.ok_or_else(unknown)?))
    }
}
