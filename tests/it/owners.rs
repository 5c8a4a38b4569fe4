//! People with identities on two instances, without sockets: under whose name somebody is seen, and whose
//! edits are stored. Rules R40 to R48 of docs/RULES.md; the rules themselves are tested in
//! `src/room/presence/tests/people.rs` and `src/room/state/tests/ownership.rs`, here is the way through the room.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod life_support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use life_support::{Nowhere, room, until_closed};
use ruang::caller::{Caller, Role};
use ruang::clock::system_clock;
use ruang::gate::{Source, parse_presence};
use ruang::ids::InstanceId;
use ruang::kind::Boards;
use ruang::log::Log;
use ruang::log::memory::MemoryLog;
use ruang::log::record::{Metadata, RoomKind, StoredRecord};
use ruang::room::outside::Edit;
use ruang::room::{Entry, Member, Rooms, RoomsOptions};
use ruang::session::Permit;
use ruang::telemetry::Metrics;
use ruang::wire::lib0::write_var_uint;
use ruang::wire::voice::Voice;
use ruang::wire::{Message, y_websocket};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use yrs::updates::decoder::Decode;
use yrs::{
    Doc, GetString, In, Map, MapPrelim, Out, ReadTxn, StateVector, Text, TextPrelim, TextRef, Transact,
    Update,
};

const PATIENCE: Duration = Duration::from_secs(120);

/// Two instances on one log, with boards.
struct Pair {
    log: Arc<dyn Log>,
    one: Arc<Rooms>,
    two: Arc<Rooms>,
}

impl Pair {
    /// There is a text to write in already.
    async fn start(kind: RoomKind) -> Self {
        let (log, _) = MemoryLog::for_instances(system_clock());
        let log: Arc<dyn Log> = Arc::new(log);
        let boards = if kind == RoomKind::Board { Boards::all() } else { Boards::default() };
        let rooms = |instance| {
            let boards = boards.clone();
            let options =
                RoomsOptions { boards, idle_unload: Duration::from_millis(20), ..RoomsOptions::default() };
            Rooms::new(Arc::clone(&log), InstanceId(instance), options, Arc::new(Metrics::new()))
        };
        let (one, two) = (rooms(1), rooms(2));
        let doc = Doc::with_client_id(1);
        let fields = MapPrelim::from_iter([("text", In::from(TextPrelim::new("")))]);
        doc.get_or_insert_map("actionItems").insert(&mut doc.transact_mut(), "t", fields);
        let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
        let edit = Edit { update: update.into(), source: Source::Update, caller: Caller::anyone(), at: None };
        one.write(&room("r"), edit).await.expect("the board begins");
        Self { log, one, two }
    }

    async fn records(&self) -> Vec<Metadata> {
        let records = self.log.read(&room("r"), 0, 1_000).await.unwrap();
        let metadata = |stored: StoredRecord| match stored {
            StoredRecord::Intact { record, .. } => record.metadata().unwrap(),
            StoredRecord::Damaged { position, why } => panic!("{position}: {why}"),
        };
        records.into_iter().map(metadata).collect()
    }
}

fn text_of(doc: &Doc) -> TextRef {
    let items = doc.get_or_insert_map("actionItems");
    let transaction = doc.transact();
    let Some(Out::YMap(item)) = items.get(&transaction, "t") else { panic!("the item is there") };
    let Some(Out::YText(text)) = item.get(&transaction, "text") else { panic!("the text is there") };
    text
}

/// A page: a document, and the presence that it shows and sees.
struct Page {
    member: Member,
    doc: Doc,
    clock: u64,
    sent: u64,
    decided: u64,
    asked: usize,
    left_out: usize,
    closed: Option<u16>,
    seen: HashMap<u64, Option<Value>>,
}

impl Page {
    async fn open(rooms: &Arc<Rooms>, user: &str, id: u64) -> Self {
        Self::with(rooms, user, Doc::with_client_id(id), id).await
    }

    async fn with(rooms: &Arc<Rooms>, user: &str, doc: Doc, id: u64) -> Self {
        let caller = Caller {
            user: Some(user.into()),
            name: Some(format!("{user} by token").into()),
            color: Some("#abcdef".into()),
            ..Caller::anonymous(Role::Editor)
        };
        let entry = Entry { caller: Arc::new(caller), ..Entry::anonymous(Arc::new(Nowhere)) };
        assert!(matches!(entry.voice, Voice::YWebsocket { .. }));
        let mut member = rooms.join(&room("r"), entry).await.expect("the room takes people");
        let vector = doc.transact().state_vector();
        let frame =
            member.sync(yrs::updates::encoder::Encode::encode_v1(&vector).into(), true).await.unwrap();
        let (clock, seen) = (0, HashMap::new());
        let mut page =
            Self { member, doc, clock, sent: 0, decided: 0, asked: 0, left_out: 0, closed: None, seen };
        page.take(&frame);
        page.show(id, "{\"user\":{\"name\":\"Alice ADMIN\"}}");
        page
    }

