//! What looking at a token costs.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::auth_support::*;

/// [A14] Figures for `docs/BENCHMARKS.md`: `cargo test --test auth -- --ignored --nocapture tokens_are_cheap`.
#[test]
#[ignore = "a measurement: it needs a quiet machine"]
fn tokens_are_cheap() {
    for alg in ALGORITHMS {
        let auth = auth(&[public_key(alg)]);
        let said = claims(
            &json!({ "name": "Ada Lovelace", "color": "#336699", "jti": "0123456789abcdef", "iat": now_s() }),
        );
        let good = token(alg, &said);
        let forged = token(alg, &claims(&json!({ "sub": "eve" })));
        let forged =
            format!("{}{}", &forged[..forged.rfind('.').unwrap()], &good[good.rfind('.').unwrap()..]);
        let room = room("retro");
        let time = |token: &str| {
            let mut took: Vec<Duration> = (0..5_000)
                .map(|_| {
                    let began = Instant::now();
                    let _ = std::hint::black_box(auth.admit(Some(token), &room, now_ms()));
                    began.elapsed()
                })
                .collect();
            took.sort_unstable();
            (took[took.len() / 2], took[took.len() * 99 / 100])
        };
        let (admitted, refused, large) = (time(&good), time(&forged), time(&"a".repeat(100_000)));
        println!("{alg}: admitted {admitted:?}, forged {refused:?}, 100 KB {large:?} (median, p99)");
        assert!(admitted.0 < Duration::from_micros(100), "{alg}");
    }
}
