// The few questions that the client asks the HTTP API: what time is it, who was here, is that name free.

import type { Participant } from './generated/Participant.js'
import { RuangError } from './errors.js'
import type { ServerClock } from './clock.js'

/** An answer that does not come in this time is done without, in ms. */
const ANSWER_MS = 8_000

/** What the server says of a room; all of it may be missing. */
export interface RoomSaid {
  exists: boolean
  participants: Participant[] | undefined
  lastUpdated: number | undefined
}

export class Api {
  readonly #fetch: typeof fetch | null
  readonly #clock: ServerClock

  constructor (fetcher: typeof fetch | null | undefined, clock: ServerClock) {
    // Called as a function of no object: browsers insist.
    const found = fetcher === undefined ? (typeof fetch === 'undefined' ? null : fetch) : fetcher
    this.#fetch = found === null ? null : async (input, init) => await found(input, init)
    this.#clock = clock
  }

  /**
   * What the server says of a room. Its `Date` is taken for the clock.
   *
   * @throws {RuangError} `token` if it may not be asked, `timeout` if nobody answers
   */
  async room (address: string, token: string | undefined): Promise<RoomSaid> {
    const response = await this.#get(address, token)
    if (response.status === 401 || response.status === 403) {
      throw new RuangError('token', `the server answers ${response.status}: the token is not for this room`)
    }
    if (response.status === 404) return { exists: false, participants: undefined, lastUpdated: undefined }
    if (!response.ok) throw new RuangError('timeout', `the server answers ${response.status}`)
    const said = await response.json().catch(() => ({})) as Record<string, unknown>
    return {
      exists: said.exists !== false,
      participants: Array.isArray(said.participants) ? said.participants.filter(isParticipant) : undefined,
      lastUpdated: typeof said.lastUpdated === 'number' ? said.lastUpdated : undefined
    }
  }

  async #get (address: string, token: string | undefined): Promise<Response> {
    if (this.#fetch === null) throw new RuangError('timeout', 'the HTTP API is not asked here')
    const headers = new Headers(token === undefined ? {} : { authorization: `Bearer ${token}` })
    try {
      const sent = Date.now()
      const response = await this.#fetch(address, {
        headers, cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(ANSWER_MS)
      })
      const date = response.headers.get('date')
      if (date !== null) this.#clock.take(Date.parse(date), sent, Date.now())
      return response
    } catch (cause) {
      throw new RuangError('timeout', 'the server does not answer', { cause })
    }
  }
}

function isParticipant (said: unknown): said is Participant {
  return typeof said === 'object' && said !== null && typeof (said as Participant).user === 'string'
}
