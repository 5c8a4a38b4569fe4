//! What apps give, read from JSON by way of the engine's own values: for browsers to load, a derived reader of each form weighs
//! twenty times as much. What is no edit for the server is none here.

use std::collections::HashMap;
use std::sync::Arc;

use ruang::board::edit::Edit;
use ruang::board::schema::{Column, Phase, Point};
use yrs::{Any, Number};

use crate::output::{ClientOptions, Who};

/// The fields of one object that were not read yet. `null` is as good as nothing.
#[derive(Debug)]
pub struct Fields(HashMap<String, Any>);

impl Fields {
    /// Reads one object.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn parse(json: &str) -> Result<Self, String> {
        match Any::from_json(json) {
            Ok(Any::Map(fields)) => Ok(Self(Arc::unwrap_or_clone(fields))),
            Ok(_) => Err("an object is wanted".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The edit that they make.
    ///
    /// # Errors
    /// Names the type that there is not, or the field that is missing, of another form, or not of this edit.
    pub fn edit(mut self) -> Result<Edit, String> {
        let kind = there("type", self.text("type")?)?;
        let edit = match kind.as_str() {
            "addItem" => Edit::AddItem {
                id: self.id()?,
                text: there("text", self.text("text")?)?,
                column: self.text("column")?,
                position: self.point("position")?,
            },
            "setItemText" => Edit::SetItemText { id: self.id()?, text: there("text", self.text("text")?)? },
            "setItemColumn" => Edit::SetItemColumn { id: self.id()?, column: self.text("column")? },
            "moveItem" => {
                Edit::MoveItem { id: self.id()?, position: there("position", self.point("position")?)? }
            }
            "deleteItem" => Edit::DeleteItem { id: self.id()? },
            "setItemGroup" => Edit::SetItemGroup { id: self.id()?, group: self.text("group")? },
            "setGroup" => Edit::SetGroup {
                id: self.id()?,
                title: there("title", self.text("title")?)?,
                order: self.number("order")?,
            },
            "deleteGroup" => Edit::DeleteGroup { id: self.id()? },
            "vote" => Edit::Vote {
                target: there("target", self.text("target")?)?,
                count: there("count", self.count("count")?)?,
            },
            "setSignatureColor" => Edit::SetSignatureColor {
                signature: there("signature", self.text("signature")?)?,
                color: there("color", self.text("color")?)?,
            },
            "setActionItem" => Edit::SetActionItem {
                id: self.id()?,
                text: there("text", self.text("text")?)?,
                assignee: self.text("assignee")?,
                due: self.text("due")?,
                done: self.flag("done")?.unwrap_or_default(),
                order: self.number("order")?,
            },
            "deleteActionItem" => Edit::DeleteActionItem { id: self.id()? },
            "setMeta" => Edit::SetMeta {
                title: self.text("title")?,
                phase: self.phase("phase")?,
                columns: self.columns("columns")?,
                vote_limit: self.count("voteLimit")?,
                timer_ends_at: self.whole("timerEndsAt")?,
                hide_cards: self.flag("hideCards")?,
            },
            other => return Err(["there is no edit of the type ", other].concat()),
        };
        match self.0.keys().next() {
            Some(name) => Err([&kind, " has no field ", name].concat()),
            None => Ok(edit),
        }
    }

    /// What a client begins with.
    ///
    /// # Errors
    /// Names the field that is missing or of another form.
    pub fn options(mut self) -> Result<ClientOptions, String> {
        let room = there("room", self.text("room")?)?;
        let client_id = there("clientId", self.whole("clientId")?)?;
        let Who { user, identified, role } = self.who()?;
        Ok(ClientOptions { room, client_id, user, identified, role })
    }

    /// Who edits.
    ///
    /// # Errors
    /// Names the field that is missing or of another form.
    pub fn who(mut self) -> Result<Who, String> {
        Ok(Who {
            user: there("user", self.text("user")?)?,
            identified: there("identified", self.flag("identified")?)?,
            role: there("role", self.text("role")?)?.parse()?,
        })
    }

    fn id(&mut self) -> Result<String, String> {
        there("id", self.text("id")?)
    }

    fn take(&mut self, name: &str) -> Option<Any> {
        self.0.remove(name).filter(|value| !matches!(value, Any::Null))
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Any::String(text)) => Ok(Some((*text).to_owned())),
            Some(_) => Err(no(name, "text")),
        }
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Any::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(no(name, "true or false")),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Any::Number(Number::Int(number))) => Ok(Some(number as f64)),
            Some(Any::Number(Number::Float(number))) => Ok(Some(number)),
            Some(_) => Err(no(name, "number")),
        }
    }

    fn whole(&mut self, name: &str) -> Result<Option<u64>, String> {
        // The engine keeps numbers without a fraction as integers or not, as it likes.
        match self.number(name)? {
            None => Ok(None),
            Some(number) if number >= 0.0 && number as u64 as f64 == number => Ok(Some(number as u64)),
            Some(_) => Err(no(name, "count")),
        }
    }

    fn count(&mut self, name: &str) -> Result<Option<u32>, String> {
        self.whole(name)?.map(|count| u32::try_from(count).map_err(|_| no(name, "count"))).transpose()
    }

    fn point(&mut self, name: &str) -> Result<Option<Point>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Any::Map(fields)) => {
                let mut fields = Self(Arc::unwrap_or_clone(fields));
                Ok(Some(Point { x: there("x", fields.number("x")?)?, y: there("y", fields.number("y")?)? }))
            }
            Some(_) => Err(no(name, "point")),
        }
    }

    fn phase(&mut self, name: &str) -> Result<Option<Phase>, String> {
        self.text(name)?.map(|phase| Phase::parse(&phase).ok_or_else(|| no(name, "phase"))).transpose()
    }

    fn columns(&mut self, name: &str) -> Result<Option<Vec<Column>>, String> {
        let list = match self.take(name) {
            None => return Ok(None),
            Some(Any::Array(list)) => list,
            Some(_) => return Err(no(name, "list")),
        };
        let mut columns = Vec::new();
        for value in list.iter() {
            let Any::Map(fields) = value else { return Err(no(name, "list of columns")) };
            let mut fields = Self((**fields).clone());
            columns.push(Column {
                id: fields.id()?,
                title: there("title", fields.text("title")?)?,
                color: fields.text("color")?,
            });
        }
        Ok(Some(columns))
    }
}

