// The board as it is shown, part by part: who shows one card is called when that card is another, and only then.
//
// Invariants:
// - Objects are replaced, never changed: what was handed out once stays as it is, and an unchanged part is the same object.
// - Listeners are called after all of a change is in, each once for a change.

import type { Change } from './generated/Change.js'
import type { Item } from './generated/Item.js'
import type { Participant } from './generated/Participant.js'
import type { RetroRoomState } from './generated/RetroRoomState.js'
import { call } from './signal.js'

/** Parts that are told apart by id: a listener may ask for one. */
export type KeyedPart = 'items' | 'itemPositions' | 'itemGroups' | 'groups' | 'signatureColors' | 'allUserVotes'

/** What can be subscribed to: the parts of `RetroRoomState`, and the ids of cards and groups, in order. */
export interface Parts extends RetroRoomState {
  /** Cards, the oldest first: changes only when a card comes, goes, or turns out to be older. */
  itemIds: readonly string[]
  /** Groups, in their order. */
  groupIds: readonly string[]
}

/** The name of a part. */
export type Part = keyof Parts

/** One entry of a part that has ids. */
export type Entry<Name extends KeyedPart> = NonNullable<RetroRoomState[Name][string]>

const KEYED: readonly KeyedPart[] = ['items', 'itemPositions', 'itemGroups', 'groups', 'signatureColors', 'allUserVotes']

type Listener = () => void
type Live = Record<string, unknown>

/** A board without anything. */
export const EMPTY_BOARD: RetroRoomState = Object.freeze({
  meta: Object.freeze({
    title: '', phase: 'write', columns: [], voteLimit: 5, timerEndsAt: null, hideCards: false
  }),
  items: Object.freeze({}),
  itemPositions: Object.freeze({}),
  itemGroups: Object.freeze({}),
  groups: Object.freeze({}),
  signatureColors: Object.freeze({}),
  actionItems: Object.freeze([]) as never,
  allUserVotes: Object.freeze({}),
  participants: Object.freeze([]) as never,
  lastUpdated: null
}) as RetroRoomState

/** Holds the state and tells who asked for which part of it. */
export class Board {
  /** Entries by id, without a prototype: `__proto__` is an id like others. Changed in place, never handed out. */
  readonly #live = new Map<KeyedPart, Live>()
  /** What was handed out, until it is another. */
  readonly #shown = new Map<Part, unknown>()
  #plain: Pick<RetroRoomState, 'meta' | 'actionItems' | 'participants' | 'lastUpdated'> = EMPTY_BOARD
  #whole: RetroRoomState | undefined
  readonly #anything = new Set<Listener>()
  readonly #ofPart = new Map<Part, Set<Listener>>()
  readonly #ofEntry = new Map<KeyedPart, Map<string, Set<Listener>>>()

  constructor () {
    for (const part of KEYED) this.#live.set(part, Object.create(null) as Live)
  }

