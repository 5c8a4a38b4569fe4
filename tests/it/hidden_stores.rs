//! Hidden cards without sockets, on every store: drafts are found among all rooms by their names.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use ruang::board::drafts;
use ruang::board::edit::{Author, Edit, apply};
use ruang::board::view::{RetroRoomState, view};
use ruang::caller::{Caller, Role};
use ruang::gate::Source;
use ruang::history::{self, Range};
use ruang::ids::RoomName;
use ruang::log::Log;
use ruang::room::Rooms;
use ruang::room::outside;
use yrs::{Doc, ReadTxn, StateVector, Transact};

use crate::kinds_stores::instance;
use crate::life_support::room;

pub fn caller(user: &str, role: Role) -> Arc<Caller> {
    Arc::new(Caller { user: Some(user.into()), ..Caller::anonymous(role) })
}

pub async fn edit(rooms: &Arc<Rooms>, name: &RoomName, user: &str, role: Role, edit: &Edit) {
    let doc = Doc::new();
    apply(&doc, edit, Author { user, now_ms: 7 }).expect("an edit");
    let update = doc.transact().encode_diff_v1(&StateVector::default()).into();
    let edit = outside::Edit { update, source: Source::Update, caller: caller(user, role), at: None };
    assert!(rooms.write(name, edit).await.expect("it is stored").is_new);
}

/// A card, as an edit from outside.
pub fn one_edit(user: &str) -> outside::Edit {
    let doc = Doc::new();
    apply(&doc, &card("a"), Author { user, now_ms: 7 }).expect("an edit");
    let update = doc.transact().encode_diff_v1(&StateVector::default()).into();
    outside::Edit { update, source: Source::Update, caller: caller(user, Role::Editor), at: None }
}

pub fn card(id: &str) -> Edit {
    Edit::AddItem { id: id.to_owned(), text: id.to_owned(), column: None, position: None }
}

pub async fn seen(log: &Arc<dyn Log>, name: &RoomName) -> RetroRoomState {
    let mut walk = history::walk(log, name, Range::TO_HEAD).await.expect("read").expect("there");
    walk.to_end().await.expect("walked");
    view(walk.fold().expect("folded").document().doc())
}

/// [B53] [B54] Drafts are found among rooms with names like theirs; an instance reveals what was written on another one, and leaves
/// what is of other boards.
pub async fn drafts_are_found_and_moved(one: Arc<dyn Log>, two: Arc<dyn Log>) {
    let (writes, reveals) = (instance(&one, &["*"]), instance(&two, &["*"]));
    let board = room("team/retro");
    let meta = |hide| Edit::SetMeta {
        title: None,
        phase: None,
        columns: None,
        vote_limit: None,
        timer_ends_at: None,
        hide_cards: Some(hide),
    };
    edit(&writes, &board, "fay", Role::Facilitator, &meta(true)).await;
    for other in ["team/retro2", "team/retro~", "~team/retro", "team/retro!", "team"] {
        edit(&writes, &room(other), "ann", Role::Editor, &card("other")).await;
    }
    let users = ["ann", "a~b/%", "zoë@example.org", "0"];
    for user in users {
        let draft = drafts::name(&board, user).expect("a name");
        edit(&writes, &draft, user, Role::Editor, &card(&format!("card of {user}"))).await;
    }
    let hidden = reveals.hidden_cards(&board).await.expect("counted");
    println!("{hidden:?}");
    let mut expected: Vec<(String, usize)> = users.iter().map(|user| ((*user).to_owned(), 1)).collect();
    expected.sort();
    let mut sorted = hidden;
    sorted.sort();
    assert_eq!(sorted, expected);
    assert!(seen(&one, &board).await.items.is_empty());

    let revealed = reveals.reveal(&board, &caller("fay", Role::Facilitator)).await.expect("revealed");
    println!("{revealed:?}");
    let shown = seen(&one, &board).await;
    assert_eq!(shown.items.len(), users.len());
    for user in users {
        let item = &shown.items[&format!("card of {user}")];
        assert_eq!(item.author.as_deref(), Some(user));
        assert!(seen(&one, &drafts::name(&board, user).expect("a name")).await.items.is_empty());
    }
    assert!(reveals.hidden_cards(&board).await.expect("counted").is_empty());
    assert_eq!(seen(&one, &room("~team/retro")).await.items.len(), 1, "that is nobody's draft");

    assert!(reveals.delete(&board).await.expect("deleted"));
    for user in users {
        let draft = drafts::name(&board, user).expect("a name");
        assert_eq!(one.open(&draft).await.expect("read"), None, "[B59]");
    }
    assert!(one.open(&room("~team/retro")).await.expect("read").is_some());
    writes.shut_down().await;
    reveals.shut_down().await;
}
