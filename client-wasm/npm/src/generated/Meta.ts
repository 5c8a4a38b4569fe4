// Written by scripts/types.mjs from src/board.
import type { Column } from './Column.js'
import type { Phase } from './Phase.js'

/** What the facilitator has set. */
export type Meta = {
  /** The board's title; empty if there is none. */
  title: string
  /** Where the retrospective stands. */
  phase: Phase
  /** The columns, from left to right. */
  columns: Column[]
  /** How many votes each person has. */
  voteLimit: number
  /** When the timer ends, in milliseconds since 1970 by the server's clock. */
  timerEndsAt: number | null
  /** Whether cards are for their authors alone until they are revealed. */
  hideCards: boolean
}
