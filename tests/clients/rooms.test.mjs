// Names of rooms, tokens, and clients of other versions.

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import * as Y14 from '@y/y'
import { WebsocketProvider as Provider14 } from '@y/websocket'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { Server } from './lib/server.mjs'
import { Y, converged, difference, disconnected, join, newcomerSees, synced } from './lib/client.mjs'
import { Raw, STEP2, step1 } from './lib/raw.mjs'
import { eventually, never, sleep } from './lib/wait.mjs'

const NAMES = [
  'plain', 'Plain', 'plain/', 'a/b', 'a/b/c', 'a%2Fb%2Fd', 'a', 'b', '日本語/übung', 'with space', 'a%20b', '50%off', '100%25',
  '...', 'a..b', '..%2F..%2Fetc%2Fpasswd', '*', 'a*', 'x:y', '{x}', 'x{1}y', 'log', 'x:log', 'ws', 'healthz', "quote'", '&=+;,@!$()~', 'n'.repeat(128)
]

test('[W1] each name is a room of its own, over a restart too: slashes, percent signs, dots, stars, any script', async (t) => {
  const server = await Server.start(t)
  const clients = NAMES.map((name) => join(t, server, name))
  await synced(...clients)
  clients.forEach(({ doc }, n) => doc.getMap('map').set('name', NAMES[n]))
  clients.forEach(({ doc }, n) => doc.getArray('array').push([n]))
  const newcomers = NAMES.map((name) => join(t, server, name))
  await synced(...newcomers)
  for (let n = 0; n < NAMES.length; n++) {
    await eventually(`the room ${NAMES[n]}`, () => difference(clients[n].doc, newcomers[n].doc) === null)
  }
  for (const { provider } of [...clients, ...newcomers]) provider.disconnect()
  await disconnected(...clients, ...newcomers)
  await server.kill()
  await server.startAgain()
  for (let n = 0; n < NAMES.length; n++) {
    const late = join(t, server, NAMES[n])
    await synced(late)
    assert.deepEqual(late.doc.getArray('array').toJSON(), [n], `the room ${NAMES[n]}`)
    assert.equal(late.doc.getMap('map').get('name'), NAMES[n])
  }
})

test('[W1] the same name, written with and without percent-encoding, is the same room', async (t) => {
  const server = await Server.start(t)
  const pairs = [['ü', '%C3%BC'], ['with space', 'with%20space'], ['a/b', 'a%2Fb'], ['x:y', 'x%3Ay']]
  for (const [plain, encoded] of pairs) {
    const clients = [join(t, server, plain), join(t, server, encoded)]
    await synced(...clients)
    clients[0].doc.getMap('map').set('from', plain)
    await eventually(`${encoded} is ${plain}`, () => clients[1].doc.getMap('map').get('from') === plain)
  }
})

