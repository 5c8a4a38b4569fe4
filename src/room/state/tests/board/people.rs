//! A board and the people on it, each with a document that notes what its observers are told.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::{
    Any, ClientID, DeepObservable, Doc, Map, MapPrelim, MapRef, OffsetKind, Options, Out, ReadTxn,
    StateVector, Text, TextPrelim, Transact, TransactionMut, Update, WriteTxn, XmlElementPrelim, XmlFragment,
    XmlTextPrelim,
};

use super::super::super::*;
use crate::board::schema::ROOTS;
use crate::caller::Role;
use crate::caller::UserId;
use crate::history;
use crate::ids::ClientId;
use crate::ids::RoomName;
use crate::log::Log;
use crate::log::memory::MemoryLog;
use crate::log::record::RoomKind;
use crate::room::load;
use crate::room::owners::Owners;

pub(super) fn set(t: &mut TransactionMut<'_>, root: &str, key: &str, value: impl Into<Any>) {
    t.get_or_insert_map(root).insert(t, key, value.into());
}

pub(super) fn remove(t: &mut TransactionMut<'_>, root: &str, key: &str) {
    t.get_or_insert_map(root).remove(t, key);
}

/// A new card, in place of what was there.
pub(super) fn card(t: &mut TransactionMut<'_>, id: &str, author: Option<&str>) {
    let items = t.get_or_insert_map("items");
    let card = items.insert(t, id, MapPrelim::default());
    card.insert(t, "text", format!("text of {id}"));
    if let Some(author) = author {
        card.insert(t, "author", author);
    }
    card.insert(t, "createdAt", 1_700_000_000_000_i64);
}

/// A field of what stands in a root; nothing if that is no map.
pub(super) fn map_in(t: &TransactionMut<'_>, root: &str, id: &str) -> Option<MapRef> {
    match t.get_map(root)?.get(t, id)? {
        Out::YMap(map) => Some(map),
        _ => None,
    }
}

/// The text of a card becomes a shared one, with a bold piece.
pub(super) fn shared_text(t: &mut TransactionMut<'_>, id: &str, text: &str) {
    let Some(card) = map_in(t, "items", id) else { return };
    let shared = card.insert(t, "text", TextPrelim::new(text));
    let len = shared.len(t);
    shared.format(t, 1, len - 1, [("bold".into(), Any::from(true))].into());
}

/// What an editor of rich text writes: another root, of XML.
pub(super) fn paragraph(t: &mut TransactionMut<'_>, text: &str) {
    let root = t.get_or_insert_xml_fragment("default");
    let paragraph = root.push_back(t, XmlElementPrelim::empty("paragraph"));
    paragraph.push_back(t, XmlTextPrelim::new(text));
}

/// One document, and whose it is.
pub(super) struct Person {
    pub(super) doc: Doc,
    seen: Arc<Mutex<Vec<String>>>,
    known: Arc<Mutex<bool>>,
    session: SessionId,
    caller: Arc<Caller>,
    sent: u64,
    told: Vec<(Reason, u64)>,
    /// It is offline: nothing comes to it.
    pub(super) away: bool,
}

