//! Joins a room with yrs' own protocol, shows its list, and adds to it.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::{connect_async, tungstenite::Message as Frame};
use yrs::sync::{Awareness, DefaultProtocol, Message, Protocol, SyncMessage};
use yrs::types::ToJson;
use yrs::updates::encoder::{Encode, Encoder, EncoderV1};
use yrs::{Array, Doc, ReadTxn, Transact};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // before: ws://old.example/retro-41
    let url = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:8080/ws/retro-41".to_owned());
    let (mut socket, _) = connect_async(url).await?;
    let mut awareness = Awareness::new(Doc::new());
    let list = awareness.doc().get_or_insert_array("list");

    let mut hello = EncoderV1::new();
    DefaultProtocol.start(&awareness, &mut hello)?;
    socket.send(Frame::binary(hello.to_vec())).await?;
    let mut synced = false;
    while let Some(frame) = socket.next().await {
        let Frame::Binary(bytes) = frame? else { continue };
        for reply in DefaultProtocol.handle(&mut awareness, &bytes)? {
            socket.send(Frame::binary(reply.encode_v1())).await?;
        }
        println!("{}", list.to_json(&awareness.doc().transact()));
        if !synced && bytes.starts_with(&[0, 1]) {
            synced = true;
            let before = awareness.doc().transact().state_vector();
            list.push_back(&mut awareness.doc().transact_mut(), "yrs was here");
            let edit = awareness.doc().transact().encode_diff_v1(&before);
            socket.send(Frame::binary(Message::Sync(SyncMessage::Update(edit)).encode_v1())).await?;
        }
    }
    Ok(())
}
