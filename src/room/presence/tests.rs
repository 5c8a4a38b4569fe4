//! Who is shown, who goes, and who hears of it.

use super::*;
use crate::caller::Role;
use crate::limits::BUS_WHISPER_BYTES_MAX;

mod people;

const A: SessionId = SessionId(1);
const B: SessionId = SessionId(2);

fn state(client: ClientId, clock: u32, state: &str) -> PresenceEntry<'_> {
    PresenceEntry { client, clock, state: Some(state) }
}

fn gone(client: ClientId, clock: u32) -> PresenceEntry<'static> {
    PresenceEntry { client, clock, state: None }
}

impl Presence {
    /// Somebody without an identity announces something. Returns whether anything is new.
    fn anyone(
        &mut self,
        session: SessionId,
        entries: &[PresenceEntry<'_>],
        now_ms: u64,
    ) -> Result<bool, Refusal> {
        let by = Announcer::new(session, &Caller::anonymous(Role::Editor));
        self.announce(&by, |_| false, entries, now_ms).map(|announced| announced.news)
    }
}

/// [R8] An echo is not news, whoever sends it; a newer clock is.
#[test]
fn echoes_change_nothing() {
    let mut presence = Presence::default();
    assert!(presence.anyone(A, &[state(7, 1, "{}")], 0).unwrap());
    assert!(!presence.anyone(B, &[state(7, 1, "{}")], 1).unwrap());
    assert!(!presence.anyone(A, &[state(7, 0, "{}")], 1).unwrap());
    assert!(presence.anyone(A, &[state(7, 2, "{\"x\":1}")], 2).unwrap());
    let (tick, message) = presence.end_tick().unwrap();
    assert_eq!((tick, &message[2..]), (1, &b"\x01\x0b\x01\x07\x02\x07{\"x\":1}"[..]));
    assert_eq!(presence.end_tick(), None);
}

/// [R8] Only the last announcer can remove; at the same clock, as JavaScript clients do.
#[test]
fn removals_come_from_the_owner() {
    let mut presence = Presence::default();
    presence.anyone(A, &[state(7, 3, "{}")], 0).unwrap();
    assert!(!presence.anyone(B, &[gone(7, 3)], 1).unwrap());
    assert!(!presence.anyone(B, &[gone(7, 9)], 1).unwrap());
    assert!(presence.anyone(A, &[gone(7, 3)], 1).unwrap());
    assert_eq!(presence.len(), 0);
    assert!(!presence.anyone(B, &[state(7, 3, "{}")], 2).unwrap(), "a late echo does not bring it back");
    assert!(presence.anyone(A, &[state(7, 4, "{}")], 3).unwrap());
}

/// [R8] A crashed session's states go after the grace, at their clock, unless announced again.
#[test]
fn crashes_have_a_grace() {
    let mut presence = Presence::default();
    presence.anyone(A, &[state(7, 1, "{}"), state(8, 1, "{}")], 0).unwrap();
    presence.end_tick();
    presence.leave(A, 100);
    presence.anyone(B, &[state(8, 2, "{}")], 200).unwrap();
    presence.end_tick();
    assert_eq!(presence.sweep(PRESENCE_GRACE_MS + 99), Some(PRESENCE_GRACE_MS + 100));
    assert_eq!(presence.len(), 2);
    presence.sweep(PRESENCE_GRACE_MS + 100);
    let (_, message) = presence.end_tick().unwrap();
    assert_eq!(&message[2..], b"\x01\x08\x01\x07\x01\x04null");
    assert_eq!(presence.len(), 1);
}

/// [R8] Who comes back within the grace, with the same state at the same clock, stays; an echo
/// by someone else does not keep anyone.
#[test]
fn coming_back_within_the_grace_ends_it() {
    let mut presence = Presence::default();
    presence.anyone(A, &[state(7, 1, "{}"), state(8, 1, "{}")], 0).unwrap();
    presence.leave(A, 100);
    presence.anyone(B, &[state(7, 1, "{}")], 200).unwrap();
    presence.anyone(B, &[state(8, 1, "{}")], 300).unwrap();
    presence.sweep(PRESENCE_GRACE_MS + 100);
    assert_eq!(presence.len(), 1, "7 is back; 8 was only echoed");
    assert!(presence.anyone(B, &[gone(7, 1)], PRESENCE_GRACE_MS + 200).unwrap(), "B is its owner now");
}

/// [R8] Who is silent for longer than clients wait is removed; who was removed is forgotten.
#[test]
fn silence_ends_presence() {
    let mut presence = Presence::default();
    presence.anyone(A, &[state(7, 1, "{}")], 0).unwrap();
    presence.sweep(PRESENCE_STALE_MS);
    assert_eq!(presence.len(), 0);
    presence.sweep(PRESENCE_STALE_MS + PRESENCE_FORGET_MS);
    assert!(presence.entries.is_empty());
}

/// [R8] One session cannot fill the room.
#[test]
fn ids_are_bounded() {
    let mut presence = Presence::default();
    for client in 0..100 {
        presence.anyone(A, &[state(client, 1, "{}")], 0).unwrap();
    }
    assert_eq!(presence.len(), PRESENCE_IDS_PER_SESSION_MAX);
    assert!(presence.anyone(B, &[state(1_000, 1, "{}")], 0).unwrap());
}

/// [R8] States that are no JSON are refused, echoes are not even looked at.
#[test]
fn states_must_be_json() {
    let mut presence = Presence::default();
    assert!(presence.anyone(A, &[state(7, 1, "{")], 0).is_err());
    assert!(presence.anyone(A, &[state(8, 1, "{}"), state(7, 1, "{")], 0).is_err());
    assert_eq!(presence.len(), 0, "all of a message or nothing");
}

/// [R31] Two instances show each other their people, newer states and removals, and nothing comes back
/// to where it came from.
#[test]
fn people_of_another_instance_are_shown_and_not_echoed() {
    let (one, two) = (InstanceId(1), InstanceId(2));
    let (mut here, mut there) = (Presence::default(), Presence::default());
    let tell = |from: &mut Presence, instance, to: &mut Presence, now_ms| {
        let tick = from.end_tick().map(|(tick, _)| tick);
        let updates = tick.map(|tick| from.ours_in(tick)).unwrap_or_default();
        updates.iter().filter(|update| to.announce_of(instance, update, now_ms)).count()
    };
    here.anyone(A, &[state(7, 1, "{}")], 0).unwrap();
    there.anyone(A, &[state(8, 1, "{}")], 0).unwrap();
    assert_eq!(tell(&mut here, one, &mut there, 1), 1);
    assert_eq!(tell(&mut there, two, &mut here, 1), 1, "its own person, not the one it was told of");
    assert_eq!((here.len(), there.len()), (2, 2));
    assert_eq!(tell(&mut here, one, &mut there, 2), 0, "nothing new");
    here.anyone(A, &[gone(7, 1)], 3).unwrap();
    tell(&mut here, one, &mut there, 3);
    assert_eq!((here.len(), there.len()), (1, 1));
    assert_eq!(there.ours().len(), 1);
    assert!(here.ours().is_empty(), "8 is not here");
}

/// [R31] Who comes back by another instance, with the same state at the same clock, stays.
#[test]
fn a_person_moves_to_another_instance() {
    let (one, two) = (InstanceId(1), InstanceId(2));
    let (mut here, mut there) = (Presence::default(), Presence::default());
    here.anyone(A, &[state(7, 5, "{}")], 0).unwrap();
    here.end_tick();
    there.announce_of(one, &here.ours()[0], 0);
    there.end_tick();
    here.leave(A, 100);
    assert!(there.anyone(B, &[state(7, 5, "{}")], 200).unwrap(), "the other instance is to know");
    let (tick, _) = there.end_tick().unwrap();
    here.announce_of(two, &there.ours_in(tick)[0], 210);
    here.sweep(PRESENCE_GRACE_MS + 1_000);
    assert_eq!((here.len(), there.len()), (1, 1));
    // What the first instance says of them later is none of its business.
    assert!(!there.announce_of(one, &[1, 7, 5, 4, b'n', b'u', b'l', b'l'], 300));
    assert_eq!(there.len(), 1);
}

/// [R31] People of an instance that died go like all who fall silent; many of them fit into messages of
/// bounded size; what is malformed is dropped.
#[test]
fn an_instance_that_dies_leaves_nobody_behind() {
    let mut there = Presence::default();
    let mut here = Presence::default();
    let long = format!("\"{}\"", "x".repeat(6_000));
    for session in 0..100 {
        here.anyone(SessionId(session), &[state(session, 1, &long)], 0).unwrap();
    }
    let updates = here.ours();
    assert!(updates.len() > 5 && updates.iter().all(|update| update.len() <= BUS_WHISPER_BYTES_MAX));
    updates.iter().for_each(|update| assert!(there.announce_of(InstanceId(1), update, 0)));
    assert_eq!(there.len(), 100);
    there.sweep(PRESENCE_STALE_MS);
    assert_eq!(there.len(), 0);
    assert!(!there.announce_of(InstanceId(1), b"\x05\xff", 0));
    assert!(!there.announce_of(InstanceId(1), &[1, 7, 9, 1, b'{'], 0));
}

/// [R7] Who missed several ticks gets all that changed since, removals included.
#[test]
fn catching_up_covers_removals() {
    let mut presence = Presence::default();
    presence.anyone(A, &[state(7, 1, "{}"), state(8, 1, "{}")], 0).unwrap();
    presence.end_tick();
    presence.anyone(A, &[gone(7, 1)], 1).unwrap();
    presence.end_tick();
    assert_eq!(&presence.since(1).unwrap()[2..], b"\x01\x08\x01\x07\x01\x04null");
    assert_eq!(&presence.everyone().unwrap()[2..], b"\x01\x06\x01\x08\x01\x02{}");
}
