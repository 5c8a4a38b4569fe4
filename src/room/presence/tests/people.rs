//! People with an identity: whose an id is, and under which name it is shown.

use serde_json::Value;

use super::*;
use crate::gate::parse_presence;
use crate::wire::lib0;

fn person(session: u64, user: &str) -> Announcer {
    let name = format!("{user} by token");
    let caller =
        Caller { user: Some(user.into()), name: Some(name.into()), ..Caller::anonymous(Role::Viewer) };
    Announcer::new(SessionId(session), &caller)
}

fn say(presence: &mut Presence, by: &Announcer, entries: &[PresenceEntry<'_>], now_ms: u64) -> Announced {
    presence.announce(by, |_| false, entries, now_ms).expect("it is well formed")
}

/// Id, clock and state of everyone who is shown.
fn shown(presence: &Presence) -> Vec<(ClientId, u32, Value)> {
    let Some(frame) = presence.everyone() else { return Vec::new() };
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    assert_eq!(frame[header], 1, "it is a presence message");
    let update = lib0::Reader::new(&frame[header + 1..]).buffer().expect("it has one buffer");
    let mut all: Vec<_> = parse_presence(update)
        .expect("what is shown is well formed")
        .iter()
        .map(|entry| {
            let state = serde_json::from_str(entry.state.expect("they are here")).expect("JSON");
            (entry.client, entry.clock, state)
        })
        .collect();
    all.sort_by_key(|(client, clock, _)| (*client, *clock));
    all
}

fn names(presence: &Presence) -> Vec<(ClientId, String)> {
    let name = |state: &Value| state["user"]["name"].as_str().unwrap_or("-").to_owned();
    shown(presence).iter().map(|(client, _, state)| (*client, name(state))).collect()
}

/// [R40] Nobody changes or removes what another user shows, by whatever clock, neither while the user is
/// here nor while the id is remembered; and nobody is told.
#[test]
fn an_id_is_its_users() {
    let (ann, mallory) = (person(1, "ann"), person(2, "mallory"));
    let mut presence = Presence::default();
    assert!(say(&mut presence, &ann, &[state(7, 3, "{\"x\":1}")], 0).news);
    let forged = say(&mut presence, &mallory, &[state(7, 4, "{\"x\":2}")], 1);
    assert_eq!(forged, Announced { news: false, stripped: 1 });
    assert!(!say(&mut presence, &mallory, &[gone(7, 9)], 1).news);
    assert!(!presence.anyone(B, &[state(7, u32::MAX >> 1, "{}")], 1).unwrap(), "nor somebody without a name");
    assert_eq!(shown(&presence)[0].2["x"], 1);
    assert_eq!(presence.take_stripped(), 2);
    // The others of a message are taken.
    let mixed = say(&mut presence, &mallory, &[state(7, 5, "{\"x\":3}"), state(8, 1, "{}")], 2);
    assert_eq!(mixed, Announced { news: true, stripped: 1 });
    assert!(say(&mut presence, &ann, &[gone(7, 3)], 3).news);
    assert!(!say(&mut presence, &mallory, &[state(7, 9, "{}")], 4).news, "gone, and still ann's");
    assert!(say(&mut presence, &ann, &[state(7, 4, "{}")], 5).news, "ann is back");
    assert_eq!(names(&presence), [(7, "ann by token".to_owned()), (8, "mallory by token".to_owned())]);
}

/// [R40] Tabs of one user, and all people without an identity, say what the others of them show.
#[test]
fn tabs_of_one_user_speak_for_each_other() {
    let (tab, other) = (person(1, "ann"), person(2, "ann"));
    let mut presence = Presence::default();
    say(&mut presence, &tab, &[state(7, 1, "{}")], 0);
    say(&mut presence, &other, &[state(8, 1, "{}")], 0);
    assert!(say(&mut presence, &other, &[state(7, 2, "{\"x\":1}")], 1).news);
    assert!(!say(&mut presence, &tab, &[gone(7, 2)], 2).news, "the last announcer is the other tab");
    assert!(say(&mut presence, &tab, &[state(7, 3, "{}")], 3).news);
    assert!(say(&mut presence, &tab, &[gone(7, 3)], 4).news);
    presence.leave(SessionId(2), 5);
    presence.sweep(5 + PRESENCE_GRACE_MS);
    assert_eq!(shown(&presence), []);
}

/// [R40] An id that somebody has written edits under is not announced by another user; the one who wrote
/// announces it.
#[test]
fn owned_ids_are_announced_by_their_owners() {
    let (ann, mallory) = (person(1, "ann"), person(2, "mallory"));
    let mut presence = Presence::default();
    let taken = presence.announce(&mallory, |client| client == 7, &[state(7, 1, "{}")], 0).unwrap();
    assert_eq!(taken, Announced { news: false, stripped: 1 });
    assert!(say(&mut presence, &ann, &[state(7, 1, "{}")], 1).news);
}

/// [R40] Two people in one browser hear of each other past the server, and pass on what they hear. Who
/// comes with an id of its own gets it, also if the other one was faster.
#[test]
fn passing_on_does_not_make_an_owner() {
    let (ann, bob, mallory) = (person(1, "ann"), person(2, "bob"), person(3, "mallory"));
    let mut presence = Presence::default();
    say(&mut presence, &bob, &[state(8, 1, "{}")], 0);
    say(&mut presence, &bob, &[state(8, 1, "{}"), state(7, 5, "{}")], 0);
    assert_eq!(names(&presence)[0], (7, "bob by token".to_owned()));
    assert!(say(&mut presence, &ann, &[state(7, 5, "{}")], 1).news);
    assert_eq!(names(&presence)[0], (7, "ann by token".to_owned()));
    assert!(!say(&mut presence, &bob, &[state(7, 6, "{}")], 2).news, "it is ann's now");
    assert!(!say(&mut presence, &mallory, &[state(7, 6, "{}")], 2).news, "and nobody else's, first or not");
}

/// [R40] Whoever comes back within the grace, with the state it had, is stamped as before and stays. Another
/// user with the same bytes does not take its place.
#[test]
fn only_the_user_comes_back() {
    let (ann, again, mallory) = (person(1, "ann"), person(2, "ann"), person(3, "mallory"));
    let mut presence = Presence::default();
    say(&mut presence, &ann, &[state(7, 1, "{\"user\":{\"name\":\"A\"}}")], 0);
    presence.leave(SessionId(1), 100);
    say(&mut presence, &mallory, &[state(7, 1, "{\"user\":{\"name\":\"A\"}}")], 200);
    say(&mut presence, &again, &[state(7, 1, "{\"user\":{\"name\":\"A\"}}")], 300);
    presence.sweep(PRESENCE_GRACE_MS + 400);
    assert_eq!(names(&presence), [(7, "ann by token".to_owned())]);
    assert!(!say(&mut presence, &mallory, &[gone(7, 1)], PRESENCE_GRACE_MS + 500).news);
}

/// [R40] An id stays its user's when all else of it is forgotten. Ids of people without an identity do not.
#[test]
fn ids_of_users_are_remembered() {
    let (ann, again, mallory) = (person(1, "ann"), person(2, "ann"), person(3, "mallory"));
    let mut presence = Presence::default();
    say(&mut presence, &ann, &[state(7, 1, "{}")], 0);
    presence.anyone(B, &[state(8, 1, "{}")], 0).unwrap();
    presence.leave(SessionId(1), 0);
    presence.leave(B, 0);
    presence.sweep(PRESENCE_GRACE_MS);
    presence.sweep(PRESENCE_GRACE_MS + PRESENCE_FORGET_MS);
    assert!(presence.entries.is_empty());
    let forged = say(&mut presence, &mallory, &[state(7, 9, "{}"), state(8, 9, "{}")], 200_000);
    assert_eq!(forged, Announced { news: true, stripped: 1 });
    assert!(say(&mut presence, &again, &[state(9, 1, "{}"), state(7, 2, "{}")], 200_001).news);
    assert_eq!(names(&presence)[0], (7, "ann by token".to_owned()));
    assert!(!say(&mut presence, &person(4, "mallory"), &[state(7, 9, "{}")], 200_002).news, "first or not");
}

/// [R42] A viewer who calls itself "Alice ADMIN" is shown under its token's name; what it shows beside that
/// stays. A state that is too large with its stamp is refused, and all that came with it.
#[test]
fn names_are_the_tokens() {
    let vera = person(1, "vera");
    let mut presence = Presence::default();
    let forged = r##"{"cursor":{"x":1.0},"user":{"name":"Alice ADMIN","id":"alice","color":"#f00","avatar":"a.png"}}"##;
    say(&mut presence, &vera, &[state(7, 1, forged)], 0);
    let expected = serde_json::json!({
        "cursor": {"x": 1.0},
        "user": {"name": "vera by token", "id": "vera", "color": "#f00", "avatar": "a.png"},
    });
    assert_eq!(shown(&presence), [(7, 1, expected)]);
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(PRESENCE_STATE_BYTES_MAX - 20));
    let refused = presence.announce(&vera, |_| false, &[state(9, 1, "{}"), state(8, 1, &large)], 1);
    assert_eq!(refused, Err(Refusal::PresenceTooLarge));
    assert_eq!(shown(&presence).len(), 1);
    assert!(presence.anyone(B, &[state(8, 1, &large)], 2).unwrap(), "it is not too large without one");
}