test('[W1] names that cannot be are refused: nothing is served, and the server goes on', async (t) => {
  const server = await Server.start(t)
  const honest = join(t, server, 'honest')
  await synced(honest)
  for (const name of ['n'.repeat(129), 'n'.repeat(200), 'n'.repeat(5000), 'nul%00', 'line%0Abreak', 'del%7F', 'bad%FFutf8', '%C3%28', '']) {
    const raw = await Raw.open(t, server, name)
    raw.send(step1())
    await raw.ends()
    assert.equal(raw.syncs(STEP2).length, 0, `${name} was served`)
    if (raw.closed?.code !== 1006) assert.ok(raw.refused || (raw.closed.code >= 4400 && raw.closed.code < 4500), `${name}: a final answer, not ${raw.closed?.code}`)
  }
  // What no client library would write: dot segments and bytes that are no URL.
  for (const path of ['/ws/../../etc/passwd', '/ws/..', '/ws/.', '/ws//', '/ws/%', '/ws/%zz', '/ws/\u0001', '/ws/a b', '/ws']) {
    await new Promise((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`))
      socket.on('data', () => socket.destroy())
      socket.on('error', () => {})
      socket.on('close', resolve)
      setTimeout(() => socket.destroy(), 1_000)
    })
  }
  honest.doc.getMap('map').set('still', 'here')
  await newcomerSees(t, server, 'honest', [honest])
  assert.deepEqual([honest.connects, server.running], [1, true])
})

test('[W2] in development mode any token is taken: in the address, as a subprotocol, or none', async (t) => {
  const server = await Server.start(t)
  const clients = [
    join(t, server, 'tokens'),
    join(t, server, 'tokens', { params: { token: 'a.b.c' } }),
    join(t, server, 'tokens', { params: { token: '' , other: 'x&y=z' } }),
    join(t, server, 'tokens', { protocols: ['bearer.x'] }),
    join(t, server, 'tokens', { protocols: ['ruang.v1', 'bearer.eyJhbGciOiJub25lIn0.e30.'] }),
    join(t, server, 'tokens', { protocols: ['ruang.v1'] })
  ]
  await synced(...clients)
  clients.forEach(({ doc }, n) => doc.getArray('array').push([n]))
  await converged(clients)
  assert.equal(clients[0].doc.getArray('array').length, clients.length)
  assert.equal(clients[4].provider.ws.protocol, 'ruang.v1')
})

test('[W2] tokens do not appear in what the server writes', async (t) => {
  const server = await Server.start(t)
  const secret = 'verysecrettoken'
  const clients = [join(t, server, 'logged', { params: { token: secret } }), join(t, server, 'logged', { protocols: [`bearer.${secret}`] })]
  await synced(...clients)
  const raw = await Raw.open(t, server, 'logged', { query: `?token=${secret}` })
  raw.send(new Uint8Array([0, 2, 3, 255, 255, 255]))
  await raw.ends()
  await sleep(200)
  assert.ok(!server.lines.join('\n').includes(secret), 'a token is in the logs')
})

test('[W6] y-websocket 1.5.4 and 3.1.0 in one room', async (t) => {
  const server = await Server.start(t)
  const clients = [join(t, server, 'old', { Provider: Provider1 }), join(t, server, 'old'), join(t, server, 'old', { Provider: Provider1 })]
  await synced(...clients)
  clients.forEach(({ doc, awareness }, n) => {
    doc.getText('text').insert(0, `${n} `)
    awareness.setLocalState({ n })
  })
  await converged(clients)
  await eventually('all see each other', () => clients.every(({ awareness }) =>
    [...awareness.getStates().values()].map(({ n }) => n).sort().join() === '0,1,2'))
  clients[0].provider.disconnect()
  clients[0].doc.getText('text').insert(0, 'offline ')
  clients[1].doc.getText('text').delete(0, 1)
  clients[0].provider.connect()
  await converged(clients)
  await newcomerSees(t, server, 'old', clients)
})

test('[W6] Yjs 14 with its own provider and Yjs 13 in one room', async (t) => {
  const server = await Server.start(t)
  const thirteen = [join(t, server, 'both'), join(t, server, 'both')]
  const fourteen = [0, 1].map(() => {
    const doc = new Y14.Doc()
    const provider = new Provider14(server.ws, 'both', doc, { WebSocketPolyfill: WebSocket, disableBc: true })
    t.after(() => { provider.destroy(); provider.awareness.destroy(); doc.destroy() })
    return { doc, provider }
  })
  await synced(...thirteen, ...fourteen)
  thirteen[0].doc.getMap('map').set('by', 13)
  thirteen[0].doc.getText('text').insert(0, 'thirteen ')
  fourteen[0].doc.get('map').setAttr('also', 14)
  fourteen[0].doc.get('text').insert(0, 'fourteen ')
  fourteen[0].doc.get('array').push([1, 'two', { three: 3 }])
  thirteen[1].doc.getText('text').format(0, 3, { bold: true })
  const vector = ({ doc }) => [...Y.decodeStateVector(doc instanceof Y.Doc ? Y.encodeStateVector(doc) : Y14.encodeStateVector(doc))].sort().join()
  await converged(thirteen)
  await eventually('all four hold the same', () => new Set([...thirteen, ...fourteen].map(vector)).size === 1)
  for (const { doc } of fourteen) {
    assert.equal(doc.get('map').getAttr('by'), 13)
    assert.equal(doc.get('text').toString(), thirteen[0].doc.getText('text').toString())
  }
  assert.equal(thirteen[1].doc.getMap('map').get('also'), 14)
  assert.deepEqual(thirteen[1].doc.getArray('array').toJSON(), [1, 'two', { three: 3 }])
  fourteen[1].provider.disconnect()
  await disconnected(fourteen[1])
  fourteen[1].doc.get('text').delete(0, 4)
  thirteen[0].doc.getText('text').insert(0, 'x')
  fourteen[1].provider.connect()
  await eventually('all four hold the same again', () => new Set([...thirteen, ...fourteen].map(vector)).size === 1 &&
    new Set([...thirteen.map(({ doc }) => doc.getText('text').toString()), ...fourteen.map(({ doc }) => doc.get('text').toString())]).size === 1)
  await newcomerSees(t, server, 'both', thirteen)
})

test('[W1] two rooms never mix, however busy', async (t) => {
  const server = await Server.start(t)
  const rooms = ['mix', 'mix/1', 'mix/2'].map((name) => [join(t, server, name), join(t, server, name)])
  await synced(...rooms.flat())
  for (let n = 0; n < 100; n++) {
    rooms.forEach(([{ doc, awareness }], room) => {
      doc.getArray('array').push([room])
      awareness.setLocalState({ room })
    })
  }
  for (const clients of rooms) await converged(clients)
  rooms.forEach(([, { doc, awareness }], room) => {
    assert.deepEqual([...new Set(doc.getArray('array').toJSON())], [room])
    assert.equal(doc.getArray('array').length, 100)
    assert.ok([...awareness.getStates().values()].every((state) => state.room === undefined || state.room === room))
  })
  await never('something from elsewhere', () => rooms.some(([, { doc }]) => doc.getArray('array').length !== 100), 200)
})
