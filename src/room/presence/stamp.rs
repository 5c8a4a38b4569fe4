//! Writes who somebody is into what they show. A client makes its presence state up by itself, names
//! included; what other people read as a name has to be the token's.
//!
//! The state is text and stays text: only those members of `user` that say who somebody is are written
//! anew. All else is copied byte for byte: numbers, escapes, order, members that come twice.
//!
//! Pure.

use crate::caller::Caller;

/// The member of a state that says who somebody is, by the convention of the editor bindings.
const USER: &str = "user";

/// What one caller's states say of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Members of `user`, as they are written.
    members: Box<str>,
    /// A color is among them; else the client's own stays.
    has_color: bool,
}

impl Stamp {
    /// What there is to stamp; nothing for a caller without a name and without an identity. Who has no
    /// name is called by the user id: what the client says will not do.
    pub(crate) fn of(caller: &Caller) -> Option<Self> {
        let name = caller.name.as_ref().or(caller.user.as_ref())?;
        let member = |key: &str, value: &str| format!("\"{key}\":{}", quoted(value));
        let mut members = vec![member("name", name)];
        members.extend(caller.color.as_ref().map(|color| member("color", color)));
        members.extend(caller.user.as_ref().map(|user| member("id", user)));
        Some(Self { members: members.join(",").into(), has_color: caller.color.is_some() })
    }

    /// The state with the stamp in it. `state` is JSON; one that is no object says nothing of a user,
    /// and stays as it is.
    pub(crate) fn on(&self, state: &str) -> String {
        let Some(members) = members(state) else { return state.to_owned() };
        // Of members with one key the last one counts, in every parser.
        let last = members.iter().rposition(|member| member.is(USER));
        let mut out = String::with_capacity(state.len() + self.members.len() + 12);
        out.push('{');
        let mut write = |key: &str, value: &str| {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(key);
            out.push(':');
            out.push_str(value);
        };
        for (at, member) in members.iter().enumerate() {
            if Some(at) == last {
                write("\"user\"", &self.user(member.value));
            } else if !member.is(USER) {
                write(member.key, member.value);
            }
        }
        if last.is_none() {
            write("\"user\"", &self.user("{}"));
        }
        out.push('}');
        out
    }

    /// What the client says of its user, but for who it is.
    fn user(&self, said: &str) -> String {
        let mut out = String::with_capacity(said.len() + self.members.len() + 2);
        out.push('{');
        for member in members(said).unwrap_or_default() {
            let stamped = member.is("name") || member.is("id") || self.has_color && member.is("color");
            if !stamped {
                out.push_str(member.key);
                out.push(':');
                out.push_str(member.value);
                out.push(',');
            }
        }
        out.push_str(&self.members);
        out.push('}');
        out
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A member of an object as it is written, without the space around key and value.
struct Member<'a> {
    /// With its quotes.
    key: &'a str,
    value: &'a str,
}

impl Member<'_> {
    /// Whether its key means this, however it is written.
    fn is(&self, key: &str) -> bool {
        let bare = self.key.trim_matches('"');
        // Half a surrogate pair does not decode, and is in no key that is asked for.
        bare == key
            || bare.contains('\\') && serde_json::from_str(self.key).is_ok_and(|read: String| read == key)
    }
}

/// The members of an object; `None` for every other value. `json` is JSON.
fn members(json: &str) -> Option<Vec<Member<'_>>> {
    let mut scan = Scan { json, at: 0 };
    scan.pass(b'{')?;
    let mut members = Vec::new();
    loop {
        match scan.next()? {
            b'}' => return Some(members),
            b',' => scan.at += 1,
            _ => {
                let key = scan.value()?;
                scan.pass(b':')?;
                members.push(Member { key, value: scan.value()? });
            }
        }
    }
}

