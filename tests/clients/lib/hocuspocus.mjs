// Hocuspocus clients as an application has them: the unmodified providers of versions 2, 3 and 4, and a bare socket that
// speaks the family's bytes by hand.

import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { Awareness } from 'y-protocols/awareness'
import * as v2 from 'hocuspocus2'
import * as v3 from 'hocuspocus3'
import * as v4 from 'hocuspocus4'
import { WebSocket, Y } from './client.mjs'
import { eventually } from './wait.mjs'

export const versions = { 2: v2, 3: v3, 4: v4 }
/** The same tests for each version. */
export const each = Object.entries(versions).map(([version, library]) => ({ version: Number(version), ...library }))

/** What the providers take as their server's address. */
export const address = (server) => `ws://127.0.0.1:${server.port}/hocuspocus`

/** A connection that is given up while it is being made says so; here that is no news. */
class QuietSocket extends WebSocket {
  constructor (...args) {
    super(...args)
    this.on('error', () => {})
  }
}

/** One socket that documents of one version share; it ends with the test. */
export function connect (t, server, version, options = {}) {
  const socket = new versions[version].HocuspocusProviderWebsocket({
    url: address(server), WebSocketPolyfill: QuietSocket, delay: 50, minDelay: 20, maxDelay: 300, ...options
  })
  socket.opened = 0
  socket.closes = []
  socket.on('open', () => socket.opened++)
  socket.on('close', ({ event }) => socket.closes.push(event.code))
  t.after(() => {
    socket.connect = async () => {} // version 3 comes back after its end, if the server goes just before
    socket.destroy()
  })
  return socket
}

/** Joins a room: a document, its provider, and what the application sees of it. */
export function join (t, server, room, version, {
  doc = new Y.Doc(), socket = connect(t, server, version), awareness = new Awareness(doc), ...options
} = {}) {
  const client = { doc, room, version, socket, awareness, failures: [], counts: [], stateless: [], closes: [] }
  const count = (count) => client.counts.push(typeof count === 'number' ? count : count.number)
  client.provider = new versions[version].HocuspocusProvider({
    name: room,
    document: doc,
    awareness,
    websocketProvider: socket,
    broadcast: false, // version 2: tabs talk without the server
    preserveConnection: true, // version 2: the socket stays when a document goes
    onAuthenticationFailed: ({ reason }) => client.failures.push(reason),
    onStateless: ({ payload }) => client.stateless.push(payload),
    ...options
  })
  client.provider.on('unsyncedChanges', count)
  client.provider.on('close', ({ event }) => client.closes.push(event))
  client.provider.attach?.()
  t.after(() => leave(client))
  return client
}

/** Ends the provider and its timers; the socket stays. */
export function leave (client) {
  if (client.left) return
  client.left = true
  client.provider.destroy()
  client.awareness?.destroy()
  client.doc.destroy()
}

export const synced = (...clients) => Promise.all(clients.map((client) =>
  eventually(`version ${client.version} is synced`, () => client.provider.synced)))

export const unsynced = ({ provider }) => provider.unsyncedChanges

/** Waits until all that was said to be unsynced is stored. */
export const saved = (...clients) => Promise.all(clients.map((client) =>
  eventually(`version ${client.version} has no unsynced changes`, () => unsynced(client) === 0,
    { detail: () => `it counts ${unsynced(client)}` })))

export const SYNC = 0
export const AWARENESS = 1
export const AUTH = 2
export const STATELESS = 5
export const CLOSE = 7
export const STATUS = 8

const encode = (name, write) => encoding.encode((to) => {
  encoding.writeVarString(to, name)
  write(to)
})
export const token = (name, token, version) => encode(name, (to) => {
  encoding.writeVarUint(to, AUTH)
  encoding.writeVarUint(to, 0)
  encoding.writeVarString(to, token)
  if (version !== undefined) encoding.writeVarString(to, version)
})
export const sync = (name, kind, payload) => encode(name, (to) => {
  encoding.writeVarUint(to, SYNC)
  encoding.writeVarUint(to, kind)
  encoding.writeVarUint8Array(to, payload)
})
export const step1 = (name, doc = new Y.Doc()) => sync(name, 0, Y.encodeStateVector(doc))
export const text = (name, type, text) => encode(name, (to) => {
  encoding.writeVarUint(to, type)
  if (text !== undefined) encoding.writeVarString(to, text)
})

function read (frame) {
  if (frame.length === 1) return { type: frame[0], frame }
  const from = decoding.createDecoder(frame)
  const name = decoding.readVarString(from)
  const message = { name, type: decoding.readVarUint(from), frame }
  if (message.type === SYNC) {
    message.kind = decoding.readVarUint(from)
    message.payload = decoding.readVarUint8Array(from)
  } else if (message.type === AWARENESS) message.payload = decoding.readVarUint8Array(from)
  else if (message.type === AUTH) {
    message.kind = decoding.readVarUint(from)
    if (message.kind !== 0) message.text = decoding.readVarString(from)
  } else if (message.type === STATUS) message.stored = decoding.readVarInt(from) === 1
  else if (message.type === STATELESS || message.type === CLOSE) message.text = decoding.readVarString(from)
  message.rest = frame.length - from.pos
  return message
}

/** Waits until everything has come that the server has said to these clients until now: an edit of somebody else behind it. */
export async function heardOut (t, server, ...clients) {
  for (const client of clients) {
    const other = join(t, server, client.room, 4)
    await synced(other)
    other.doc.getMap('behind').set(String(other.doc.clientID), 1)
    await eventually('the edit behind all that was said', () => client.doc.getMap('behind').has(String(other.doc.clientID)))
    leave(other)
  }
}

/** A bare socket, for frames, orders and bytes that no provider would send. */
export class Raw {
  static async open (t, server, query = '') {
    const raw = new Raw()
    raw.messages = []
    raw.socket = new WebSocket(address(server) + query)
    raw.socket.binaryType = 'nodebuffer'
    raw.socket.on('message', (data) => raw.messages.push(read(new Uint8Array(data))))
    raw.socket.on('close', (code, reason) => { raw.closed = { code, reason: String(reason) } })
    raw.socket.on('error', () => {})
    t.after(() => raw.socket.terminate())
    await eventually('the socket opens', () => raw.socket.readyState === WebSocket.OPEN)
    return raw
  }

  send (...frames) { for (const frame of frames) this.socket.send(frame) }
  of (name, type, kind) {
    return this.messages.filter((message) => message.name === name && message.type === type && (kind === undefined || message.kind === kind))
  }

  statuses (name) { return this.of(name, STATUS).map(({ stored }) => stored) }

  /** The usual beginning: token and Step1 out; Step2 and the server's Step1 in. Answers that, with what `doc` has. */
  async joined (name, { doc = new Y.Doc(), secret = '', version } = {}) {
    this.send(token(name, secret, version), step1(name, doc))
    await eventually('the server asks back', () => this.of(name, SYNC, 0).length > 0)
    for (const { payload } of this.of(name, SYNC, 1)) Y.applyUpdate(doc, payload)
    this.send(sync(name, 1, Y.encodeStateAsUpdate(doc)))
    await eventually('the Step2 is told of', () => this.statuses(name).length > 0)
    return doc
  }

  async ends () {
    await eventually('the server closes the socket', () => this.closed)
    return this.closed
  }
}
