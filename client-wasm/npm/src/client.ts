// The client of one room, as applications hold it.

import type { Entry, KeyedPart, Part, Parts } from './board.js'
import type { ServerClock } from './clock.js'
import type { Connection, ConnectionStatus, Told } from './connection.js'
import type { Conflict } from './conflict.js'
import { edits, type Edits } from './edits.js'
import type { RetroRoomState } from './generated/RetroRoomState.js'
import type { RuangOptions } from './options.js'
import type { Presence } from './presence.js'
import { Room } from './room.js'

/**
 * A board, live. Works at once with what this browser has, connects, and stays connected; edits are made here first, kept in the
 * local copy, sent, and counted as unsaved until the server has stored them.
 */
export class RuangClient {
  /** The edits. They throw until {@link ready} is resolved. */
  readonly edit: Edits
  /** Who is here. */
  readonly presence: Presence
  /** The server's clock: timers end by it. */
  readonly clock: ServerClock
  /** Resolved when edits can be made; rejected with `no-core` if the core cannot be loaded. */
  readonly ready: Promise<void>
  readonly #room: Room

  /** @throws {RuangError} `bad-option` if the address or the room's name cannot be. */
  constructor (options: RuangOptions) {
    const room = new Room(options)
    this.#room = room
    this.presence = room.presence
    this.clock = room.clock
    this.edit = edits({
      edit: (edit) => { room.do((core) => core.edit(edit, Date.now())) },
      seed: (template) => { room.do((core) => core.seed(template)) },
      undo: () => { room.do((core) => core.undo()) },
      redo: () => { room.do((core) => core.redo()) }
    }, room.board)
    this.ready = room.start()
    this.ready.catch(() => {}) // the application may not look
  }

  /** The board. The same object until something on it is another. */
  get state (): RetroRoomState { return this.#room.board.state }
  /** How it stands. The same object until something of it is another. */
  get connection (): Connection { return this.#room.connection }
  get status (): ConnectionStatus { return this.#room.status }
  /** Edits that the server has not stored yet. */
  get unsaved (): number { return this.#room.session?.unsaved ?? 0 }
  /** Who this is: the token's `sub`, or a name that stands for it. Empty until that is known. */
  get user (): string { return this.#room.user ?? '' }
  /** The room's name. Another one after `conflict.keepMineAs`. */
  get room (): string { return this.#room.name }
  /** What has to be decided before it goes on, if there is something. */
  get conflict (): Conflict | undefined { return this.#room.conflict }

  /** A part of the board, or one entry of it: the same object until it is another. */
  get<Name extends Part> (part: Name): Parts[Name]
  get<Name extends KeyedPart> (part: Name, id: string): Entry<Name> | undefined
  get (part: Part, id?: string): unknown {
    const { board } = this.#room
    return id === undefined ? board.get(part) : board.get(part as KeyedPart, id)
  }

  /**
   * Calls `listener` after each change: of the board, of a part of it, or of one entry. Returns what ends that.
   *
   * ```js
   * const end = client.subscribe('itemPositions', id, () => place(client.get('itemPositions', id)))
   * ```
   */
  subscribe (listener: () => void): () => void
  subscribe (part: Part, listener: () => void): () => void
  subscribe (part: KeyedPart, id: string, listener: () => void): () => void
  subscribe (...asked: [() => void] | [Part, () => void] | [KeyedPart, string, () => void]): () => void {
    const { board } = this.#room
    if (asked.length === 1) return board.subscribe(asked[0])
    if (asked.length === 2) return board.subscribe(asked[0], asked[1])
    return board.subscribe(asked[0], asked[1], asked[2])
  }

  /** Listens to what happens. Returns what ends that. */
  on<Name extends keyof Told> (name: Name, listener: (value: Told[Name]) => void): () => void {
    return this.#room.listeners.on(name, listener)
  }

  /** Connects, also after it was refused or disconnected. In a conflict nothing. */
  connect (): void { this.#room.connect() }

  /** Gives the connection up; edits are kept, and go out with the next one. */
  disconnect (): void { this.#room.disconnect() }

  /**
   * Another token of the same person, for the next connection; which is now, if the last one was refused.
   *
   * @throws {RuangError} `token` if it is another person's
   */
  setToken (token: string | undefined): void { this.#room.setToken(token) }

  /** The whole document as an update of Yjs (V1), for an export or another document. @throws {RuangError} `not-ready` */
  encode (): Uint8Array { return this.#room.need().encode() }

  /** How large the document is. Costs an encoding: for panels, not for every frame. @throws {RuangError} `not-ready` */
  measure (): { clients: number, bytes: number, clientId: number } {
    const { clients, bytes, clientId } = this.#room.need().ask((core) => core.status())
    return { clients, bytes, clientId }
  }

  /** Resolves when all that was edited is in the local copy, or a warning has said that it cannot be. */
  async stored (): Promise<void> { await this.#room.session?.copy.settled() }

  /** Leaves the room. What was edited stays in the local copy. */
  async close (): Promise<void> { await this.#room.close() }
}
