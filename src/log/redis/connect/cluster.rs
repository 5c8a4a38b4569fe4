//! A cluster: each call goes to the server that has its slot.
//!
//! A server that does not have it says so *instead of* doing what it was asked (`MOVED`, `ASK`, `TRYAGAIN`,
//! `CLUSTERDOWN`, `READONLY`), so that asking elsewhere repeats nothing. What may have been done, because no answer came,
//! is never asked again here.
//!
//! Who has which slot is asked at the start, now and then, and whenever a server says something that does not fit
//! what is known.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value, cmd};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::link::{Dial, Link};
use super::slots::{SlotMap, redirection, slot_of};
use super::way::Way;
use super::{Ears, Lane, Primary, Route, Told};
use crate::limits::{
    REDIS_REDIRECT_MS, REDIS_REDIRECTS_MAX, REDIS_TOPOLOGY_ANSWER_MS_MAX, REDIS_TOPOLOGY_MS,
    REDIS_TOPOLOGY_PAUSE_MS,
};
use crate::log::redis::address::{HostPort, shown};
use crate::log::redis::errors::CallError;

/// See the module.
pub(in crate::log::redis) struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    way: Way,
    /// Servers that the setting names: asked when no other answers.
    seeds: Vec<HostPort>,
    state: Mutex<State>,
    /// What is known does not fit what a server says.
    doubt: Notify,
    /// See [`super::Connect::reconnected`].
    again: Arc<Notify>,
    ears: Ears,
    closed: CancellationToken,
}

struct State {
    slots: SlotMap,
    /// Every server that has slots, and those that others sent us to since the map was asked for.
    nodes: Vec<Arc<Node>>,
}

