//! What a client's bytes are read as, in each family, and what a session makes of it: nothing fails, nothing takes more than
//! there is, and a message that is written again is read as the same. And WebSocket frames: what is read does not depend on
//! how the network cuts them.
//!
//! The first byte of the input says which of these; for WebSocket frames the second says how they are cut.

use std::sync::Arc;

use bytes::Bytes;
use ruang::caller::Role;
use ruang::session::Session;
use ruang::session::desk::{Desk, DeskBounds, Step};
use ruang::wire::hocuspocus::{self, Frame, Said, room_part};
use ruang::wire::voice::{Named, Voice};
use ruang::wire::websocket::{FrameError, Incoming, Reader};
use ruang::wire::{Message, y_websocket};

/// Larger than any input.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The messages of one frame, as a session takes them. Whether all of it was read.
fn read(voice: &Voice, mut frame: Bytes) -> bool {
    let mut sessions = [Role::Viewer, Role::Editor].map(|role| Session::new(voice.clone(), role));
    while let Ok((message, used)) = voice.decode(&frame) {
        assert!((1..=frame.len()).contains(&used), "{used} of {}", frame.len());
        frame = frame.slice(used..);
        again(voice, &message);
        for session in &mut sessions {
            session.handle(message.clone());
            session.on_refused([session.submitted()]);
            session.on_decided(session.submitted(), Default::default());
        }
        if frame.is_empty() {
            return true;
        }
    }
    false
}

/// What is written as it was read is read the same.
fn again(voice: &Voice, message: &Message) {
    let written = match message {
        Message::SyncStep1(state_vector) => y_websocket::sync_step1(state_vector),
        Message::SyncStep2(update) => y_websocket::sync_step2(update),
        Message::Update(update) => y_websocket::update(update),
        Message::Presence(update) => y_websocket::presence(update),
        _ => return,
    };
    let (read, used) = voice.decode(&written).expect("it was written here");
    assert_eq!((&read, used), (message, written.len()));
}

/// One frame of a Hocuspocus socket, and what the socket does with it. Whether it is one.
fn read_named(desk: &mut Desk<u32>, frame: &Bytes) -> bool {
    let Ok(Frame::About { name, said }) = hocuspocus::decode(frame) else { return false };
    assert!(room_part(&name).len() <= name.len());
    let body = if let Said::Body(body) = &said { Some(body.clone()) } else { None };
    match desk.handle(&name, said, 0) {
        Step::Decide { token: Some(_), .. } => {
            for queued in desk.open(&name, 1) {
                read(&Voice::Hocuspocus(Arc::new(Named::new(&name))), queued);
            }
        }
        Step::Decide { .. } => desk.deny(&name, 0),
        _ => {}
    }
    if let Some(body) = body {
        read(&Voice::Hocuspocus(Arc::new(Named::new(&name))), body);
    }
    true
}

/// Everything that a reader says of pieces that come one after the other.
fn all<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Incoming>, Option<FrameError>) {
    let (mut reader, mut said) = (Reader::new(MESSAGE_BYTES_MAX), Vec::new());
    for piece in pieces {
        reader.feed(piece);
        loop {
            match reader.next() {
                Ok(Some(incoming)) => said.push(incoming),
                Ok(None) => break,
                Err(error) => return (said, Some(error)),
            }
        }
        assert!(reader.held_bytes() <= 2 * MESSAGE_BYTES_MAX);
    }
    (said, None)
}

/// See the module. Whether something was read to its end.
pub fn run(input: &[u8]) -> bool {
    let Some((&which, rest)) = input.split_first() else { return false };
    match which % 5 {
        0 => read(&Voice::YWebsocket { ruang: false }, Bytes::copy_from_slice(rest)),
        1 => read(&Voice::YWebsocket { ruang: true }, Bytes::copy_from_slice(rest)),
        2 => read(&Voice::YSweet, Bytes::copy_from_slice(rest)),
        3 => {
            let mut desk = Desk::new(0, DeskBounds::default());
            let (mut rest, mut all) = (rest, true);
            while let Some((&len, more)) = rest.split_first() {
                let (frame, more) = more.split_at(usize::from(len).min(more.len()));
                all &= read_named(&mut desk, &Bytes::copy_from_slice(frame));
                rest = more;
            }
            all
        }
        _ => {
            let Some((&cut, frames)) = rest.split_first() else { return false };
            let whole = all(std::iter::once(frames));
            let cut = all(frames.chunks(usize::from(cut).max(1)));
            assert_eq!(whole, cut, "however it is cut");
            whole.1.is_none()
        }
    }
}
