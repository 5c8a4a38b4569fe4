//! Presence and state vectors: what is taken is what every client can parse, within the bounds.

use ruang::gate::{PresenceUser, parse_presence, parse_state_vector, parse_whispered, write_presence_user};
use ruang::wire::lib0::{write_buffer, write_var_uint};

/// See the module. Whether it was taken.
pub fn run(input: &[u8]) -> bool {
    let is_vector = parse_state_vector(input).is_ok();
    drop(parse_whispered(input));
    let Ok(entries) = parse_presence(input) else { return is_vector };
    let mut written = Vec::new();
    write_var_uint(&mut written, entries.len() as u64);
    for entry in &entries {
        let state = entry.state.unwrap_or("null");
        [entry.client, u64::from(entry.clock)]
            .into_iter()
            .for_each(|number| write_var_uint(&mut written, number));
        write_buffer(&mut written, state.as_bytes());
        if entry.check_state().is_ok() && entry.state.is_some() {
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(state);
            assert!(parsed.is_ok(), "what passes for JSON is JSON: {state:?}: {parsed:?}");
        }
    }
    // A state of no bytes, which is no JSON, is shorter than what is asked for when lengths are in their shortest form.
    if entries.iter().any(|entry| entry.state == Some("")) {
        return true;
    }
    assert_eq!(parse_presence(&written).as_ref(), Ok(&entries), "written again it is the same");
    // As one instance tells another.
    let who = PresenceUser { user: Some("ada"), first_hand: true };
    entries.iter().for_each(|_| write_presence_user(&mut written, who));
    assert!(parse_whispered(&written).is_ok_and(|whispered| whispered.len() == entries.len()));
    true
}
