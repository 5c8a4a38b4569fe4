//! One connection that is kept: calls go through it while it is there, and it comes back by itself.
//!
//! A call never waits for a connection: without one it is told so at once. A connection that did not answer in
//! time, broke, or leads to a server that is no primary any more, is given up with everything that waits for it, and
//! made anew with pauses that grow.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, PushKind, RedisError, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::sentinel::Followed;
use super::{Ears, Push, Told};
use crate::limits::{
    REDIS_CONNECT_MS_MAX, REDIS_QUEUE_MAX, REDIS_RECONNECT_MS, REDIS_RECONNECT_MS_MAX, REDIS_STEADY_MS,
};
use crate::log::redis::errors::CallError;

/// How a connection is made.
pub(super) enum Dial {
    /// To this server, always.
    Client(Box<Client>),
    /// To whichever server is the primary now.
    Sentinel(Arc<Followed>),
}

impl Dial {
    pub(super) fn client(client: &Client) -> Self {
        Self::Client(Box::new(client.clone()))
    }

    async fn dial(&self, config: &AsyncConnectionConfig) -> Result<MultiplexedConnection, CallError> {
        match self {
            Self::Client(client) => Ok(client.get_multiplexed_async_connection_with_config(config).await?),
            Self::Sentinel(followed) => followed.dial(config).await,
        }
    }
}

/// For texts: who is to be reached.
impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client) => write!(f, "{}", client.get_connection_info().addr()),
            Self::Sentinel(followed) => write!(f, "{followed}"),
        }
    }
}

/// See the module. Ends with its last owner.
pub(super) struct Link {
    shared: Arc<Shared>,
    /// How long a call takes at most.
    bound: Duration,
}

struct Shared {
    state: Mutex<State>,
    /// The connection was lost.
    lost: Notify,
    /// The first try to connect is over, however it ended.
    tried: CancellationToken,
    closed: CancellationToken,
}

enum State {
    Up {
        connection: MultiplexedConnection,
        /// Which connection it is, so that a late complaint about an earlier one ends no later one.
        number: u64,
    },
    /// Not there, and why.
    Down(String),
}

impl Link {
    /// Connects, and stays connected from then on; each later connection is `told`.
    pub(super) async fn open(dial: Dial, bound: Duration, told: Told) -> Result<Self, CallError> {
        let shared = Arc::new(Shared::new());
        shared.connect(&dial, 0, &told).await?;
        shared.tried.cancel();
        tokio::spawn(keep(Arc::clone(&shared), dial, told));
        Ok(Self { shared, bound })
    }

    /// The same without waiting: until it is connected, calls are told that it is not.
    pub(super) fn start(dial: Dial, bound: Duration, told: Told) -> Self {
        let shared = Arc::new(Shared::new());
        shared.lost.notify_one();
        tokio::spawn(keep(Arc::clone(&shared), dial, told));
        Self { shared, bound }
    }

    /// Resolves when the first try to connect is over.
    pub(super) async fn tried(&self) {
        self.shared.tried.cancelled().await;
    }

    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, CallError> {
        self.call_within(self.bound, command).await
    }

    pub(super) async fn call_within(&self, within: Duration, command: &Cmd) -> Result<Value, CallError> {
        self.with(within, async |mut connection| command.query_async(&mut connection).await).await
    }

    pub(super) async fn call_all(&self, commands: &Pipeline) -> Result<Vec<Value>, CallError> {
        self.call_all_within(self.bound, commands).await
    }

