//! [G23] What stands at a place already is no reason to refuse who goes on there.

use std::time::Instant;

use ruang::gate::Source;
use yrs::{Map, Transact};

use crate::craft::{At, Blocks, blocks};
use crate::{Peer, Room};

/// [G23] Strangers begin 5,000 texts of their own at one place, paying back what they owe with small
/// updates elsewhere, and then take all that may be owed. Two people who go on at that place,
/// each one edit behind the other, are never refused.
#[test]
fn what_strangers_have_heaped_up_is_no_reason_to_refuse_anyone() {
    // Each stranger's block spans all others', or only the first of them.
    for narrow in [false, true] {
        let mut room = Room::default();
        room.take(&blocks(Blocks::of(1, 0).one(At::Root("a")).one(At::After((1, 0)))));
        room.take(&blocks(Blocks::of(2, 0).one(At::Between((1, 0), (1, 1)))));
        let (mut laid, mut refused, mut right) = (0_u64, 0_u64, (1, 1));
        for n in 0..5_000_u64 {
            let client = if narrow { 100_000 + n } else { 100_000 - n };
            let block = Blocks::of(client, 0).one(At::Between((1, 0), right));
            match room.offer(&blocks(block), Source::Update) {
                Ok(_) => {
                    laid += 1;
                    if narrow {
                        right = (client, 0);
                    }
                }
                Err(_) => refused += 1,
            }
            // Sets of keys, which span nothing: what is owed is paid back.
            room.take(&blocks(Blocks::of(1 << 40 | n, 0).one(At::Key("paid", &n.to_string()))));
        }
        println!("narrow: {narrow}; {laid} blocks of strangers in one gap, {refused} refused");
        assert!(laid > 3_000, "it is a heap");
        let people = [3, 1 << 50].map(|client| Peer::new(client, "a"));
        for person in &people {
            person.hear(&room.document.encode_full());
        }
        let mut late = None;
        let mut most = 0;
        for turn in 0..100 {
            let person = &people[turn % 2];
            // Behind the first item; in front of what spans all, and of what all span.
            let at = if turn % 3 == 0 { 1 } else { 1 + laid as u32 };
            // Strangers take what may be owed, to the last step that they get.
            for n in (1..=64_u64).rev() {
                let far = Blocks::of((1 << 41) | (turn as u64 * 64 + n), 0);
                let end = if n % 8 == 0 { (1, 1) } else { (2, 0) };
                let far = blocks(far.one(At::Between((1, 0), end)));
                if room.offer(&far, Source::Update).is_ok() {
                    people.iter().for_each(|person| person.hear(&far));
                }
            }
            let edit = person.insert(at);
            most = most.max(room.take(&edit));
            if let Some(edit) = late.replace(edit) {
                person.hear(&edit);
            }
        }
        println!("100 edits there: at most {most} steps each");
    }
}

/// [G23] People insert at the front of a list for hours, each before hearing of the others. Each edit is
/// spanned by one more than the one before it, for ever: Yjs and the engine walk over them all when they
/// load the document.
#[test]
fn insertions_at_the_front_for_hours_are_honest() {
    for clients in [vec![3, 1 << 50], vec![3, 5, 7, 1 << 50]] {
        let mut room = Room::default();
        room.take(&blocks(Blocks::of(1, 0).one(At::Root("a")).one(At::After((1, 0)))));
        let people: Vec<Peer> = clients.iter().map(|&client| Peer::new(client, "a")).collect();
        people.iter().for_each(|person| person.hear(&room.document.encode_full()));
        let (turns, mut most) = (8_000 / clients.len(), 0);
        for _ in 0..turns {
            let edits: Vec<Vec<u8>> = people.iter().map(|person| person.insert(0)).collect();
            for (n, edit) in edits.iter().enumerate() {
                most = most.max(room.take(edit));
                for (m, person) in people.iter().enumerate() {
                    if m != n {
                        person.hear(edit);
                    }
                }
            }
        }
        let began = Instant::now();
        Peer::new(9, "a").hear(&room.document.encode_full());
        println!(
            "{} people, {turns} times: at most {most} steps, folded in {:?}, loaded as one in {:?}",
            clients.len(),
            room.folding,
            began.elapsed()
        );
    }
}

/// [G23] Ten people set one key and append to one list for hours, each before hearing of the others. Nine of
/// ten lose the key each time; nobody who comes later walks over them, so nobody is charged for them.
#[test]
fn one_key_and_the_end_of_one_list_for_hours_are_honest() {
    const PEOPLE: u64 = 10;
    let mut room = Room::default();
    room.take(&blocks(Blocks::of(1, 0).one(At::Root("a"))));
    room.gate.learn_order([room.document.encode_full().as_slice()]).unwrap();
    let people: Vec<Peer> = (0..PEOPLE).map(|n| Peer::new(3 + (n * 7 % 10) * 1_000_003, "a")).collect();
    people.iter().for_each(|person| person.hear(&room.document.encode_full()));
    let mut most = 0;
    for turn in 0..300 {
        let edits: Vec<[Vec<u8>; 2]> = people
            .iter()
            .map(|person| {
                let map = person.doc.get_or_insert_map("m");
                let mut transaction = person.doc.transact_mut();
                map.insert(&mut transaction, "changed", turn);
                let set = transaction.encode_update_v1();
                drop(transaction);
                [set, person.insert(person.len())]
            })
            .collect();
        for (n, edit) in edits.iter().enumerate() {
            for update in edit {
                most = most.max(room.take(update));
                people
                    .iter()
                    .enumerate()
                    .filter(|(m, _)| *m != n)
                    .for_each(|(_, person)| person.hear(update));
            }
        }
    }
    println!("10 people, 300 times: at most {most} steps, folded in {:?}", room.folding);
    assert!(most < 4 * PEOPLE, "it does not grow");
}
