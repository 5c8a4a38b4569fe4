// @y-sweet/sdk, as an application's back end uses it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DocConnection, DocumentManager, YSweetError, decodeClientToken, encodeClientToken } from '@y-sweet/sdk'
import { Server } from '../lib/server.mjs'
import { Y, join, leave, synced } from '../lib/client.mjs'
import { connectionString, manager } from '../lib/y-sweet.mjs'
import { eventually } from '../lib/wait.mjs'

const updateOf = (fill) => {
  const doc = new Y.Doc()
  fill(doc)
  return Y.encodeStateAsUpdate(doc)
}
const mapOf = (update) => {
  const doc = new Y.Doc()
  Y.applyUpdate(doc, update)
  return doc.getMap('map').toJSON()
}
const set = (key, value) => updateOf((doc) => doc.getMap('map').set(key, value))
const failsWith = (status) => (error) => {
  assert.ok(error instanceof YSweetError, String(error))
  assert.equal(error.cause.code, 'ServerError', error.message)
  assert.equal(error.cause.status, status)
  return true
}

test('[W40] a document is there from its creation on, before anybody has written to it', async (t) => {
  const server = await Server.start(t)
  const docs = manager(server)
  assert.deepEqual(await docs.checkStore(), { ok: true })
  assert.deepEqual(await (await fetch(`${server.http}/ready`)).json(), { ok: true })
  await assert.rejects(docs.getClientToken('board'), failsWith(404))
  assert.deepEqual(await docs.createDoc('board'), { docId: 'board' })
  const token = await docs.getClientToken('board')
  assert.deepEqual(token, {
    url: `ws://127.0.0.1:${server.port}/d/board/ws`,
    baseUrl: `http://127.0.0.1:${server.port}/d/board`,
    docId: 'board',
    authorization: 'full'
  })
  assert.deepEqual(decodeClientToken(encodeClientToken(token)), token)
  await server.kill()
  await server.startAgain()
  assert.equal((await docs.getClientToken('board')).docId, 'board', 'it is stored')
  assert.deepEqual(mapOf(await docs.getDocAsUpdate('board')), {})
})

test('[W40] creating a document again changes nothing, however many do it at once', async (t) => {
  const server = await Server.start(t)
  const docs = manager(server)
  const created = await Promise.all(Array.from({ length: 20 }, () => docs.createDoc('board')))
  assert.deepEqual(new Set(created.map(({ docId }) => docId)), new Set(['board']))
  await docs.updateDoc('board', set('card', 'kept'))
  await Promise.all(Array.from({ length: 20 }, () => docs.getOrCreateDocAndToken('board')))
  assert.deepEqual(mapOf(await docs.getDocAsUpdate('board')), { card: 'kept' })
  const about = await (await fetch(`${server.http}/api/v1/rooms/board`)).json()
  assert.ok(about.exists && about.records <= 3, `${about.records} records: one life, one creation, one edit`)
})

test('[W40] without an id the server chooses one that nobody has', async (t) => {
  const server = await Server.start(t)
  const docs = manager(server)
  const made = await Promise.all(Array.from({ length: 10 }, () => docs.createDoc()))
  const ids = made.map(({ docId }) => docId)
  assert.equal(new Set(ids).size, 10)
  for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{21,}$/)
  const { docId } = await docs.createDocWithContent(set('card', 'first'))
  assert.deepEqual(mapOf(await docs.getDocAsUpdate(docId)), { card: 'first' })
})