fn there<T>(name: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| ["the field ", name, " is missing"].concat())
}

fn no(name: &str, what: &str) -> String {
    ["the field ", name, " is no ", what].concat()
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
            let ours = Fields::parse(json).unwrap().edit().unwrap();
            assert_eq!(ours, theirs, "{json}");
        }
        let none = [
            r#"{"type":"party"}"#,
            r#"{"type":"deleteItem"}"#,
            r#"{"type":"deleteItem","id":7}"#,
            r#"{"type":"deleteItem","id":"a","more":1}"#,
            r#"{"type":"deleteItem","id":"a","text":"x"}"#,
            r#"{"type":"vote","target":"a","count":1.5}"#,
            r#"{"type":"vote","target":"a","count":4294967296}"#,
            r#"{"type":"moveItem","id":"a","position":{"x":1}}"#,
            r#"{"type":"setMeta","phase":"party"}"#,
            r#"{"type":"setMeta","columns":[{"id":"a"}]}"#,
            r#"{"type":"setMeta","columns":{}}"#,
            r#"{"type":"setActionItem","id":"a","text":"t","done":1}"#,
            r#"{"id":"a"}"#,
            r#"{"type":"vote","target":"a","count":-1}"#,
            "[]",
        ];
        for json in none {
            let ours = Fields::parse(json).and_then(Fields::edit);
            println!("{json}: {}", ours.unwrap_err());
            assert!(serde_json::from_str::<Edit>(json).is_err());
        }
    }

    /// [C7] Options and a person are read as they are written, by whatever order of fields.
    #[test]
    fn options_and_people_are_read() {
        let options = ClientOptions {
            room: "a room".to_owned(),
            client_id: (1 << 32) - 1,
            user: "ann".to_owned(),
            identified: true,
            role: "facilitator".parse().unwrap(),
        };
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(Fields::parse(&json).unwrap().options(), Ok(options.clone()), "{json}");
        let who = Who { user: options.user, identified: true, role: options.role };
        assert_eq!(Fields::parse(&serde_json::to_string(&who).unwrap()).unwrap().who(), Ok(who));
        for bad in [r#"{"user":"a","identified":true}"#, r#"{"user":"a","identified":1,"role":"editor"}"#] {
            println!("{bad}: {}", Fields::parse(bad).unwrap().who().unwrap_err());
        }
        assert!(Fields::parse(r#"{"user":"a","identified":true,"role":"king"}"#).unwrap().who().is_err());
    }
}
