// How it stands with a client: one plain object, another one whenever something of it is.

import type { Role } from './core.js'
import type { Conflict } from './conflict.js'
import type { Warning } from './errors.js'
import type { Reason } from './link.js'

/**
 * - `connecting`: the core is loaded, or the first try is under way
 * - `connected`: there is a socket; what the server has is on its way
 * - `synced`: the board is what the server has
 * - `offline`: there is no server; edits are kept, and it goes on trying
 * - `refused`: the server does not let this client in, and the reason says why; nothing is tried any more
 */
export type ConnectionStatus = 'connecting' | 'connected' | 'synced' | 'offline' | 'refused'

/** How it stands. */
export interface Connection {
  status: ConnectionStatus
  /** Why it is not connected, or was not the last time: a close code of docs/PROTOCOL.md and a sentence. */
  reason: Reason | undefined
  /** Whether edits can be made: the core and the local copy are there. */
  isReady: boolean
  /** Edits that the server has not stored yet. */
  unsaved: number
  /** Edits that the server did not take, since the page was opened. */
  refused: number
  /** The newest stored position, opaque. */
  position: string | undefined
  /** The lives of the room that this copy is of. */
  generation: readonly string[]
  /** Where edits are kept over a reload. */
  storage: 'indexeddb' | 'memory'
  canUndo: boolean
  canRedo: boolean
  room: string
  user: string
  role: Role
  /** Something has to be decided before it goes on. */
  conflict: Conflict | undefined
}

/** What a client tells, by name. */
export interface Told {
  /** How it stands is another. */
  connection: Connection
  /** The board is what the server has, after each connect. */
  synced: undefined
  /** The server did not take so many edits: `code` is for programs, `reason` for people. */
  refused: { code: string, reason: string, edits: number }
  /** Something the person should know of. */
  warning: Warning
  /** Something has to be decided. */
  conflict: Conflict
  /** The client goes on in a room of another name. */
  room: string
}

/** Whether two say the same. */
export function sameConnection (one: Connection, other: Connection): boolean {
  return (Object.keys(one) as Array<keyof Connection>).every((key) => {
    const [a, b] = [one[key], other[key]]
    if (key === 'generation') return (a as string[]).join() === (b as string[]).join()
    if (key === 'reason') return sameReason(one.reason, other.reason)
    return a === b
  })
}

function sameReason (one: Reason | undefined, other: Reason | undefined): boolean {
  return one?.code === other?.code && one?.text === other?.text
}
