//! The clients of one run, together: joining, waiting, counting, leaving.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use super::LoadError;
use super::author::Author;
use super::client::Client;
use super::report::Loss;
use super::schedule::Schedule;
use super::socket;
use super::target::Target;
use super::world::{Room, Shards, World};

/// How many rooms and people, and who writes how often.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(super) struct Shape {
    pub(super) rooms: u32,
    /// Clients per room.
    pub(super) clients: u32,
    /// The first so many of them write.
    pub(super) writers: u32,
    /// Updates per second and room, over all its writers.
    pub(super) rate: f64,
    /// Keys that a writer sets in turn.
    pub(super) keys: u32,
}

/// Some rooms full of clients. Room `r` has the clients `r * clients ..`, its writers first.
pub(super) struct Crowd {
    pub(super) world: Arc<World>,
    pub(super) shape: Shape,
    pub(super) clients: Vec<Arc<Client>>,
    readers: Vec<Option<AbortHandle>>,
}

/// How long all clients together may take to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(60);

impl Crowd {
    /// Makes up the rooms `<prefix>-0 ..` and everyone in them; nobody is connected. Must be called
    /// within a runtime.
    pub(super) fn new(prefix: &str, shape: Shape, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut author = || Author { client: random.random_range(1 << 32..1 << 53), keys: shape.keys };
        let rooms = (0..shape.rooms).map(|room| {
            Room::new(format!("{prefix}-{room}"), (0..shape.writers).map(|_| author()).collect())
        });
        let world = Arc::new(World {
            rooms: rooms.collect(),
            schedule: Schedule { rooms: shape.rooms, writers: shape.writers.max(1), rate: shape.rate },
            timing: OnceLock::new(),
            shards: Shards::new(shape.rooms as usize),
            runtime: tokio::runtime::Handle::current(),
        });
        let clients: Vec<_> = (0..shape.rooms)
            .flat_map(|room| (0..shape.clients).map(move |at| (room, at)))
            .map(|(room, at)| Client::new(room, (at < shape.writers).then_some(at), shape.writers as usize))
            .collect();
        let readers = clients.iter().map(|_| None).collect();
        Self { world, shape, clients, readers }
    }

    /// A client more in `room`, who only reads.
    pub(super) fn add_newcomer(&mut self, room: u32) -> usize {
        self.clients.push(Client::new(room, None, self.shape.writers as usize));
        self.readers.push(None);
        self.clients.len() - 1
    }

    /// The client that is `writer` in `room`.
    pub(super) fn writer(&self, room: u32, writer: u32) -> &Arc<Client> {
        &self.clients[(room * self.shape.clients + writer) as usize]
    }

    /// Connects everyone, `at_once` at a time, and waits until each has its Step2.
    pub(super) async fn join_all(&mut self, target: &Target, at_once: usize) -> Result<(), LoadError> {
        let all: Vec<usize> = (0..self.clients.len()).collect();
        self.connect(&all, target, at_once).await?;
        self.wait_joined(&all, JOIN_TIMEOUT).await
    }

    /// Connects these clients, `at_once` at a time; all are due now.
    pub(super) async fn connect(
        &mut self,
        who: &[usize],
        target: &Target,
        at_once: usize,
    ) -> Result<(), LoadError> {
        let gate = Arc::new(Semaphore::new(at_once));
        let target = Arc::new(target.clone());
        let paced = at_once < who.len();
        let start = Instant::now();
        let mut joins = JoinSet::new();
        for &at in who {
            let (client, world) = (Arc::clone(&self.clients[at]), Arc::clone(&self.world));
            let (gate, target) = (Arc::clone(&gate), Arc::clone(&target));
            joins.spawn(async move {
                let _turn = gate.acquire().await;
                let due = if paced { Instant::now() } else { start };
                (at, socket::join(&client, &world, &target, due).await)
            });
        }
        while let Some(done) = joins.join_next().await {
            let (at, reader) = done.map_err(|error| LoadError::Bug(error.to_string()))?;
            self.readers[at] = Some(reader?);
        }
        Ok(())
    }

    /// Waits until these clients have their Step2.
    pub(super) async fn wait_joined(&self, who: &[usize], patience: Duration) -> Result<(), LoadError> {
        let start = Instant::now();
        loop {
            let mut reason = None;
            let joined = who.iter().filter(|at| {
                let state = self.clients[**at].state.lock();
                reason = reason.take().or_else(|| state.ended.clone());
                state.joined.is_some()
            });
            let joined = joined.count();
            if joined == who.len() {
                return Ok(());
            }
            if reason.is_some() || start.elapsed() > patience {
                let reason = reason.unwrap_or_else(|| "the server is silent".to_owned());
                return Err(LoadError::Join { joined, of: who.len(), waited: start.elapsed(), reason });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until everyone connected has everything, or nothing has arrived for `patience`.
    pub(super) async fn drain(&self, patience: Duration) -> Loss {
        let mut last = (self.world.shards.counts().deliveries, Instant::now());
        loop {
            let loss = self.tally();
            let now = self.world.shards.counts().deliveries;
            if now != last.0 {
                last = (now, Instant::now());
            }
            if loss.lost == 0 || last.1.elapsed() > patience {
                return loss;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What every recipient is missing right now.
    pub(super) fn tally(&self) -> Loss {
        let mut loss = Loss::default();
        for client in &self.clients {
            let lost = self.missing(client);
            let state = client.state.lock();
            loss.recipients += 1;
            loss.lost += lost;
            loss.duplicate += state.seen.duplicate;
            loss.out_of_order += state.seen.out_of_order;
            loss.not_converged += u64::from(lost > 0);
            if let Some(ended) = &state.ended {
                loss.disconnected += 1;
                loss.first_disconnect.get_or_insert_with(|| ended.clone());
            }
        }
        loss
    }

    /// How many updates of others this client is missing right now.
    pub(super) fn missing_at(&self, at: usize) -> u64 {
        self.missing(&self.clients[at])
    }

    fn missing(&self, client: &Client) -> u64 {
        let state = client.state.lock();
        let room = &self.world.rooms[client.room as usize];
        let foreign = (0..self.shape.writers).filter(|writer| Some(*writer) != client.writer);
        foreign.map(|writer| state.seen.missing(writer, room.sent(writer))).sum()
    }

    /// Disconnects one client.
    pub(super) fn leave(&mut self, at: usize) {
        if let Some(reader) = self.readers[at].take() {
            socket::leave(&self.clients[at], &reader);
        }
    }

    /// Disconnects everyone.
    pub(super) fn leave_all(&mut self) {
        for at in 0..self.clients.len() {
            self.leave(at);
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.leave_all();
    }
}
