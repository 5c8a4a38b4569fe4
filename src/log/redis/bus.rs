//! The bus on Redis: one sharded channel for each room that is open here.
//!
//! The channel may lose anything. What is lost in the middle shows at the next batch, in the room; what is lost at the
//! end shows here: the head of each room is looked at when its channel has become quiet, and every now and then after
//! that. A batch of our own that does not come back tells that the channel is dead.

mod message;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use redis::cmd;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::connect::{Connect, Ears, Lane, Push, Route};
use super::errors::{CallError, Called, log_error};
use super::keys::Keys;
use super::meta::parse_epoch;
use super::reply::text;
use crate::ids::{InstanceId, Position, RoomName};
use crate::limits::{
    REDIS_BUS_CALLS_MAX, REDIS_BUS_ECHO_MS, REDIS_BUS_QUIET_MS, REDIS_BUS_REST_MS_MAX, REDIS_WHISPERS_MAX,
};
use crate::log::LogError;
use crate::log::bus::{Epoch, Follower, Heard, Seen, Speaker, Whisper};

/// How many rooms wait for each other when they are followed at once: one in so many.
const GATES: usize = 64;

/// See the module.
pub(super) struct Bus {
    channels: Mutex<HashMap<Box<[u8]>, Channel>>,
    /// Subscribing and unsubscribing of one channel never overtake each other.
    gates: [tokio::sync::Mutex<()>; GATES],
    hasher: RandomState,
    left: mpsc::UnboundedSender<Box<[u8]>>,
    whispers: mpsc::Sender<(String, Vec<u8>)>,
}

/// One room's channel.
struct Channel {
    room: RoomName,
    /// The open room; two while one life of it ends and the next begins.
    speakers: Vec<Speaker>,
    /// When the room's head is looked at, if nothing is heard before.
    look_at: Instant,
    /// From this look to the next.
    rest: Duration,
    /// A batch of ours that should have been heard by then: its last counter.
    echo: Option<(Instant, u64)>,
    /// The newest batch that was heard: an echo comes before the answer, as a rule.
    heard: (Epoch, u64),
}

/// A channel and its room, whose head is to be looked at.
type Due = (Box<[u8]>, RoomName);

/// Ends a following.
struct Held {
    bus: Weak<Bus>,
    channel: Box<[u8]>,
}

/// What the tasks of a bus take from.
pub(super) struct Queues {
    left: mpsc::UnboundedReceiver<Box<[u8]>>,
    whispers: mpsc::Receiver<(String, Vec<u8>)>,
}

impl Bus {
    pub(super) fn new() -> (Arc<Self>, Queues) {
        // What comes in is bounded by the rooms that are open.
        let (left, left_queue) = mpsc::unbounded_channel();
        let (whispers, whisper_queue) = mpsc::channel(REDIS_WHISPERS_MAX);
        let bus = Self {
            channels: Mutex::default(),
            gates: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            hasher: RandomState::new(),
            left,
            whispers,
        };
        (Arc::new(bus), Queues { left: left_queue, whispers: whisper_queue })
    }

    /// Hears what connections push.
    pub(super) fn ears(self: &Arc<Self>) -> Ears {
        let bus = Arc::downgrade(self);
        Ears::new(move |push, ears| {
            if let Some(bus) = bus.upgrade() {
                bus.on_push(push, ears);
            }
        })
    }

