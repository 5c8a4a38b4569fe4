//! Honest people who bring what others wrote: whose it is then, and that nothing is lost.

use super::super::random_docs::{Client, Random, view};
use super::*;
use crate::ids::ClientId;

/// [R45] Edits of somebody who is away arrive through others, as Step2 and as Update, and are stored as what
/// they are: made by the owner, brought by the other. Records with edits of several say so.
#[tokio::test]
async fn edits_of_the_absent_are_attributed() {
    let mut room = Room::open(RoomKind::Board).await;
    let (mut ann, mut bob) = (room.come("ann", Some(7)), room.come("bob", Some(8)));
    let (hers, his) = (Writer::new(7, "a"), Writer::new(8, "b"));
    room.edit(&mut ann, &hers.write()).await;
    room.edit(&mut bob, &his.write()).await;
    room.go(&ann);
    room.go(&bob);
    hers.write(); // offline; cleo's browser gets it from person to person
    let mut cleo = room.come("cleo", Some(9));
    room.send(&mut cleo, &hers.all(), Source::Step2).unwrap();
    room.store().await;
    assert_eq!(room.newest().await, made("ann", Some("cleo"), &[]));
    hers.write();
    room.edit(&mut cleo, &hers.all()).await;
    assert_eq!(room.newest().await, made("ann", Some("cleo"), &[]));
    // Two others, and cleo's own: the claims tell whose is whose.
    hers.write();
    his.write();
    let mixed = Writer::new(9, "c");
    mixed.receive(&hers.all());
    mixed.receive(&his.all());
    room.edit(&mut cleo, &mixed.all()).await;
    assert_eq!(room.newest().await, made("cleo", Some("cleo"), &[]), "each of them owns what is theirs");
    mixed.write();
    room.edit(&mut cleo, &mixed.all()).await;
    assert_eq!(room.newest().await, made("cleo", None, &[9]));
    // Without an identity nothing is said of who made it: an owner's name is not given away.
    room.go(&cleo);
    let mut nobody = room.come("", None);
    hers.write();
    room.edit(&mut nobody, &hers.all()).await;
    assert_eq!(room.newest().await, (None, None, Vec::new()));
    assert_eq!(room.owner(7).as_deref(), Some("ann"));
    let returned = room.come("ann", Some(7));
    assert_eq!(room.presence.lock().holder(7).flatten().map(AsRef::as_ref), Some("ann"));
    drop(returned);
}

/// [R45] A copy of a document gives nobody what others wrote in it; who showed itself under an id of it, or
/// goes on with the only one it brought, owns that.
#[tokio::test]
async fn copies_make_no_owners() {
    let mut room = Room::open(RoomKind::Board).await;
    let (one, two) = (Writer::new(7, "a"), Writer::new(8, "b"));
    one.write();
    two.receive(&one.all());
    two.write();
    let mut bob = room.come("bob", None);
    room.send(&mut bob, &two.all(), Source::Step2).unwrap();
    room.store().await;
    assert_eq!(room.newest().await, made("bob", None, &[]));
    // Ann, whose first edit bob has brought, goes on; nobody owns what she has not been the first to bring.
    let mut ann = room.come("ann", Some(7));
    assert!(!room.edit(&mut ann, &one.write()).await.suspect.is_any());
    assert_eq!((room.newest().await, room.owner(7)), (made("ann", None, &[]), None));
    one.write();
    let forged = room.send(&mut bob, &one.all(), Source::Update).unwrap();
    assert!(forged.suspect.foreign, "but she is here under that id");
    room.edit(&mut bob, &two.write()).await;
    assert_eq!(room.newest().await, made("bob", None, &[8]));
}

