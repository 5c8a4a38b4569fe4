//! Bounds of an instance.

use super::*;

fn address(n: u32) -> Option<Address> {
    Some(Address::of(std::net::Ipv4Addr::from(0x0a00_0000 + n).into()))
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

/// [O40] An address has so many sockets; the next ones are told why, and when too many are being told, turned
/// away. Others are not affected. Who leaves makes room.
#[test]
fn an_address_has_so_many_sockets() {
    let throttle = Throttle::new(Limits { sockets_per_address: 3, ..Limits::default() }, Metrics::default());
    let mut passes: Vec<SocketPass> = Vec::new();
    let mut outcomes = Vec::new();
    for _ in 0..3 + limits::SOCKETS_TOLD_MAX + 2 {
        match throttle.knock(address(1)) {
            Knock::In(pass) => {
                passes.push(pass);
                outcomes.push("in");
            }
            Knock::Told(pass, refused) => {
                assert_eq!(refused, Refused::SocketsPerAddress(3));
                passes.push(pass);
                outcomes.push("told");
            }
            Knock::Turned(_) => outcomes.push("turned"),
        }
    }
    let told = vec!["told"; limits::SOCKETS_TOLD_MAX];
    assert_eq!(outcomes, [&["in"; 3][..], &told, &["turned"; 2]].concat());
    assert!(matches!(throttle.knock(address(2)), Knock::In(_)), "another address");
    assert!(matches!(throttle.knock(None), Knock::In(_)), "this machine");
    assert_eq!(throttle.metrics().refusals("sockets_per_address"), 2 + limits::SOCKETS_TOLD_MAX as u64);
    drop(passes);
    assert_eq!(throttle.open(), (0, 0, 0));
    assert!(matches!(throttle.knock(address(1)), Knock::In(_)));
}

/// [O41] An instance has so many sockets, from however many addresses, and remembers none that has gone.
#[test]
fn an_instance_has_so_many_sockets() {
    let throttle = Throttle::new(Limits { sockets: 100, ..Limits::default() }, Metrics::default());
    let kept: Vec<Knock> = (0..1_000_000).map(|n| throttle.knock(address(n))).take(300).collect();
    let count = |what: fn(&Knock) -> bool| kept.iter().filter(|knock| what(knock)).count();
    assert_eq!(count(|knock| matches!(knock, Knock::In(_))), 100);
    assert_eq!(count(|knock| matches!(knock, Knock::Told(..))), limits::SOCKETS_TOLD_MAX);
    drop(kept);
    for n in 0..1_000_000 {
        assert!(matches!(throttle.knock(address(n)), Knock::In(_)));
        let _ = throttle.begin_room(address(n));
    }
    assert_eq!(throttle.open(), (0, 0, 0));
    assert!(throttle.counted.lock().new_rooms_by_address.len() <= limits::ADDRESSES_MAX);
}

/// [O42] Sessions have bounds by user, by room and in all; anonymous people are not one user.
#[test]
fn sessions_have_bounds() {
    let bounds = Limits { sessions: 6, sessions_per_user: 2, sessions_per_room: 4, ..Limits::default() };
    let throttle = Throttle::new(bounds, Metrics::default());
    let (ana, ben): (UserId, UserId) = ("ana".into(), "ben".into());
    let (one, two) = (room("one"), room("two"));
    let tabs = [throttle.enter(Some(&ana), &one).unwrap(), throttle.enter(Some(&ana), &two).unwrap()];
    let refused = |user: Option<&UserId>, room| throttle.enter(user, room).err();
    assert_eq!(refused(Some(&ana), &one), Some(Refused::SessionsPerUser(2)));
    let _others: Vec<_> = (0..3).map(|_| throttle.enter(None, &one).unwrap()).collect();
    assert_eq!(refused(None, &one), Some(Refused::SessionsPerRoom(4)));
    let _ben = throttle.enter(Some(&ben), &two).unwrap();
    assert_eq!(refused(Some(&ben), &two), Some(Refused::Sessions(6)));
    drop(tabs);
    assert!(throttle.enter(Some(&ana), &one).is_ok());
    let named = ["sessions", "sessions_per_user", "sessions_per_room"];
    assert_eq!(named.map(|limit| throttle.metrics().refusals(limit)), [1, 1, 1]);
}

/// [O44] New rooms have a bound for each address and one for all; this machine has only the latter.
#[test]
fn new_rooms_have_bounds() {
    let bounds = Limits { new_rooms_per_minute: 10, new_rooms_per_address: 3, ..Limits::default() };
    let throttle = Throttle::new(bounds, Metrics::default());
    let begun = |address| (0..5).filter(|_| throttle.begin_room(address).is_ok()).count();
    assert_eq!([begun(address(1)), begun(address(2)), begun(None)], [3, 3, 4]);
    assert_eq!(throttle.begin_room(address(3)), Err(Refused::NewRooms(10)));
    let off = Throttle::new(
        Limits { new_rooms_per_minute: 0, new_rooms_per_address: 0, ..bounds },
        Metrics::default(),
    );
    assert!((0..10_000).all(|_| off.begin_room(address(1)).is_ok()));
}

/// [O48] A refusal is temporary, names its bound, and fits into a close frame.
#[test]
fn refusals_say_the_bound() {
    let all = [
        Refused::Sockets(20_000),
        Refused::SocketsPerAddress(2_000),
        Refused::Sessions(50_000),
        Refused::SessionsPerUser(256),
        Refused::SessionsPerRoom(4_096),
        Refused::NewRooms(6_000),
        Refused::NewRoomsPerAddress(240),
    ];
    for refused in all {
        let close = Close::from(refused);
        println!("{} {}", close.code, close.reason);
        assert_eq!((close.code, close.reason_bytes()), (close::BUSY, close.reason.as_ref()));
        assert!(close.reason.chars().any(|c| c.is_ascii_digit()));
    }
}