test('[W40] an id is of letters, digits, dashes and underscores', async (t) => {
  const server = await Server.start(t)
  const docs = manager(server)
  for (const id of ['a b', 'a/b', 'ü', 'a.b', '..', 'a%2Fb', 'a\0b', 'x'.repeat(129)]) {
    await assert.rejects(docs.createDoc(id), failsWith(400), id)
  }
  for (const id of ['a', '-', '_', 'A-Z_09', 'x'.repeat(128)]) assert.deepEqual(await docs.createDoc(id), { docId: id })
  const bodies = ['{', '[]', '"x"', '{"docId":7}', `{"docId":"${'x'.repeat(100_000)}"}`]
  for (const body of bodies) {
    const answer = await fetch(`${server.http}/doc/new`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
    assert.ok(answer.status >= 400 && answer.status < 500, `${body.slice(0, 20)}: ${answer.status}`)
  }
})

test('[W41] a document is read and written over HTTP; what is written is stored and shown like any edit', async (t) => {
  const server = await Server.start(t)
  const docs = manager(server)
  await docs.createDoc('board')
  const watcher = join(t, server, 'board')
  await synced(watcher)
  const token = await docs.getClientToken('board')
  const connection = new DocConnection(token)
  await connection.updateDoc(set('one', 1))
  await eventually('the watcher sees it', () => watcher.doc.getMap('map').get('one') === 1)
  watcher.doc.getMap('map').set('two', 2)
  await eventually('it is read', async () => mapOf(await connection.getAsUpdate()).two === 2)
  leave(watcher)
  await server.kill()
  await server.startAgain()
  assert.deepEqual(mapOf(await docs.getDocAsUpdate('board')), { one: 1, two: 2 })
  const answer = await fetch(`${token.baseUrl}/as-update`)
  assert.equal(answer.headers.get('content-type'), 'application/octet-stream')
})

test('[W41] who is told that an update is taken finds it after kill -9', async (t) => {
  const server = await Server.start(t)
  const docs = manager(server)
  await docs.createDoc('board')
  for (let round = 0; round < 5; round++) {
    await docs.updateDoc('board', set(`round ${round}`, round))
    await server.kill()
    await server.startAgain()
  }
  assert.equal(Object.keys(mapOf(await docs.getDocAsUpdate('board'))).length, 5)
})

test('[W41] updates that cannot be taken are refused, and nothing of them is stored', async (t) => {
  const server = await Server.start(t)
  const docs = manager(server)
  await docs.createDoc('board')
  await docs.updateDoc('board', set('kept', true))
  for (const bad of [[], [1], [255, 255, 255], [1, 1, 7, 0, 4, 1], [...set('x', 1), 0]]) {
    await assert.rejects(docs.updateDoc('board', Uint8Array.from(bad)), failsWith(400))
  }
  // Built on something that the server does not have: storing it would say "stored" of what cannot be shown.
  const doc = new Y.Doc()
  doc.getArray('array').push(['first'])
  const before = Y.encodeStateVector(doc)
  doc.getArray('array').push(['second'])
  await assert.rejects(docs.updateDoc('board', Y.encodeStateAsUpdate(doc, before)), failsWith(409))
  await docs.updateDoc('board', Y.encodeStateAsUpdate(doc))
  const kept = new Y.Doc()
  Y.applyUpdate(kept, await docs.getDocAsUpdate('board'))
  assert.deepEqual(kept.getArray('array').toJSON(), ['first', 'second'])
  assert.deepEqual(kept.getMap('map').toJSON(), { kept: true })
})

test('[W41] a document that nobody has made is empty to readers, and is not made by reading', async (t) => {
  const server = await Server.start(t)
  const answer = await fetch(`${server.http}/d/nothing/as-update`)
  assert.equal(answer.status, 200)
  assert.deepEqual(mapOf(new Uint8Array(await answer.arrayBuffer())), {})
  await assert.rejects(manager(server).getClientToken('nothing'), failsWith(404))
})

test('[W42] the addresses in a token are those by which the server was asked', async (t) => {
  const server = await Server.start(t)
  await manager(server).createDoc('board')
  const by = new DocumentManager(`ys://localhost:${server.port}`)
  const token = await by.getClientToken('board')
  assert.equal(token.url, `ws://localhost:${server.port}/d/board/ws`)
  assert.equal(token.baseUrl, `http://localhost:${server.port}/d/board`)
  for (const string of [connectionString(server), `http://127.0.0.1:${server.port}`, `${connectionString(server)}/`]) {
    assert.equal((await new DocumentManager(string).getClientToken('board')).docId, 'board', string)
  }
})

test('[W42] routes of old versions still serve, and the log says what to use instead', async (t) => {
  const server = await Server.start(t)
  await manager(server).createDoc('board')
  const update = set('card', 1)
  const written = await fetch(`${server.http}/doc/board/update`, { method: 'POST', body: update })
  assert.equal(written.status, 200)
  const read = await fetch(`${server.http}/doc/board/as-update`)
  assert.deepEqual(mapOf(new Uint8Array(await read.arrayBuffer())), { card: 1 })
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/doc/ws/board`)
  await eventually('the old path of sockets opens', () => socket.readyState === WebSocket.OPEN)
  socket.terminate()
  assert.deepEqual(await (await fetch(`${server.http}/check_store`)).json(), { ok: true })
  for (const path of ['update', 'as-update', 'ws', 'check_store']) {
    assert.ok(server.lines.some((line) => /WARN/.test(line) && line.includes(path)), `a warning about ${path}`)
  }
})
