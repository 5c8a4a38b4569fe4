use super::*;
use crate::ids::Position;

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn notice(kind: Kind, name: &str, seq: u64) -> Notice {
    Notice::at(kind, &room(name), Position { seq, ms: seq })
}

fn queue() -> Queue {
    Queue::new(Pace { debounce_ms: 100, waits_ms: vec![10, 1_000], rest_ms: 1 })
}

fn taken(queue: &mut Queue, now_ms: u64) -> Option<(Kind, String, u64)> {
    queue.take(now_ms).map(|notice| (notice.kind, notice.room.as_str().to_owned(), notice.position.seq))
}

/// [P21] Changes of a room are told once in a while, with the newest position; the first of them says when.
#[test]
fn changes_are_told_together() {
    let mut queue = queue();
    assert!(queue.push(notice(Kind::Created, "a", 1), 0));
    for seq in 2..=50 {
        assert!(queue.push(notice(Kind::Changed, "a", seq), seq));
    }
    assert_eq!(queue.len(), 2);
    assert_eq!(taken(&mut queue, 0), Some((Kind::Created, "a".to_owned(), 1)));
    assert_eq!(taken(&mut queue, 500), None, "one of a room at a time");
    queue.done(&room("a"), Outcome::Taken, 60, 0.0);
    assert_eq!((taken(&mut queue, 101), queue.next_due_ms()), (None, Some(102)));
    assert_eq!(taken(&mut queue, 102), Some((Kind::Changed, "a".to_owned(), 50)));
    // While it is under way, the next ones are told later.
    queue.push(notice(Kind::Changed, "a", 51), 110);
    queue.push(notice(Kind::Changed, "a", 52), 120);
    queue.done(&room("a"), Outcome::Taken, 130, 0.0);
    assert_eq!(queue.next_due_ms(), Some(210));
    assert_eq!(taken(&mut queue, 210), Some((Kind::Changed, "a".to_owned(), 52)));
    queue.done(&room("a"), Outcome::Taken, 211, 0.0);
    assert_eq!((queue.len(), queue.next_due_ms(), queue.rooms.len()), (0, None, 0));
}

/// [P21] What fails is tried again, later each time, in the order of its room; other rooms do not wait for it, but for the
/// receiver's rest. After the last try it is dropped.
#[test]
fn failures_are_tried_again() {
    let mut queue = queue();
    queue.push(notice(Kind::Created, "a", 1), 0);
    queue.push(notice(Kind::Deleted, "a", 2), 0);
    queue.push(notice(Kind::Created, "b", 1), 0);
    assert_eq!(taken(&mut queue, 0), Some((Kind::Created, "a".to_owned(), 1)));
    assert!(!queue.done(&room("a"), Outcome::Failed { after_ms: None }, 0, 0.0));
    assert_eq!(taken(&mut queue, 0), None, "the receiver rests");
    assert_eq!(taken(&mut queue, 1), Some((Kind::Created, "b".to_owned(), 1)));
    assert!(!queue.done(&room("b"), Outcome::Taken, 1, 0.0));
    assert_eq!(taken(&mut queue, 9), None);
    assert_eq!(taken(&mut queue, 10), Some((Kind::Created, "a".to_owned(), 1)));
    assert!(!queue.done(&room("a"), Outcome::Failed { after_ms: Some(5_000) }, 10, 0.5));
    assert_eq!(queue.next_due_ms(), Some(10 + 5_000 + 1_250), "as the receiver has asked");
    assert_eq!(taken(&mut queue, 7_000), Some((Kind::Created, "a".to_owned(), 1)));
    assert!(queue.done(&room("a"), Outcome::Failed { after_ms: None }, 7_000, 0.0), "it is dropped");
    let due_ms = queue.next_due_ms().unwrap();
    assert_eq!(taken(&mut queue, due_ms), Some((Kind::Deleted, "a".to_owned(), 2)));
    assert!(queue.done(&room("a"), Outcome::Unwanted, due_ms, 0.0));
    assert_eq!(queue.len(), 0);
}

/// [P22] There is a most that waits. Changes find no place before others do, and no change is lost of a room that waits
/// already.
#[test]
fn the_queue_is_bounded() {
    let mut queue = queue();
    let mut refused = 0;
    for number in 0..2 * WEBHOOK_QUEUE_MAX {
        refused += usize::from(!queue.push(notice(Kind::Changed, &format!("c{number}"), 1), 0));
    }
    assert_eq!((queue.len(), refused), (WEBHOOK_QUEUE_MAX / 4 * 3, WEBHOOK_QUEUE_MAX / 4 * 5));
    assert!(queue.push(notice(Kind::Changed, "c0", 2), 0), "it has a place");
    for number in 0..WEBHOOK_QUEUE_MAX / 4 {
        assert!(queue.push(notice(Kind::Deleted, &format!("d{number}"), 1), 0));
    }
    assert!(!queue.push(notice(Kind::Deleted, "more", 1), 0));
    assert_eq!(queue.len(), WEBHOOK_QUEUE_MAX);
    let mut told = 0;
    while let Some(notice) = queue.take(1_000) {
        queue.done(&notice.room, Outcome::Taken, 1_000, 0.0);
        told += 1;
    }
    assert_eq!((told, queue.len(), queue.rooms.len(), queue.due.len()), (WEBHOOK_QUEUE_MAX, 0, 0, 0));
}

/// [P22] On the way down nothing waits for company or for a receiver to rest, and nothing is tried again.
#[test]
fn in_a_hurry_everything_is_tried_once() {
    let mut queue = queue();
    queue.push(notice(Kind::Changed, "a", 1), 0);
    queue.push(notice(Kind::Deleted, "a", 2), 0);
    queue.hurry();
    assert_eq!(taken(&mut queue, 0), Some((Kind::Changed, "a".to_owned(), 1)));
    assert!(queue.done(&room("a"), Outcome::Failed { after_ms: None }, 0, 0.0));
    assert_eq!(taken(&mut queue, 0), Some((Kind::Deleted, "a".to_owned(), 2)));
    assert!(!queue.done(&room("a"), Outcome::Taken, 0, 0.0));
    assert_eq!(queue.len(), 0);
}
