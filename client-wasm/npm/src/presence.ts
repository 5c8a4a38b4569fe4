// Who is here, and what they are doing: shown, never stored.

import type { Point } from './generated/Point.js'
import { call } from './signal.js'

/** One's own state is sent at most this often, in ms. */
export const PRESENCE_EVERY_MS = 50

/** A card that somebody is dragging, and where it is now. */
export interface Drag {
  item: string
  x: number
  y: number
}

/** What somebody shows to the others. Applications add members of their own. */
export interface PresenceState {
  /** The server writes a token's `id`, `name` and `color` here. */
  user?: { id?: string, name?: string, color?: string }
  /** Where the pointer is, on the board. */
  cursor?: Point | null
  /** What is being dragged. */
  drag?: Drag | null
  [more: string]: unknown
}

/** Somebody who is here: one for each tab. */
export interface Present {
  /** Of the tab; another one after each load. */
  id: string
  /** Whether it is this client. */
  isOwn: boolean
  /** Its person. */
  user: string
  name: string | undefined
  color: string | undefined
  state: PresenceState
}

type Listener = () => void

/** Everyone's presence, and one's own. */
export class Presence {
  #own: PresenceState = {}
  #ownId: string
  readonly #states = new Map<string, PresenceState>()
  #all: readonly Present[] | undefined
  #others: readonly Present[] | undefined
  #drags: Readonly<Record<string, Drag & { by: Present }>> | undefined
  readonly #listeners = new Set<Listener>()
  readonly #dragListeners = new Map<string, Set<Listener>>()
  readonly #send: (state: PresenceState) => void
  #sentAt = -Infinity
  #later: ReturnType<typeof setTimeout> | undefined

  /** @param send shows a state to the others. */
  constructor (send: (state: PresenceState) => void) {
    this.#send = send
    this.#ownId = ''
  }

  /** What this client shows. */
  get own (): PresenceState { return this.#own }

  /** Everyone who is here, this client included. The same array until something is another. */
  get all (): readonly Present[] {
    this.#all ??= [...this.#states].map(([id, state]) => this.#present(id, state))
      .sort((a, b) => Number(b.isOwn) - Number(a.isOwn) || (a.user < b.user ? -1 : a.user > b.user ? 1 : a.id < b.id ? -1 : 1))
    return this.#all
  }

  /** The others. */
  get others (): readonly Present[] {
    this.#others ??= this.all.filter((present) => !present.isOwn)
    return this.#others
  }

  /** What others are dragging, by card. */
  get drags (): Readonly<Record<string, Drag & { by: Present }>> {
    if (this.#drags === undefined) {
      const drags = Object.create(null) as Record<string, Drag & { by: Present }>
      for (const by of this.others) {
        const { drag } = by.state
        if (isDrag(drag)) drags[drag.item] = { ...drag, by }
      }
      this.#drags = drags
    }
    return this.#drags
  }

  /** Shows more, or something else; a member that is `undefined` is taken off. Sent at most every 50 ms. */
  set (changes: Partial<PresenceState>): void {
    const next: PresenceState = { ...this.#own, ...changes }
    for (const [key, value] of Object.entries(next)) if (value === undefined) delete next[key]
    this.#own = next
    if (this.#later !== undefined) return
    const wait = this.#sentAt + PRESENCE_EVERY_MS - performance.now()
    if (wait <= 0) this.flush()
    else this.#later = setTimeout(() => { this.flush() }, wait)
  }

  /** Shows that a card is being dragged. The document is not written: `edit.moveItem` does that when it is dropped. */
  drag (item: string, { x, y }: Point): void { this.set({ drag: { item, x, y } }) }

  /** It is dragged no longer. */
  endDrag (): void {
    this.set({ drag: undefined as never })
    this.flush()
  }

  /** Sends what waits. */
  flush (): void {
    clearTimeout(this.#later)
    this.#later = undefined
    this.#sentAt = performance.now()
    this.#send(this.#own)
  }

  /** Calls `listener` when anyone's state, or only a drag of one card, is another. */
  subscribe (listener: Listener): () => void
  subscribe (item: string, listener: Listener): () => void
  subscribe (...asked: [Listener] | [string, Listener]): () => void {
    if (asked.length === 1) {
      const own = (): void => { asked[0]() }
      this.#listeners.add(own)
      return () => { this.#listeners.delete(own) }
    }
    const [item, listener] = asked
    const own = (): void => { listener() }
    const all = this.#dragListeners.get(item) ?? new Set()
    this.#dragListeners.set(item, all)
    all.add(own)
    return () => {
      all.delete(own)
      if (all.size === 0) this.#dragListeners.delete(item)
    }
  }

  /** For the client: its presence id is another. @internal */
  begin (ownId: string): void {
    this.#ownId = ownId
    this.#states.clear()
    this.#changed()
  }

  /** For the client: these states are others now. @internal */
  take (states: Record<string, unknown>): void {
    for (const [id, state] of Object.entries(states)) {
      if (typeof state === 'object' && state !== null) this.#states.set(id, state as PresenceState)
      else this.#states.delete(id)
    }
    this.#changed()
  }

  /** For the client. @internal */
  end (): void {
    clearTimeout(this.#later)
    this.#later = undefined
    this.#listeners.clear()
    this.#dragListeners.clear()
  }

  #changed (): void {
    const before = this.#drags
    this.#all = undefined
    this.#others = undefined
    this.#drags = undefined
    for (const listener of [...this.#listeners]) call(listener as (nothing: undefined) => void, undefined)
    if (this.#dragListeners.size === 0) return
    const now = this.drags
    for (const [item, listeners] of this.#dragListeners) {
      const [was, is] = [before?.[item], now[item]]
      if (was?.x === is?.x && was?.y === is?.y && was?.by.id === is?.by.id) continue
      for (const listener of [...listeners]) call(listener as (nothing: undefined) => void, undefined)
    }
  }

  #present (id: string, state: PresenceState): Present {
    const { user } = state
    const text = (value: unknown): string | undefined => typeof value === 'string' ? value : undefined
    return {
      id,
      isOwn: id === this.#ownId,
      user: text(user?.id) ?? '',
      name: text(user?.name),
      color: text(user?.color),
      state
    }
  }
}

function isDrag (drag: unknown): drag is Drag {
  if (typeof drag !== 'object' || drag === null) return false
  const { item, x, y } = drag as Record<string, unknown>
  return typeof item === 'string' && Number.isFinite(x) && Number.isFinite(y)
}
