// Written by scripts/types.mjs from src/board.

/** A card. */
export type Item = {
  /** What stands on it. */
  text: string
  /** The id of the column in which it began; may be of a column that is gone. */
  column: string | null
  /** Who wrote it, as the card says: who it really was is in the log. */
  author: string | null
  /** When, by the author's clock, in milliseconds since 1970. */
  createdAt: number | null
}
