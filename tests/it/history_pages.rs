//! [H12] Many records are folded at once: the same room as one by one, without what nobody will see.

use ruang::document::Document;
use ruang::gate::{Gate, Gathered, Source, parse_update};
use ruang::history::{Fold, OnTrouble, Range, Start};
use ruang::log::record::StoredRecord;
use yrs::updates::decoder::Decode;
use yrs::{Any, Array, ArrayPrelim, Doc, Map, MapPrelim, Out, ReadTxn, Transact, Update};

use crate::history_support::*;
use crate::random_docs::{Random, seeds, view};

/// Clients that fight over a few keys, of the root and of maps in it: sets, nested maps and lists, removals, each seeing
/// the others' now and then.
fn fight(random: &mut Random, clients: u64, edits: usize) -> Vec<Vec<u8>> {
    let docs: Vec<Doc> = (0..clients).map(|n| Doc::with_client_id(1 + n * 77_003)).collect();
    let (mut updates, mut seen): (Vec<Vec<u8>>, Vec<usize>) = (Vec::new(), vec![0; docs.len()]);
    for _ in 0..edits {
        let at = random.index(docs.len());
        let doc = &docs[at];
        let root = doc.get_or_insert_map("m");
        if random.chance(30) {
            let mut transaction = doc.transact_mut();
            for update in &updates[seen[at]..] {
                transaction.apply_update(Update::decode_v1(update).unwrap()).unwrap();
            }
            seen[at] = updates.len();
        }
        let before = doc.transact().state_vector();
        let mut transaction = doc.transact_mut();
        let key = format!("k{}", random.below(5));
        let nested = root.get(&transaction, &key);
        match (random.below(12), nested) {
            (0, _) => drop(root.remove(&mut transaction, &key)),
            (1, _) => drop(root.insert(&mut transaction, key, MapPrelim::default())),
            (2, _) => drop(root.insert(&mut transaction, key, ArrayPrelim::default())),
            (3..9, Some(Out::YMap(map))) => {
                let key = format!("n{}", random.below(2));
                map.insert(&mut transaction, key, random.below(1 << 30) as i64);
            }
            (3..9, Some(Out::YArray(list))) => drop(list.push_back(&mut transaction, Any::from("in a list"))),
            _ => drop(root.insert(&mut transaction, key, Any::from(format!("value {}", random.next())))),
        }
        drop(transaction);
        updates.push(doc.transact().encode_diff_v1(&before));
    }
    updates
}

async fn records(writer: &Writer) -> Vec<StoredRecord> {
    let mut records = Vec::new();
    while let last = records.last().map_or(0, |stored: &StoredRecord| stored.position().seq)
        && last < writer.last.seq
    {
        records.extend(writer.log.read(&writer.room, last, 1_000).await.unwrap());
    }
    records
}

fn reloaded(document: &Document) -> Vec<u8> {
    let mut loaded = Document::new();
    loaded.apply(&[&document.encode_full()]).unwrap();
    loaded.encode_full()
}

/// What the room's writer holds, who folded each update by itself as it came, and never by pages.
fn assert_as_written(fold: &Fold, writer: &Writer, case: &str) {
    assert_eq!(fold.set_aside(), [], "{case}");
    assert_eq!(fold.gate().state_vector(), writer.gate.state_vector(), "{case}");
    assert_eq!(fold.gate().deleted(), writer.gate.deleted(), "{case}: deleted");
    assert_eq!(view(fold.document().doc()), view(writer.document.doc()), "{case}");
    assert_eq!(reloaded(fold.document()), reloaded(&writer.document), "{case}: the bytes after a load");
    assert!(fold.bytes() >= fold.document().encode_full().len(), "{case}: bytes never say too little");
}

/// [H12] However a log is cut into pages, the room is the one that was written, and both kinds of walk come to it; nested
/// types that are replaced while others write into them included.
#[tokio::test]
async fn pages_say_what_was_written() {
    let (mut folded, mut saved) = (0, 0);
    for seed in seeds("pages_say", 12) {
        println!("replay with RUANG_TEST_SEED={seed}");
        let mut random = Random::new(seed);
        let (log, _) = memory();
        let mut writer = Writer::new(&log, "r");
        if random.chance(50) {
            writer.write(&fight(&mut random, 4, 300)).await;
        } else {
            writer.write(&Crowd::new(&mut random, 3).edit(&mut random, 80)).await;
        }
        let records = records(&writer).await;
        for cut in 0..6 {
            let mut fold = Fold::new(writer.room.clone(), OnTrouble::SetAside);
            let mut left = &records[..];
            while !left.is_empty() {
                let count =
                    if cut == 0 { left.len() } else { 1 + random.index(left.len().min(1 << (2 * cut))) };
                fold.page(&left[..count]).unwrap();
                left = &left[count..];
            }
            assert_as_written(&fold, &writer, &format!("seed {seed}, cut {cut}"));
            folded += records.len();
            let bytes: usize = records.iter().map(update_bytes).sum();
            saved += bytes - fold.bytes();
        }
        let mut steps = Fold::new(writer.room.clone(), OnTrouble::Stop);
        records.iter().for_each(|stored| drop(steps.one(stored).unwrap()));
        assert_as_written(&steps, &writer, &format!("seed {seed}, one by one"));
    }
    println!("{folded} records folded; {saved} bytes of theirs never came to the engine");
    assert!(saved > 0);
}

fn update_bytes(stored: &StoredRecord) -> usize {
    let StoredRecord::Intact { record, .. } = stored else { panic!("{stored:?}") };
    record.update().len()
}

/// [H12] A walk over several pages judges one while it folds the one before: the same room again, from the first
/// record and from a snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_are_judged_ahead_say_the_same() {
    let mut random = Random::new(11);
    let (log, _) = memory();
    let mut writer = Writer::new(&log, "r");
    writer.write(&fight(&mut random, 3, 1_500)).await;
    writer.compact(Default::default()).await;
    writer.write(&keystrokes(5, 5_000)).await;
    for start in [Start::Genesis, Start::NEWEST] {
        let range = Range { start, until: u64::MAX, on_trouble: OnTrouble::SetAside };
        let fold = walked(&log, &writer.room, range).await.into_fold().unwrap();
        println!("{start:?}: {} records, {} bytes", fold.records(), fold.bytes());
        assert_as_written(&fold, &writer, &format!("{start:?}"));
    }
}

/// [H12] What the engine gets of a key that was set a thousand times is one value, and the places of the others.
#[test]
fn values_that_are_replaced_do_not_come_to_the_engine() {
    let doc = Doc::with_client_id(9);
    let map = doc.get_or_insert_map("m");
    let (mut gate, mut gathered, mut bytes) = (Gate::new(), Gathered::default(), 0);
    for n in 0..1_000 {
        let mut transaction = doc.transact_mut();
        map.insert(&mut transaction, "k", format!("text number {n:04}"));
        let update = transaction.encode_update_v1();
        bytes += update.len();
        let update = parse_update(&update, Source::Record).unwrap();
        assert!(!gate.gather(&update, &mut gathered, false).unwrap().is_gap());
    }
    let update = gathered.into_update();
    let text = String::from_utf8_lossy(&update);
    println!("{bytes} bytes of updates, {} of them folded", update.len());
    assert_eq!(text.matches("text number").count(), 1);
    assert!(text.contains("text number 0999"));
    let mut document = Document::new();
    document.apply(&[&update]).unwrap();
    assert_eq!(document.encode_full(), doc.transact().encode_diff_v1(&yrs::StateVector::default()));
}
