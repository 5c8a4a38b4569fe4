// @y-sweet/client against the real server: sync, offline, and what "local changes" mean.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { Redis } from '../lib/redis.mjs'
import { Server } from '../lib/server.mjs'
import { converged, holds, join, leave, newcomerSees, synced } from '../lib/client.mjs'
import { connected, joinSweet, manager, stored } from '../lib/y-sweet.mjs'
import { eventually, never, sleep } from '../lib/wait.mjs'
import '../lib/quiet.mjs'

const fill = (doc, name) => {
  doc.getMap('map').set(name, { by: name })
  doc.getArray('array').push([name])
  doc.getText('text').insert(0, `[${name}]`)
}

/** A server on a Redis of its own, which can be frozen: appends hang then, and nothing is lost. */
async function onRedis (t, args = []) {
  const redis = await Redis.start(t)
  const server = await Server.start(t, { store: redis.store, args })
  t.after(() => redis.process.kill('SIGCONT'))
  return { server, freeze: () => redis.process.kill('SIGSTOP'), thaw: () => redis.process.kill('SIGCONT') }
}

test('[W43] two providers and a y-websocket client share a document', async (t) => {
  const server = await Server.start(t)
  const [ann, bob] = [joinSweet(t, server, 'board'), joinSweet(t, server, 'board')]
  await connected(ann, bob)
  const yws = join(t, server, 'board')
  await synced(yws)
  for (const [n, { doc }] of [ann, bob, yws].entries()) fill(doc, `person ${n}`)
  await converged([ann, bob, yws])
  assert.equal(ann.doc.getArray('array').length, 3)
  await stored(ann, bob)
  assert.equal(ann.changes.at(-1), false, 'it has told of its changes')
  await newcomerSees(t, server, 'board', [ann, bob, yws])
  assert.deepEqual([ann.closes, bob.closes], [[], []])
})

test('[W43] the provider is connected when it has the document, and the document is whole then', async (t) => {
  const server = await Server.start(t)
  const ann = joinSweet(t, server, 'board')
  await connected(ann)
  for (let n = 0; n < 200; n++) ann.doc.getArray('array').push([n])
  await stored(ann)
  const bob = joinSweet(t, server, 'board')
  let whole
  bob.provider.on('synced', () => { whole ??= bob.doc.getArray('array').length })
  await connected(bob)
  assert.equal(whole, 200)
  assert.deepEqual(bob.statuses, ['connecting', 'handshaking', 'connected'])
})

test('[W43] presence is seen by y-sweet and y-websocket clients alike, and goes with its person', async (t) => {
  const server = await Server.start(t)
  const [ann, bob] = [joinSweet(t, server, 'board'), joinSweet(t, server, 'board')]
  const yws = join(t, server, 'board')
  await connected(ann, bob)
  await synced(yws)
  const clients = [ann, bob, yws]
  clients.forEach(({ awareness }, n) => awareness.setLocalState({ name: `person ${n}` }))
  await eventually('everyone sees everyone', () => clients.every(({ awareness }) =>
    clients.every(({ doc }, n) => awareness.getStates().get(doc.clientID)?.name === `person ${n}`)))
  ann.network.cut()
  await eventually('the one who has left is gone', () => [bob, yws].every(({ awareness }) =>
    !awareness.getStates().has(ann.doc.clientID)), { within: 20_000 })
})

test('[W44] local changes are there exactly as long as the store has not taken them', async (t) => {
  const { server, freeze, thaw } = await onRedis(t)
  const ann = joinSweet(t, server, 'board')
  await connected(ann)
  fill(ann.doc, 'before')
  await stored(ann)
  freeze()
  for (let n = 0; n < 5; n++) fill(ann.doc, `frozen ${n}`)
  assert.ok(ann.provider.hasLocalChanges)
  // Longer than the 3 s after which the provider takes a silent server for gone.
  await never('changes count as stored while nothing is', () => !ann.provider.hasLocalChanges, 9_000)
  assert.deepEqual(ann.closes, [], 'the connection has lived through it')
  thaw()
  await stored(ann)
  await newcomerSees(t, server, 'board', [ann])
  assert.deepEqual(ann.closes, [])
})

test('[W44, W46] who types on while the store is frozen stays connected, and is told when all is stored', async (t) => {
  const { server, freeze, thaw } = await onRedis(t)
  const ann = joinSweet(t, server, 'board')
  await connected(ann)
  fill(ann.doc, 'before')
  await stored(ann)
  freeze()
  const typing = setInterval(() => ann.doc.getText('text').insert(0, 'x'), 150)
  t.after(() => clearInterval(typing))
  await never('changes count as stored while nothing is', () => !ann.provider.hasLocalChanges && ann.doc.getText('text').length > 20, 9_000)
  clearInterval(typing)
  assert.deepEqual(ann.closes, [], 'the connection has lived through it')
  thaw()
  await stored(ann)
  await newcomerSees(t, server, 'board', [ann])
})

