//! On which implementations of the log this test target runs the contract.

/// Makes a test of each function, on each implementation.
macro_rules! log_contract {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $test() { super::$test(crate::log_support::Store::memory()).await; })*
        }
        mod embedded {
            $(#[tokio::test] async fn $test() { super::$test(crate::log_support::Store::embedded()).await; })*
        }
    };
}
