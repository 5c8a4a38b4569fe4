//! Who owns a client id, what others may bring of it, and what the log says of who wrote what.

mod claims;
mod honest;

use std::sync::Arc;

use parking_lot::Mutex;
use yrs::{Doc, In, Map, MapPrelim, Out, ReadTxn, StateVector, Text, TextPrelim, TextRef, Transact};

use super::super::*;
use crate::caller::Role;
use crate::caller::UserId;
use crate::gate::parse_presence;
use crate::history::{self, Retention};
use crate::ids::ClientId;
use crate::ids::RoomName;
use crate::log::Log;
use crate::log::memory::MemoryLog;
use crate::log::record::{Metadata, RoomKind};
use crate::room::load;
use crate::room::owners::Owners;
use crate::room::presence::{Announcer, Presence};

/// One instance's room with the people in it.
struct Room {
    log: Arc<dyn Log>,
    name: RoomName,
    instance: InstanceId,
    state: State,
    owners: Arc<Owners>,
    presence: Arc<Mutex<Presence>>,
    sessions: u64,
}

/// A session.
struct Person {
    session: SessionId,
    caller: Arc<Caller>,
    sent: u64,
}

impl Room {
    async fn open(kind: RoomKind) -> Self {
        Self::on(Arc::new(MemoryLog::new()), 1, kind).await
    }

    async fn on(log: Arc<dyn Log>, instance: u64, kind: RoomKind) -> Self {
        let (name, instance) = (RoomName::parse("r").unwrap(), InstanceId(instance));
        let mut state = load::load(&log, &name, (instance, 1), None).await.unwrap().state;
        let presence = Arc::<Mutex<Presence>>::default();
        let owners = Arc::new(Owners::new(Arc::clone(&presence)));
        state.set_kind(kind);
        state.share_owners(&owners);
        let mut room = Self::of(log, name, instance, state, owners, presence);
        if room.state.is_new() {
            let mut nobody = room.come("", None);
            room.edit(&mut nobody, &text_of_all()).await;
        }
        room
    }

    fn of(
        log: Arc<dyn Log>,
        name: RoomName,
        instance: InstanceId,
        state: State,
        owners: Arc<Owners>,
        presence: Arc<Mutex<Presence>>,
    ) -> Self {
        Self { log, name, instance, state, owners, presence, sessions: instance.0 * 1_000 }
    }

    /// A user comes, and shows itself under an id if there is one. An empty name is no identity.
    fn come(&mut self, user: &str, shows: Option<ClientId>) -> Person {
        self.sessions += 1;
        let user = (!user.is_empty()).then(|| UserId::from(user));
        let caller = Arc::new(Caller { user, ..Caller::anonymous(Role::Editor) });
        let person = Person { session: SessionId(self.sessions), caller, sent: 0 };
        self.owners.seat(person.session, person.caller.user.as_ref());
        if let Some(client) = shows {
            self.show(&person, client);
        }
        person
    }

    fn show(&self, person: &Person, client: ClientId) {
        let mut update = vec![1];
        crate::wire::lib0::write_var_uint(&mut update, client);
        crate::wire::lib0::write_var_uint(&mut update, person.session.0);
        update.extend_from_slice(b"\x02{}");
        let entries = parse_presence(&update).unwrap();
        let taken = self.owners.taken(person.caller.user.as_ref(), [client].into_iter());
        let by = Announcer::new(person.session, &person.caller);
        self.presence.lock().announce(&by, |client| taken.contains(&client), &entries, 0).unwrap();
    }

    fn go(&mut self, person: &Person) {
        self.owners.leave(person.session);
        self.state.forget_session(person.session);
        let mut presence = self.presence.lock();
        presence.leave(person.session, 0);
        presence.sweep(10_000);
    }

    fn send(&mut self, person: &mut Person, update: &[u8], source: Source) -> Result<Judged, SubmitError> {
        person.sent += 1;
        self.state.submit(&Submission {
            session: person.session,
            ordinal: person.sent,
            caller: Arc::clone(&person.caller),
            update: update.to_vec().into(),
            source,
            permit: Permit::Taken,
            at: None,
            cost: 1,
            admitted_ms: 1,
        })
    }

