// Which copy a client gets.

import { MemoryCopy, type Copy, type CopyHost, type Scope } from './copy.js'
import { openDatabase, usersOf } from './database.js'
import { hasIndexedDb, IndexedDbCopy } from './indexeddb.js'

/** A database that does not answer in this time is not asked who was here, in ms. */
const PATIENCE_MS = 1_000

export function openCopy (scope: Scope, storage: 'indexeddb' | 'memory', host: CopyHost): Copy {
  return storage === 'memory' ? new MemoryCopy() : new IndexedDbCopy(scope, host)
}

/** Whose copy of a room was opened here last: where a page is offline, and cannot get a token to know it. */
export async function lastUser (server: string, room: string): Promise<string | undefined> {
  if (!hasIndexedDb()) return undefined
  const asked = openDatabase({ blocked: () => {}, lost: () => {} }).then(async (database) => {
    const [last] = await usersOf(database, server, room)
    database.close()
    return last
  }).catch(() => undefined)
  return await Promise.race([asked, new Promise<undefined>((resolve) => { setTimeout(resolve, PATIENCE_MS, undefined) })])
}
