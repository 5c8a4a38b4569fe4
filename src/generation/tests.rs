//! [R13], [R14], [R19], [R20] without a room: what is a marker, what is not, and who is let in.

#[path = "../../tests/it/craft.rs"]
mod craft;

use super::*;
use crate::gate::{Gate, Source, parse_state_vector, parse_update};
use craft::{At, Blocks, blocks, number, update};

const OWN: u32 = 77;

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn client_of(nonce: u32) -> u64 {
    Generation { nonce }.marker_client(&room("r"))
}

fn garbage(nonce: u32) -> Blocks {
    Blocks::of(client_of(nonce), 0).gc(nonce.into())
}

fn vector(entries: &[(u64, u32)]) -> StateVector {
    let mut out = Vec::new();
    number(&mut out, entries.len() as u64);
    for &(client, clock) in entries {
        number(&mut out, client);
        number(&mut out, clock.into());
    }
    parse_state_vector(&out).unwrap()
}

/// The room `r` with its marker; and with content, or without.
fn lived(content: bool) -> Generations {
    let own = (client_of(OWN), OWN);
    let entries = if content { vec![own, (5, 3)] } else { vec![own] };
    Generations::new(&room("r"), (false, false), &vector(&entries))
}

fn absent() -> Generations {
    Generations::new(&room("r"), (false, false), &StateVector::default())
}

fn judge(generations: &Generations, update: &[u8]) -> Result<Brings, GenerationError> {
    generations.judge(&parse_update(update, Source::Step2).unwrap(), None, false)
}

/// Everything that a room asks of an update, the gate's part too.
fn submit(generations: &Generations, gate: &mut Gate, update: &[u8]) -> Result<Brings, GenerationError> {
    let parsed = parse_update(update, Source::Step2).unwrap();
    let brings = generations.judge(&parsed, None, false)?;
    let admitted = gate.admit_parsed(&parsed).unwrap().remainder;
    let blocks = admitted.map(|remainder| remainder.receipt.blocks).unwrap_or_default();
    generations.check(&blocks, &brings).map(|()| brings)
}

/// [R13] A marker is found in a state vector and in an update, and means nothing under another name.
#[test]
fn markers_are_found() {
    let (old, mine) = ((client_of(9), 9), (client_of(OWN), OWN));
    let here = lived(true);
    assert_eq!(here.set().map(|marker| marker.nonce).collect::<Vec<_>>(), [OWN]);
    assert_eq!(here.greet(&vector(&[mine, (8, 1)]), false), Ok(None));
    assert_eq!(here.greet(&vector(&[mine, old]), false), Err(GenerationError::OtherLife));
    assert_eq!(judge(&here, &update([garbage(OWN)], &[])), Ok(Brings::Nothing));
    assert_eq!(judge(&here, &update([garbage(9)], &[])), Err(GenerationError::OtherLife));

    let elsewhere = Generations::new(&room("copy of r"), (false, false), &vector(&[(5, 3)]));
    assert_eq!(elsewhere.greet(&vector(&[mine, old]), false), Ok(None));
    assert_eq!(judge(&elsewhere, &update([garbage(9), garbage(OWN)], &[])), Ok(Brings::Nothing));
}

/// [R19] No honest copy is taken for one of another life: 200,000 random ids and clocks are no
/// markers, and ids of 32 bits are not even looked at.
#[test]
fn honest_copies_are_no_false_hits() {
    let here = lived(true);
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 11
    };
    for n in 0..200_000_u32 {
        let (client, clock) = (random(), if n % 2 == 0 { n % 5_000 } else { random() as u32 >> 1 });
        assert_eq!(here.marker(client, clock), None, "client {client}, clock {clock}");
    }
    let (client, nonce) = (3_871_474_031, 1_131_420);
    assert_eq!(client_of(nonce), client, "one that was searched for: id and length would prove each other");
    assert_eq!(here.marker(client, nonce), None);
}

