// y-sweet's own packages, unmodified: a document, a provider, and a network that can be cut.

import { DocumentManager } from '@y-sweet/sdk'
import { createYjsProvider } from '@y-sweet/client'
import { WebSocket } from 'ws'
import * as Y from 'yjs'
import { eventually } from './wait.mjs'

globalThis.WebSocket = WebSocket // the provider reads its constants

/** The address of a server as the sdk takes it, with its token if it has one. */
export const connectionString = (server, token) =>
  `ys://${token === undefined ? '' : `${encodeURIComponent(token)}@`}127.0.0.1:${server.port}`

export const manager = (server, token) => new DocumentManager(connectionString(server, token))

/**
 * A network of one client. The provider's own `disconnect()` and `destroy()` come back by themselves (0.9.1 calls
 * `connect()` from its close handler), so tests take the network away instead.
 */
export class Network {
  constructor () {
    const network = this
    Object.assign(this, { sockets: new Set(), down: false, opened: 0 })
    this.WebSocket = class extends WebSocket {
      constructor (url) {
        super(network.down || network.left ? 'ws://127.0.0.1:1/' : url)
        this.on('error', () => {})
        network.sockets.add(this)
        this.addEventListener('open', () => network.opened++)
        this.addEventListener('close', () => network.sockets.delete(this))
      }
    }
  }

  /** Breaks what is open, without a goodbye; nothing opens until `heal`. */
  cut () {
    this.down = true
    for (const socket of this.sockets) socket.terminate()
  }

  heal () { this.down = false }
}

/** Joins a document with y-sweet's provider, as an application does: the token comes from its own back end. */
export function joinSweet (t, server, id, {
  doc = new Y.Doc(), token, auth = {}, authEndpoint = () => manager(server, token).getOrCreateDocAndToken(id, auth),
  ...options
} = {}) {
  const network = new Network()
  const client = { doc, network, room: id, closes: [], statuses: [], changes: [], tokens: 0 }
  const provider = createYjsProvider(doc, id, async () => { client.tokens++; return authEndpoint() }, {
    WebSocketPolyfill: network.WebSocket, showDebuggerLink: false, connect: false, ...options
  })
  Object.assign(client, { provider, awareness: provider.awareness })
  provider.on('connection-close', ({ code }) => client.closes.push(code))
  provider.on('connection-status', (status) => client.statuses.push(status))
  provider.on('local-changes', (changed) => client.changes.push(changed))
  t.after(() => leaveSweet(client))
  if (options.connect !== false) provider.connect()
  return client
}

/** Ends the provider for good. */
export function leaveSweet ({ provider, network, awareness, doc }) {
  if (network.left) return
  network.left = true
  for (const socket of network.sockets) {
    // Its handlers would connect again.
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null
    socket.close()
  }
  provider.ensureClientToken = () => new Promise(() => {})
  provider.bindWebsocket = () => {}
  provider.clearHeartbeat()
  provider.clearConnectionTimeout()
  provider.destroy()
  awareness.destroy()
  doc.destroy()
}

export const connected = (...clients) => Promise.all(clients.map(({ provider }) =>
  eventually('the provider is connected', () => provider.status === 'connected')))

/** "No local changes": everything that this client wrote is stored. */
export const stored = (...clients) => Promise.all(clients.map(({ provider }) =>
  eventually('everything is stored', () => provider.status === 'connected' && !provider.hasLocalChanges)))
