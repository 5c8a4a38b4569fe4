//! Two instances, and on both of them somebody with one client id who says something else on each, at random: what either of
//! them shows and acks is what the log comes to, and nothing lands where it was not judged for.

use yrs::{Map, ReadTxn, TextPrelim, Transact, TransactionMut, WriteTxn};

use super::super::random_docs::Random;
use super::people::{Board, Person, card, map_in, remove, set, shared_text};
use super::*;
use crate::caller::Role;
use crate::history;
use crate::log::LogError;

const ID: u64 = (1 << 53) - 1_000;

/// An edit of somebody who lies about an id. What it says is harmless where the liar may say it.
fn lie(random: &mut Random, t: &mut TransactionMut<'_>) {
    let key = ["x", "y"][random.index(2)];
    for _ in 0..=random.below(2) {
        match random.below(9) {
            0..=2 => set(t, "itemPositions", key, "fine"),
            3 => set(t, "itemGroups", key, "fine"),
            4 => set(t, "meta", "title", "fine"),
            5 => set(t, "votes", "lea/leas", "fine"),
            6 => card(t, key, Some("liar")),
            7 => match map_in(t, "items", "leas") {
                Some(leas) if random.below(2) == 0 => drop(leas.insert(t, "author", "fine")),
                _ => set(t, "items", "leas", "fine"),
            },
            _ => match map_in(t, "items", key) {
                Some(_) if random.below(2) == 0 => shared_text(t, key, "fine words"),
                Some(_) => remove(t, "items", key),
                None => drop(t.get_or_insert_map("groups").insert(t, key, TextPrelim::new("fine"))),
            },
        }
    }
}

impl Board {
    /// Takes in what others have stored up to here.
    async fn hear_until(&mut self, seq: u64) -> Result<(), StoredError> {
        let mut news = self.log.read(&self.name, self.state.committed().seq, 10_000).await.unwrap();
        news.retain(|stored| stored.position().seq < seq);
        let epoch = self.state.seen().epoch;
        let Foreign { shown, set_aside } = self.state.on_stored(&news, epoch)?;
        assert!(set_aside.is_empty(), "{set_aside:?}");
        if let Some(Shown::Small(update, _)) = shown {
            self.show(&update);
        }
        Ok(())
    }

    /// The liar's copy may have something in the way.
    fn show(&mut self, update: &[u8]) {
        let all = self.state.document.encode_full();
        let (liar, honest) = self.people.split_first_mut().unwrap();
        if !liar.takes(update) {
            liar.renew(&all);
        }
        honest.iter().for_each(|person| person.receive(update));
    }

    /// Hears of the log up to a batch of its own, or all of it, and takes that in. An instance that cannot loads the room
    /// again, and its people are new.
    async fn settle(&mut self, own: Option<Result<Appended, LogError>>, loads: &mut usize) {
        let settled = match own {
            Some(Ok(appended)) => match self.hear_until(appended.first.seq).await {
                Ok(()) => {
                    let Committed { shown, .. } = self.state.on_committed(&appended).unwrap();
                    if let Shown::Small(update, _) = shown {
                        self.show(&update);
                    }
                    true
                }
                Err(_) => false,
            },
            Some(Err(LogError::Moved(_))) => self.state.withdraw_exact().is_some_and(|of| of.is_whole),
            Some(Err(error)) => panic!("{error}"),
            None => self.hear_until(u64::MAX).await.is_ok(),
        };
        if !settled {
            *loads += 1;
            self.reload().await;
            let all = self.state.document.encode_full();
            for person in &mut self.people {
                person.renew(&all);
            }
        }
    }

    /// The document is what the log comes to, and has nothing where nobody may have set it.
    async fn is_what_the_log_comes_to(&self) {
        let at = self.state.committed().seq;
        let range = history::Range { until: at, ..history::Range::TO_HEAD };
        let mut walk = history::walk(&self.log, &self.name, range).await.unwrap().unwrap();
        walk.to_end().await.unwrap();
        let fold = walk.into_fold().unwrap();
        assert!(fold.set_aside().is_empty(), "{:?}", fold.set_aside());
        let own = Person::of(900_002);
        own.receive(&self.state.document.encode_full());
        let folded = Person::of(900_003);
        folded.receive(&fold.document().encode_full());
        assert_eq!(own.json(), folded.json());
        assert_eq!(own.doc.transact().state_vector(), folded.doc.transact().state_vector());
        let json = own.json();
        assert_eq!((&json["meta"]["title"], &json["votes"]), (&"Sprint 7".into(), &serde_json::json!({})));
        assert_eq!(json["items"]["leas"]["author"], "lea");
    }
}

async fn history_of(seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let mut one = Board::open().await;
    let lead = one.come("lea", Role::Facilitator);
    one.edit(lead, |t| set(t, "meta", "title", "Sprint 7")).await;
    one.edit(lead, |t| card(t, "leas", Some("lea"))).await;
    one.people.clear();
    let mut boards = [one.beside().await, one.beside_as(3).await];
    for (at, board) in boards.iter_mut().enumerate() {
        board.come_as(Person::of(ID), "liar", Role::Editor);
        board.come_as(Person::of(10 + at as u64), "bob", Role::Editor);
    }
    let (mut loads, mut sent) = (0, [None, None]);
    for n in 0..60 {
        let at = random.index(2);
        let board = &mut boards[at];
        match random.below(5) {
            0..=2 if board.state.is_exact_under_way() => {} // it would be held
            0 | 1 => {
                let update = board.make(0, |t| lie(&mut random, t));
                drop(board.submit(0, &update)); // refused, or held: it is gone
            }
            2 => {
                let update = board.make(1, |t| set(t, "itemPositions", &format!("bob {n}"), n));
                drop(board.submit(1, &update));
            }
            3 if sent[at].is_none() => {
                if let Some(batch) = board.state.next_batch() {
                    sent[at] = Some(board.log.append(&board.name, batch).await);
                }
            }
            _ => {
                let own = sent[at].take();
                if own.is_some() || board.state.in_flight().is_none() {
                    board.settle(own, &mut loads).await;
                }
            }
        }
        boards[at].is_what_the_log_comes_to().await;
    }
    (loads, boards[0].passed_over().await)
}

/// [B60] Whatever two instances admit under one id at once: each shows what the log comes to, the log has no damage, and what
/// is the facilitator's or another's has never changed.
#[tokio::test]
async fn whatever_is_said_twice_under_one_id_comes_to_one_board() {
    let seeds = match std::env::var("RUANG_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("RUANG_TEST_SEED is a number")],
        Err(_) => (1..=200).collect(),
    };
    let (mut loads, mut passed_over) = (0, 0);
    for seed in seeds {
        println!("seed {seed}");
        let of = history_of(seed).await;
        (loads, passed_over) = (loads + of.0, passed_over + of.1);
    }
    println!("{loads} loads, {passed_over} records passed over");
    assert!(loads > 0 && passed_over > 0);
}