    /// Begins the work behind the calls; it ends with `closed`.
    pub(super) fn begin(
        self: &Arc<Self>,
        connect: &Arc<Connect>,
        ears: Ears,
        speaks_on: Lane,
        queues: Queues,
        closed: &CancellationToken,
    ) {
        let run = |work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let closed = closed.clone();
            tokio::spawn(async move {
                tokio::select! { () = closed.cancelled() => {}, () = work => {} }
            });
        };
        run(Box::pin(Arc::clone(self).unsubscribe_all(Arc::clone(connect), queues.left)));
        run(Box::pin(say_all(Arc::clone(connect), speaks_on, queues.whispers)));
        run(Box::pin(Arc::clone(self).subscribe_again(Arc::clone(connect), ears)));
        run(Box::pin(Arc::clone(self).look_at_heads(Arc::clone(connect))));
    }

    pub(super) async fn follow(
        self: &Arc<Self>,
        connect: &Connect,
        room: &RoomName,
    ) -> Result<Follower, LogError> {
        let name = Keys::of(room).bus();
        let channel: Box<[u8]> = name.as_bytes().into();
        let _gate = self.gate(&channel).lock().await;
        let known = self.channels.lock().contains_key(&channel);
        if !known {
            let called = Called { what: "SSUBSCRIBE", key: &name, writes: false };
            subscribe(connect, &name).await.map_err(|error| log_error(called, error))?;
        }
        let held = Held { bus: Arc::downgrade(self), channel: channel.clone() };
        let (follower, speaker) = Follower::new(held);
        let mut channels = self.channels.lock();
        let entry = channels.entry(channel).or_insert_with(|| Channel {
            room: room.clone(),
            speakers: Vec::new(),
            look_at: Instant::now() + quiet(),
            rest: Duration::from_secs(1),
            echo: None,
            heard: (Epoch::NONE, 0),
        });
        entry.speakers.push(speaker);
        Ok(follower)
    }

    /// Says something to the other instances, if they can keep up.
    pub(super) fn whisper(&self, room: &RoomName, from: InstanceId, whisper: &Whisper) {
        let _ = self.whispers.try_send((Keys::of(room).bus(), message::whispered(from, whisper)));
    }

    /// A batch of ours is stored: it should be heard soon, if it was not already.
    pub(super) fn expect_echo(&self, room: &RoomName, epoch: Epoch, last: Position) {
        let channel = Keys::of(room).bus();
        if let Some(entry) = self.channels.lock().get_mut(channel.as_bytes())
            && (entry.heard.0 != epoch || entry.heard.1 < last.seq)
        {
            let due = Instant::now() + Duration::from_millis(REDIS_BUS_ECHO_MS);
            entry.echo.get_or_insert((due, last.seq));
        }
    }

    fn on_push(&self, push: Push<'_>, ears: &Ears) {
        let (channel, payload) = match push {
            Push::Said { channel, payload } => (channel, payload),
            Push::Ended { channel } => {
                if self.channels.lock().contains_key(channel) {
                    ears.look_again();
                }
                return;
            }
        };
        let heard = message::read(payload);
        let mut channels = self.channels.lock();
        let Some(entry) = channels.get_mut(channel) else { return };
        if !matches!(heard, Heard::Whispered { .. }) {
            entry.look_at = Instant::now() + quiet();
            entry.rest = Duration::from_secs(1);
        }
        if let Heard::Stored(stored) = &heard
            && let Some(last) = stored.records.last().map(|last| last.position().seq)
        {
            entry.heard = (stored.epoch, last);
            entry.echo = entry.echo.filter(|(_, seq)| last < *seq);
        }
        if matches!(heard, Heard::Behind) {
            entry.echo = None; // a batch too large for the channel, ours perhaps
        }
        entry.speakers.iter().for_each(|speaker| speaker.say(heard.clone()));
    }

    fn gate(&self, channel: &[u8]) -> &tokio::sync::Mutex<()> {
        &self.gates[(self.hasher.hash_one(channel) % GATES as u64) as usize]
    }

    /// Lets go of channels that nobody follows any more.
    async fn unsubscribe_all(
        self: Arc<Self>,
        connect: Arc<Connect>,
        mut left: mpsc::UnboundedReceiver<Box<[u8]>>,
    ) {
        while let Some(channel) = left.recv().await {
            let _gate = self.gate(&channel).lock().await;
            let gone = {
                let mut channels = self.channels.lock();
                let gone = channels.get_mut(&channel).is_some_and(|entry| {
                    entry.speakers.retain(|speaker| !speaker.is_closed());
                    entry.speakers.is_empty()
                });
                gone.then(|| channels.remove(&channel)).is_some()
            };
            if gone {
                let name = String::from_utf8_lossy(&channel).into_owned();
                let mut unsubscribe = cmd("SUNSUBSCRIBE");
                unsubscribe.arg(&name);
                // A connection that breaks over it has no subscriptions left.
                let _ = connect.call(Lane::Push, Route::Key(&name), &unsubscribe).await;
            }
        }
    }

    /// Whenever a connection was made again or slots have moved, everything is subscribed again and looked at.
    async fn subscribe_again(self: Arc<Self>, connect: Arc<Connect>, ears: Ears) {
        loop {
            ears.again().await;
            let names: Vec<String> = self
                .channels
                .lock()
                .keys()
                .map(|channel| String::from_utf8_lossy(channel).into_owned())
                .collect();
            let count = names.len();
            let failed = stream::iter(names)
                .map(|name| self.subscribe_one_again(&connect, name))
                .buffer_unordered(REDIS_BUS_CALLS_MAX)
                .filter(|failed| std::future::ready(*failed))
                .count()
                .await;
            if count > 0 {
                tracing::info!(rooms = count, failed, "the bus of open rooms is subscribed again");
            }
            if failed > 0 {
                tokio::time::sleep(quiet()).await;
                ears.look_again();
            }
        }
    }

    async fn subscribe_one_again(&self, connect: &Connect, name: String) -> bool {
        let _gate = self.gate(name.as_bytes()).lock().await;
        if !self.channels.lock().contains_key(name.as_bytes()) {
            return false;
        }
        let failed = subscribe(connect, &name).await.is_err();
        if let Some(entry) = self.channels.lock().get_mut(name.as_bytes()) {
            (entry.look_at, entry.echo) = (Instant::now(), None);
            if !failed {
                entry.speakers.iter().for_each(|speaker| speaker.say(Heard::Again));
            }
        }
        failed
    }

    /// Compares the heads of rooms with what is known here, when it is time.
    async fn look_at_heads(self: Arc<Self>, connect: Arc<Connect>) {
        let mut ticks = interval(quiet());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = ticks.tick().await;
            let (due, mute) = self.due(now);
            for name in mute {
                tracing::warn!("a batch did not come back on the bus: its channel is subscribed again");
                self.subscribe_one_again(&connect, name).await;
            }
            stream::iter(due)
                .for_each_concurrent(REDIS_BUS_CALLS_MAX, |(channel, room)| {
                    self.look_at(&connect, channel, room)
                })
                .await;
        }
    }

    /// The rooms whose heads are to be looked at, and the channels that have lost a batch of ours.
    fn due(&self, now: Instant) -> (Vec<Due>, Vec<String>) {
        let (mut due, mut mute) = (Vec::new(), Vec::new());
        for (channel, entry) in self.channels.lock().iter_mut() {
            if entry.echo.is_some_and(|(by, _)| by <= now) {
                entry.echo = None;
                mute.push(String::from_utf8_lossy(channel).into_owned());
            }
            if entry.look_at <= now {
                entry.look_at = now + entry.rest;
                entry.rest = (entry.rest * 2).min(Duration::from_millis(REDIS_BUS_REST_MS_MAX));
                due.push((channel.clone(), entry.room.clone()));
            }
        }
        (due, mute)
    }

    async fn look_at(&self, connect: &Connect, channel: Box<[u8]>, room: RoomName) {
        // What cannot be asked now is asked next time.
        let Ok(head) = head_of(connect, &room).await else { return };
        if let Some(entry) = self.channels.lock().get_mut(&channel) {
            let unequal = |speaker: &&Speaker| speaker.seen().is_some_and(|seen| seen != head);
            entry.speakers.iter().filter(unequal).for_each(Speaker::behind);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            let _ = bus.left.send(std::mem::take(&mut self.channel));
        }
    }
}

