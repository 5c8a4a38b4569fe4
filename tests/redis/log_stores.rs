//! The contract of the log runs on a Redis server of each test's own.

/// Makes a test of each function.
macro_rules! log_contract {
    ($($test:ident),* $(,)?) => {
        mod single {
            $(#[tokio::test] async fn $test() { super::$test(crate::rig::store::single().await).await; })*
        }
    };
}
