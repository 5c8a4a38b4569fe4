use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::websocket;
use super::*;
use crate::wire::voice::{Named, Voice};

/// A room named `room`, as all versions write it.
const ROOM: &[u8] = b"\x04room";

fn about(body: &[u8]) -> Bytes {
    [ROOM, body].concat().into()
}

fn said(body: &[u8]) -> Result<Said, WireError> {
    match decode(&about(body))? {
        Frame::About { name, said } => {
            assert_eq!(name, "room");
            Ok(said)
        }
        other => panic!("{other:?}"),
    }
}

/// What the server writes behind the name, as it stands in a WebSocket message.
fn written(name: &[u8], body: &[u8]) -> Vec<u8> {
    let voice = Voice::Hocuspocus(Named::new(name).into());
    websocket::body_of(&voice.frame(body)).to_vec()
}

/// [W20] The captures of providers 2.15, 3.4 and 4.8, both ways.
#[test]
fn captured_frames_are_read_and_written() {
    let token = |token: &'static str| Token(Bytes::from_static(token.as_bytes()));
    let with_version = said(b"\x02\x00\x03tok\x054.8.0");
    assert_eq!(with_version, Ok(Said::Token { token: token("tok"), tells_version: true }));
    let without = said(b"\x02\x00\x03tok");
    assert_eq!(without, Ok(Said::Token { token: token("tok"), tells_version: false }));
    let Ok(Said::Token { token: none, .. }) = said(b"\x02\x00\x00") else { panic!("an empty token") };
    assert_eq!(none.as_str(), None);

    let step1 = Bytes::from_static(&[0, 0, 3, 1, 7, 1]);
    assert_eq!(said(&step1), Ok(Said::Body(step1.clone())));
    assert!(is_step1(&step1) && !is_step1(&[0, 2, 2, 0, 0]) && !is_step1(&[0]));
    assert_eq!(decode_body(&step1), Ok((Message::SyncStep1(step1.slice(3..)), 6)));
    let awareness = Bytes::from_static(&[1, 8, 1, 7, 0, 4, 0x6e, 0x75, 0x6c, 0x6c]);
    assert_eq!(decode_body(&awareness), Ok((Message::Presence(awareness.slice(2..)), 10)));
    assert_eq!(said(&[7]), Ok(Said::Close));
    assert_eq!(decode(&Bytes::from_static(&[9])), Ok(Frame::Ping));
    assert_eq!(decode(&Bytes::from_static(&[10])), Ok(Frame::Pong));

    assert_eq!(written(b"room", &authenticated(true)), *b"\x04room\x02\x02\x0aread-write");
    assert_eq!(written(b"room", &authenticated(false)), *b"\x04room\x02\x02\x08readonly");
    assert_eq!(written(b"room", &denied("no")), *b"\x04room\x02\x01\x02no");
    assert_eq!(written(b"room", &ask_token()), *b"\x04room\x02\x00");
    assert_eq!(written(b"room", &sync_status(true)), *b"\x04room\x08\x01");
    assert_eq!(written(b"room", &sync_status(false)), *b"\x04room\x08\x00");
    assert_eq!(written(b"room", &closed("over")), *b"\x04room\x07\x04over");
    assert_eq!(written(b"room", &stateless("hi")), *b"\x04room\x05\x02hi");
    assert_eq!(written(b"room", y_websocket::KEEPALIVE), *b"\x04room\x01\x01\x00");
}

/// [W21] A name with a session behind a NUL is that room, and is written back as it came.
#[test]
fn a_session_is_part_of_the_name_and_not_of_the_room() {
    let frame = Bytes::from_static(b"\x10room\0fo65b460cb0\x08\x01");
    let Ok(Frame::About { name, .. }) = decode(&frame) else { panic!("a frame") };
    assert_eq!((&name[..], room_part(&name)), (&b"room\0fo65b460cb0"[..], &b"room"[..]));
    assert_eq!(written(&name, &sync_status(true)), frame);
    for (name, room) in [("", ""), ("\0", ""), ("a\0", "a"), ("a\0b\0c", "a"), ("\0a", "")] {
        assert_eq!(room_part(name.as_bytes()), room.as_bytes(), "{name:?}");
    }
}

/// [W22] What cannot be is refused: no name, a name or token that is too long, what only servers say.
#[test]
fn what_clients_do_not_send_is_refused() {
    let long = |len: usize, tail: &[u8]| {
        let mut frame = Vec::new();
        write_buffer(&mut frame, &vec![b'x'; len]);
        frame.extend_from_slice(tail);
        decode(&frame.into())
    };
    assert!(long(HOCUSPOCUS_NAME_BYTES_MAX, &[7]).is_ok());
    assert_eq!(long(HOCUSPOCUS_NAME_BYTES_MAX + 1, &[7]), Err(WireError::LongName));
    let token = |len: usize| {
        let mut body = vec![2, 0];
        write_buffer(&mut body, &vec![b'x'; len]);
        said(&body)
    };
    assert!(token(HOCUSPOCUS_TOKEN_BYTES_MAX).is_ok());
    assert_eq!(token(100_000), Err(WireError::LongToken));
    for only in [SYNC_REPLY, BROADCAST_STATELESS] {
        assert_eq!(decode_body(&vec![only as u8, 1, b'x'].into()), Err(WireError::ServerOnly(only)));
    }
    assert_eq!(decode_body(&Bytes::from_static(&[11, 1])), Ok((Message::Unknown(11), 2)));
    for frame in [
        &b""[..],
        b"\0",
        b"\x04roo",
        b"\x04room",
        b"\x04room\x02",
        b"\x04room\x02\x00\x05a",
        b"\x02\xc3\x28\x07",
    ] {
        assert!(decode(&Bytes::copy_from_slice(frame)).is_err(), "{frame:?}");
    }
}

/// [W22] A token is never printed.
#[test]
fn tokens_are_not_printed() {
    let printed = format!("{:?}", said(b"\x02\x00\x06secret"));
    assert!(!printed.contains("secret"), "{printed}");
}

/// [W23] 20,000 mutated frames: each is read or refused, none reads past its end.
#[test]
fn mutated_frames_are_read_or_refused() {
    let seed = 20;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let corpus: Vec<Bytes> = [
        &b"\x02\x00\x03tok\x054.8.0"[..],
        b"\x00\x00\x03\x01\x07\x01",
        b"\x00\x01\x10\x01\x01\x07\x00\x28\x01\x01\x6d\x03\x66\x6f\x66\x01\x7d\x01\x00",
        b"\x00\x02\x02\x00\x00",
        b"\x01\x06\x01\x07\x00\x02{}",
        b"\x03",
        b"\x05\x02hi",
        b"\x06\x02hi",
        b"\x07",
        b"\x08\x01",
    ]
    .map(about)
    .into();
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut frame = corpus[random.random_range(0..corpus.len())].to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..frame.len().max(1));
            match random.random_range(0..4) {
                0 if !frame.is_empty() => frame[at] ^= 1 << random.random_range(0..8),
                1 => frame.truncate(at),
                2 => frame.insert(at.min(frame.len()), random.random()),
                _ => frame.extend_from_slice(&[0xff; 9][..random.random_range(0..9)]),
            }
        }
        let bytes = Bytes::from(frame);
        match decode(&bytes) {
            Ok(Frame::About { said: Said::Body(body), name }) => {
                assert!(name.len() + body.len() < bytes.len());
                if let Ok((_, used)) = decode_body(&body) {
                    assert!((1..=body.len()).contains(&used));
                }
                read += 1;
            }
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    println!("{read} read, {refused} refused");
    assert!(read > 1_000 && refused > 1_000);
}
