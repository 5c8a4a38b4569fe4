// Hidden cards of somebody whose page has Yjs 14: written on- and offline, revealed over HTTP, seen and exported. Rule B82 of
// docs/RULES.md.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y14 from '@y/y'
import { WebsocketProvider as Provider14 } from '@y/websocket'
import { WebSocket, Y, join, synced } from '../lib/client.mjs'
import { Server } from '../lib/server.mjs'
import { SECRET, sign } from '../lib/tokens.mjs'
import { eventually } from '../lib/wait.mjs'

const BOARD = 'team/retro 14'
/** A name with all that the name of a draft room escapes. */
const ANN = 'ann~b/c?d#e%f\\ g@é'

/** The draft room of somebody, as docs/BOARD.md says. */
const draftOf = (user) => `${BOARD}~${user.replace(/[ #%/?\\~]/g, (sign) => `~${sign.charCodeAt(0).toString(16).toUpperCase()}`)}`
const token = (sub, role = 'editor') => sign({ sub, role, room: BOARD })

/** A page with Yjs 14 on a room; `copy` is what it has kept from before. */
function open14 (t, server, room, sub, copy) {
  const doc = new Y14.Doc()
  if (copy) Y14.applyUpdate(doc, copy)
  const provider = new Provider14(server.ws, encodeURIComponent(room), doc, {
    WebSocketPolyfill: WebSocket, disableBc: true, params: { token: token(sub) }
  })
  const page = { doc, provider, closed: undefined }
  provider.on('connection-error', () => {})
  provider.on('connection-close', (event) => { page.closed = event?.code })
  const close = () => { provider.destroy(); provider.awareness.destroy(); doc.destroy() }
  t.after(close)
  return Object.assign(page, {
    close,
    add (id, { text, column = 'well', author = sub, position, group }) {
      doc.transact(() => {
        const card = new Y14.Type()
        for (const [field, value] of Object.entries({ text, column, author, createdAt: 1_795_428_000_000 })) {
          if (value !== undefined) card.setAttr(field, value)
        }
        doc.get('items').setAttr(id, card)
        if (position) doc.get('itemPositions').setAttr(id, position)
        if (!group) return
        const title = new Y14.Type()
        title.setAttr('title', group)
        doc.get('groups').setAttr(group, title)
        doc.get('itemGroups').setAttr(id, group)
      })
    },
    /** Its cards' texts and authors, as Yjs 14 reads them. */
    cards: () => Object.fromEntries([...doc.get('items').attrEntries()].map(([id, card]) =>
      [id, [String(card.getAttr('text')), card.getAttr('author')]]))
  })
}

/** A text that people type on together, one word of it bold. */
function shared (before, bold) {
  const text = new Y14.Type()
  text.insert(0, before)
  text.insert(before.length, bold, { bold: true })
  return text
}

async function ask (server, path, { as = token('lea', 'facilitator'), body, ...options } = {}) {
  const headers = { authorization: `Bearer ${as}`, ...(body && { 'content-type': 'application/json' }) }
  const answer = await fetch(`${server.http}/api/v1/rooms/${encodeURIComponent(BOARD)}${path}`, {
    method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body), ...options
  })
  assert.ok(answer.ok, `${path}: ${answer.status}`)
  return answer
}

const hidden = async (server) => (await (await ask(server, '/hidden')).json()).hidden
const counts = (server, wanted) => eventually(`hidden: ${JSON.stringify(wanted)}`, async () => {
  assert.deepEqual(await hidden(server), wanted)
  return true
})

/** What stands of each card in the three files: JSON, Markdown, CSV. */
async function files (server) {
  const file = async (format) => (await ask(server, `/export?format=${format}`)).text()
  const [json, md, csv] = [await file('json'), await file('md'), await file('csv')]
  return { json, md, csv, items: JSON.parse(json).items }
}

