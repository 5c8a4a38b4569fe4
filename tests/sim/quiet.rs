//! The quiet phase: nothing fails any more, everyone comes back, and then all must be one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ruang::history::{self, Fold, Range, WalkError};
use ruang::ids::{InstanceId, RoomName};
use ruang::limits::MARKER_CLIENT_MIN;
use ruang::log::record::{Kind, StoredRecord};

use crate::client::Client;
use crate::random_docs::view;
use crate::store::{holds, now};
use crate::ticket::Verdict;
use crate::world::{Counted, World};
use yrs::{ReadTxn, Transact};

/// Rounds in which all must have become one, of at least 20 ms each.
const ROUNDS_MAX: usize = 500;

impl World {
    /// Lets everything come to rest, then looks at what has come of it.
    pub fn settle(&mut self) -> Result<BTreeMap<String, String>, String> {
        self.trace.push("everything works from here on".to_owned());
        self.come_to_rest()?;
        let documents = self.check_rooms()?;
        self.check_newcomers(&documents)?;
        self.check_baseline()?;
        Ok(documents)
    }

    /// [I3] All participants come to the same in some rounds.
    fn come_to_rest(&mut self) -> Result<(), String> {
        for round in 0..ROUNDS_MAX {
            for at in 0..self.instances.len() {
                match &mut self.instances[at] {
                    Some(instance) => instance.is_paused = false,
                    None => self.start(at),
                }
            }
            if round % 25 == 0 {
                self.store.check_heads();
            }
            self.everyone_comes();
            self.all_happens()?;
            if round % 10 == 9 && self.is_one() {
                return Ok(());
            }
        }
        let views: Vec<String> = self.clients.iter().map(describe).collect();
        let waiting = self.store.waiting();
        Err(format!(
            "[I3] no rest; calls {waiting:?}, on the bus {:?}, all seen {}\n{}",
            self.store.under_way(),
            self.store.all_seen(),
            views.join("\n")
        ))
    }

    fn everyone_comes(&mut self) {
        for at in 0..self.clients.len() {
            if self.clients[at].connection.is_none() {
                let instance = self.random.index(self.instances.len());
                self.connect(at, instance);
            }
            self.clients[at].read(usize::MAX);
        }
    }

    fn all_happens(&mut self) -> Result<(), String> {
        while self.store.store_late() {}
        for _ in 0..100 {
            if self.store.waiting().is_empty() {
                break;
            }
            self.store.take(0).decide(Verdict::Go);
            self.drive(Duration::from_millis(1))?;
        }
        let under_way = self.store.under_way();
        for (ear, count) in under_way.into_iter().enumerate() {
            (0..count).for_each(|_| drop(self.store.deliver(ear, 0, 1)));
        }
        self.drive(Duration::from_millis(20))?;
        self.notice_ends()?;
        self.lift_guards();
        Ok(())
    }

    fn is_one(&self) -> bool {
        let quiet = self.store.waiting().is_empty() && self.store.under_way().iter().all(|count| *count == 0);
        let settled = self.clients.iter().all(|client| client.waits() == 0 && client.is_acked());
        let stopping = self.instances.iter().flatten().any(|instance| instance.is_stopping());
        let same = |room: &RoomName| {
            let views: BTreeSet<String> =
                self.clients.iter().filter(|client| client.room == *room).map(Client::view).collect();
            views.len() <= 1
        };
        quiet && settled && !stopping && self.store.all_seen() && self.rooms.iter().all(same)
    }

    /// [I1, I2, I4] What is loaded from the log is what everyone has, and all that was ever stored is in it.
    fn check_rooms(&mut self) -> Result<BTreeMap<String, String>, String> {
        let mut documents = BTreeMap::new();
        for room in self.rooms.clone() {
            let name = room.as_str().to_owned();
            let Some(fold) = self.load(&room)? else {
                if self.store.stored(&room).is_empty() {
                    continue;
                }
                return Err(format!("[I1] room {name} is gone"));
            };
            let loaded = view(fold.document().doc());
            if let Some(other) = self.people(&room).find(|client| client.view() != loaded) {
                let theirs = describe(other);
                return Err(format!("[I3] room {name} of the log is\n{loaded}\nand not that of {theirs}"));
            }
            let vector = fold.document().doc().transact().state_vector();
            let authors: Vec<u64> = vector.iter().map(|(client, _)| client.get()).collect();
            let names: BTreeSet<u64> = self.people(&room).map(|client| client.name).collect();
            let is_strange = |client: &u64| *client < MARKER_CLIENT_MIN && !names.contains(&(client % 1_000));
            if let Some(strange) = authors.into_iter().find(is_strange) {
                return Err(format!("[I4] room {name} has something of {strange}"));
            }
            let mut gate = fold.into_parts().gate;
            let lost = self.store.stored(&room).iter().position(|update| !holds(&mut gate, update));
            if let Some(lost) = lost {
                return Err(format!("[I1] of room {name}, what was stored as number {lost} is lost"));
            }
            self.check_once(&room)?;
            documents.insert(name, loaded);
        }
        Ok(documents)
    }

