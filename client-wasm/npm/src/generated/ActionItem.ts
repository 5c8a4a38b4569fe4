// Written by scripts/types.mjs from src/board.

/** Something to be done. */
export type ActionItem = {
  /** Its id. */
  id: string
  /** What is to be done. */
  text: string
  /** By whom. */
  assignee: string | null
  /** Until when, as people write it. */
  due: string | null
  /** Whether it is done. */
  done: boolean
  /** Where it stands in the list; those without one come last, by id. */
  order: number | null
}
