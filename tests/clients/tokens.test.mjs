// Tokens, as y-websocket clients meet them: final refusals, tokens that run out, tokens that are taken back, viewers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { Server, freePort } from './lib/server.mjs'
import { converged, join, synced } from './lib/client.mjs'
import { SECRET, sign } from './lib/tokens.mjs'
import { eventually, never } from './lib/wait.mjs'

const start = (t, { args = [], env = {} } = {}) => Server.start(t, { env: { RUANG_AUTH_KEY: SECRET, ...env }, args })
const set = ({ doc }, key, value) => doc.getMap('map').set(key, value)

test('[A15] a provider without a good token is told once and for all, and stops; one for another room too', async (t) => {
  const server = await start(t)
  const good = join(t, server, 'board', { params: { token: sign() } })
  const inProtocol = join(t, server, 'board', { protocols: [`bearer.${sign()}`, 'ruang.v1'] })
  await synced(good, inProtocol)
  set(good, 'a', 1)
  await converged([good, inProtocol])
  for (const [what, params, code] of [
    ['none', {}, 4401],
    ['garbage', { token: 'x' }, 4401],
    ['a forged one', { token: sign({ secret: 'another secret of some length, not the same' }) }, 4401],
    ['an expired one', { token: sign({ seconds: -60 }) }, 4401],
    ['one for another room', { token: sign({ room: 'other' }) }, 4403]
  ]) {
    const client = join(t, server, 'board', { params })
    set(client, 'mine', what)
    await eventually(`${what}: refused`, () => client.closes.length === 1)
    assert.equal(client.closes[0], code, what)
    await never(`${what}: tried again`, () => client.connects > 1, 500)
    assert.equal(client.provider.synced, false)
  }
  assert.deepEqual(good.doc.getMap('map').toJSON(), { a: 1 })
})

test('[A15] a y-websocket 1 provider, which knows no final code, comes back once a second and gets nothing', async (t) => {
  const server = await start(t)
  const client = join(t, server, 'board', { Provider: Provider1, params: {} })
  const began = Date.now()
  await eventually('it has come four times', () => client.connects >= 4, { within: 60_000 })
  // Each time it is kept for a second before it is told: three of them have passed, whatever this machine is busy with.
  assert.ok(Date.now() - began >= 2_900, `four connections in ${Date.now() - began} ms`)
  assert.equal(client.provider.doc.store.clients.size, 0)
  assert.equal(client.provider.synced, false)
})

test('[A16] a token runs out: the provider comes back with the next one, and nothing is lost', async (t) => {
  const server = await start(t, { args: ['--auth-leeway', '0s'] })
  const other = join(t, server, 'board', { params: { token: sign({ sub: 'bo' }) } })
  const client = join(t, server, 'board', { params: { token: sign({ seconds: 4 }) } })
  await synced(client, other)
  client.provider.params.token = sign() // as an application keeps it fresh
  const writing = setInterval(() => client.doc.getArray('array').push([client.doc.getArray('array').length]), 50)
  t.after(() => clearInterval(writing))
  await eventually('its time is over', () => client.closes.length > 0, { within: 20_000 })
  await eventually('it is back', () => client.connects === 2 && client.provider.synced, { within: 20_000 })
  clearInterval(writing)
  assert.deepEqual(client.closes, [4501])
  await converged([client, other])
  assert.ok(other.doc.getArray('array').length > 50)
})

test('[A19] a user is revoked: their provider stops for good, their later edits reach nobody, a new token brings them back', async (t) => {
  const port = await freePort()
  const admin = 'the admin token of this test 0123456789'
  const server = await start(t, { args: ['--admin-listen', `127.0.0.1:${port}`], env: { RUANG_ADMIN_TOKEN: admin } })
  const [ana, bo] = ['ana', 'bo'].map((sub) => join(t, server, 'board', { params: { token: sign({ sub }) } }))
  await synced(ana, bo)
  set(ana, 'before', 1)
  await converged([ana, bo])
  const revoke = (token) => fetch(`http://127.0.0.1:${port}/v1/revocations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ user: 'ana' })
  })
  assert.equal((await revoke('x')).status, 401)
  assert.equal((await revoke(admin)).status, 201)
  set(ana, 'after', 1)
  await eventually('it is closed', () => ana.closes.length > 0)
  assert.equal(ana.closes[0], 4401)
  await never('it comes back', () => ana.connects > 1, 1_000)
  set(bo, 'on', 1)
  const again = join(t, server, 'board', { doc: ana.doc, params: { token: sign({ iat: Math.floor(Date.now() / 1000) + 2 }) } })
  assert.equal(bo.doc.getMap('map').has('after'), false)
  await synced(again)
  await converged([again, bo])
  assert.deepEqual(bo.doc.getMap('map').toJSON(), { before: 1, after: 1, on: 1 })
})

test('[S21] a viewer reads on, and what it writes stays with it', async (t) => {
  const server = await start(t)
  const writer = join(t, server, 'board', { params: { token: sign() } })
  const viewer = join(t, server, 'board', { params: { token: sign({ sub: 'vi', role: 'viewer' }) } })
  await synced(writer, viewer)
  set(viewer, 'mine', 1)
  set(writer, 'a', 1)
  await eventually('it sees', () => viewer.doc.getMap('map').get('a') === 1)
  await never('it is seen', () => writer.doc.getMap('map').has('mine'), 500)
  assert.deepEqual([viewer.closes, viewer.connects], [[], 1])
})
