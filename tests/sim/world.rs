//! The instances, the store, the people, and what happens to them, step by step, from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ruang::ids::{InstanceId, RoomName};
use ruang::limits::MARKER_CLIENT_MIN;
use ruang::log::LogError;
use ruang::wire::close::Close;
use yrs::{ReadTxn, Transact};

use crate::client::Client;
use crate::instance::Instance;
use crate::random_docs::Random;
use crate::store::Store;
use crate::ticket::{Mistake, Ticket, Verdict};

/// How many instances there are when all live.
const INSTANCES: usize = 3;

/// What a run does beyond ordinary work.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    pub steps: usize,
    /// Rooms lose records, or are lost.
    pub losses: bool,
    /// A room is deleted now and then.
    pub deletions: bool,
    pub mistake: Option<Mistake>,
}

/// What instances counted before they ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub failed: u64,
    pub set_aside: u64,
    pub healed: u64,
    pub snapshots: u64,
    pub of_others: u64,
}

/// See the module.
pub struct World {
    pub random: Random,
    pub script: Script,
    pub store: Arc<Store>,
    clock_ms: Arc<AtomicU64>,
    pub instances: Vec<Option<Instance>>,
    ids: u64,
    pub clients: Vec<Client>,
    pub rooms: Vec<RoomName>,
    pub ended: Counted,
    /// Rooms that the store has lost whole, and the instance that has them in memory. It may not die before it has
    /// brought them back: nobody could tell a room that nobody knows from one that never was.
    guarded: BTreeMap<RoomName, usize>,
    /// Markers of lives that were deleted.
    deleted: BTreeSet<u64>,
    pub trace: Vec<String>,
}

impl World {
    pub fn new(seed: u64, script: Script) -> Self {
        let clock_ms = Arc::new(AtomicU64::new(1_000_000));
        let store = Store::new(Arc::clone(&clock_ms), script.mistake);
        let rooms: Vec<RoomName> = ["a", "b"].iter().map(|name| name.parse().expect("a name")).collect();
        let clients = (1..=6).map(|name| Client::new(name, rooms[usize::from(name > 4)].clone())).collect();
        let mut world = Self {
            random: Random::new(seed),
            script,
            store,
            clock_ms,
            instances: Vec::new(),
            ids: 0,
            clients,
            rooms,
            ended: Counted::default(),
            guarded: BTreeMap::new(),
            deleted: BTreeSet::new(),
            trace: Vec::new(),
        };
        world.instances.resize_with(INSTANCES, || None);
        (0..INSTANCES).for_each(|at| world.start(at));
        world
    }

    pub fn start(&mut self, at: usize) {
        self.ids += 1;
        self.instances[at] =
            Some(Instance::start(InstanceId(self.ids), &self.store, Arc::clone(&self.clock_ms)));
    }

    /// Ends an instance where it stands.
    pub fn end(&mut self, at: usize) {
        let Some(instance) = self.instances[at].take() else { return };
        self.ended.add(&instance);
        drop(instance);
        for client in &mut self.clients {
            if client.connection.as_ref().is_some_and(|connection| connection.instance == at) {
                client.disconnect();
            }
        }
    }

