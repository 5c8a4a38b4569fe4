// The server goes away and comes back; what was edited meanwhile is there, once.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Server } from '../../../../tests/clients/lib/server.mjs'
import { eventually, never } from '../../../../tests/clients/lib/wait.mjs'
import { client, saved, shown, synced } from '../lib/node.mjs'

test('[C23, C24] kill -9 in the middle of edits: the count of unsaved is exact, and nothing is lost or there twice', async (t) => {
  const server = await Server.start(t)
  const ana = await synced(t, server)
  const ben = await synced(t, server, { user: 'ben' })
  const counts = []
  ana.on('connection', ({ unsaved }) => counts.push(unsaved))
  const ids = []
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 20; n++) ids.push(ana.edit.addItem({ text: `${round} ${n}` }))
    await server.kill()
    await eventually('ana knows', () => ana.status === 'offline')
    const before = ana.unsaved
    ids.push(ana.edit.addItem({ text: `offline ${round}` }))
    assert.equal(ana.unsaved, before + 1)
    assert.equal(ana.connection.reason.code, 1006)
    await server.startAgain()
    await saved(ana)
  }
  const late = await synced(t, server, { user: 'cas' })
  assert.deepEqual([...late.get('itemIds')].sort(), ids.sort())
  await eventually('ben too', () => ben.get('itemIds').length === ids.length)
  console.log(`${ids.length} cards over 4 kills; at most ${Math.max(...counts)} unsaved`)
})

test('[C23] what a client that was never connected writes is stored when it connects', async (t) => {
  const server = await Server.start(t)
  const ana = await client(t, server, { connect: false })
  assert.equal(ana.status, 'offline')
  ana.edit.seed('4ls')
  const card = ana.edit.addItem({ text: 'from the train' })
  assert.equal(ana.unsaved, 2)
  await never('connected', () => ana.status !== 'offline', 300)
  ana.connect()
  await saved(ana)
  const ben = await synced(t, server, { user: 'ben' })
  assert.deepEqual(shown(ben), shown(ana))
  assert.equal(ben.get('items', card).text, 'from the train')
  ana.disconnect()
  assert.equal(ana.status, 'offline')
  ana.edit.deleteItem(card)
  assert.equal(ana.unsaved, 1)
  ana.connect()
  await saved(ana)
})

test('[C24, C33] a restart is survived by everyone, presence included', async (t) => {
  const server = await Server.start(t)
  const people = await Promise.all(['ana', 'ben', 'cas'].map((user) => synced(t, server, { user, name: user.toUpperCase() })))
  const all = () => people.every((one) => one.presence.all.length === 3)
  await eventually('all see all', all)
  await server.kill('SIGTERM')
  await eventually('all know', () => people.every(({ status }) => status !== 'synced'))
  people[0].edit.addItem({ text: 'meanwhile' })
  await server.startAgain()
  await saved(...people)
  await eventually('all see all again', all)
  await eventually('and the card', () => people.every((one) => one.get('itemIds').length === 1))
  assert.deepEqual(people[1].presence.others.map(({ name, user }) => [user, name]), [['ana', 'ANA'], ['cas', 'CAS']])
})

test('[C31] the copy of a room that is gone is kept as a room of another name; a name that is taken is refused', async (t) => {
  const server = await Server.start(t)
  const ana = await synced(t, server)
  const card = ana.edit.addItem({ text: 'mine' })
  await saved(ana)
  const other = await synced(t, server, { room: 'taken', user: 'ben' })
  other.edit.addItem({ text: 'theirs' })
  await saved(other)
  assert.equal((await fetch(`${server.http}/api/v1/rooms/board`, { method: 'DELETE' })).status, 204)
  await eventually('ana is told', () => ana.status === 'refused' && ana.conflict !== undefined)
  assert.equal(ana.connection.reason.code, 4409)
  assert.equal(ana.get('items', card).text, 'mine', 'it is still shown')
  const late = ana.edit.addItem({ text: 'late' })
  assert.equal(ana.unsaved, 1)
  await assert.rejects(ana.conflict.keepMineAs('taken'), { code: 'exists' })
  await assert.rejects(ana.conflict.keepMineAs('board'), { code: 'exists' })
  await assert.rejects(ana.conflict.keepMineAs('..'), { code: 'bad-option' })
  const rooms = []
  ana.on('room', (room) => rooms.push(room))
  await ana.conflict.keepMineAs('board, kept')
  assert.deepEqual([rooms, ana.room, ana.status, ana.unsaved, ana.conflict], [['board, kept'], 'board, kept', 'synced', 0, undefined])
  const ben = await synced(t, server, { room: 'board, kept', user: 'ben' })
  assert.deepEqual([...ben.get('itemIds')].sort(), [card, late].sort())
  assert.deepEqual(other.get('itemIds').length, 1, 'the other room is as it was')
})

test('[C30] the server\'s room is taken, and the copy is gone', async (t) => {
  const server = await Server.start(t)
  const ana = await synced(t, server)
  ana.edit.addItem({ text: 'old life' })
  await saved(ana)
  const [generation] = ana.connection.generation
  ana.disconnect()
  ana.edit.addItem({ text: 'never sent' })
  assert.equal((await fetch(`${server.http}/api/v1/rooms/board`, { method: 'DELETE' })).status, 204)
  const ben = await synced(t, server, { user: 'ben' })
  ben.edit.addItem({ text: 'new life' })
  await saved(ben)
  ana.connect()
  await eventually('ana is told', () => ana.conflict !== undefined)
  assert.equal(ana.conflict.unsaved, 1)
  await ana.conflict.takeServer()
  await saved(ana)
  assert.deepEqual(Object.values(ana.state.items).map(({ text }) => text), ['new life'])
  assert.notEqual(ana.connection.generation[0], generation)
  assert.equal(ana.conflict, undefined)
  ana.edit.addItem({ text: 'and on' })
  await saved(ana)
  await eventually('ben has it', () => ben.get('itemIds').length === 2)
})

test('[C28] two clients that were given one client id by chance: one goes on under another, and nothing is lost', async (t) => {
  const server = await Server.start(t)
  const random = t.mock.method(crypto, 'getRandomValues', function (into) {
    if (into instanceof Uint32Array) return into.fill(77)
    return Object.assign(into, randomBytes(into.length))
  })
  const ana = await client(t, server, { connect: false })
  const ben = await client(t, server, { connect: false, user: 'ben' })
  random.mock.restore()
  assert.deepEqual([ana.measure().clientId, ben.measure().clientId], [77, 77])
  ana.connect()
  await saved(ana)
  ana.edit.addItem({ text: 'ana 1' })
  await saved(ana)
  ben.connect()
  await eventually('ben has it', () => ben.get('itemIds').length === 1)
  await eventually('ben is somebody else now', () => ben.measure().clientId !== 77)
  ben.edit.addItem({ text: 'ben 1' })
  ana.edit.addItem({ text: 'ana 2' })
  await saved(ana, ben)
  await eventually('all agree', () => [ana, ben].every((one) => one.get('itemIds').length === 3))
  assert.deepEqual(shown(ana), shown(ben))
})
