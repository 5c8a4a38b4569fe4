//! Any mix of edits by any roles, at any time, online and offline, over reloads of the room: all come to the same, nobody
//! sees what breaks a rule, and the board can be read.

use yrs::{Any, Array, MapPrelim, Text, TextPrelim, TransactionMut, WriteTxn};

use super::super::random_docs::Random;
use super::people::{Person, map_in, paragraph};
use super::*;
use crate::board::schema::{is_vote_key_of, vote_key};
use crate::board::view::view;

const PEOPLE: [(&str, Role); 5] = [
    ("ann", Role::Editor),
    ("bob", Role::Editor),
    ("", Role::Editor),
    ("lea", Role::Facilitator),
    ("adm", Role::Admin),
];

const CARDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
    from[random.index(from.len())]
}

/// One edit, and whether it breaks a rule whatever the board is like. What it writes says so and whose it is.
fn edit(random: &mut Random, t: &mut TransactionMut<'_>, who: usize) {
    let (user, role) = PEOPLE[who];
    let bad = format!("bad{who}-{}", random.below(1_000));
    let leads = role >= Role::Facilitator;
    let id = pick(random, &CARDS);
    match random.below(22) {
        0..=2 => card(t, id, (!user.is_empty()).then_some(user)),
        3 => remove(t, "items", id),
        4 | 5 => {
            if let Some(card) = map_in(t, "items", id) {
                card.insert(t, "text", format!("text {}", random.below(100)));
            }
        }
        6 => shared_text(t, id, "some text to write in"),
        7 => {
            let text = map_in(t, "items", id).and_then(|card| card.get(t, "text"));
            if let Some(yrs::Out::YText(text)) = text {
                let at = random.below(u64::from(text.len(t)) + 1) as u32;
                text.insert(t, at, "x");
            }
        }
        8 => set(t, "itemPositions", id, random.below(100) as i64),
        9 => set(t, "itemGroups", id, "g"),
        10 => {
            t.get_or_insert_map("groups").insert(t, "g", MapPrelim::from([("title", "g")]));
        }
        11 | 12 => {
            let key = vote_key(if user.is_empty() { "nobody" } else { user }, id);
            set(t, "votes", &key, random.below(9) as i64);
        }
        13 => set(t, "signatureColors", id, "#aabbcc"),
        // From here on: forbidden for those who do not lead, and some for all.
        14 | 15 if !leads => {
            let key = pick(random, &["title", "phase", "voteLimit", "new"]);
            set(t, "meta", key, bad.as_str());
        }
        14 => set(t, "meta", "title", format!("title {}", random.below(9))),
        15 => set(t, "meta", "voteLimit", random.below(9) as i64),
        16 if !leads => remove(t, "meta", "title"),
        17 if user != "carl" && !user.is_empty() && role != Role::Admin => {
            set(t, "votes", &vote_key("carl", id), bad.as_str());
        }
        18 if !leads && !user.is_empty() => {
            // Carl's card is taken away, or signed by somebody else.
            match random.below(3) {
                0 => remove(t, "items", "carls"),
                1 => {
                    t.get_or_insert_map("items").insert(t, "carls", bad.as_str());
                }
                _ => {
                    if let Some(card) = map_in(t, "items", "carls") {
                        card.insert(t, "author", bad.as_str());
                    }
                }
            }
        }
        19 => paragraph(t, &bad),
        20 => match random.below(3) {
            0 => {
                t.get_or_insert_map("itemPositions").insert(t, id, TextPrelim::new(bad));
            }
            1 => {
                t.get_or_insert_map("groups").insert(t, id, yrs::ArrayPrelim::from([bad]));
            }
            _ => {
                t.get_or_insert_array("list").push_back(t, bad);
            }
        },
        21 => {
            if let Some(card) = map_in(t, "items", id) {
                card.insert(t, "more", MapPrelim::from([("bad", Any::from(bad))]));
            }
        }
        _ => set(t, "itemPositions", id, 0),
    }
}

impl Board {
    /// Nobody has seen what breaks a rule, but who has done it; and carl's card was there all the time.
    fn nobody_saw_what_is_forbidden(&self) {
        for (who, person) in self.people.iter().enumerate().take(PEOPLE.len()) {
            for seen in person.seen() {
                for other in (0..PEOPLE.len()).filter(|other| *other != who) {
                    assert!(!seen.contains(&format!("bad{other}-")), "person {who} saw {seen}");
                }
            }
        }
    }