/// [R48] Three users who edit offline, leave and return, and bring each other's edits, lose nothing: at the end
/// each has all edits, and so has the room, also after compaction and a reload. No honest session is ever told
/// that it contradicts, and each id is owned by its user or by nobody.
#[tokio::test]
async fn honest_relays_lose_nothing() {
    for seed in (1..=40).map(|n| n * 7_919) {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut room = Room::open(RoomKind::Board).await;
        let users = ["ann", "bob", "cleo"];
        // Some clients show themselves under their id, some under another one or not at all.
        let shows = |id: u64, random: &mut Random| match random.below(4) {
            0 => None,
            1 => Some(id + 1_000_000),
            _ => Some(id),
        };
        let mut clients: Vec<Client> = (0..3).map(|n| Client::new(seed * 100 + n, true)).collect();
        let mut ids: Vec<u64> = (0..3).map(|n| seed * 100 + n).collect();
        let mut owners: HashMap<ClientId, usize> = ids.iter().copied().zip(0..).collect();
        let mut people: Vec<Option<Person>> = vec![None, None, None];
        let mut next_id = seed * 100 + 10;
        for step in 0..400 {
            let n = random.index(3);
            match random.below(12) {
                0..=3 => {
                    clients[n].edit(&mut random);
                    let updates = clients[n].take_updates();
                    // Offline edits stay in the document; live ones go out one by one.
                    if let Some(person) = &mut people[n] {
                        for update in updates {
                            let judged = room.send(person, &update, Source::Update).unwrap();
                            assert!(!judged.suspect.contradicts, "step {step}");
                        }
                    }
                }
                4 if people[n].is_none() => {
                    people[n] = Some(room.come(users[n], shows(ids[n], &mut random)));
                }
                5 => {
                    if let Some(person) = people[n].take() {
                        room.go(&person);
                    }
                }
                // From person to person, past the server.
                6 | 7 => {
                    let other = (n + 1 + random.index(2)) % 3;
                    let all = clients[other].step2(&[0]);
                    clients[n].receive(&all);
                }
                8 | 9 => sync(&mut room, &clients[n], &mut people[n], Source::Step2),
                // A copy that the browser kept comes as one update.
                10 => sync(&mut room, &clients[n], &mut people[n], Source::Update),
                // The page is loaded again: a new id, the same document, and what was not sent is in the copy.
                _ => {
                    if let Some(person) = people[n].take() {
                        room.go(&person);
                    }
                    let copy = clients[n].step2(&[0]);
                    next_id += 1;
                    (clients[n], ids[n]) = (Client::new(next_id, true), next_id);
                    owners.insert(next_id, n);
                    clients[n].receive(&copy);
                }
            }
            if random.chance(30) {
                room.store().await;
            }
        }
        // What was left out because its owner was here comes once all have been here alone.
        for n in 0..3 {
            for person in people.iter_mut().filter_map(Option::take) {
                room.go(&person);
            }
            people[n] = Some(room.come(users[n], Some(ids[n])));
            sync(&mut room, &clients[n], &mut people[n], Source::Step2);
        }
        room.store().await;
        let full = room.state.document.encode_full();
        for client in &clients {
            let gap = room.state.gate.admit(&client.step2(&[0]), Source::Step2).unwrap();
            assert!(gap.remainder.is_none() && !gap.dropped.is_gap(), "the room has all of everyone");
            client.receive(&full);
            assert_eq!(view(&client.doc), view(&clients[0].doc));
        }
        history::compact(&room.log, &room.name, Retention { age_ms: 0, bytes: 0 }).await.unwrap();
        let reloaded = room.reload().await;
        assert_eq!(view(reloaded.document.doc()), view(&clients[0].doc));
        let claims = reloaded.owners().stored();
        let wrong = claims.iter().filter(|(client, user)| users[owners[client]] != &**user).count();
        println!("{} of {} ids are owned", claims.len(), owners.len());
        assert_eq!(wrong, 0, "nobody owns what another has written");
    }
}

/// A client sends all that the room does not have.
fn sync(room: &mut Room, client: &Client, person: &mut Option<Person>, source: Source) {
    let Some(person) = person else { return };
    let vector = room.state.state_vector().unwrap().encode();
    let vector = if source == Source::Step2 { vector } else { vec![0] };
    client.take_updates();
    let judged = room.send(person, &client.step2(&vector), source).unwrap();
    assert!(!judged.suspect.contradicts);
}
