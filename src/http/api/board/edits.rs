//! Typed edits of a board, one or many as one record; and the beginning of a board from a template.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map as Object, Value};
use yrs::{Map, ReadTxn, Transact};

use super::show::of_document;
use crate::board::edit::{Author, Edit, make};
use crate::board::rules::{Who, may_on};
use crate::board::schema::{META, is_line};
use crate::board::seed::{Template, template};
use crate::caller::Role;
use crate::document::Document;
use crate::edit::{self, CopyError};
use crate::gate::Source;
use crate::http::App;
use crate::http::api::ApiError;
use crate::http::api::answer::JSON;
use crate::http::api::request::{Asked, in_time};
use crate::http::api::write::{self, Behind};
use crate::ids::Position;
use crate::kind::RoomKind;
use crate::limits::{API_MS_MAX, BOARD_BEGIN_BYTES_MAX, EDIT_BYTES_MAX, EDIT_OPERATIONS_MAX};

/// Who has made an edit that comes without an identity and without a name.
const NOBODY: &str = "anonymous";

/// What is asked: one edit, a list of them, or a list with what holds for it.
#[derive(Debug, Default)]
struct Request {
    /// The position that the board must be at, as it is printed.
    at: Option<String>,
    /// Under which name somebody without an identity edits.
    user: Option<String>,
    edits: Vec<Edit>,
}

/// `POST …/edits`: all of them as one record, or none.
pub(in crate::http::api) async fn edit(
    State(app): State<Arc<App>>,
    asked: Asked,
    body: Body,
) -> Result<Response, ApiError> {
    asked.needs(Role::Editor)?;
    let body = asked.body(&app, body, (JSON, EDIT_BYTES_MAX)).await?;
    let Request { at, user, edits } = parse(&body)?;
    let at = asked.expects(at.as_deref())?;
    let is_board = super::kind(&app, &asked).await? == RoomKind::Board;
    let caller = Arc::clone(&asked.caller);
    let user = author(&asked, user)?;
    let now_ms = app.rooms.now().wall_ms;
    let behind = at.map_or(Behind::Anything, Behind::Exactly);
    let made = write::on_copy(&app, &asked, (behind, Source::Update), move |full, client, late| {
        let author = Author { user: &user, now_ms };
        let made = edit::on_copy(full, client, |transaction| {
            for (index, edit) in edits.iter().enumerate() {
                if tokio::time::Instant::now() >= late {
                    return Err(ApiError::Edit(edit::EditError::TooLong));
                }
                // The gate would refuse it as well, but cannot say which of them.
                if is_board {
                    let who = Who { role: caller.role, user: caller.user.as_deref(), only_shape: false };
                    may_on(edit, &who, &*transaction)
                        .map_err(|reason| ApiError::BoardRule { index, reason })?;
                }
                make(transaction, edit, author)
                    .map_err(|why| ApiError::BoardEdit { index, why: why.to_string() })?;
            }
            Ok(())
        });
        made.map_err(unmade)
    });
    Ok(made.await?.answer())
}

/// Why nothing was made on a copy.
pub(super) fn unmade(error: CopyError<ApiError>) -> ApiError {
    match error {
        CopyError::Copy(error) => ApiError::Edit(edit::EditError::Copy(error)),
        CopyError::Engine => ApiError::Edit(edit::EditError::Engine),
        CopyError::Refused(error) => error,
    }
}

/// Who makes edits: the caller, or, where there is no identity, whoever the request names.
fn author(asked: &Asked, named: Option<String>) -> Result<String, ApiError> {
    match (&asked.caller.user, named) {
        (Some(user), None) => Ok(user.to_string()),
        (Some(user), Some(named)) if **user == *named => Ok(named),
        (Some(_), Some(_)) => Err(ApiError::OthersName),
        (None, Some(named)) if named.is_empty() || !is_line(&named) => {
            Err(ApiError::BadJson("`user` is a name of one line, not empty".to_owned()))
        }
        (None, named) => Ok(named.unwrap_or_else(|| NOBODY.to_owned())),
    }
}

