//! One client in one room: takes the bytes that its socket brings, answers the server, and counts
//! what arrived. `socket` does the reading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::author::{self, Author};
use super::bytes::Malformed;
use super::frame::{self, FrameError, Header, Kind};
use super::memo::{Entry, Found, Sort};
use super::outgoing::Outgoing;
use super::scan::{self, Message};
use super::schedule::Turn;
use super::seen::Seen;
use super::world::{Room, Run, Shard, World};

/// A client. Its task reads, the pacer's thread writes, the run looks at it in the end.
pub(super) struct Client {
    pub(super) room: u32,
    /// Which of the room's writers it is, if one.
    pub(super) writer: Option<u32>,
    pub(super) state: Mutex<State>,
    pub(super) outgoing: Mutex<Outgoing>,
}

/// What a client knows.
pub(super) struct State {
    /// The beginning of a frame of which the rest was not read yet; mostly empty.
    pending: Vec<u8>,
    pub(super) seen: Seen,
    /// When it was due to join.
    pub(super) join_due: Instant,
    /// From due to the first Step2 on this connection.
    pub(super) joined: Option<Duration>,
    /// Messages of this connection that the server has acked (`ruang.v1`).
    pub(super) acked: u64,
    /// Why the connection is over, when it ended by itself.
    pub(super) ended: Option<String>,
}

/// Why a client cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Message(#[from] Malformed),
    #[error("the server closed the connection{0}")]
    Closed(String),
}

impl Client {
    pub(super) fn new(room: u32, writer: Option<u32>, writers: usize) -> Arc<Self> {
        Arc::new(Self {
            room,
            writer,
            state: Mutex::new(State {
                pending: Vec::new(),
                seen: Seen::new(writers),
                join_due: Instant::now(),
                joined: None,
                acked: 0,
                ended: None,
            }),
            outgoing: Mutex::new(Outgoing::default()),
        })
    }

