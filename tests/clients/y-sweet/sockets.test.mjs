// y-sweet's socket, message by message, as no provider would send it.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { Redis } from '../lib/redis.mjs'
import { Server } from '../lib/server.mjs'
import { converged, join, synced } from '../lib/client.mjs'
import { Raw, STEP1, STEP2, SYNC, UPDATE, awareness, step1, sync } from '../lib/raw.mjs'
import { connected, joinSweet, manager } from '../lib/y-sweet.mjs'
import { eventually, never, sleep } from '../lib/wait.mjs'
import '../lib/quiet.mjs'

const STATUS = 102

/** "Is what I have sent stored?", as the provider asks it; `version` may be any bytes. */
const status = (version) => encoding.encode((to) => {
  encoding.writeVarUint(to, STATUS)
  encoding.writeVarUint8Array(to, typeof version === 'number'
    ? encoding.encode((inner) => encoding.writeVarUint(inner, version))
    : version)
})

/** What has come back, in order. */
const echoes = (raw) => raw.messages.filter(({ type }) => type === STATUS).map(({ frame }) => frame)
const versions = (raw) => echoes(raw).map((frame) => {
  const from = decoding.createDecoder(frame)
  decoding.readVarUint(from)
  return decoding.readVarUint(decoding.createDecoder(decoding.readVarUint8Array(from)))
})

const open = (t, server, id, options = {}) =>
  Raw.open(t, { ws: `ws://127.0.0.1:${server.port}/d/${id}/ws` }, id, options)

// Whoever sends as fast as these tests do is slowed otherwise, and closed in the end.
const UNBOUNDED = ['--socket-messages', 'off', '--socket-bytes', 'off']

async function frozen (t) {
  const redis = await Redis.start(t)
  const server = await Server.start(t, { store: redis.store, args: UNBOUNDED })
  await manager(server).createDoc('board')
  const keeper = join(t, server, 'board') // keeps the room in memory
  await synced(keeper)
  const signal = (name) => redis.process.kill(name)
  t.after(() => signal('SIGCONT'))
  return { server, freeze: () => signal('SIGSTOP'), thaw: () => signal('SIGCONT') }
}

const edit = (doc, value) => {
  let update
  doc.once('update', (bytes) => { update = bytes })
  doc.getArray('array').push([value])
  return sync(UPDATE, update)
}

test('[W44] the captured conversation: Step1, status and presence, then the Step2 that the first status waits for', async (t) => {
  const server = await Server.start(t)
  const raw = await open(t, server, 'board')
  raw.send(Uint8Array.from([0, 0, 3, 1, 7, 1]))
  raw.send(Uint8Array.from([0x66, 1, 0]))
  raw.send(Uint8Array.from([1, 6, 1, 7, 0, 2, 0x7b, 0x7d]))
  await eventually('Step2 and Step1 come', () => raw.syncs(STEP2).length === 1 && raw.syncs(STEP1).length === 1)
  assert.deepEqual([...raw.syncs(STEP2)[0].frame], [0, 1, 2, 0, 0])
  assert.deepEqual([...raw.syncs(STEP1)[0].frame], [0, 0, 1, 0])
  await never('the first status comes back before the Step2 is decided', () => echoes(raw).length > 0, 1_500)
  const step2 = '00011001010700280101 6d036f6666017d0100'.replace(' ', '')
  raw.send(Buffer.from(step2, 'hex'))
  await eventually('the status comes back', () => echoes(raw).length === 1)
  assert.deepEqual([...echoes(raw)[0]], [0x66, 1, 0])
  assert.ok(raw.messages.every(({ type }) => type !== 3), 'nobody asks who is here')
})

test('[W44] statuses come back unchanged and in order, after what was sent before them is stored', async (t) => {
  const { server, freeze, thaw } = await frozen(t)
  const raw = await open(t, server, 'board')
  const doc = new Y.Doc()
  await raw.synced(doc)
  raw.send(sync(STEP2, Y.encodeStateAsUpdate(doc)))
  raw.send(status(0))
  await eventually('the first comes back', () => echoes(raw).length === 1)
  freeze()
  for (let n = 1; n <= 20; n++) {
    raw.send(edit(doc, n))
    raw.send(status(n))
  }
  await never('one comes back', () => echoes(raw).length > 1, 3_000)
  thaw()
  await eventually('all come back', () => echoes(raw).length === 21)
  assert.deepEqual(versions(raw), Array.from({ length: 21 }, (_, n) => n))
  const watcher = join(t, server, 'board')
  await synced(watcher)
  assert.equal(watcher.doc.getArray('array').length, 20)
})

