// Yjs clients as an application has them: a document, an unmodified provider, and what one can see.

import assert from 'node:assert/strict'
import { WebSocket } from 'ws'
import * as Y from 'yjs'
import { WebsocketProvider } from 'y-websocket'
import { Awareness } from 'y-protocols/awareness'
import { eventually } from './wait.mjs'

// Node before 22 has no WebSocket of its own, and y-websocket reads its constants.
globalThis.WebSocket = WebSocket
process.setMaxListeners(0) // each provider listens for the end of the process

export { Y, WebSocket }

/**
 * Joins a room with y-websocket. The provider leaves with the test.
 * Tabs of one browser also talk to each other without the server (BroadcastChannel); that is off,
 * as it would hide what the server does not deliver.
 */
export function join (t, server, room, {
  doc = new Y.Doc(), Provider = WebsocketProvider, awareness = new Awareness(doc), ...options
} = {}) {
  const provider = new Provider(server.ws, room, doc, {
    WebSocketPolyfill: WebSocket, disableBc: true, awareness, ...options
  })
  // A refused connection while the server is down is part of many tests.
  provider.on('connection-error', () => {})
  const client = { doc, provider, awareness, room, connects: 0, closes: [] }
  provider.on('status', ({ status }) => { if (status === 'connected') client.connects++ })
  provider.on('connection-close', (event) => client.closes.push(event === null ? 'own' : event.code))
  t.after(() => leave(client))
  return client
}

/** Ends the provider and its timers. */
export function leave ({ provider, awareness, doc }) {
  provider.destroy()
  awareness.destroy()
  doc.destroy()
}

export const synced = (...clients) => Promise.all(clients.map((client) =>
  eventually('the provider is synced', () => client.provider.synced)))

export const disconnected = (...clients) => Promise.all(clients.map((client) =>
  eventually('the provider is disconnected', () => !client.provider.wsconnected)))

/** Breaks the connection without a word, as a lost network does. The provider is told not to return by itself. */
export function crash ({ provider }) {
  provider.shouldConnect = false
  provider.ws.terminate()
}

/** The roots that the tests use, as plain values. Texts as deltas, so formats and embeds are compared. */
export function content (doc) {
  return {
    map: doc.getMap('map').toJSON(),
    array: doc.getArray('array').toJSON(),
    text: doc.getText('text').toDelta(),
    xml: doc.getXmlFragment('xml').toString()
  }
}

/**
 * Pairs of surrogates as Yjs leaves them where it has cut one. A page that formats half of a pair which has that format already
 * makes no update, and has U+FFFD for both halves in its own copy from then on. For histories in which people do that.
 */
const cut = (value) => JSON.parse(JSON.stringify(value).replace(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g, '\uFFFD\uFFFD'))

const pending = (doc) => doc.store.pendingStructs !== null || doc.store.pendingDs !== null

/**
 * Why two documents differ, or null. Equal means: content, state vector, deletions, and nothing waiting for more. With
 * `cutPairs` a pair of surrogates is the same as what is left of one that was cut.
 */
export function difference (a, b, { cutPairs = false } = {}) {
  if (pending(a) || pending(b)) return 'updates that wait for others'
  const [x, y] = [a, b].map((doc) => cutPairs ? cut(content(doc)) : content(doc))
  for (const root of Object.keys(x)) {
    try {
      assert.deepEqual(x[root], y[root])
    } catch {
      return `${root}: ${shorten(JSON.stringify(x[root]))} against ${shorten(JSON.stringify(y[root]))}`
    }
  }
  if (!Y.equalSnapshots(Y.snapshot(a), Y.snapshot(b))) return 'state vectors or deletions'
  return null
}

const shorten = (text) => text.length > 300 ? `${text.slice(0, 300)}…` : text

/** Waits until all clients hold the same document. */
export async function converged (clients, options = {}) {
  const [first, ...rest] = clients.map((client) => client.doc ?? client)
  let why
  await eventually('all clients hold the same document', () => {
    why = rest.map((doc) => difference(first, doc, options)).find((found) => found !== null)
    return why === undefined
  }, { detail: () => why, ...options })
}

/** Joins anew, compares with those who are there, leaves. */
export async function newcomerSees (t, server, room, clients, options) {
  const newcomer = join(t, server, room)
  await synced(newcomer)
  await converged([newcomer, ...clients], options)
  leave(newcomer)
}

/** True if `whole` holds every block and every deletion that `part` (a snapshot) has. */
export function holds (whole, part) {
  const own = Y.snapshot(whole)
  for (const [id, clock] of part.sv) {
    if ((own.sv.get(id) ?? 0) < clock) return false
  }
  for (const [id, ranges] of part.ds.clients) {
    const deleted = own.ds.clients.get(id) ?? [] // ascending; neighbours may touch
    for (const { clock, len } of ranges) {
      let missing = clock
      for (const range of deleted) {
        if (range.clock <= missing) missing = Math.max(missing, range.clock + range.len)
      }
      if (missing < clock + len) return false
    }
  }
  return true
}