fn quiet() -> Duration {
    Duration::from_millis(REDIS_BUS_QUIET_MS)
}

async fn subscribe(connect: &Connect, name: &str) -> Result<(), CallError> {
    let mut subscribe = cmd("SSUBSCRIBE");
    subscribe.arg(name);
    connect.call(Lane::Push, Route::Key(name), &subscribe).await.map(drop)
}

/// How far the room's log goes: nowhere, if the stream is gone, whatever its entry says.
async fn head_of(connect: &Connect, room: &RoomName) -> Result<Seen, CallError> {
    let keys = Keys::of(room);
    let (log, meta) = (keys.log(), keys.meta());
    let (mut question, mut exists) = (cmd("HMGET"), cmd("EXISTS"));
    question.arg(&meta).arg("e").arg("s").arg("t");
    exists.arg(&log);
    let (answer, is_there) = tokio::join!(
        connect.call(Lane::Write, Route::Key(&meta), &question),
        connect.call(Lane::Write, Route::Key(&log), &exists),
    );
    let (redis::Value::Array(fields), false) = (answer?, matches!(is_there?, redis::Value::Int(0))) else {
        return Ok(Seen::default());
    };
    let number = |at: usize| fields.get(at).and_then(text).and_then(|text| text.parse().ok()).unwrap_or(0);
    let epoch = fields.first().and_then(text).and_then(|text| parse_epoch(&text)).unwrap_or_default();
    Ok(Seen { last: Position { seq: number(1), ms: number(2) }, epoch })
}

/// Publishes what instances say to each other; what fails is lost.
async fn say_all(connect: Arc<Connect>, lane: Lane, mut whispers: mpsc::Receiver<(String, Vec<u8>)>) {
    let queue = stream::poll_fn(move |context| whispers.poll_recv(context));
    queue
        .for_each_concurrent(REDIS_BUS_CALLS_MAX, |(channel, payload)| {
            let connect = Arc::clone(&connect);
            async move {
                let mut publish = cmd("SPUBLISH");
                publish.arg(&channel).arg(payload);
                let _ = connect.call(lane, Route::Key(&channel), &publish).await;
            }
        })
        .await;
}
