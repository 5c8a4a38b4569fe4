// Tokens: the one in use, and another when the server asks for one.

import { claims, type Claims } from './claims.js'
import type { Role, Who } from './core.js'
import { RuangError } from './errors.js'

/** What the application's `getToken` is told. */
export interface TokenRequest {
  /** The room that it is for. */
  room: string
  /** The token that the server did not take, or that has expired: another one is wanted. */
  refused: string | undefined
}

/** Gets a token from the application's back end; `undefined` if the server needs none. */
export type GetToken = (request: TokenRequest) => Promise<string | undefined> | string | undefined

/** A token that ends sooner than this is not used for another connection, in ms. */
const LEFT_MS_MIN = 2_000

/** `getToken` has failed if it does not answer in this time, in ms. */
const ANSWER_MS = 15_000

/** The token of one person. */
export class Tokens {
  #token: string | undefined
  readonly #get: GetToken | undefined
  readonly #serverNow: () => number
  #isKnown: boolean

  constructor (token: string | undefined, get: GetToken | undefined, serverNow: () => number) {
    this.#token = token
    this.#get = get
    this.#serverNow = serverNow
    this.#isKnown = token !== undefined || get === undefined
  }

  get claims (): Claims { return claims(this.#token) }
  get current (): string | undefined { return this.#token }
  /** Whether it is known which token there is, also if there is none. Before that, a page may be offline. */
  get isKnown (): boolean { return this.#isKnown }

  set (token: string | undefined): void {
    this.#token = token
    this.#isKnown = true
  }

  /**
   * The token to connect with.
   *
   * @param user whose it has to be, once that is known
   * @throws what `getToken` throws; {@link RuangError} `token` if it is somebody else's
   */
  async take (room: string, refused: string | undefined, user: string | undefined): Promise<string | undefined> {
    const { endsMs } = this.claims
    const counts = endsMs === undefined || endsMs - this.#serverNow() > LEFT_MS_MIN
    if (this.#get === undefined || (this.#token !== undefined && refused === undefined && counts)) return this.#token
    this.set(await this.of(room, refused, user))
    return this.#token
  }

  /** A token for a room, which is not the one in use afterwards. Throws what {@link take} throws. */
  async of (room: string, refused: string | undefined, user: string | undefined): Promise<string | undefined> {
    if (this.#get === undefined) return this.#token
    const token = await inTime(this.#get({ room, refused }))
    const said = claims(token).user
    if (user !== undefined && said !== undefined && said !== user) {
      throw new RuangError('token', `the token is ${JSON.stringify(said)}'s, this client is ${JSON.stringify(user)}'s: make another client`)
    }
    return token
  }

  /** Who edits: as the server judges it. */
  who (user: string): Who {
    const said = this.claims
    return { user, identified: said.user !== undefined, role: this.#role(said.role) }
  }

  #role (said: string | undefined): Role {
    if (said === 'viewer' || said === 'editor' || said === 'facilitator' || said === 'admin') return said
    if (this.#token !== undefined) return 'viewer'
    // A server without tokens lets everybody do all; one that could not be reached yet has to be asked.
    return this.#isKnown ? 'admin' : 'editor'
  }
}

async function inTime<Answer> (answer: Promise<Answer> | Answer): Promise<Answer> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(new RuangError('timeout', 'getToken does not answer')) }, ANSWER_MS)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
