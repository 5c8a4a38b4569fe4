// Who may do what: tokens in band, one document denied among several, reading without writing, tokens that run out.

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { Server } from '../lib/server.mjs'
import { converged } from '../lib/client.mjs'
import { AUTH, Raw, connect, each, join, saved, step1, synced, token as tokenFrame, unsynced } from '../lib/hocuspocus.mjs'
import { eventually, never, sleep } from '../lib/wait.mjs'

const SECRET = 'a secret that these tests share with their servers'

/** A token for one room or several, signed as the server expects it. */
function sign ({ sub = 'ana', room = 'board', role = 'editor', seconds = 60, secret = SECRET }) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const exp = Math.floor(Date.now() / 1000) + seconds
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub, room, role, exp })}`
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`
}

const start = (t, args = []) => Server.start(t, { env: { RUANG_AUTH_KEY: SECRET }, args })

for (const { version } of each) {
  test(`[W25] version ${version}: of three documents on a socket one is denied; the others sync and stay`, async (t) => {
    const server = await start(t)
    const socket = connect(t, server, version)
    const of = (room, options = {}) => join(t, server, room, version, { socket, token: sign({ room, ...options }) })
    const [one, denied, three] = [of('one'), of('two', { room: 'another' }), of('three')]
    denied.doc.getMap('map').set('not', 'stored')
    await synced(one, three)
    await eventually('told', () => denied.failures.length === 1)
    assert.match(denied.failures[0], /not for this room/)
    assert.equal(denied.provider.synced, false)
    denied.doc.getMap('map').set('nor', 'this')
    one.doc.getMap('map').set('a', 1)
    await saved(one, three)
    await never('told again', () => denied.failures.length > 1, 300)
    assert.equal(socket.opened, 1)
    const admin = join(t, server, 'two', 3, { token: sign({ room: 'two' }) })
    await synced(admin)
    assert.equal(admin.doc.getMap('map').size, 0, 'nothing of what was denied is stored')
  })

  test(`[W25] version ${version}: who may only read sees all, and its own edits stay unsaved`, async (t) => {
    const server = await start(t)
    const writer = join(t, server, 'board', version, { token: sign({}) })
    await synced(writer)
    writer.doc.getMap('map').set('a', 1)
    await saved(writer)
    const viewer = join(t, server, 'board', version, { token: sign({ sub: 'vi', role: 'viewer' }) })
    await synced(viewer)
    await saved(viewer) // its Step2 brings nothing
    assert.equal(viewer.provider.authorizedScope, 'readonly')
    assert.equal(writer.provider.authorizedScope, 'read-write')
    viewer.doc.getMap('map').set('b', 2)
    viewer.provider.sendStateless('as if from the server')
    writer.doc.getMap('map').set('c', 3)
    await eventually('it still sees', () => viewer.doc.getMap('map').get('c') === 3)
    await never('its edit is saved or seen', () => unsynced(viewer) === 0 || writer.doc.getMap('map').has('b'), 500)
    assert.deepEqual([writer.stateless, viewer.failures, viewer.socket.opened], [[], [], 1])
  })

  test(`[W25] version ${version}: a token that runs out is replaced, by the provider itself or after a new connection`, async (t) => {
    const server = await start(t, ['--auth-leeway', '0s'])
    let asked = 0
    const client = join(t, server, 'board', version, { token: () => { asked++; return sign({ seconds: 3 }) } })
    await synced(client)
    // Twice, so that the first one is over for sure.
    await eventually('it was asked for another token, twice', () => {
      client.doc.getArray('array').push([asked])
      return asked >= 3
    }, { within: 40_000 })
    if (version === 2) assert.ok(client.socket.opened > 1, 'it has no other way')
    await synced(client)
    await saved(client)
    const other = join(t, server, 'board', version, { token: sign({}) })
    await synced(other)
    await converged([client, other])
    assert.deepEqual(client.failures, [])
  })
}

