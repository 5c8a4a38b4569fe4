//! Blocks that are admitted here and that the log has not decided on: what others have stored meanwhile is compared with them.

use super::UpdatePart;
use crate::ids::ClientId;

/// Such blocks, by client. Looking one client up costs the logarithm of how many there are: an update may have a part for
/// each of many thousand clients.
#[derive(Debug, Default)]
pub struct UnderWay(Vec<(ClientId, u32, u32)>);

impl UnderWay {
    /// Of `(client, from, to)`, in any order.
    pub fn new(blocks: impl IntoIterator<Item = (ClientId, u32, u32)>) -> Self {
        let mut blocks: Vec<_> = blocks.into_iter().collect();
        blocks.sort_unstable();
        Self(blocks)
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some of a part is among them.
    #[must_use]
    pub fn meets(&self, part: &UpdatePart) -> bool {
        self.of(part.client).iter().any(|&(_, from, to)| from < part.clocks.1 && part.clocks.0 < to)
    }

    /// The clock from which a client's blocks are not known but for them.
    pub(super) fn from(&self, client: ClientId) -> Option<u32> {
        self.of(client).first().map(|&(_, from, _)| from)
    }

    fn of(&self, client: ClientId) -> &[(ClientId, u32, u32)] {
        let start = self.0.partition_point(|block| block.0 < client);
        let end = start + self.0[start..].partition_point(|block| block.0 == client);
        &self.0[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [B60] What is under way is found by client and clock, wherever it stands among others.
    #[test]
    fn blocks_are_found_by_client_and_clock() {
        let under_way = UnderWay::new([(7, 4, 6), (3, 0, 1), (7, 1, 2), (9, 5, 9)]);
        let meets =
            |client, from, to| under_way.meets(&UpdatePart { client, clocks: (from, to), is_garbage: false });
        assert_eq!([3, 7, 8, 9].map(|client| under_way.from(client)), [Some(0), Some(1), None, Some(5)]);
        assert!(meets(7, 0, 2) && meets(7, 5, 9) && meets(3, 0, 5) && meets(9, 8, 20));
        assert!(!meets(7, 2, 4) && !meets(7, 6, 9) && !meets(8, 0, 99) && !meets(9, 0, 5));
        assert!(UnderWay::default().is_empty() && !under_way.is_empty());
    }
}