    /// The room's author that this client writes as.
    pub(super) fn author<'a>(&self, world: &'a World) -> Option<&'a Author> {
        self.writer.map(|writer| &world.rooms[self.room as usize].authors[writer as usize])
    }

    /// Forgets the last connection, keeps what was received.
    pub(super) fn before_join(&self, due: Instant) {
        let mut state = self.state.lock();
        state.pending = Vec::new();
        state.join_due = due;
        state.joined = None;
        state.acked = 0;
        state.ended = None;
    }

    /// Writes the blocks up to `to` as one Update message.
    pub(super) fn write(self: &Arc<Self>, world: &World, to: u32) {
        let (Some(writer), Some(author)) = (self.writer, self.author(world)) else { return };
        let room = &world.rooms[self.room as usize];
        let from = room.sent(writer);
        room.set_sent(writer, to);
        let mut outgoing = self.outgoing.lock();
        outgoing.message(to, |out| author.put_update_message(out, from, to));
    }

    /// Takes what one read brought, at `now`.
    pub(super) fn on_bytes(self: &Arc<Self>, world: &World, bytes: &[u8], now: Instant) -> Result<(), Fault> {
        let state = &mut *self.state.lock();
        let shard = &mut *world.shards.mine().lock();
        shard.reads += 1;
        shard.bytes += bytes.len() as u64;
        let mut rest = bytes;
        if !state.pending.is_empty() {
            let Some(after) = complete(&mut state.pending, rest)? else { return Ok(()) };
            rest = after;
            let whole = std::mem::take(&mut state.pending);
            self.take_frames(world, state, shard, &whole, now)?;
        }
        let taken = self.take_frames(world, state, shard, rest, now)?;
        if taken < rest.len() {
            state.pending.extend_from_slice(&rest[taken..]);
        }
        Ok(())
    }

    /// Takes the whole frames at the beginning of `bytes`: how many bytes they were.
    fn take_frames(
        self: &Arc<Self>,
        world: &World,
        state: &mut State,
        shard: &mut Shard,
        bytes: &[u8],
        now: Instant,
    ) -> Result<usize, Fault> {
        let room = &world.rooms[self.room as usize];
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let memo = &mut shard.memos[self.room as usize];
            let found = match memo.find(rest) {
                Some(found) => found,
                None => {
                    let len = parse(room, rest, memo.begin())?;
                    memo.keep(&rest[..len])
                }
            };
            if found.len > 0 {
                self.apply(world, state, shard, found, now);
                at += found.len;
                continue;
            }
            let Some(header) = whole(rest)? else { break };
            self.on_other(world, state, header.kind, &rest[header.head..header.total])?;
            at += header.total;
        }
        Ok(at)
    }

    /// Counts a stretch that was just found or parsed.
    #[inline]
    fn apply(&self, world: &World, state: &mut State, shard: &mut Shard, found: Found, now: Instant) {
        let Shard { memos, latency, join, deliveries, frames, .. } = shard;
        let entry = memos[self.room as usize].entry(found);
        *frames += entry.frames;
        if entry.sort == Sort::Step2 {
            if state.joined.is_none() {
                let took = now.saturating_duration_since(state.join_due);
                state.joined = Some(took);
                join.saturating_record(took.as_micros() as u64);
            }
            for run in self.foreign(&entry.runs) {
                state.seen.take(run.writer, run.from, run.to, true, |_, _| {});
            }
            return;
        }
        let timing = world.timing.get().map(|timing| {
            let now = now.saturating_duration_since(timing.start).as_nanos() as u64;
            (now, timing.warmup.as_nanos() as u64)
        });
        for run in self.foreign(&entry.runs) {
            state.seen.take(run.writer, run.from, run.to, false, |from, to| {
                *deliveries += u64::from(to - from);
                let Some((now_ns, warm_ns)) = timing else { return };
                for clock in from..to {
                    let turn = Turn { room: self.room, writer: run.writer, clock };
                    let due_ns = world.schedule.due_ns(turn);
                    if due_ns >= warm_ns {
                        latency.saturating_record(now_ns.saturating_sub(due_ns) / 1_000);
                    }
                }
            });
        }
    }

    /// The runs that somebody else wrote: an echo of one's own is no delivery.
    fn foreign<'a>(&self, runs: &'a [Run]) -> impl Iterator<Item = &'a Run> + use<'a> {
        let own = self.writer;
        runs.iter().filter(move |run| Some(run.writer) != own)
    }

    /// Takes a frame that is neither an Update nor a Step2.
    fn on_other(
        self: &Arc<Self>,
        world: &World,
        state: &mut State,
        kind: Kind,
        payload: &[u8],
    ) -> Result<(), Fault> {
        match kind {
            Kind::Ping => self.outgoing.lock().control(Kind::Pong, payload),
            Kind::Close => return Err(Fault::Closed(close_reason(payload))),
            Kind::Pong | Kind::Text | Kind::Continuation => return Ok(()),
            Kind::Binary => match scan::message(world.rooms[self.room as usize].body(payload))? {
                Message::Step1(theirs) => self.answer_step_1(world, theirs)?,
                Message::Acked(count) => state.acked = state.acked.max(count),
                Message::Step2(_) | Message::Update(_) | Message::Other => return Ok(()),
            },
        }
        Outgoing::flush(self, world);
        Ok(())
    }

    /// Answers the server's Step1 with what this client wrote and the server lacks.
    fn answer_step_1(&self, world: &World, theirs: &[u8]) -> Result<(), Malformed> {
        let mut outgoing = self.outgoing.lock();
        let (Some(writer), Some(author)) = (self.writer, self.author(world)) else {
            outgoing.message(0, |out| out.extend_from_slice(&author::empty_step_2()));
            return Ok(());
        };
        let mut from = 0;
        scan::state_vector(theirs, |client, clock| {
            if client == author.client {
                from = clock;
            }
        })?;
        let to = world.rooms[self.room as usize].sent(writer);
        outgoing.message(to, |out| author.put_step_2_message(out, from, to));
        Ok(())
    }
}

/// Parses Update messages, or one Step2, from the beginning of `bytes` into `entry`: how many
/// bytes, zero if `bytes` begin with anything else or with an unfinished frame.
fn parse(room: &Room, bytes: &[u8], entry: &mut Entry) -> Result<usize, Fault> {
    let mut at = 0;
    while let Some(header) = whole(&bytes[at..])? {
        if header.kind != Kind::Binary {
            break;
        }
        match scan::message(room.body(&bytes[at + header.head..at + header.total]))? {
            Message::Update(update) => room.find_runs(update, &mut entry.runs)?,
            Message::Step2(update) if at == 0 => {
                entry.sort = Sort::Step2;
                room.find_runs(update, &mut entry.runs)?;
            }
            _ => break,
        }
        entry.frames += 1;
        at += header.total;
        if entry.sort == Sort::Step2 {
            break;
        }
    }
    Ok(at)
}

