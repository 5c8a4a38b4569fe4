//! What those who may only read send, and what comes of it.

use std::sync::Arc;

use yrs::{Doc, ReadTxn, StateVector, Text, Transact};

use super::super::*;
use crate::caller::Role;
use crate::ids::RoomName;
use crate::log::Log;
use crate::log::memory::MemoryLog;
use crate::room::load;

/// [S11] What a viewer sends is stored if it is known already, that is, not again; all else is refused and leaves no
/// trace: not in the batch, not in the gate, and it is not asked for.
#[tokio::test]
async fn nothing_new_comes_from_a_viewer() {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let room = RoomName::parse("r").unwrap();
    let mut state = load::load(&log, &room, (InstanceId(7), 1), None).await.unwrap().state;
    let submission = |role: Role, ordinal, update: &[u8]| Submission {
        session: SessionId(if role.may_write() { 1 } else { 2 }),
        ordinal,
        caller: Arc::new(Caller::anonymous(role)),
        update: update.to_vec().into(),
        source: Source::Update,
        permit: if role.may_write() { Permit::Taken } else { Permit::OnlyIfNothingNew },
        at: None,
        cost: 1,
        admitted_ms: 1,
    };
    let edit = |client, len| {
        let doc = Doc::with_client_id(client);
        let text = doc.get_or_insert_text("t");
        (0..len).for_each(|_| text.push(&mut doc.transact_mut(), "x"));
        doc.transact().encode_state_as_update_v1(&StateVector::default())
    };
    let known = edit(5, 1);
    state.submit(&submission(Role::Editor, 1, &known)).unwrap();
    let appended = log.append(&room, state.next_batch().unwrap()).await.unwrap();
    state.on_committed(&appended).unwrap();

    let (full, vector) = (state.document.encode_full(), state.gate.state_vector());
    let gap = {
        let doc = Doc::with_client_id(6);
        let text = doc.get_or_insert_text("t");
        text.push(&mut doc.transact_mut(), "first");
        let before = doc.transact().state_vector();
        text.push(&mut doc.transact_mut(), "second");
        doc.transact().encode_diff_v1(&before)
    };
    let deletes = [0, 1, 5, 1, 0, 1]; // the editor's first letter
    let cases: [(&str, Vec<u8>, bool); 5] = [
        ("what is known", known, false),
        ("what is known and a letter more", edit(5, 2), true),
        ("another client's text", edit(6, 1), true),
        ("something behind a gap", gap, true),
        ("a deletion", deletes.to_vec(), true),
    ];
    for (ordinal, (what, update, refused)) in (1..).zip(cases) {
        println!("{what}: {}", if refused { "refused" } else { "as if nothing was said" });
        let judged = state.submit(&submission(Role::Viewer, ordinal, &update)).unwrap();
        assert_eq!((judged.refused, judged.decided_now, judged.cost), (refused, true, 1), "{what}");
        assert!(!judged.dropped.is_gap() && state.uncommitted() == 0, "{what}");
        assert!(state.next_batch().is_none() && state.gate.state_vector() == vector, "{what}");
    }
    assert_eq!(state.document.encode_full(), full);

    // Nor does anyone pay for it: a letter that stands before all that are here, and behind none.
    state.gate.learn_order([&full[..]]).unwrap();
    for ordinal in 6..3_006 {
        let judged = state.submit(&submission(Role::Viewer, ordinal, &edit(6, 1))).unwrap();
        assert!(judged.refused, "{ordinal}");
    }
    state.submit(&submission(Role::Editor, 2, &edit(5, 2))).unwrap();
    let steps = state.batches.back().unwrap().steps;
    println!("after 3,000 refused letters at one place an editor's next one there is charged {steps} steps");
    assert_eq!(steps, 0);
}
