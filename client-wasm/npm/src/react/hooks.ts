'use client'
// Hooks: each draws its component again when what it reads is another, and not otherwise.

import { useCallback, useRef, useSyncExternalStore } from 'react'
import { EMPTY_BOARD, type Entry, type KeyedPart, type Part, type Parts } from '../board.js'
import type { RuangClient } from '../client.js'
import type { Connection } from '../connection.js'
import type { Edits } from '../edits.js'
import { RuangError } from '../errors.js'
import type { RetroRoomState } from '../generated/RetroRoomState.js'
import type { RuangOptions } from '../options.js'
import type { Drag, Present, Presence } from '../presence.js'
import { useRuang, useRuangClient } from './context.js'

const NOWHERE: Connection = Object.freeze({
  status: 'connecting',
  reason: undefined,
  isReady: false,
  unsaved: 0,
  refused: 0,
  position: undefined,
  generation: [],
  storage: 'memory',
  canUndo: false,
  canRedo: false,
  room: '',
  user: '',
  role: 'viewer',
  conflict: undefined
})
const NOBODY: readonly Present[] = Object.freeze([])
const NOT_READY: Edits = new Proxy({} as Edits, {
  get: () => () => { throw new RuangError('not-ready', 'there is no client yet') }
})

const nothing = (): void => {}

/** What `useRetroRoom` gives. */
export interface RetroRoom extends Connection {
  /** The board. */
  state: RetroRoomState
  /** The edits; the same object as long as the client is. */
  edit: Edits
  /** The client itself; `null` until there is one. */
  client: RuangClient | null
}

/**
 * The whole room: the board, the edits, and how it stands. Drawn again with each change of any of it, so for small boards, or
 * for what shows all of it; a card is better off with {@link useEntry}.
 *
 * With options it makes a client of its own; without, it uses the one of the `RuangProvider` above.
 */
export function useRetroRoom (options?: RuangOptions): RetroRoom {
  const own = useRuangClient(options ?? null)
  const shared = useRuang()
  const client = options === undefined ? shared : own
  const state = useBoard(client)
  const connection = useConnection(client)
  return { ...connection, state, edit: client?.edit ?? NOT_READY, client }
}

/** The edits of the client above. */
export function useEdit (): Edits { return useRuang()?.edit ?? NOT_READY }

/** A part of the board: `meta`, `itemIds`, `actionItems`, … */
export function usePart<Name extends Part> (part: Name): Parts[Name] {
  const client = useRuang()
  const subscribe = useCallback((listener: () => void) => client?.subscribe(part, listener) ?? nothing, [client, part])
  const get = (): Parts[Name] => client === null ? emptyPart(part) : client.get(part)
  return useSyncExternalStore(subscribe, get, () => emptyPart(part))
}

/** One entry of a part: a card, its position, its group, somebody's votes. Drawn again only when that one is another. */
export function useEntry<Name extends KeyedPart> (part: Name, id: string): Entry<Name> | undefined {
  const client = useRuang()
  const subscribe = useCallback((listener: () => void) => client?.subscribe(part, id, listener) ?? nothing, [client, part, id])
  return useSyncExternalStore(subscribe, () => client?.get(part, id), () => undefined)
}

/** How it stands with the client: connection, unsaved edits, conflict. */
export function useConnection (given?: RuangClient | null): Connection {
  const shared = useRuang()
  const client = given === undefined ? shared : given
  const subscribe = useCallback((listener: () => void) => client?.on('connection', listener) ?? nothing, [client])
  return useSyncExternalStore(subscribe, () => client?.connection ?? NOWHERE, () => NOWHERE)
}

/** Who is here, oneself first, and what to show with. */
export function usePresence (): { all: readonly Present[], others: readonly Present[], presence: Presence | null } {
  const client = useRuang()
  const subscribe = useCallback((listener: () => void) => client?.presence.subscribe(listener) ?? nothing, [client])
  const all = useSyncExternalStore(subscribe, () => client?.presence.all ?? NOBODY, () => NOBODY)
  const others = client?.presence.others ?? NOBODY
  return { all, others, presence: client?.presence ?? null }
}

/** Where somebody else is dragging a card just now. Drawn again only when that card is dragged. */
export function useDrag (item: string): (Drag & { by: Present }) | undefined {
  const client = useRuang()
  const last = useRef<(Drag & { by: Present }) | undefined>(undefined)
  const subscribe = useCallback((listener: () => void) => client?.presence.subscribe(item, listener) ?? nothing, [client, item])
  const get = (): (Drag & { by: Present }) | undefined => {
    const now = client?.presence.drags[item]
    const then = last.current
    if (now?.x !== then?.x || now?.y !== then?.y || now?.by.id !== then?.by.id) last.current = now
    return last.current
  }
  return useSyncExternalStore(subscribe, get, () => undefined)
}

function useBoard (client: RuangClient | null): RetroRoomState {
  const subscribe = useCallback((listener: () => void) => client?.subscribe(listener) ?? nothing, [client])
  return useSyncExternalStore(subscribe, () => client?.state ?? EMPTY_BOARD, () => EMPTY_BOARD)
}

const NO_IDS: readonly string[] = Object.freeze([])

function emptyPart<Name extends Part> (part: Name): Parts[Name] {
  if (part === 'itemIds' || part === 'groupIds') return NO_IDS as Parts[Name]
  return EMPTY_BOARD[part as keyof RetroRoomState] as Parts[Name]
}