test('[W46] while a status is held, something is said again and again', async (t) => {
  const { server, freeze, thaw } = await frozen(t)
  const raw = await open(t, server, 'board')
  const doc = await raw.synced()
  raw.send(sync(STEP2, Y.encodeStateAsUpdate(doc)))
  raw.send(status(0))
  await eventually('the first comes back', () => echoes(raw).length === 1)
  freeze()
  raw.send(edit(doc, 'held'))
  raw.send(status(1))
  // How often is the server's LATE_ANSWER_MS, which is held against the provider's 3 s where it stands.
  const began = Date.now()
  let heard = 0
  raw.socket.on('message', () => { heard++ })
  await eventually('it hears something six times', () => heard >= 6, { within: 120_000 })
  console.log(`six messages in ${Date.now() - began} ms`)
  assert.equal(echoes(raw).length, 1)
  thaw()
  await eventually('it comes back', () => echoes(raw).length === 2)
})

test('[W44] a status behind edits that wait for what is missing is held until that has come', async (t) => {
  const server = await Server.start(t)
  const raw = await open(t, server, 'board')
  const doc = await raw.synced()
  raw.send(sync(STEP2, Y.encodeStateAsUpdate(doc)))
  raw.send(status(0))
  await eventually('the first comes back', () => echoes(raw).length === 1)
  edit(doc, 'kept back')
  raw.send(edit(doc, 'built on it'))
  raw.send(status(1))
  await eventually('the server asks for what is missing', () => raw.syncs(STEP1).length === 2)
  await never('the status comes back', () => echoes(raw).length > 1, 1_500)
  raw.send(sync(STEP2, Y.encodeStateAsUpdate(doc)))
  await eventually('the status comes back', () => echoes(raw).length === 2)
  const watcher = join(t, server, 'board')
  await synced(watcher)
  assert.deepEqual(watcher.doc.getArray('array').toJSON(), ['kept back', 'built on it'])
})

test('[W46] a storm of 8,000 statuses of any content comes back whole, and harms nobody', async (t) => {
  const server = await Server.start(t)
  const other = joinSweet(t, server, 'board')
  await connected(other)
  const raw = await open(t, server, 'board')
  const doc = await raw.synced()
  raw.send(sync(STEP2, Y.encodeStateAsUpdate(doc)))
  const bodies = [[], [0], [1, 2, 3], Array(120).fill(7)]
  for (let n = 0; n < 8_000; n++) raw.send(status(Uint8Array.from(bodies[n % bodies.length])))
  await eventually('all come back', () => echoes(raw).length === 8_000, { within: 60_000 })
  assert.ok(echoes(raw).every((frame, n) => frame.length === 2 + bodies[n % bodies.length].length))
  raw.send(edit(doc, 'after'))
  await eventually('the room goes on', () => other.doc.getArray('array').length === 1)
  assert.deepEqual(other.closes, [])
})

