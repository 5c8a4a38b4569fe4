//! [G21 to G24] Blocks that stand far from their neighbours: attacks of every shape are refused after
//! a counted number of steps, honest work of every kind is not. Nothing here looks at a clock but to
//! print it.
#![allow(clippy::unwrap_used)]

mod craft;
mod learning;

use std::time::Instant;

use craft::{At, Blocks, Id, blocks, update};
use ruang::document::Document;
use ruang::gate::{Gate, Refusal, Source};
use ruang::limits::{
    STEPS_ESTIMATED_MAX, STEPS_OWED_MAX, STEPS_OWED_MAX_STEP2, STEPS_PER_BLOCK_FREE, STEPS_PER_UPDATE_FREE,
};
use yrs::updates::decoder::Decode;
use yrs::{
    Any, Array, ArrayRef, ClientID, Doc, Map, MapPrelim, OffsetKind, Options, ReadTxn, StateVector, Text,
    Transact, Update,
};

/// A room: a gate, its document, and what its updates may have cost.
#[derive(Default)]
struct Room {
    gate: Gate,
    document: Document,
    /// Steps above what is free, of all that was admitted.
    owed: u64,
    folding: std::time::Duration,
}

impl Room {
    fn offer(&mut self, update: &[u8], source: Source) -> Result<u64, Refusal> {
        let admission = learning::admit(&mut self.gate, &self.document, update, source)?;
        assert!(!admission.dropped.is_gap(), "the tests send what is complete");
        let Some(remainder) = admission.remainder else { return Ok(0) };
        let began = Instant::now();
        let deleted = self.document.apply(&[&remainder.update]).expect("what is admitted folds");
        self.folding += began.elapsed();
        self.gate.note_deleted(&deleted);
        self.gate.settle(&remainder.receipt);
        self.owed = (self.owed + remainder.steps).saturating_sub(STEPS_PER_UPDATE_FREE);
        Ok(remainder.steps)
    }

    fn take(&mut self, update: &[u8]) -> u64 {
        self.offer(update, Source::Update).expect("honest work")
    }

    /// Honest people go on: at the front, at the end, under a key.
    fn still_works(&mut self, list: &str) {
        self.owed = 0;
        let peer = Peer::new(0xface, list);
        peer.hear(&self.document.encode_full());
        for at in [0, peer.len()] {
            self.take(&peer.insert(at));
        }
        self.take(&blocks(Blocks::of(0xfacf, 0).one(At::Key("honest", "key"))));
    }
}

/// A person with a list.
struct Peer {
    doc: Doc,
    list: ArrayRef,
}

impl Peer {
    fn new(client: u64, list: &str) -> Self {
        let options = Options {
            client_id: ClientID::new(client),
            offset_kind: OffsetKind::Utf16,
            ..Options::default()
        };
        let doc = Doc::with_options(options);
        let list = doc.get_or_insert_array(list);
        Self { doc, list }
    }

    fn len(&self) -> u32 {
        self.list.len(&self.doc.transact())
    }

    fn insert(&self, at: u32) -> Vec<u8> {
        let mut transaction = self.doc.transact_mut();
        self.list.insert(&mut transaction, at, i64::from(at));
        transaction.encode_update_v1()
    }

    fn hear(&self, update: &[u8]) {
        self.doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }

    fn full(&self) -> Vec<u8> {
        self.doc.transact().encode_diff_v1(&StateVector::default())
    }
}

const ITEMS: u64 = 8_000;

/// A list of 8,000 items that do not merge: two clients took turns.
fn long_list(parent: At<'_>) -> Vec<u8> {
    let at = |n: u64| (10 + n % 2, n / 2);
    let side = |client: u64| {
        (0..ITEMS)
            .filter(|n| 10 + n % 2 == client)
            .fold(Blocks::of(client, 0), |all, n| all.one(if n == 0 { parent } else { At::After(at(n - 1)) }))
    };
    update([side(11), side(10)], &[])
}

fn item(n: u64) -> Id {
    (10 + n % 2, n / 2)
}

/// What an attacker sends: updates in their order.
type Attack = Vec<Vec<u8>>;

/// One client's blocks between these items.
fn apart(client: u64, gaps: impl Iterator<Item = (u64, Option<u64>)>) -> Vec<u8> {
    blocks(gaps.fold(Blocks::of(client, 0), |all, (from, to)| {
        all.one(match to {
            Some(to) => At::Between(item(from), item(to)),
            None => At::After(item(from)),
        })
    }))
}