    pub(super) async fn call_all_within(
        &self,
        within: Duration,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, CallError> {
        self.with(within, async |mut connection| commands.query_async(&mut connection).await).await
    }

    /// Gives up the connection that is there: it leads to the wrong server.
    pub(super) fn give_up(&self, why: &str) {
        let number = match &*self.shared.state.lock() {
            State::Up { number, .. } => *number,
            State::Down(_) => return,
        };
        self.shared.lose(number, why);
    }

    async fn with<T, F>(
        &self,
        within: Duration,
        call: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let (connection, number) = match &*self.shared.state.lock() {
            State::Up { connection, number } => (connection.clone(), *number),
            State::Down(why) => return Err(CallError::Away(why.clone())),
        };
        let answered = match timeout(within, call(connection)).await {
            Ok(answered) => answered.map_err(CallError::from),
            Err(_) => Err(CallError::Silent(format!("Redis did not answer within {within:?}"))),
        };
        if let Err(error) = &answered
            && (error.breaks_connection() || error.is_demoted())
        {
            self.shared.lose(number, &error.text());
        }
        answered
    }

    pub(super) fn close(&self) {
        self.shared.closed.cancel();
        *self.shared.state.lock() = State::Down("the log is closed".to_owned());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

impl Shared {
    fn new() -> Self {
        Self {
            state: Mutex::new(State::Down("not connected yet".to_owned())),
            lost: Notify::new(),
            tried: CancellationToken::new(),
            closed: CancellationToken::new(),
        }
    }

    async fn connect(self: &Arc<Self>, dial: &Dial, number: u64, told: &Told) -> Result<(), CallError> {
        let within = Duration::from_millis(REDIS_CONNECT_MS_MAX);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(within))
            // A call has one bound, which counts the time in the queue too: the link's.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(REDIS_QUEUE_MAX)
            .set_push_sender(on_push(Arc::downgrade(self), number, told.ears.clone()));
        let connection = match timeout(within, dial.dial(&config)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(CallError::Silent(why))) => return Err(CallError::Away(why)),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(CallError::Away(format!("no connection within {within:?}"))),
        };
        let mut state = self.state.lock();
        if self.closed.is_cancelled() {
            return Err(CallError::Away("the log is closed".to_owned()));
        }
        *state = State::Up { connection, number };
        Ok(())
    }

    /// Gives up a connection, if it is still that one.
    fn lose(&self, lost: u64, why: &str) {
        let mut state = self.state.lock();
        if matches!(*state, State::Up { number, .. } if number == lost) {
            *state = State::Down(format!("the connection to Redis was lost: {why}"));
            self.lost.notify_one();
        }
    }
}

/// Makes the connection anew whenever it is lost, until the end.
async fn keep(shared: Arc<Shared>, dial: Dial, told: Told) {
    let mut pause = Pause::new();
    for number in 1.. {
        let made = Instant::now();
        tokio::select! {
            () = shared.closed.cancelled() => return,
            () = shared.lost.notified() => {}
        }
        if made.elapsed() >= Duration::from_millis(REDIS_STEADY_MS) {
            pause = Pause::new();
        }
        tokio::select! {
            () = shared.closed.cancelled() => return,
            () = reconnect(&shared, &dial, number, &told, &mut pause) => told.again.notify_one(),
        }
    }
}

async fn reconnect(shared: &Arc<Shared>, dial: &Dial, number: u64, told: &Told, pause: &mut Pause) {
    let mut tries = 1_u32;
    pause.rest().await;
    while let Err(error) = shared.connect(dial, number, told).await {
        let why = error.text();
        shared.tried.cancel();
        if tries.is_power_of_two() {
            tracing::warn!(server = %dial, error = %why, tries, "Redis cannot be reached");
        }
        tries += 1;
        *shared.state.lock() = State::Down(format!("Redis cannot be reached: {why}"));
        pause.rest().await;
    }
    shared.tried.cancel();
    tracing::info!(server = %dial, tries, "connected to Redis");
}

/// From one try to the next: nothing before the first, then more and more, and never in step with others.
struct Pause {
    next: Duration,
}

impl Pause {
    fn new() -> Self {
        Self { next: Duration::ZERO }
    }

    async fn rest(&mut self) {
        sleep(self.next.mul_f64(rand::random_range(0.5..1.0))).await;
        let (least, most) = (REDIS_RECONNECT_MS, REDIS_RECONNECT_MS_MAX);
        self.next = (self.next * 2).clamp(Duration::from_millis(least), Duration::from_millis(most));
    }
}

/// What comes unasked: Redis closes the connection, which is noticed at once, also while nobody calls; a channel
/// brings something, or is taken away because its slot goes to another server.
fn on_push(
    shared: Weak<Shared>,
    number: u64,
    ears: Option<Ears>,
) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync {
    move |push| {
        let mut data = push.data.into_iter();
        match (push.kind, data.next(), data.next(), &ears) {
            (PushKind::Disconnection, ..) => {
                if let Some(shared) = shared.upgrade() {
                    shared.lose(number, "Redis closed it");
                }
            }
            (
                PushKind::SMessage,
                Some(Value::BulkString(channel)),
                Some(Value::BulkString(payload)),
                Some(ears),
            ) => {
                ears.hear(Push::Said { channel: &channel, payload: payload.into() });
            }
            (PushKind::SUnsubscribe, Some(Value::BulkString(channel)), _, Some(ears)) => {
                ears.hear(Push::Ended { channel: &channel });
            }
            _ => {}
        }
        Ok(())
    }
}
