//! Clients that edit at random: honest histories to judge and to fold. Everything follows from a
//! seed, which tests print; `RUANG_TEST_SEED` replays one.
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use ruang::gate::{Gate, Source};
use yrs::types::Attrs;
use yrs::undo::UndoManager;
use yrs::updates::decoder::Decode;
use yrs::{
    Any, Array, ArrayPrelim, ArrayRef, ClientID, Doc, GetString, Map, MapPrelim, MapRef, OffsetKind, Options,
    Out, ReadTxn, StateVector, Text, TextPrelim, TextRef, Transact, TransactionMut, Update, Xml,
    XmlElementPrelim, XmlElementRef, XmlFragment, XmlOut, XmlTextPrelim, XmlTextRef,
};

/// A small deterministic random generator (splitmix64).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The seeds to run: one from `RUANG_TEST_SEED`, else `count` from a fixed start. Each is printed when
/// its run begins, so that a failing test names it.
pub fn seeds(test: &str, count: u64) -> Vec<u64> {
    let start = test.bytes().fold(17_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    match std::env::var("RUANG_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("RUANG_TEST_SEED is a number")],
        Err(_) => (0..count).map(|n| start.wrapping_add(n) % 1_000_000_007).collect(),
    }
}

/// One client with a document of its own, as a browser has.
pub struct Client {
    pub doc: Doc,
    undo: Option<UndoManager<()>>,
    /// See [`Client::mending`].
    mends: bool,
    outbox: Arc<Mutex<Vec<Vec<u8>>>>,
    /// How much of the server's log it has.
    pub cursor: usize,
}

impl Client {
    pub fn new(id: u64, undo: bool) -> Self {
        let doc = Doc::with_options(Options {
            client_id: ClientID::new(id),
            offset_kind: OffsetKind::Utf16,
            ..Options::default()
        });
        let (map, array) = (doc.get_or_insert_map("m"), doc.get_or_insert_array("a"));
        let (text, xml) = (doc.get_or_insert_text("t"), doc.get_or_insert_xml_fragment("x"));
        let undo = undo.then(|| {
            let mut manager = UndoManager::with_options(yrs::undo::Options {
                capture_timeout_millis: 0,
                ..yrs::undo::Options::default()
            });
            manager.expand_scope(&doc, &map);
            manager.expand_scope(&doc, &array);
            manager.expand_scope(&doc, &text);
            manager.expand_scope(&doc, &xml);
            manager
        });
        let outbox: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let out = outbox.clone();
        doc.observe_update_v1("outbox", move |transaction, event| {
            // A provider does not send back what it received.
            if transaction.origin().is_none_or(|origin| origin.as_ref() != b"remote".as_slice()) {
                out.lock().unwrap().push(event.update.clone());
            }
        })
        .unwrap();
        Self { doc, undo, mends: false, outbox, cursor: 0 }
    }

    /// Updates made since the last call.
    pub fn take_updates(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.outbox.lock().unwrap())
    }

    pub fn receive(&self, update: &[u8]) {
        let mut transaction = self.doc.transact_mut_with("remote");
        transaction.apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }

    /// Its answer to a SyncStep1.
    pub fn step2(&self, state_vector: &[u8]) -> Vec<u8> {
        let transaction = self.doc.transact();
        transaction.encode_diff_v1(&StateVector::decode_v1(state_vector).unwrap())
    }

    /// One random transaction.
    pub fn edit(&mut self, random: &mut Random) {
        if random.chance(12) && self.undo.is_some() {
            let before = self.mends.then(|| (self.all(), self.take_updates()));
            let Some(undo) = &mut self.undo else { return };
            if random.chance(60) {
                undo.undo_blocking()
            } else {
                undo.redo_blocking()
            };
            if let Some((before, said_before)) = before {
                self.mend_undo(&before, said_before);
            }
            return;
        }
        let roots = (
            self.doc.get_or_insert_map("m"),
            self.doc.get_or_insert_array("a"),
            self.doc.get_or_insert_text("t"),
            self.doc.get_or_insert_xml_fragment("x"),
        );
        let mut transaction = self.doc.transact_mut();
        for _ in 0..=random.below(3) {
            match random.below(4) {
                0 => edit_map(&mut transaction, &roots.0, random, 0),
                1 => edit_array(&mut transaction, &roots.1, random, 0),
                2 => edit_text(&mut transaction, &roots.2, random),
                _ => edit_xml(&mut transaction, &roots.3, random, 0),
            }
        }
    }
}

