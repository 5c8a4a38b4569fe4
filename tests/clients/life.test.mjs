// The end of a room, as unmodified providers see it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { Server } from './lib/server.mjs'
import { Y, converged, join, leave, synced } from './lib/client.mjs'
import { eventually, never } from './lib/wait.mjs'

const about = (server, room) => fetch(`${server.http}/api/v1/rooms/${encodeURIComponent(room)}`)
const erase = (server, room) => fetch(`${server.http}/api/v1/rooms/${encodeURIComponent(room)}`, { method: 'DELETE' })

test('[H28] a room is deleted under people who type: y-websocket 3 stops for good (4409), and whoever comes finds nothing of it', async (t) => {
  const server = await Server.start(t, { store: 'memory:' })
  const room = 'team/board'
  const people = Array.from({ length: 5 }, () => join(t, server, room))
  await synced(...people)
  const typing = people.map(({ doc }, n) => setInterval(() => {
    doc.getArray('array').push([`old ${n}`])
    doc.getMap('map').set(`old ${n}`, Date.now())
  }, 2))
  t.after(() => typing.forEach(clearInterval))
  await eventually('the board has cards', () => people.every(({ doc }) => doc.getArray('array').length > 100))
  const before = await (await about(server, room)).json()
  assert.deepEqual([before.room, before.exists, before.sessions], [room, true, 5])
  assert.ok(before.expires_in_ms > 23 * 3_600_000 && !before.expiring, JSON.stringify(before))

  assert.equal((await erase(server, room)).status, 204)
  await eventually('all are told', () => people.every(({ closes }) => closes.includes(4409)))
  typing.forEach(clearInterval)
  const newcomer = join(t, server, room)
  await synced(newcomer)
  await never('something of the old life comes back', () => newcomer.doc.store.clients.size > 0, 3_000)
  assert.deepEqual(people.map(({ connects, closes }) => [connects, closes]), people.map(() => [1, [4409]]), 'none of them comes back')

  newcomer.doc.getMap('map').set('new', 'life')
  const late = join(t, server, room)
  await synced(late)
  await converged([newcomer, late])
  assert.deepEqual(late.doc.getMap('map').toJSON(), { new: 'life' })
  const after = await (await about(server, room)).json()
  assert.ok(after.exists && after.deleted_ms > 0 && after.records === 2, JSON.stringify(after))

  assert.equal((await erase(server, room)).status, 204)
  const again = await erase(server, room)
  assert.equal(again.status, 404)
  assert.equal((await again.json()).error.code, 'no_such_room')
})

test('[H26, H28] edges: a room that does not exist, a client that only reads, an old provider', async (t) => {
  const server = await Server.start(t, { store: 'memory:' })
  assert.equal((await about(server, 'absent')).status, 404)
  assert.equal((await erase(server, 'absent')).status, 404)
  const [writer, reader] = [join(t, server, 'r'), join(t, server, 'r')]
  const old = join(t, server, 'r', { Provider: Provider1 })
  await synced(writer, reader, old)
  writer.doc.getMap('map').set('k', 'v')
  await converged([writer, reader, old])
  assert.equal((await erase(server, 'r')).status, 204)
  await eventually('all are told', () => [writer, reader].every(({ closes }) => closes.includes(4409)))
  // y-websocket 1.5 has no final codes: it returns, and its document with it.
  await eventually('the old provider is back', () => old.connects > 1)
  leave(old)
  assert.ok(server.running)
})
