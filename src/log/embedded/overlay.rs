//! What the journal has and the database has not: in memory, so that readers see one log.
//!
//! A layer is what stands in one file of the journal. The active one grows; a frozen one is being
//! moved into the database, and disappears when that is committed. A reader takes its view of the
//! overlay first and begins its transaction then: what is moved in between it finds twice, and
//! counts once, by position; nothing can be in neither.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::frame::Entry;
use super::rooms::RoomMeta;
use crate::ids::{Position, RoomName};
use crate::limits::READ_BYTES_MAX;
use crate::log::Head;

/// See the module.
#[derive(Default)]
pub(super) struct Overlay {
    layers: RwLock<Layers>,
}

#[derive(Default)]
struct Layers {
    /// Oldest first. Newer than everything in the database.
    frozen: Vec<Arc<Layer>>,
    /// Newer than everything frozen.
    active: Layer,
    /// How often layers went away. What changes rooms in the database otherwise than by appends
    /// first settles the journal: a reader whose view is older than that must look again.
    clears: u64,
}

/// What stands in one file of the journal, by room.
#[derive(Default)]
pub(super) struct Layer {
    /// The newest frame of the journal that belongs to it.
    pub(super) through: u64,
    frames: Vec<Bytes>,
    rooms: BTreeMap<RoomName, LayerRoom>,
}

struct LayerRoom {
    /// With everything in this layer.
    meta: RoomMeta,
    /// Counter of the first of `records`; the others follow without holes.
    first: u64,
    records: Vec<Place>,
}

/// Where a record stands: a layer has tens of thousands.
struct Place {
    ms: u64,
    frame: u32,
    at: u32,
    len: u32,
}

/// What a reader takes of one room.
pub(super) struct View {
    /// If the overlay knows the room.
    pub(super) head: Option<Head>,
    /// In order, without holes.
    pub(super) records: Vec<(Position, Bytes)>,
    /// See [`Overlay::clears`].
    pub(super) clears: u64,
}

impl Layer {
    /// Has nothing, up to that frame.
    pub(super) fn empty(through: u64) -> Self {
        Self { through, ..Self::default() }
    }

    /// Adds the batches of a frame. `meta` gives what is known of a room that is not in this layer.
    pub(super) fn add(
        &mut self,
        sequence: u64,
        frame: Bytes,
        entries: Vec<Entry>,
        mut meta: impl FnMut(&RoomName) -> RoomMeta,
    ) {
        self.through = sequence;
        let index = u32::try_from(self.frames.len()).expect("a file has less than 2^32 bytes");
        self.frames.push(frame);
        for entry in entries {
            let room = self.rooms.entry(entry.room.clone()).or_insert_with(|| LayerRoom {
                meta: meta(&entry.room),
                first: entry.first,
                records: Vec::new(),
            });
            if room.meta.last.seq >= entry.last().seq {
                continue; // the database had it already
            }
            if room.records.is_empty() {
                room.first = entry.first;
            }
            room.meta.note(&entry);
            let place = |(at, len): &(u32, u32)| Place { ms: entry.ms, frame: index, at: *at, len: *len };
            room.records.extend(entry.records.iter().map(place));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.keys()
    }

    pub(super) fn meta(&self, room: &RoomName) -> Option<&RoomMeta> {
        self.rooms.get(room).map(|room| &room.meta)
    }

    /// The records of a room above a counter.
    pub(super) fn records(&self, room: &RoomName, after: u64) -> impl Iterator<Item = (Position, &[u8])> {
        self.places(room, after)
            .map(|(position, place)| (position, &self.frames[place.frame as usize][place.range()]))
    }

    fn places(&self, room: &RoomName, after: u64) -> impl Iterator<Item = (Position, &Place)> {
        let room = self.rooms.get(room);
        let (first, places) = room.map_or((1, &[][..]), |room| (room.first, room.records.as_slice()));
        let skip = usize::try_from(after.saturating_add(1).saturating_sub(first))
            .unwrap_or(usize::MAX)
            .min(places.len());
        (first + skip as u64..)
            .zip(&places[skip..])
            .map(|(seq, place)| (Position { seq, ms: place.ms }, place))
    }

    /// Without all rooms but these.
    fn only(&self, rooms: &BTreeSet<RoomName>) -> Self {
        let mut layer = Self { through: self.through, frames: self.frames.clone(), rooms: BTreeMap::new() };
        for (name, room) in self.rooms.iter().filter(|(name, _)| rooms.contains(*name)) {
            let records = room.records.iter().map(|place| Place { ..*place }).collect();
            let room = LayerRoom { meta: room.meta.clone(), first: room.first, records };
            layer.rooms.insert(name.clone(), room);
        }
        layer
    }
}

impl Place {
    fn range(&self) -> std::ops::Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

impl Layers {
    fn all(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        self.frozen.iter().map(Arc::as_ref).chain(std::iter::once(&self.active))
    }
}

impl Overlay {
    /// A room as the overlay has it: up to `count_max` records above the counter `after`, fewer if
    /// they are large.
    pub(super) fn room(&self, room: &RoomName, after: u64, count_max: usize) -> View {
        let layers = self.layers.read();
        let head = layers.all().rev().find_map(|layer| layer.meta(room));
        let head = head.map(|meta| meta.head(meta.bytes.unwrap_or_default()));
        let (mut records, mut bytes) = (Vec::new(), 0);
        for layer in layers.all() {
            for (position, place) in layer.places(room, after) {
                if records.len() == count_max || bytes > READ_BYTES_MAX {
                    break;
                }
                bytes += place.len as usize;
                records.push((position, layer.frames[place.frame as usize].slice(place.range())));
            }
        }
        View { head, records, clears: layers.clears }
    }