/// [R14] What is no marker, but would pass for one, or goes on behind one, is refused: in pieces, as
/// text, as deleted content, cut to length by the gate, in two updates, behind the room's own, and
/// under the id that an absent room will get. The marker itself is let into an absent room.
#[test]
fn forged_markers_are_refused() {
    let at = At::Root("t");
    let (four, own) = (client_of(4), client_of(OWN));
    let shapes = [
        ("in pieces", blocks(Blocks::of(four, 0).gc(3).gc(1))),
        ("as text", blocks(Blocks::of(four, 0).text(at, "four"))),
        ("as deleted content", blocks(Blocks::of(four, 0).deleted(at, 4))),
        ("as values", blocks(Blocks::of(four, 0).one(at).one(at).one(at).one(at))),
        (
            "cut to length by a gap",
            blocks(Blocks::of(four, 0).text(at, "four").text(At::After((999, 1)), "x")),
        ),
        ("cut to length by a skip", blocks(Blocks::of(four, 0).gc(4).skip(3).gc(1))),
    ];
    for (shape, forged) in &shapes {
        for (name, generations) in [("absent", absent()), ("blank", lived(false)), ("lived", lived(true))] {
            let answer = submit(&generations, &mut Gate::new(), forged);
            println!("{shape}, {name} room: {answer:?}");
            assert!(answer.is_err(), "{shape}, {name} room");
        }
    }

    let here = lived(true);
    let mut gate = Gate::new();
    gate.admit(&update([garbage(OWN)], &[]), Source::Record).unwrap();
    assert_eq!(submit(&here, &mut gate, &blocks(Blocks::of(four, 0).text(at, "fo"))), Ok(Brings::Nothing));
    assert!(submit(&here, &mut gate, &blocks(Blocks::of(four, 2).text(At::After((four, 1)), "ur"))).is_err());

    let behind = blocks(Blocks::of(own, OWN.into()).gc(1));
    assert_eq!(judge(&here, &behind), Err(GenerationError::Forged));
    let over = blocks(Blocks::of(own, 0).gc(u64::from(OWN) + 1));
    assert_eq!(judge(&here, &over), Err(GenerationError::Forged));
    assert_eq!(here.greet(&vector(&[(own, OWN + 1)]), false), Err(GenerationError::Forged));

    let mut absent = absent();
    absent.reserve(Generation { nonce: OWN });
    assert_eq!(judge(&absent, &blocks(Blocks::of(own, 0).gc(3))), Err(GenerationError::Forged));
    let brought = Marker { client: four, nonce: 4 };
    let honest = submit(&absent, &mut Gate::new(), &update([garbage(4)], &[]));
    assert_eq!(honest, Ok(Brings::Life(vec![brought])));
}

/// [R14] What lies over the room's own marker is cut off: all of it is known.
#[test]
fn nothing_lies_over_the_rooms_marker() {
    let mut gate = Gate::new();
    let four = client_of(4);
    gate.admit(&update([garbage(4)], &[]), Source::Record).unwrap();
    let here = Generations::new(&room("r"), (false, false), &gate.state_vector());
    let over = parse_update(&blocks(Blocks::of(four, 0).text(At::Root("t"), "four")), Source::Update)
        .map(|update| (here.judge(&update, None, false), gate.admit_parsed(&update).unwrap()));
    let (judged, admission) = over.unwrap();
    assert_eq!((judged, admission.remainder), (Ok(Brings::Nothing), None));
}

/// [R19] Thousands of markers: a room that has content refuses at the first; one without takes
/// 1,022 (with its own and the next life's that is the most), and no more.
#[test]
fn markers_are_bounded() {
    let entries: Vec<_> = (100..70_000).map(|nonce| (client_of(nonce), nonce)).collect();
    assert_eq!(lived(true).greet(&vector(&entries), false), Err(GenerationError::OtherLife));
    assert_eq!(lived(false).greet(&vector(&entries), false), Err(GenerationError::TooMany));
    let most = MARKERS_PER_ROOM_MAX - 2;
    assert!(lived(false).greet(&vector(&entries[..most]), false).is_ok());
    assert_eq!(lived(false).greet(&vector(&entries[..=most]), false), Err(GenerationError::TooMany));
    let many = |count| update((100..100 + count as u32).map(garbage), &[]);
    assert!(matches!(judge(&lived(false), &many(most)), Ok(Brings::Life(all)) if all.len() == most));
    assert_eq!(judge(&lived(false), &many(most + 1)), Err(GenerationError::TooMany));
    assert_eq!(judge(&lived(true), &many(60_000)), Err(GenerationError::OtherLife));
}

