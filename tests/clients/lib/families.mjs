// One client of each family, all alike to a test: edits, presence, offline and back.

import * as Y14 from '@y/y'
import { WebsocketProvider as Provider14 } from '@y/websocket'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { WebsocketProvider as Provider2 } from 'y-websocket-2'
import { Awareness } from 'y-protocols/awareness'
import * as hocuspocus2 from 'hocuspocus2'
import * as hocuspocus3 from 'hocuspocus3'
import * as hocuspocus4 from 'hocuspocus4'
import { WebSocket, Y, join } from './client.mjs'
import { Pycrdt } from './pycrdt.mjs'
import { joinSweet } from './y-sweet.mjs'
import { joinYrs } from './yrs.mjs'
import { eventually } from './wait.mjs'

/** A client with a document of Yjs 13 in this process. */
class Here {
  constructor (name, client, { offline, online, connected, saved }) {
    Object.assign(this, { name, client, offline, online, connected, saved, clientID: client.doc.clientID })
  }

  async set (key, value) { this.client.doc.getMap('map').set(key, value) }
  async push (value) { this.client.doc.getArray('array').push([value]) }
  async insert (index, text) { this.client.doc.getText('text').insert(index, text) }
  async doc () { return this.client.doc }
  async presence (state) { this.client.awareness.setLocalState(state) }
  async who () { return Object.fromEntries(this.client.awareness.getStates()) }
  synced () { return eventually(`${this.name} is synced`, () => this.connected()) }
}

const yWebsocket = (name, Provider) => async (t, server, room) => {
  const client = join(t, server, room, Provider ? { Provider } : {})
  return new Here(name, client, {
    offline: async () => client.provider.disconnect(),
    online: async () => client.provider.connect(),
    connected: () => client.provider.synced
  })
}

const ySweet = async (t, server, room) => {
  const client = joinSweet(t, server, room)
  return new Here('y-sweet', client, {
    offline: async () => {
      client.network.cut()
      await eventually('y-sweet notices', () => client.provider.status !== 'connected')
    },
    online: async () => client.network.heal(),
    connected: () => client.provider.status === 'connected',
    saved: () => !client.provider.hasLocalChanges
  })
}

/** A socket that fails tells whoever listens, as a browser's does; ws would end the process. */
class Quiet extends WebSocket {
  constructor (...args) {
    super(...args)
    this.on('error', () => {})
  }
}

const hocuspocus = (version, { HocuspocusProvider, HocuspocusProviderWebsocket }) => async (t, server, room) => {
  const socket = new HocuspocusProviderWebsocket({
    url: `ws://127.0.0.1:${server.port}/hocuspocus`, WebSocketPolyfill: Quiet, delay: 100, minDelay: 50, maxDelay: 500
  })
  const doc = new Y.Doc()
  const awareness = new Awareness(doc)
  // Tabs of one browser talk without the server in version 2 (`broadcast`); that would hide what it does not deliver.
  const provider = new HocuspocusProvider({ name: room, document: doc, awareness, websocketProvider: socket, broadcast: false, token: 'any' })
  provider.attach?.()
  t.after(() => {
    socket.connect = async () => {} // version 3 comes back after its end, if the server went first
    provider.destroy()
    socket.destroy()
    awareness.destroy()
    doc.destroy()
  })
  return new Here(`Hocuspocus ${version}`, { doc, awareness }, {
    offline: async () => socket.disconnect(),
    online: async () => { socket.connect() },
    connected: () => provider.isSynced ?? provider.synced,
    saved: () => provider.unsyncedChanges === 0
  })
}

const fourteen = async (t, server, room) => {
  const doc = new Y14.Doc()
  const provider = new Provider14(server.ws, room, doc, { WebSocketPolyfill: WebSocket, disableBc: true })
  provider.on('connection-error', () => {})
  t.after(() => { provider.destroy(); provider.awareness.destroy(); doc.destroy() })
  return {
    name: 'Yjs 14',
    clientID: doc.clientID,
    set: async (key, value) => { doc.get('map').setAttr(key, value) },
    push: async (value) => { doc.get('array').push([value]) },
    insert: async (index, text) => { doc.get('text').insert(index, text) },
    doc: async () => {
      const copy = new Y.Doc()
      Y.applyUpdate(copy, Y14.encodeStateAsUpdate(doc))
      return copy
    },
    presence: async (state) => provider.awareness.setLocalState(state),
    who: async () => Object.fromEntries(provider.awareness.getStates()),
    offline: async () => provider.disconnect(),
    online: async () => provider.connect(),
    synced: () => eventually('Yjs 14 is synced', () => provider.synced)
  }
}

/** Every family: `(t, server, room) => client`. */
export const families = [
  yWebsocket('y-websocket 1.5', Provider1),
  yWebsocket('y-websocket 2.1', Provider2),
  yWebsocket('y-websocket 3.1'),
  fourteen,
  hocuspocus(2, hocuspocus2),
  hocuspocus(3, hocuspocus3),
  hocuspocus(4, hocuspocus4),
  ySweet,
  Pycrdt.join,
  joinYrs
]
