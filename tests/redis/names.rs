//! Which rooms there are.

use ruang::ids::RoomName;
use ruang::log::Log;

use crate::log_support::{append, room};
use crate::rig::single::Single;

async fn all_pages(log: &dyn Log, count_max: usize) -> Vec<RoomName> {
    let mut names: Vec<RoomName> = Vec::new();
    loop {
        let page = log.rooms(names.last(), count_max).await.unwrap();
        if page.is_empty() {
            return names;
        }
        names.extend(page);
    }
}

/// [L11] [L80] Thousands of rooms come in byte order, each once, however large the pages are, and one scan serves many pages;
/// foreign keys are no rooms.
#[tokio::test]
async fn rooms_are_listed_whatever_else_is_there() {
    const ROOMS: usize = 3_000;
    let server = Single::start(&[]);
    let log = server.log().await;
    let mut expected: Vec<RoomName> =
        (0..ROOMS).map(|number| room(&format!("{}/é{number}", number % 7))).collect();
    for name in &expected {
        append(&log, name, 1, 1, &["x"]).await;
    }
    expected.sort_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
    for foreign in
        ["retro:room:x:meta", "retro:room:{%zz}:meta", "retro:room:{a b}:meta", "retro:room:{a}:log", "other"]
    {
        let _: String = server.ask(&["SET", foreign, "x"]);
    }
    for count_max in [1_000, 64, ROOMS, usize::MAX] {
        assert!(all_pages(&log, count_max).await == expected, "pages of {count_max}");
    }
    let scans = || {
        let stats: String = server.ask(&["INFO", "commandstats"]);
        let line = stats.lines().find(|line| line.starts_with("cmdstat_scan:")).unwrap().to_owned();
        line["cmdstat_scan:calls=".len()..].split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let before = scans();
    all_pages(&log, 64).await;
    let steps = scans() - before;
    println!("{steps} steps of a scan for {} pages", ROOMS.div_ceil(64));
    assert!(steps < 30, "{steps}");
    // A listing that others interrupt, or that begins anew, is right too.
    let first = log.rooms(None, 10).await.unwrap();
    let other = log.rooms(Some(&expected[99]), 10).await.unwrap();
    assert_eq!((first.as_slice(), other.as_slice()), (&expected[..10], &expected[100..110]));
    assert_eq!(log.rooms(first.last(), 10).await.unwrap(), expected[10..20]);
    let new = room("0");
    append(&log, &new, 1, 1, &["x"]).await;
    assert_eq!(log.rooms(None, 1).await.unwrap(), [new]);
}
