//! What a Redis user must be allowed to do. That the least is enough is shown by the contract, which runs with it on
//! a cluster and on what Sentinel calls the primary, and here on one server.

use std::time::Duration;

use ruang::log::bus::{Heard, Seen};
use ruang::log::redis::{RedisLog, RedisOptions};
use ruang::log::{Durability, Log, LogError};

use crate::log_support::{append, batch, room, texts};
use crate::rig::process::RedisProcess;
use crate::rig::{acl, words};
use crate::traffic::open;

fn server() -> (RedisProcess, String) {
    let server = RedisProcess::alone(&words(&acl::settings(&[])));
    let url = acl::with_user(&server.url());
    (server, url)
}

async fn refused(url: &str) -> String {
    let error = RedisLog::open(&url.parse().unwrap(), RedisOptions::default()).await.err().expect(url);
    let line = error.to_string();
    println!("{line}");
    assert!(!line.contains('\n') && !line.contains("secret"));
    line
}

/// [L93] Each permission that is documented is needed, and a start without it names it.
#[tokio::test]
async fn a_start_without_a_permission_names_it() {
    let (server, url) = server();
    open(&url).await;
    let rules = acl::least(&[]);
    let commands: Vec<_> = rules.iter().filter_map(|rule| rule.strip_prefix('+')).collect();
    assert!(commands.len() > 20);
    for command in commands {
        let () = server.ask(&["ACL", "SETUSER", "ruang", &format!("-{command}")]);
        let line = refused(&url).await.to_lowercase();
        assert!(line.contains(&command.replace('|', " ")), "{command}: {line}");
        let () = server.ask(&["ACL", "SETUSER", "ruang", &format!("+{command}")]);
    }
    let () = server.ask(&["ACL", "SETUSER", "ruang", "resetkeys", "~other:*"]);
    assert!(refused(&url).await.contains("XADD on retro:room:*:log"));
    let () = server.ask(&["ACL", "SETUSER", "ruang", "~retro:room:*", "resetchannels"]);
    assert!(refused(&url).await.contains("SPUBLISH on retro:room:*:bus"));
    let () = server.ask(&["ACL", "SETUSER", "ruang", "&retro:room:*"]);
    open(&url).await;
    let wrong = url.replace("secret", "another");
    assert!(refused(&wrong).await.contains("WRONGPASS"));
}

/// [L81] [L93] A permission that is taken away later is an error that names key and command, is not tried again in haste, and
/// heals.
#[tokio::test]
async fn a_permission_taken_away_is_named() {
    let (server, url) = server();
    let (log, name) = (open(&url).await, room("a"));
    append(&*log, &name, 1, 1, &["one"]).await;
    for command in ["xadd", "hmget", "time", "evalsha"] {
        let () = server.ask(&["ACL", "SETUSER", "ruang", &format!("-{command}")]);
        let before: u64 = server.info("total_commands_processed").unwrap().parse().unwrap();
        let sent = batch(&name, 1, 2, &["two"]);
        let Err(error) = log.append(&name, sent).await else { panic!("{command} was not needed") };
        println!("{error}");
        let text = error.to_string();
        assert!(matches!(error, LogError::Fatal(_)));
        assert!(text.contains("retro:room:{a}:log") && text.to_lowercase().contains(command), "{text}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after: u64 = server.info("total_commands_processed").unwrap().parse().unwrap();
        // The append, what is asked of it, and what this test and the first command of a connection take.
        assert!(after - before < 40, "{} commands", after - before);
        let () = server.ask(&["ACL", "SETUSER", "ruang", &format!("+{command}")]);
    }
    append(&*log, &name, 1, 2, &["two"]).await;
    // Without `CONFIG GET` nothing is called fsync.
    assert_eq!(log.durability(), Durability::Memory);
    assert!(log.weakness().unwrap().contains("append"));
    let () = server.ask(&["ACL", "SETUSER", "ruang", "-hmget", "-xrange"]);
    for result in [log.open(&name).await.map(|_| ()), log.read(&name, 0, 1).await.map(|_| ())] {
        let text = result.unwrap_err().to_string();
        println!("{text}");
        assert!(text.contains("HMGET") && text.contains("retro:room:{a}:meta"), "{text}");
    }
    let () = server.ask(&["ACL", "SETUSER", "ruang", "+hmget", "+xrange"]);
    assert_eq!(texts(&*log, &name).await, ["one", "two"]);
}

/// [L96] What may not be published any more is stored all the same, and answered so; the other instance finds it by
/// looking.
#[tokio::test]
async fn a_batch_that_may_not_be_published_is_stored() {
    let (server, url) = server();
    let (log, other, name) = (open(&url).await, open(&url).await, room("a"));
    let first = append(&*log, &name, 1, 1, &["one"]).await;
    let mut follower = other.follow(&name).await.unwrap();
    follower.note(Seen { last: first.last, epoch: first.epoch });
    for (taken, given) in [("-spublish", "+spublish"), ("resetchannels", "&retro:room:*")] {
        let () = server.ask(&["ACL", "SETUSER", "ruang", taken]);
        let number = if taken == "-spublish" { 2 } else { 3 };
        let sent = batch(&name, 1, number, &[taken]);
        let stored = log.append(&name, sent.clone()).await.unwrap();
        assert_eq!((stored.duplicate, stored.last.seq), (false, number + 1));
        // Whoever may not subscribe any more is cut off first.
        while follower.next().await != Heard::Behind {}
        follower.note(Seen { last: stored.last, epoch: stored.epoch });
        let () = server.ask(&["ACL", "SETUSER", "ruang", given]);
        assert!(log.append(&name, sent).await.unwrap().duplicate);
    }
    assert_eq!(texts(&*log, &name).await, ["one", "-spublish", "resetchannels"]);
    println!("allowed again: the other instance subscribes again, and hears what is appended then");
    for number in 4.. {
        let last = append(&*log, &name, 1, number, &["more"]).await.last;
        let heard = tokio::time::timeout(Duration::from_millis(500), async {
            loop {
                if let Heard::Stored(stored) = follower.next().await {
                    break stored.records[0].position();
                }
            }
        });
        if heard.await == Ok(last) {
            break;
        }
        assert!(number < 60, "nothing is heard");
    }
}