  /** All of it. The same object until something is another. */
  get state (): RetroRoomState {
    this.#whole ??= {
      meta: this.get('meta'),
      items: this.get('items'),
      itemPositions: this.get('itemPositions'),
      itemGroups: this.get('itemGroups'),
      groups: this.get('groups'),
      signatureColors: this.get('signatureColors'),
      actionItems: this.get('actionItems'),
      allUserVotes: this.get('allUserVotes'),
      participants: this.get('participants'),
      lastUpdated: this.get('lastUpdated')
    }
    return this.#whole
  }

  /** A part, or one entry of it: the same object until it is another. */
  get<Name extends Part> (part: Name): Parts[Name]
  get<Name extends KeyedPart> (part: Name, id: string): Entry<Name> | undefined
  get (part: Part, id?: string): unknown {
    const live = this.#live.get(part as KeyedPart)
    if (live !== undefined && id !== undefined) return live[id]
    if (part === 'meta' || part === 'actionItems' || part === 'participants' || part === 'lastUpdated') {
      return this.#plain[part]
    }
    if (!this.#shown.has(part)) this.#shown.set(part, this.#show(part))
    return this.#shown.get(part)
  }

  /** Calls `listener` after each change of anything, of a part, or of one entry. Returns what ends that. */
  subscribe (listener: Listener): () => void
  subscribe (part: Part, listener: Listener): () => void
  subscribe (part: KeyedPart, id: string, listener: Listener): () => void
  subscribe (...asked: [Listener] | [Part, Listener] | [KeyedPart, string, Listener]): () => void {
    if (asked.length === 1) return add(this.#anything, asked[0])
    if (asked.length === 2) return add(entry(this.#ofPart, asked[0], () => new Set()), asked[1])
    const [part, id, listener] = asked
    const ids = entry(this.#ofEntry, part, () => new Map<string, Set<Listener>>())
    const taken = add(entry(ids, id, () => new Set()), listener)
    return () => {
      taken()
      if (ids.get(id)?.size === 0) ids.delete(id)
    }
  }

  /** Takes in what has changed, and tells. */
  apply (change: Change): void {
    const told = new Set<Listener>()
    for (const part of KEYED) {
      const entries = change[part]
      if (entries !== undefined) this.#applyEntries(part, entries, told)
    }
    if (change.meta !== undefined) this.#set('meta', change.meta, told)
    if (change.actionItems !== undefined) this.#set('actionItems', change.actionItems, told)
    this.#tell(told)
  }

  /** Puts another board in place of this one; what is the same stays the same object. */
  replace (state: RetroRoomState): void {
    const told = new Set<Listener>()
    for (const part of KEYED) {
      const entries: Live = Object.create(null) as Live
      for (const id of Object.keys(this.#live.get(part) as Live)) entries[id] = null
      for (const [id, value] of Object.entries(state[part])) entries[id] = value
      this.#applyEntries(part, entries, told)
    }
    this.#set('meta', state.meta, told)
    this.#set('actionItems', state.actionItems, told)
    this.#tell(told)
  }

  /** Sets who was ever here. */
  setParticipants (participants: Participant[]): void {
    const told = new Set<Listener>()
    this.#set('participants', participants, told)
    this.#tell(told)
  }

  /** Sets when the board was changed last, in ms since 1970 by the server's clock. */
  setLastUpdated (at: number): void {
    const told = new Set<Listener>()
    this.#set('lastUpdated', Math.max(at, this.#plain.lastUpdated ?? 0), told)
    this.#tell(told)
  }

  #applyEntries (part: KeyedPart, entries: Record<string, unknown>, told: Set<Listener>): void {
    const live = this.#live.get(part) as Live
    let changed = false
    let ordered = false
    for (const [id, value] of Object.entries(entries)) {
      const before = live[id]
      if (value === null || value === undefined) {
        if (before === undefined) continue
        delete live[id]
        ordered = true
      } else {
        if (equal(before, value)) continue
        live[id] = value
        ordered ||= before === undefined || place(part, before) !== place(part, value)
      }
      changed = true
      collect(this.#ofEntry.get(part)?.get(id), told)
    }
    if (!changed) return
    this.#forget(part, told)
    if (ordered && part === 'items') this.#forget('itemIds', told)
    if (ordered && part === 'groups') this.#forget('groupIds', told)
  }

  #set<Name extends 'meta' | 'actionItems' | 'participants' | 'lastUpdated'> (
    part: Name, value: RetroRoomState[Name], told: Set<Listener>
  ): void {
    if (equal(this.#plain[part], value)) return
    this.#plain = { ...this.#plain, [part]: value }
    this.#forget(part, told)
  }

  #forget (part: Part, told: Set<Listener>): void {
    this.#shown.delete(part)
    this.#whole = undefined
    collect(this.#ofPart.get(part), told)
    collect(this.#anything, told)
  }

  #tell (told: Set<Listener>): void {
    for (const listener of told) call(listener as (nothing: undefined) => void, undefined)
  }

  #show (part: Part): unknown {
    if (part === 'itemIds') return this.#inOrder('items')
    if (part === 'groupIds') return this.#inOrder('groups')
    return { ...this.#live.get(part as KeyedPart) }
  }

  #inOrder (part: 'items' | 'groups'): string[] {
    const live = this.#live.get(part) as Live
    const places = Object.keys(live).map((id) => ({ id, at: place(part, live[id]) }))
    return places.sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1)).map(({ id }) => id)
  }
}

/** Where an entry stands among the others; those that do not say so come last. */
function place (part: KeyedPart, value: unknown): number {
  if (part === 'items') return (value as Item).createdAt ?? Number.MAX_VALUE
  return (value as { order?: number | null }).order ?? Number.MAX_VALUE
}

/** Whether two values of JSON are the same. */
function equal (one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  const [keys, others] = [Object.keys(one), Object.keys(other)]
  return keys.length === others.length && Array.isArray(one) === Array.isArray(other) &&
    keys.every((key) => Object.hasOwn(other, key) && equal((one as Live)[key], (other as Live)[key]))
}

function collect (listeners: Set<Listener> | undefined, told: Set<Listener>): void {
  for (const listener of listeners ?? []) told.add(listener)
}

function add (listeners: Set<Listener>, listener: Listener): () => void {
  // A function of its own for each time: one listener subscribed twice is called twice, and ends one by one.
  const own = (): void => { listener() }
  listeners.add(own)
  return () => { listeners.delete(own) }
}

function entry<Key, Value> (map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}