/// What undo of yrs 0.28.1 gets wrong in XML, seldom:
/// - It puts an attribute that it restores under the restored element, and writes it as standing under the deleted one: everyone
///   else reads it so. Such a page is loaded anew, from what it has written.
/// - It puts an element behind and before the same block, which Yjs would not, and which the gate refuses. Such an undo is not
///   made.
///
/// The page keeps its id, and forgets what could be undone.
impl Client {
    /// The same, and such an undo is mended: with another document, so not for who holds on to this one.
    #[allow(dead_code, reason = "not all who share this need it")]
    pub fn mending(self) -> Self {
        Self { mends: true, ..self }
    }

    fn all(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    fn mend_undo(&mut self, before: &[u8], said_before: Vec<Vec<u8>>) {
        let after = self.all();
        let refused = Gate::new().admit(&after, Source::Step2).is_err();
        let copy = Self::new(self.doc.client_id().get(), true);
        copy.receive(if refused { before } else { &after });
        if refused || view(&copy.doc) != view(&self.doc) {
            println!("an undo of client {} is mended", self.doc.client_id().get());
            let said = if refused { Vec::new() } else { self.take_updates() };
            copy.outbox.lock().unwrap().extend(said_before.into_iter().chain(said));
            *self = Self { cursor: self.cursor, mends: true, ..copy };
        } else {
            self.outbox.lock().unwrap().splice(0..0, said_before);
        }
    }
}

fn value(random: &mut Random) -> Any {
    match random.below(8) {
        0 => Any::Null,
        1 => Any::Bool(random.chance(50)),
        2 => Any::from(random.below(1 << 40) as i64),
        3 => Any::from(random.below(1000) as f64 / 7.0),
        4 => Any::from(words(random)),
        5 => Any::Buffer(Arc::from(random.next().to_le_bytes())),
        6 => Any::from(vec![Any::Undefined, Any::from(words(random))]),
        // One entry only: yrs writes entries in the random order of a hash map.
        _ => Any::from(std::collections::HashMap::from([("k".to_owned(), Any::from(1))])),
    }
}

fn words(random: &mut Random) -> String {
    let alphabet = ["a", "b", "Ж", "房", "😀", "👩‍👧", " ", "\u{fffd}", "e\u{301}"];
    (0..=random.below(6)).map(|_| alphabet[random.index(alphabet.len())]).collect()
}

const DEPTH: u32 = 4;

fn edit_map(transaction: &mut TransactionMut<'_>, map: &MapRef, random: &mut Random, depth: u32) {
    let key = ["k0", "k1", "k2", "key with a longer name"][random.index(4)];
    match map.get(transaction, key) {
        Some(nested) if depth < DEPTH && random.chance(60) => {
            edit_out(transaction, nested, random, depth + 1)
        }
        _ => match random.below(10) {
            0 | 1 => drop(map.remove(transaction, key)),
            2 => drop(map.insert(transaction, key, MapPrelim::default())),
            3 => drop(map.insert(transaction, key, ArrayPrelim::default())),
            4 => drop(map.insert(transaction, key, TextPrelim::new(words(random)))),
            _ => drop(map.insert(transaction, key, value(random))),
        },
    }
}

fn edit_array(transaction: &mut TransactionMut<'_>, array: &ArrayRef, random: &mut Random, depth: u32) {
    let len = array.len(transaction);
    let at = random.below(u64::from(len) + 1) as u32;
    if at < len
        && depth < DEPTH
        && random.chance(40)
        && let Some(nested) = array.get(transaction, at)
    {
        return edit_out(transaction, nested, random, depth + 1);
    }
    match random.below(10) {
        0 | 1 if at < len => {
            array.remove_range(transaction, at, 1 + random.below(u64::from(len - at)) as u32)
        }
        2 => drop(array.insert(transaction, at, MapPrelim::default())),
        3 => drop(array.insert(transaction, at, ArrayPrelim::default())),
        4 | 5 => {
            let values: Vec<Any> = (0..=random.below(5)).map(|_| value(random)).collect();
            array.insert_range(transaction, at, values);
        }
        _ => drop(array.insert(transaction, at, value(random))),
    }
}

/// Places between characters, in UTF-16 units. Editors do not cut surrogate pairs; Yjs and yrs put
/// U+FFFD where one is cut, and peers need not agree on it.
fn places(transaction: &TransactionMut<'_>, text: &TextRef) -> Vec<u32> {
    let mut places = vec![0];
    for chunk in text.diff(transaction, yrs::types::text::YChange::identity) {
        let start = places[places.len() - 1];
        match chunk.insert {
            Out::Any(Any::String(content)) => {
                let ends = content.chars().scan(start, |at, char| {
                    *at += char.len_utf16() as u32;
                    Some(*at)
                });
                places.extend(ends);
            }
            _ => places.push(start + 1),
        }
    }
    places
}

fn edit_text(transaction: &mut TransactionMut<'_>, text: &TextRef, random: &mut Random) {
    let places = places(transaction, text);
    let from = random.index(places.len());
    let (at, len) = (places[from], places[from + random.index(places.len() - from)] - places[from]);
    match random.below(10) {
        0 | 1 if len > 0 => text.remove_range(transaction, at, len),
        2 | 3 if len > 0 => {
            let on = if random.chance(70) { Any::Bool(true) } else { Any::Null };
            let attributes = Attrs::from([(["bold", "i"][random.index(2)].into(), on)]);
            text.format(transaction, at, len, attributes);
        }
        4 => drop(text.insert_embed(transaction, at, Any::from(random.below(100) as i64))),
        _ => text.insert(transaction, at, &words(random)),
    }
}

fn edit_xml(transaction: &mut TransactionMut<'_>, xml: &impl XmlFragment, random: &mut Random, depth: u32) {
    let len = xml.len(transaction);
    let at = random.below(u64::from(len) + 1) as u32;
    if at < len && depth < DEPTH && random.chance(60) {
        match xml.get(transaction, at) {
            Some(XmlOut::Element(element)) => return edit_element(transaction, &element, random, depth + 1),
            Some(XmlOut::Text(text)) => return edit_xml_text(transaction, &text, random),
            _ => {}
        }
    }
    match random.below(5) {
        0 if at < len => xml.remove_range(transaction, at, 1),
        1 | 2 => drop(xml.insert(transaction, at, XmlTextPrelim::new(words(random)))),
        _ => drop(xml.insert(transaction, at, XmlElementPrelim::empty(["p", "div"][random.index(2)]))),
    }
}

fn edit_element(
    transaction: &mut TransactionMut<'_>,
    element: &XmlElementRef,
    random: &mut Random,
    depth: u32,
) {
    if random.chance(40) {
        // One name only: yrs prints attributes in the random order of a hash map.
        element.insert_attribute(transaction, "class", words(random));
    } else {
        edit_xml(transaction, element, random, depth);
    }
}

fn edit_xml_text(transaction: &mut TransactionMut<'_>, text: &XmlTextRef, random: &mut Random) {
    let content = text.get_string(transaction);
    let ends = content.char_indices().map(|(at, _)| content[..at].encode_utf16().count() as u32);
    let places: Vec<u32> = ends.chain([text.len(transaction)]).collect();
    let from = random.index(places.len());
    let (at, len) = (places[from], places[from + random.index(places.len() - from)] - places[from]);
    if len > 0 && random.chance(30) {
        text.remove_range(transaction, at, len);
    } else {
        text.insert(transaction, at, &words(random));
    }
}

fn edit_out(transaction: &mut TransactionMut<'_>, nested: Out, random: &mut Random, depth: u32) {
    match nested {
        Out::YMap(map) => edit_map(transaction, &map, random, depth),
        Out::YArray(array) => edit_array(transaction, &array, random, depth),
        Out::YText(text) => edit_text(transaction, &text, random),
        _ => {}
    }
}

/// What people see of a document, for comparison.
pub fn view(doc: &Doc) -> String {
    use yrs::types::ToJson;
    let (map, array) = (doc.get_or_insert_map("m"), doc.get_or_insert_array("a"));
    let (text, xml) = (doc.get_or_insert_text("t"), doc.get_or_insert_xml_fragment("x"));
    let transaction = doc.transact();
    // Neighbours with equal formats are one: where text is split is no one's business.
    let mut diff: Vec<(String, String)> = Vec::new();
    for chunk in text.diff(&transaction, yrs::types::text::YChange::identity) {
        let mut formats: Vec<String> = chunk
            .attributes
            .iter()
            .flat_map(|all| all.iter().map(|(key, value)| format!("{key}={value}")))
            .collect();
        formats.sort();
        let (formats, content) = (formats.join(","), chunk.insert.to_string(&transaction));
        match diff.last_mut() {
            Some((last, text)) if *last == formats => text.push_str(&content),
            _ => diff.push((formats, content)),
        }
    }
    format!(
        "{}\n{}\n{:?}\n{}",
        sorted(&map.to_json(&transaction)),
        sorted(&array.to_json(&transaction)),
        diff,
        xml.get_string(&transaction)
    )
}

fn sorted(value: &Any) -> String {
    match value {
        Any::Map(entries) => {
            let mut entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}:{}", sorted(value))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Any::Array(values) => format!("[{}]", values.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => format!("{other}"),
    }
}
