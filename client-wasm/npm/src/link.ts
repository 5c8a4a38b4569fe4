// The socket to a room: opened, kept alive, opened again. Knows close codes, not what is said.
//
// Invariants:
// - There is at most one socket; what an old one still says is not heard.
// - After a final code nothing is tried until `restart`.
// - A wait is never longer than BACKOFF_MAX_MS, and ends at once when the page says that the network is back.

import { Backoff, BACKOFF_TOO_FAST_MS } from './backoff.js'
import { RuangError } from './errors.js'

/** The server lets a silent client hear something within 20 s; after this it is asked, in ms. */
export const SILENCE_MS = 25_000
/** A question that is not answered in this time means that nobody is there, in ms. */
export const ANSWER_MS = 8_000
/** When the page was just told that something has changed, in ms. */
export const ANSWER_AFTER_WAKE_MS = 4_000
/** A socket that does not open in this time is given up, in ms. */
export const OPEN_MS = 10_000
/** A token that ends sooner than this is fetched anew while the old one still counts, in ms. */
export const TOKEN_AHEAD_MS = 30_000

const QUERY_AWARENESS = Uint8Array.of(3)
const SUBPROTOCOL = 'ruang.v1'

/** What the link is doing. `offline`: the last try failed; it goes on trying. */
export type LinkState = 'idle' | 'connecting' | 'connected' | 'offline' | 'refused'

/** Why a socket ended, or could not be. */
export interface Reason {
  /** A close code of docs/PROTOCOL.md; 1006 where there was none. */
  code: number
  /** For people. */
  text: string
}

/** The socket as the link uses it: the browser's, or the package `ws`. */
export interface SocketLike {
  binaryType: string
  readonly readyState: number
  readonly protocol: string
  send (data: Uint8Array<ArrayBuffer>): void
  close (code?: number, reason?: string): void
  onopen: ((event: never) => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number, reason: string }) => void) | null
  onerror: ((event: never) => void) | null
}

/** What makes one. */
export type SocketMaker = new (url: string, protocols: string[]) => SocketLike

/** What the link needs of its owner, and tells it. */
export interface LinkHost {
  /** The socket's address. */
  address (): string
  /** The token to come with; `refused`: the one that the server did not take, so another is wanted. */
  token (refused: string | undefined): Promise<string | undefined>
  /** A socket is open: what is to be said first goes out by `send`. */
  opened (): void
  received (frame: Uint8Array): void
  closed (reason: Reason): void
  changed (state: LinkState, reason: Reason | undefined): void
  tokenFailed (cause: unknown): void
}

/** One connection to one room, over as many sockets as it takes. */
export class Link {
  readonly #host: LinkHost
  readonly #Socket: SocketMaker
  readonly #backoff: Backoff
  #socket: SocketLike | undefined
  #state: LinkState = 'idle'
  /** Distinguishes attempts: what belongs to an earlier one is dropped. */
  #attempt = 0
  #retry: ReturnType<typeof setTimeout> | undefined
  /** Looks whether the other side is still there. */
  #pulse: ReturnType<typeof setInterval> | undefined
  #heardAt = 0
  /** Until when an answer must have come. */
  #answerBy: number | undefined
  /** The token of the attempt under way, and one that was refused and led to another try. */
  #token: string | undefined
  #refused: string | undefined
  #askAnother = false
  /** Why it ended last. */
  #last: Reason | undefined

  constructor (host: LinkHost, Socket: SocketMaker, backoff = new Backoff()) {
    this.#host = host
    this.#Socket = Socket
    this.#backoff = backoff
  }

