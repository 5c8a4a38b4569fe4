//! What an author changes in cards that were moved already, with plain Yjs clients, and whatever is cut off.

use std::sync::Arc;
use std::time::Duration;

use ruang::board::drafts;
use ruang::board::edit::Edit;
use ruang::board::view::view;
use ruang::caller::Role;
use ruang::clock::system_clock;
use ruang::limits::REVEALS_OF_OTHERS_MS;
use ruang::log::memory::MemoryLog;
use ruang::log::{Log, LogError};
use ruang::wire::y_websocket;
use tokio::time::{Instant, sleep};
use yrs::{Doc, GetString, Map, Out, ReadTxn, Text, TextPrelim, Transact};

use crate::auth_support::room;
use crate::harness::{Client, PATIENCE};
use crate::hidden_stores as on_store;
use crate::kinds_stores::instance;
use crate::life_support::Person;
use crate::{World, edit, hidden_board, hide, locally, token_for, with_cards};

fn set_text(id: &str, text: &str) -> Edit {
    Edit::SetItemText { id: id.to_owned(), text: text.to_owned() }
}

/// A page of a plain provider comes back with the document that it has.
async fn comes_back(world: &World, instance: usize, user: &str, doc: Doc) -> Client {
    let url =
        format!("{}?token={}", world.at(instance).url(&format!("retro~{user}")), token_for(user, "editor"));
    let mut page = Client::connect(&url, None).await;
    page.doc = doc;
    page.sync().await;
    page
}

/// Makes a card's text a shared one, or types into it. Returns the update.
fn type_into(page: &Client, id: &str, letters: &str) -> Vec<u8> {
    let before = page.doc.transact().state_vector();
    {
        let mut transaction = page.doc.transact_mut();
        let card = transaction.get_map("items").and_then(|items| items.get(&transaction, id));
        let Some(Out::YMap(card)) = card else { panic!("a card") };
        match card.get(&transaction, "text") {
            Some(Out::YText(text)) => {
                let end = text.get_string(&transaction).encode_utf16().count();
                text.insert(&mut transaction, u32::try_from(end).unwrap(), letters);
            }
            _ => drop(card.insert(&mut transaction, "text", TextPrelim::new(letters))),
        }
    }
    page.doc.transact().encode_diff_v1(&before)
}

async fn send(page: &mut Client, update: &[u8]) {
    page.send(y_websocket::update(update)).await;
    page.sent += 1;
    page.until_acked().await.unwrap();
}

async fn until_text(page: &mut Client, id: &str, text: &str) {
    let has = |page: &Client| view(&page.doc).items.get(id).is_some_and(|item| item.text == text);
    page.until(text, has).await;
}