test('[B82] a page with Yjs 14 hides cards, on- and offline, and after the reveal they are on the board and in its files, in the right name', async (t) => {
  const server = await Server.start(t, { env: { RUANG_AUTH_KEY: SECRET, RUANG_BOARDS: '*' } })
  await ask(server, '/board', { method: 'PUT', body: { template: 'retro' } })
  await ask(server, '/edits', { body: { type: 'setMeta', hideCards: true } })

  // Online; then without a network, and back before the reveal.
  const board = open14(t, server, BOARD, ANN)
  const draft = open14(t, server, draftOf(ANN), ANN)
  const bob = join(t, server, encodeURIComponent(draftOf('bob')), { params: { token: token('bob') } })
  await synced({ provider: board.provider }, { provider: draft.provider }, bob)
  draft.add('online', { text: 'written online 🎉', position: { x: 10, y: 20 }, group: 'G' })
  bob.doc.getMap('items').set('bobs', new Y.Map([['text', 'of Bob'], ['author', 'bob']]))
  await counts(server, { [ANN]: 1, bob: 1 })
  draft.provider.disconnect()
  draft.add('offline', { text: shared('typed without a ', 'network'), column: 'improve' })
  draft.add('odd', { text: '=1+1 | _x_', author: undefined }) // it does not say whose it is
  assert.deepEqual(await hidden(server), { [ANN]: 1, bob: 1 })
  draft.provider.connect()
  await counts(server, { [ANN]: 3, bob: 1 })
  await server.kill() // what is counted is stored
  await server.startAgain()
  await counts(server, { [ANN]: 3, bob: 1 })
  await synced({ provider: board.provider }, { provider: draft.provider }, bob)

  // Nobody else sees any of it.
  const eve = open14(t, server, draftOf(ANN), 'eve')
  await eventually('another one is refused', () => eve.closed === 4403)
  eve.close()
  assert.deepEqual([eve.cards(), board.cards(), (await files(server)).items], [{}, {}, {}])

  // One card more while offline; that page is closed, and what it has kept is opened again after the reveal.
  draft.provider.disconnect()
  draft.add('late', { text: 'on the train', column: 'ideas' })
  const kept = Y14.encodeStateAsUpdate(draft.doc)
  draft.close()
  const revealed = await (await ask(server, '/reveal', { method: 'POST' })).json()
  assert.deepEqual([revealed.authors, revealed.cards, revealed.failed], [2, 4, []])
  const three = {
    online: ['written online 🎉', ANN], offline: ['typed without a network', ANN], odd: ['=1+1 | _x_', ANN], bobs: ['of Bob', 'bob']
  }
  const sees = (cards) => eventually('its page shows the cards', () => { assert.deepEqual(board.cards(), cards); return true })
  await sees(three)
  const back = open14(t, server, draftOf(ANN), ANN, kept)
  const four = { ...three, late: ['on the train', ANN] }
  await sees(four)
  await eventually('nothing is left in the draft', () => { assert.deepEqual(back.cards(), {}); return true })
  await counts(server, {})
  assert.equal(board.doc.get('meta').getAttr('hideCards'), false)

  const before = await files(server)
  assert.deepEqual(Object.fromEntries(Object.entries(before.items).map(([id, { text, author }]) => [id, [text, author]])), four)
  const { itemPositions, itemGroups, groups } = JSON.parse(before.json)
  assert.deepEqual([itemPositions.online, groups[itemGroups.online].title], [{ x: 10, y: 20 }, 'G'])
  assert.deepEqual(board.doc.get('items').getAttr('offline').getAttr('text').toDelta().toJSON(),
    shared14('typed without a ', 'network'), 'with its format')
  for (const [text, author] of Object.values(four)) {
    const row = before.csv.split('\r\n').find((row) => row.includes(text.replace('=', "'=")))
    assert.ok(row?.includes(author), `CSV: ${text} of ${author}: ${row}`)
    assert.ok(plain(before.md).split('\n').includes(`- ${text}`), `Markdown, which names no authors: ${text}`)
  }
  // The log says whose they are too.
  const { records } = await (await ask(server, '/log')).json()
  console.log(records.map(({ position, kind, user }) => `${position} ${kind} ${user}`).join('\n'))
  assert.deepEqual(new Set(records.map(({ user }) => user).filter(Boolean)), new Set(['lea', ANN, 'bob']))

  await server.kill()
  await server.startAgain()
  assert.deepEqual(await files(server), before, 'a crash changes nothing')
})

/** The same text as a delta of a document. */
function shared14 (...words) {
  const doc = new Y14.Doc()
  doc.get('x').setAttr('text', shared(...words))
  return doc.get('x').getAttr('text').toDelta().toJSON()
}

/** Markdown as people read it. */
const plain = (markdown) => markdown.replace(/\\([!-/:-@[-`{-~])/g, '$1')