    /// Everything that can happen happens, then so much time passes.
    pub fn drive(&mut self, time: Duration) -> Result<(), String> {
        self.clock_ms.fetch_add(u64::try_from(time.as_millis()).unwrap_or(0), Ordering::Relaxed);
        for at in 0..self.instances.len() {
            if let Some(instance) = &mut self.instances[at] {
                instance.drive(time);
            }
            self.look()?;
            self.check_counted()?;
        }
        for at in 0..self.instances.len() {
            if self.instances[at].as_ref().is_some_and(Instance::has_stopped) {
                self.trace.push(format!("instance {at} has stopped"));
                self.end(at);
            }
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        for client in &mut self.clients {
            client.note_end(self.guarded.contains_key(&client.room));
            let came = client.look(&self.store)?;
            if !came.is_empty() {
                self.trace.push(format!("client {} is told: {}", client.name, came.join(", ")));
            }
        }
        Ok(())
    }

    /// Clients whose sessions have ended notice.
    pub fn notice_ends(&mut self) -> Result<(), String> {
        for at in 0..self.clients.len() {
            let Some(Close { code, reason }) = self.clients[at].closed() else { continue };
            let name = self.clients[at].name;
            self.trace.push(format!("client {name} is sent away with {code}"));
            match code {
                4409 if self.is_of_a_deleted_life(&self.clients[at]) => self.clients[at].reset(),
                4409 if self.clients[at].ended_in_loss() => self.clients[at].disconnect(),
                1012 | 1013 => self.clients[at].disconnect(),
                _ => return Err(format!("client {name} is sent away for good: {code} {reason}")),
            }
        }
        Ok(())
    }

    /// One step of everybody and everything.
    pub fn step(&mut self) -> Result<(), String> {
        let mut time = Duration::from_millis(1);
        let what = match self.random.below(100) {
            0..22 => self.edit(),
            22..34 => self.read(),
            34..62 => self.decide(),
            62..78 => self.deliver(),
            78..80 => {
                self.store.check_heads();
                "heads are checked".to_owned()
            }
            80..87 => self.come_or_go(),
            87..89 => {
                let at = self.random.index(self.clients.len());
                self.clients[at].repeat(&mut self.random);
                format!("client {} repeats itself", self.clients[at].name)
            }
            89..91 => self.compact(),
            91..94 => self.trouble(),
            94..96 => self.lose(),
            96 => {
                let stored = self.store.store_late();
                format!("stored late: {stored}")
            }
            _ => {
                time = Duration::from_millis([30, 120, 600, 2_500][self.random.index(4)]);
                format!("{time:?} pass")
            }
        };
        self.trace.push(what);
        self.drive(time)?;
        self.notice_ends()?;
        self.lift_guards();
        if let Some(dead) = self.instances.iter().position(Option::is_none)
            && self.random.chance(4)
        {
            self.start(dead);
            self.trace.push(format!("instance {dead} starts"));
        }
        Ok(())
    }

    fn edit(&mut self) -> String {
        let at = self.random.index(self.clients.len());
        self.clients[at].edit(&mut self.random);
        format!("client {} edits", self.clients[at].name)
    }

    fn read(&mut self) -> String {
        let (at, count) = (self.random.index(self.clients.len()), 1 + self.random.index(6));
        self.clients[at].read(count);
        format!("client {} reads {count}", self.clients[at].name)
    }

    /// One call of the store is decided.
    fn decide(&mut self) -> String {
        let waiting = self.store.waiting();
        if waiting.is_empty() {
            return "nobody asks the store".to_owned();
        }
        let at = self.random.index(waiting.len());
        let ticket = self.store.take(at);
        let verdict = self.verdict(&ticket);
        let what = format!("{}: {verdict:?}", waiting[at]);
        ticket.decide(verdict);
        what
    }

    fn verdict(&mut self, ticket: &Ticket) -> Verdict {
        let unavailable = || Verdict::Refuse(LogError::Unavailable("away".to_owned()));
        match self.random.below(100) {
            0..5 if !ticket.is_answer() => unavailable(),
            5..7 if ticket.is_append() => Verdict::Refuse(LogError::Full("full".to_owned())),
            7..14 if ticket.is_append() || ticket.is_change() => Verdict::LoseReply,
            14..20 if ticket.is_append() => Verdict::HoldReply,
            20..25 if ticket.is_append() || ticket.is_change() => Verdict::Twice,
            _ => Verdict::Go,
        }
    }

    /// A message on the bus arrives: in order, behind a later one, twice, or never.
    fn deliver(&mut self) -> String {
        let waiting = self.store.under_way();
        let ears: Vec<usize> = (0..waiting.len()).filter(|ear| waiting[*ear] > 0).collect();
        if ears.is_empty() {
            return "the bus is quiet".to_owned();
        }
        let ear = ears[self.random.index(ears.len())];
        let (nth, times) = match self.random.below(20) {
            0..3 => (0, 0),
            3 => (0, 2),
            4..6 => (self.random.index(waiting[ear]), 1),
            _ => (0, 1),
        };
        let what = self.store.deliver(ear, nth, times);
        format!("the bus, {times} times, {what}")
    }

    fn come_or_go(&mut self) -> String {
        let at = self.random.index(self.clients.len());
        let (name, room) = (self.clients[at].name, self.clients[at].room.clone());
        if let Some(connection) = &self.clients[at].connection {
            if self.guarded.get(&room) != Some(&connection.instance) {
                self.clients[at].disconnect();
            }
            return format!("client {name} goes");
        }
        let instance = self.random.index(self.instances.len());
        self.connect(at, instance);
        format!("client {name} comes to {instance}")
    }

    pub fn connect(&mut self, client: usize, at: usize) {
        if let Some(instance) = self.instances[at].as_ref().filter(|instance| !instance.is_stopping()) {
            let link = instance.connect(&self.clients[client].room);
            self.clients[client].connect(at, link);
        }
    }

    fn compact(&mut self) -> String {
        let (at, room) = (self.random.index(self.instances.len()), self.random.index(self.rooms.len()));
        if let Some(instance) = &self.instances[at] {
            instance.compact(&self.rooms[room]);
        }
        format!("instance {at} compacts {}", self.rooms[room].as_str())
    }

    /// An instance dies, ends, stops running for a while, or goes on.
    fn trouble(&mut self) -> String {
        let at = self.random.index(self.instances.len());
        let is_guard = self.guarded.values().any(|guard| *guard == at);
        let kind = self.random.below(8);
        let Some(instance) = &mut self.instances[at] else { return format!("instance {at} is dead") };
        match kind {
            0..2 if !is_guard => {
                self.end(at);
                format!("instance {at} crashes")
            }
            2 if !is_guard => {
                instance.stop();
                format!("instance {at} stops")
            }
            3..5 => {
                instance.is_paused = true;
                format!("instance {at} is paused")
            }
            _ => {
                instance.is_paused = false;
                format!("instance {at} goes on")
            }
        }
    }

    /// The store loses the end of a room, or all of it, or is told to delete it.
    fn lose(&mut self) -> String {
        let room = self.rooms[self.random.index(self.rooms.len())].clone();
        let (kind, back) = (self.random.below(10), 1 + self.random.below(12));
        let Some(head) = self.store.head(&room) else { return "there is nothing to lose".to_owned() };
        if self.script.mistake.is_none() && self.store.was_begun_twice(&room) && kind < 8 {
            return format!("{} was begun twice", room.as_str());
        }
        if self.script.mistake.is_none() && self.is_held_by_copies_of_a_deleted_life(&room) {
            return format!("{} would not come back", room.as_str());
        }
        // Who alone holds what is lost may come there next, and gets the other life into its copy.
        if self.script.mistake.is_none() && kind < 6 && self.store.is_served_after_deletion(&room) {
            return format!("{} might not come back", room.as_str());
        }
        match kind {
            0..6 if self.script.losses => {
                let last = head.last.seq.saturating_sub(back).max(head.base).max(1);
                match self.store.roll_back(&room, last) {
                    Some(last) => format!("{} falls back to {last}", room.as_str()),
                    None => format!("{} stays", room.as_str()),
                }
            }
            6..8 if self.script.losses => match self.guard_of(&room) {
                Some(guard) => {
                    self.store.forget(&room);
                    self.guarded.insert(room.clone(), guard);
                    format!("{} is lost, {guard} has it", room.as_str())
                }
                None => format!("{} is not lost", room.as_str()),
            },
            8 if self.script.deletions && back == 1 => {
                // All of its lives, also one that was lost and of which only messages that nobody has read yet tell.
                self.store.with_life(&room, |doc| self.deleted.extend(markers(doc)));
                self.store.delete(&room);
                self.guarded.remove(&room);
                format!("{} is deleted", room.as_str())
            }
            _ => "nothing is lost".to_owned(),
        }
    }

    /// Nobody but people who do not know yet that the room was deleted: their copies are of the life that is over, and bring
    /// nothing back.
    fn is_held_by_copies_of_a_deleted_life(&self, room: &RoomName) -> bool {
        let mut here = self.clients.iter().filter(|client| client.room == *room);
        self.guard_of(room).is_none() && here.any(|client| self.is_of_a_deleted_life(client))
    }

    fn is_of_a_deleted_life(&self, client: &Client) -> bool {
        markers(&client.doc.doc).any(|marker| self.deleted.contains(&marker))
    }

    /// An instance that has people in a room and knows all that is in it.
    fn guard_of(&self, room: &RoomName) -> Option<usize> {
        if self.guarded.contains_key(room) {
            return None;
        }
        (0..self.instances.len()).find(|&at| {
            let Some(instance) = &self.instances[at] else { return false };
            let here = |client: &Client| client.room == *room && client.is_served_by(at);
            let peopled = instance.rooms.sessions(room) > 0 && self.clients.iter().any(here);
            peopled && !instance.is_stopping() && self.store.is_up_to_date(instance.id, room)
        })
    }

    /// A room that its guard has brought back is on its own again.
    pub fn lift_guards(&mut self) {
        let Self { guarded, instances, store, .. } = self;
        guarded.retain(|room, guard| {
            let id = instances[*guard].as_ref().map(|instance| instance.id);
            !id.is_some_and(|id| store.is_up_to_date(id, room))
        });
    }
}

/// Of the lives that a document is of.
fn markers(doc: &yrs::Doc) -> impl Iterator<Item = u64> {
    let clocks = doc.transact().state_vector();
    let clients: Vec<u64> = clocks.iter().map(|(client, _)| client.get()).collect();
    clients.into_iter().filter(|client| *client >= MARKER_CLIENT_MIN)
}

impl Counted {
    pub fn plus(self, other: Self) -> Self {
        Self {
            failed: self.failed + other.failed,
            set_aside: self.set_aside + other.set_aside,
            healed: self.healed + other.healed,
            snapshots: self.snapshots + other.snapshots,
            of_others: self.of_others + other.of_others,
        }
    }

    pub fn add(&mut self, instance: &Instance) {
        self.failed += instance.metrics.rooms_failed.get();
        self.set_aside += instance.metrics.records_set_aside.get();
        self.healed += instance.metrics.rooms_healed.get();
        self.snapshots += instance.metrics.snapshots_written.get();
        self.of_others += instance.metrics.records_of_others.get();
    }
}