/// [R41] Instances tell each other whose an id is: nobody gets it by coming to another instance, before or
/// after the owner has left, and what another instance says of an id that is somebody else's here is dropped.
#[test]
fn ids_are_their_users_on_all_instances() {
    let (one, two) = (InstanceId(1), InstanceId(2));
    let (ann, mallory, again) = (person(1, "ann"), person(1, "mallory"), person(2, "ann"));
    let (mut here, mut there) = (Presence::default(), Presence::default());
    say(&mut here, &ann, &[state(7, 5, "{}")], 0);
    let (tick, _) = here.end_tick().unwrap();
    for whisper in here.ours_in(tick) {
        assert!(there.announce_of(one, &whisper, 1));
    }
    assert_eq!(names(&there), [(7, "ann by token".to_owned())], "stamped where it came in");
    assert!(!say(&mut there, &mallory, &[state(7, 6, "{}")], 2).news);
    assert!(!say(&mut there, &mallory, &[state(7, 5, "{}")], 2).news, "nor as one who comes back");
    assert!(!say(&mut there, &mallory, &[gone(7, 6)], 2).news);
    // A second instance that had not heard of ann yet, and took mallory's word for it.
    let mut third = Presence::default();
    say(&mut third, &mallory, &[state(7, 9, "{}")], 3);
    for whisper in third.ours() {
        assert!(!here.announce_of(two, &whisper, 4) && !there.announce_of(two, &whisper, 4));
    }
    // Ann moves.
    here.leave(SessionId(1), 5);
    assert!(say(&mut there, &again, &[state(7, 5, "{}")], 6).news);
    let (tick, _) = there.end_tick().unwrap();
    assert!(there.ours_in(tick).iter().all(|whisper| !here.announce_of(two, whisper, 7)));
    here.sweep(PRESENCE_GRACE_MS + 1_000);
    assert_eq!(names(&here), [(7, "ann by token".to_owned())]);
}