fn parse(body: &[u8]) -> Result<Request, ApiError> {
    let bad = |why: &str| ApiError::BadJson(why.to_owned());
    let value: Value = serde_json::from_slice(body).map_err(|error| ApiError::BadJson(error.to_string()))?;
    let mut request = Request::default();
    let list = match value {
        Value::Array(list) => list,
        Value::Object(mut entries) if entries.contains_key("edits") => {
            let Some(Value::Array(list)) = entries.remove("edits") else {
                return Err(bad("`edits` is a list of edits"));
            };
            request.at = text(&mut entries, "if")?;
            request.user = text(&mut entries, "user")?;
            if let Some(key) = entries.keys().next() {
                return Err(ApiError::BadJson(format!(
                    "beside `edits` there are `if` and `user`, not {key:?}"
                )));
            }
            list
        }
        edit @ Value::Object(_) => vec![edit],
        _ => return Err(bad("this is an edit, a list of edits, or an object with `edits`")),
    };
    if list.is_empty() || list.len() > EDIT_OPERATIONS_MAX {
        return Err(ApiError::BadJson(format!(
            "there are 1 to {EDIT_OPERATIONS_MAX} edits, not {}",
            list.len()
        )));
    }
    for (index, edit) in list.into_iter().enumerate() {
        let edit = serde_json::from_value(edit)
            .map_err(|error| ApiError::BoardEdit { index, why: error.to_string() })?;
        request.edits.push(edit);
    }
    Ok(request)
}

fn text(entries: &mut Object<String, Value>, key: &str) -> Result<Option<String>, ApiError> {
    match entries.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ApiError::BadJson(format!("`{key}` is a string"))),
    }
}

/// What a board begins with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Begins {
    template: String,
    #[serde(default, rename = "if")]
    at: Option<String>,
}

/// `PUT …/board`: a board with the columns of a template. The same bytes each time, so it can be asked for twice; not for
/// a board that has others.
pub(in crate::http::api) async fn begin(
    State(app): State<Arc<App>>,
    asked: Asked,
    body: Body,
) -> Result<Response, ApiError> {
    asked.needs(Role::Editor)?;
    let body = asked.body(&app, body, (JSON, BOARD_BEGIN_BYTES_MAX)).await?;
    let begins: Begins =
        serde_json::from_slice(&body).map_err(|error| ApiError::BadJson(error.to_string()))?;
    let template = template(&begins.template).ok_or(ApiError::NoTemplate(begins.template))?;
    let at = asked.expects(begins.at.as_deref())?;
    let late = tokio::time::Instant::now() + std::time::Duration::from_millis(API_MS_MAX);
    let looked = of_document(
        &app,
        (&asked.room, asked.address),
        |_| None,
        move |position, document: &Document, _| (position, has_begun_otherwise(document, template)),
    );
    let now = match in_time(looked).await {
        Ok((_, true)) => return Err(ApiError::Begun),
        Ok((position, false)) => position,
        Err(ApiError::NoRoom) => Position::START,
        Err(error) => return Err(error),
    };
    if at.is_some_and(|at| at != now) {
        return Err(ApiError::Moved(now));
    }
    let update = (template.update().into(), Source::Update);
    let written = write::write(&app, &asked, update, at, late).await;
    write::answer(write::known(&app, &asked, written).await?)
}

/// Whether `meta` has something that a template sets, and not from this one.
fn has_begun_otherwise(document: &Document, template: &Template) -> bool {
    let transaction = document.doc().transact();
    let is_seeded = transaction.state_vector().contains_client(&yrs::block::ClientID::new(template.client()));
    let has = |key: &str| transaction.get_map(META).is_some_and(|meta| meta.contains_key(&transaction, key));
    !is_seeded && ["columns", "phase", "voteLimit"].into_iter().any(has)
}
