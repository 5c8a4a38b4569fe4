// What can go wrong, with a code for programs and a sentence for people.

/** Why something was refused. What the document says in its codes is in docs/CLIENT.md. */
export type RuangErrorCode =
  /** The wasm core is not there yet, or the client was closed: nothing was done. Wait for `client.ready`. */
  | 'not-ready'
  /** The wasm core could not be loaded. */
  | 'no-core'
  /** There is no card, group or action item of that id. */
  | 'not-there'
  /** There is one already. */
  | 'exists'
  /** The edit's form is wrong: an id, a title, a color, a number. */
  | 'bad-edit'
  /** A text or the whole edit is too large. */
  | 'too-large'
  /** The board's rules do not let this person do it. */
  | 'not-allowed'
  /** A template, an option or a name that does not exist or cannot be. */
  | 'bad-option'
  /** It did not happen in time: the server did not answer. */
  | 'timeout'
  /** The token was refused, or there is none. */
  | 'token'
  /** What was read from the server or the local copy cannot be. */
  | 'damaged'

/** An error of this library. Nothing was changed, unless its code says otherwise. */
export class RuangError extends Error {
  override readonly name = 'RuangError'
  /** For programs. */
  readonly code: RuangErrorCode
  /** The reason's own name in the core or on the server, if there is one: `text`, `votes`, … */
  readonly detail: string | undefined

  constructor (code: RuangErrorCode, message: string, { detail, cause }: { detail?: string, cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.detail = detail
  }
}

/** Something the person should know of, while the client goes on. */
export interface Warning {
  code:
    /** There is no IndexedDB here (a private window, a setting): edits live as long as the page does. */
    | 'storage-unavailable'
    /** Another tab holds an older version of the database open: in memory until that tab is closed. */
    | 'storage-blocked'
    /** The disk or the browser's share of it is full: in memory until there is room. */
    | 'storage-full'
    /** The browser threw the database away, or another tab needs a newer one: in memory from now on. */
    | 'storage-lost'
    /** Another tab has settled a conflict in another way: what only this tab holds is not stored locally. */
    | 'storage-other-life'
    /** The local copy works again, and holds everything that the page does. */
    | 'storage-back'
    /** The server will let go of the room: offer to save a copy. */
    | 'expiring'
    /** The application's `getToken` failed; it is asked again. */
    | 'no-token'
  message: string
  /** With `expiring`: in how many milliseconds. */
  inMs?: number
  cause?: unknown
}