/// A server, with a connection for each lane.
struct Node {
    host: HostPort,
    name: String,
    write: Link,
    bulk: Link,
    push: Link,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Work<'a> {
    One(&'a Cmd),
    /// In one write.
    All(&'a Pipeline),
}

/// What comes back: as many values as commands were sent.
pub(super) struct Answer(Vec<Value>);

/// Where a call goes next.
enum Next {
    /// The answer is the caller's.
    End,
    /// To this server; `asking`: which has the slot not yet, but the key.
    At(HostPort, bool),
    /// To whoever has the slot after a moment.
    Later,
}

impl Cluster {
    pub(super) async fn open(way: Way, seeds: &[HostPort], ears: &Ears) -> Result<Self, CallError> {
        let shared = Arc::new(Shared {
            way,
            seeds: seeds.to_vec(),
            state: Mutex::new(State { slots: SlotMap::default(), nodes: Vec::new() }),
            doubt: Notify::new(),
            again: Arc::new(Notify::new()),
            ears: ears.clone(),
            closed: CancellationToken::new(),
        });
        shared.take(shared.ask_for_slots().await?)?;
        // A server that cannot be reached leaves the rooms of the others alone.
        let nodes = shared.state.lock().nodes.clone();
        for node in nodes {
            node.write.tried().await;
            node.bulk.tried().await;
            node.push.tried().await;
        }
        tokio::spawn(keep(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// Sends, and follows redirections, within the lane's bound.
    pub(super) async fn send(
        &self,
        lane: Lane,
        route: Route<'_>,
        work: Work<'_>,
    ) -> Result<Answer, CallError> {
        let started = Instant::now();
        let left = || lane.bound().saturating_sub(started.elapsed());
        let (mut at, mut asking) = (None, false);
        for redirects in 0.. {
            let node = match at.take() {
                Some(host) => self.shared.node(&host)?,
                None => self.shared.route(route)?,
            };
            let link = node.link(lane);
            if timeout(left(), link.tried()).await.is_err() {
                return Err(CallError::Away(format!("{} was not reached in time", node.name)));
            }
            let answer = work.run(link, asking, left()).await;
            let Err(error) = answer else { return answer };
            let next = self.shared.judge(&error, &node);
            let pause = Duration::from_millis(REDIS_REDIRECT_MS) * (1 << redirects.min(3));
            if redirects >= REDIS_REDIRECTS_MAX || left() < lane.bound() / 2 + pause {
                return Err(error);
            }
            (at, asking) = match next {
                Next::End => return Err(error),
                Next::At(host, asking) => {
                    // Servers that do not agree are not asked in circles.
                    if redirects >= 4 {
                        sleep(pause).await;
                    }
                    (Some(host), asking)
                }
                Next::Later => {
                    sleep(pause).await;
                    (None, false)
                }
            };
        }
        unreachable!("redirections are bounded")
    }

    /// Everyone who has slots.
    pub(super) fn primaries(&self) -> Vec<Primary> {
        let owners = self.shared.state.lock().slots.owners();
        owners.iter().map(|host| Primary { name: shown(host) }).collect()
    }

    /// Resolves when a connection was made again, or slots have moved.
    pub(super) async fn reconnected(&self) {
        self.shared.again.notified().await;
    }

    pub(super) fn close(&self) {
        self.shared.closed.cancel();
        for node in &self.shared.state.lock().nodes {
            node.write.close();
            node.bulk.close();
            node.push.close();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

impl Node {
    fn new(way: &Way, host: &HostPort, again: &Arc<Notify>, ears: &Ears) -> Result<Self, CallError> {
        let client = way.client(host)?;
        let start =
            |lane: Lane| Link::start(Dial::client(&client), lane.bound(), Told::of(lane, again, ears));
        let [write, bulk, push] = Lane::ALL.map(start);
        Ok(Self { host: host.clone(), name: shown(host), write, bulk, push })
    }

    fn link(&self, lane: Lane) -> &Link {
        match lane {
            Lane::Write => &self.write,
            Lane::Bulk => &self.bulk,
            Lane::Push => &self.push,
        }
    }
}

impl Work<'_> {
    async fn run(self, link: &Link, asking: bool, within: Duration) -> Result<Answer, CallError> {
        match self {
            Self::One(command) if !asking => {
                link.call_within(within, command).await.map(|value| Answer(vec![value]))
            }
            Self::One(command) => one_by_one(link, [command], asking, within).await,
            Self::All(commands) => one_by_one(link, commands.cmd_iter(), asking, within).await,
        }
    }
}

/// Sends commands in one write. Each of them may be redirected, or none: one that finds its key here while another does
/// not would be told elsewhere that there is no such key.
async fn one_by_one<'a>(
    link: &Link,
    commands: impl IntoIterator<Item = &'a Cmd>,
    asking: bool,
    within: Duration,
) -> Result<Answer, CallError> {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for command in commands {
        if asking {
            pipeline.cmd("ASKING").ignore(); // holds for one command
        }
        pipeline.add_command(command.clone());
    }
    let values = link.call_all_within(within, &pipeline).await?;
    let count = values.len();
    let mut errors: Vec<CallError> = Vec::new();
    let mut good = Vec::with_capacity(count);
    for value in values {
        match value.extract_error() {
            Ok(value) => good.push(value),
            Err(error) => errors.push(error.into()),
        }
    }
    let asks = errors.iter().filter(|error| error.code() == Some("ASK")).count();
    if asks > 0 && asks < count {
        let text = "some keys are on their way to another server".to_owned();
        return Err(CallError::Refused { code: "TRYAGAIN".to_owned(), text });
    }
    errors.into_iter().next().map_or(Ok(Answer(good)), Err)
}

impl Answer {
    pub(super) fn one(mut self) -> Result<Value, CallError> {
        self.0.pop().ok_or_else(|| CallError::Silent("an answer is missing".to_owned()))
    }

    pub(super) fn all(self) -> Result<Vec<Value>, CallError> {
        Ok(self.0)
    }
}

impl Shared {
    /// The server that a call goes to first.
    fn route(&self, route: Route<'_>) -> Result<Arc<Node>, CallError> {
        let state = self.state.lock();
        let found = match route {
            Route::Key(key) => {
                let owner = state.slots.owner(slot_of(key));
                owner.and_then(|owner| state.nodes.iter().find(|node| node.host == *owner))
            }
            Route::Primary(primary) => state.nodes.iter().find(|node| node.name == primary.name),
        };
        let found = found.cloned();
        drop(state);
        found.ok_or_else(|| {
            self.doubt.notify_one();
            CallError::Away(match route {
                Route::Key(key) => format!("no server has slot {}", slot_of(key)),
                Route::Primary(primary) => format!("{} has no slots any more", primary.name),
            })
        })
    }

    /// A server that another has sent us to.
    fn node(&self, host: &HostPort) -> Result<Arc<Node>, CallError> {
        let mut state = self.state.lock();
        if let Some(node) = state.nodes.iter().find(|node| node.host == *host) {
            return Ok(Arc::clone(node));
        }
        let node = Arc::new(Node::new(&self.way, host, &self.again, &self.ears)?);
        state.nodes.push(Arc::clone(&node));
        Ok(node)
    }

    /// What a call that failed at `node` does next.
    fn judge(&self, error: &CallError, node: &Node) -> Next {
        let (code, text) = match error {
            CallError::Refused { code, text } => (code.as_str(), text.as_str()),
            CallError::Away(_) | CallError::Silent(_) => ("", ""),
        };
        let next = match code {
            "MOVED" | "ASK" => match redirection(text, &node.host.0) {
                Some(host) => Next::At(host, code == "ASK"),
                None => Next::End,
            },
            // Some keys of a call are on their way; no server can do it until all of them are there.
            "TRYAGAIN" => return Next::Later,
            "CLUSTERDOWN" | "READONLY" | "MASTERDOWN" => Next::Later,
            "" => Next::End,
            _ => return Next::End,
        };
        if code != "ASK" {
            self.doubt.notify_one();
        }
        next
    }

    /// Takes what a server knows of slots: keeps the connections that are still needed, begins those that are.
    fn take(&self, slots: SlotMap) -> Result<(), CallError> {
        let mut state = self.state.lock();
        let mut nodes = Vec::new();
        for owner in slots.owners() {
            nodes.push(match state.nodes.iter().find(|node| node.host == owner) {
                Some(node) => Arc::clone(node),
                None => Arc::new(Node::new(&self.way, &owner, &self.again, &self.ears)?),
            });
        }
        if state.slots != slots {
            tracing::info!(servers = nodes.len(), "the cluster's slots are known");
            self.again.notify_one();
            self.ears.look_again();
        }
        *state = State { slots, nodes };
        Ok(())
    }

    /// Asks one server after the other who has which slot: first those that we have connections to, then the seeds.
    async fn ask_for_slots(&self) -> Result<SlotMap, CallError> {
        let mut question = cmd("CLUSTER");
        question.arg("SLOTS");
        let within = Duration::from_millis(REDIS_TOPOLOGY_ANSWER_MS_MAX);
        let mut nodes = self.state.lock().nodes.clone();
        // Not always the same first: one that is cut off from the others does not know that it is.
        if !nodes.is_empty() {
            let first = rand::random_range(0..nodes.len());
            nodes.rotate_left(first);
        }
        let mut why = CallError::Away("no server of the cluster is known".to_owned());
        for node in &nodes {
            match node.write.call_within(within, &question).await {
                Ok(answer) => return SlotMap::read(answer, &node.host.0).map_err(CallError::Away),
                Err(error) => why = error,
            }
        }
        for seed in &self.seeds {
            let asked = async {
                let client = self.way.client(seed)?;
                let mut connection = client.get_multiplexed_async_connection().await?;
                question.query_async::<Value>(&mut connection).await.map_err(CallError::from)
            };
            match timeout(within, asked).await {
                Ok(Ok(answer)) => return SlotMap::read(answer, &seed.0).map_err(CallError::Away),
                Ok(Err(CallError::Silent(text) | CallError::Away(text))) => {
                    why = CallError::Away(format!("{}: {text}", shown(seed)));
                }
                Ok(Err(error)) => why = error,
                Err(_) => why = CallError::Away(format!("{}: no answer within {within:?}", shown(seed))),
            }
        }
        Err(why)
    }
}

/// Asks for the slots again, whenever there is doubt and now and then, until the end.
async fn keep(shared: Arc<Shared>) {
    let mut failed = 0_u32;
    loop {
        tokio::select! {
            () = shared.closed.cancelled() => return,
            () = shared.doubt.notified() => {}
            () = sleep(Duration::from_millis(REDIS_TOPOLOGY_MS)) => {}
        }
        let asked = tokio::select! {
            () = shared.closed.cancelled() => return,
            asked = shared.ask_for_slots() => asked,
        };
        match asked.and_then(|slots| shared.take(slots)) {
            Ok(()) => failed = 0,
            Err(error) => {
                failed += 1;
                if failed.is_power_of_two() {
                    tracing::warn!(error = %error.text(), failed, "no server says who has which slots");
                }
                shared.doubt.notify_one();
            }
        }
        // Many complaints are one question.
        tokio::select! {
            () = shared.closed.cancelled() => return,
            () = sleep(Duration::from_millis(REDIS_TOPOLOGY_PAUSE_MS)) => {}
        }
    }
}
