// Moving in: documents and browsers of y-websocket's own server, before and after.

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import { test } from 'node:test'
import { LeveldbPersistence } from 'y-leveldb'
import { Y, content, converged, holds, join, leave, synced } from '../lib/client.mjs'
import { Device, cards, fill } from '../lib/device.mjs'
import { declare, randomEdit, undoManager } from '../lib/edits13.mjs'
import { moveIn } from '../lib/move-in.mjs'
import { YWebsocketServer } from '../lib/old-server.mjs'
import { Random, SEED } from '../lib/random.mjs'
import { Server } from '../lib/server.mjs'
import { eventually } from '../lib/wait.mjs'

test('[O77] [O74] a browser comes back into its imported room: nothing is lost, nothing is there twice', async (t) => {
  const room = 'team/rétro 41'
  const stored = encodeURI(room)
  const old = await YWebsocketServer.start(t)
  const [one, two] = [new Device(t, old), new Device(t, old)]
  const [first, second] = [await one.open(room), await two.open(room)]
  await synced(first, second)
  fill(first.doc, 'one', ['start', 'stop'])
  fill(second.doc, 'two', ['go on'])
  await converged([first, second])
  first.doc.getArray('array').delete(0)
  await converged([first, second])
  const board = content(first.doc)
  // One goes home; the other one edits on a train.
  await one.close(first)
  second.provider.disconnect()
  fill(second.doc, 'two', ['offline'])
  const kept = cards(second.doc)
  await two.close(second)
  await eventually('the old server has stored all that it had seen', async () => {
    assert.deepEqual(content(await old.stored(stored)), board)
    return true
  })

  const server = await Server.start(t)
  const busy = await moveIn(server, ['--from', 'y-leveldb', old.store])
  assert.deepEqual([busy.code, Object.keys(busy.lines)], [1, []])
  assert.match(busy.notes, /another process has the store open; stop it first/)
  await old.end()
  const moved = await moveIn(server, ['--from', 'y-leveldb', old.store])
  assert.equal(moved.code, 0, moved.notes)
  assert.deepEqual([moved.lines[stored].room, moved.lines[stored].became], [room, 'made'])

  const stranger = join(t, server, room)
  await synced(stranger)
  assert.deepEqual(content(stranger.doc), board)
  for (const device of [one, two]) device.server = server
  const [again, train] = [await one.open(room), await two.open(room)]
  await synced(again, train)
  await converged([stranger, again, train])
  assert.deepEqual(cards(stranger.doc), kept)
  assert.equal(kept.length, 3, 'each card once')
  assert.deepEqual([again.closed, train.closed], [null, null])

  const repeated = await moveIn(server, ['--from', 'y-leveldb', old.store])
  assert.deepEqual([repeated.code, repeated.lines[stored].became], [0, 'there'])
  await converged([stranger, again, train])
})

test('[O71] [O72] random documents of y-leveldb come over as they are, those of Yjs 14 clients too', async (t) => {
  const random = new Random(SEED)
  t.diagnostic(`RUANG_TEST_SEED=${SEED}`)
  const directory = await mkdtemp(path(tmpdir(), 'ruang-moving-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const persistence = new LeveldbPersistence(directory)
  const names = ['a', 'b%2Fc', 'a longer name']
  const authors = names.map(() => [new Y.Doc(), new Y.Doc()])
  authors.flat().forEach((doc, n) => { if (n % 2) doc.clientID = 2 ** 53 - 1 - random.below(1000) })
  const undo = new Map(authors.flat().map((doc) => { declare(doc); return [doc, undoManager(doc)] }))
  const sent = []
  names.forEach((name, n) => authors[n].forEach((doc) => doc.on('update', (update, origin) => {
    if (origin !== 'other') sent.push(persistence.storeUpdate(name, update))
  })))
  for (let step = 0; step < 900; step++) {
    const of = random.below(names.length)
    const [doc, other] = random.chance(0.5) ? authors[of] : authors[of].toReversed()
    randomEdit(doc, undo.get(doc), random)
    if (random.chance(0.3)) Y.applyUpdate(other, Y.encodeStateAsUpdate(doc, Y.encodeStateVector(other)), 'other')
    if (random.chance(0.01)) sent.push(persistence.flushDocument(names[of]))
  }
  await Promise.all(sent)
  const kept = await Promise.all(names.map((name) => persistence.getYDoc(name)))
  await persistence.destroy()

  const server = await Server.start(t)
  const moved = await moveIn(server, ['--from', 'y-leveldb', directory])
  assert.equal(moved.code, 0, JSON.stringify(moved))
  for (const [n, name] of names.entries()) {
    const client = join(t, server, decodeURIComponent(name))
    await synced(client)
    await eventually('all of it is there', () => holds(client.doc, Y.snapshot(kept[n])))
    assert.deepEqual(content(client.doc), content(kept[n]))
    leave(client)
  }
  const again = await moveIn(server, ['--from', 'y-leveldb', directory])
  assert.deepEqual(names.map((name) => again.lines[name].became), ['there', 'there', 'there'])
})
