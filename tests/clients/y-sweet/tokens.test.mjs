// Who may do what: the server's token for back ends, documents' tokens for people, readers, expiry and the way back.

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import { test } from 'node:test'
import { DocConnection, DocumentManager, YSweetError } from '@y-sweet/sdk'
import * as Y from 'yjs'
import { Server } from '../lib/server.mjs'
import { converged, join, synced } from '../lib/client.mjs'
import { Raw, STEP2, step1 } from '../lib/raw.mjs'
import { connected, joinSweet, manager, stored } from '../lib/y-sweet.mjs'
import { eventually, never, sleep } from '../lib/wait.mjs'
import '../lib/quiet.mjs'

const TOKEN = 'the-token-of-the-back-end-0123456789_-abcdef'

const start = (t, options = {}) => Server.start(t, { env: { RUANG_Y_SWEET_TOKEN: TOKEN }, ...options })
const set = (key, value) => {
  const doc = new Y.Doc()
  doc.getMap('map').set(key, value)
  return Y.encodeStateAsUpdate(doc)
}
const failsWith = (code, status) => (error) => {
  assert.ok(error instanceof YSweetError, String(error))
  assert.equal(error.cause.code, code, error.message)
  if (status !== undefined) assert.equal(error.cause.status, status)
  return true
}
const at = (server) => ({ ws: `ws://127.0.0.1:${server.port}/d/board/ws` })

test('[W48] only who has the server token makes documents and gets tokens for them', async (t) => {
  const server = await start(t)
  const docs = manager(server, TOKEN)
  await docs.createDoc('board')
  const token = await docs.getClientToken('board')
  assert.equal(typeof token.token, 'string')
  for (const wrong of [TOKEN.slice(1), `${TOKEN}x`, 'x', token.token]) {
    const other = manager(server, wrong)
    // A good token that is not for this is told from one that is none.
    const refused = wrong === token.token ? failsWith('ServerError', 403) : failsWith('InvalidAuthProvided')
    await assert.rejects(other.createDoc('new'), refused)
    await assert.rejects(other.getClientToken('board'), refused)
    await assert.rejects(other.checkStore(), refused)
  }
  await assert.rejects(manager(server).createDoc('new'), failsWith('NoAuthProvided'))
  await assert.rejects(docs.getClientToken('new'), failsWith('ServerError', 404))
  // It is also good for every document.
  const everything = new DocConnection({ ...token, token: TOKEN })
  await everything.updateDoc(set('by', 'the back end'))
  assert.ok((await everything.getAsUpdate()).length > 2)
})