/// [B70] [B72] Ann edits her hidden cards on a plane, and lands after the reveal: her provider brings that to her draft, and it is on
/// the board, in her name. What others have changed there stays: what both have typed into a shared text is there, and of two values
/// hers is a card of its own. It is no more for being said twice, by another page, or to a process that has just begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_on_a_plane_arrives() {
    let mut world = World::start(2).await;
    let mut fay = hidden_board(&world).await;
    let mut ann = with_cards(&world, "ann", &["a", "b", "typed", "gone"]).await;
    let shared = type_into(&ann, "typed", "milk");
    send(&mut ann, &shared).await;
    for id in ["a", "b", "gone"] {
        locally(&ann, &set_text(id, &format!("{id}, on a plane")), "ann");
    }
    type_into(&ann, "typed", " and eggs");
    let along = ann.crash();
    assert_eq!(world.reveal(0, "retro", "fay", "facilitator").await.0, 200);
    world.until_empty("retro~ann").await;
    until_text(&mut fay, "typed", "milk").await;
    edit(&mut fay, &set_text("b", "by fay"), "fay").await;
    edit(&mut fay, &Edit::DeleteItem { id: "gone".to_owned() }, "fay").await;
    let more = type_into(&fay, "typed", "!");
    send(&mut fay, &more).await;
    let written = world.records("retro").await.len();

    let mut ann = comes_back(&world, 1, "ann", along).await;
    until_text(&mut fay, "a", "a, on a plane").await;
    until_text(&mut fay, "typed", "milk! and eggs").await;
    let seen = view(&fay.doc);
    println!("{:?}", seen.items);
    let beside: Vec<_> = seen.items.iter().filter(|(id, _)| id.starts_with("b-")).collect();
    let [(beside, second)] = beside[..] else { panic!("one second card: {beside:?}") };
    assert_eq!((seen.items["b"].text.as_str(), second.text.as_str()), ("by fay", "b, on a plane"));
    assert_eq!((second.author.as_deref(), seen.items.contains_key("gone")), (Some("ann"), false));
    assert_eq!(seen.items.len(), 4);
    let records = world.records("retro").await;
    let hers = &records[written..];
    assert!(hers.len() == 1 && hers[0].1.user.as_deref() == Some("ann"), "{hers:?}");

    println!("she goes on in her draft, as a page may that has not been told to go to the board");
    ann.until("her draft is empty", |page| view(&page.doc).items.is_empty()).await;
    assert_eq!(world.left("retro~ann").await, 0);
    let beside = beside.clone();
    edit(&mut fay, &set_text("a", "by fay, later"), "fay").await;
    drop(ann);
    // All pages go, all rooms are unloaded, and a process that knows nothing has it said again.
    let full = ann_again(&world).await;
    world.servers.push(crate::server(&world.log, crate::auth(std::slice::from_ref(&crate::KEY))).await);
    let mut again = comes_back(&world, 2, "ann", full).await;
    again.until("the draft", |page| !page.asked.is_empty()).await;
    let rooms = Arc::clone(&world.at(2).app.rooms);
    let by = Arc::new(ruang::caller::Caller {
        user: Some("fay".into()),
        ..ruang::caller::Caller::anonymous(ruang::caller::Role::Facilitator)
    });
    rooms.reveal(&room("retro"), &by).await.unwrap();
    assert_eq!(world.records("retro").await.len(), written + 2, "nothing but fay's edit was written");
    let seen = world.board("retro").await;
    assert_eq!(
        (seen.items["a"].text.as_str(), seen.items[&beside].text.as_str()),
        ("by fay, later", "b, on a plane")
    );
    world.stop().await;
}

/// The draft as it is stored.
async fn ann_again(world: &World) -> Doc {
    let page = world.page(0, "retro~ann", "ann", "editor").await;
    page.crash()
}

/// [B70] The store fails at one step of that after the other, or its answers are lost: it comes all the same, and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_carried_over_comes_once() {
    for step in 0..4 {
        for lost in [false, true] {
            let world = World::start(1).await;
            let mut fay = hidden_board(&world).await;
            let ann = with_cards(&world, "ann", &["a", "b"]).await;
            locally(&ann, &set_text("a", "later"), "ann");
            locally(&ann, &set_text("b", "hers"), "ann");
            let along = ann.crash();
            assert_eq!(world.reveal(0, "retro", "fay", "facilitator").await.0, 200);
            world.until_empty("retro~ann").await;
            fay.until("the cards", |page| view(&page.doc).items.len() == 2).await;
            edit(&mut fay, &set_text("b", "fays"), "fay").await;
            if lost {
                world.faults.lose_replies(step);
            } else {
                world.faults.fail_appends(step, LogError::Full("a test".to_owned()));
            }
            let _ann = comes_back(&world, 0, "ann", along).await;
            until_text(&mut fay, "a", "later").await;
            world.faults.forgive();
            sleep(Duration::from_millis(100)).await;
            let seen = world.board("retro").await;
            let mut texts: Vec<&str> = seen.items.values().map(|item| item.text.as_str()).collect();
            texts.sort_unstable();
            println!("step {step}, lost {lost}: {texts:?}");
            assert_eq!(texts, ["fays", "hers", "later"]);
            let hers = |of: &ruang::log::record::Metadata| of.user.as_deref() == Some("ann");
            assert_eq!(world.records("retro").await.iter().filter(|(_, of)| hers(of)).count(), 2);
            world.stop().await;
        }
    }
}