    /// Sends an edit and stores what is taken of it.
    async fn edit(&mut self, person: &mut Person, update: &[u8]) -> Judged {
        let judged = self.send(person, update, Source::Update).unwrap();
        self.store().await;
        judged
    }

    async fn store(&mut self) {
        while let Some(batch) = self.state.next_batch() {
            let appended = self.log.append(&self.name, batch).await.unwrap();
            self.state.on_committed(&appended).unwrap();
        }
    }

    /// The newest record: who made it, who brought it, what it claims.
    async fn newest(&self) -> (Option<String>, Option<String>, Vec<ClientId>) {
        let records = self.log.read(&self.name, 0, 1_000).await.unwrap();
        let Some(StoredRecord::Intact { record, .. }) = records.last() else { panic!("nothing is stored") };
        let Metadata { user, relayed_by, claims, .. } = record.metadata().unwrap();
        (user, relayed_by, claims)
    }

    fn owner(&self, client: ClientId) -> Option<String> {
        self.owners.owner(client).map(|user| user.to_string())
    }

    fn knows(&self, client: ClientId) -> u32 {
        self.state.gate.known(client)
    }

    async fn reload(&self) -> State {
        load::load(&self.log, &self.name, (self.instance, 9), None).await.unwrap().state
    }
}

fn made(
    user: &str,
    by: Option<&str>,
    claims: &[ClientId],
) -> (Option<String>, Option<String>, Vec<ClientId>) {
    (Some(user.to_owned()), by.map(str::to_owned), claims.to_vec())
}