    /// Names of up to `count_max` rooms above `after` that the overlay knows, in order.
    pub(super) fn names(&self, after: Option<&RoomName>, count_max: usize) -> (BTreeSet<RoomName>, u64) {
        let layers = self.layers.read();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = BTreeSet::new();
        for layer in layers.all() {
            let some = layer.rooms.range::<RoomName, _>((from, Bound::Unbounded)).take(count_max);
            names.extend(some.map(|(name, _)| name.clone()));
        }
        (names, layers.clears)
    }

    /// Changes whenever layers go away.
    pub(super) fn clears(&self) -> u64 {
        self.layers.read().clears
    }

    pub(super) fn frozen(&self) -> Vec<Arc<Layer>> {
        self.layers.read().frozen.clone()
    }

    /// The newest meta of a room in the active layer.
    pub(super) fn active_meta(&self, room: &RoomName) -> Option<RoomMeta> {
        self.layers.read().active.meta(room).cloned()
    }

    /// Whether the active layer has nothing that would have to be moved.
    pub(super) fn is_quiet(&self) -> bool {
        self.layers.read().active.is_empty()
    }

    /// Whether the database has everything.
    pub(super) fn is_empty(&self) -> bool {
        let layers = self.layers.read();
        layers.active.is_empty() && layers.frozen.is_empty()
    }

    pub(super) fn has_room(&self, room: &RoomName) -> bool {
        self.layers.read().all().any(|layer| layer.rooms.contains_key(room))
    }

    /// Shows a frame that was synced to readers. `metas` are those of its rooms before it.
    pub(super) fn publish(
        &self,
        sequence: u64,
        frame: Bytes,
        entries: Vec<Entry>,
        metas: &HashMap<RoomName, RoomMeta>,
    ) {
        let before = |room: &RoomName| metas.get(room).expect("staging looked up each room").clone();
        self.layers.write().active.add(sequence, frame, entries, before);
    }

    /// Takes up what was found in the journal.
    pub(super) fn load(&self, layer: Layer) {
        self.layers.write().frozen.push(Arc::new(layer));
    }

    /// Ends the active layer with the frame `through`; the next one is empty.
    pub(super) fn freeze(&self, through: u64) {
        let mut layers = self.layers.write();
        let ended = layers.frozen.last().is_some_and(|layer| layer.through >= through);
        if ended && layers.active.is_empty() {
            return;
        }
        let layer = Layer { through, ..std::mem::take(&mut layers.active) };
        layers.frozen.push(Arc::new(layer));
    }

    /// Lets go of layers that were moved.
    pub(super) fn clear(&self, through: u64) {
        let mut layers = self.layers.write();
        let gone: Vec<_> = layers.frozen.extract_if(.., |layer| layer.through <= through).collect();
        layers.clears += 1;
        drop(layers);
        drop(gone); // outside of the lock: it may be much
    }

    /// Lets go of all frozen rooms but these: they were moved one by one.
    pub(super) fn keep_only(&self, rooms: &BTreeSet<RoomName>) {
        let mut layers = self.layers.write();
        layers.frozen = layers.frozen.iter().map(|layer| Arc::new(layer.only(rooms))).collect();
        layers.clears += 1;
    }
}
