// The copy of a room that outlives the page, as the client uses it.

import type { Warning } from '../errors.js'

/** Which room's copy it is: of one server, for one person. Another person of this browser has another. */
export interface Scope {
  server: string
  room: string
  user: string
}

/** What there was when the copy was opened. */
export interface Loaded {
  /** Updates V1, oldest first. */
  updates: Uint8Array[]
  /** How many edits in them the server had not acknowledged. */
  unsaved: number
}

/** Nothing was stored. */
export const NOTHING: Loaded = Object.freeze({ updates: [], unsaved: 0 })

/** What the copy needs of the document, and tells its owner. */
export interface CopyHost {
  /** Takes in what other tabs have stored. Waits for nothing: it is called inside a transaction. */
  merge (updates: Uint8Array[]): void
  /** The whole document, as an update V1. Waits for nothing either. */
  encode (): Uint8Array
  warn (warning: Warning): void
  /**
   * The copy could be opened after all, later than the client began: what it holds has to be taken in. `false`: it is of
   * another life of the room, and is left as it is until `clear`.
   */
  late (loaded: Loaded): boolean
}

/** A copy of a room. Nothing it does fails towards the caller: what it cannot do it warns of. */
export interface Copy {
  /** Where it is now. */
  readonly kind: 'indexeddb' | 'memory'
  /** The life of the copy: another one after it was thrown away. Tabs that hold one life share their edits. */
  readonly life: string
  open (): Promise<Loaded>
  /** Keeps updates, and how many edits are not acknowledged now. Returns at once; in order. `soon`: it may wait a little. */
  keep (updates: Uint8Array[], unsaved: number, soon: boolean): void
  /** All that was given is stored, or was warned of; what waits is written now. */
  settled (): Promise<void>
  /** Throws away what is stored; a new life begins. */
  clear (): Promise<void>
  /** Takes over the life that another tab has begun, with what is stored of it. */
  follow (): Promise<Loaded>
  close (): Promise<void>
}

/** No copy: edits live as long as the page. */
export class MemoryCopy implements Copy {
  readonly kind = 'memory'
  life = 'memory'
  async open (): Promise<Loaded> { return NOTHING }
  keep (): void {}
  async settled (): Promise<void> {}
  async clear (): Promise<void> {}
  async follow (): Promise<Loaded> { return NOTHING }
  async close (): Promise<void> {}
}