/// A board on which there is a text to write in, by a client of its own.
fn text_of_all() -> Vec<u8> {
    let doc = Doc::with_client_id(1);
    let fields = MapPrelim::from_iter([("text", In::from(TextPrelim::new("")))]);
    doc.get_or_insert_map("actionItems").insert(&mut doc.transact_mut(), "t", fields);
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

/// A text that one client writes letter by letter; updates of single letters, and of all behind a state.
struct Writer {
    doc: Doc,
    letter: &'static str,
}

impl Writer {
    fn new(client: ClientId, letter: &'static str) -> Self {
        let writer = Self { doc: Doc::with_client_id(client), letter };
        writer.receive(&text_of_all());
        writer
    }

    fn text(&self) -> TextRef {
        let items = self.doc.get_or_insert_map("actionItems");
        let transaction = self.doc.transact();
        let Some(Out::YMap(item)) = items.get(&transaction, "t") else { panic!("the item is there") };
        let Some(Out::YText(text)) = item.get(&transaction, "text") else { panic!("the text is there") };
        text
    }

    fn write(&self) -> Vec<u8> {
        let text = self.text();
        let end = text.len(&self.doc.transact());
        self.write_at(end)
    }

    fn write_at(&self, at: u32) -> Vec<u8> {
        let text = self.text();
        let mut transaction = self.doc.transact_mut();
        text.insert(&mut transaction, at, self.letter);
        transaction.encode_update_v1()
    }

    fn receive(&self, update: &[u8]) {
        use yrs::updates::decoder::Decode;
        self.doc.transact_mut().apply_update(yrs::Update::decode_v1(update).unwrap()).unwrap();
    }

    fn all(&self) -> Vec<u8> {
        use yrs::updates::decoder::Decode;
        let text = yrs::Update::decode_v1(&text_of_all()).unwrap().state_vector();
        self.doc.transact().encode_state_as_update_v1(&text)
    }
}

/// [R43] Whoever writes first under an id owns it; while the owner is here, new blocks of it come from the
/// owner's sessions only. In a board they are left out, and what builds on them, and all else of the
/// message is stored; a free room stores them and says who brought them. Both report, once a session.
#[tokio::test]
async fn the_owner_alone_writes_while_here() {
    for kind in [RoomKind::Board, RoomKind::Free] {
        let board = kind == RoomKind::Board;
        let mut room = Room::open(kind).await;
        let (mut ann, mut mallory) = (room.come("ann", Some(7)), room.come("mallory", Some(8)));
        let (forger, theirs) = (Writer::new(7, "a"), Writer::new(8, "m"));
        let first = forger.write();
        room.edit(&mut ann, &first).await;
        assert_eq!(room.newest().await, made("ann", None, &[7]));
        assert!(!room.edit(&mut ann, &forger.write()).await.suspect.is_any());
        assert_eq!(room.newest().await, made("ann", None, &[]));

        theirs.receive(&forger.all());
        let own = theirs.write();
        theirs.receive(&forger.write());
        let judged = room.send(&mut mallory, &theirs.all(), Source::Update).unwrap();
        room.store().await;
        let suspect = Suspect { foreign: true, contradicts: false, first: true, pardoned: false };
        assert_eq!(judged.suspect, suspect, "{kind:?}");
        assert_eq!((room.knows(7), room.knows(8)), (if board { 2 } else { 3 }, 1), "{kind:?}");
        assert_eq!(judged.dropped.is_foreign(), board);
        assert!(!judged.dropped.is_gap(), "nothing is missing");
        let again = room.send(&mut mallory, &theirs.all(), Source::Step2).unwrap();
        assert!(!again.suspect.first, "it was reported");
        assert_eq!(room.newest().await.2, [8], "mallory owns 8, whatever it came with");
        assert_eq!(room.owner(7).as_deref(), Some("ann"));
        // What builds on what was left out waits too, and nobody is asked in a circle.
        let behind = theirs.write_at(3);
        let judged = room.send(&mut mallory, &behind, Source::Update).unwrap();
        assert_eq!(judged.dropped.is_gap() && !judged.dropped.is_foreign(), board, "{kind:?}: {judged:?}");
        let owing = room.state.take_owing();
        assert_eq!(owing.contains(&mallory.session), board);
        // Once ann has gone, it may honestly be what only mallory has.
        room.go(&ann);
        let judged = room.edit(&mut mallory, &theirs.all()).await;
        assert!(!judged.suspect.foreign && !judged.dropped.is_gap(), "{kind:?}: {judged:?}");
        assert_eq!((room.knows(7), room.knows(8)), (3, 2), "{kind:?}");
        drop(own);
    }
}

/// [R44] An id under which somebody shows itself cannot be taken before its first edit: not by edits, and
/// its owner's first edit is stored and claims it. Who has claimed an id by edits cannot be shown by another.
#[tokio::test]
async fn ids_cannot_be_squatted() {
    let mut room = Room::open(RoomKind::Board).await;
    let (mut ann, mut mallory) = (room.come("ann", Some(7)), room.come("mallory", Some(8)));
    let squat = Writer::new(7, "evil").write();
    for source in [Source::Update, Source::Step2] {
        let judged = room.send(&mut mallory, &squat, source).unwrap();
        assert!(judged.suspect.foreign && judged.decided_now && room.knows(7) == 0);
    }
    let mut nobody = room.come("", Some(9));
    assert!(room.send(&mut nobody, &squat, Source::Update).unwrap().suspect.foreign, "nor by the nameless");
    room.edit(&mut ann, &Writer::new(7, "a").write()).await;
    assert_eq!(room.newest().await, made("ann", None, &[7]));
    // The other way round: bob writes and shows nothing.
    let mut bob = room.come("bob", None);
    room.edit(&mut bob, &Writer::new(17, "b").write()).await;
    assert_eq!(room.newest().await, made("bob", None, &[17]));
    room.show(&mallory, 17);
    assert_eq!(room.presence.lock().holder(17), None);
    room.show(&bob, 17);
    assert_eq!(room.presence.lock().holder(17).flatten().map(AsRef::as_ref), Some("bob"));
}

/// [R44] In a free room the squatter's blocks are stored; that is reported, they give no ownership, and the
/// one whose id it is is told, in the report, that something else stands there.
#[tokio::test]
async fn free_rooms_report_squatters() {
    let mut room = Room::open(RoomKind::Free).await;
    let (mut ann, mut mallory) = (room.come("ann", Some(7)), room.come("mallory", Some(8)));
    let judged = room.edit(&mut mallory, &Writer::new(7, "m").write()).await;
    assert!(judged.suspect.foreign && room.knows(7) == 1);
    assert_eq!(room.newest().await, made("mallory", None, &[]));
    let judged = room.edit(&mut ann, &Writer::new(7, "a").write()).await;
    assert!(judged.suspect.contradicts && room.knows(7) == 1);
}

/// [R43] Tabs of one user bring each other's edits, own what they write, and return with it.
#[tokio::test]
async fn tabs_of_one_user_are_one_owner() {
    let mut room = Room::open(RoomKind::Board).await;
    let (mut tab, mut other) = (room.come("ann", Some(7)), room.come("ann", Some(8)));
    let (one, two) = (Writer::new(7, "a"), Writer::new(8, "b"));
    room.edit(&mut tab, &one.write()).await;
    two.receive(&one.all());
    two.write();
    one.write();
    two.receive(&one.all());
    let judged = room.send(&mut other, &two.all(), Source::Step2).unwrap();
    room.store().await;
    assert!(!judged.suspect.is_any() && !judged.dropped.is_gap());
    assert_eq!(room.newest().await, made("ann", None, &[8]));
    room.go(&tab);
    room.go(&other);
    let mut returned = room.come("ann", Some(9));
    two.write();
    assert!(!room.edit(&mut returned, &two.all()).await.suspect.is_any());
    assert_eq!(room.newest().await, made("ann", None, &[]));
    assert_eq!((room.knows(7), room.knows(8)), (2, 2));
}

/// [R47] Something else under an id and clock that are stored is noticed: in another place, of another kind, or
/// with other letters just after. A board refuses it whole, a free room reports it. What is sent again is
/// never taken for that, however it is cut and merged.
#[tokio::test]
async fn other_content_under_one_id_is_noticed() {
    use yrs::{Any, Array};
    let doc = || Doc::with_client_id(7);
    let elsewhere = {
        let doc = doc();
        doc.get_or_insert_map("m").insert(&mut doc.transact_mut(), "k", Any::from(1));
        doc.transact().encode_state_as_update_v1(&StateVector::default())
    };
    let a_type = {
        let doc = doc();
        doc.get_or_insert_array("t").push_back(&mut doc.transact_mut(), MapPrelim::default());
        doc.transact().encode_state_as_update_v1(&StateVector::default())
    };
    let letters = Writer::new(7, "b").write();
    for kind in [RoomKind::Board, RoomKind::Free] {
        for (what, update) in [("another root", &elsewhere), ("a type", &a_type), ("letters", &letters)] {
            let mut room = Room::open(kind).await;
            let (mut tab, mut copy) = (room.come("ann", Some(7)), room.come("ann", Some(7)));
            let own = Writer::new(7, "a");
            room.edit(&mut tab, &own.write()).await;
            let judged = room.send(&mut copy, update, Source::Update);
            match (kind, judged) {
                (RoomKind::Board, Err(SubmitError::Contradicts(suspect))) => {
                    assert!(suspect.contradicts && suspect.first)
                }
                (RoomKind::Free, Ok(judged)) => assert!(judged.suspect.contradicts, "{what}"),
                (_, judged) => panic!("{kind:?}, {what}: {judged:?}"),
            }
            assert_eq!(room.knows(7), 1);
            own.write();
            for source in [Source::Update, Source::Step2] {
                let judged = room.send(&mut copy, &own.all(), source).unwrap();
                assert!(!judged.suspect.is_any(), "{kind:?}, {what}: {judged:?}");
            }
        }
    }
}

/// [R43] Without identity nothing is judged and nothing is written down, whatever is brought by whom.
#[tokio::test]
async fn without_identity_the_rule_is_off() {
    let mut room = Room::open(RoomKind::Board).await;
    let (mut one, mut two) = (room.come("", Some(7)), room.come("", Some(8)));
    assert!(room.owners.is_off());
    room.edit(&mut one, &Writer::new(7, "a").write()).await;
    let other = Writer::new(7, "b");
    other.write();
    let judged = room.edit(&mut two, &other.write()).await;
    assert!(!judged.suspect.is_any() && room.knows(7) == 2);
    assert_eq!(room.newest().await, (None, None, Vec::new()));
    assert!(room.owners.is_off());
}