    /// Announces a state under an id, as y-websocket does.
    fn show(&mut self, id: u64, state: &str) {
        self.clock += 1;
        let mut update = vec![1];
        write_var_uint(&mut update, id);
        write_var_uint(&mut update, self.clock);
        write_var_uint(&mut update, state.len() as u64);
        update.extend_from_slice(state.as_bytes());
        self.member.announce(&update).expect("it is well formed");
    }

    /// Writes a letter.
    fn letter(&self, letter: &str) -> Vec<u8> {
        let text = text_of(&self.doc);
        let mut transaction = self.doc.transact_mut();
        text.push(&mut transaction, letter);
        transaction.encode_update_v1()
    }

    async fn send(&mut self, update: Vec<u8>, source: Source) {
        self.sent += 1;
        self.member.submit(update.into(), source, Permit::Taken, self.sent).await.expect("the room is there");
    }

    async fn write(&mut self, letter: &str) {
        let update = self.letter(letter);
        self.send(update, Source::Update).await;
        self.until("an ack", |page| page.decided == page.sent).await;
    }

    fn all(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    fn text(&self) -> String {
        text_of(&self.doc).get_string(&self.doc.transact())
    }

    /// The name under which an id is seen.
    fn name_of(&self, id: u64) -> Option<&str> {
        self.seen.get(&id)?.as_ref()?["user"]["name"].as_str()
    }

    fn take(&mut self, frame: &Bytes) {
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let (message, _) = y_websocket::decode(&frame.slice(header..)).expect("a message");
        match message {
            Message::SyncStep2(update) | Message::Update(update) => {
                let update = Update::decode_v1(&update).expect("an update");
                self.doc.transact_mut().apply_update(update).expect("it applies");
            }
            Message::Presence(update) => {
                for entry in parse_presence(&update).expect("it is well formed") {
                    let state = entry.state.map(|state| serde_json::from_str(state).expect("JSON"));
                    self.seen.insert(entry.client, state);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
            let news = self.member.news();
            news.frames.iter().for_each(|frame| self.take(frame));
            self.asked += usize::from(news.post.gap);
            self.left_out += usize::from(news.post.left_out);
            self.decided = news.post.ack.map_or(self.decided, |(decided, _)| decided);
            self.closed = news.post.close.map(|close| close.code).or(self.closed);
            if !holds(self) {
                let _ = timeout(Duration::from_secs(1), self.member.woken()).await;
            }
        }
    }
}

/// [R42] [R41] A viewer who calls itself "Alice ADMIN" is seen under its token's name, by others of its instance
/// and of the other one; a forger on either instance changes nothing, and is counted.
#[tokio::test(start_paused = true)]
async fn people_are_seen_under_their_own_names() {
    let pair = Pair::start(RoomKind::Free).await;
    let mut ann = Page::open(&pair.one, "ann", 7).await;
    let mut bob = Page::open(&pair.one, "bob", 8).await;
    let mut cleo = Page::open(&pair.two, "cleo", 9).await;
    for page in [&mut ann, &mut bob, &mut cleo] {
        page.until("three people", |page| page.seen.values().flatten().count() == 3).await;
        let names: Vec<_> = [7, 8, 9].iter().map(|&id| page.name_of(id)).collect();
        assert_eq!(names, [Some("ann by token"), Some("bob by token"), Some("cleo by token")]);
        assert_eq!(page.seen[&7].as_ref().unwrap()["user"]["color"], "#abcdef");
    }
    for (rooms, id) in [(&pair.one, 66), (&pair.two, 76)] {
        let mut mallory = Page::open(rooms, "mallory", id).await;
        mallory.clock = 50;
        mallory.show(7, "{\"x\":1}");
        mallory.show(7, "null");
        mallory.show(id + 1, "{}");
        for page in [&mut ann, &mut bob, &mut cleo] {
            page.until("mallory's own id", |page| page.seen.get(&(id + 1)).is_some_and(Option::is_some))
                .await;
            assert_eq!(page.name_of(7), Some("ann by token"));
        }
        drop(mallory);
        cleo.until("mallory has gone", |page| page.seen[&(id + 1)].is_none()).await;
        ann.show(7, "{}");
        tokio::time::sleep(Duration::from_secs(15)).await;
        bob.show(8, "{}");
        cleo.show(9, "{}");
        assert_eq!(rooms.metrics().owners.presence_stripped.get(), 1);
    }
    pair.one.shut_down().await;
    pair.two.shut_down().await;
}

/// [R43] [R41] Ann writes on one instance; mallory, on the other one, adds to what she writes, in her name. It is
/// left out and reported. When ann has left, mallory is asked for it, and it is stored as what it is then:
/// hers, brought by mallory. A reload of the room still knows whose id it is.
#[tokio::test(start_paused = true)]
async fn nobody_writes_for_who_is_here() {
    let pair = Pair::start(RoomKind::Board).await;
    let mut ann = Page::open(&pair.one, "ann", 7).await;
    let mut mallory = Page::open(&pair.two, "mallory", 8).await;
    ann.write("a").await;
    mallory.until("ann's letter", |page| page.text() == "a").await;
    mallory.until("ann", |page| page.name_of(7).is_some()).await;

    let forger = Doc::with_client_id(7);
    forger.transact_mut().apply_update(Update::decode_v1(&mallory.all()).unwrap()).unwrap();
    let forged = {
        let text = text_of(&forger);
        let mut transaction = forger.transact_mut();
        text.push(&mut transaction, "!");
        transaction.encode_update_v1()
    };
    let asked = mallory.asked;
    mallory.send(forged.clone(), Source::Update).await;
    mallory.until("an answer", |page| page.decided == page.sent).await;
    assert_eq!(pair.two.metrics().owners.updates_foreign.get(), 1);
    assert_eq!(mallory.asked, asked, "it is not asked for now");
    assert_eq!(mallory.left_out, 1, "and not called stored");
    mallory.write("m").await;
    ann.until("mallory's own letter", |page| page.text() == "am").await;
    assert_eq!(pair.records().await.last().unwrap().claims, [8]);

    // With the next beat the instance asks for what was left out. It is left out again.
    mallory.until("a question", |page| page.asked > asked).await;
    mallory.send(forged.clone(), Source::Step2).await;
    mallory.until("an answer", |page| page.decided == page.sent).await;
    ann.show(7, "{}");
    assert_eq!(ann.text(), "am");
    drop(ann);
    let asked = mallory.asked;
    mallory.until("ann has gone", |page| page.seen[&7].is_none()).await;
    mallory.until("another question", |page| page.asked > asked).await;
    mallory.send(forged, Source::Step2).await;
    mallory.until("an answer", |page| page.decided == page.sent).await;
    let record = pair.records().await.pop().unwrap();
    assert_eq!((record.user.as_deref(), record.relayed_by.as_deref()), (Some("ann"), Some("mallory")));

    drop(mallory);
    until_closed(&pair.one, &room("r")).await;
    until_closed(&pair.two, &room("r")).await;
    let mut ann = Page::open(&pair.one, "ann", 17).await;
    let mut mallory = Page::open(&pair.one, "mallory", 18).await;
    mallory.show(7, "{\"squatted\":true}");
    ann.until("mallory", |page| page.name_of(18).is_some()).await;
    assert_eq!((ann.text().len(), ann.seen.get(&7)), (3, None), "7 is ann's, whatever she shows now");
    pair.one.shut_down().await;
    pair.two.shut_down().await;
}

/// [R47] Two pages with one client id: the second one is told to reload before its document differs in silence,
/// and nothing of what it says is stored. The first one goes on. A free room only counts it.
#[tokio::test(start_paused = true)]
async fn a_page_with_somebody_elses_id_is_told_to_reload() {
    for kind in [RoomKind::Board, RoomKind::Free] {
        let pair = Pair::start(kind).await;
        let mut tab = Page::open(&pair.one, "ann", 7).await;
        let mut copy = Page::open(&pair.one, "ann", 7).await;
        tab.write("a").await;
        let update = copy.letter("b");
        copy.send(update, Source::Update).await;
        if kind == RoomKind::Board {
            copy.until("a close", |page| page.closed == Some(4409)).await;
        } else {
            copy.until("an answer", |page| page.decided == page.sent).await;
        }
        tab.write("c").await;
        assert_eq!((tab.text().as_str(), tab.closed), ("ac", None));
        assert_eq!(pair.one.metrics().owners.updates_contradicting.get(), 1);
        assert_eq!(pair.records().await.len(), 4, "the genesis record, the text, and two letters");
        pair.one.shut_down().await;
    }
}

/// [R45] What a browser has kept of somebody who is away comes through another one, is stored, shown, and
/// attributed.
#[tokio::test(start_paused = true)]
async fn kept_edits_of_the_absent_come_through_others() {
    let pair = Pair::start(RoomKind::Board).await;
    let mut ann = Page::open(&pair.one, "ann", 7).await;
    ann.write("a").await;
    let _offline = ann.letter("n");
    let kept = ann.all();
    drop(ann);
    let mut cleo = Page::open(&pair.two, "cleo", 9).await;
    cleo.until("ann is known", |page| page.seen.contains_key(&7)).await;
    cleo.until("ann has gone", |page| page.seen[&7].is_none()).await;
    let mut bob = Page::open(&pair.two, "bob", 8).await;
    bob.send(kept, Source::Update).await;
    cleo.until("both letters", |page| page.text() == "an").await;
    let record = pair.records().await.pop().unwrap();
    assert_eq!((record.user.as_deref(), record.relayed_by.as_deref()), (Some("ann"), Some("bob")));
    assert_eq!(pair.two.metrics().owners.updates_foreign.get(), 0);
    pair.one.shut_down().await;
    pair.two.shut_down().await;
}
