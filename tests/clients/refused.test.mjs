// Somebody's rights change while their browser holds a copy of the board with edits of its own (y-websocket with
// y-indexeddb): a refusal is never for ever, and nothing is lost on the way.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from './lib/server.mjs'
import { content, converged, join, synced } from './lib/client.mjs'
import { Device, cards, fill } from './lib/device.mjs'
import { SECRET, sign } from './lib/tokens.mjs'
import { eventually, never } from './lib/wait.mjs'

const start = (t) => Server.start(t, { env: { RUANG_AUTH_KEY: SECRET } })
const by = (sub, more = {}) => ({ params: { token: sign({ sub, room: 'retro', ...more }) } })

test('[A15] a browser with edits of its own is refused with 4403, keeps them over reloads, and brings them when it is let in again', async (t) => {
  const server = await start(t)
  const [laptop, phone] = [new Device(t, server), new Device(t, server)]
  const there = await phone.open('retro', by('bo'))
  const before = await laptop.open('retro', by('ana'))
  await synced(before, there)
  fill(before.doc, 'ana', ['first'])
  await converged([before, there])
  await laptop.close(before)

  // Her token is for another room now: twice, with a reload and an edit each time.
  for (const card of ['refused once', 'refused twice']) {
    const page = await laptop.open('retro', by('ana', { room: 'other' }))
    fill(page.doc, 'ana', [card])
    await eventually('it is refused for good', () => page.closed?.code === 4403)
    await never('it tries again', () => page.connects > 1, 500)
    assert.equal(cards(page.doc).includes(`ana: ${card}`), true)
    await laptop.close(page)
  }
  fill(there.doc, 'bo', ['meanwhile'])
  assert.deepEqual(cards(there.doc), ['ana: first', 'bo: meanwhile'])

  const back = await laptop.open('retro', by('ana'))
  await synced(back)
  await converged([back, there])
  assert.deepEqual(cards(there.doc), ['ana: first', 'ana: refused once', 'ana: refused twice', 'bo: meanwhile'])
  const newcomer = join(t, server, 'retro', by('cy'))
  await synced(newcomer)
  await converged([newcomer, back, there])
})

test('[A15] the page itself goes on with a new token after a 4403: no reload, nothing twice', async (t) => {
  const server = await start(t)
  const laptop = new Device(t, server)
  const page = await laptop.open('retro', by('ana', { room: 'other' }))
  fill(page.doc, 'ana', ['a', 'b'])
  await eventually('it is refused for good', () => page.closed?.code === 4403)
  page.provider.params.token = by('ana').params.token
  page.provider.connect()
  await synced(page)
  const newcomer = join(t, server, 'retro', by('cy'))
  await synced(newcomer)
  await converged([newcomer, page])
  assert.deepEqual(cards(newcomer.doc), ['ana: a', 'ana: b'])
})

test('[S20] a viewer who has written stays, and its edits are stored once it may write', async (t) => {
  const server = await start(t)
  const laptop = new Device(t, server)
  const other = join(t, server, 'retro', by('bo'))
  await synced(other)
  other.doc.getMap('map').set('bo', 1)
  const page = await laptop.open('retro', by('ana', { role: 'viewer' }))
  await synced(page)
  await converged([page, other])
  fill(page.doc, 'ana', ['only here'])
  other.doc.getMap('map').set('bo', 2)
  await eventually('the viewer goes on reading', () => page.doc.getMap('map').get('bo') === 2)
  assert.deepEqual(cards(other.doc), [])
  assert.deepEqual(page.closes, [])
  await laptop.close(page)

  const editor = await laptop.open('retro', by('ana'))
  await synced(editor)
  await converged([editor, other])
  assert.deepEqual(cards(other.doc), ['ana: only here'])
  assert.equal(content(other.doc).map.bo, 2)
})