  get state (): LinkState { return this.#state }

  /** Connects, also after a final code. Nothing if it is connecting or connected. */
  start (): void {
    if (this.#state === 'connecting' || this.#state === 'connected') return
    this.#refused = undefined
    this.#backoff.reset()
    void this.#connect('connecting')
  }

  /** Gives the socket up, if there is one, and connects again at once. */
  restart (): void {
    this.#leave()
    this.#state = 'idle'
    this.start()
  }

  /** Ends it. */
  stop (): void {
    this.#leave()
    this.#set('idle', undefined)
  }

  /** Sends a message; dropped without a socket, since all of it goes out again after the next greeting. */
  send (frame: Uint8Array): void {
    if (this.#socket?.readyState === 1) this.#socket.send(frame as Uint8Array<ArrayBuffer>)
  }

  /** What the server says makes no sense: another socket, later. */
  fail (text: string): void {
    if (this.#socket === undefined) return
    this.#ended({ code: 1006, text }, 'try again')
  }

  /** The room has been synced: the next wait is the first again, and the token counts. */
  worked (): void {
    this.#backoff.reset()
    this.#refused = undefined
  }

  /** The page is back, or the network: no waiting any longer, and no trust in an old socket. */
  wake (): void {
    if (this.#state === 'offline') {
      this.#backoff.reset()
      void this.#connect('connecting')
    } else if (this.#state === 'connected') {
      this.#ask(ANSWER_AFTER_WAKE_MS)
    }
  }

  /** The page says that the network is gone. It may be wrong, so the server is asked. */
  doubt (): void {
    if (this.#state === 'connected') this.#ask(ANSWER_AFTER_WAKE_MS)
  }

  async #connect (shown: LinkState): Promise<void> {
    clearTimeout(this.#retry)
    const attempt = ++this.#attempt
    this.#set(shown, undefined)
    try {
      this.#token = await this.#host.token(this.#askAnother ? this.#refused : undefined)
    } catch (cause) {
      if (attempt !== this.#attempt) return
      this.#host.tokenFailed(cause)
      if (cause instanceof RuangError && cause.code === 'token') {
        this.#set('refused', { code: 4403, text: cause.message }) // another person's: asking again does not help
        return
      }
      this.#wait({ code: 1006, text: 'there is no token' }, 0)
      return
    }
    if (attempt !== this.#attempt) return
    if (this.#askAnother && this.#refused === (this.#token ?? '')) {
      this.#set('refused', this.#last) // there is no other
      return
    }
    this.#open()
  }

  #open (): void {
    // A token is three parts of base64url; anything else cannot stand in a subprotocol.
    const protocols = this.#token === undefined ? [SUBPROTOCOL] : [SUBPROTOCOL, `bearer.${this.#token}`]
    let socket: SocketLike
    try {
      socket = new this.#Socket(this.#host.address(), protocols)
    } catch (error) {
      // A token that no subprotocol can carry is none; else there is no socket to be had, as from https to http.
      const { name, message } = error as Error
      this.#set('refused', name === 'SyntaxError'
        ? { code: 4401, text: 'this token cannot be sent: it is no JWT' }
        : { code: 1006, text: message })
      return
    }
    this.#socket = socket
    socket.binaryType = 'arraybuffer'
    const isCurrent = (): boolean => this.#socket === socket
    const slow = setTimeout(() => {
      if (isCurrent()) this.#ended({ code: 1006, text: 'the server did not answer' }, 'try again')
    }, OPEN_MS)
    socket.onopen = () => {
      clearTimeout(slow)
      if (!isCurrent()) return
      this.#heard()
      this.#pulse = setInterval(() => { this.#look() }, 1_000)
      this.#set('connected', undefined)
      this.#host.opened()
    }
    socket.onmessage = ({ data }) => {
      if (!isCurrent()) return
      this.#heard()
      if (data instanceof ArrayBuffer) this.#host.received(new Uint8Array(data))
    }
    socket.onerror = () => {} // a close comes behind it
    socket.onclose = ({ code, reason }) => {
      clearTimeout(slow)
      if (isCurrent()) this.#ended({ code, text: reason }, afterClose(code))
    }
  }

  #ended (reason: Reason, then: After): void {
    const wasOpen = this.#state === 'connected'
    this.#last = reason
    this.#drop()
    if (wasOpen) this.#host.closed(reason)
    this.#askAnother = false
    if (then === 'stop') {
      this.#set('refused', reason)
    } else if (then === 'another token, or stop') {
      // Asked for once: a second refusal of another token is final, until the app brings one.
      const isSecond = this.#refused !== undefined
      this.#refused = this.#token ?? ''
      this.#askAnother = true
      if (isSecond) this.#set('refused', reason)
      else void this.#connect('connecting')
    } else if (then === 'another token') {
      this.#refused = this.#token ?? ''
      this.#askAnother = true
      this.#wait(reason, 0, 'connecting')
    } else {
      this.#wait(reason, then === 'later' ? BACKOFF_TOO_FAST_MS : 0)
    }
  }

  #leave (): void {
    const wasOpen = this.#state === 'connected'
    this.#drop()
    if (wasOpen) this.#host.closed({ code: 1000, text: 'left' })
  }

  #wait (reason: Reason, atLeast: number, shown: LinkState = 'offline'): void {
    this.#set(shown, reason)
    clearTimeout(this.#retry)
    const next = shown === 'offline' ? 'offline' : 'connecting'
    this.#retry = setTimeout(() => { void this.#connect(next) }, this.#backoff.next(atLeast))
  }

  #heard (): void {
    this.#heardAt = performance.now()
    this.#answerBy = undefined
  }

  #look (): void {
    const now = performance.now()
    if (this.#answerBy !== undefined) {
      if (now > this.#answerBy) this.#ended({ code: 1006, text: 'nobody answers any more' }, 'try again')
    } else if (now - this.#heardAt > SILENCE_MS) {
      this.#ask(ANSWER_MS)
    }
  }

  /** Who is here? Every server answers that, so it is our ping. */
  #ask (withinMs: number): void {
    this.send(QUERY_AWARENESS)
    const by = performance.now() + withinMs
    this.#answerBy = Math.min(by, this.#answerBy ?? by)
  }

  #drop (): void {
    this.#attempt += 1
    clearTimeout(this.#retry)
    clearInterval(this.#pulse)
    this.#answerBy = undefined
    const socket = this.#socket
    this.#socket = undefined
    if (socket === undefined) return
    socket.onopen = socket.onmessage = socket.onclose = null
    if (socket.readyState <= 1) socket.close(1000)
  }

  #set (state: LinkState, reason: Reason | undefined): void {
    this.#state = state
    this.#host.changed(state, reason)
  }
}

type After = 'stop' | 'another token, or stop' | 'another token' | 'later' | 'try again'

/** What a close code asks for: docs/PROTOCOL.md, "Close codes". */
function afterClose (code: number): After {
  if (code === 4401 || code === 4403) return 'another token, or stop'
  if (code === 4501) return 'another token'
  if (code === 4529) return 'later'
  if (code >= 4400 && code <= 4499) return 'stop'
  return 'try again'
}
