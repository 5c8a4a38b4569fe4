//! [G13 to G15] Bounds: depth, siblings, size, clients, names.

use ruang::gate::{Dropped, Gate, Refusal, Source};
use ruang::limits::{
    CLIENTS_PER_DOCUMENT_MAX, STEPS_OWED_MAX, TYPE_DEPTH_MAX, UPDATE_BYTES_MAX, VALUE_DEPTH_MAX,
};

use crate::Room;
use crate::craft::{At, Blocks, blocks, update};

/// [G13] Deep values and deep types are refused at their limits, not before.
#[test]
fn depths_are_bounded() {
    let value = |levels: usize| {
        let content = [&[1][..], &[117, 1].repeat(levels), &[126]].concat();
        blocks(Blocks::of(1, 0).block(At::Root("a"), 8, &content))
    };
    let json = |levels: usize| {
        let json = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        blocks(Blocks::of(1, 0).embed(At::Root("t"), &json))
    };
    let types = |levels: u64| {
        let mut nested = Blocks::of(1, 0).new_type(At::Root("a"), 0);
        for level in 1..levels {
            nested = nested.new_type(At::Type((1, level - 1)), 0);
        }
        update([nested], &[(1, 0, 1)])
    };
    Room::default().take(&value(VALUE_DEPTH_MAX));
    Room::default().take(&json(VALUE_DEPTH_MAX));
    Room::default().take(&types(u64::from(TYPE_DEPTH_MAX)));
    assert_eq!(Room::default().refused(&value(VALUE_DEPTH_MAX + 1)), Refusal::ValueTooDeep);
    assert_eq!(Room::default().refused(&value(400_000)), Refusal::ValueTooDeep);
    assert_eq!(Room::default().refused(&json(VALUE_DEPTH_MAX + 1)), Refusal::ValueTooDeep);
    assert_eq!(Room::default().refused(&json(400_000)), Refusal::ValueTooDeep);
    assert_eq!(Room::default().refused(&types(u64::from(TYPE_DEPTH_MAX) + 1)), Refusal::TypesTooDeep);
    assert_eq!(Room::default().refused(&types(8_000)), Refusal::TypesTooDeep);
}

/// Sets of one key, all beside each other or each upon the one before.
fn sets(client: u64, count: u32, chained: bool) -> Vec<u8> {
    let mut sets = Blocks::of(client, 0).one(At::Key("m", "k"));
    for set in 1..u64::from(count) {
        sets = sets.one(if chained { At::After((client, set - 1)) } else { At::Key("m", "k") });
    }
    blocks(sets)
}

/// [G14] Sets beside each other are bounded; a drag of 20,000 sets, a chain, is not.
#[test]
fn siblings_are_bounded_and_chains_are_not() {
    Room::default().take(&sets(1, 600, true));
    Room::default().take(&sets(1, 20_000, true));
    Room::default().take(&sets(1, 1_000, false));
    assert_eq!(Room::default().refused(&sets(1, 20_000, false)), Refusal::FarNeighbours);
    let step2 = |count| Room::default().offer(&sets(1, count, false), Source::Step2).map(drop);
    assert_eq!(step2(2_500), Ok(()), "so many people may set a key at once");
    assert_eq!(step2(20_000), Err(Refusal::FarNeighbours));
    assert!(Gate::new().admit(&sets(1, 20_000, false), Source::Record).is_ok(), "records were judged once");
    // In small slices: the room remembers.
    let mut room = Room::default();
    let slices = (0..).map(|n| room.offer(&sets(1 + n, 100, false), Source::Update).map(drop));
    let (count, refusal) =
        slices.zip(1_u64..).find_map(|(slice, n)| slice.err().map(|refusal| (n, refusal))).unwrap();
    assert_eq!(refusal, Refusal::FarNeighbours);
    println!("20,000 siblings in slices of 100: refused from slice {count} on");
    assert!(count * 100 < 2 * STEPS_OWED_MAX.isqrt());
}

/// [G14] An honest room that is dragged about for weeks never meets the bound.
#[test]
fn weeks_of_dragging_are_honest() {
    let mut gate = Gate::new();
    let mut last = [0_u64; 50];
    gate.admit(
        &blocks((0..50).fold(Blocks::of(1, 0), |all, n| all.one(At::Key("m", &n.to_string())))),
        Source::Update,
    )
    .unwrap();
    (0..50).for_each(|n| last[n as usize] = n);
    for clock in 50..300_000_u64 {
        let item = (clock * 7919 % 50) as usize;
        gate.admit(&blocks(Blocks::of(1, clock).one(At::After((1, last[item])))), Source::Update).unwrap();
        last[item] = clock;
    }
}

/// [G15] Sizes: bytes, clients, names; and which refusals are about size.
#[test]
fn sizes_are_bounded() {
    let large = blocks(Blocks::of(1, 0).text(At::Root("t"), &"x".repeat(UPDATE_BYTES_MAX)));
    let refusal = Room::default().refused(&large);
    assert!(matches!(refusal, Refusal::TooLarge { .. }) && refusal.is_too_large());
    assert!(Room::default().offer(&large, Source::Step2).is_ok(), "a Step2 may bring a whole document");
    let name = "n".repeat(1_025);
    for at in [At::Root(&name), At::Key("m", &name), At::Key(&name, "k")] {
        assert_eq!(Room::default().refused(&blocks(Blocks::of(1, 0).one(at))), Refusal::NameTooLong);
    }
    let many = |count: usize| update((0..count as u64).rev().map(|client| Blocks::of(client, 0).gc(1)), &[]);
    let mut gate = Gate::new();
    gate.admit(&many(CLIENTS_PER_DOCUMENT_MAX - 1), Source::Step2).unwrap();
    assert_eq!(
        gate.admit(&many(CLIENTS_PER_DOCUMENT_MAX), Source::Step2).map(drop),
        Err(Refusal::TooManyClients)
    );
    let one_more = blocks(Blocks::of(1 << 40, 0).one(At::Root("a")));
    let state = gate.state_vector();
    assert_eq!(gate.admit(&one_more, Source::Update).map(drop), Err(Refusal::TooManyClients));
    assert_eq!(gate.state_vector(), state);
    // The place that is left is for the room's marker; after it, those who are in go on.
    gate.admit(&blocks(Blocks::of(1 << 41, 0).gc(9)), Source::Record).unwrap();
    assert_eq!(gate.state_vector().entries().len(), CLIENTS_PER_DOCUMENT_MAX);
    gate.admit(&blocks(Blocks::of(7, 1).one(At::Root("a"))), Source::Update).unwrap().remainder.unwrap();
    assert_eq!(gate.admit(&one_more, Source::Step2).map(drop), Err(Refusal::TooManyClients));
    assert!(Refusal::TooManyClients.is_too_large());
}

/// [G4, G16] Tens of thousands of clients whose blocks need each other's: yrs needs stack for each;
/// the fold has it.
#[test]
fn a_chain_of_many_clients_folds() {
    let chain = (0..40_000_u64).rev().map(|client| {
        Blocks::of(client, 0).one(if client == 0 { At::Root("a") } else { At::After((client - 1, 0)) })
    });
    let mut room = Room::default();
    let admission = room.offer(&update(chain, &[]), Source::Step2).unwrap();
    assert_eq!(admission.dropped, Dropped::default());
    room.still_works();
}
