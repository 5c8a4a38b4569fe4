// Written by scripts/types.mjs from src/board.

/** Somebody who is here or has written. */
export type Participant = {
  /** The name under which the tokens know this person. */
  user: string
  /** The name that others see. */
  name: string | null
  /** The color that others see. */
  color: string | null
  /** Whether there is a session of this person now. */
  online: boolean
  /** When something of this person came last, in milliseconds since 1970. */
  lastSeen: number | null
}
