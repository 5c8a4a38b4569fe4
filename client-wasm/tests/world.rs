//! Random edits of a small world, so that edits meet.
#![allow(dead_code, reason = "each test file uses its part")]

use rand::Rng;
use rand::rngs::StdRng;
use ruang::board::edit::Edit;
use ruang::board::schema::{Phase, Point};
use ruang::caller::Role;
use ruang_client::client::Client;
use ruang_client::output::ClientOptions;

/// Ids of cards and groups alike: a card may be a group's namesake.
const IDS: [&str; 5] = ["a", "b", "c", "g", "h"];

/// Texts that people write: right to left, pictures that are two units of UTF-16, none.
const TEXTS: [&str; 5] = ["", "hello", "مرحبا بالعالم", "👩‍👩‍👧 🂡", "line\nline"];

pub fn client(id: u64, user: &str, room: &str) -> Client {
    let (room, user) = (room.to_owned(), user.to_owned());
    let options = ClientOptions { room, client_id: id, user, identified: false, role: Role::Facilitator };
    Client::new(options).expect("good options")
}

pub fn add(id: &str, text: &str) -> Edit {
    let position = Some(Point { x: 1.0, y: 2.0 });
    Edit::AddItem { id: id.to_owned(), text: text.to_owned(), column: Some("well".to_owned()), position }
}

pub fn title(title: &str) -> Edit {
    Edit::SetMeta {
        title: Some(title.to_owned()),
        phase: None,
        columns: None,
        vote_limit: None,
        timer_ends_at: None,
        hide_cards: None,
    }
}

/// Any edit; many of them cannot be made.
pub fn edit(random: &mut StdRng) -> Edit {
    let id = |random: &mut StdRng| IDS[random.random_range(0..IDS.len())].to_owned();
    let text = |random: &mut StdRng| TEXTS[random.random_range(0..TEXTS.len())].to_owned();
    let number = |random: &mut StdRng| f64::from(random.random_range(-9..9));
    match random.random_range(0..13) {
        0..3 => add(&id(random), &text(random)),
        3 => Edit::SetItemText { id: id(random), text: text(random) },
        4 => Edit::SetItemColumn {
            id: id(random),
            column: random.random_bool(0.5).then(|| "ideas".to_owned()),
        },
        5 => Edit::MoveItem { id: id(random), position: Point { x: number(random), y: number(random) } },
        6 => Edit::DeleteItem { id: id(random) },
        7 => {
            let group = random.random_bool(0.7).then(|| id(random));
            Edit::SetItemGroup { id: id(random), group }
        }
        8 => Edit::SetGroup { id: id(random), title: "t".to_owned(), order: Some(number(random)) },
        9 => Edit::DeleteGroup { id: id(random) },
        10 => Edit::Vote { target: id(random), count: random.random_range(0..9) },
        11 => match random.random_range(0..3) {
            0 => Edit::DeleteActionItem { id: id(random) },
            1 => Edit::SetSignatureColor { signature: id(random), color: "#00ff00".to_owned() },
            _ => Edit::SetActionItem {
                id: id(random),
                text: text(random),
                assignee: None,
                due: None,
                done: random.random_bool(0.5),
                order: random.random_bool(0.5).then(|| number(random)),
            },
        },
        _ => Edit::SetMeta {
            title: random.random_bool(0.5).then(|| "title".to_owned()),
            phase: random.random_bool(0.5).then_some(Phase::Vote),
            columns: None,
            vote_limit: random.random_bool(0.8).then(|| random.random_range(0..12)),
            timer_ends_at: None,
            hide_cards: None,
        },
    }
}
