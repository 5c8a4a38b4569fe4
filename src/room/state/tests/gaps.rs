//! Records that build on what is missing, and clients whose copies have holes.

use yrs::{Doc, ReadTxn, StateVector, Text, Transact};

use super::*;
use crate::history;

fn submission(update: Vec<u8>) -> Submission {
    Submission {
        session: SessionId(1),
        ordinal: 1,
        caller: Caller::anyone(),
        update: update.into(),
        source: Source::Update,
        permit: Permit::Taken,
        at: None,
        cost: 1,
        admitted_ms: 1,
    }
}

/// [R11] A record that builds on a missing one, and holds blocks that are under way here: which of it the log has cannot be told, so
/// the room is loaded again.
#[tokio::test]
async fn a_gap_beside_what_is_under_way_is_not_guessed_at() {
    let room = RoomName::parse("r").unwrap();
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let mut state = load::load(&log, &room, (INSTANCE, 1), None).await.unwrap().state;
    let client = Client::new(1, true);
    let text = client.doc.get_or_insert_text("t");
    (0..3).for_each(|_| text.insert(&mut client.doc.transact_mut(), 0, "x"));
    let updates = client.take_updates();
    state.submit(&submission(updates[0].clone())).unwrap();
    let other = load::genesis_record(&room, crate::ids::Generation { nonce: 7 }, INSTANCE, RoomKind::Free);
    let metadata = other.unwrap().metadata().unwrap();
    let update = yrs::merge_updates_v1([&updates[0], &updates[2]]).unwrap();
    let record = Record::new(Kind::Update, &metadata, &update).unwrap();
    let stored = StoredRecord::Intact { position: Position { seq: 1, ms: 1 }, record };
    let taken = state.on_stored(&[stored], Epoch::NONE);
    assert!(matches!(taken, Err(others::StoredError::Mixed)), "{taken:?}");
}

/// A log as other instances have left it: people edit at random, what several have written comes as one record, and some records
/// are damaged.
fn damaged_log(random: &mut Random, room: &RoomName) -> Vec<StoredRecord> {
    let genesis = load::genesis_record(room, crate::ids::Generation { nonce: 7 }, INSTANCE, RoomKind::Free);
    let genesis = genesis.unwrap();
    let metadata = genesis.metadata().unwrap();
    let mut records = vec![StoredRecord::Intact { position: Position { seq: 1, ms: 1 }, record: genesis }];
    let mut clients: Vec<Client> = (1..=3).map(|id| Client::new(id, true)).collect();
    let mut waiting: Vec<Vec<u8>> = Vec::new();
    while records.len() < 40 {
        let author = random.index(clients.len());
        clients[author].edit(random);
        for update in clients[author].take_updates() {
            for other in (0..clients.len()).filter(|other| *other != author) {
                clients[other].receive(&update);
            }
            waiting.push(update);
        }
        if waiting.is_empty() || random.chance(50) {
            continue;
        }
        let update = yrs::merge_updates_v1(std::mem::take(&mut waiting)).unwrap();
        let seq = records.len() as u64 + 1;
        let position = Position { seq, ms: seq };
        records.push(if random.chance(10) {
            StoredRecord::Damaged { position, why: "a test".to_owned() }
        } else {
            let metadata = Metadata { batch: seq, ..metadata.clone() };
            StoredRecord::Intact { position, record: Record::new(Kind::Update, &metadata, &update).unwrap() }
        });
    }
    records
}

/// [R11] [H1] Records of others, some of them damaged and some that build on those: an instance that has the room open takes of
/// them what one takes that loads it, and says the same of the rest, in whatever pages they come, and whatever is under way.
#[tokio::test]
async fn a_damaged_log_is_the_same_room_for_all() {
    let mut in_part = 0;
    for seed in seeds(60) {
        println!("RUANG_TEST_SEED={seed}");
        let mut random = Random::new(seed);
        let room = RoomName::parse("r").unwrap();
        let records = damaged_log(&mut random, &room);
        let mut fold = history::Fold::new(room.clone(), history::OnTrouble::SetAside);
        fold.page(&records).unwrap();
        for under_way in [false, true] {
            let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
            let mut state = load::load(&log, &room, (INSTANCE, 1), None).await.unwrap().state;
            let mut set_aside = Vec::new();
            let mut rest = records.as_slice();
            while !rest.is_empty() {
                let (page, behind) = rest.split_at(1 + random.index(rest.len().min(7)));
                rest = behind;
                set_aside.extend(state.on_stored(page, Epoch::NONE).unwrap().set_aside);
                if under_way && state.uncommitted() == 0 {
                    // Somebody whom no record is of.
                    let mut client = Client::new(99, true);
                    client.edit(&mut random);
                    let update = yrs::merge_updates_v1(client.take_updates()).unwrap();
                    assert!(state.submit(&submission(update)).is_ok());
                }
            }
            assert_eq!(view(state.document.doc()), view(fold.document().doc()));
            assert_eq!(state.document.state_vector(), fold.document().state_vector());
            assert_eq!(set_aside, fold.set_aside());
            if !under_way {
                assert_eq!(state.gate.state_vector(), fold.gate().state_vector());
                assert_eq!(state.gate.deleted(), fold.gate().deleted());
            }
        }
        in_part += fold.set_aside().iter().filter(|record| record.why.starts_with("in part")).count();
    }
    println!("{in_part} records were taken in part");
    assert!(in_part > 0);
}

/// [S2] Who has answered with a hole, and nothing new, is asked once more at once, and then whenever something was stored.
#[tokio::test]
async fn a_hole_is_asked_for_when_something_was_stored() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let room = RoomName::parse("r").unwrap();
    let mut state = load::load(&log, &room, (INSTANCE, 1), None).await.unwrap().state;
    let holed = SessionId(1);
    let asked = |state: &mut State| state.take_owing().into_iter().collect::<Vec<_>>();
    assert!(state.note_gap_in_answer(holed, true), "once more at once");
    assert!(!state.note_gap_in_answer(holed, true), "the same again");
    assert_eq!((asked(&mut state), asked(&mut state)), (vec![], vec![]), "nothing was stored");
    for client in [5, 6] {
        let writer = Doc::with_client_id(client);
        writer.get_or_insert_text("t").push(&mut writer.transact_mut(), "x");
        let update = writer.transact().encode_state_as_update_v1(&StateVector::default());
        let edit = Submission { session: SessionId(2), ..submission(update) };
        state.submit(&edit).unwrap();
        let appended = log.append(&room, state.next_batch().unwrap()).await.unwrap();
        state.on_committed(&appended).unwrap();
        assert_eq!((asked(&mut state), asked(&mut state)), (vec![holed], vec![]), "once for what was stored");
        assert!(!state.note_gap_in_answer(holed, true), "in vain again: not at once");
    }
    assert!(state.note_gap_in_answer(holed, false), "it has brought something: there may be more");
    assert!(state.note_gap_in_answer(holed, true), "and then nothing: once more at once");
    state.note_whole_answer(holed);
    let edit =
        Submission { session: SessionId(2), ..submission(vec![1, 1, 9, 0, 4, 1, 1, b't', 1, b'x', 0]) };
    state.submit(&edit).unwrap();
    let appended = log.append(&room, state.next_batch().unwrap()).await.unwrap();
    state.on_committed(&appended).unwrap();
    assert_eq!(asked(&mut state), vec![], "the hole is filled: it is not asked any more");
    println!("asked at once after the first answer in vain, then when something was stored, once each time");
}
