// What a client is made with.

import type { SocketMaker } from './link.js'
import type { WasmSource } from './load.js'
import type { GetToken } from './tokens.js'

/** What a client is made with. */
export interface RuangOptions {
  /** The server: `https://host`, `wss://host`, with a path in front if it stands behind one. */
  url: string
  /** The room's name: 1 to 128 bytes without control characters. */
  room: string
  /** A token, where the server asks for one and the application has it at hand. It is not renewed: give `getToken` too. */
  token?: string
  /** Gets a token for a room, also when the one in use has expired or was refused. */
  getToken?: GetToken
  /** Who this is, on a server without tokens; by default a random name that this browser keeps. A token's `sub` wins. */
  user?: string
  /** What others see. A token's `name` and `color` win. */
  name?: string
  color?: string
  /** Where edits are kept over reloads: IndexedDB (the default), or nowhere. */
  storage?: 'indexeddb' | 'memory'
  /** `first-paint` (the default): the wasm core is loaded after the page has shown something; `once`: at once. */
  load?: 'first-paint' | 'once'
  /** Where the core comes from, if not from beside the script: an address, an answer, bytes, or a compiled module. */
  wasm?: WasmSource
  /** `false`: only the local copy, until `connect()`. */
  connect?: boolean
  /** In place of the browser's WebSocket: the package `ws`, where there is none. */
  WebSocket?: SocketMaker
  /** In place of the browser's `fetch`; `null`: the HTTP API is not asked (then the clock offset stays unknown). */
  fetch?: typeof fetch | null
}

const ANONYMOUS_KEY = 'ruang.user'

/** The random name of whoever uses this browser, where nothing says who that is. The same in all its tabs. */
export function anonymousUser (make: () => string): string {
  try {
    const kept = localStorage.getItem(ANONYMOUS_KEY)
    if (kept !== null && kept !== '') return kept
    const made = `guest-${make().slice(0, 12)}`
    localStorage.setItem(ANONYMOUS_KEY, made)
    return made
  } catch {
    return `guest-${make().slice(0, 12)}`
  }
}
