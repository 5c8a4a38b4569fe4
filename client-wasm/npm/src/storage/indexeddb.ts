// The copy of a room in IndexedDB, shared by all tabs of one person.
//
// Each write is one transaction over both stores, and transactions that write are run one after the other, whatever tab
// they are of. So no lock is needed: what a compaction replaces it has read, and taken into the document, in the same transaction.
//
// Invariants:
// - What was given to `keep` is stored, or still waits here and the person was warned.
// - A tab writes only into the life of the copy that it has loaded.
// - A compaction removes only records that are in the document whose encoding it writes.
// - What waits is bounded: beyond that the whole document is written in its place.

import type { Warning } from '../errors.js'
import { randomId } from '../edits.js'
import { NOTHING, type Copy, type CopyHost, type Loaded, type Scope } from './copy.js'
import {
  evict, key, openDatabase, recordRange, unsavedOf, type Database, type RoomRow, type Write
} from './database.js'

/** If the database is not open after this, the client begins without it, in ms. */
export const OPEN_PATIENCE_MS = 1_500
/** More records than this are made one. */
export const RECORDS_MAX = 200
/** So are records of more bytes than this, beyond twice of what they came to the last time. */
export const BYTES_SLACK = 256 * 1024
/** More than this does not wait as it is, in bytes. */
export const WAITING_BYTES_MAX = 1024 * 1024
/** What others have written, and the server has, may wait so long, in ms. */
export const SOON_MS = 200
/** After a failed write it is tried again, in ms. */
export const RETRY_MS = 10_000

type State =
  /** Nothing was opened, or it is closed. */
  | 'closed'
  | 'opening'
  | 'open'
  /** There is none, or none any more. */
  | 'gone'
  /** Another tab has begun another life: nothing more is written from here. */
  | 'left'

/** A copy in IndexedDB. While that cannot be had it keeps what it is given, and says so. */
export class IndexedDbCopy implements Copy {
  readonly #scope: [string, string, string]
  readonly #host: CopyHost
  /** This page, among those that write how much is unsaved. */
  readonly #tab = randomId()
  readonly #now: () => number
  #database: Database | undefined
  #state: State = 'closed'
  #life: string = randomId()
  /** Given and not stored. */
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  /** The whole document has to be written: what was given is not kept any more. */
  #whole = false
  #unsaved = 0
  #storedUnsaved = 0
  /** What other pages had said when this one loaded: cleared when all is saved. */
  #inherited: Record<string, number> = {}
  /** Up to which record the document has taken everything in. */
  #seen = -1
  #writing: Promise<void> | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #soon: ReturnType<typeof setTimeout> | undefined
  #warned: Warning['code'] | undefined

  constructor (scope: Scope, host: CopyHost, now: () => number = Date.now) {
    this.#scope = key(scope)
    this.#host = host
    this.#now = now
  }

  get kind (): 'indexeddb' | 'memory' {
    return this.#state === 'open' && this.#warned === undefined ? 'indexeddb' : 'memory'
  }