/// Attacks on the list of 8,000 items.
fn attacks() -> Vec<(&'static str, Source, Attack)> {
    let (first, last) = (0, ITEMS - 1);
    let same = |client: u64| apart(client, [(first, Some(last))].into_iter());
    let many = |clients: &mut dyn Iterator<Item = u64>| -> Vec<u8> {
        let mut all: Vec<u64> = clients.collect();
        all.sort_unstable_by_key(|&client| std::cmp::Reverse(client));
        update(
            all.into_iter().map(|client| Blocks::of(client, 0).one(At::Between(item(first), item(last)))),
            &[],
        )
    };
    vec![
        ("one client, one gap", Source::Update, vec![apart(99, (0..4_000).map(|_| (first, Some(last))))]),
        (
            "one origin, many right origins",
            Source::Update,
            vec![apart(99, (0..4_000).map(|n| (first, Some(last - n))))],
        ),
        (
            "many origins, one right origin",
            Source::Update,
            vec![apart(99, (0..4_000).map(|n| (n, Some(last))))],
        ),
        ("no right origin", Source::Update, vec![apart(99, (0..4_000).map(|n| (n, None)))]),
        ("many clients, one update", Source::Update, vec![many(&mut (100..8_100))]),
        ("the same as a Step2", Source::Step2, vec![many(&mut (100..8_100))]),
        ("one client a Step2, ever lower", Source::Step2, (100..6_000).rev().map(same).collect()),
        ("small updates", Source::Update, (100..6_000).map(same).collect()),
        (
            "chains between far blocks",
            Source::Update,
            (100..1_000)
                .map(|client| {
                    let far = Blocks::of(client, 0).one(At::Between(item(first), item(last)));
                    blocks((0..40).fold(far, |all, n| all.one(At::Between((client, n), item(last)))))
                })
                .collect(),
        ),
    ]
}

/// [G22, G24] Each attack is refused, after a bounded number of steps, and leaves a room that works.
#[test]
fn attacks_are_refused() {
    for (name, source, attack) in attacks() {
        let mut room = Room::default();
        room.offer(&long_list(At::Root("a")), Source::Step2).expect("honest work");
        let (mut sent, mut refused) = (0, None);
        for update in &attack {
            sent += update.len();
            let before = (room.gate.state_vector(), room.gate.ordered_blocks());
            if let Err(refusal) = room.offer(update, source) {
                assert_eq!(room.gate.state_vector(), before.0, "{name}: nothing of it is in");
                refused = Some(refusal);
                break;
            }
        }
        let max = if source == Source::Step2 { STEPS_OWED_MAX_STEP2 } else { STEPS_OWED_MAX };
        let most = STEPS_ESTIMATED_MAX + max + STEPS_PER_BLOCK_FREE * 40_000;
        println!(
            "{name}: {refused:?} after {} kB, {} steps owed, folded in {:?}",
            sent / 1_000,
            room.owed,
            room.folding
        );
        assert!(
            matches!(refused, Some(Refusal::FarNeighbours | Refusal::CrossedNeighbours)),
            "{name}: {refused:?}"
        );
        assert!(room.owed <= most, "{name}: {} steps", room.owed);
        assert!(!refused.unwrap().is_too_large(), "a rule of form: final");
        room.still_works("a");
    }
}

/// [G22] The same where a list is text, XML, in another type, or the sets of one key.
#[test]
fn attacks_are_refused_wherever_lists_are() {
    let nested = blocks(Blocks::of(1, 0).new_type(At::Key("m", "list"), 0));
    let places = [
        ("XML", At::Root("x"), None),
        ("an array in a map", At::Type((1, 0)), Some(nested)),
        ("the sets of one key", At::Key("m", "k"), None),
    ];
    for (name, parent, before) in places {
        let mut room = Room::default();
        before.iter().for_each(|update| drop(room.take(update)));
        room.offer(&long_list(parent), Source::Step2).expect("honest work");
        // Sets of a key beside each other are bounded by themselves: a hundred in each update.
        let refused = (0..100).find_map(|turn| {
            let gaps = (0..100).map(|n| (turn * 100 % 200 + n % 3, None));
            room.offer(&apart(500 + turn, gaps), Source::Update).err()
        });
        println!("{name}: {refused:?}, {} steps owed, folded in {:?}", room.owed, room.folding);
        assert_eq!(refused, Some(Refusal::FarNeighbours), "{name}");
        assert!(room.owed <= STEPS_ESTIMATED_MAX + STEPS_OWED_MAX);
    }
    // Text that is one block, until deletes cut it into 8,000.
    let mut room = Room::default();
    let cuts: Vec<_> = (0..4_000).map(|n| (1, 2 * n + 1, 1)).collect();
    room.take(&update([Blocks::of(1, 0).text(At::Root("t"), &"ab".repeat(4_000))], &cuts));
    let gaps = |client: u64| (0..100).fold(Blocks::of(client, 0), |all, _| all.text(At::After((1, 0)), "x"));
    let refused = (100..105).find_map(|client| room.offer(&blocks(gaps(client)), Source::Update).err());
    println!("cut text: {refused:?}, {} steps owed, folded in {:?}", room.owed, room.folding);
    assert_eq!(refused, Some(Refusal::FarNeighbours));
}

