//! The board as it is read: [`RetroRoomState`], from whatever a document holds.
//!
//! Each value is taken if it has the form that the schema gives it, and passed over if not: a newer schema, a foreign
//! client or a hostile one changes what is shown, never whether something is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use yrs::{Doc, Transact};

use super::read::{self, Roots};
use super::schema::{Column, Phase, Point};
use super::table::Table;
use crate::caller::UserId;
use crate::limits::BOARD_VOTES;

/// A board, as the API and the browser show it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetroRoomState {
    /// What the facilitator has set.
    pub meta: Meta,
    /// The cards, by id.
    pub items: Table<Item>,
    /// Where they lie; only cards that are there.
    pub item_positions: Table<Point>,
    /// In which group a card is; only cards and groups that are there.
    pub item_groups: Table<String>,
    /// The groups, by id.
    pub groups: Table<Group>,
    /// The color of each signature's cards.
    pub signature_colors: Table<String>,
    /// What is to be done, in order.
    pub action_items: Vec<ActionItem>,
    /// The votes that count, by person and target: see [`votes`](super::votes).
    pub all_user_votes: Table<Table<u32>>,
    /// Everyone who is here or has written in this life of the room. Not in the document: the caller fills it in.
    pub participants: Vec<Participant>,
    /// When the board was changed last, in milliseconds since 1970. From the log: the caller fills it in.
    pub last_updated: Option<u64>,
}

/// What the facilitator has set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The board's title; empty if there is none.
    pub title: String,
    /// Where the retrospective stands.
    pub phase: Phase,
    /// The columns, from left to right.
    pub columns: Vec<Column>,
    /// How many votes each person has.
    pub vote_limit: u32,
    /// When the timer ends, in milliseconds since 1970 by the server's clock.
    pub timer_ends_at: Option<u64>,
    /// Whether cards are for their authors alone until they are revealed.
    pub hide_cards: bool,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            title: String::new(),
            phase: Phase::default(),
            columns: Vec::new(),
            vote_limit: BOARD_VOTES,
            timer_ends_at: None,
            hide_cards: false,
        }
    }
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Item {
    /// What stands on it.
    pub text: String,
    /// The id of the column in which it began; may be of a column that is gone.
    pub column: Option<String>,
    /// Who wrote it, as the card says: who it really was is in the log.
    pub author: Option<String>,
    /// When, by the author's clock, in milliseconds since 1970.
    pub created_at: Option<u64>,
}

/// A group of cards.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Group {
    /// Its title; empty if there is none.
    pub title: String,
    /// Where it stands among the groups.
    pub order: Option<f64>,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActionItem {
    /// Its id.
    pub id: String,
    /// What is to be done.
    pub text: String,
    /// By whom.
    pub assignee: Option<String>,
    /// Until when, as people write it.
    pub due: Option<String>,
    /// Whether it is done.
    pub done: bool,
    /// Where it stands in the list; those without one come last, by id.
    pub order: Option<f64>,
}

/// Somebody who is here or has written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Participant {
    /// The name under which the tokens know this person.
    pub user: String,
    /// The name that others see.
    pub name: Option<String>,
    /// The color that others see.
    pub color: Option<String>,
    /// Whether there is a session of this person now.
    pub online: bool,
    /// When something of this person came last, in milliseconds since 1970.
    pub last_seen: Option<u64>,
}

impl RetroRoomState {
    /// The board of a document, as it is shown of the past: with who had written by then, and when if that is known, and when
    /// the newest record came. Whoever shows boards of the past shows this, byte for byte.
    #[must_use]
    pub fn as_of(doc: &Doc, wrote: &BTreeMap<UserId, Option<u64>>, last_updated: u64) -> Self {
        Self { participants: Participant::away(wrote), last_updated: Some(last_updated), ..view(doc) }
    }
}

impl Participant {
    /// Those who have written, when nobody is here.
    #[must_use]
    pub fn away(wrote: &BTreeMap<UserId, Option<u64>>) -> Vec<Self> {
        let of = |(user, last_seen): (&UserId, &Option<u64>)| Self {
            user: user.to_string(),
            last_seen: *last_seen,
            ..Self::default()
        };
        wrote.iter().map(of).collect()
    }
}

/// Reads a board out of a document. `participants` and `last_updated` are left empty.
#[must_use]
pub fn view(doc: &Doc) -> RetroRoomState {
    read::board(&Roots::of(&doc.transact())).0
}
