//! The client without a network: what it makes of any bytes, its view of the board, undo.
//!
//! - C1  What a newer server may say is passed over.
//! - C3  No bytes, of a server or of a store, make it panic or hang.
//! - C5  What is shown is what the document says, after every change.
//! - C6  Undo and redo are of one's own edits, one by one.
//! - C7  What cannot be made is said before anything is written.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

#[path = "../../tests/it/hex.rs"]
mod hex;
mod world;

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ruang::board::edit::{Author, Edit};
use ruang::board::schema::{ROOTS, vote_key};
use ruang::board::view::{RetroRoomState, view};
use ruang::caller::Role;
use ruang::ids::Position;
use ruang::wire::y_websocket;
use ruang_client::copy::{LocalCopy, Taken};
use ruang_client::output::{ClientError, Output, Said, Who};
use world::{add, client, edit, title};
use yrs::{Any, ArrayPrelim, Map, MapPrelim, TextPrelim, Transact, WriteTxn};

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("RUANG_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("RUANG_TEST_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

/// A copy, and the state as an app keeps it: changed by what it is told and nothing else.
struct Shown {
    copy: LocalCopy,
    state: RetroRoomState,
    told: usize,
}

impl Shown {
    fn new(client: u64) -> Self {
        Self { copy: LocalCopy::new(client), state: RetroRoomState::default(), told: 0 }
    }

    fn show(&mut self, taken: &Taken, what: &str) {
        self.told += usize::from(!taken.change.is_empty());
        taken.change.apply(&mut self.state);
        assert_eq!(&self.state, self.copy.state(), "what was told, after {what}: {:?}", taken.change);
        assert_eq!(
            self.state,
            view(self.copy.doc()),
            "what the document says, after {what}: {:?}",
            taken.change
        );
        let shown = taken.change.items.iter().filter(|(_, item)| item.is_some()).count();
        assert!(taken.update.is_some() || shown == 0, "nothing came, nothing is told");
    }

    fn learn(&mut self, from: &LocalCopy) {
        let update = from.encode_since(&self.copy.state_vector()).unwrap();
        let taken = self.copy.take(&update).unwrap();
        self.show(&taken, "an update of another");
    }
}

/// Anything under any key of any root, as another client may put it there: an update.
fn junk(random: &mut StdRng, from: &LocalCopy, client: u64) -> Vec<u8> {
    let doc = yrs::Doc::with_client_id(client);
    let all = from.encode().unwrap();
    let apply = |update: &[u8]| {
        use yrs::updates::decoder::Decode;
        doc.transact_mut().apply_update(yrs::Update::decode_v1(update).unwrap()).unwrap();
    };
    apply(&all);
    let mut transaction = doc.transact_mut();
    let map = transaction.get_or_insert_map(ROOTS[random.random_range(0..ROOTS.len())]);
    let keys = ["a", "b", "g", "voteLimit", "columns", "", "x/a", "ann/b", "\n"];
    let key = keys[random.random_range(0..keys.len())];
    match random.random_range(0..9) {
        0 => drop(map.insert(&mut transaction, key, Any::Null)),
        1 => drop(map.insert(&mut transaction, key, f64::INFINITY)),
        2 => drop(map.insert(&mut transaction, key, "g")),
        3 => drop(map.insert(&mut transaction, key, TextPrelim::new("x"))),
        4 => drop(map.insert(&mut transaction, key, ArrayPrelim::from([1, 2]))),
        5 => drop(map.insert(&mut transaction, key, 3)),
        6 => drop(map.remove(&mut transaction, key)),
        7 => map.clear(&mut transaction),
        _ => {
            let inner = map.insert(&mut transaction, key, MapPrelim::default());
            let text = inner.insert(&mut transaction, "text", TextPrelim::new("together"));
            inner.insert(&mut transaction, "order", -1);
            yrs::Text::push(&text, &mut transaction, "!");
        }
    }
    transaction.encode_update_v1()
}

/// [C5, C6] After every step of random edits, undo, redo, others' edits and junk: what an app has that was told each change is
/// what the document says; and in the end all are the same.
#[test]
fn what_is_shown_is_what_the_document_says() {
    for seed in seeds(24) {
        println!("RUANG_TEST_SEED={seed}");
        let random = &mut StdRng::seed_from_u64(seed);
        let mut shown = [Shown::new(1), Shown::new(2), Shown::new(3)];
        let users = ["ann", "bob", "ann"]; // the first and the last are tabs of one person
        for step in 0..150 {
            let who = random.random_range(0..shown.len());
            let author = Author { user: users[who], now_ms: step };
            match random.random_range(0..10) {
                0..6 => {
                    let edit = edit(random);
                    if let Ok(taken) = shown[who].copy.edit(&edit, author) {
                        shown[who].show(&taken, &format!("{edit:?}"));
                    }
                }
                6 => {
                    let taken = shown[who].copy.undo().unwrap();
                    shown[who].show(&taken, "undo");
                }
                7 => {
                    let taken = shown[who].copy.redo().unwrap();
                    shown[who].show(&taken, "redo");
                }
                8 => {
                    let update = junk(random, &shown[who].copy, 100 + step);
                    let taken = shown[who].copy.take(&update).unwrap();
                    shown[who].show(&taken, "junk");
                }
                _ => {
                    let from = (who + 1) % shown.len();
                    let [one, two] = shown.get_disjoint_mut([who, from]).unwrap();
                    one.learn(&two.copy);
                }
            }
        }
        for (one, two) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 2)] {
            let [one, two] = shown.get_disjoint_mut([one, two]).unwrap();
            one.learn(&two.copy);
            two.learn(&one.copy);
        }
        assert_eq!(shown[0].state, shown[1].state);
        assert_eq!(shown[0].state, shown[2].state);
        println!("changes told: {:?}", shown.each_ref().map(|shown| shown.told));
    }
}

