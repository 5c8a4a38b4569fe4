// One copy of one room in this page: the core, the local copy, the other tabs and the socket, tied together.
//
// Invariants:
// - What the core says to send is sent in order; what it says to store is given to the copy in the same turn.
// - After `close` nothing is heard or told any more.

import type { Address } from './address.js'
import type { Backoff } from './backoff.js'
import type { Output, Said, Who } from './core.js'
import type { Change } from './generated/Change.js'
import { Link, type LinkState, type Reason, type SocketMaker } from './link.js'
import type { Core, CoreModule } from './load.js'
import type { Copy, Loaded } from './storage/copy.js'
import { areOneLife, Tabs, type TabMessage } from './tabs.js'

/** The server forgets presence that was not renewed for 45 s. */
const PRESENCE_RENEWED_EVERY_MS = 15_000

/** What a session tells the client. */
export interface SessionHost {
  token (refused: string | undefined): Promise<string | undefined>
  tokenFailed (cause: unknown): void
  linkChanged (state: LinkState, reason: Reason | undefined): void
  /** `isNew`: it was changed just now; what comes with the first answer may be old. */
  changed (change: Change, isNew: boolean): void
  presence (states: Record<string, unknown>): void
  said (said: Said): void
  /** Counts, position or generation may be others now. */
  counted (): void
  /** Another tab has settled the conflict that this one has too. */
  settled (movedTo: string | undefined): void
  /** The core cannot go on under its client id, or at all. */
  renew (): void
}

/** What a session is made of. */
export interface SessionParts {
  module: CoreModule
  room: string
  address: Address
  who: Who
  copy: Copy
  loaded: Loaded
  Socket: SocketMaker
  backoff?: Backoff
}

export class Session {
  readonly room: string
  readonly copy: Copy
  readonly link: Link
  readonly presenceId: string
  readonly #make: (clientId: number) => Core
  readonly #core: Core
  readonly #host: SessionHost
  readonly #tabs: Tabs
  readonly #renewal: ReturnType<typeof setInterval>
  #isOver = false
  unsaved = 0
  refused = 0
  position: string | undefined
  generation: string[] = []
  canUndo = false
  canRedo = false
  isSynced = false

