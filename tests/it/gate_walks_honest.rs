//! [G23] Honest work is not refused, however many write at one place.

use ruang::gate::Source;
use ruang::limits::{STEPS_OWED_MAX, STEPS_OWED_MAX_STEP2};
use yrs::updates::decoder::Decode;
use yrs::{Any, Map, MapPrelim, ReadTxn, StateVector, Text, Transact};

use crate::craft::{At, Blocks, blocks};
use crate::{Peer, Room, long_list};

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
    let seed = std::env::var("RUANG_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7_u64);
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
