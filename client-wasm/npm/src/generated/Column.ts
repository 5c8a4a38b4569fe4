// Written by scripts/types.mjs from src/board.

/** One of the columns, in which cards begin. */
export type Column = {
  /** Its id, which cards name. */
  id: string
  /** What stands over it. */
  title: string
  /** Its color, `#rrggbb`. */
  color?: string
}
