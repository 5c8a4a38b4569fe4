//! Who owns a client id, what others may bring of it, and what the log says of who wrote what.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use yrs::{Doc, ReadTxn, StateVector, Text, Transact};

use super::tests::random_docs::{Client, Random, view};
use super::*;
use crate::caller::Role;
use crate::gate::parse_presence;
use crate::history::{self, Retention};
use crate::ids::RoomName;
use crate::log::Log;
use crate::log::memory::MemoryLog;
use crate::log::record::RoomKind;
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
        state.share_owners(&owners, kind);
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

/// A text that one client writes letter by letter; updates of single letters, and of all behind a state.
struct Writer {
    doc: Doc,
    letter: &'static str,
}

impl Writer {
    fn new(client: ClientId, letter: &'static str) -> Self {
        Self { doc: Doc::with_client_id(client), letter }
    }

    fn write(&self) -> Vec<u8> {
        let text = self.doc.get_or_insert_text("t");
        let end = text.len(&self.doc.transact());
        self.write_at(end)
    }

    fn write_at(&self, at: u32) -> Vec<u8> {
        let text = self.doc.get_or_insert_text("t");
        let mut transaction = self.doc.transact_mut();
        text.insert(&mut transaction, at, self.letter);
        transaction.encode_update_v1()
    }

    fn receive(&self, update: &[u8]) {
        use yrs::updates::decoder::Decode;
        self.doc.transact_mut().apply_update(yrs::Update::decode_v1(update).unwrap()).unwrap();
    }