test('[W25] before a token expires the client is asked for another; versions 3 and 4 go on without a new connection', async (t) => {
  const server = await start(t, ['--auth-leeway', '0s'])
  const asked = { 3: 0, 4: 0 }
  const clients = [3, 4].map((version) => join(t, server, 'board', version, {
    token: () => { asked[version]++; return sign({ seconds: 13 }) }
  }))
  await synced(...clients)
  const first = Date.now() + 13_000
  await eventually('each is asked again, and its first token is over', () =>
    asked[3] >= 2 && asked[4] >= 2 && Date.now() > first, { within: 60_000 })
  clients.forEach(({ doc }, n) => doc.getArray('array').push([n]))
  await saved(...clients)
  await converged(clients)
  assert.deepEqual(clients.map(({ socket, failures }) => [socket.opened, failures]), [[1, []], [1, []]])
})

test('[W25] a token that runs out and is not replaced ends the document: nothing of it is taken after that', async (t) => {
  const server = await start(t, ['--auth-leeway', '0s'])
  for (const { version } of each) {
    const room = `board${version}`
    const token = sign({ room, seconds: 4 })
    const client = join(t, server, room, version, { token: () => token })
    await synced(client)
    await eventually('it ends', () => client.failures.length > 0 || !client.provider.synced, { within: 20_000 })
    client.doc.getMap('map').set('late', version)
    const other = join(t, server, room, 4, { token: () => sign({ room }) })
    await synced(other)
    await never('it is stored', () => other.doc.getMap('map').has('late'), 500)
  }
})

test('[W24] version 2 without a token in band has that of the address; without any it is denied after a second', async (t) => {
  const server = await start(t)
  const socket = connect(t, server, 2, { parameters: { token: sign({}) } })
  const client = join(t, server, 'board', 2, { socket })
  await synced(client)
  client.doc.getMap('map').set('a', 1)
  await saved(client)
  const without = join(t, server, 'board', 2)
  await eventually('denied', () => without.failures.length === 1)
  assert.match(without.failures[0], /a token is needed/)
  assert.equal(without.doc.getMap('map').size, 0)
})

test('[W25] a token that is renewed on an open document has to be the same person\'s; a denied document may try again', async (t) => {
  const server = await start(t)
  const client = join(t, server, 'board', 4, { token: sign({ secret: 'something else, but as long as the real one' }) })
  await eventually('denied', () => client.failures.length === 1)
  assert.match(client.failures[0], /signature/)
  client.provider.configuration.token = sign({})
  await client.provider.sendToken()
  client.provider.forceSync()
  await synced(client)
  client.doc.getMap('map').set('a', 1)
  await saved(client)
  client.provider.configuration.token = sign({ seconds: 120 })
  await client.provider.sendToken()
  client.doc.getMap('map').set('b', 1)
  await saved(client)
  assert.equal(client.failures.length, 1)
  client.provider.configuration.token = sign({ sub: 'bo' })
  await client.provider.sendToken()
  await eventually('denied', () => client.failures.length === 2)
  assert.equal(client.socket.opened, 1)
})

test('[W24] what comes before the token waits for it, and is not lost', async (t) => {
  const server = await start(t)
  const late = join(t, server, 'board', 3, {
    token: async () => { await sleep(500); return sign({}) }
  })
  await eventually('the socket is open', () => late.socket.opened === 1)
  late.doc.getMap('map').set('early', 1) // sent before the token
  await synced(late)
  await saved(late)
  await sleep(200)
  assert.equal(unsynced(late), 0)
  const other = join(t, server, 'board', 4, { token: sign({}) })
  await synced(other)
  assert.equal(other.doc.getMap('map').get('early'), 1)
})

test('[W25] by hand: bad tokens in band, each denied by name, the socket open', async (t) => {
  const server = await start(t)
  const raw = await Raw.open(t, server)
  const bad = {
    none: '',
    garbage: 'x',
    expired: sign({ seconds: -3600 }),
    'wrong-secret': sign({ secret: 'quite another secret that is long enough' }),
    'other-room': sign({ room: 'elsewhere' }),
    unsigned: `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"a"}').toString('base64url')}.`
  }
  for (const [name, secret] of Object.entries(bad)) {
    raw.send(tokenFrame(name, secret, '4.8.0'), step1(name))
    await eventually(name, () => raw.of(name, AUTH, 1).length === 1)
    assert.ok(!raw.of(name, AUTH, 1)[0].text.includes(secret || ' no '), 'the reason does not repeat the token')
  }
  await never('anything of a room', () => raw.messages.some(({ type }) => type === 0), 300)
  assert.equal(raw.closed, undefined)
  assert.equal(await server.metric('rooms_open'), 0)
})