test('[W46] statuses that wait are bounded; the newest of them is answered', async (t) => {
  const { server, freeze, thaw } = await frozen(t)
  const raw = await open(t, server, 'board')
  const doc = await raw.synced()
  raw.send(sync(STEP2, Y.encodeStateAsUpdate(doc)))
  const resident = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${server.pid}/status`, 'utf8'))[1]) * 1024
  freeze()
  raw.send(edit(doc, 'held'))
  const before = await resident()
  const body = new Uint8Array(100)
  for (let n = 0; n < 8_000; n++) raw.send(status(body))
  raw.send(status(7))
  await eventually('all are read', () => raw.socket.bufferedAmount === 0)
  await sleep(2_000)
  const grown = await resident() - before
  assert.ok(grown < 8 * 1024 * 1024, `${grown} bytes more`)
  thaw()
  await eventually('the newest comes back', () => echoes(raw).at(-1)?.length === 3)
  assert.ok(echoes(raw).length < 2_000, 'a newer answer serves for older ones')
})

test('[W46] who asks on and on is not read, then sent away for a while; others notice nothing', async (t) => {
  const server = await Server.start(t)
  const other = joinSweet(t, server, 'board')
  await connected(other)
  const raw = await open(t, server, 'board')
  await raw.synced()
  const flood = setInterval(() => { for (let n = 0; n < 500; n++) raw.send(status(1)) }, 20)
  t.after(() => clearInterval(flood))
  assert.equal((await raw.ends(60_000))?.code, 4529)
  clearInterval(flood)
  assert.deepEqual([other.closes, other.provider.status], [[], 'connected'])
})

test('[W46] a status is a small thing: a large one ends the session', async (t) => {
  const server = await Server.start(t)
  for (const size of [127, 60_000]) {
    const raw = await open(t, server, 'board')
    await raw.synced()
    raw.send(status(new Uint8Array(size)))
    assert.equal((await raw.ends())?.code, 4413, `${size} bytes`)
  }
})

test('[W47] the id stands twice in the address, and both must be the same', async (t) => {
  const server = await Server.start(t)
  const raw = await Raw.open(t, { ws: `ws://127.0.0.1:${server.port}/d/board/ws` }, 'other')
  raw.send(step1())
  const closed = await raw.ends()
  assert.equal(closed?.code, 4400)
  assert.equal(raw.messages.length, 0)
})

test('[W47] a document has one name in all families, also where y-sweet itself would not make it', async (t) => {
  const server = await Server.start(t)
  for (const name of ['team/board', 'ümlaut board', '50%']) {
    const yws = join(t, server, encodeURIComponent(name))
    await synced(yws)
    yws.doc.getMap('map').set('from', 'y-websocket')
    const answer = await eventually('it has a token', async () => {
      const answer = await fetch(`${server.http}/doc/${encodeURIComponent(name)}/auth`, { method: 'POST' })
      return answer.status === 200 && answer.json()
    })
    assert.equal(answer.docId, name)
    const raw = await Raw.open(t, { ws: answer.url }, encodeURIComponent(name))
    const doc = await raw.synced()
    assert.equal(doc.getMap('map').get('from'), 'y-websocket', name)
  }
})

test('[W47] what is malformed ends its session, is not stored, and harms nobody', async (t) => {
  const server = await Server.start(t)
  const honest = joinSweet(t, server, 'board')
  await connected(honest)
  const bad = {
    'a status cut short': [0x66, 9, 0],
    'a status without a body': [0x66],
    'a sync message that does not exist': [0, 7, 1, 0],
    'an update that is none': [0, 2, 3, 255, 255, 255],
    'presence that is no JSON': [1, 6, 1, 7, 1, 2, 0x7b, 0x7b],
    nothing: []
  }
  for (const [what, bytes] of Object.entries(bad)) {
    const raw = await open(t, server, 'board')
    await raw.synced()
    raw.send(Uint8Array.from(bytes))
    const closed = await raw.ends()
    assert.equal(closed?.code, 4400, what)
  }
  // The provider answers a question for presence with a body of its own. The server never asks; it takes the answer.
  const raw = await open(t, server, 'board')
  await raw.synced()
  raw.send(Uint8Array.from([3, 6, 1, 7, 1, 2, 0x7b, 0x7d]))
  raw.send(awareness(Uint8Array.from([1, 7, 1, 2, 0x7b, 0x7d])))
  await eventually('its presence is seen', () => honest.awareness.getStates().has(7))
  assert.ok(raw.open)
  honest.doc.getMap('map').set('still', 'here')
  const watcher = join(t, server, 'board')
  await synced(watcher)
  await converged([honest, watcher])
})

test('[W47] a frame with several messages is read whole', async (t) => {
  const server = await Server.start(t)
  const raw = await open(t, server, 'board')
  const doc = new Y.Doc()
  const parts = [step1(doc), sync(STEP2, Uint8Array.from([0, 0])), status(0), status(1)]
  raw.send(Buffer.concat(parts))
  await eventually('all are answered', () => echoes(raw).length === 2)
  assert.deepEqual(versions(raw), [0, 1])
  assert.ok(raw.messages.filter(({ type }) => type === SYNC).every(({ rest }) => rest === 0), 'one message a frame')
})