/// [C5] A change has what is another, and nothing else.
#[test]
fn a_change_has_only_what_changed() {
    let mut client = client(1, "ann", "r");
    for id in ["a", "b"] {
        client.edit(&add(id, "text"), 1).unwrap();
    }
    let output = client.edit(
        &Edit::MoveItem { id: "a".to_owned(), position: ruang::board::schema::Point { x: 5.0, y: 6.0 } },
        2,
    );
    let change = serde_json::to_value(output.unwrap().change).unwrap();
    assert_eq!(change, serde_json::json!({ "itemPositions": { "a": { "x": 5.0, "y": 6.0 } } }));
    client.edit(&Edit::Vote { target: "a".to_owned(), count: 2 }, 3).unwrap();
    let change = client.edit(&Edit::DeleteItem { id: "a".to_owned() }, 4).unwrap().change;
    let gone = serde_json::json!({ "items": { "a": null }, "itemPositions": { "a": null }, "allUserVotes": { "ann": null } });
    assert_eq!(serde_json::to_value(change).unwrap(), gone);
    let again = client.undo().unwrap().change;
    assert_eq!(
        again.all_user_votes.get("ann"),
        Some(Some(&BTreeMap::from([("a".to_owned(), 2)]))),
        "given again with the card"
    );
    assert_eq!(client.edit(&title("same"), 5).unwrap().change.meta.unwrap().title, "same");
    assert!(client.edit(&title("same"), 5).unwrap().change.is_empty(), "written, but no other");
    let whole = client.state().clone();
    assert_eq!(whole, view(client.copy().doc()));
    assert!(whole.all_user_votes.contains_key("ann") && vote_key("ann", "a") == "ann/a");
}