  constructor (host: SessionHost, { module, room, address, who, copy, loaded, Socket, backoff }: SessionParts) {
    this.room = room
    this.copy = copy
    this.#host = host
    const clientId = randomClientId()
    this.presenceId = String(clientId)
    this.#make = (clientId) => new module.Client({ room, clientId, ...who })
    this.#core = this.#make(clientId)
    this.load(loaded)
    if (loaded.updates.length > 0) this.#readGeneration()
    this.link = new Link({
      address: () => address.socket,
      token: async (refused) => await host.token(refused),
      tokenFailed: (cause) => { host.tokenFailed(cause) },
      opened: () => { this.#take(this.#core.open(), 'soon') },
      received: (frame) => { this.#take(this.#core.receive(frame), 'soon') },
      closed: () => {
        this.isSynced = false
        this.#take(this.#core.closed(), 'soon')
      },
      changed: (state, reason) => { if (!this.#isOver) host.linkChanged(state, reason) }
    }, Socket, backoff)
    this.#tabs = new Tabs(`ruang ${address.server} ${room} ${who.user}`, (message) => { this.#hear(message) })
    this.#tabs.tell({ type: 'hello', life: copy.life, generation: this.generation, has: this.#core.stateVector() })
    this.#renewal = setInterval(() => {
      if (this.link.state === 'connected') this.#take(this.#core.renewPresence(), 'soon')
    }, PRESENCE_RENEWED_EVERY_MS)
  }

  /** Takes in what the copy holds. */
  load ({ updates, unsaved }: Loaded): void {
    updates.forEach((update, at) => {
      this.#take(this.#core.load(update, at === updates.length - 1 ? unsaved : 0), 'never')
    })
  }

  /**
   * Takes in what the copy holds, later than at the beginning. Whether the server has it is not known, so it is sent: as
   * one update, so that the room's mark is in it, and a server that has another life of the room takes nothing of it.
   * `false`: it is of another life than the document, and nothing was taken in.
   */
  loadLate ({ updates }: Loaded): boolean {
    const apart = this.#make(randomClientId())
    try {
      for (const update of updates) apart.load(update, 0)
      if (!this.#fits(apart.status().generation)) return false
      if (updates.length > 0) this.#take(this.#core.merge(apart.encode(), true), 'never')
      return true
    } finally {
      apart.free()
    }
  }

  /** Takes in what other tabs have stored. Called in a transaction of the copy. */
  mergeStored (updates: Uint8Array[]): void {
    for (const update of updates) this.#take(this.#core.merge(update, false), 'never')
  }

  encode (): Uint8Array { return this.#core.encode() }

  /** Does what `work` asks the core for, in this person's name: stored at once, told to the other tabs. */
  do (work: (core: Core) => Output): void {
    const output = work(this.#core)
    for (const update of output.updates) {
      this.#tabs.tell({
        type: 'update',
        life: this.copy.life,
        generation: this.generation,
        update,
        sent: output.frames.length > 0,
        stored: this.copy.kind === 'indexeddb'
      })
    }
    this.#take(output, 'now')
  }

  /** Asks the core something. */
  ask<Answer> (work: (core: Core) => Answer): Answer { return work(this.#core) }

  setPresence (state: unknown): void { this.#take(this.#core.setPresence(state), 'soon') }

  setWho (who: Who): void { this.#core.setWho(who) }

  /** Tells the other tabs how the conflict ended, in the name of the life that is over. */
  tellSettled (life: string, movedTo: string | undefined): void {
    this.#tabs.tell(movedTo === undefined ? { type: 'settled', life } : { type: 'settled', life, movedTo })
  }

  /** Ends it; the copy stays open. */
  close (): void {
    if (this.#isOver) return
    this.#isOver = true
    clearInterval(this.#renewal)
    this.link.stop()
    this.#tabs.close()
    this.#core.free()
  }

  #take (output: Output, keep: 'now' | 'soon' | 'never'): void {
    if (this.#isOver) return
    const isNew = this.isSynced || keep === 'now'
    for (const frame of output.frames) this.link.send(frame)
    const updates = keep === 'never' ? [] : output.updates
    if (updates.length > 0 || output.unsaved !== this.unsaved) {
      this.copy.keep(updates, output.unsaved, keep === 'soon')
    }
    this.unsaved = output.unsaved
    this.canUndo = output.canUndo
    this.canRedo = output.canRedo
    for (const said of output.said) this.#note(said)
    // The mark of the room's life comes with the first edit, before or behind its acknowledgement.
    if (this.generation.length === 0 && this.isSynced && output.updates.length > 0) this.#readGeneration()
    if (output.change !== undefined) this.#host.changed(output.change, isNew)
    if (output.presence !== undefined) this.#host.presence(output.presence)
    this.#host.counted()
    for (const said of output.said) {
      this.#host.said(said)
      if (said.type === 'clientIdTaken') this.#host.renew()
    }
    if (output.close !== undefined) this.link.fail(output.close)
  }

  #note (said: Said): void {
    if (said.type === 'synced') {
      this.isSynced = true
      this.link.worked()
      this.#readGeneration()
    } else if (said.type === 'saved') {
      this.position = said.position
      if (this.generation.length === 0) this.#readGeneration()
    } else if (said.type === 'refused') {
      this.refused += said.edits
    }
  }

  /** Costs an encoding, so it is not done for each message. */
  #readGeneration (): void { this.generation = this.#core.status().generation }

  /** Whether something of these lives of the room may be put together with the document. */
  #fits (generation: readonly string[]): boolean { return areOneLife(generation, this.generation) }

  #hear (message: TabMessage): void {
    if (this.#isOver || message.life !== this.copy.life) return
    if (message.type === 'settled') {
      this.#host.settled(message.movedTo)
      return
    }
    // Two lives of a room are never put together, whatever tabs say.
    if (!this.#fits(message.generation)) return
    if (message.type === 'hello') {
      this.#answer(message.has)
      return
    }
    try {
      // Stored from here too: that tab may be killed before its own transaction is done.
      this.#take(this.#core.merge(message.update, !message.sent), message.stored ? 'soon' : 'now')
    } catch {
      // Another version of this library, or not this library at all.
    }
  }

  #answer (has: Uint8Array): void {
    try {
      this.#tabs.tell({
        type: 'update',
        life: this.copy.life,
        generation: this.generation,
        update: this.#core.encodeSince(has),
        sent: this.unsaved === 0 || this.isSynced,
        stored: this.copy.kind === 'indexeddb'
      })
    } catch {
      // No state vector.
    }
  }
}

/** From 1 to 2^32 - 1. */
function randomClientId (): number {
  const [random] = crypto.getRandomValues(new Uint32Array(1)) as unknown as [number]
  return Math.max(1, random)
}
