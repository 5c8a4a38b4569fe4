//! [G22, G24] Attacks are refused.

use ruang::gate::{Refusal, Source};
use ruang::limits::{
    STEPS_ESTIMATED_MAX, STEPS_OWED_MAX, STEPS_OWED_MAX_STEP2, STEPS_PER_BLOCK_FREE, STEPS_PER_UPDATE_FREE,
};

use crate::craft::{At, Blocks, blocks, update};
use crate::{ITEMS, Room, item, long_list};

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
        for update in before.as_slice() {
            room.take(update);
        }
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

/// What the attacks would cost if they were folded as they come. Prints; nothing is asserted.
#[test]
#[ignore = "folds for minutes"]
fn what_attacks_would_cost() {
    let list = long_list(At::Root("a"));
    for (name, _, attack) in attacks() {
        let mut document = ruang::document::Document::new();
        document.apply(&[&list]).unwrap();
        let (mut folding, mut bytes) = (std::time::Duration::ZERO, 0);
        for update in attack {
            bytes += update.len();
            let began = std::time::Instant::now();
            document.apply(&[&update]).unwrap();
            folding += began.elapsed();
            if folding.as_secs() > 30 {
                break;
            }
        }
        println!("{name}: {} kB fold in {folding:?}", bytes / 1_000);
    }
}
