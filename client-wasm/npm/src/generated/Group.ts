// Written by scripts/types.mjs from src/board.

/** A group of cards. */
export type Group = {
  /** Its title; empty if there is none. */
  title: string
  /** Where it stands among the groups. */
  order: number | null
}
