//! Who takes part in a board: everyone who has written in this life of the room, and everyone who is here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::board::schema::{is_color, is_line};
use crate::board::view::Participant;
use crate::caller::UserId;
use crate::room::people::{People, Shown};

/// Who has written; when last, in milliseconds since 1970, if that is known.
pub(super) type Wrote = BTreeMap<UserId, Option<u64>>;

/// All without an identity who have no name either.
const NOBODY: &str = "anonymous";

/// Everyone, by user.
pub(super) fn participants(people: &People, now_ms: u64) -> Vec<Participant> {
    let mut all: BTreeMap<String, Participant> = BTreeMap::new();
    for (user, at_ms) in &people.wrote {
        let somebody = of(&mut all, user);
        somebody.last_seen = *at_ms;
    }
    for user in &people.connected {
        let somebody = of(&mut all, user);
        (somebody.online, somebody.last_seen) = (true, Some(now_ms));
    }
    let (known, unknown): (Vec<&Shown>, Vec<&Shown>) =
        people.shown.iter().partition(|shown| shown.user.is_some());
    for shown in known {
        if let Some(user) = &shown.user {
            note(of(&mut all, user), shown, said(shown), now_ms);
        }
    }
    // Without identity people are who they say they are, but not somebody with one.
    let names: Vec<String> = all.keys().cloned().collect();
    for shown in unknown.into_iter().filter(|shown| shown.state.is_some()) {
        let said = said(shown);
        let name = said.id.clone().or_else(|| said.name.clone()).filter(|name| !names.contains(name));
        note(of(&mut all, name.as_deref().unwrap_or(NOBODY)), shown, said, now_ms);
    }
    all.into_values().collect()
}

fn of<'a>(all: &'a mut BTreeMap<String, Participant>, user: &str) -> &'a mut Participant {
    all.entry(user.to_owned())
        .or_insert_with(|| Participant { user: user.to_owned(), ..Participant::default() })
}

fn note(somebody: &mut Participant, shown: &Shown, said: Said, now_ms: u64) {
    somebody.online |= shown.state.is_some();
    somebody.last_seen = somebody.last_seen.max(Some(now_ms.saturating_sub(shown.ago_ms)));
    // Ids come in no order: the answer must not depend on it.
    somebody.name = said.name.max(somebody.name.take());
    somebody.color = said.color.max(somebody.color.take());
}

/// What somebody shows of who they are; with an identity the server has written it.
#[derive(Default)]
struct Said {
    id: Option<String>,
    name: Option<String>,
    color: Option<String>,
}

fn said(shown: &Shown) -> Said {
    #[derive(Deserialize)]
    struct State {
        user: Option<Value>,
    }
    let state = shown.state.as_deref().and_then(|state| serde_json::from_str::<State>(state).ok());
    let Some(user) = state.and_then(|state| state.user) else { return Said::default() };
    let line = |key: &str| {
        let text = user.get(key)?.as_str()?;
        (!text.is_empty() && is_line(text)).then(|| text.to_owned())
    };
    Said { id: line("id"), name: line("name"), color: line("color").filter(|color| is_color(color)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(user: Option<&str>, state: Option<&str>, ago_ms: u64) -> Shown {
        Shown { user: user.map(UserId::from), state: state.map(Box::from), ago_ms }
    }

    /// [B41] Everyone who has written or is here is there once, with what is known; nobody without an identity passes for
    /// somebody with one.
    #[test]
    fn everyone_is_there_once() {
        let people = People {
            wrote: [("ann".into(), Some(500)), ("bob".into(), None), ("cy".into(), Some(100))].into(),
            connected: vec!["eve".into()],
            shown: vec![
                shown(Some("ann"), Some(r##"{"user":{"id":"ann","name":"Ann","color":"#00ff00"}}"##), 20),
                shown(Some("ann"), Some(r#"{"cursor":1}"#), 10),
                shown(Some("cy"), None, 300),
                shown(None, Some(r#"{"user":{"name":"ann"}}"#), 0),
                shown(None, Some(r#"{"user":{"name":"Guest","color":"red"}}"#), 5),
                shown(None, Some(r#"{"user":"x"}"#), 7),
                shown(None, Some("[1]"), 7),
                shown(None, None, 7),
            ],
        };
        let all = participants(&people, 1_000);
        for somebody in &all {
            println!("{somebody:?}");
        }
        let short: Vec<_> = all
            .iter()
            .map(|somebody| {
                (somebody.user.as_str(), somebody.name.as_deref(), somebody.online, somebody.last_seen)
            })
            .collect();
        assert_eq!(
            short,
            [
                ("Guest", Some("Guest"), true, Some(995)),
                ("ann", Some("Ann"), true, Some(990)),
                ("anonymous", Some("ann"), true, Some(1_000)),
                ("bob", None, false, None),
                ("cy", None, false, Some(700)),
                ("eve", None, true, Some(1_000)),
            ]
        );
        assert_eq!(all[1].color.as_deref(), Some("#00ff00"));
        assert_eq!(all[0].color, None, "red is no color");
    }
}