/// A place in JSON that is known to be well formed.
struct Scan<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// The next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        let rest = self.json.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.json.as_bytes().get(self.at).copied()
    }

    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// Passes over a value, or a key.
    fn value(&mut self) -> Option<&'a str> {
        self.next()?;
        let from = self.at;
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        for byte in self.json.as_bytes().get(from..)? {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b',' | b':' | b'}' | b']' if depth == 0 => break,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        self.json.get(from..self.at).map(str::trim_ascii_end)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::caller::Role;
    use crate::gate::PresenceEntry;

    fn stamp(user: Option<&str>, name: Option<&str>, color: Option<&str>) -> Stamp {
        let caller = Caller {
            user: user.map(Into::into),
            name: name.map(Into::into),
            color: color.map(Into::into),
            ..Caller::anonymous(Role::Viewer)
        };
        Stamp::of(&caller).unwrap()
    }

    fn vera() -> Stamp {
        stamp(Some("vera"), Some("Vera \"V\" \u{1f600}"), Some("#00ff00"))
    }

    /// [R42] Whatever a client says of who it is, in whichever way it is written, the token's words stand in
    /// its place, once.
    #[test]
    fn nobody_appears_under_another_name() {
        let name = "Vera \"V\" \u{1f600}";
        let user = json!({"name": name, "color": "#00ff00", "id": "vera"});
        for state in [
            "{}",
            r#"{"user":{"name":"Alice ADMIN"}}"#,
            r#"{"user":{"name":"Alice ADMIN","id":"alice","color":"red","name":"Alice"}}"#,
            r#"{"user":{"name":"a"},"user":{"name":"Alice ADMIN"}}"#,
            r#"{"\u0075ser":{"n\u0061me":"Alice ADMIN"}}"#,
            r#"{"user":{"name":"a"},"us\u0065r":{"\u0069d":"alice"}}"#,
            " {\t\"user\" :\n {\"name\" : \"Alice ADMIN\" } } ",
            r#"{"user":"Alice ADMIN"}"#,
            r#"{"user":null}"#,
            r#"{"user":["Alice ADMIN"]}"#,
        ] {
            let stamped = vera().on(state);
            assert_eq!(stamped.matches("\"user\"").count(), 1, "{stamped}");
            assert_eq!(stamped.matches("\"name\"").count(), 1, "{stamped}");
            let read: Value = serde_json::from_str(&stamped).unwrap();
            assert_eq!(read, json!({ "user": user }), "{state}");
            assert_eq!(vera().on(&stamped), stamped, "a stamp on a stamp changes nothing");
        }
    }

    /// [R42] What says nothing of who somebody is stays as it is written, byte for byte.
    #[test]
    fn all_else_stays_as_it_is_written() {
        let state = r#"{"cursor":{"anchor":1.50,"head":1e2,"user":{"name":"x"}},"big":12345678901234567890123,"user":{"avatar":"\ud83d","name":"x","tags":["},{",":"],"role":"r"},"a":-0.0,"a":"\"user\":"}"#;
        let stamped = stamp(Some("v"), None, None).on(state);
        let expected = r#"{"cursor":{"anchor":1.50,"head":1e2,"user":{"name":"x"}},"big":12345678901234567890123,"user":{"avatar":"\ud83d","tags":["},{",":"],"role":"r","name":"v","id":"v"},"a":-0.0,"a":"\"user\":"}"#;
        assert_eq!(stamped, expected);
        for other in ["[]", "[{\"user\":{\"name\":\"x\"}}]", "\"{}\"", "12", " true "] {
            assert_eq!(vera().on(other), other, "it is no object, so it has no user");
        }
    }

    /// [R42] Without a color in the token the client's own stays; without a name the user id is shown; a
    /// caller without both is not stamped.
    #[test]
    fn what_the_token_does_not_say() {
        let stamped = stamp(Some("u1"), None, None).on(r##"{"user":{"color":"#123456","name":"Alice"}}"##);
        assert_eq!(stamped, r##"{"user":{"color":"#123456","name":"u1","id":"u1"}}"##);
        let stamped = stamp(None, Some("Guest"), None).on(r#"{"user":{"id":"alice"}}"#);
        assert_eq!(stamped, r#"{"user":{"name":"Guest"}}"#);
        assert_eq!(Stamp::of(&Caller::anonymous(Role::Editor)), None);
    }

    /// [R42] Any state that clients can parse they can parse with the stamp: random ones. What is no JSON, cut
    /// anywhere, does no harm.
    #[test]
    fn stamped_states_parse() {
        const MEMBERS: [&str; 12] = [
            r#""user":{"name":"x","id":[1,{"id":2}],"a":"}"}"#,
            r#""user" : null"#,
            r#""\u0075ser":{ }"#,
            r#""user":{"n\u0061me":{"name":"x"}, "name" :"y" ,"k":-1.0E+2}"#,
            r#""":"""#,
            r#""\"user\"":{"user":{"name":"x"}}"#,
            r#""\\":"\\""#,
            r#""a":[{"user":{}},"]",["}"]]"#,
            "\"b\"\n:\t1e300",
            r#""c":"\ud83d""#,
            r#""__proto__":{"user":{"name":"x"}}"#,
            r#""d":true"#,
        ];
        let mut seed = 7_u64;
        println!("seed {seed}");
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let members: Vec<&str> = (0..random(6)).map(|_| MEMBERS[random(MEMBERS.len())]).collect();
            let text = format!("{{{}}}", members.join([",", " , ", ",\n"][random(3)]));
            let stamped = vera().on(&text);
            let entry = PresenceEntry { client: 1, clock: 1, state: Some(&stamped) };
            entry.check_state().unwrap_or_else(|error| panic!("{error}: {text}: {stamped}"));
            let said = members.iter().filter(|member| !member.contains("ser\"")).map(|member| member.trim());
            said.for_each(|member| {
                let key = member.split(':').next().unwrap().trim();
                assert!(stamped.contains(key), "{text}: {stamped}");
            });
            assert_eq!(vera().on(&stamped), stamped, "{text}");
            assert!(stamped.contains(r##""color":"#00ff00","id":"vera"}"##), "{stamped}");
            let mut cut = random(text.len());
            while !text.is_char_boundary(cut) {
                cut -= 1;
            }
            let _ = vera().on(&text[..cut]);
        }
    }
}
