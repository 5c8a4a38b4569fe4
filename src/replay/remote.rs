//! The log of a running server, over its admin socket: what a verb uses while the server holds the store.
//!
//! HTTP/1.1, one connection for each call. Only what the verbs need is offered; the rest is refused.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::part;
use super::portable::{
    AdoptedForm, AdoptionForm, AppendedForm, BatchForm, ErrorForm, HeadForm, RoomsForm, TombstoneForm,
    TrimForm, path_segment, upload_text,
};
use crate::admin;
use crate::ids::RoomName;
use crate::limits::{ADMIN_ANSWER_BYTES_MAX, ADMIN_CALL_MS_MAX};
use crate::log::record::StoredRecord;
use crate::log::{Adopted, Adoption, Appended, Batch, Durability, Head, Log, LogError, Tombstone, UploadId};

/// See the module.
pub struct RemoteLog {
    dir: PathBuf,
}

/// What a call came back with.
enum Answer {
    Found(Bytes),
    Absent,
}

impl RemoteLog {
    /// Finds the server that holds the store in `dir`.
    ///
    /// # Errors
    /// What the system says of the socket.
    pub async fn connect(dir: &Path) -> io::Result<Self> {
        admin::connect(dir).await?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    async fn get(&self, path: String) -> Result<Answer, LogError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// One call. What is not answered may have happened: [`LogError::Unknown`].
    async fn call(&self, method: Method, path: String, body: Bytes) -> Result<Answer, LogError> {
        let stream = admin::connect(&self.dir).await.map_err(|error| {
            LogError::Unavailable(format!("the server that holds {} is gone: {error}", self.dir.display()))
        })?;
        match timeout(Duration::from_millis(ADMIN_CALL_MS_MAX), exchange(stream, method, path, body)).await {
            Ok(answered) => answered,
            Err(_) => Err(LogError::Unknown("the server takes too long".to_owned())),
        }
    }
}

async fn exchange(stream: UnixStream, method: Method, path: String, body: Bytes) -> Result<Answer, LogError> {
    let broken = |error: &dyn std::fmt::Display| LogError::Unknown(format!("the server hung up: {error}"));
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(&path)
        .header(hyper::header::HOST, "admin.sock")
        .body(Full::new(body))
        .map_err(|error| LogError::Fatal(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ADMIN_ANSWER_BYTES_MAX).collect().await;
    drop(sender);
    let _ = connection.await;
    let body = body.map_err(|error| broken(&error))?.to_bytes();
    if status.is_success() {
        return Ok(Answer::Found(body));
    }
    let form: ErrorForm = serde_json::from_slice(&body)
        .map_err(|_| LogError::Fatal(format!("the server answers {path} with {status}")))?;
    if status == StatusCode::NOT_FOUND && form.kind == "absent" {
        return Ok(Answer::Absent);
    }
    Err(form.into_log_error())
}

impl Answer {
    fn found(self) -> Option<Bytes> {
        match self {
            Self::Found(body) => Some(body),
            Self::Absent => None,
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, LogError> {
    serde_json::from_slice(body).map_err(|error| strange(&error))
}

/// Our own forms are strings, numbers and lists of them.
fn form<T: serde::Serialize>(form: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(form).expect("a form has no map with keys that are no strings"))
}

fn strange(error: &dyn std::fmt::Display) -> LogError {
    LogError::Fatal(format!("the server's answer is not understood: {error}"))
}

fn room_path(room: &RoomName) -> String {
    format!("/v1/rooms/{}", path_segment(room))
}

#[async_trait]
impl Log for RemoteLog {
    async fn append(&self, room: &RoomName, batch: Batch) -> Result<Appended, LogError> {
        let path = format!("{}/batches", room_path(room));
        let answer = self.call(Method::POST, path, BatchForm::write(&batch)).await?;
        let body = answer.found().ok_or_else(|| strange(&"absent"))?;
        json::<AppendedForm>(&body)?.appended(&batch.genesis).ok_or_else(|| strange(&"an id is none"))
    }

    async fn open(&self, room: &RoomName) -> Result<Option<Head>, LogError> {
        let Some(body) = self.get(room_path(room)).await?.found() else { return Ok(None) };
        json::<HeadForm>(&body)?.head().map(Some).ok_or_else(|| strange(&"an id is none"))
    }

    async fn read(
        &self,
        room: &RoomName,
        after: u64,
        count_max: usize,
    ) -> Result<Vec<StoredRecord>, LogError> {
        let path = format!("{}/records?after={after}&count={count_max}", room_path(room));
        let body = self.get(path).await?.found().unwrap_or_default();
        let parts = part::split(&body).map_err(|error| strange(&error))?;
        let records = parts.iter().map(|(kind, body)| part::decode_record(*kind, body));
        records.collect::<Result<_, _>>().map_err(|error| LogError::Fatal(error.to_string()))
    }

    async fn rooms(&self, after: Option<&RoomName>, count_max: usize) -> Result<Vec<RoomName>, LogError> {
        let after = after.map(|after| format!("after={}&", path_segment(after))).unwrap_or_default();
        let body = self.get(format!("/v1/rooms?{after}count={count_max}")).await?.found().unwrap_or_default();
        let rooms = json::<RoomsForm>(&body)?.rooms;
        rooms.iter().map(|room| RoomName::parse(room).map_err(|error| strange(&error))).collect()
    }

    async fn put_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: Bytes,
    ) -> Result<(), LogError> {
        let path = format!("{}/chunks/{}/{index}", room_path(room), upload_text(upload));
        self.call(Method::PUT, path, bytes).await.map(drop)
    }

    async fn chunk(&self, room: &RoomName, upload: UploadId, index: u32) -> Result<Option<Bytes>, LogError> {
        let path = format!("{}/chunks/{}/{index}", room_path(room), upload_text(upload));
        Ok(self.get(path).await?.found())
    }

    async fn adopt(&self, room: &RoomName, adoption: Adoption) -> Result<Adopted, LogError> {
        let path = format!("{}/snapshots", room_path(room));
        let answer = self.call(Method::POST, path, form(&AdoptionForm::from(&adoption))).await?;
        Ok(json::<AdoptedForm>(&answer.found().unwrap_or_default())?.into())
    }

    async fn trim(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        let path = format!("{}/trim", room_path(room));
        let answer = self.call(Method::POST, path, form(&TrimForm { through })).await?;
        Ok(json::<TrimForm>(&answer.found().unwrap_or_default())?.through)
    }

    async fn touch(&self, _: &RoomName, _: Option<u64>) -> Result<(), LogError> {
        Err(not_offered())
    }

    async fn freeze(&self, room: &RoomName, frozen: bool) -> Result<bool, LogError> {
        let path = format!("{}/{}", room_path(room), if frozen { "freeze" } else { "thaw" });
        Ok(self.call(Method::POST, path, Bytes::new()).await?.found().is_some())
    }

    async fn expire(&self, _: &RoomName, _: u64) -> Result<bool, LogError> {
        Err(not_offered())
    }

    async fn delete(&self, _: &RoomName) -> Result<bool, LogError> {
        Err(not_offered())
    }

    async fn tombstone(&self, room: &RoomName) -> Result<Option<Tombstone>, LogError> {
        let path = format!("{}/tombstone", room_path(room));
        let Some(body) = self.get(path).await?.found() else { return Ok(None) };
        Ok(Some(Tombstone { deleted_ms: json::<TombstoneForm>(&body)?.deleted_ms }))
    }

    /// An embedded store is behind every admin socket.
    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    async fn health(&self) -> Result<(), LogError> {
        self.get("/v1/rooms?count=1".to_owned()).await.map(drop)
    }

    /// The log is the server's.
    async fn close(&self) {}
}

fn not_offered() -> LogError {
    LogError::Fatal("this cannot be done while a server holds the store".to_owned())
}