/// The header of the first frame in `bytes`, if all of the frame is there.
#[inline]
fn whole(bytes: &[u8]) -> Result<Option<Header>, FrameError> {
    Ok(frame::header(bytes)?.filter(|header| header.total <= bytes.len()))
}

/// Moves bytes from `rest` to `pending` until that is one whole frame: what is left of `rest`, or
/// `None` if it was not enough.
fn complete<'a>(pending: &mut Vec<u8>, mut rest: &'a [u8]) -> Result<Option<&'a [u8]>, FrameError> {
    loop {
        let want = match frame::header(pending)? {
            Some(header) => header.total - pending.len(),
            None => 1,
        };
        if want == 0 {
            return Ok(Some(rest));
        }
        let (taken, after) = rest.split_at(want.min(rest.len()));
        pending.extend_from_slice(taken);
        rest = after;
        if taken.len() < want {
            return Ok(None);
        }
    }
}

fn close_reason(payload: &[u8]) -> String {
    match payload {
        [a, b, text @ ..] => {
            let code = u16::from_be_bytes([*a, *b]);
            format!(" with code {code} {}", String::from_utf8_lossy(text)).trim_end().to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::super::crowd::{Crowd, Shape};
    use super::*;

    fn framed(out: &mut Vec<u8>, payload: Vec<u8>) {
        Frame::message(payload, OpCode::Data(Data::Binary), true).format(out).unwrap();
    }

    /// What a server may send: a Step2, its Step1, single updates, merged ones, presence, an ack.
    fn stream(authors: &[Author]) -> Vec<u8> {
        let mut out = Vec::new();
        let message = |put: &dyn Fn(&mut Vec<u8>)| {
            let mut payload = Vec::new();
            put(&mut payload);
            payload
        };
        framed(&mut out, message(&|out| authors[0].put_step_2_message(out, 0, 5)));
        framed(&mut out, vec![0, 0, 1, 0]);
        for clock in 5..40 {
            framed(&mut out, message(&|out| authors[0].put_update_message(out, clock, clock + 1)));
        }
        framed(&mut out, vec![1, 1, 0]);
        let merged = yrs::merge_updates_v1([authors[0].update(40, 90), authors[1].update(0, 30)]).unwrap();
        let merged = message(&|out| {
            out.extend_from_slice(&[0, 2]);
            super::super::bytes::put_buf(out, &merged);
        });
        framed(&mut out, merged);
        framed(&mut out, vec![110, 7, 1, b'p']);
        out
    }

    /// However the bytes are cut into reads, and whoever read them before, each recipient counts
    /// the same.
    #[tokio::test]
    async fn reads_may_be_cut_anywhere() {
        let shape = Shape { rooms: 1, clients: 40, writers: 2, rate: 10.0, keys: 1 };
        let crowd = Crowd::new("t", shape, 7);
        let bytes = stream(&crowd.world.rooms[0].authors);
        crowd.world.rooms[0].set_sent(0, 90);
        crowd.world.rooms[0].set_sent(1, 30);
        for (client, seed) in crowd.clients.iter().zip(0..) {
            let mut random = StdRng::seed_from_u64(seed);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let len = random.random_range(1..=rest.len().min(1 + 40 * seed as usize));
                client.on_bytes(&crowd.world, &rest[..len], Instant::now()).unwrap();
                rest = &rest[len..];
            }
            let state = client.state.lock();
            assert!(state.joined.is_some() && state.pending.is_empty(), "seed {seed}");
            assert_eq!(
                (state.acked, state.seen.duplicate, state.seen.out_of_order),
                (7, 0, 0),
                "seed {seed}"
            );
        }
        let (loss, counts) = (crowd.tally(), crowd.world.shards.counts());
        println!("{} bytes to 40 clients in random cuts: {} lost, {counts:?}", bytes.len(), loss.lost);
        assert_eq!((loss.lost, loss.not_converged), (0, 0));
        // Updates by others, without the Step2: 85 and 30 for 38 readers, each writer the other's.
        assert_eq!(counts.deliveries, 38 * (85 + 30) + 85 + 30);
    }

    #[tokio::test]
    async fn a_close_frame_tells_why() {
        let shape = Shape { rooms: 1, clients: 1, writers: 0, rate: 1.0, keys: 1 };
        let crowd = Crowd::new("t", shape, 7);
        let fault = crowd.clients[0].on_bytes(&crowd.world, b"\x88\x06\x11\x30wait", Instant::now());
        let fault = fault.unwrap_err().to_string();
        println!("{fault}");
        assert_eq!(fault, "the server closed the connection with code 4400 wait");
    }
}