/// [R16, R17, R18] Who may bring a life, by what the room is.
#[test]
fn a_life_may_be_brought_where_there_is_none() {
    let old = vector(&[(client_of(9), 9), (6, 1)]);
    let brings = update([garbage(9)], &[]);
    let claims =
        |generations: &Generations| generations.greet(&old, false).is_ok_and(|claim| claim.is_some());
    assert!(claims(&absent()) && claims(&lived(false)) && !claims(&lived(true)));
    let deleted = Generations::new(&room("r"), (true, false), &StateVector::default());
    assert_eq!(deleted.greet(&old, false), Err(GenerationError::OtherLife));
    assert_eq!(judge(&deleted, &brings), Err(GenerationError::OtherLife));
    // The answer depends on what is in flight, so it is not final.
    assert_eq!(absent().greet(&old, true), Err(GenerationError::Undecided));
    assert_eq!(lived(true).greet(&old, true), Err(GenerationError::OtherLife));

    let mut generations = absent();
    let claim = generations.greet(&old, false).unwrap().unwrap();
    let early = blocks(Blocks::of(6, 1).one(At::Root("a")));
    let parsed = parse_update(&early, Source::Update).unwrap();
    assert_eq!(generations.judge(&parsed, Some(&claim), false), Ok(Brings::TooEarly));
    assert_eq!(generations.outlook(&claim), Outlook::Open);
    let Ok(Brings::Life(markers)) = judge(&generations, &brings) else { panic!("it brings a life") };
    generations.pend(markers.clone());
    assert_eq!(generations.judge(&parsed, Some(&claim), true), Ok(Brings::Nothing), "it is in flight");
    generations.revert();
    assert_eq!(generations.judge(&parsed, Some(&claim), false), Ok(Brings::TooEarly), "it was dropped");
    generations.pend(markers);
    generations.commit([(client_of(OWN), OWN), (client_of(9), 9), (6, 1)].into_iter());
    assert_eq!(generations.outlook(&claim), Outlook::Settled);
    assert_eq!(generations.greet(&old, false), Ok(None));

    let mut other = absent();
    other.commit([(client_of(OWN), OWN), (7, 1)].into_iter());
    assert_eq!(other.outlook(&claim), Outlook::Lost);
    assert_eq!(other.judge(&parsed, Some(&claim), false), Err(GenerationError::OtherLife));
}

/// [R20] Where records are set aside, a copy that has a marker of this life may bring the others
/// back; where the genesis record is lost, any may. Without damage neither does.
#[test]
fn what_damage_took_may_come_back() {
    let copy = vector(&[(client_of(OWN), OWN), (client_of(9), 9), (6, 1)]);
    let entries = [(client_of(OWN), OWN), (5, 3)];
    let damaged = Generations::new(&room("r"), (false, true), &vector(&entries));
    let claim = damaged.greet(&copy, true).unwrap().unwrap();
    let brings = update([garbage(9)], &[]);
    let back = parse_update(&brings, Source::Step2).unwrap();
    let healing = Brings::Healing(vec![Marker { client: client_of(9), nonce: 9 }]);
    assert_eq!(damaged.judge(&back, Some(&claim), true), Ok(healing));
    assert_eq!(damaged.judge(&back, None, false), Err(GenerationError::OtherLife));
    assert_eq!(damaged.outlook(&claim), Outlook::Open, "whatever others store");
    let edit = blocks(Blocks::of(6, 1).one(At::Root("a")));
    let edit = parse_update(&edit, Source::Update).unwrap();
    assert_eq!(damaged.judge(&edit, Some(&claim), false), Ok(Brings::Nothing), "edits do not wait");
    let stranger = vector(&[(client_of(9), 9)]);
    assert_eq!(damaged.greet(&stranger, false), Err(GenerationError::OtherLife));
    let unmarked = Generations::new(&room("r"), (false, true), &vector(&[(5, 3)]));
    assert!(unmarked.greet(&copy, false).unwrap().is_some());
    assert_eq!(lived(true).greet(&copy, false), Err(GenerationError::OtherLife));
}
