//! An edit, read from JSON: what `Edit` itself reads, in a twentieth of the code that its derived reader is for browsers to
//! load. All fields of all edits stand beside each other here; the type says which are meant.

use ruang::board::edit::Edit;
use ruang::board::schema::{Column, Phase, Point};
use serde::Deserialize;

/// The fields that edits have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fields {
    r#type: String,
    id: Option<String>,
    text: Option<String>,
    column: Option<String>,
    position: Option<Point>,
    group: Option<String>,
    title: Option<String>,
    order: Option<f64>,
    target: Option<String>,
    count: Option<u32>,
    signature: Option<String>,
    color: Option<String>,
    assignee: Option<String>,
    due: Option<String>,
    done: Option<bool>,
    phase: Option<Phase>,
    columns: Option<Vec<Column>>,
    vote_limit: Option<u32>,
    timer_ends_at: Option<u64>,
    hide_cards: Option<bool>,
}

impl Fields {
    /// The edit that they make.
    ///
    /// # Errors
    /// Names the type that there is not, or the field that is missing.
    pub fn edit(self) -> Result<Edit, String> {
        let Self {
            r#type, id, text, column, position, group, title, order, target, count, signature, ..
        } = self;
        let Self {
            color, assignee, due, done, phase, columns, vote_limit, timer_ends_at, hide_cards, ..
        } = self;
        Ok(match r#type.as_str() {
            "addItem" => Edit::AddItem { id: there("id", id)?, text: there("text", text)?, column, position },
            "setItemText" => Edit::SetItemText { id: there("id", id)?, text: there("text", text)? },
            "setItemColumn" => Edit::SetItemColumn { id: there("id", id)?, column },
            "moveItem" => Edit::MoveItem { id: there("id", id)?, position: there("position", position)? },
            "deleteItem" => Edit::DeleteItem { id: there("id", id)? },
            "setItemGroup" => Edit::SetItemGroup { id: there("id", id)?, group },
            "setGroup" => Edit::SetGroup { id: there("id", id)?, title: there("title", title)?, order },
            "deleteGroup" => Edit::DeleteGroup { id: there("id", id)? },
            "vote" => Edit::Vote { target: there("target", target)?, count: there("count", count)? },
            "setSignatureColor" => Edit::SetSignatureColor {
                signature: there("signature", signature)?,
                color: there("color", color)?,
            },
            "setActionItem" => Edit::SetActionItem {
                id: there("id", id)?,
                text: there("text", text)?,
                assignee,
                due,
                done: done.unwrap_or_default(),
                order,
            },
            "deleteActionItem" => Edit::DeleteActionItem { id: there("id", id)? },
            "setMeta" => Edit::SetMeta { title, phase, columns, vote_limit, timer_ends_at, hide_cards },
            other => return Err(format!("there is no edit of the type {other:?}")),
        })
    }
}

fn there<T>(name: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("the field {name:?} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [C7] Every edit is read as the server reads it, with all of its fields and with none that may be missing; what is no
    /// edit is none.
    #[test]
    fn edits_are_read_as_the_server_reads_them() {
        let edits = [
            r#"{"type":"addItem","id":"a","text":"x","column":"c","position":{"x":1.5,"y":2}}"#,
            r#"{"type":"addItem","id":"a","text":"x"}"#,
            r#"{"type":"setItemText","id":"a","text":"x"}"#,
            r#"{"type":"setItemColumn","id":"a","column":null}"#,
            r#"{"type":"setItemColumn","id":"a","column":"c"}"#,
            r#"{"type":"moveItem","id":"a","position":{"x":1,"y":2}}"#,
            r#"{"type":"deleteItem","id":"a"}"#,
            r#"{"type":"setItemGroup","id":"a","group":"g"}"#,
            r#"{"type":"setItemGroup","id":"a","group":null}"#,
            r#"{"type":"setGroup","id":"g","title":"t","order":2}"#,
            r#"{"type":"setGroup","id":"g","title":"t"}"#,
            r#"{"type":"deleteGroup","id":"g"}"#,
            r#"{"type":"vote","target":"a","count":2}"#,
            r##"{"type":"setSignatureColor","signature":"s","color":"#aabbcc"}"##,
            r#"{"type":"setActionItem","id":"x","text":"t","assignee":"bob","due":"soon","done":true,"order":1}"#,
            r#"{"type":"setActionItem","id":"x","text":"t"}"#,
            r#"{"type":"deleteActionItem","id":"x"}"#,
            r#"{"type":"setMeta"}"#,
            r#"{"type":"setMeta","title":"t","phase":"vote","columns":[{"id":"a","title":"A"}],"voteLimit":3,"timerEndsAt":9,"hideCards":true}"#,
        ];
        for json in edits {
            let theirs: Edit = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
            let ours = serde_json::from_str::<Fields>(json).unwrap().edit().unwrap();
            assert_eq!(ours, theirs, "{json}");
        }
        let none = [
            r#"{"type":"party"}"#,
            r#"{"type":"deleteItem"}"#,
            r#"{"type":"deleteItem","id":7}"#,
            r#"{"type":"deleteItem","id":"a","more":1}"#,
            r#"{"id":"a"}"#,
            r#"{"type":"vote","target":"a","count":-1}"#,
            "[]",
        ];
        for json in none {
            let ours = serde_json::from_str::<Fields>(json)
                .map_err(|error| error.to_string())
                .and_then(Fields::edit);
            println!("{json}: {}", ours.unwrap_err());
            assert!(serde_json::from_str::<Edit>(json).is_err());
        }
    }
}
