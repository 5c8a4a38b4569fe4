// The room behind a client: who it is, which copy there is, which session goes on with it, and how it stands.
//
// Invariants:
// - There is at most one session; what one that was replaced still says is not heard.
// - In a conflict nothing connects until it is settled.

import { address, type Address } from './address.js'
import { Api } from './api.js'
import { Backoff } from './backoff.js'
import { Board } from './board.js'
import { ServerClock } from './clock.js'
import { sameConnection, type Connection, type ConnectionStatus, type Told } from './connection.js'
import type { Conflict } from './conflict.js'
import type { Output, Said } from './core.js'
import { randomId } from './edits.js'
import { RuangError, type Warning } from './errors.js'
import type { Change } from './generated/Change.js'
import type { LinkState, Reason, SocketMaker } from './link.js'
import { loadCore, type Core, type CoreModule } from './load.js'
import { anonymousUser, type RuangOptions } from './options.js'
import { Participants } from './participants.js'
import { Presence } from './presence.js'
import { Session, type SessionHost } from './session.js'
import { allStored, keepAs, takeServer, type SettleHost } from './settle.js'
import { Listeners } from './signal.js'
import type { Copy, Loaded } from './storage/copy.js'
import { lastUser, openCopy } from './storage/open.js'
import { Tokens } from './tokens.js'
import { coreError } from './translate.js'
import { onWake } from './wake.js'

/** The API is asked for the clock and the people after a sync, at most this often, in ms. */
const ASKED_EVERY_MS = 60_000
/** And at some moment within this after it, in ms. */
const ASKED_WITHIN_MS = 1_000

export class Room {
  readonly board = new Board()
  readonly clock = new ServerClock()
  readonly presence: Presence
  readonly listeners = new Listeners<Told>()
  readonly tokens: Tokens
  name: string
  user: string | undefined
  session: Session | undefined
  status: ConnectionStatus
  conflict: Conflict | undefined
  connection: Connection

  readonly #options: RuangOptions
  readonly #participants = new Participants()
  readonly #api: Api
  #address: Address
  #module: CoreModule | undefined
  #isClosed = false
  #wantsLink: boolean
  #reason: Reason | undefined
  #askedAt = -Infinity
  #sleep: () => void = () => {}

  constructor (options: RuangOptions) {
    this.#options = options
    this.name = options.room
    this.#address = address(options.url, options.room)
    this.#wantsLink = options.connect ?? true
    this.status = this.#wantsLink ? 'connecting' : 'offline'
    this.tokens = new Tokens(options.token, options.getToken, () => this.clock.now())
    this.#api = new Api(options.fetch, this.clock)
    this.presence = new Presence((state) => { this.session?.setPresence(state) })
    this.connection = this.#stands()
  }

