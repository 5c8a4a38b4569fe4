// "Saved" in the providers' own terms: `unsyncedChanges` is 0 exactly when everything is stored.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from '../lib/server.mjs'
import { Redis } from '../lib/redis.mjs'
import { Y, converged } from '../lib/client.mjs'
import { Raw, STATUS, SYNC, connect, each, heardOut, join, saved, step1, sync, synced, token, unsynced } from '../lib/hocuspocus.mjs'
import { eventually, never } from '../lib/wait.mjs'

test('[W27] while the store is frozen every version counts its edits, and nobody sees them; then all are saved and seen', async (t) => {
  const redis = await Redis.start(t)
  const server = await Server.start(t, { store: redis.store })
  const authors = each.map(({ version }) => join(t, server, `held-${version}`, version))
  const watchers = each.map(({ version }) => join(t, server, `held-${version}`, version))
  await synced(...authors, ...watchers)
  authors.forEach(({ doc }) => doc.getMap('map').set('before', 1))
  await saved(...authors)
  redis.freeze()
  t.after(() => redis.thaw())
  for (const { doc } of authors) {
    doc.getMap('map').set('held', 1)
    doc.getText('text').insert(0, 'held')
    doc.getText('text').delete(0, 1)
  }
  await never('an edit is said to be stored, or shown', () =>
    authors.some((author) => unsynced(author) < 3) || watchers.some(({ doc }) => doc.getMap('map').has('held')), 1_500)
  // A client that asks anew in the meantime counts from 1, and is not told of what it does not count any more.
  authors[0].provider.forceSync()
  await never('a count of 0', () => unsynced(authors[0]) === 0, 500)
  redis.thaw()
  await saved(...authors)
  for (const [n, author] of authors.entries()) await converged([author, watchers[n]])
  await heardOut(t, server, ...authors)
  assert.deepEqual(authors.map(unsynced), [0, 0, 0])
})

test('[W27] a client that returns with offline edits to a frozen store is not told that they are stored', async (t) => {
  const redis = await Redis.start(t)
  const server = await Server.start(t, { store: redis.store })
  const clients = each.map(({ version }) => join(t, server, `back-${version}`, version))
  await synced(...clients)
  clients.forEach(({ doc }) => doc.getArray('array').push([0]))
  await saved(...clients)
  redis.freeze()
  t.after(() => redis.thaw())
  for (const { doc, socket } of clients) {
    // Now, and not when all have closed: the first would be back by then.
    socket.on('close', () => {
      if (socket.closes.length > 1) return
      doc.getArray('array').push([1, 2, 3])
      doc.getArray('array').delete(0, 1)
    })
    socket.webSocket.close()
  }
  await eventually('all are back', () => clients.every(({ socket }) => socket.opened > 1))
  await never('a count of 0', () => clients.some((client) => client.counts.at(-1) < 1), 2_000)
  redis.thaw()
  await saved(...clients)
  await heardOut(t, server, ...clients)
  assert.deepEqual(clients.map(unsynced), [0, 0, 0])
  for (const client of clients) {
    const other = join(t, server, client.room, 4)
    await synced(other)
    assert.deepEqual(other.doc.getArray('array').toJSON(), [1, 2, 3])
  }
})

test('[W27] by hand: each Step2 and Update is told of once, in order, also an empty one and one that is known', async (t) => {
  const server = await Server.start(t)
  const raw = await Raw.open(t, server)
  const doc = await raw.joined('acks')
  assert.deepEqual(raw.statuses('acks'), [true])
  doc.getMap('map').set('a', 1)
  const update = Y.encodeStateAsUpdate(doc)
  raw.send(sync('acks', 2, update), sync('acks', 2, update), sync('acks', 2, new Uint8Array([0, 0])), sync('acks', 1, update))
  await eventually('four more', () => raw.statuses('acks').length === 5)
  for (let n = 0; n < 50; n++) {
    doc.getArray('array').push([n])
    raw.send(sync('acks', 2, Y.encodeStateAsUpdate(doc)))
  }
  await eventually('all', () => raw.statuses('acks').length === 55)
  await never('one too many', () => raw.statuses('acks').length > 55, 300)
  assert.ok(raw.statuses('acks').every((stored) => stored))
  assert.ok(raw.messages.every(({ rest }) => rest === 0), 'one message per frame')
})

test('[W27] by hand: each Step1 is answered with a Step2 and a Step1; what builds on something missing is told of when it is stored', async (t) => {
  const server = await Server.start(t)
  const raw = await Raw.open(t, server)
  const doc = await raw.joined('gap')
  raw.send(step1('gap', doc))
  await eventually('asked again', () => raw.of('gap', SYNC, 0).length === 2)
  raw.send(sync('gap', 1, Y.encodeStateAsUpdate(doc)))
  await eventually('told', () => raw.statuses('gap').length === 2)
  const updates = []
  doc.on('update', (update) => updates.push(update))
  for (const word of ['one ', 'two ', 'three ']) doc.getText('text').insert(doc.getText('text').length, word)
  raw.send(sync('gap', 2, updates[2])) // the two before it are lost
  await eventually('the server asks', () => raw.of('gap', SYNC, 0).length === 3)
  await never('it is said to be stored', () => raw.statuses('gap').length > 2, 500)
  raw.send(sync('gap', 1, Y.encodeStateAsUpdate(doc)))
  await eventually('told of the one Update', () => raw.statuses('gap').length === 3)
  await never('told of more', () => raw.statuses('gap').length > 3, 300)
  const other = await Raw.open(t, server)
  assert.equal((await other.joined('gap')).getText('text').toString(), 'one two three ')
  assert.ok(raw.messages.filter(({ type }) => type === STATUS).every(({ stored }) => stored))
})

test('[W20] by hand: a provider of version 2 without a token begins with its Step1; no word of tokens comes back', async (t) => {
  const server = await Server.start(t)
  const raw = await Raw.open(t, server)
  raw.send(step1('tokenless'))
  await eventually('Step2 and Step1', () => raw.of('tokenless', SYNC, 1).length === 1 && raw.of('tokenless', SYNC, 0).length === 1)
  assert.deepEqual(raw.of('tokenless', 2), [])
  const named = await Raw.open(t, server)
  named.send(token('tokenless', 'tok', '4.8.0'), step1('tokenless'))
  await eventually('let in', () => named.of('tokenless', 2).length === 1)
  assert.equal(Buffer.from(named.messages[0].frame).toString('latin1'), '\x09tokenless\x02\x02\x0aread-write')
  await eventually('Step2 behind it', () => named.of('tokenless', SYNC, 1).length === 1)
})

test('[W31] a restart sends every client away and all come back, several documents on a socket', async (t) => {
  const server = await Server.start(t)
  const sockets = each.map(({ version }) => connect(t, server, version))
  const clients = sockets.flatMap((socket, n) => ['x', 'y'].map((room) => join(t, server, room, each[n].version, { socket })))
  await synced(...clients)
  const idle = connect(t, server, 4) // a socket without a document
  await eventually('it is open', () => idle.opened === 1)
  await server.kill('SIGTERM')
  assert.ok(sockets.every(({ closes }) => closes[0] === 1012), `${sockets.map(({ closes }) => closes)}`)
  assert.equal(idle.closes[0], 1012)
  clients.forEach(({ doc }, n) => doc.getArray('array').push([n]))
  await server.startAgain()
  await eventually('all are back', () => sockets.every(({ opened }) => opened > 1))
  await synced(...clients)
  await saved(...clients)
  for (const room of ['x', 'y']) await converged(clients.filter((client) => client.room === room))
})