    fn all(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
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
        let suspect = Suspect { foreign: true, contradicts: false, first: true };
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

/// [R45] Edits of somebody who is away arrive through others, as Step2 and as Update, and are stored as what
/// they are: made by the owner, brought by the other. Records with edits of several say so.
#[tokio::test]
async fn edits_of_the_absent_are_attributed() {
    let mut room = Room::open(RoomKind::Board).await;
    let (mut ann, mut bob) = (room.come("ann", Some(7)), room.come("bob", Some(8)));
    let (hers, his) = (Writer::new(7, "a"), Writer::new(8, "b"));
    room.edit(&mut ann, &hers.write()).await;
    room.edit(&mut bob, &his.write()).await;
    room.go(&ann);
    room.go(&bob);
    hers.write(); // offline; cleo's browser gets it from person to person
    let mut cleo = room.come("cleo", Some(9));
    room.send(&mut cleo, &hers.all(), Source::Step2).unwrap();
    room.store().await;
    assert_eq!(room.newest().await, made("ann", Some("cleo"), &[]));
    hers.write();
    room.edit(&mut cleo, &hers.all()).await;
    assert_eq!(room.newest().await, made("ann", Some("cleo"), &[]));
    // Two others, and cleo's own: the claims tell whose is whose.
    hers.write();
    his.write();
    let mixed = Writer::new(9, "c");
    mixed.receive(&hers.all());
    mixed.receive(&his.all());
    room.edit(&mut cleo, &mixed.all()).await;
    assert_eq!(room.newest().await, made("cleo", Some("cleo"), &[]), "each of them owns what is theirs");
    mixed.write();
    room.edit(&mut cleo, &mixed.all()).await;
    assert_eq!(room.newest().await, made("cleo", None, &[9]));
    // Without an identity nothing is said of who made it: an owner's name is not given away.
    room.go(&cleo);
    let mut nobody = room.come("", None);
    hers.write();
    room.edit(&mut nobody, &hers.all()).await;
    assert_eq!(room.newest().await, (None, None, Vec::new()));
    assert_eq!(room.owner(7).as_deref(), Some("ann"));
    let returned = room.come("ann", Some(7));
    assert_eq!(room.presence.lock().holder(7).flatten().map(AsRef::as_ref), Some("ann"));
    drop(returned);
}

/// [R45] A copy of a document gives nobody what others wrote in it; who showed itself under an id of it, or
/// goes on with the only one it brought, owns that.
#[tokio::test]
async fn copies_make_no_owners() {
    let mut room = Room::open(RoomKind::Board).await;
    let (one, two) = (Writer::new(7, "a"), Writer::new(8, "b"));
    one.write();
    two.receive(&one.all());
    two.write();
    let mut bob = room.come("bob", None);
    room.send(&mut bob, &two.all(), Source::Step2).unwrap();
    room.store().await;
    assert_eq!(room.newest().await, made("bob", None, &[]));
    // Ann, whose first edit bob has brought, goes on; nobody owns what she has not been the first to bring.
    let mut ann = room.come("ann", Some(7));
    assert!(!room.edit(&mut ann, &one.write()).await.suspect.is_any());
    assert_eq!((room.newest().await, room.owner(7)), (made("ann", None, &[]), None));
    one.write();
    let forged = room.send(&mut bob, &one.all(), Source::Update).unwrap();
    assert!(forged.suspect.foreign, "but she is here under that id");
    room.edit(&mut bob, &two.write()).await;
    assert_eq!(room.newest().await, made("bob", None, &[8]));
}

/// [R46] Claims survive a reload and compaction, and another instance has them from the records.
#[tokio::test]
async fn claims_last_as_long_as_the_room() {
    let mut room = Room::open(RoomKind::Board).await;
    let mut expected = BTreeMap::new();
    for (client, user) in [(7, "ann"), (8, "bob"), (9, "ann")] {
        let mut person = room.come(user, Some(client));
        room.edit(&mut person, &Writer::new(client, "x").write()).await;
        room.go(&person);
        expected.insert(client, UserId::from(user));
    }
    let owners = |state: &State| state.owners().stored().into_iter().collect::<BTreeMap<_, _>>();
    assert_eq!(owners(&room.reload().await), expected);
    history::compact(&room.log, &room.name, Retention { age_ms: 0, bytes: 0 }).await.unwrap();
    assert_eq!(owners(&room.reload().await), expected, "they are in the snapshot");

    let mut other = Room::on(Arc::clone(&room.log), 2, RoomKind::Board).await;
    let mut dan = room.come("dan", Some(10));
    room.edit(&mut dan, &Writer::new(10, "d").write()).await;
    let seen = other.state.committed().seq;
    let news = room.log.read(&room.name, seen, 10).await.unwrap();
    other.state.on_stored(&news, other.state.seen().epoch).unwrap();
    expected.insert(10, "dan".into());
    assert_eq!(owners(&other.state), expected);
    // Dan is with the first instance, which the second one knows by whispers.
    let mut mallory = other.come("mallory", Some(11));
    let forged = Writer::new(10, "d");
    let _ = forged.write();
    forged.write();
    let whispers = room.presence.lock().ours();
    assert!(whispers.iter().all(|whisper| other.presence.lock().announce_of(InstanceId(1), whisper, 0)));
    assert!(other.edit(&mut mallory, &forged.all()).await.suspect.foreign);
    assert_eq!(other.knows(10), 1);
    other.show(&mallory, 10);
    assert_eq!(other.presence.lock().holder(10).flatten().map(AsRef::as_ref), Some("dan"));
}

/// [R46] Claims that the log refused are forgotten; where two instances claim an id at once, the log says who
/// was first, to both of them and to every reload.
#[tokio::test]
async fn the_first_claim_in_the_log_counts() {
    let mut room = Room::open(RoomKind::Board).await;
    let (mut ann, mut bob) = (room.come("ann", Some(7)), room.come("bob", Some(8)));
    room.send(&mut ann, &Writer::new(7, "a").write(), Source::Update).unwrap();
    assert_eq!(room.owner(7).as_deref(), Some("ann"), "from the moment it is on its way");
    room.state.next_batch().unwrap();
    room.state.drop_overlay();
    assert_eq!(room.owner(7), None);
    room.edit(&mut bob, &Writer::new(8, "b").write()).await;

    let mut other = Room::on(Arc::clone(&room.log), 2, RoomKind::Board).await;
    let mut cleo = other.come("cleo", None);
    other.send(&mut cleo, &Writer::new(17, "c").write(), Source::Update).unwrap();
    let mut dan = room.come("dan", None);
    room.edit(&mut dan, &Writer::new(17, "d").write()).await;
    let seen = other.state.committed().seq;
    let news = other.log.read(&other.name, seen, 10).await.unwrap();
    other.state.on_stored(&news, other.state.seen().epoch).unwrap();
    other.store().await;
    assert_eq!((room.owner(17).as_deref(), other.owner(17).as_deref()), (Some("dan"), Some("dan")));
    assert_eq!(room.reload().await.owners().owner(17).as_deref(), Some("dan"));
}

/// [R46] What a store has lost of claims is stored again with the blocks.
#[tokio::test]
async fn healing_brings_claims_back() {
    let mut room = Room::open(RoomKind::Board).await;
    for (client, user) in [(7, "ann"), (8, "bob")] {
        let mut person = room.come(user, Some(client));
        room.edit(&mut person, &Writer::new(client, "x").write()).await;
    }
    let mut empty = Room::open(RoomKind::Board).await;
    let claims = room.state.claims_unknown_to(&empty.state);
    let lost = room.state.lacking(&[0]).unwrap();
    assert!(empty.state.draft_heal(&lost, claims, 1).unwrap());
    empty.store().await;
    let healed = empty.reload().await;
    let owner = |client| healed.owners().owner(client).map(|user| user.to_string());
    assert_eq!((owner(7).as_deref(), owner(8).as_deref()), (Some("ann"), Some("bob")));
    // And whoever is asked for what is lost may bring it, whoever has written it.
    let mut mallory = empty.come("mallory", Some(9));
    let ann = empty.come("ann", Some(17));
    let more = Writer::new(7, "x");
    (0..3).for_each(|_| drop(more.write()));
    assert!(empty.send(&mut mallory, &more.all(), Source::Step2).unwrap().suspect.foreign);
    empty.state.pardon(mallory.session);
    let judged = empty.send(&mut mallory, &more.all(), Source::Step2).unwrap();
    assert!(!judged.suspect.foreign && empty.knows(7) == 3);
    drop(ann);
}

/// [R47] Something else under an id and clock that are stored is noticed: in another place, of another kind, or
/// with other letters just after. A board refuses it whole, a free room reports it. What is sent again is
/// never taken for that, however it is cut and merged.
#[tokio::test]
async fn other_content_under_one_id_is_noticed() {
    use yrs::{Any, Array, Map, MapPrelim};
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

/// [R48] Three users who edit offline, leave and return, and bring each other's edits, lose nothing: at the end
/// each has all edits, and so has the room, also after compaction and a reload. No honest session is ever told
/// that it contradicts, and each id is owned by its user or by nobody.
#[tokio::test]
async fn honest_relays_lose_nothing() {
    for seed in (1..=40).map(|n| n * 7_919) {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut room = Room::open(RoomKind::Board).await;
        let users = ["ann", "bob", "cleo"];
        // Some clients show themselves under their id, some under another one or not at all.
        let shows = |id: u64, random: &mut Random| match random.below(4) {
            0 => None,
            1 => Some(id + 1_000_000),
            _ => Some(id),
        };
        let mut clients: Vec<Client> = (0..3).map(|n| Client::new(seed * 100 + n, true)).collect();
        let mut ids: Vec<u64> = (0..3).map(|n| seed * 100 + n).collect();
        let mut owners: HashMap<ClientId, usize> = ids.iter().copied().zip(0..).collect();
        let mut people: Vec<Option<Person>> = vec![None, None, None];
        let mut next_id = seed * 100 + 10;
        for step in 0..400 {
            let n = random.index(3);
            match random.below(12) {
                0..=3 => {
                    clients[n].edit(&mut random);
                    let updates = clients[n].take_updates();
                    // Offline edits stay in the document; live ones go out one by one.
                    if let Some(person) = &mut people[n] {
                        for update in updates {
                            let judged = room.send(person, &update, Source::Update).unwrap();
                            assert!(!judged.suspect.contradicts, "step {step}");
                        }
                    }
                }
                4 if people[n].is_none() => {
                    people[n] = Some(room.come(users[n], shows(ids[n], &mut random)));
                }
                5 => {
                    if let Some(person) = people[n].take() {
                        room.go(&person);
                    }
                }
                // From person to person, past the server.
                6 | 7 => {
                    let other = (n + 1 + random.index(2)) % 3;
                    let all = clients[other].step2(&[0]);
                    clients[n].receive(&all);
                }
                8 | 9 => sync(&mut room, &clients[n], &mut people[n], Source::Step2),
                // A copy that the browser kept comes as one update.
                10 => sync(&mut room, &clients[n], &mut people[n], Source::Update),
                // The page is loaded again: a new id, the same document, and what was not sent is in the copy.
                _ => {
                    if let Some(person) = people[n].take() {
                        room.go(&person);
                    }
                    let copy = clients[n].step2(&[0]);
                    next_id += 1;
                    (clients[n], ids[n]) = (Client::new(next_id, true), next_id);
                    owners.insert(next_id, n);
                    clients[n].receive(&copy);
                }
            }
            if random.chance(30) {
                room.store().await;
            }
        }
        // What was left out because its owner was here comes once all have been here alone.
        for n in 0..3 {
            for person in people.iter_mut().filter_map(Option::take) {
                room.go(&person);
            }
            people[n] = Some(room.come(users[n], Some(ids[n])));
            sync(&mut room, &clients[n], &mut people[n], Source::Step2);
        }
        room.store().await;
        let full = room.state.document.encode_full();
        for client in &clients {
            let gap = room.state.gate.admit(&client.step2(&[0]), Source::Step2).unwrap();
            assert!(gap.remainder.is_none() && !gap.dropped.is_gap(), "the room has all of everyone");
            client.receive(&full);
            assert_eq!(view(&client.doc), view(&clients[0].doc));
        }
        history::compact(&room.log, &room.name, Retention { age_ms: 0, bytes: 0 }).await.unwrap();
        let reloaded = room.reload().await;
        assert_eq!(view(reloaded.document.doc()), view(&clients[0].doc));
        let claims = reloaded.owners().stored();
        let wrong = claims.iter().filter(|(client, user)| users[owners[client]] != &**user).count();
        println!("{} of {} ids are owned", claims.len(), owners.len());
        assert_eq!(wrong, 0, "nobody owns what another has written");
    }
}

/// A client sends all that the room does not have.
fn sync(room: &mut Room, client: &Client, person: &mut Option<Person>, source: Source) {
    let Some(person) = person else { return };
    let vector = room.state.state_vector().unwrap().encode();
    let vector = if source == Source::Step2 { vector } else { vec![0] };
    client.take_updates();
    let judged = room.send(person, &client.step2(&vector), source).unwrap();
    assert!(!judged.suspect.contradicts);
}
