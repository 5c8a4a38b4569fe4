//! Messages for applications, that clients send to each other through the server. Those whose `type` begins with `ruang.`
//! are the server's own words: nobody else says them.

/// Whether a message that a client has sent is passed on: not one that others would take for the server's.
pub(super) fn is_passed_on(payload: &[u8]) -> bool {
    match serde_json::from_slice::<serde_json::Value>(payload) {
        Ok(serde_json::Value::Object(object)) => {
            !object.get("type").and_then(serde_json::Value::as_str).is_some_and(|of| of.starts_with(OURS))
        }
        Ok(_) => true,
        // Readers of JSON differ in what they take: what begins as an object may be one to somebody.
        Err(_) => payload.trim_ascii_start().first() != Some(&b'{'),
    }
}

const OURS: &str = "ruang.";

#[cfg(test)]
mod tests {
    use super::*;

    /// [B33] Nobody but the server tells of broken rules, however it is written.
    #[test]
    fn the_servers_words_are_not_passed_on() {
        let deep = format!(r#"{{"a":{}{},"type":"ruang.brokenRule"}}"#, "[".repeat(200), "]".repeat(200));
        for forged in [
            r#"{"type":"ruang.brokenRule","code":"x","message":"call 555"}"#,
            r#"{"type":"\u0072uang.brokenRule"}"#,
            r#" {"type":"x","type":"ruang.brokenRule"}"#,
            r#"{"type":"ruang.brokenRule","lone":"\ud800"}"#,
            &deep,
        ] {
            println!("{:.60}", forged);
            assert!(!is_passed_on(forged.as_bytes()));
        }
        for fair in [r#"{"type":"note","text":"ruang.brokenRule"}"#, "ruang.brokenRule", "", "[1]", r#""{""#]
        {
            assert!(is_passed_on(fair.as_bytes()), "{fair}");
        }
    }
}
