// The copy here is of another life of the room than the server's: one of both goes on under this name.

import type { Reason } from './link.js'

/**
 * The room was deleted, or had expired and was begun anew by others, while this browser held a copy of what it was. The two are
 * never mixed. Nothing happens until one of the two is called; the board shows the copy, and can be edited.
 */
export interface Conflict {
  reason: Reason
  /** Edits in the copy that never reached the server. */
  unsaved: number
  /** Goes on with the room as it is now. The copy here is thrown away, in all tabs. */
  takeServer (): Promise<void>
  /**
   * Keeps the copy as a room of another name, which must not exist yet. The client, and the other tabs, go on in that room.
   * Resolves when the server has stored it.
   *
   * @throws {RuangError} `exists` if there is a room of that name, `bad-option` if none can have it, `token` if the token is not
   * for it: then everything is as before. `timeout` if the server has not stored it within 30 s: the copy is kept here under the
   * new name, and it goes on trying.
   */
  keepMineAs (room: string): Promise<void>
}
