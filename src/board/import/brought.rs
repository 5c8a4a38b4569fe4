//! A board as it is brought: as it is shown, but of what the facilitator has set there is only what is said. What a record
//! leaves out must not be taken for what a new board has: that would show the cards of one that hides them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::board::schema::{Column, Phase, Point};
use crate::board::view::{ActionItem, Group, Item};

/// The members of a [`RetroRoomState`](crate::board::view::RetroRoomState) that are taken in; others are passed over.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Brought {
    /// What is said of what the facilitator sets.
    pub meta: BroughtMeta,
    /// The cards, by id.
    pub items: BTreeMap<String, Item>,
    /// Where they lie.
    pub item_positions: BTreeMap<String, Point>,
    /// In which group a card is.
    pub item_groups: BTreeMap<String, String>,
    /// The groups, by id.
    pub groups: BTreeMap<String, Group>,
    /// The color of each signature's cards.
    pub signature_colors: BTreeMap<String, String>,
    /// What is to be done.
    pub action_items: Vec<ActionItem>,
    /// The votes, by person and target.
    pub all_user_votes: BTreeMap<String, BTreeMap<String, u32>>,
}

/// What is said of what the facilitator sets; `None`: nothing is said of it, and what the board has stays.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BroughtMeta {
    /// The title; empty: there is none.
    #[serde(deserialize_with = "said")]
    pub title: Option<String>,
    /// Where the retrospective stands.
    #[serde(deserialize_with = "said")]
    pub phase: Option<Phase>,
    /// The columns; empty: there are none.
    #[serde(deserialize_with = "said")]
    pub columns: Option<Vec<Column>>,
    /// How many votes each person has.
    #[serde(deserialize_with = "said")]
    pub vote_limit: Option<u32>,
    /// When the timer ends, in milliseconds since 1970, or that there is none.
    #[serde(deserialize_with = "said")]
    pub timer_ends_at: Option<Option<u64>>,
    /// Whether cards are for their authors alone.
    #[serde(deserialize_with = "said")]
    pub hide_cards: Option<bool>,
}

/// A member that is there, also one that is null.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}