/// [G22] What many updates have laid out cannot be used: blocks for which each step costs nothing
/// until others come between them, in whatever order.
#[test]
fn traps_cannot_be_laid() {
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(1, 0).one(At::Root("a")).one(At::After((1, 0)))));
    room.gate.learn_order([room.document.encode_full().as_slice()]).unwrap();
    let gap = At::Between((1, 0), (1, 1));
    // Each finds its place at once: clients count down.
    let laid = (0..10_000)
        .find(|n| room.offer(&blocks(Blocks::of(90_000 - n, 0).one(gap)), Source::Update).is_err());
    let laid = laid.expect("their number is bounded");
    println!("{laid} blocks that span each other were taken, folded in {:?}", room.folding);
    assert!(laid < 2 * STEPS_PER_UPDATE_FREE);
    // A chain behind the last of them: short ones pass, long ones do not.
    let last = (90_001 - laid, 0);
    let chain = |client: u64, len: u64| {
        let head = Blocks::of(client, 0).one(At::After(last));
        blocks((1..len).fold(head, |all, n| all.one(At::After((client, n - 1)))))
    };
    let refused = (0..10).find_map(|n| room.offer(&chain(2 + n, 4_000), Source::Update).err());
    assert_eq!(refused, Some(Refusal::FarNeighbours));
}

/// [G23] Thousands of people insert at one place, none having heard of another.
#[test]
fn a_crowd_at_one_place_is_honest() {
    for right in [true, false] {
        let mut room = Room::default();
        room.take(&blocks(Blocks::of(1, 0).one(At::Root("a")).one(At::After((1, 0)))));
        let at = if right { At::Between((1, 0), (1, 1)) } else { At::After((1, 1)) };
        let mut most = 0;
        for person in 0..2_500_u64 {
            let client = 2 + person.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (1 << 50);
            most = most.max(room.take(&blocks(Blocks::of(client, 0).one(at))));
        }
        println!("2,500 people at one place: at most {most} steps, folded in {:?}", room.folding);
        let mut other = Room::default();
        other.offer(&room.document.encode_full(), Source::Step2).expect("taken back in one piece");
    }
}

/// [G23] An offline author with 5,000 insertions at random places of a list of 8,000 items, while
/// twenty others insert too; then the whole document into an empty room.
#[test]
fn random_insertions_offline_are_honest() {
    let seed = std::env::var("RUANG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7_u64);
    println!("seed {seed}");
    let mut state = seed;
    let mut below = move |n: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % u64::from(n.max(1))) as u32
    };
    let mut room = Room::default();
    room.offer(&long_list(At::Root("a")), Source::Step2).expect("honest work");
    let people: Vec<Peer> = (0..21).map(|n| Peer::new(1_000 + n, "a")).collect();
    people.iter().for_each(|peer| peer.hear(&room.document.encode_full()));
    for _ in 0..5_000 {
        people[0].insert(below(people[0].len()));
    }
    for peer in &people[1..] {
        // Half a minute offline: more of it at the end than elsewhere.
        for n in 0..60 {
            let at = if n % 3 == 0 { below(peer.len()) } else { peer.len() };
            peer.insert(at);
        }
    }
    for peer in people.iter().rev() {
        let vector = StateVector::decode_v1(&room.document.state_vector()).unwrap();
        let step2 = peer.doc.transact().encode_diff_v1(&vector);
        let steps = room.offer(&step2, Source::Step2).expect("honest work");
        let is_counted = room.gate.ordered_blocks().is_some();
        assert!(!is_counted || steps < STEPS_OWED_MAX / 16, "{steps} steps");
    }
    println!(
        "folded in {:?}, {} blocks in order",
        room.folding,
        room.gate.ordered_blocks().unwrap_or_default()
    );
    let full = room.document.encode_full();
    let steps = Room::default().offer(&full, Source::Step2).expect("taken back in one piece");
    println!("the whole of it: {steps} steps");
    assert!(steps < STEPS_OWED_MAX_STEP2 / 8);
}

