//! Asks Redis how it is set, at the start, now and then, and after each reconnect: what changes under us changes what
//! the log says of itself.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::cmd;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::RedisOpenError;
use super::connect::{Connect, Lane, Primary, Route};
use super::errors::CallError;
use super::reply::text;
use super::state::{Facts, Verdict, judge};
use crate::limits::{REDIS_LOADING_MS_MAX, REDIS_TROUBLED_MS};

/// What is known of Redis' settings.
pub(super) struct Watch {
    verdict: Mutex<Verdict>,
    accept_eviction: bool,
    /// What an append, or a whisper, is sent by: the connection on which its echo comes, so that Redis answers both at
    /// once. A server of a cluster ends subscriptions by itself when slots move, and says so in a form that the client
    /// library takes for the answer to whatever was asked last: nothing else goes over that connection there.
    pub(super) speaks_on: Lane,
}

impl Watch {
    /// Looks for the first time; waits for a server that is loading its data.
    pub(super) async fn begin(connect: &Connect, accept_eviction: bool) -> Result<Self, RedisOpenError> {
        let until = Instant::now() + Duration::from_millis(REDIS_LOADING_MS_MAX);
        let facts = loop {
            let facts = look(connect).await.map_err(|error| RedisOpenError::Refused(error.text()))?;
            if Instant::now() >= until || !facts.iter().any(Facts::is_loading) {
                break facts;
            }
            tracing::info!("Redis is loading its data");
            sleep(Duration::from_millis(250)).await;
        };
        if let Some(refused) = facts.iter().find_map(|server| server.refuses_start(accept_eviction)) {
            return Err(refused);
        }
        let clustered = connect.is_cluster() || facts.iter().any(Facts::is_clustered);
        let speaks_on = if clustered { Lane::Write } else { Lane::Push };
        Ok(Self { verdict: Mutex::new(judge(&facts, accept_eviction)), accept_eviction, speaks_on })
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict.lock().clone()
    }

    /// Goes on looking until the end.
    pub(super) async fn go_on(
        self: Arc<Self>,
        connect: Arc<Connect>,
        every: Duration,
        closed: CancellationToken,
    ) {
        let soon = every.min(Duration::from_millis(REDIS_TROUBLED_MS));
        loop {
            let pause = if self.verdict().trouble.is_some() { soon } else { every };
            tokio::select! {
                () = closed.cancelled() => return,
                () = connect.reconnected() => {}
                () = sleep(pause) => {}
            }
            // A server that cannot be asked shows in calls.
            if let Ok(facts) = look(&connect).await {
                self.take(judge(&facts, self.accept_eviction));
            }
        }
    }

    fn take(&self, verdict: Verdict) {
        let mut known = self.verdict.lock();
        if *known == verdict {
            return;
        }
        if known.durability != verdict.durability {
            let why = verdict.why.as_deref().unwrap_or("appendfsync is always");
            tracing::warn!(durability = %verdict.durability, why, "Redis is set otherwise: durability has changed");
        }
        if let Some(trouble) = &verdict.trouble
            && known.trouble != verdict.trouble
        {
            tracing::warn!(%trouble, "Redis does not do what the log needs");
        }
        *known = verdict;
    }
}

async fn look(connect: &Connect) -> Result<Vec<Facts>, CallError> {
    let mut all = Vec::new();
    for primary in connect.primaries().await? {
        all.push(look_at(connect, &primary).await?);
    }
    Ok(all)
}

async fn look_at(connect: &Connect, primary: &Primary) -> Result<Facts, CallError> {
    let route = Route::Primary(primary);
    let mut info = cmd("INFO");
    info.arg("server").arg("memory").arg("persistence").arg("replication");
    let info = connect.call(Lane::Write, route, &info).await?;
    let mut fsync = cmd("CONFIG");
    fsync.arg("GET").arg("appendfsync");
    let appendfsync = match connect.call(Lane::Write, route, &fsync).await {
        Ok(redis::Value::Map(pairs)) => pairs.first().and_then(|(_, value)| text(value)),
        Ok(redis::Value::Array(values)) => values.get(1).and_then(text),
        Ok(_) | Err(CallError::Refused { .. }) => None, // forbidden, or renamed
        Err(error) => return Err(error),
    };
    Ok(Facts::read(&primary.name, &text(&info).unwrap_or_default(), appendfsync))
}