/// [C6] Undo takes back one's own edits, one by one and the newest first; others' stay; redo makes them again.
#[test]
fn undo_is_of_ones_own_edits() {
    let (mut ann, mut bob) = (client(1, "ann", "r"), client(2, "bob", "r"));
    let give = |from: &mut ruang_client::client::Client, to: &mut ruang_client::client::Client| {
        let update = from.copy().encode_since(&to.copy().state_vector()).unwrap();
        to.merge(&update, false).unwrap()
    };
    ann.edit(&add("a", "first"), 1).unwrap();
    ann.edit(&Edit::SetItemText { id: "a".to_owned(), text: "second".to_owned() }, 2).unwrap();
    give(&mut ann, &mut bob);
    bob.edit(&Edit::SetItemColumn { id: "a".to_owned(), column: Some("ideas".to_owned()) }, 3).unwrap();
    give(&mut bob, &mut ann);
    assert!(ann.undo().unwrap().can_redo);
    let item = &ann.state().items["a"];
    assert_eq!((item.text.as_str(), item.column.as_deref()), ("first", Some("ideas")));
    let output = ann.undo().unwrap();
    assert_eq!((output.can_undo, output.can_redo, ann.state().items.len()), (false, true, 0));
    assert!(ann.undo().unwrap().updates.is_empty(), "nothing is left to take back");
    ann.redo().unwrap();
    ann.redo().unwrap();
    assert_eq!(ann.state().items["a"].text, "second");
    assert_eq!(ann.undo().unwrap().unsaved, 7, "each step that wrote something is an edit");
    give(&mut ann, &mut bob);
    assert_eq!(ann.state(), bob.state());
}

/// [C7] What cannot be made is said with a code, and nothing is written, shown or counted.
#[test]
fn what_cannot_be_made_is_said() {
    let mut ann = client(1, "ann", "r");
    ann.edit(&add("a", "x"), 1).unwrap();
    let before = (ann.copy().encode().unwrap(), ann.state().clone());
    let long = |len| "x".repeat(len);
    let cases = [
        (add("a", ""), "exists"),
        (add("", ""), "bad_id"),
        (add("b", &long(200_000)), "bad_text"),
        (Edit::DeleteItem { id: "b".to_owned() }, "not_there"),
        (Edit::Vote { target: "a".to_owned(), count: 1_000 }, "bad_votes"),
        (Edit::SetSignatureColor { signature: "a".to_owned(), color: "red".to_owned() }, "bad_color"),
        (title("two\nlines"), "bad_line"),
    ];
    let refused = |edit: &Edit, code: &str, ann: &mut ruang_client::client::Client| {
        let error = ann.edit(edit, 2).expect_err("it is refused");
        println!("{}: {error}", error.code());
        assert_eq!(error.code(), code);
        assert_eq!((ann.copy().encode().unwrap(), ann.state().clone()), before);
        assert_eq!(ann.renew_presence().unsaved, 1);
    };
    for (edit, code) in cases {
        refused(&edit, code, &mut ann);
    }
    ann.set_who(Who { user: "ann".to_owned(), identified: true, role: Role::Viewer }).unwrap();
    refused(&add("b", ""), "not_allowed", &mut ann);
    assert!(matches!(ann.undo(), Err(ClientError::NotAllowed(_))));
    assert_eq!(ann.seed("retro").unwrap_err().code(), "not_allowed");
    assert_eq!(ann.load(b"\x01\x02", 0).unwrap_err().code(), "bad_update");
    assert_eq!(ann.set_presence(Some("{")).unwrap_err().code(), "bad_argument");
}

/// What a server may say to a client whose document is empty, in an order that makes sense.
fn honest_frames() -> Vec<Vec<u8>> {
    let mut other = LocalCopy::new(9);
    let author = Author { user: "bob", now_ms: 1 };
    let mut frames = Vec::new();
    for n in 0..6 {
        other.edit(&add(&format!("i{n}"), "text of a card"), author).unwrap();
    }
    frames.push(y_websocket::sync_step2(&other.encode().unwrap()).to_vec());
    frames.push(y_websocket::sync_step1(&other.state_vector()).to_vec());
    for edit in [
        title("t"),
        Edit::Vote { target: "i1".to_owned(), count: 2 },
        Edit::DeleteItem { id: "i2".to_owned() },
    ] {
        let update = other.edit(&edit, author).unwrap().update.unwrap();
        frames.push(y_websocket::update(&update).to_vec());
    }
    frames.push(y_websocket::presence(b"\x01\x07\x01\x07{\"a\":1}").to_vec());
    frames.push(y_websocket::ack(1, Position { ms: 7, seq: 8 }).to_vec());
    frames.push(b"\x71\x01\x04code\x06reason".to_vec());
    frames.push(y_websocket::expiry(90_000).to_vec());
    frames.push(y_websocket::permission_denied("no").to_vec());
    frames.push(vec![3]);
    frames.push(vec![120, 1, 2, 3]);
    frames
}

