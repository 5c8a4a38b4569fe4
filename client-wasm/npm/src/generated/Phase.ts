// Written by scripts/types.mjs from src/board.

/** Where a retrospective stands. The order is the usual one; nothing enforces it. */
export type Phase =
  /** Cards are written. */
  | 'write'
  /** Cards are grouped. */
  | 'group'
  /** Votes are given. */
  | 'vote'
  /** What has most votes is talked about, action items are noted. */
  | 'discuss'
  /** It is over. */
  | 'done'
