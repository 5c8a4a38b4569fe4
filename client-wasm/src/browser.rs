//! The client for JavaScript: `npm/src/core.d.ts` has its types. Values pass as JSON text, which the browser parses faster
//! than it makes objects field by field; bytes pass as bytes.

use std::sync::Arc;

use bytes::Bytes;
use js_sys::{Array, Error, JSON, Object, Reflect, Uint8Array};
use ruang::board::live::Change;
use ruang::ids::ClientId;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use wasm_bindgen::prelude::*;

use crate::client;
use crate::fields::Fields;
use crate::output::{ClientError, Output, Said};

/// One client of one room.
#[wasm_bindgen]
pub struct Client {
    client: client::Client,
}

/// An output but for its bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rest<'a> {
    #[serde(skip_serializing_if = "Change::is_empty")]
    change: &'a Change,
    #[serde(skip_serializing_if = "States::is_empty")]
    presence: States<'a>,
    said: &'a [Said],
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<&'a str>,
    unsaved: usize,
    can_undo: bool,
    can_redo: bool,
}

/// States as they came, which are JSON.
struct States<'a>(Vec<(ClientId, Option<&'a RawValue>)>);

impl States<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for States<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, state)| (id, state)))
    }
}

#[wasm_bindgen]
impl Client {
    /// See `npm/src/core.d.ts`; so for all of these.
    ///
    /// # Errors
    /// A JavaScript `Error` with a `code`; so for all of these.
    #[wasm_bindgen(constructor)]
    pub fn new(options: &JsValue) -> Result<Self, JsValue> {
        let client = client::Client::new(value_of(options)?).map_err(|error| thrown(&error))?;
        Ok(Self { client })
    }

    /// Takes in a copy from the local store, before `open`.
    pub fn load(&mut self, update: &[u8], unsaved: usize) -> Result<Object, JsValue> {
        given(self.client.load(update, unsaved))
    }

    /// Takes in an update of another tab or of the app's own document.
    pub fn merge(&mut self, update: &[u8], send: bool) -> Result<Object, JsValue> {
        given(self.client.merge(update, send))
    }

    /// The whole document as an update V1.
    pub fn encode(&self) -> Result<Vec<u8>, JsValue> {
        self.client.copy().encode().map_err(|error| thrown(&error.into()))
    }

    /// What somebody with this encoded state vector lacks.
    #[wasm_bindgen(js_name = encodeSince)]
    pub fn encode_since(&self, state_vector: &[u8]) -> Result<Vec<u8>, JsValue> {
        self.client.copy().encode_since(state_vector).map_err(|error| thrown(&error.into()))
    }

    /// The encoded state vector.
    #[wasm_bindgen(js_name = stateVector)]
    #[must_use]
    pub fn state_vector(&self) -> Vec<u8> {
        self.client.copy().state_vector()
    }

    /// A socket has opened.
    pub fn open(&mut self) -> Result<Object, JsValue> {
        given(Ok(self.client.open()))
    }

    /// A message has come.
    pub fn receive(&mut self, frame: Vec<u8>) -> Result<Object, JsValue> {
        given(Ok(self.client.receive(Bytes::from(frame))))
    }

    /// The socket is gone.
    pub fn closed(&mut self) -> Result<Object, JsValue> {
        given(Ok(self.client.closed()))
    }

    /// Makes an edit.
    pub fn edit(&mut self, edit: &JsValue, now_ms: f64) -> Result<Object, JsValue> {
        let edit = value_of::<Fields>(edit)?.edit().map_err(argument)?;
        given(self.client.edit(&edit, now_ms as u64))
    }

    /// Begins the board with a template.
    pub fn seed(&mut self, template: &str) -> Result<Object, JsValue> {
        given(self.client.seed(template))
    }

    /// Takes the newest of this client's own edits back.
    pub fn undo(&mut self) -> Result<Object, JsValue> {
        given(self.client.undo())
    }

    /// Makes again what was taken back last.
    pub fn redo(&mut self) -> Result<Object, JsValue> {
        given(self.client.redo())
    }

    /// Shows this state to the others.
    #[wasm_bindgen(js_name = setPresence)]
    pub fn set_presence(&mut self, state: &JsValue) -> Result<Object, JsValue> {
        let is_none = state.is_null() || state.is_undefined();
        let json = if is_none { None } else { Some(json_of(state)?) };
        given(self.client.set_presence(json.as_deref()))
    }

    /// Says again what this client shows.
    #[wasm_bindgen(js_name = renewPresence)]
    pub fn renew_presence(&mut self) -> Result<Object, JsValue> {
        given(Ok(self.client.renew_presence()))
    }

    /// Everyone's states by presence id.
    pub fn presence(&self) -> Result<JsValue, JsValue> {
        parsed(&states(self.client.presence().states().map(|(id, state)| (id, Some(state)))))
    }

    /// Another token.
    #[wasm_bindgen(js_name = setWho)]
    pub fn set_who(&mut self, who: &JsValue) -> Result<(), JsValue> {
        self.client.set_who(value_of(who)?).map_err(|error| thrown(&error))
    }

    /// The board as a whole.
    pub fn state(&self) -> Result<JsValue, JsValue> {
        parsed(self.client.state())
    }

    /// How this client stands.
    pub fn status(&self) -> Result<JsValue, JsValue> {
        parsed(&self.client.status())
    }
}

fn given(output: Result<Output, ClientError>) -> Result<Object, JsValue> {
    let output = output.map_err(|error| thrown(&error))?;
    let rest = Rest {
        change: &output.change,
        presence: states(output.presence.iter().map(|(id, state)| (*id, state.as_ref()))),
        said: &output.said,
        close: output.close.as_deref(),
        unsaved: output.unsaved,
        can_undo: output.can_undo,
        can_redo: output.can_redo,
    };
    let object = Object::from(parsed(&rest)?);
    let frames = output.frames.iter().map(|frame| Uint8Array::from(&frame[..]));
    Reflect::set(&object, &"frames".into(), &frames.collect::<Array>())?;
    let updates = output.updates.iter().map(|update| Uint8Array::from(&update[..]));
    Reflect::set(&object, &"updates".into(), &updates.collect::<Array>())?;
    Ok(object)
}

fn states<'a>(all: impl Iterator<Item = (ClientId, Option<&'a Arc<str>>)>) -> States<'a> {
    // They were found to be JSON when they came.
    States(all.map(|(id, state)| (id, state.and_then(|state| serde_json::from_str(state).ok()))).collect())
}

/// A value as JavaScript has it.
fn parsed(value: &impl Serialize) -> Result<JsValue, JsValue> {
    let json = serde_json::to_string(value).map_err(|error| argument(error.to_string()))?;
    JSON::parse(&json)
}

fn json_of(value: &JsValue) -> Result<String, JsValue> {
    // A function, say, has no form in JSON: then what comes back is no text.
    let json = JSON::stringify(value)?;
    json.as_string().ok_or_else(|| argument("the value has no form in JSON".to_owned()))
}

/// A value that JavaScript gave.
fn value_of<T: DeserializeOwned>(value: &JsValue) -> Result<T, JsValue> {
    serde_json::from_str(&json_of(value)?).map_err(|error| argument(error.to_string()))
}

fn argument(why: String) -> JsValue {
    thrown(&ClientError::Argument(why))
}

fn thrown(error: &ClientError) -> JsValue {
    let thrown = Error::new(&error.to_string());
    thrown.set_name("RuangCoreError");
    // Setting a property of an error that was just made does not fail.
    drop(Reflect::set(&thrown, &"code".into(), &error.code().into()));
    thrown.into()
}
