//! A walk that folds page by page: while one page is judged, the one before it comes into the document, and the next one is
//! read.

use std::sync::Arc;

use super::{Walk, WalkError, lost};
use crate::history::behind::{Behind, read_behind};
use crate::history::fold::{Broken, Fold, SetAside};
use crate::history::folding::fold_beside;
use crate::history::page::{fold_page, follows};
use crate::ids::Position;
use crate::log::record::StoredRecord;

impl Walk {
    /// Folds, in pages, everything up to a counter.
    pub(super) async fn advance(&mut self, until: u64) -> Result<(), WalkError> {
        let mut one_by_one = !self.broken.is_empty();
        loop {
            // The end may have come nearer.
            match self.pages(until.min(self.until), one_by_one).await? {
                Pages::Done => return Ok(()),
                Pages::Jump => {
                    let last = self.fold()?.last();
                    if !self.overtaken_at(last).await? {
                        self.holes_are_real = true;
                    }
                }
                Pages::Forked => self.begin_again().await?,
                Pages::Broken(record) => {
                    if one_by_one {
                        self.broken.insert(record.position.seq, record);
                    }
                    one_by_one = true;
                    self.begin().await?;
                }
            }
        }
    }

    /// The same until something happens. While one page is judged, the one before it comes into the document, and the
    /// next one is read.
    async fn pages(&mut self, until: u64, one_by_one: bool) -> Result<Pages, WalkError> {
        let (log, room, epoch) = (Arc::clone(&self.log), self.room.clone(), self.head.epoch);
        let read = async |after: Position| -> Result<Behind, WalkError> {
            if after.seq >= until {
                return Ok(Behind::Page(Vec::new()));
            }
            read_behind(&log, &room, epoch, after).await
        };
        let mut behind = read(self.fold()?.last()).await?;
        loop {
            let (last, is_stopped) = (self.fold()?.last(), self.fold()?.stopped().is_some());
            if last.seq >= until || is_stopped {
                return self.end_pages(Pages::Done).await;
            }
            let mut page = match behind {
                Behind::Page(page) => page,
                Behind::Forked(head) => {
                    self.head = *head;
                    return self.end_pages(Pages::Forked).await;
                }
            };
            page.retain(|stored| stored.position().seq <= until);
            if !follows(last.seq, &page) && !self.holes_are_real {
                return self.end_pages(Pages::Jump).await;
            }
            let end_of_page = Position { seq: until, ms: 0 };
            let after = page.last().map_or(end_of_page, StoredRecord::position);
            let at_once = !one_by_one && follows(last.seq, &page);
            if !at_once && let Err(Broken(record)) = self.with_fold(Fold::settle).await? {
                return Ok(Pages::Broken(record));
            }
            let (end, broken) = (self.head.last, self.broken.clone());
            let before = self.fold.as_mut().and_then(|fold| fold.lend());
            // The only page there is: nothing goes on beside it.
            let settles = before.is_none() && after.seq >= until;
            let judging = self.with_fold(move |fold| {
                if at_once {
                    fold.judge_page(&page);
                    return if settles { fold.settle() } else { Ok(()) };
                }
                let folded = fold_page(fold, &page, one_by_one, &broken);
                if page.is_empty() {
                    // Asked again, the log has said that this is all: the rest is lost.
                    let ms = if end.seq == until { end.ms } else { fold.last().ms };
                    fold.pass_missing(Position { seq: until, ms });
                }
                folded
            });
            let (judged, before, next) = tokio::join!(judging, fold_beside(before), read(after));
            match (judged?, before?) {
                (Ok(()), Ok(None)) => {}
                (Ok(()), Ok(Some(returned))) => self.fold.as_mut().ok_or_else(lost)?.give_back(returned),
                // What came first is told first.
                (_, Err(Broken(record))) | (Err(Broken(record)), _) => return Ok(Pages::Broken(record)),
            }
            behind = next?;
        }
    }

    /// The same once the document has taken in the last page.
    async fn end_pages(&mut self, end: Pages) -> Result<Pages, WalkError> {
        if self.fold()?.is_settled() {
            return Ok(end);
        }
        match self.with_fold(Fold::settle).await? {
            Ok(()) => Ok(end),
            Err(Broken(record)) => Ok(Pages::Broken(record)),
        }
    }
}

/// How folding pages has ended.
enum Pages {
    Done,
    /// A record is missing.
    Jump,
    /// The store has fallen back, and others have written on.
    Forked,
    /// A record breaks the document: this one, or one of its page.
    Broken(SetAside),
}
