// What is on the wire: one message per frame, an order, and the acknowledgements of ruang.v1.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from './lib/server.mjs'
import { Y, converged, join, synced } from './lib/client.mjs'
import { ACK, AWARENESS, Raw, STEP1, STEP2, SYNC, UPDATE, awareness, step1, sync } from './lib/raw.mjs'
import { eventually, never } from './lib/wait.mjs'

test('[S1] nothing is sent before the client\'s Step1; then Step2, then the server\'s own Step1', async (t) => {
  const server = await Server.start(t)
  const author = join(t, server, 'order')
  author.awareness.setLocalState({ name: 'author' })
  author.doc.getText('text').insert(0, 'content')
  await synced(author)
  const raw = await Raw.open(t, server, 'order')
  author.doc.getText('text').insert(0, 'more ')
  author.awareness.setLocalState({ name: 'author', changed: true })
  raw.send(awareness(new Uint8Array([0]))) // not a Step1 yet
  await never('a message before Step1', () => raw.messages.length > 0, 1_500)
  const doc = await raw.synced()
  await eventually('the server\'s Step1 and presence', () => raw.syncs(STEP1).length > 0 && raw.messages.some(({ type }) => type === AWARENESS))
  const order = raw.messages.filter(({ type }) => type === SYNC).map(({ kind }) => kind)
  assert.ok(order.indexOf(STEP2) === 0 && order.includes(STEP1), `${order}`)
  assert.equal(doc.getText('text').toString(), 'more content')
})

test('[W3] each frame holds exactly one message, in a busy room too', async (t) => {
  const server = await Server.start(t)
  const writers = [0, 1, 2].map(() => join(t, server, 'frames'))
  await synced(...writers)
  const raw = await Raw.open(t, server, 'frames', { protocols: ['ruang.v1'] })
  const doc = await raw.synced()
  for (let n = 0; n < 200; n++) {
    for (const writer of writers) {
      writer.doc.getArray('array').push([n])
      writer.awareness.setLocalState({ n })
    }
    doc.getMap('map').set('n', n)
    raw.send(sync(UPDATE, Y.encodeStateAsUpdate(doc)))
    if (n % 20 === 0) raw.send(step1(doc))
    if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await converged(writers)
  await eventually('all acknowledged', () => raw.acks().at(-1)?.count === 200)
  const long = raw.messages.filter(({ rest }) => rest !== 0)
  assert.deepEqual(long.map(({ type, rest }) => ({ type, rest })), [])
  assert.ok(raw.messages.length > 10)
})

test('[S8] ruang.v1: each Step2 and Update is counted and acknowledged in order, also one that brings nothing new', async (t) => {
  const server = await Server.start(t)
  const raw = await Raw.open(t, server, 'acks', { protocols: ['ruang.v1'] })
  assert.equal(raw.socket.protocol, 'ruang.v1')
  const acked = (count) => eventually(`acknowledgement ${count}`, () => raw.acks().some((ack) => ack.count === count),
    { within: 5_000, detail: () => JSON.stringify(raw.acks().map((ack) => ack.count)) })
  const doc = await raw.synced()
  assert.deepEqual(raw.acks(), [])
  raw.send(sync(STEP2, new Uint8Array([0, 0]))) // empty, as the answer of a client with nothing
  await acked(1)
  doc.getMap('map').set('a', 1)
  const update = Y.encodeStateAsUpdate(doc)
  raw.send(sync(UPDATE, update))
  await acked(2)
  raw.send(sync(UPDATE, update)) // known already
  await acked(3)
  raw.send(sync(STEP2, update))
  await acked(4)
  // Step1 and presence are not counted.
  raw.send(step1(doc))
  raw.send(awareness(new Uint8Array([0])))
  for (let n = 0; n < 50; n++) {
    doc.getArray('array').push([n])
    raw.send(sync(UPDATE, Y.encodeStateAsUpdate(doc)))
  }
  await acked(54)
  await never('one acknowledgement too many', () => raw.acks().some(({ count }) => count > 54), 500)
  const counts = raw.acks().map(({ count }) => count)
  assert.deepEqual(counts, [...counts].sort((a, b) => a - b), 'in order')
  assert.equal(new Set(counts).size, counts.length, 'each count once')
  assert.ok(raw.acks().every(({ position }) => typeof position === 'string' && position.length > 0), 'each with a position')
})

test('[S8] acknowledgements go to those who asked for them only, and count each session by itself', async (t) => {
  const server = await Server.start(t)
  const plain = await Raw.open(t, server, 'ack-others')
  const asked = await Raw.open(t, server, 'ack-others', { protocols: ['ruang.v1'] })
  const other = await Raw.open(t, server, 'ack-others', { protocols: ['bearer.x', 'ruang.v1'] })
  await plain.synced()
  await other.synced()
  const doc = await asked.synced()
  for (let n = 0; n < 5; n++) {
    doc.getArray('array').push([n])
    asked.send(sync(UPDATE, Y.encodeStateAsUpdate(doc)))
  }
  await eventually('five acknowledgements', () => asked.acks().at(-1)?.count === 5)
  await eventually('the others have the updates', () => plain.syncs(UPDATE).length > 0 && other.syncs(UPDATE).length > 0)
  assert.deepEqual(plain.messages.filter(({ type }) => type === ACK), [])
  assert.deepEqual(other.acks(), [])
})

test('[W5] unknown messages and a presence question do no harm', async (t) => {
  const server = await Server.start(t)
  const client = join(t, server, 'unknown')
  client.awareness.setLocalState({ name: 'here' })
  await synced(client)
  const raw = await Raw.open(t, server, 'unknown')
  await raw.synced()
  await eventually('presence', () => raw.messages.some(({ type, payload }) => type === AWARENESS && payload.length > 5))
  const before = raw.messages.length
  raw.send(new Uint8Array([3]))
  await eventually('an answer to the question who is here', () =>
    raw.messages.slice(before).some(({ type, payload }) => type === AWARENESS && payload.length > 5))
  client.doc.getMap('map').set('a', 1)
  await eventually('updates still come', () => raw.syncs(UPDATE).length > 0)
  assert.equal(client.connects, 1)
})