/// [R40] Ten thousand forged messages (states, removals, many ids in one message, echoes, newcomers and those who
/// say that they return) change nothing of what others show, here or on another instance.
#[test]
fn ten_thousand_forgeries_change_nothing() {
    let mut seed = 20_261_126_u64;
    println!("seed {seed}");
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut here, mut there) = (Presence::default(), Presence::default());
    let users = ["ann", "bob", "cleo"];
    for (number, user) in (1..).zip(users) {
        let by = person(number, user);
        say(&mut here, &by, &[state(100 + number, 50, "{\"mine\":true}")], 0);
        // One of them has just lost its socket.
        (number == 3).then(|| here.leave(SessionId(3), 1));
    }
    here.end_tick();
    assert!(here.ours().iter().all(|whisper| there.announce_of(InstanceId(1), whisper, 1)));
    let before = shown(&here);
    assert_eq!(shown(&there), before);
    let of_others = |presence: &Presence| {
        let mut all = shown(presence);
        all.retain(|(client, ..)| (101..=103).contains(client));
        all
    };
    let mut stripped = 0;
    for round in 0..10_000_u64 {
        let mallory = if random(4) == 0 {
            Announcer::new(SessionId(1_000 + round % 50), &Caller::anonymous(Role::Editor))
        } else {
            person(1_000 + round % 50, "mallory")
        };
        let mut ids: Vec<ClientId> = (0..=random(4)).map(|_| 99 + random(7)).collect();
        ids.sort_unstable();
        ids.dedup();
        let states =
            ["{\"mine\":false}", "{\"user\":{\"name\":\"ann by token\",\"id\":\"ann\"}}", "{\"mine\":true}"];
        let entries: Vec<PresenceEntry<'_>> = ids
            .iter()
            .map(|&client| PresenceEntry {
                client,
                clock: [49, 50, 51, 1_000][random(4) as usize] + random(3) as u32,
                state: (random(3) > 0).then(|| states[random(3) as usize]),
            })
            .collect();
        let at = if random(2) == 0 { &mut here } else { &mut there };
        stripped += say(at, &mallory, &entries, 2).stripped;
        (random(10) == 0).then(|| at.leave(SessionId(1_000 + round % 50), 2));
        assert_eq!(of_others(&here), before, "round {round}: {entries:?}");
        assert_eq!(of_others(&there), before, "round {round}: {entries:?}");
    }
    println!("{stripped} states were dropped");
    assert!(stripped > 3_000);
    // What they show under ids of their own has their own name.
    assert!(
        names(&here)
            .iter()
            .all(|(client, name)| before.iter().any(|(of, ..)| of == client) || name != "ann by token")
    );
}