/// [B73] A card is copied, and the process ends before it is taken out of its draft; meanwhile its author goes on, on another instance,
/// which knows nothing of the copy: what was changed follows, and the card is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_between_two_processes_follows() {
    for reveals_again in [false, true] {
        let world = World::start(2).await;
        let mut fay = hidden_board(&world).await;
        let ann = with_cards(&world, "ann", &["a"]).await;
        let reads = world.faults.hold_reads();
        let rooms = Arc::clone(&world.at(0).app.rooms);
        let by = Arc::new(ruang::caller::Caller {
            user: Some("fay".into()),
            ..ruang::caller::Caller::anonymous(ruang::caller::Role::Facilitator)
        });
        let revealing = tokio::spawn(async move { rooms.reveal(&room("retro"), &by).await });
        fay.until("cards are shown", |page| !view(&page.doc).meta.hide_cards).await;
        reads.arrived(1).await;
        let appends = world.faults.hold_appends();
        reads.release();
        appends.arrived(1).await;
        // The copy is on its way; whatever comes behind it is refused.
        world.faults.fail_appends(1_000, LogError::Fatal("a test".to_owned()));
        appends.release();
        println!("{:?}", revealing.await.unwrap());
        drop(fay);
        world.at(0).app.rooms.shut_down().await;
        world.faults.forgive();
        assert_eq!(world.left("retro~ann").await, 1, "it was not taken out");
        println!("the process has ended");
        locally(&ann, &set_text("a", "later"), "ann");
        let mut again = comes_back(&world, 1, "ann", ann.crash()).await;
        if reveals_again {
            assert_eq!(world.reveal(1, "retro", "fay", "facilitator").await.0, 200);
        }
        again.until("her draft is empty", |page| view(&page.doc).items.is_empty()).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = world.board("retro").await;
            if seen.items["a"].text == "later" {
                assert_eq!(seen.items.len(), 1);
                break;
            }
            assert!(Instant::now() < deadline, "{:?}", seen.items);
            sleep(Duration::from_millis(20)).await;
        }
        world.until_empty("retro~ann").await;
        world.stop().await;
    }
}

/// [B75] An instance begins to reveal and ends. Nobody asks for anything: the next one that has the board opened goes on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reveal_goes_on_by_itself() {
    let world = World::start(2).await;
    let mut fay = hidden_board(&world).await;
    for user in ["ann", "bob"] {
        drop(with_cards(&world, user, &[&format!("of-{user}")]).await);
    }
    let reads = world.faults.hold_reads();
    edit(&mut fay, &hide(false), "fay").await;
    reads.arrived(1).await;
    drop(fay);
    world.at(0).app.rooms.shut_down().await;
    reads.release();
    assert_eq!((world.left("retro~ann").await, world.left("retro~bob").await), (1, 1));
    println!("the process has ended, and all cards lie in their drafts");
    let mut wim = world.page(1, "retro", "wim", "viewer").await;
    wim.until("all cards", |page| view(&page.doc).items.len() == 2).await;
    for user in ["ann", "bob"] {
        world.until_empty(&format!("retro~{user}")).await;
    }
    world.stop().await;
}

/// [B75] An instance that has the board open hears that another one reveals it, and that one ends: after a while it looks, and goes on.
#[tokio::test(start_paused = true)]
async fn an_instance_goes_on_with_the_reveal_of_another() {
    let (log, faults) = MemoryLog::for_instances(system_clock());
    let log: Arc<dyn Log> = Arc::new(log);
    let (one, two) = (instance(&log, &["*"]), instance(&log, &["*"]));
    let board = room("retro");
    on_store::edit(&one, &board, "fay", Role::Facilitator, &hide(true)).await;
    let draft = drafts::name(&board, "ann").expect("a name");
    on_store::edit(&one, &draft, "ann", Role::Editor, &on_store::card("a")).await;
    // Rooms without people are unloaded, and the reads of a load would wait, too.
    let _people = (Person::join(&one, &board).await, Person::join(&two, &board).await);
    let reads = faults.hold_reads();
    let (rooms, name, fay) = (Arc::clone(&one), board.clone(), on_store::caller("fay", Role::Facilitator));
    let revealing = tokio::spawn(async move { rooms.reveal(&name, &fay).await });
    reads.arrived(1).await;
    revealing.abort();
    one.shut_down().await;
    reads.release();
    println!("the one instance has ended");
    tokio::time::sleep(Duration::from_millis(REVEALS_OF_OTHERS_MS / 2)).await;
    assert_eq!(
        (on_store::seen(&log, &board).await.items.len(), on_store::seen(&log, &draft).await.items.len()),
        (0, 1)
    );
    for waited in 0.. {
        tokio::time::sleep(Duration::from_millis(REVEALS_OF_OTHERS_MS / 10)).await;
        if on_store::seen(&log, &draft).await.items.is_empty() {
            break;
        }
        assert!(waited < 20, "nobody goes on");
    }
    assert!(on_store::seen(&log, &board).await.items.contains_key("a"));
    two.shut_down().await;
}