    /// The board can be read, and no one has more votes than the limit.
    fn can_be_read(&self) {
        for person in &self.people {
            let board = view(&person.doc);
            for (user, votes) in &board.all_user_votes {
                assert!(votes.values().sum::<u32>() <= board.meta.vote_limit, "{user}: {votes:?}");
            }
        }
        let board = view(self.state.document.doc());
        assert_eq!(board.items["carls"].author.as_deref(), Some("carl"));
        assert_eq!(board.items["carls"].text, "text of carls");
    }
}

/// What a board has that is not this person's to change, by the rules: `meta`, votes of others, the authors of their cards.
fn not_theirs(board: &Board, who: usize) -> serde_json::Value {
    let (user, role) = PEOPLE[who];
    if role == Role::Admin {
        return serde_json::Value::Null;
    }
    let reader = Person::of(900_100);
    reader.receive(&board.state.document.encode_full());
    let json = reader.json();
    let of = |root: &str| json[root].as_object().cloned().unwrap_or_default();
    let has_name = !user.is_empty();
    let votes = of("votes").into_iter().filter(|(key, _)| has_name && !is_vote_key_of(key, user));
    let cards = of("items").into_iter().filter_map(|(id, card)| {
        let author = card.get("author")?.as_str()?.to_owned();
        let is_others = has_name && author != user;
        is_others.then(|| (id, serde_json::json!([author, card.get("createdAt")])))
    });
    if role == Role::Facilitator {
        return serde_json::json!({ "votes": votes.collect::<serde_json::Map<_, _>>() });
    }
    serde_json::json!({
        "meta": json["meta"],
        "votes": votes.collect::<serde_json::Map<_, _>>(),
        "cards": cards.collect::<serde_json::Map<_, _>>(),
    })
}

/// Somebody brings an update, with nothing else under way: whatever it does, what is not theirs is as it was.
async fn bring_checked(board: &mut Board, who: usize, update: &[u8], source: Source) {
    board.store().await;
    let before = not_theirs(board, who);
    board.bring_as(who, update, source).await;
    board.store().await;
    assert_eq!(not_theirs(board, who), before, "{:?} has changed what is others'", PEOPLE[who]);
}

/// Who comes back brings all that is there, and gets what it lacks.
async fn come_back(board: &mut Board, who: usize) {
    let kept = board.people[who].all();
    bring_checked(board, who, &kept, Source::Step2).await;
    let all = board.state.document.encode_full();
    board.people[who].receive(&all);
    board.people[who].away = false;
}

async fn history(seed: u64) {
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut board = Board::open().await;
    for (user, role) in PEOPLE {
        board.come(user, role);
    }
    let carl = board.come("carl", Role::Editor);
    board.edit(carl, |t| card(t, "carls", Some("carl"))).await;
    let mut mended = 0;
    for _ in 0..80 {
        let who = random.index(PEOPLE.len());
        match random.below(12) {
            0 if board.people[who].away => come_back(&mut board, who).await,
            0 => board.people[who].away = true,
            1 => board.store().await,
            2 if random.below(6) == 0 => {
                board.store().await;
                board.reload().await;
            }
            _ => {
                let edits = 1 + random.below(3);
                let update = board.make(who, |t| (0..edits).for_each(|_| edit(&mut random, t, who)));
                match random.below(2) {
                    _ if board.people[who].away => {}
                    0 => bring_checked(&mut board, who, &update, Source::Update).await,
                    _ => board.bring(who, &update).await, // what others have under way is there too
                }
            }
        }
        board.can_be_read();
    }
    for who in 0..PEOPLE.len() {
        come_back(&mut board, who).await;
    }
    board.same().await;
    board.can_be_read();
    board.nobody_saw_what_is_forbidden();
    for who in 0..PEOPLE.len() {
        mended += board.told(who).len();
    }
    assert!(board.told(carl).is_empty(), "carl has done nothing");
    let kinds =
        board.records().await.into_iter().filter(|record| record.kind() == Kind::Compensation).count();
    println!("  {mended} edits mended, {kinds} compensations");
}

/// [B25] [B26] [B32] Whatever people do, all come to the same board, with what they have kept too, and nobody sees what
/// breaks a rule.
#[tokio::test]
async fn any_mix_of_edits_comes_to_one_board() {
    let seeds = match std::env::var("RUANG_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("RUANG_TEST_SEED is a number")],
        Err(_) => (1..=60).collect(),
    };
    for seed in seeds {
        history(seed).await;
    }
}
