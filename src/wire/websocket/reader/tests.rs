use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const MAX: usize = 1 << 20;

/// A client's frame: `first` holds the final bit and the type.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// What a reader makes of bytes that come in pieces of at most `piece`.
fn read(bytes: &[u8], mut piece: impl FnMut() -> usize) -> Result<Vec<Incoming>, FrameError> {
    let (mut reader, mut rest, mut incoming) = (Reader::new(MAX), bytes, Vec::new());
    while !rest.is_empty() {
        let fill = |space: &mut [u8]| {
            let len = piece().clamp(1, space.len()).min(rest.len());
            space[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            Ok::<_, ()>(len)
        };
        reader.fill(fill).expect("this source does not fail");
        while let Some(next) = reader.next()? {
            incoming.push(next);
        }
    }
    assert_eq!(reader.held_bytes(), 0, "all was taken, so nothing is held");
    Ok(incoming)
}

fn binary(payload: &[u8]) -> Incoming {
    Incoming::Binary(Bytes::copy_from_slice(payload))
}

/// [W8] Messages come out whole and in order, however the network cuts them.
#[test]
fn messages_come_whole_however_they_are_cut() {
    let seed = rand::random();
    println!("seed {seed}: messages of many lengths, whole and in pieces, with pings in between");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for len in [0, 1, 7, 8, 9, 125, 126, 4_095, 4_097, 65_535, 65_536, 200_000] {
        let payload: Vec<u8> = (0..len).map(|_| random.random()).collect();
        bytes.extend(frame(0x82, &payload));
        expected.push(binary(&payload));
        let (head, tail) = payload.split_at(len / 3);
        bytes.extend(frame(0x02, head));
        bytes.extend(frame(0x89, b"there?"));
        expected.push(Incoming::Ping(Bytes::from_static(b"there?")));
        bytes.extend([frame(0x00, &[]), frame(0x80, tail)].concat());
        expected.push(binary(&payload));
    }
    bytes.extend([frame(0x81, b"text"), frame(0x8a, b""), frame(0x88, &[0x03, 0xe8, b'!'])].concat());
    expected.extend([Incoming::Text, Incoming::Pong, Incoming::Close(1000)]);
    for piece in [3, 1_000, 4_096, usize::MAX] {
        assert_eq!(read(&bytes, || piece).as_ref(), Ok(&expected), "in pieces of {piece}");
    }
    assert_eq!(read(&bytes, || random.random_range(1..10_000)).as_ref(), Ok(&expected), "at random");
}

/// [W8] What the library writes as a client is read as it was meant.
#[test]
fn the_librarys_client_is_understood() {
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
    use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

    let mut client = WebSocket::from_raw_socket(std::io::Cursor::new(Vec::new()), Role::Client, None);
    let payloads = [vec![], vec![1; 125], vec![2; 126], vec![3; 70_000]];
    for payload in &payloads {
        client.send(Message::Binary(payload.clone().into())).expect("a cursor takes all");
        client.send(Message::Ping(Bytes::from_static(b"p"))).expect("a cursor takes all");
    }
    client.close(Some(CloseFrame { code: 4001.into(), reason: "bye".into() })).expect("a cursor takes all");
    let mut expected = Vec::new();
    for payload in &payloads {
        expected.extend([binary(payload), Incoming::Ping(Bytes::from_static(b"p"))]);
    }
    expected.push(Incoming::Close(4001));
    assert_eq!(read(client.get_ref().get_ref(), || 1_000), Ok(expected));
}

/// [W8] What breaks RFC 6455 is refused for what it is.
#[test]
fn what_breaks_the_rules_is_refused() {
    let unmasked = vec![0x82, 1, 7];
    let too_large = [&[0x82, 0x80 | 127][..], &(MAX as u64 + 1).to_be_bytes()].concat();
    let too_large_in_pieces = [frame(0x02, &vec![0; MAX]), vec![0x80, 0x81]].concat();
    for (what, bytes, error) in [
        ("no mask", unmasked, FrameError::Unmasked),
        ("a reserved bit", frame(0xc2, b""), FrameError::Reserved),
        ("an unknown type", frame(0x83, b""), FrameError::UnknownType(3)),
        ("an unknown control type", frame(0x8b, b""), FrameError::UnknownType(11)),
        ("a long ping", frame(0x89, &[0; 126]), FrameError::Control),
        ("a ping in pieces", frame(0x09, b""), FrameError::Control),
        ("a continuation of nothing", frame(0x80, b""), FrameError::Pieces),
        ("a message in a message", [frame(0x02, b""), frame(0x82, b"")].concat(), FrameError::Pieces),
        ("half a code", frame(0x88, &[3]), FrameError::Close),
        ("a code nobody may send", frame(0x88, &[0x03, 0xed]), FrameError::Close),
        ("a reason that is no text", frame(0x88, &[0x03, 0xe8, 0xff]), FrameError::Close),
        ("a large message, before its bytes", too_large, FrameError::TooLarge { max: MAX }),
        ("pieces that are large together", too_large_in_pieces, FrameError::TooLarge { max: MAX }),
        ("a length of 2^64 - 1", [&[0x82, 0xff][..], &[0xff; 8]].concat(), FrameError::TooLarge { max: MAX }),
    ] {
        println!("{what}");
        assert_eq!(read(&bytes, || usize::MAX), Err(error), "{what}");
    }
}

/// [W8] Random bytes are refused or wait for more; they never panic.
#[test]
fn random_bytes_do_no_harm() {
    let seed = rand::random();
    println!("seed {seed}: 2,000 times up to 300 random bytes, half of them behind an honest start");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..2_000 {
        let mut bytes = if random.random() { frame(0x02, b"honest") } else { Vec::new() };
        bytes.extend((0..random.random_range(1..300)).map(|_| random.random::<u8>()));
        let mut reader = Reader::new(MAX);
        reader.feed(&bytes);
        while matches!(reader.next(), Ok(Some(_))) {}
    }
}

/// [W9] A connection holds what has come of a message under way: nothing for what is only declared,
/// nothing once it is taken.
#[test]
fn memory_follows_what_has_come() {
    let mut reader = Reader::new(MAX);
    let large = frame(0x82, &vec![9; MAX]);
    let mut rest = &large[..];
    let mut most = 0;
    while !rest.is_empty() {
        let came = large.len() - rest.len();
        let fill = |space: &mut [u8]| {
            let len = rest.len().min(space.len()).min(3_000);
            space[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            Ok::<_, ()>(len)
        };
        assert_eq!(reader.next(), Ok(None));
        reader.fill(fill).expect("this source does not fail");
        let bound = 2 * came + READ_CHUNK_BYTES + READ_SCRATCH_BYTES;
        assert!(reader.held_bytes() <= bound.min(large.len()), "{} held for {came}", reader.held_bytes());
        most = most.max(reader.held_bytes());
    }
    println!("1 MiB in steps of 3,000 bytes: at most {most} bytes held");
    assert_eq!(reader.next(), Ok(Some(binary(&vec![9; MAX]))));
    assert_eq!(reader.next(), Ok(None));
    assert_eq!(reader.held_bytes(), 0, "the message is taken");

    reader.feed(&large);
    reader.feed(&frame(0x82, b"next")[..5]);
    assert!(matches!(reader.next(), Ok(Some(Incoming::Binary(_)))));
    assert_eq!(reader.next(), Ok(None));
    assert!(reader.held_bytes() <= 5, "{} bytes held for five", reader.held_bytes());
}
