// A bare WebSocket that speaks y-protocols by hand: for frames, orders and bytes no provider would send.

import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { WebSocket } from 'ws'
import * as Y from 'yjs'
import { eventually } from './wait.mjs'

export const SYNC = 0
export const AWARENESS = 1
export const ACK = 110
export const STEP1 = 0
export const STEP2 = 1
export const UPDATE = 2

export const sync = (kind, payload) => encoding.encode((to) => {
  encoding.writeVarUint(to, SYNC)
  encoding.writeVarUint(to, kind)
  encoding.writeVarUint8Array(to, payload)
})
export const step1 = (doc = new Y.Doc()) => sync(STEP1, Y.encodeStateVector(doc))
export const awareness = (payload) => encoding.encode((to) => {
  encoding.writeVarUint(to, AWARENESS)
  encoding.writeVarUint8Array(to, payload)
})

/** Reads one message; `rest` is how many bytes of the frame it left unread. */
export function read (frame) {
  const from = decoding.createDecoder(frame)
  const type = decoding.readVarUint(from)
  const message = { type, frame }
  if (type === SYNC) {
    message.kind = decoding.readVarUint(from)
    message.payload = decoding.readVarUint8Array(from)
  } else if (type === AWARENESS) {
    message.payload = decoding.readVarUint8Array(from)
  } else if (type === ACK) {
    message.count = decoding.readVarUint(from)
    message.position = decoding.readVarString(from)
  }
  message.rest = frame.length - from.pos
  return message
}

export class Raw {
  /** Resolves when the socket is open or was refused: `raw.refused` then says how. */
  static async open (t, server, room, { protocols = [], query = '' } = {}) {
    const raw = new Raw()
    raw.messages = []
    raw.socket = new WebSocket(`${server.ws}/${room}${query}`, protocols)
    raw.socket.binaryType = 'nodebuffer'
    raw.socket.on('message', (data) => raw.messages.push(read(new Uint8Array(data))))
    raw.socket.on('close', (code, reason) => { raw.closed = { code, reason: String(reason) } })
    raw.socket.on('error', (error) => { raw.error = error })
    raw.socket.on('unexpected-response', (_request, response) => {
      raw.refused = response.statusCode
      raw.socket.terminate()
    })
    t.after(() => raw.socket.terminate())
    await eventually('the socket opens or is refused', () => raw.socket.readyState !== WebSocket.CONNECTING)
    return raw
  }

  get open () { return this.socket.readyState === WebSocket.OPEN }

  send (bytes) { if (this.open) this.socket.send(bytes) }

  syncs (kind) { return this.messages.filter((message) => message.type === SYNC && message.kind === kind) }
  acks () { return this.messages.filter((message) => message.type === ACK) }

  /** The usual beginning: Step1 out, Step2 in. */
  async synced (doc = new Y.Doc()) {
    this.send(step1(doc))
    await eventually('a Step2 arrives', () => this.syncs(STEP2).length > 0)
    for (const { payload } of this.syncs(STEP2)) Y.applyUpdate(doc, payload)
    return doc
  }

  async ends (within = 10_000) {
    await eventually('the server closes the socket', () => this.closed || this.refused, { within })
    return this.closed
  }
}
