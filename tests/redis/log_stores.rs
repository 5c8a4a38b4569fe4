//! The contract of the log runs on a Redis server of each test's own, on a cluster, and on what Sentinel calls the
//! primary, before and after a failover. Of those there is one for each file of the contract, emptied before each test.

/// Makes a test of each function, and one of all of them for each kind of Redis that takes seconds to begin.
macro_rules! log_contract {
    ($($test:ident),* $(,)?) => {
        mod single {
            $(#[tokio::test] async fn $test() { super::$test(crate::rig::store::single().await).await; })*
        }
        mod together {
            use crate::rig::store::Shared;

            async fn hold(redis: Shared) {
                $(
                    println!("{}", stringify!($test));
                    super::$test(redis.empty_store().await).await;
                )*
            }

            #[tokio::test]
            async fn the_contract_holds_on_a_cluster() {
                hold(Shared::cluster()).await;
            }

            #[tokio::test]
            async fn the_contract_holds_on_the_primary_of_a_sentinel() {
                hold(Shared::sentinel()).await;
            }

            #[tokio::test]
            async fn the_contract_holds_after_a_failover() {
                hold(Shared::sentinel_after_failover()).await;
            }
        }
    };
}
