// Written by scripts/types.mjs from src/board.

/** Where a card lies: pixels of an unscaled page from the middle, to the right and down. */
export type Point = {
  /** To the right. */
  x: number
  /** Down. */
  y: number
}