test('[W44] edits made offline count as changes until they are stored, from the first moment of the connection', async (t) => {
  const { server, freeze, thaw } = await onRedis(t)
  const [ann, watcher] = [joinSweet(t, server, 'board'), join(t, server, 'board')]
  await connected(ann)
  await synced(watcher)
  fill(ann.doc, 'before')
  await stored(ann)
  await converged([ann, watcher])
  ann.network.cut()
  await eventually('it notices', () => ann.provider.status !== 'connected')
  fill(ann.doc, 'offline')
  assert.ok(ann.provider.hasLocalChanges)
  freeze()
  ann.network.heal()
  await connected(ann) // what the server has is in memory
  await never('they count as stored', () => !ann.provider.hasLocalChanges, 7_000)
  assert.equal(ann.network.opened, 2, 'one connection before, one after')
  thaw()
  await stored(ann)
  await converged([ann, watcher])
})

test('[W44] a copy that was never sent is stored before the provider hears that it has no changes', async (t) => {
  const { server, freeze, thaw } = await onRedis(t)
  await manager(server).createDoc('board')
  // The room is in memory, so that the frozen store holds up nothing but the append.
  const watcher = join(t, server, 'board')
  await synced(watcher)
  const initialClientToken = await manager(server).getClientToken('board')
  freeze()
  const doc = new Y.Doc()
  fill(doc, 'copy') // before there is a provider: it does not count this as a change of its own
  const ann = joinSweet(t, server, 'board', { doc, initialClientToken })
  await connected(ann)
  await never('it has no changes', () => !ann.provider.hasLocalChanges, 7_000)
  assert.deepEqual(ann.closes, [])
  thaw()
  await stored(ann)
  await converged([ann, watcher])
})

test('[W43] offline edits of two are merged when they return', async (t) => {
  const server = await Server.start(t)
  const [ann, bob] = [joinSweet(t, server, 'board'), joinSweet(t, server, 'board')]
  await connected(ann, bob)
  fill(ann.doc, 'both')
  await converged([ann, bob])
  ann.network.cut()
  bob.network.cut()
  fill(ann.doc, 'ann')
  fill(bob.doc, 'bob')
  ann.network.heal()
  bob.network.heal()
  await stored(ann, bob)
  await converged([ann, bob])
  assert.equal(ann.doc.getArray('array').length, 3)
  await newcomerSees(t, server, 'board', [ann, bob])
})

test('[W44] what the provider was told is stored survives kill -9, and so does everything else that its page holds', async (t) => {
  const server = await Server.start(t)
  const people = [joinSweet(t, server, 'board'), joinSweet(t, server, 'board')]
  await connected(...people)
  let told = 0
  const writing = setInterval(() => people.forEach(({ doc }, n) => doc.getArray('array').push([`${n}/${told++}`])), 5)
  t.after(() => clearInterval(writing))
  for (let round = 0; round < 4; round++) {
    await sleep(700)
    // What is said to be stored at this moment.
    const certain = people.filter(({ provider }) => !provider.hasLocalChanges).map(({ doc }) => Y.snapshot(doc))
    await server.kill()
    await server.startAgain()
    const late = join(t, server, 'board')
    await synced(late)
    for (const snapshot of certain) {
      await eventually('what was said to be stored is there', () => holds(late.doc, snapshot))
    }
    leave(late)
    await connected(...people)
  }
  clearInterval(writing)
  await stored(...people)
  await converged(people)
  await newcomerSees(t, server, 'board', people)
})

test('[W45] a document that was made anew after its room expired takes the life that a returning copy brings', async (t) => {
  const server = await Server.start(t)
  const ann = joinSweet(t, server, 'board')
  await connected(ann)
  fill(ann.doc, 'yesterday')
  await stored(ann)
  ann.network.cut()
  fill(ann.doc, 'night')
  await server.forget()
  // The application makes sure that the document is there, as it does for everyone who opens the page.
  await manager(server).getOrCreateDocAndToken('board')
  const bob = joinSweet(t, server, 'board')
  await connected(bob)
  ann.network.heal()
  await stored(ann)
  await converged([ann, bob])
  assert.deepEqual(bob.doc.getArray('array').toJSON(), ['yesterday', 'night'])
  await newcomerSees(t, server, 'board', [ann, bob])
  assert.ok(!ann.closes.includes(4409) && !bob.closes.includes(4409))
})

test('[W45] a document with a copy of an earlier life is refused, and neither life is changed', async (t) => {
  const server = await Server.start(t)
  const ann = joinSweet(t, server, 'board')
  await connected(ann)
  fill(ann.doc, 'yesterday')
  await stored(ann)
  ann.network.cut()
  await server.forget()
  const bob = joinSweet(t, server, 'board')
  await connected(bob)
  fill(bob.doc, 'today')
  await stored(bob)
  ann.network.heal()
  await eventually('it is sent away', () => ann.closes.includes(4409), { within: 30_000 })
  assert.notEqual(ann.provider.status, 'connected')
  assert.deepEqual(bob.doc.getArray('array').toJSON(), ['today'])
  assert.deepEqual(ann.doc.getArray('array').toJSON(), ['yesterday'])
})
