//! How long claims last, and which counts.

use std::collections::BTreeMap;

use super::*;
use crate::caller::UserId;

/// [R46] Claims survive a reload and compaction, and another instance has them from the records.
#[tokio::test]
async fn claims_last_as_long_as_the_room() {
    let mut room = Room::open(RoomKind::Board).await;
    let mut expected = BTreeMap::new();
    for (client, user) in [(7, "ann"), (8, "bob"), (9, "ann")] {
        let mut person = room.come(user, Some(client));
        room.edit(&mut person, &Writer::new(client, "x").write()).await;
        room.go(&person);
        expected.insert(client, UserId::from(user));
    }
    let owners = |state: &State| state.owners().stored().into_iter().collect::<BTreeMap<_, _>>();
    assert_eq!(owners(&room.reload().await), expected);
    history::compact(&room.log, &room.name, Retention { age_ms: 0, bytes: 0 }).await.unwrap();
    assert_eq!(owners(&room.reload().await), expected, "they are in the snapshot");

    let mut other = Room::on(Arc::clone(&room.log), 2, RoomKind::Board).await;
    let mut dan = room.come("dan", Some(10));
    room.edit(&mut dan, &Writer::new(10, "d").write()).await;
    let seen = other.state.committed().seq;
    let news = room.log.read(&room.name, seen, 10).await.unwrap();
    other.state.on_stored(&news, other.state.seen().epoch).unwrap();
    expected.insert(10, "dan".into());
    assert_eq!(owners(&other.state), expected);
    // Dan is with the first instance, which the second one knows by whispers.
    let mut mallory = other.come("mallory", Some(11));
    let forged = Writer::new(10, "d");
    let _ = forged.write();
    forged.write();
    let whispers = room.presence.lock().ours();
    assert!(whispers.iter().all(|whisper| other.presence.lock().announce_of(InstanceId(1), whisper, 0)));
    assert!(other.edit(&mut mallory, &forged.all()).await.suspect.foreign);
    assert_eq!(other.knows(10), 1);
    other.show(&mallory, 10);
    assert_eq!(other.presence.lock().holder(10).flatten().map(AsRef::as_ref), Some("dan"));
}

/// [R46] Claims that the log refused are forgotten; where two instances claim an id at once, the log says who
/// was first, to both of them and to every reload.
#[tokio::test]
async fn the_first_claim_in_the_log_counts() {
    let mut room = Room::open(RoomKind::Board).await;
    let (mut ann, mut bob) = (room.come("ann", Some(7)), room.come("bob", Some(8)));
    room.send(&mut ann, &Writer::new(7, "a").write(), Source::Update).unwrap();
    assert_eq!(room.owner(7).as_deref(), Some("ann"), "from the moment it is on its way");
    room.state.next_batch().unwrap();
    room.state.drop_overlay().unwrap();
    assert_eq!(room.owner(7), None);
    room.edit(&mut bob, &Writer::new(8, "b").write()).await;

    let mut other = Room::on(Arc::clone(&room.log), 2, RoomKind::Board).await;
    let mut cleo = other.come("cleo", None);
    other.send(&mut cleo, &Writer::new(17, "c").write(), Source::Update).unwrap();
    let mut dan = room.come("dan", None);
    room.edit(&mut dan, &Writer::new(17, "d").write()).await;
    let seen = other.state.committed().seq;
    let news = other.log.read(&other.name, seen, 10).await.unwrap();
    other.state.on_stored(&news, other.state.seen().epoch).unwrap();
    other.store().await;
    assert_eq!((room.owner(17).as_deref(), other.owner(17).as_deref()), (Some("dan"), Some("dan")));
    assert_eq!(room.reload().await.owners().owner(17).as_deref(), Some("dan"));
}

/// [R46] What a store has lost of claims is stored again with the blocks.
#[tokio::test]
async fn healing_brings_claims_back() {
    let mut room = Room::open(RoomKind::Board).await;
    for (client, user) in [(7, "ann"), (8, "bob")] {
        let mut person = room.come(user, Some(client));
        room.edit(&mut person, &Writer::new(client, "x").write()).await;
    }
    let mut empty = Room::open(RoomKind::Board).await;
    let claims = room.state.claims_unknown_to(&empty.state);
    let lost = room.state.lacking(&[0]).unwrap();
    assert!(empty.state.begin_heal(&lost, claims, 1).unwrap());
    empty.store().await;
    let healed = empty.reload().await;
    let owner = |client| healed.owners().owner(client).map(|user| user.to_string());
    assert_eq!((owner(7).as_deref(), owner(8).as_deref()), (Some("ann"), Some("bob")));
    // And whoever is asked for what is lost may bring it, whoever has written it.
    let mut mallory = empty.come("mallory", Some(9));
    let ann = empty.come("ann", Some(17));
    let more = Writer::new(7, "x");
    (0..3).for_each(|_| drop(more.write()));
    assert!(empty.send(&mut mallory, &more.all(), Source::Step2).unwrap().suspect.foreign);
    empty.state.pardon(mallory.session);
    let judged = empty.send(&mut mallory, &more.all(), Source::Step2).unwrap();
    assert!(!judged.suspect.foreign && empty.knows(7) == 3);
    drop(ann);
}