/// [G23] Twenty people paste a thousand formatted pieces each at one place; fifty type at one place.
#[test]
fn pastes_and_typing_at_one_place_are_honest() {
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(1, 0).text(At::Root("t"), "begin end")));
    let writer = |client: u64| {
        let peer = Peer::new(client, "a");
        let text = peer.doc.get_or_insert_text("t");
        peer.hear(&room.document.encode_full());
        (peer, text)
    };
    let bold = |on: bool| [("bold".into(), Any::from(on))].into_iter().collect();
    let pastes: Vec<Vec<u8>> = (0..20)
        .map(|n| writer(100 + n))
        .map(|(peer, text)| {
            let mut transaction = peer.doc.transact_mut();
            for at in 0..500 {
                text.insert_with_attributes(&mut transaction, 6 + 5 * at, "piece", bold(at % 2 == 0));
            }
            transaction.encode_update_v1()
        })
        .collect();
    let typed: Vec<Vec<u8>> = (0..50)
        .map(|n| writer(200 + n))
        .flat_map(|(peer, text)| {
            (0..40)
                .map(|at| {
                    let mut transaction = peer.doc.transact_mut();
                    text.insert(&mut transaction, 6 + at, "x");
                    transaction.encode_update_v1()
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let most = pastes.iter().chain(&typed).map(|update| room.take(update)).max().unwrap();
    println!("pastes and typing: at most {most} steps an update, folded in {:?}", room.folding);
    Room::default().offer(&room.document.encode_full(), Source::Step2).expect("taken back in one piece");
}

/// [G23] Two people drag one card against each other for minutes, each seeing the other late.
#[test]
fn dragging_against_each_other_is_honest() {
    let mut room = Room::default();
    let people: Vec<(Peer, yrs::MapRef)> = (0..2)
        .map(|n| {
            let peer = Peer::new(1 + n, "a");
            let map = peer.doc.get_or_insert_map("m");
            (peer, map)
        })
        .collect();
    let mut unheard: Vec<Vec<u8>> = Vec::new();
    let mut most = 0;
    for turn in 0..6_000 {
        let (peer, map) = &people[turn % 2];
        let mut transaction = peer.doc.transact_mut();
        map.insert(&mut transaction, "card", turn as i64);
        let update = transaction.encode_update_v1();
        drop(transaction);
        most = most.max(room.take(&update));
        unheard.push(update);
        if unheard.len() == 6 {
            unheard.drain(..).for_each(|update| people.iter().for_each(|(peer, _)| peer.hear(&update)));
        }
    }
    println!("dragging against each other: at most {most} steps, counted: {:?}", room.gate.ordered_blocks());
}

/// [G23] A board, brought as one Step2 and edited by many, never needs the order: maps are set on
/// what they were.
#[test]
fn a_board_is_never_put_in_order() {
    let mut room = Room::default();
    let peer = Peer::new(1, "a");
    let items = peer.doc.get_or_insert_map("items");
    for n in 0..10_000 {
        let mut transaction = peer.doc.transact_mut();
        let item = items.insert(&mut transaction, format!("item-{n}"), MapPrelim::default());
        for key in ["x", "y", "text"] {
            item.insert(&mut transaction, key, i64::from(n));
        }
    }
    room.offer(&peer.full(), Source::Step2).expect("honest work");
    for n in 0..5_000 {
        let mut transaction = peer.doc.transact_mut();
        let Some(yrs::Out::YMap(item)) = items.get(&transaction, &format!("item-{}", n % 50)) else {
            panic!("it is there")
        };
        for key in ["x", "y"] {
            item.insert(&mut transaction, key, i64::from(n));
        }
        let update = transaction.encode_update_v1();
        drop(transaction);
        room.take(&update);
    }
    assert_eq!(room.gate.ordered_blocks(), None);
}
