//! Two instances that judge at once what only one of the two may do.

use serde_json::{Value, json};

use super::ids::at_once;
use super::world::{Page, World, card, field, remove, set};

/// Higher than any id under which a server writes, but for one in thousands: it wins wherever ids decide.
const HIGHEST: u64 = (1 << 53) - 1_000;

/// A board with some cards of Lea's, and one that nobody has signed.
async fn begin(world: &World) -> Page {
    let mut lea = world.page(0, "lea", "facilitator").await;
    lea.edit(set("meta", "title", "Sprint 7")).await;
    lea.edit(card("leas", Some("lea"))).await;
    lea.edit(card("unsigned", None)).await;
    lea.until_acked().await;
    lea
}

/// What two editors may both do at once comes to one of the two for all, and nobody is told anything: a column, a text, a
/// position, a group of one card.
///
/// [B63]
#[tokio::test(flavor = "multi_thread")]
async fn what_both_may_do_comes_to_one_of_the_two() {
    let world = World::start().await;
    let mut lea = begin(&world).await;
    let mut ann = world.page(0, "ann", "editor").await;
    let mut bob = world.page(1, "bob", "editor").await;
    for first in [0, 1] {
        at_once(&world, first, async || {
            for (page, value) in [(&mut ann, "ann"), (&mut bob, "bob")] {
                page.edit(field("leas", "column", value)).await;
                page.edit(field("leas", "text", value)).await;
                page.edit(set("itemPositions", "leas", value)).await;
                page.edit(set("itemGroups", "leas", value)).await;
            }
        })
        .await;
        let one_of_two = |board: &Value| {
            let of = |value: &Value| ["ann", "bob"].iter().any(|user| *value == **user);
            of(&board["items"]["leas"]["column"])
                && of(&board["itemPositions"]["leas"])
                && of(&board["itemGroups"]["leas"])
        };
        world.same(&mut [&mut lea, &mut ann, &mut bob], "one of two", one_of_two).await;
        println!("stored first by instance {first}: {}", lea.board()["items"]["leas"]);
        for page in [&mut lea, &mut ann, &mut bob] {
            assert!(page.told().is_empty() && page.closed.is_empty());
        }
    }
    world.stop((lea, ann, bob)).await;
}

/// [B63] [B34] A card is made, or signed, by two editors at once: it is the first one's, whichever instance and whichever id,
/// and the second one is told. The first one's may then take it away, the second one may not.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_the_first_ones() {
    for first in [0, 1] {
        for highest in [0, 1] {
            for made in [true, false] {
                let world = World::start().await;
                let mut lea = begin(&world).await;
                let id = |at: usize| if at == highest { HIGHEST } else { 11 };
                let mut ann = world.page_as(0, ("ann", "editor"), id(0)).await;
                let mut bob = world.page_as(1, ("bob", "editor"), id(1)).await;
                let key = if made { "new" } else { "unsigned" };
                at_once(&world, first, async || {
                    for page in [&mut ann, &mut bob] {
                        match made {
                            true => page.edit(card("new", Some(page.user))).await,
                            false => page.edit(field("unsigned", "author", page.user)).await,
                        }
                    }
                })
                .await;
                let (winner, loser) = if first == 0 { (&mut ann, &mut bob) } else { (&mut bob, &mut ann) };
                let user = winner.user;
                world
                    .same(&mut [&mut lea, &mut *winner, &mut *loser], "the first one's card", |board| {
                        board["items"][key]["author"] == user
                    })
                    .await;
                assert!(winner.told().is_empty());
                let code = if made { "card_of_another" } else { "signature_of_another" };
                let told = loser.told();
                println!("first {first}, highest {highest}, {key}: {} is told {told:?}", loser.user);
                assert_eq!(told, if first == highest { vec![] } else { vec![code.to_owned()] });
                loser.edit(remove("items", key)).await;
                loser.until_acked().await;
                assert_eq!(loser.told(), ["card_of_another"]);
                winner.until_acked().await;
                world
                    .same(&mut [&mut lea, &mut *winner, &mut *loser], "the card", |board| {
                        board["items"][key].is_object()
                    })
                    .await;
                winner.edit(remove("items", key)).await;
                world
                    .same(&mut [&mut lea, &mut *winner, &mut *loser], "no card", |board| {
                        board["items"][key].is_null()
                    })
                    .await;
                assert!(winner.told().is_empty());
                world.stop((lea, ann, bob)).await;
            }
        }
    }
}

/// [B60] An editor with two sockets on two instances, and one id on both, wins a race: what is judged on the one as standing
/// beside a position would stand, on the other, beside somebody else's title, vote, or signature. Nobody sees it there, at no
/// moment; it comes to nothing, and what honest people had in the same batch is stored.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_lands_beside_what_is_anothers() {
    type Target = (&'static str, &'static str, &'static str);
    const TARGETS: [Target; 4] = [
        ("meta", "title", ""),
        ("votes", "lea/leas", ""),
        ("items", "leas", "author"),
        ("items", "leas", ""),
    ];
    for (root, key, inner) in TARGETS {
        for apart in [false, true] {
            println!("{root} {key} {inner}, in two updates: {apart}");
            let world = World::start().await;
            let mut lea = begin(&world).await;
            lea.edit(set("votes", "lea/leas", 1)).await;
            lea.until_acked().await;
            let before = lea.board();
            let mut wim = world.page(1, "wim", "viewer").await;
            let mut bob = world.page(0, "bob", "editor").await;
            let mut here = world.page_as(0, ("mallory", "editor"), HIGHEST).await;
            let mut there = world.page_as(1, ("mallory", "editor"), HIGHEST).await;
            for page in [&lea, &wim, &bob] {
                page.seen();
            }
            at_once(&world, 1, async || {
                if apart {
                    here.edit(set("itemPositions", "x", 1)).await;
                    here.edit(set("itemPositions", "x", "by mallory")).await;
                } else {
                    here.edit(|t| {
                        set("itemPositions", "x", 1)(t);
                        set("itemPositions", "x", "by mallory")(t);
                    })
                    .await;
                }
                bob.edit(set("signatureColors", "bob", "#aabbcc")).await;
                match inner {
                    "" => there.edit(set(root, key, "bad")).await,
                    inner => there.edit(field("leas", inner, "bad")).await,
                }
            })
            .await;
            here.until("an end", Page::is_out).await;
            assert_eq!(here.closed, [Some(4409)]);
            let mut expected = before.clone();
            expected["signatureColors"] = json!({ "bob": "#aabbcc" });
            let everyone = &mut [&mut lea, &mut wim, &mut bob, &mut there];
            world.same(everyone, "the board as it was", |board| *board == expected).await;
            for page in [&lea, &wim, &bob] {
                for (root, value) in page.seen() {
                    assert!(
                        value == before[root] || value == expected[root],
                        "{} has read {root}: {value}",
                        page.user
                    );
                }
            }
            assert_eq!(bob.told(), [""; 0]);
            let mut new = world.page(0, "wim", "viewer").await;
            world.same(&mut [&mut new, &mut lea], "a newcomer's board", |board| *board == expected).await;
            world.stop((lea, wim, bob, here, there, new)).await;
        }
    }
}