/// [C1] The conversation as it should be: everything is heard, and told.
#[test]
fn an_honest_server_is_heard() {
    let mut client = client(1, "ann", "r");
    let mut all = Output::default();
    client.open();
    for frame in honest_frames() {
        let output = client.receive(frame.into());
        assert_eq!(output.close, None);
        all.frames.extend(output.frames);
        all.said.extend(output.said);
        all.presence.extend(output.presence);
    }
    println!("{:?}", all.said);
    assert_eq!(all.frames.len(), 1, "the answer to the server's question");
    let refused = |code: &str, reason: &str| Said::Refused {
        code: code.to_owned(),
        reason: reason.to_owned(),
        edits: 0,
    };
    let said = [
        Said::Synced,
        Said::Saved { position: "7-8".to_owned() },
        refused("code", "reason"),
        Said::Expiry { in_ms: 90_000 },
        refused("", "no"),
    ];
    assert_eq!(all.said, said);
    assert_eq!(all.presence.len(), 1);
    assert_eq!((client.state().items.len(), client.state().meta.title.as_str()), (5, "t"));
}

/// [C3] Frames with bytes changed, cut, put in, put together, in any order: the client never panics, shows what its
/// document says, takes edits, and comes to the server's board in the next connection that is honest.
#[test]
fn no_bytes_harm_the_client() {
    let honest = honest_frames();
    for seed in seeds(400) {
        let random = &mut StdRng::seed_from_u64(seed);
        let mut client = client(1, "ann", "r");
        client.open();
        let mut closes = 0;
        for n in 0..40 {
            let mut frame = honest[random.random_range(0..honest.len())].clone();
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..=frame.len());
                match random.random_range(0..5) {
                    0 if at < frame.len() => frame[at] = random.random(),
                    1 if at < frame.len() => frame[at] ^= 1 << random.random_range(0..8),
                    2 => frame.truncate(at),
                    3 => frame.insert(at, random.random()),
                    _ => {
                        let other = &honest[random.random_range(0..honest.len())];
                        frame.extend_from_slice(&other[..random.random_range(0..=other.len())]);
                    }
                }
            }
            let output = client.receive(frame.clone().into());
            if output.close.is_some() {
                closes += 1;
                client.closed();
                client.open();
            }
            assert!(!output.said.contains(&Said::Broken), "seed {seed}: {frame:02x?}");
            if n % 8 == 0 {
                drop(client.edit(&edit(random), n));
                drop(client.undo().unwrap());
            }
            if n % 10 == 0 {
                assert_eq!(client.state(), &view(client.copy().doc()), "seed {seed}");
            }
        }
        if seed % 100 == 0 {
            println!("RUANG_TEST_SEED={seed}: {closes} of 40 frames made no sense");
        }
        let update = client.copy().encode().unwrap();
        LocalCopy::new(5).take(&update).expect("what it holds can be loaded again");
    }
}

/// One of the inputs that are known to harm others.
#[derive(serde::Deserialize)]
struct Hostile {
    name: String,
    kind: String,
    hex: Vec<String>,
}

/// [C3] What is known to kill or hang the engine, from a server and from a store.
#[test]
fn known_attacks_do_no_harm() {
    let all: Vec<Hostile> = serde_json::from_str(include_str!("../../tests/fixtures/hostile.json")).unwrap();
    for Hostile { name, kind, hex } in &all {
        let mut client = client(1, "ann", "r");
        client.open();
        for bytes in hex {
            let bytes = hex::bytes(bytes);
            let frame = match kind.as_str() {
                "update" => {
                    drop(client.merge(&bytes, false));
                    y_websocket::update(&bytes)
                }
                "state vector" => {
                    drop(client.copy().encode_since(&bytes));
                    y_websocket::sync_step1(&bytes)
                }
                "awareness" => y_websocket::presence(&bytes),
                _ => Bytes::from(bytes),
            };
            let close = client.receive(frame).close;
            println!("{name}: {close:?}");
        }
        assert_eq!(client.state(), &view(client.copy().doc()));
        client.copy().encode().expect("it is whole");
        client.edit(&add("a", "x"), 1).expect("it goes on");
    }
    assert!(all.len() > 10);
}