test('[W48] the server token may come from a file', async (t) => {
  const directory = await mkdtemp(path(tmpdir(), 'ruang-token-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const file = path(directory, 'token')
  await writeFile(file, `${TOKEN}\n`, { mode: 0o600 })
  const server = await Server.start(t, { args: ['--y-sweet-token-file', file] })
  assert.deepEqual(await manager(server, TOKEN).checkStore(), { ok: true })
  await assert.rejects(manager(server).checkStore(), failsWith('NoAuthProvided'))
})

test('[W48] a document token opens its document, in all families, and nothing else', async (t) => {
  const server = await start(t)
  const docs = manager(server, TOKEN)
  await docs.createDoc('other')
  const ann = joinSweet(t, server, 'board', { token: TOKEN })
  await connected(ann)
  ann.doc.getMap('map').set('by', 'ann')
  await stored(ann)
  const { token } = ann.provider.clientToken
  const yws = join(t, server, 'board', { params: { token } })
  await synced(yws)
  await converged([ann, yws])
  for (const [what, query, code] of [
    ['no token', '', 4401], ['an empty one', '?token=', 4401], ['noise', '?token=noise', 4401],
    ['a changed one', `?token=${token.slice(0, -2)}xx`, 4401], ['one of another document', `?token=${(await docs.getClientToken('other')).token}`, 4403]
  ]) {
    const raw = await Raw.open(t, at(server), 'board', { query })
    raw.send(step1())
    const closed = await raw.ends()
    assert.equal(closed?.code, code, what)
    assert.equal(raw.messages.length, 0, `${what}: nothing is shown`)
  }
  const foreign = new DocConnection({ ...ann.provider.clientToken, baseUrl: `${server.http}/d/other`, docId: 'other' })
  await assert.rejects(foreign.getAsUpdate(), failsWith('ServerError', 403))
  await assert.rejects(foreign.updateDoc(set('by', 'ann')), failsWith('ServerError', 403))
  const nobody = new DocConnection({ ...ann.provider.clientToken, token: undefined })
  await assert.rejects(nobody.getAsUpdate(), failsWith('NoAuthProvided'))
  // The same for documents that are not there: nobody learns which are.
  for (const id of ['other', 'nothing']) {
    const [read, write] = await Promise.all(['GET', 'POST'].map((method) => fetch(
      `${server.http}/d/${id}/${method === 'GET' ? 'as-update' : 'update'}`,
      { method, headers: { Authorization: `Bearer ${token}` }, body: method === 'GET' ? undefined : set('x', 1) })))
    assert.deepEqual([read.status, write.status], [403, 403], id)
  }
})

test('[W48] readers see, are seen, and write nothing: what they write is never called stored', async (t) => {
  const server = await start(t)
  const ann = joinSweet(t, server, 'board', { token: TOKEN })
  await connected(ann)
  ann.doc.getMap('map').set('by', 'ann')
  await stored(ann)
  const reader = joinSweet(t, server, 'board', { token: TOKEN, auth: { authorization: 'read-only' } })
  await connected(reader)
  assert.equal(reader.provider.clientToken.authorization, 'read-only')
  await stored(reader)
  reader.awareness.setLocalState({ name: 'reader' })
  await eventually('the reader is seen', () => ann.awareness.getStates().get(reader.doc.clientID)?.name === 'reader')
  reader.doc.getMap('map').set('by', 'the reader')
  await never('it is seen, or called stored', () =>
    ann.doc.getMap('map').get('by') !== 'ann' || !reader.provider.hasLocalChanges, 7_000)
  assert.deepEqual(reader.closes, [], 'the connection stays')
  ann.doc.getMap('map').set('later', 'still shown')
  await eventually('the reader goes on reading', () => reader.doc.getMap('map').get('later') === 'still shown')
  await assert.rejects(new DocConnection(reader.provider.clientToken).updateDoc(set('by', 'the reader')), failsWith('ServerError', 403))
  assert.ok((await new DocConnection(reader.provider.clientToken).getAsUpdate()).length > 2)
  const docs = new Y.Doc()
  Y.applyUpdate(docs, await manager(server, TOKEN).getDocAsUpdate('board'))
  assert.deepEqual(docs.getMap('map').toJSON(), { by: 'ann', later: 'still shown' })
})

test('[W48] a reader who comes with offline edits reads, and is never told that they are stored', async (t) => {
  const server = await start(t)
  await manager(server, TOKEN).createDoc('board')
  const doc = new Y.Doc()
  doc.getMap('map').set('offline', 'edit')
  const reader = joinSweet(t, server, 'board', { doc, token: TOKEN, auth: { authorization: 'read-only' } })
  await connected(reader)
  await never('it is called stored', () => !reader.provider.hasLocalChanges, 5_000)
  assert.deepEqual(reader.closes, [])
  const ann = joinSweet(t, server, 'board', { token: TOKEN })
  await stored(ann)
  assert.deepEqual(ann.doc.getMap('map').toJSON(), {})
})

test('[W49] a token that expires closes the socket; the provider comes back with a new one and loses nothing', async (t) => {
  const server = await start(t)
  const ann = joinSweet(t, server, 'board', { token: TOKEN, auth: { validForSeconds: 4 } })
  await connected(ann)
  assert.equal(ann.tokens, 1)
  const writing = setInterval(() => ann.doc.getArray('array').push([ann.doc.getArray('array').length]), 100)
  t.after(() => clearInterval(writing))
  await eventually('its time is over', () => ann.closes.length > 0, { within: 20_000 })
  assert.equal(ann.closes[0], 4501)
  await eventually('it is back with another token', () => ann.tokens === 2 && ann.provider.status === 'connected', { within: 20_000 })
  // Three tries with the old one, as the provider has it, and not one more.
  assert.deepEqual(ann.closes, [4501, 4401, 4401, 4401])
  clearInterval(writing)
  await stored(ann)
  const late = joinSweet(t, server, 'board', { token: TOKEN })
  await connected(late)
  await converged([ann, late])
})

test('[W49] who has no token any more cannot come back, and is told by nothing else than its code', async (t) => {
  const server = await start(t)
  let given = 0
  const ann = joinSweet(t, server, 'board', {
    authEndpoint: () => {
      if (given++ > 0) throw new Error('not any more')
      return manager(server, TOKEN).getOrCreateDocAndToken('board', { validForSeconds: 2 })
    }
  })
  await connected(ann)
  await eventually('its time is over', () => ann.closes.includes(4501), { within: 20_000 })
  await eventually('it asks again in vain', () => given > 1, { within: 20_000 })
  await sleep(500)
  assert.notEqual(ann.provider.status, 'connected')
})

test('[W48] tokens are in no log', async (t) => {
  const server = await start(t, { args: ['--log', 'debug'] })
  const ann = joinSweet(t, server, 'board', { token: TOKEN, auth: { userId: 'somebody-with-a-name' } })
  await connected(ann)
  await assert.rejects(manager(server, `${TOKEN}wrong`).checkStore())
  const raw = await Raw.open(t, at(server), 'board', { query: `?token=${TOKEN}` })
  raw.send(step1())
  await eventually('the server token opens the socket too', () => raw.syncs(STEP2).length === 1)
  await sleep(300)
  const log = server.lines.join('\n')
  for (const secret of [TOKEN, ann.provider.clientToken.token, 'somebody-with-a-name']) {
    assert.ok(!log.includes(secret) && !log.includes(encodeURIComponent(secret)), secret.slice(0, 10))
  }
})

test('[W48] where nobody is asked for tokens, read-only ones and short ones are kept to all the same', async (t) => {
  const server = await Server.start(t)
  const docs = new DocumentManager(`ys://127.0.0.1:${server.port}`)
  await docs.createDoc('board')
  const token = await docs.getClientToken('board', { authorization: 'read-only' })
  await assert.rejects(new DocConnection(token).updateDoc(set('x', 1)), failsWith('ServerError', 403))
  const reader = joinSweet(t, server, 'board', { initialClientToken: token })
  await connected(reader)
  reader.doc.getMap('map').set('x', 1)
  await never('it is called stored', () => !reader.provider.hasLocalChanges, 3_000)
  const newcomer = join(t, server, 'board')
  await synced(newcomer)
  assert.deepEqual(newcomer.doc.getMap('map').toJSON(), {})
})