  get life (): string { return this.#life }

  async open (): Promise<Loaded> {
    this.#state = 'opening'
    if (!hasIndexedDb()) {
      this.#gone('storage-unavailable', 'this browser keeps no data here: edits live as long as the page')
      return NOTHING
    }
    const opening = this.#openDatabase()
    const late = Symbol('late')
    let patience: ReturnType<typeof setTimeout> | undefined
    const first = await Promise.race([
      opening,
      new Promise<typeof late>((resolve) => { patience = setTimeout(resolve, OPEN_PATIENCE_MS, late) })
    ])
    clearTimeout(patience)
    if (first !== late) return first ?? NOTHING
    this.#warn('storage-blocked', 'the local copy cannot be opened yet; if it stays so, close the other tabs of this site')
    void opening.then((loaded) => {
      if (loaded === undefined) return
      if (this.#host.late(loaded)) {
        this.#whole = true
        this.#write()
      } else {
        this.#state = 'left'
      }
    })
    return NOTHING
  }

  keep (updates: Uint8Array[], unsaved: number, soon: boolean): void {
    this.#waiting.push(...updates)
    for (const update of updates) this.#waitingBytes += update.length
    if (this.#waitingBytes > WAITING_BYTES_MAX || (this.#state !== 'open' && updates.length > 0)) this.#wantWhole()
    this.#unsaved = unsaved
    if (this.#state !== 'open') return
    if (!soon) this.#write()
    else this.#soon ??= setTimeout(() => { this.#write() }, SOON_MS)
  }

  async settled (): Promise<void> {
    if (this.#state === 'open') this.#write()
    while (this.#writing !== undefined) await this.#writing
  }

  async clear (): Promise<void> {
    await this.settled()
    this.#forget()
    this.#unsaved = 0
    this.#storedUnsaved = 0
    this.#inherited = {}
    this.#seen = -1
    this.#life = randomId()
    if (this.#database === undefined) return
    this.#state = 'open'
    await this.#transaction(async (write) => {
      await write.objectStore('records').delete(recordRange(this.#scope))
      await write.objectStore('rooms').put(this.#freshRow())
    })
  }

  async follow (): Promise<Loaded> {
    await this.settled()
    this.#forget()
    if (this.#database === undefined) return NOTHING
    this.#state = 'open'
    return await this.#load(this.#database)
  }

  async close (): Promise<void> {
    await this.settled()
    clearTimeout(this.#retry)
    this.#state = 'closed'
    this.#database?.close()
    this.#database = undefined
  }

  /** Opens and loads. `undefined`: there is no database, which was warned of. */
  async #openDatabase (): Promise<Loaded | undefined> {
    try {
      const database = await openDatabase({
        blocked: () => { this.#warn('storage-blocked', 'another tab holds an older copy open: close it') },
        lost: () => {
          this.#database = undefined
          this.#gone('storage-lost', 'the local copy was closed, by the browser or by a newer version in another tab: reload')
        }
      })
      if (this.#state === 'closed') {
        database.close()
        return undefined
      }
      this.#database = database
      const loaded = await this.#load(database)
      this.#state = 'open'
      return loaded
    } catch (cause) {
      this.#gone('storage-unavailable', 'this browser keeps no data here: edits live as long as the page', cause)
      return undefined
    }
  }

  async #load (database: Database): Promise<Loaded> {
    const write = database.transaction(['rooms', 'records'], 'readwrite')
    const rooms = write.objectStore('rooms')
    const row = await rooms.get(this.#scope) ?? this.#freshRow()
    const updates = await write.objectStore('records').getAll(recordRange(this.#scope))
    await rooms.put({ ...row, openedMs: this.#now() })
    await evict(write, this.#scope, this.#now())
    await write.done
    this.#life = row.life
    this.#seen = row.next - 1
    this.#inherited = { ...row.unsaved }
    this.#storedUnsaved = 0
    return { updates, unsaved: unsavedOf(row) }
  }

  #freshRow (): RoomRow {
    return {
      scope: this.#scope,
      life: this.#life,
      next: 0,
      records: 0,
      bytes: 0,
      base: 0,
      unsaved: {},
      openedMs: this.#now()
    }
  }

  /** Writes what waits; what comes meanwhile is the next transaction. */
  #write (): void {
    clearTimeout(this.#soon)
    this.#soon = undefined
    if (this.#writing !== undefined) return
    if (!this.#whole && this.#waiting.length === 0 && this.#unsaved === this.#storedUnsaved) return
    if (this.#retry !== undefined) return // it has just failed
    this.#writing = this.#writeOnce().then((worked) => {
      this.#writing = undefined
      if (this.#state !== 'open') return
      if (worked) {
        this.#write()
        return
      }
      this.#retry = setTimeout(() => {
        this.#retry = undefined
        this.#write()
      }, RETRY_MS)
    })
  }

  async #writeOnce (): Promise<boolean> {
    const waiting = this.#waiting.length
    const isWhole = this.#whole
    const updates = isWhole ? undefined : this.#waiting.slice()
    const unsaved = this.#unsaved
    this.#whole = false
    const put = async (): Promise<boolean> =>
      await this.#transaction(async (write) => { await this.#put(write, updates, unsaved) })
    try {
      // A full disk: what is of use to nobody goes first.
      if (!await put() && (!await this.#makeRoom() || !await put())) {
        this.#whole ||= isWhole
        return false
      }
    } catch (cause) {
      if (!(cause instanceof OtherLife)) throw cause
      this.#state = 'left'
      this.#forget()
      this.#warn('storage-other-life', 'another tab has begun this room anew: what is written here is not stored locally')
      return true
    }
    if (!this.#whole) this.#waiting = this.#waiting.slice(waiting)
    this.#waitingBytes = this.#waiting.reduce((all, update) => all + update.length, 0)
    this.#storedUnsaved = unsaved
    this.#back()
    return true
  }

  async #put (write: Write, updates: Uint8Array[] | undefined, unsaved: number): Promise<void> {
    const rooms = write.objectStore('rooms')
    const records = write.objectStore('records')
    const found = await rooms.get(this.#scope)
    const row = found ?? this.#freshRow()
    if (row.life !== this.#life) throw new OtherLife()
    this.#tell(row, unsaved)
    // A copy that is not there any more (another tab has made room for its own) begins again with all of it.
    if (updates === undefined || found === undefined) {
      await this.#compact(write, row)
      await rooms.put(row)
      return
    }
    for (const update of updates) {
      await records.put(update, [...this.#scope, row.next])
      // What other tabs have written before is not in this document yet: only a compaction needs that.
      if (this.#seen === row.next - 1) this.#seen = row.next
      row.next += 1
      row.records += 1
      row.bytes += update.length
    }
    if (row.records > RECORDS_MAX || row.bytes > BYTES_SLACK + 2 * row.base) await this.#compact(write, row)
    await rooms.put(row)
  }

  /** Says how many edits are unsaved here; and when none is, that what this page had found is saved too. */
  #tell (row: RoomRow, unsaved: number): void {
    if (unsaved > 0) {
      row.unsaved[this.#tab] = unsaved
      return
    }
    delete row.unsaved[this.#tab]
    for (const [tab, count] of Object.entries(this.#inherited)) {
      if (row.unsaved[tab] === count) delete row.unsaved[tab]
    }
    this.#inherited = {}
  }

  async #compact (write: Write, row: RoomRow): Promise<void> {
    const records = write.objectStore('records')
    if (this.#seen < row.next - 1) {
      this.#host.merge(await records.getAll(recordRange(this.#scope, this.#seen + 1)))
    }
    const whole = this.#host.encode()
    await records.delete(recordRange(this.#scope))
    await records.put(whole, [...this.#scope, row.next])
    this.#seen = row.next
    row.next += 1
    row.records = 1
    row.bytes = row.base = whole.length
  }

  /** Copies of other rooms go, and this one is made as small as it can be. Whether there may be room now. */
  async #makeRoom (): Promise<boolean> {
    if (this.#database === undefined) return false
    let gone = 0
    await this.#transaction(async (write) => { gone = await evict(write, this.#scope, this.#now(), true) })
    return gone > 0
  }

  /** Whether it was done. Warns if it was not. */
  async #transaction (work: (write: Write) => Promise<void>): Promise<boolean> {
    const database = this.#database
    if (database === undefined) return false
    const before = { seen: this.#seen, inherited: this.#inherited }
    let write: Write | undefined
    try {
      write = database.transaction(['rooms', 'records'], 'readwrite')
      // Heard in any case: a failed request rejects both.
      const done = write.done.catch((cause: unknown) => { throw cause })
      done.catch(() => {})
      await work(write)
      await done
      return true
    } catch (cause) {
      this.#seen = before.seen
      this.#inherited = before.inherited
      if (cause instanceof OtherLife) {
        write?.abort()
        throw cause
      }
      if (this.#database === undefined) return false // closed meanwhile, and warned of
      // Of a transaction that ended by itself the requests only know that it did.
      const isFull = [write?.error, cause].some((error) => (error as Error | undefined)?.name === 'QuotaExceededError')
      this.#warn('storage-full', isFull
        ? 'there is no room for the local copy: edits live as long as the page, until there is'
        : 'the local copy cannot be written: edits live as long as the page', cause)
      return false
    }
  }

  #wantWhole (): void {
    this.#forget()
    this.#whole = true
  }

  #forget (): void {
    this.#waiting = []
    this.#waitingBytes = 0
    this.#whole = false
  }

  #gone (code: Warning['code'], message: string, cause?: unknown): void {
    if (this.#state === 'closed') return
    this.#state = 'gone'
    this.#warn(code, message, cause)
  }

  /** Once for each trouble. */
  #warn (code: Warning['code'], message: string, cause?: unknown): void {
    if (this.#warned === code) return
    this.#warned = code
    this.#host.warn(cause === undefined ? { code, message } : { code, message, cause })
  }

  #back (): void {
    if (this.#warned === undefined || this.#state !== 'open' || this.#whole || this.#waiting.length > 0) return
    this.#warned = undefined
    this.#host.warn({ code: 'storage-back', message: 'the local copy works again' })
  }
}

/** Where storage is forbidden, some browsers throw when it is only looked at. */
export function hasIndexedDb (): boolean {
  try {
    return typeof indexedDB !== 'undefined' && indexedDB !== null
  } catch {
    return false
  }
}

class OtherLife extends Error {}
