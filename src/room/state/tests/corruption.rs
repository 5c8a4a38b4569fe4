//! A room whose live document was spoilt.

use std::sync::Arc;

use super::super::*;
use crate::history::{self, Outcome, Range, Retention};
use crate::ids::RoomName;
use crate::log::Log;
use crate::log::memory::MemoryLog;
use crate::room::load;
use yrs::{Doc, GetString, ReadTxn, Text, Transact};

/// [H6] A snapshot is folded from the log: whatever has become of the live document, the right one
/// comes out, and the room that is loaded from it is whole.
#[tokio::test]
async fn a_snapshot_never_comes_from_the_live_document() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let room = RoomName::parse("r").unwrap();
    let mut state = load::load(&log, &room, (InstanceId(7), 1), None).await.unwrap().state;
    let doc = Doc::with_client_id(5);
    let text = doc.get_or_insert_text("t");
    for n in 0..20 {
        let mut transaction = doc.transact_mut();
        text.push(&mut transaction, &format!("{n} "));
        let update = transaction.encode_update_v1().into();
        let (session, ordinal, source) = (SessionId(1), n + 1, Source::Update);
        let submission = Submission {
            session,
            ordinal,
            caller: Caller::anyone(),
            update,
            source,
            permit: Permit::Taken,
            at: None,
            cost: 1,
            admitted_ms: 1,
        };
        state.submit(&submission).unwrap();
        let appended = log.append(&room, state.next_batch().unwrap()).await.unwrap();
        state.on_committed(&appended).unwrap();
    }
    let whole = text.get_string(&doc.transact());

    // Behind everybody's back.
    let live = state.document.doc();
    let spoilt = live.get_or_insert_text("t");
    spoilt.remove_range(&mut live.transact_mut(), 3, 10);
    spoilt.push(&mut live.transact_mut(), "nobody wrote this");
    assert_ne!(spoilt.get_string(&live.transact()), whole);

    let retention = Retention { age_ms: 0, bytes: 0 };
    let done = history::compact(&log, &room, retention).await.unwrap();
    assert!(matches!(done.outcome, Outcome::Written(_)), "{done:?}");
    let walk = history::walk(&log, &room, Range::TO_HEAD).await.unwrap().unwrap();
    assert_eq!(walk.started_at().map(|snapshot| snapshot.through), Some(state.committed()));
    let fold = walk.into_fold().unwrap();
    let loaded = fold.document().doc();
    let text = loaded.get_or_insert_text("t");
    assert_eq!(text.get_string(&loaded.transact()), whole);
    assert_eq!(loaded.transact().state_vector(), doc_and_marker(&doc, &fold.generations(), &room));
}

/// The state vector of what the client wrote and of the room's marker.
fn doc_and_marker(doc: &Doc, generations: &[crate::ids::Generation], room: &RoomName) -> yrs::StateVector {
    let mut vector = doc.transact().state_vector();
    for generation in generations {
        vector.set_max(yrs::ClientID::new(generation.marker_client(room)), generation.nonce);
    }
    vector
}