    fn people(&self, room: &RoomName) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter(move |client| client.room == *room)
    }

    /// A room as the log alone tells it, with nothing damaged and nothing set aside.
    pub fn load(&self, room: &RoomName) -> Result<Option<Fold>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let loaded = runtime.block_on(async {
            let Some(mut walk) = history::walk(&self.store.log, room, Range::TO_HEAD).await? else {
                return Ok(None);
            };
            walk.to_end().await?;
            Ok::<_, WalkError>(Some(walk))
        });
        let Some(walk) = loaded.map_err(|error| error.to_string())? else { return Ok(None) };
        if !walk.damaged_snapshots().is_empty() {
            return Err(format!("[H8] room {}: {:?}", room.as_str(), walk.damaged_snapshots()));
        }
        let fold = walk.into_fold().map_err(|error| error.to_string())?;
        if !fold.set_aside().is_empty() {
            return Err(format!("[R28] room {}: set aside {:?}", room.as_str(), fold.set_aside()));
        }
        Ok(Some(fold))
    }

    /// [R2, R28] No batch stands in the log twice.
    fn check_once(&self, room: &RoomName) -> Result<(), String> {
        let base = self.store.head(room).map_or(0, |head| head.base);
        let records = now(self.store.log.read(room, base, usize::MAX)).map_err(|error| error.to_string())?;
        let mut batches: BTreeSet<(u64, u64)> = BTreeSet::new();
        let mut open = None;
        for stored in records {
            let StoredRecord::Intact { position, record } = stored else { continue };
            let metadata = record.metadata().map_err(|error| error.to_string())?;
            if record.kind() == Kind::Genesis {
                continue;
            }
            let InstanceId(instance) = metadata.instance;
            let batch = (instance, metadata.batch);
            if open != Some(batch) && !batches.insert(batch) {
                return Err(format!("[R2] at {position}, batch {batch:?} is stored again"));
            }
            open = Some(batch);
        }
        Ok(())
    }

    /// [R4, R28] Who comes now sees the same, on each instance and on one that knows nothing but the log.
    fn check_newcomers(&mut self, documents: &BTreeMap<String, String>) -> Result<(), String> {
        let (at, people) = (self.instances.len(), self.clients.len());
        self.instances.push(None);
        self.start(at);
        for (n, room) in (0_u64..).zip(self.rooms.clone()) {
            for instance in 0..=at {
                self.clients.push(Client::new(900 + 10 * n + instance as u64, room.clone()));
                self.connect(self.clients.len() - 1, instance);
            }
        }
        for _ in 0..10 {
            self.everyone_comes();
            self.all_happens()?;
        }
        for client in &self.clients[people..] {
            if let Some(document) = documents.get(client.room.as_str())
                && client.view() != *document
            {
                return Err(format!("[R28] newcomer {} sees {}\nnot {document}", client.name, client.view()));
            }
        }
        Ok(())
    }

    /// No room has failed, and no record is set aside.
    pub fn check_counted(&self) -> Result<(), String> {
        let counted = self.counted();
        if counted.failed > 0 || counted.set_aside > 0 {
            return Err(format!("[R12, R28] {counted:?}"));
        }
        Ok(())
    }

    pub fn counted(&self) -> Counted {
        let mut counted = self.ended;
        self.instances.iter().flatten().for_each(|instance| counted.add(instance));
        counted
    }

    /// [I5] When all have left, nothing is open, and nobody asks for anything.
    fn check_baseline(&mut self) -> Result<(), String> {
        self.clients.iter_mut().for_each(Client::disconnect);
        for _ in 0..100 {
            self.all_happens()?;
            self.drive(Duration::from_millis(200))?;
        }
        let open: usize = self.instances.iter().flatten().map(|instance| instance.rooms.open_count()).sum();
        let (calls, ears) = (self.store.waiting(), self.store.under_way().len());
        if open + ears > 0 || !calls.is_empty() {
            return Err(format!("[I5] {open} rooms are open, {ears} followed, calls {calls:?}"));
        }
        Ok(())
    }
}

fn describe(client: &Client) -> String {
    let acked = client.is_acked();
    format!(
        "client {} in {}, acked {acked}, {} to read:\n{}",
        client.name,
        client.room.as_str(),
        client.waits(),
        client.view()
    )
}