  /** Loads what is needed, all at once, and begins. */
  async start (): Promise<void> {
    const { wasm, load = 'first-paint', storage = 'indexeddb' } = this.#options
    const [module, user] = await Promise.all([loadCore(wasm, load), this.#whoIsThis()])
    if (this.#isClosed) return
    this.#module = module
    this.user = user
    const copy = openCopy(this.#scope(this.name), storage, this.#copyHost())
    const loaded = await copy.open()
    if (this.#isClosed) {
      await copy.close()
      return
    }
    this.#begin(copy, loaded)
    this.#sleep = onWake({
      wake: () => { if (this.#wantsLink && this.conflict === undefined) this.session?.link.wake() },
      doubt: () => { this.session?.link.doubt() },
      leave: () => { void this.session?.copy.settled() }
    })
  }

  connect (): void {
    this.#wantsLink = true
    if (this.conflict === undefined) this.session?.link.start()
  }

  disconnect (): void {
    this.#wantsLink = false
    this.session?.link.stop()
  }

  setToken (token: string | undefined): void {
    const said = new Tokens(token, undefined, Date.now).claims.user
    if (said !== undefined && this.user !== undefined && said !== this.user) {
      throw new RuangError('token', 'the token is another person\'s: make another client')
    }
    this.tokens.set(token)
    this.session?.setWho(this.tokens.who(this.user ?? ''))
    this.count()
    if (this.status === 'refused' && this.#wantsLink) this.connect()
  }

  /** Does what `work` asks the core for. @throws {RuangError} */
  do (work: (core: Core) => Output): void {
    const session = this.need()
    try {
      session.do(work)
    } catch (error) {
      throw coreError(error)
    }
  }

  /** The session, once there is one. @throws {RuangError} `not-ready` */
  need (): Session {
    if (this.session === undefined) {
      throw new RuangError('not-ready', this.#isClosed ? 'the client was closed' : 'wait for client.ready')
    }
    return this.session
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#sleep()
    const { session } = this
    this.session = undefined
    this.presence.end()
    if (session !== undefined) {
      await session.copy.settled()
      session.close()
      await session.copy.close()
    }
    this.listeners.clear()
  }

  /** Tells how it stands, if that is another now. */
  count (): void {
    const now = this.#stands()
    if (sameConnection(this.connection, now)) return
    this.connection = now
    this.listeners.tell('connection', now)
  }

  /**
   * Who this is: by the token, by the options, by the copy that is here, or by a name that this browser has made up. Where
   * only a token can say it, it is waited for.
   */
  async #whoIsThis (): Promise<string> {
    for (const backoff = new Backoff(); !this.#isClosed;) {
      try {
        await this.tokens.take(this.name, undefined, undefined)
        break
      } catch (cause) {
        this.#tokenFailed(cause)
        const known = this.#options.user ?? await lastUser(this.#address.server, this.name)
        if (known !== undefined) return known
        this.status = 'offline'
        this.count()
        await new Promise((resolve) => { setTimeout(resolve, backoff.next()) })
      }
    }
    return this.tokens.claims.user ?? this.#options.user ?? anonymousUser(randomId)
  }

  #scope (room: string): { server: string, room: string, user: string } {
    return { server: this.#address.server, room, user: this.user ?? '' }
  }

  #copyHost () {
    return {
      merge: (updates: Uint8Array[]) => { this.session?.mergeStored(updates) },
      encode: () => this.need().encode(),
      warn: (warning: Warning) => {
        this.listeners.tell('warning', warning)
        this.count()
      },
      late: (loaded: Loaded) => this.#late(loaded)
    }
  }

  /** Begins with a copy, in place of the session that was. */
  #begin (copy: Copy, loaded: Loaded): Session {
    this.session?.close()
    this.conflict = undefined
    this.#participants.forget()
    const session = new Session(this.#sessionHost(copy), {
      module: this.#module as CoreModule,
      room: this.name,
      address: this.#address,
      who: this.tokens.who(this.user ?? ''),
      copy,
      loaded,
      Socket: this.#options.WebSocket ?? browserSocket()
    })
    this.session = session
    this.board.replace(session.ask((core) => core.state()))
    this.#participants.wrote(this.board.state)
    this.presence.begin(session.presenceId)
    this.presence.set({ user: this.#shownUser() })
    this.presence.flush()
    this.count()
    if (this.#wantsLink) session.link.start()
    return session
  }

  #sessionHost (copy: Copy): SessionHost {
    return {
      token: async (refused) => {
        const token = await this.tokens.take(this.name, refused, this.user)
        this.session?.setWho(this.tokens.who(this.user ?? ''))
        return token
      },
      tokenFailed: (cause) => { this.#tokenFailed(cause) },
      linkChanged: (state, reason) => { this.#linkChanged(state, reason) },
      changed: (change, isNew) => { this.#changed(change, isNew) },
      presence: (states) => { this.#presenceChanged(states) },
      said: (said) => { this.#said(said) },
      counted: () => { this.count() },
      settled: (movedTo) => {
        // Copies in memory have no life of their own: whoever has no conflict is not meant.
        if (copy.kind === 'indexeddb' || this.conflict !== undefined) void this.#follow(movedTo)
      },
      renew: () => {
        const { unsaved } = this.need()
        this.#begin(copy, { updates: [this.need().encode()], unsaved })
      }
    }
  }

  #shownUser (): { id: string, name?: string, color?: string } {
    const { name = this.#options.name, color = this.#options.color } = this.tokens.claims
    return { id: this.user ?? '', ...(name === undefined ? {} : { name }), ...(color === undefined ? {} : { color }) }
  }

  #tokenFailed (cause: unknown): void {
    this.listeners.tell('warning', { code: 'no-token', message: 'there is no token to connect with', cause })
  }

  #linkChanged (state: LinkState, reason: Reason | undefined): void {
    this.status = state === 'idle' ? 'offline' : state
    if (state === 'connected') this.#reason = undefined
    else if (reason !== undefined) this.#reason = reason
    if (state === 'refused' && reason?.code === 4409) this.#raise(reason, undefined)
    this.count()
  }

  #changed (change: Change, isNew: boolean): void {
    if (this.session === undefined) return // it is being made; all of it is read when it is
    this.board.apply(change)
    if (isNew) this.board.setLastUpdated(Math.round(this.clock.now()))
    if (this.#participants.wrote(change)) this.board.setParticipants(this.#participants.all)
  }

  #presenceChanged (states: Record<string, unknown>): void {
    this.presence.take(states)
    this.#participants.present(this.presence.all, Math.round(this.clock.now()))
    this.board.setParticipants(this.#participants.all)
  }

  #said (said: Said): void {
    if (said.type === 'synced' || said.type === 'saved') void this.#ask()
    if (said.type === 'synced') {
      this.status = 'synced'
      this.count()
      this.listeners.tell('synced', undefined)
    } else if (said.type === 'refused') {
      const { code, reason, edits } = said
      this.listeners.tell('refused', { code, reason, edits })
    } else if (said.type === 'expiry') {
      this.listeners.tell('warning', { code: 'expiring', message: 'this room will be gone soon: keep a copy', inMs: said.inMs })
    }
  }

  /** Asks the API for what the room's socket does not say. */
  async #ask (): Promise<void> {
    const now = performance.now()
    // Of a room that nobody has written to there is nothing to be said.
    if (now - this.#askedAt < ASKED_EVERY_MS || this.session?.generation.length === 0) return
    this.#askedAt = now
    // Not all who come back at one moment ask at one moment.
    await new Promise((resolve) => { setTimeout(resolve, Math.random() * ASKED_WITHIN_MS) })
    if (this.#isClosed) return
    try {
      const { participants, lastUpdated } = await this.#api.room(this.#address.api, this.tokens.current)
      if (this.#isClosed) return
      this.#participants.take(participants ?? [])
      this.board.setParticipants(this.#participants.all)
      if (lastUpdated !== undefined) this.board.setLastUpdated(lastUpdated)
    } catch {
      this.#askedAt = -Infinity // with the next sync
    }
  }

  /** The local copy came late. It is taken in if it is of this life of the room; else that has to be decided. */
  #late (loaded: Loaded): boolean {
    const fits = this.need().loadLate(loaded)
    if (!fits) this.#raise({ code: 4409, text: 'the local copy is of another life of this room' }, loaded)
    return fits
  }

  /** The copy and the room are of two lives. `apart`: a copy that is not in the document. */
  #raise (reason: Reason, apart: Loaded | undefined): void {
    const session = this.need()
    const host: SettleHost = {
      session,
      begin: (copy, loaded, room) => {
        if (room !== undefined) this.#enter(room)
        return this.#begin(copy, loaded)
      },
      isFree: async (room) => {
        const token = await this.tokens.of(room, undefined, this.user)
        const { exists } = await this.#api.room(address(this.#options.url, room).api, token)
        if (!exists) this.tokens.set(token)
        return !exists
      },
      openCopy: (room) => openCopy(this.#scope(room), this.#options.storage ?? 'indexeddb', this.#copyHost()),
      allStored: async (now) => { await allStored(now, this.listeners) }
    }
    const kept = (): Loaded => apart ?? { updates: [session.encode()], unsaved: session.unsaved }
    this.conflict = {
      reason,
      unsaved: apart?.unsaved ?? session.unsaved,
      takeServer: async () => { await takeServer(host, apart !== undefined) },
      keepMineAs: async (room) => { await keepAs(host, room, kept(), apart !== undefined) }
    }
    this.count()
    this.listeners.tell('conflict', this.conflict)
  }

  #enter (room: string): void {
    this.#address = address(this.#options.url, room)
    this.name = room
    this.#askedAt = -Infinity
    this.listeners.tell('room', room)
  }

  /** Does what another tab has decided for all. */
  async #follow (movedTo: string | undefined): Promise<void> {
    const { copy } = this.need()
    if (movedTo === undefined) {
      this.#begin(copy, await copy.follow())
      return
    }
    const next = openCopy(this.#scope(movedTo), this.#options.storage ?? 'indexeddb', this.#copyHost())
    const loaded = await next.open()
    this.tokens.set(await this.tokens.of(movedTo, undefined, this.user).catch(() => undefined))
    this.#enter(movedTo)
    this.#begin(next, loaded)
    await copy.close()
  }

  #stands (): Connection {
    const { session } = this
    return {
      status: this.status,
      reason: this.#reason,
      isReady: session !== undefined,
      unsaved: session?.unsaved ?? 0,
      refused: session?.refused ?? 0,
      position: session?.position,
      generation: session?.generation ?? [],
      storage: session?.copy.kind ?? 'memory',
      canUndo: session?.canUndo ?? false,
      canRedo: session?.canRedo ?? false,
      room: this.name,
      user: this.user ?? '',
      role: this.tokens.who('').role,
      conflict: this.conflict
    }
  }
}

function browserSocket (): SocketMaker {
  if (typeof WebSocket !== 'undefined') return WebSocket as unknown as SocketMaker
  return class { constructor () { throw new Error('there is no WebSocket here: give the option WebSocket') } } as never
}
