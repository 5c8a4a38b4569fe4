//! Snapshots: pieces on their way in, adoption, trims.

use bytes::Bytes;
use redis::{Value, cmd, pipe};

use super::connect::{Lane, Route};
use super::errors::{Called, log_error};
use super::keys::Keys;
use super::meta::{FIELDS, Meta, snapshots_text, upload_text};
use super::reply::{bytes, text};
use super::{RedisLog, script};
use crate::ids::{Position, RoomName};
use crate::limits::{REDIS_TRIES_MAX, REDIS_UPLOADS_MAX, UPLOAD_MS_MAX};
use crate::log::check::{
    Uploaded, adopted_before, check_adoption, check_chunk, is_upload_gone, kept_snapshots,
};
use crate::log::{Adopted, Adoption, LogError, SnapshotRef, UploadId};

/// The fields of an upload beside its chunks: who writes it, when the last chunk came, for which epoch, how many chunks,
/// one more than the highest number, bytes.
const UPLOAD_FIELDS: [&str; 6] = ["p", "t", "e", "n", "z", "b"];

impl RedisLog {
    pub(super) async fn store_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
        bytes: &Bytes,
    ) -> Result<(), LogError> {
        check_chunk(index, bytes)?;
        let keys = Keys::of(room);
        let (clock, id, index) = (self.clock_arg(), upload_text(upload), index.to_string());
        let (stay, most) = (UPLOAD_MS_MAX.to_string(), REDIS_UPLOADS_MAX.to_string());
        let texts = [&clock, keys.prefix(), &id, &index, &self.process, &stay, &most];
        let mut args: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        args.push(bytes);
        let keys = [keys.meta(), keys.snapshot(0, upload)];
        let reply = script::PUT_CHUNK.run(&self.connect, &keys, &args).await?;
        match reply.word.as_str() {
            "stored" => Ok(()),
            "adopted" => Err(LogError::Fatal("the snapshot is adopted, and cannot be changed".to_owned())),
            "many" => {
                Err(LogError::Unavailable(format!("the room has {REDIS_UPLOADS_MAX} uploads under way")))
            }
            _ => Err(reply.refusal()),
        }
    }

    pub(super) async fn stored_chunk(
        &self,
        room: &RoomName,
        upload: UploadId,
        index: u32,
    ) -> Result<Option<Bytes>, LogError> {
        let keys = Keys::of(room);
        let Some(meta) = self.meta(room, &keys).await? else { return Ok(None) };
        let adopted = meta.head.snapshots.iter().find(|snapshot| snapshot.upload == upload);
        let key = keys.snapshot(adopted.map_or(0, |snapshot| snapshot.revision), upload);
        let mut command = cmd("HMGET");
        command.arg(&key).arg(&UPLOAD_FIELDS[..]).arg(index);
        let called = Called { what: "HMGET", key: &key, writes: false };
        let answer = self.connect.call(Lane::Bulk, Route::Key(&key), &command).await;
        let Value::Array(mut values) = answer.map_err(|error| log_error(called, error))? else {
            return Ok(None);
        };
        let chunk = values.pop().and_then(bytes);
        if adopted.is_none() && self.upload_of(&meta, &values).is_none() {
            return Ok(None);
        }
        Ok(chunk)
    }

    /// What an upload has so far, from the answer to `HMGET` of [`UPLOAD_FIELDS`]; `None` if it is not there, gone, of
    /// another process or of another life.
    fn upload_of(&self, meta: &Meta, values: &[Value]) -> Option<Uploaded> {
        let fields: Vec<String> = values.iter().map(text).collect::<Option<_>>()?;
        let [process, touched_ms, epoch, chunks, end, bytes] = fields.try_into().ok()?;
        if process != self.process || epoch != meta.epoch {
            return None;
        }
        // With its own clock, Redis lets go of it itself.
        if let Some(clock) = &self.options.clock
            && is_upload_gone(touched_ms.parse().ok()?, clock())
        {
            return None;
        }
        Some(Uploaded { chunks: chunks.parse().ok()?, end: end.parse().ok()?, bytes: bytes.parse().ok()? })
    }

    pub(super) async fn adopt_upload(
        &self,
        room: &RoomName,
        adoption: &Adoption,
    ) -> Result<Adopted, LogError> {
        let keys = Keys::of(room);
        for _ in 0..REDIS_TRIES_MAX {
            let (meta, uploaded) = self.look_at_upload(&keys, adoption.upload).await?;
            let meta = meta.ok_or_else(|| LogError::Moved("it does not exist".to_owned()))?;
            if let Some(answer) = adopted_before(adoption, &meta.head.snapshots) {
                return Ok(answer);
            }
            if adoption.revision != meta.head.revision {
                self.forget_upload(&keys, adoption.upload).await?;
                return Ok(Adopted::Lost(meta.head.revision));
            }
            // Whether its record stands is for the script to see.
            check_adoption(adoption, &meta.head, uploaded, Some(adoption.through))?;
            if let Some(adopted) = self.publish(&keys, &meta, adoption).await? {
                return Ok(adopted);
            }
        }
        Err(LogError::Unavailable("the room changes too fast for a snapshot".to_owned()))
    }

    async fn look_at_upload(
        &self,
        keys: &Keys,
        upload: UploadId,
    ) -> Result<(Option<Meta>, Option<Uploaded>), LogError> {
        let (meta_key, upload_key) = (keys.meta(), keys.snapshot(0, upload));
        let mut both = pipe();
        both.cmd("HMGET").arg(&meta_key).arg(&FIELDS[..]);
        both.cmd("HMGET").arg(&upload_key).arg(&UPLOAD_FIELDS[..]);
        let called = Called { what: "HMGET", key: &meta_key, writes: false };
        let answer = self.connect.call_all(Lane::Write, Route::Key(&meta_key), &both).await;
        let mut answer = answer.map_err(|error| log_error(called, error))?;
        let fields = answer.pop().unwrap_or_default();
        let meta = Meta::of(&meta_key, answer.pop().unwrap_or_default())?;
        let uploaded = match (&meta, fields) {
            (Some(meta), Value::Array(values)) => self.upload_of(meta, &values),
            _ => None,
        };
        Ok((meta, uploaded))
    }

    /// `None`: something has changed since `meta` was read.
    async fn publish(
        &self,
        keys: &Keys,
        meta: &Meta,
        adoption: &Adoption,
    ) -> Result<Option<Adopted>, LogError> {
        let Adoption { upload, through, log_bytes, chunks, bytes, .. } = *adoption;
        let revision = meta.head.revision + 1;
        let mut kept = kept_snapshots(&meta.head, &adoption.drop);
        let gone = meta.head.snapshots.iter().filter(|before| !kept.contains(before));
        let mut names =
            vec![keys.log(), keys.meta(), keys.snapshot(0, upload), keys.snapshot(revision, upload)];
        names.extend(gone.map(|gone| keys.snapshot(gone.revision, gone.upload)));
        kept.push(SnapshotRef { revision, upload, through, log_bytes, chunks, bytes });
        let args = [
            meta.epoch.clone(),
            meta.head.revision.to_string(),
            meta.snapshots.clone(),
            snapshots_text(&kept),
            upload_text(upload),
            chunks.to_string(),
            bytes.to_string(),
            through.to_string(),
            through.seq.to_string(),
            revision.to_string(),
        ];
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let reply = script::ADOPT.run(&self.connect, &names, &args).await?;
        match reply.word.as_str() {
            "adopted" => Ok(Some(Adopted::Done(revision))),
            "changed" => Ok(None),
            "nothrough" => Err(LogError::Moved(format!(
                "a snapshot through {through}, where the log has no such record"
            ))),
            _ => Err(reply.refusal()),
        }
    }

    async fn forget_upload(&self, keys: &Keys, upload: UploadId) -> Result<(), LogError> {
        let names = [keys.meta(), keys.snapshot(0, upload)];
        script::FORGET.run(&self.connect, &names, &[upload_text(upload).as_bytes()]).await.map(drop)
    }

    pub(super) async fn trim_records(&self, room: &RoomName, through: u64) -> Result<u64, LogError> {
        let keys = Keys::of(room);
        for _ in 0..REDIS_TRIES_MAX {
            let Some(meta) = self.meta(room, &keys).await? else { return Ok(0) };
            let base = meta.head.base;
            let covered = meta.head.snapshots.first().map_or(0, |oldest| oldest.through.seq);
            let through = through.min(covered);
            if through <= base {
                return Ok(base);
            }
            let Some(place) = self.find_place(room, &keys, &meta, through).await? else {
                let log = keys.log();
                tracing::warn!(
                    log,
                    through,
                    "nothing is trimmed: the last record to go is not in the stream"
                );
                return Ok(base);
            };
            if let Some(base) = self.trim_through(room, &keys, &meta, place).await? {
                return Ok(base);
            }
        }
        Err(LogError::Unavailable("the room changes too fast to be trimmed".to_owned()))
    }

    /// The place of a record: by search, or by reading up to it.
    async fn find_place(
        &self,
        room: &RoomName,
        keys: &Keys,
        meta: &Meta,
        seq: u64,
    ) -> Result<Option<Position>, LogError> {
        if let Some(place) = self.locate(room, keys, meta, seq).await? {
            return Ok(Some(place));
        }
        let read = self.read_records(room, seq - 1, 1).await?;
        Ok(read.first().map(crate::log::record::StoredRecord::position).filter(|place| place.seq == seq))
    }

    /// `None`: something has changed since `meta` was read, or the place was a wrong one.
    async fn trim_through(
        &self,
        room: &RoomName,
        keys: &Keys,
        meta: &Meta,
        place: Position,
    ) -> Result<Option<u64>, LogError> {
        let (seq, ms) = (place.seq.to_string(), place.ms.to_string());
        let names = [keys.log(), keys.meta()];
        let args = [meta.epoch.as_bytes(), seq.as_bytes(), ms.as_bytes()];
        let reply = script::TRIM.run(&self.connect, &names, &args).await?;
        match reply.word.as_str() {
            "trimmed" => Ok(Some(reply.number(1)?)),
            "changed" => Ok(None),
            "lost" => {
                self.places.forget(room);
                tracing::warn!(log = keys.log(), through = %place, "nothing is trimmed: the stream is not as it should be there");
                Ok(Some(meta.head.base))
            }
            _ => Err(reply.refusal()),
        }
    }
}
