// How a conflict ends. Nothing that is only here is thrown away before it stands somewhere else, or the person has said so.

import { checkRoom } from './address.js'
import type { Told } from './connection.js'
import { RuangError } from './errors.js'
import type { Session } from './session.js'
import type { Listeners } from './signal.js'
import { NOTHING, type Copy, type Loaded } from './storage/copy.js'

/** A room of another name is stored within this, or it is said that it is not yet, in ms. */
const STORED_WITHIN_MS = 30_000

/** What ending a conflict needs of the client. */
export interface SettleHost {
  /** The session that has the conflict. */
  session: Session
  /** Goes on with a copy, in the same room or in another; the new session. */
  begin (copy: Copy, loaded: Loaded, room?: string): Session
  /** A token for that room, and whether nothing is there under its name. */
  isFree (room: string): Promise<boolean>
  openCopy (room: string): Copy
  /** Waits until the server has stored all. */
  allStored (session: Session): Promise<void>
}

/** The copy goes; the room as it is on the server comes. `apart`: the copy in question is not the document that is shown. */
export async function takeServer ({ session, begin }: SettleHost, apart: boolean): Promise<void> {
  const { copy } = session
  const { life } = copy
  const shown: Loaded = { updates: [session.encode()], unsaved: session.unsaved }
  await copy.clear()
  session.tellSettled(life, undefined)
  const next = begin(copy, apart ? shown : NOTHING)
  if (apart) copy.keep(shown.updates, next.unsaved, false)
}

/** The copy becomes a room of another name, and the client goes there. */
export async function keepAs (host: SettleHost, room: string, kept: Loaded, apart: boolean): Promise<void> {
  const { session } = host
  checkRoom(room)
  if (room === session.room) throw new RuangError('exists', 'this is the room\'s own name: choose another')
  if (apart && session.unsaved > 0) throw new RuangError('not-ready', 'edits of this page are not saved yet: wait until they are')
  if (!await host.isFree(room)) throw new RuangError('exists', `there is a room called ${JSON.stringify(room)} already`)

  const copy = host.openCopy(room)
  const found = await copy.open()
  if (found.updates.length > 0) {
    await copy.close()
    throw new RuangError('exists', `there is a copy of a room called ${JSON.stringify(room)} here already`)
  }
  const loaded: Loaded = { updates: kept.updates, unsaved: Math.max(1, kept.unsaved) }
  copy.keep(loaded.updates, loaded.unsaved, false)
  await copy.settled()

  const old = session.copy
  const { life } = old
  const forget = async (): Promise<void> => {
    await old.clear()
    session.tellSettled(life, room)
  }
  // Where it stands under the new name the old one can go; else not before the server has it.
  const isKept = copy.kind === 'indexeddb' || old.kind === 'memory'
  if (isKept) await forget()
  const next = host.begin(copy, loaded, room)
  try {
    await host.allStored(next)
    if (!isKept) await forget()
  } finally {
    await old.close()
  }
}

/** Waits until the server has stored all that a session has. @throws {RuangError} `timeout` */
export async function allStored (session: Session, listeners: Listeners<Told>): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const look = (): void => {
      if (!session.isSynced || session.unsaved > 0) return
      clearTimeout(late)
      end()
      resolve()
    }
    const end = listeners.on('connection', look)
    const late = setTimeout(() => {
      end()
      reject(new RuangError('timeout', 'the server has not stored it yet; it is kept here'))
    }, STORED_WITHIN_MS)
    look()
  })
}