impl Person {
    pub(super) fn of(client: ClientId) -> Self {
        let options = Options {
            client_id: ClientID::new(client),
            offset_kind: OffsetKind::Utf16,
            ..Options::default()
        };
        let doc = Doc::with_options(options);
        let (seen, known) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Mutex::new(false)));
        for root in ROOTS {
            let (seen, known) = (Arc::clone(&seen), Arc::clone(&known));
            doc.get_or_insert_map(root).observe_deep("seen", move |t, _| {
                if *known.lock() {
                    return; // an edit of its own
                }
                let root = t.get_map(root).map(|map| map.to_json(t).to_string()).unwrap_or_default();
                seen.lock().push(root);
            });
        }
        let caller = Arc::new(Caller::anonymous(Role::Editor));
        let (session, told) = (SessionId(0), Vec::new());
        Self { doc, seen, known, session, caller, sent: 0, told, away: false }
    }

    pub(super) fn client(&self) -> ClientId {
        self.doc.client_id().get()
    }

    /// Loads the page again, without its copy.
    pub(super) fn renew(&mut self, all: &[u8]) {
        let Self { session, caller, sent, .. } = self;
        let (session, caller, sent) = (*session, Arc::clone(caller), *sent);
        *self = Self { session, caller, sent, ..Self::of(self.client()) };
        self.receive(all);
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    pub(super) fn clients(&self) -> Vec<ClientId> {
        self.doc.transact().state_vector().iter().map(|(client, _)| client.get()).collect()
    }

    /// Makes an edit, and says it as an update.
    pub(super) fn make(&self, edit: impl FnOnce(&mut TransactionMut<'_>)) -> Vec<u8> {
        *self.known.lock() = true;
        let mut transaction = self.doc.transact_mut();
        edit(&mut transaction);
        let update = transaction.encode_update_v1();
        drop(transaction);
        *self.known.lock() = false;
        update
    }

    pub(super) fn receive(&self, update: &[u8]) {
        assert!(self.takes(update), "it applies");
    }

    /// Takes an update in; a copy with something else under ids of others may not be able to.
    pub(super) fn takes(&self, update: &[u8]) -> bool {
        self.doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).is_ok()
    }

    /// Everything, as it is kept in a browser's store.
    pub(super) fn all(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// What observers of what came from others have read.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }

    pub(super) fn saw(&self, text: &str) -> bool {
        self.seen.lock().iter().any(|seen| seen.contains(text))
    }

    pub(super) fn json(&self) -> Value {
        let transaction = self.doc.transact();
        let roots = ROOTS.iter().map(|root| {
            let value = transaction.get_map(*root).map(|map| map.to_json(&transaction)).unwrap();
            ((*root).to_owned(), serde_json::to_value(&value).unwrap())
        });
        Value::Object(roots.collect())
    }
}

/// A board, and those who are on it.
pub(super) struct Board {
    pub(super) log: Arc<dyn Log>,
    pub(super) name: RoomName,
    instance: u64,
    pub(super) state: State,
    pub(super) people: Vec<Person>,
    pub(super) permit: Permit,
    pub(super) now_ms: u64,
    loads: u32,
}

impl Board {
    pub(super) async fn open() -> Self {
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
        let name = RoomName::parse("r").unwrap();
        let state = Self::load(&log, &name, (1, 1)).await;
        Self { log, name, instance: 1, state, people: Vec::new(), permit: Permit::Taken, now_ms: 1, loads: 1 }
    }

    async fn load(log: &Arc<dyn Log>, name: &RoomName, (instance, life): (u64, u32)) -> State {
        let mut state = load::load(log, name, (InstanceId(instance), life), None).await.unwrap().state;
        state.share_owners(&Arc::<Owners>::default());
        state.set_kind(RoomKind::Board);
        state
    }

    /// The room is loaded again.
    pub(super) async fn reload(&mut self) {
        self.loads += 1;
        self.state = Self::load(&self.log, &self.name, (self.instance, self.loads)).await;
    }

    /// The same board on another instance, with nobody on it.
    pub(super) async fn beside(&self) -> Self {
        self.beside_as(2).await
    }

    pub(super) async fn beside_as(&self, instance: u64) -> Self {
        let (log, name) = (Arc::clone(&self.log), self.name.clone());
        let mut state = load::load(&log, &name, (InstanceId(instance), 1), None).await.unwrap().state;
        state.share_owners(&Arc::<Owners>::default());
        let (people, permit) = (Vec::new(), Permit::Taken);
        Self { log, name, instance, state, people, permit, now_ms: self.now_ms, loads: 1 }
    }

    /// What other instances have stored comes to this one, and to its people.
    pub(super) async fn hear(&mut self) -> Result<(), StoredError> {
        let news = self.log.read(&self.name, self.state.committed().seq, 10_000).await.unwrap();
        let epoch = self.state.seen().epoch;
        let Foreign { shown, set_aside } = self.state.on_stored(&news, epoch)?;
        assert!(set_aside.is_empty(), "{set_aside:?}");
        if let Some(Shown::Small(update, _)) = shown {
            self.people.iter().for_each(|person| person.receive(&update));
        }
        Ok(())
    }

    /// Sends what waits to the log, and hears no answer.
    pub(super) async fn send(&mut self) {
        let batch = self.state.next_batch().expect("something waits");
        self.log.append(&self.name, batch).await.expect("it is stored");
    }

    /// Somebody comes, with a client id of an own.
    pub(super) fn come(&mut self, user: &str, role: Role) -> usize {
        let client = 1_000_003 * (self.people.len() as u64 * 7 % 5 + 1) + self.people.len() as u64;
        self.come_as(Person::of(client), user, role)
    }

    pub(super) fn come_as(&mut self, mut person: Person, user: &str, role: Role) -> usize {
        let user = (!user.is_empty()).then(|| UserId::from(user));
        person.session = SessionId(self.people.len() as u64 + 1);
        person.caller = Arc::new(Caller { user, ..Caller::anonymous(role) });
        person.receive(&self.state.document.encode_full());
        self.people.push(person);
        self.people.len() - 1
    }

    pub(super) fn make(&self, who: usize, edit: impl FnOnce(&mut TransactionMut<'_>)) -> Vec<u8> {
        self.people[who].make(edit)
    }

    pub(super) fn submit(&mut self, who: usize, update: &[u8]) -> Result<Judged, SubmitError> {
        self.submit_as(who, update, Source::Update)
    }

    pub(super) fn submit_as(
        &mut self,
        who: usize,
        update: &[u8],
        source: Source,
    ) -> Result<Judged, SubmitError> {
        let person = &mut self.people[who];
        let submission = Submission {
            session: person.session,
            ordinal: person.sent + 1,
            caller: Arc::clone(&person.caller),
            update: update.to_vec().into(),
            source,
            permit: self.permit,
            at: None,
            cost: 1,
            admitted_ms: self.now_ms,
        };
        let mut judged = self.state.submit(&submission);
        if matches!(judged, Err(SubmitError::Refused(Refusal::OrderUnknown))) {
            self.state.learn_order().unwrap();
            judged = self.state.submit(&submission);
        }
        self.people[who].sent += u64::from(judged.is_ok());
        judged
    }

    /// Brings an update as the room's task does: again, with nothing under way, if it has to be.
    pub(super) async fn bring(&mut self, who: usize, update: &[u8]) {
        self.bring_as(who, update, Source::Update).await;
    }

    pub(super) async fn bring_as(&mut self, who: usize, update: &[u8], source: Source) {
        match self.submit_as(who, update, source) {
            Err(SubmitError::NotNow) => {
                self.store().await;
                self.submit_as(who, update, source).expect("nothing is under way");
            }
            judged => drop(judged.expect("it is taken")),
        }
        if self.state.is_exact_under_way() {
            self.store().await;
        }
    }

    /// Somebody edits, and it is stored and shown.
    pub(super) async fn edit(&mut self, who: usize, edit: impl FnOnce(&mut TransactionMut<'_>)) {
        let update = self.make(who, edit);
        self.bring(who, &update).await;
        self.store().await;
    }

    /// Stores what waits, and shows it to everyone but its sole author.
    pub(super) async fn store(&mut self) {
        while let Some(batch) = self.state.next_batch() {
            let appended = self.log.append(&self.name, batch).await.unwrap();
            let Committed { shown, broken, .. } = self.state.on_committed(&appended).unwrap();
            for (session, ordinal, reason) in broken {
                let Person { told, sent, .. } = &mut self.people[session.0 as usize - 1];
                assert!(ordinal <= *sent && told.last().is_none_or(|(_, before)| *before < ordinal));
                told.push((reason, ordinal));
            }
            let (update, author) = match shown {
                Shown::Small(update, author) => (update, author),
                Shown::Large(frame, author) => (update_in(&frame), author),
                Shown::Apart(..) => panic!("one instance stores one update after the other"),
            };
            for person in
                self.people.iter().filter(|person| author.sole() != Some(person.session) && !person.away)
            {
                person.receive(&update);
            }
        }
    }

    /// Why edits were mended, since this was asked last.
    pub(super) fn told(&mut self, who: usize) -> Vec<Reason> {
        std::mem::take(&mut self.people[who].told).into_iter().map(|(reason, _)| reason).collect()
    }

    pub(super) fn json(&self, who: usize) -> Value {
        self.people[who].json()
    }

    pub(super) async fn records(&self) -> Vec<Record> {
        let records = self.log.read(&self.name, 0, 100_000).await.unwrap();
        let record = |stored| match stored {
            StoredRecord::Intact { record, .. } => record,
            StoredRecord::Damaged { position, why } => panic!("{position}: {why}"),
        };
        records.into_iter().map(record).collect()
    }

    /// All of the log, folded.
    pub(super) async fn fold(&self) -> history::Fold {
        let mut walk = history::walk(&self.log, &self.name, history::Range::TO_HEAD).await.unwrap().unwrap();
        walk.to_end().await.unwrap();
        let fold = walk.into_fold().unwrap();
        assert!(fold.set_aside().is_empty(), "{:?}", fold.set_aside());
        fold
    }

    /// How many records are passed over by who folds them one by one.
    pub(super) async fn passed_over(&self) -> usize {
        let mut walk = history::walk(&self.log, &self.name, history::Range::TO_HEAD).await.unwrap().unwrap();
        let mut passed_over = 0;
        while let Some(step) = walk.next().await.unwrap() {
            passed_over +=
                usize::from(matches!(step, history::Step::Record(_, history::Folded::PassedOver, _)));
        }
        passed_over
    }

    /// Whether the server has written under an id.
    pub(super) fn is_server(&self, client: ClientId) -> bool {
        self.state.rules.client() == client
    }

    /// Everyone has the same: those who are here, who comes now, each with what a browser has kept of it, the room's own
    /// document, and one that is folded from the log.
    pub(super) async fn same(&mut self) {
        self.store().await;
        let folded = Self::load(&self.log, &self.name, (self.instance, 99)).await.document.encode_full();
        let newcomer = Person::of(900_001);
        newcomer.receive(&folded);
        let expected = newcomer.json();
        let own = Person::of(900_002);
        own.receive(&self.state.document.encode_full());
        assert_eq!(own.json(), expected, "the room's document");
        for who in 0..self.people.len() {
            assert_eq!(self.json(who), expected, "person {who}");
            let kept = self.people[who].all();
            let returned = Person::of(900_003 + who as u64);
            returned.receive(&kept);
            returned.receive(&self.state.document.diff(&state_vector(&returned)).unwrap());
            assert_eq!(returned.json(), expected, "person {who} with what it has kept");
            // And it brings nothing: neither as a Step2 nor by what it deletes.
            let judged = self.submit_as(who, &kept, Source::Step2).unwrap();
            assert!(judged.decided_now, "person {who} brings something: {judged:?}");
        }
    }
}

fn state_vector(person: &Person) -> Vec<u8> {
    use yrs::updates::encoder::Encode;
    person.doc.transact().state_vector().encode_v1()
}

/// The update in a whole frame: behind a long header of WebSocket, two tags and a length.
fn update_in(frame: &crate::wire::voice::SharedFrame) -> Bytes {
    let frame = frame.for_voice(&crate::wire::voice::Voice::YSweet);
    assert_eq!((frame[1], &frame[10..12]), (127, &[0, 2][..]), "an update that is large");
    let digits = frame[12..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    frame.slice(12 + digits..)
}
