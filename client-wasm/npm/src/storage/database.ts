// The database of all rooms' copies: its layout, how it is opened, what of it may go.

import { openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction } from 'idb'
import type { Scope } from './copy.js'

/** The database's name. */
export const DATABASE = 'ruang'
/**
 * The version of the layout, in steps of ten. Newer ones are made in `upgrade`, from every older one. A page that finds a newer
 * layout than its own works in memory.
 */
export const DATABASE_VERSION = 10
/** Copies of rooms that are kept beside the open one, at most; those with unsaved edits are kept besides. */
export const ROOMS_MAX = 50
/** A copy without unsaved edits goes when it was not opened for so long, in ms. */
export const ROOM_AGE_MAX_MS = 90 * 24 * 3600 * 1000

/** What is known of one copy. */
export interface RoomRow {
  /** `[server, room, user]` */
  scope: [string, string, string]
  /** Another one each time the copy is begun anew. */
  life: string
  /** The number of the next record. */
  next: number
  /** How many records there are, and their bytes. */
  records: number
  bytes: number
  /** Bytes of the record that the last compaction wrote. */
  base: number
  /** Unsaved edits, as each tab that has some last said. */
  unsaved: Record<string, number>
  /** When it was last opened, in ms since 1970 by this browser's clock. */
  openedMs: number
}

/** The layout. Records are keyed by scope and number, and hold an update V1 each. */
export interface Layout extends DBSchema {
  rooms: { key: [string, string, string], value: RoomRow }
  records: { key: [string, string, string, number], value: Uint8Array }
}

export type Database = IDBPDatabase<Layout>
/** A transaction over both stores. */
export type Write = IDBPTransaction<Layout, ['rooms', 'records'], 'readwrite'>

/** What happens to an open database. */
export interface DatabaseHost {
  /** Another connection holds an older layout open; this one waits. */
  blocked (): void
  /** Another page wants a newer layout, or the browser has closed it: it is closed now. */
  lost (): void
}

/** Opens the database, making or upgrading it. May wait for ever: for other pages. */
export async function openDatabase (host: DatabaseHost): Promise<Database> {
  const database: Database = await openDB<Layout>(DATABASE, DATABASE_VERSION, {
    upgrade (fresh) {
      // From anything older than version 10, which nobody has.
      for (const name of [...fresh.objectStoreNames]) fresh.deleteObjectStore(name)
      fresh.createObjectStore('rooms', { keyPath: 'scope' })
      fresh.createObjectStore('records')
    },
    blocked: () => { host.blocked() },
    blocking: () => {
      database.close()
      host.lost()
    },
    terminated: () => { host.lost() }
  })
  return database
}

export function key (scope: Scope): [string, string, string] {
  return [scope.server, scope.room, scope.user]
}

/** All records of a scope, or those from a number on. */
export function recordRange (scope: [string, string, string], from = 0, to = Infinity): IDBKeyRange {
  return IDBKeyRange.bound([...scope, from], [...scope, to])
}

/**
 * How many edits in a copy are unsaved. Tabs tell each other of their edits, so each counts those of all that were open
 * with it: the largest count is the count.
 */
export function unsavedOf (row: RoomRow): number {
  return Math.max(0, ...Object.values(row.unsaved))
}

/** The people who have a copy of this room here, the latest first. */
export async function usersOf (database: Database, server: string, room: string): Promise<string[]> {
  const rows = await database.getAll('rooms', IDBKeyRange.bound([server, room, ''], [server, room, []]))
  return rows.sort((a, b) => b.openedMs - a.openedMs).map((row) => row.scope[2])
}

/** Removes copies that have no unsaved edits: old ones, and the oldest if there are many; with `all`, all but one's own. */
export async function evict (write: Write, own: [string, string, string], nowMs: number, all = false): Promise<number> {
  const rooms = write.objectStore('rooms')
  const others = (await rooms.getAll()).filter((row) => row.scope.join('\n') !== own.join('\n') && unsavedOf(row) === 0)
  others.sort((a, b) => b.openedMs - a.openedMs)
  const gone = others.filter((row, at) => all || at >= ROOMS_MAX || nowMs - row.openedMs > ROOM_AGE_MAX_MS)
  for (const row of gone) {
    await write.objectStore('records').delete(recordRange(row.scope))
    await rooms.delete(row.scope)
  }
  return gone.length
}
