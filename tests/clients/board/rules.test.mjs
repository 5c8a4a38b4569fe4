// The rules of a board and real Yjs clients: what is allowed is never touched, undo and redo of it included; what is not
// comes back to everyone as it was, and its author is told why. Rules B20 to B38 of docs/RULES.md.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from '../lib/server.mjs'
import { Y, crash, join, leave, synced } from '../lib/client.mjs'
import * as hocuspocus from '../lib/hocuspocus.mjs'
import { Random, SEED } from '../lib/random.mjs'
import { SECRET, sign } from '../lib/tokens.mjs'
import { eventually } from '../lib/wait.mjs'

const ROOTS = ['meta', 'items', 'itemPositions', 'itemGroups', 'groups', 'signatureColors', 'votes', 'actionItems']

const start = (t) => Server.start(t, { env: { RUANG_AUTH_KEY: SECRET, RUANG_BOARDS: '*' } })

/** Somebody on the board, by y-websocket. */
function come (t, server, sub, role, options = {}) {
  const client = join(t, server, 'board', { params: { token: sign({ sub, role }) }, ...options })
  client.seen = []
  for (const root of ROOTS) {
    client.doc.getMap(root).observeDeep((_, transaction) => {
      if (!transaction.local) client.seen.push(JSON.stringify(client.doc.getMap(root)))
    })
  }
  return client
}

const board = ({ doc }) => Object.fromEntries(ROOTS.map((root) => [root, doc.getMap(root).toJSON()]))

/** All have the same board, of which something is true. */
const same = (clients, what, holds = () => true) => eventually(what, () => {
  const [first, ...others] = clients.map((client) => JSON.stringify(sorted(board(client))))
  return others.every((other) => other === first) && clients.every((client) => holds(board(client)))
}, { within: 20_000, detail: () => clients.map((client) => JSON.stringify(board(client))).join('\n') })

const sorted = (value) => value && typeof value === 'object' && !Array.isArray(value)
  ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
  : value

const mended = (server) => server.metric('edits_mended_total')

function card ({ doc }, id, author) {
  doc.transact(() => {
    const card = new Y.Map()
    card.set('text', `text of ${id}`)
    card.set('createdAt', Date.now())
    if (author) card.set('author', author)
    doc.getMap('items').set(id, card)
  })
}

/** Lines that providers write to the console while something runs. */
async function warnings (run) {
  const lines = []
  const warn = console.warn
  console.warn = (...words) => lines.push(words.join(' '))
  try {
    await run(lines)
  } finally {
    console.warn = warn
  }
  return lines
}

test('[B21] undo and redo of every allowed edit are allowed', async (t) => {
  const server = await start(t)
  const [ann, bob] = [come(t, server, 'ann', 'editor'), come(t, server, 'bob', 'editor')]
  await synced(ann, bob)
  card(bob, 'bobs', 'bob')
  card(ann, 'anns', 'ann')
  card(ann, 'nobodys')
  ann.doc.getMap('groups').set('g', new Y.Map([['title', 'g']]))
  await same([ann, bob], 'cards', ({ items }) => Object.keys(items).length === 3)
  const map = (root) => ann.doc.getMap(root)
  const item = (id) => map('items').get(id)
  const edits = {
    'adds a card': () => card(ann, 'new', 'ann'),
    'sets a text': () => item('bobs').set('text', 'new'),
    'makes it shared': () => item('anns').set('text', new Y.Text('shared')),
    'writes in it': () => item('anns').get('text').insert(3, ' and '),
    'formats it': () => item('anns').get('text').format(1, 4, { bold: true }),
    'moves a card': () => map('itemPositions').set('bobs', { x: 1, y: 2 }),
    'moves it again': () => map('itemPositions').set('bobs', { x: 3, y: 4 }),
    'groups it': () => map('itemGroups').set('bobs', 'g'),
    'makes a group': () => map('groups').set('h', new Y.Map([['title', 'h']])),
    'takes a group away': () => map('groups').delete('g'),
    'colors': () => map('signatureColors').set('ann', '#aabbcc'),
    'votes': () => map('votes').set('ann/bobs', 2),
    'votes again': () => map('votes').set('ann/bobs', 3),
    'takes the vote back': () => map('votes').delete('ann/bobs'),
    'notes something to do': () => map('actionItems').set('x', new Y.Map([['text', 'do it'], ['done', false]])),
    'has done it': () => map('actionItems').get('x').set('done', true),
    'takes it off': () => map('actionItems').delete('x'),
    "takes nobody's card": () => item('nobodys').set('author', 'ann'),
    'takes its own card away': () => map('items').delete('anns')
  }
  const undo = new Y.UndoManager(ROOTS.map(map), { captureTimeout: 0 })
  const told = await warnings(async () => {
    for (const [what, edit] of Object.entries(edits)) {
      console.log(what)
      edit()
      assert.ok(undo.undo(), `${what}: undone`)
      assert.ok(undo.redo(), `${what}: redone`)
    }
    while (undo.undo());
    while (undo.redo());
    await same([ann, bob], 'one board', ({ votes, items }) => !votes['ann/bobs'] && !items.anns)
  })
  assert.deepEqual([await mended(server), told], [0, []])
})

test('[B25] [B33] what breaks a rule comes back to all, with what a browser has kept too', async (t) => {
  const server = await start(t)
  const [lea, ann, bob] = [
    come(t, server, 'lea', 'facilitator'), come(t, server, 'ann', 'editor'), come(t, server, 'bob', 'editor')
  ]
  await synced(lea, ann, bob)
  lea.doc.getMap('meta').set('title', 'Sprint 7')
  card(bob, 'bobs', 'bob')
  bob.doc.getMap('items').get('bobs').set('text', new Y.Text('shared '))
  bob.doc.getMap('items').get('bobs').get('text').insert(7, 'and bold', { bold: true })
  bob.doc.getMap('votes').set('bob/bobs', 2)
  const right = ({ meta, items, votes }) => meta.title === 'Sprint 7' && items.bobs?.author === 'bob' &&
    items.bobs.text === 'shared and bold' && votes['bob/bobs'] === 2
  await same([lea, ann, bob], 'a board', right)
  const told = await warnings(async (lines) => {
    ann.doc.transact(() => {
      ann.doc.getMap('meta').set('title', 'bad 1')
      ann.doc.getMap('meta').set('phase', 'bad 2')
      ann.doc.getMap('itemPositions').set('bobs', { x: 1, y: 1 })
    })
    ann.doc.getMap('votes').set('bob/bobs', 'bad 3')
    ann.doc.getMap('items').get('bobs').set('author', 'bad 4')
    ann.doc.getMap('items').delete('bobs')
    ann.doc.getXmlFragment('default').push([new Y.XmlText('bad 5')])
    ann.doc.getMap('itemPositions').set('elsewhere', new Y.Text('bad 6'))
    await same([lea, ann, bob], 'a board that is right', (board) => right(board) && board.itemPositions.bobs?.x === 1 &&
      !('elsewhere' in board.itemPositions) && !('phase' in board.meta))
    await eventually('ann is told', () => lines.length >= 4)
  })
  for (const client of [lea, bob]) assert.deepEqual(client.seen.filter((seen) => seen.includes('bad')), [])
  assert.deepEqual(bob.doc.getMap('items').get('bobs').get('text').toDelta(), [
    { insert: 'shared ' }, { insert: 'and bold', attributes: { bold: true } }
  ])
  console.log(told.map((line) => line.split('\n').pop()))
  assert.ok(told.some((line) => line.includes('only the facilitator')), 'the sentence reaches the console')
  assert.equal(ann.doc.getXmlFragment('default').toString(), '', 'what is in no part of a board is gone here too')
  assert.equal(ann.connects, 1, 'and ann stays connected')

  // A reload with what a browser has kept: all of it, before the server has said anything.
  const kept = Y.encodeStateAsUpdate(ann.doc)
  leave(ann)
  const doc = new Y.Doc()
  Y.applyUpdate(doc, kept)
  const before = await mended(server)
  const again = come(t, server, 'ann', 'editor', { doc })
  await synced(again)
  again.doc.getMap('signatureColors').set('ann', '#aabbcc')
  await same([lea, again, bob], 'the same board', (board) => right(board) && board.signatureColors.ann)
  assert.equal(await mended(server), before, 'it brings nothing that breaks a rule')
})

test('[B25] [B37] what was done offline comes back too, and what is allowed of it is stored', async (t) => {
  const server = await start(t)
  const [lea, ann] = [come(t, server, 'lea', 'facilitator'), come(t, server, 'ann', 'editor')]
  await synced(lea, ann)
  lea.doc.getMap('meta').set('title', 'begin')
  card(lea, 'leas', 'lea')
  await same([lea, ann], 'a board', ({ items }) => items.leas)
  crash(ann)
  for (let n = 0; n < 250; n++) {
    card(ann, `card ${n}`, 'ann')
    if (n % 50 === 0) ann.doc.getMap('meta').set('title', `bad ${n}`)
  }
  ann.doc.getMap('items').delete('leas')
  lea.doc.getMap('meta').set('title', 'meanwhile')
  lea.doc.getMap('items').get('leas').set('text', 'meanwhile')
  ann.provider.connect()
  await synced(ann)
  await same([lea, ann], 'a board', ({ meta, items }) => meta.title === 'meanwhile' &&
    Object.keys(items).length === 251 && items.leas.text === 'meanwhile')
  assert.deepEqual(lea.seen.filter((seen) => seen.includes('bad')), [])
  assert.equal(await mended(server), 1)
})

for (const { version } of hocuspocus.each) {
  test(`[B33] Hocuspocus ${version}: the count is right, and a message says why`, async (t) => {
    const server = await start(t)
    const lea = come(t, server, 'lea', 'facilitator')
    const ann = hocuspocus.join(t, server, 'board', version, { token: sign({ sub: 'ann', role: 'editor' }) })
    await Promise.all([synced(lea), hocuspocus.synced(ann)])
    lea.doc.getMap('meta').set('title', 'Sprint 7')
    await same([lea, ann], 'the title', ({ meta }) => meta.title)
    for (let n = 0; n < 5; n++) {
      ann.doc.getMap('meta').set('title', `bad ${n}`)
      ann.doc.getMap('itemPositions').set('a', { x: n, y: n })
    }
    await hocuspocus.saved(ann)
    await same([lea, ann], 'one board', ({ meta, itemPositions }) => meta.title === 'Sprint 7' && itemPositions.a?.x === 4)
    await eventually('it is told', () => ann.stateless.length === 5)
    const { type, code, message } = JSON.parse(ann.stateless[0])
    assert.deepEqual([type, code], ['ruang.brokenRule', 'meta_is_the_facilitators'])
    assert.match(message, /only the facilitator/)
    assert.equal(hocuspocus.unsynced(ann), 0)
    assert.deepEqual([ann.failures, ann.closes, lea.seen.filter((seen) => seen.includes('bad'))], [[], [], []])
  })
}

test('[B38] honest edits of every role are never touched', async (t) => {
  const server = await start(t)
  const people = [['lea', 'facilitator'], ['ann', 'editor'], ['bob', 'editor'], ['carl', 'editor']]
  const clients = people.map(([sub, role]) => Object.assign(come(t, server, sub, role), { sub, role }))
  await synced(...clients)
  const random = new Random(SEED)
  const below = (n) => random.below(n)
  t.diagnostic(`seed ${SEED}`)
  const edits = [
    (client, n) => card(client, `${client.sub} ${n}`, client.sub),
    ({ doc, sub }) => {
      const own = [...doc.getMap('items')].filter(([, card]) => card.get('author') === sub)
      if (own.length > 0) doc.getMap('items').delete(own[below(own.length)][0])
    },
    (client, n, id) => id && client.doc.getMap('items').get(id).set('text', `text ${n}`),
    (client, n, id) => id && client.doc.getMap('items').get(id).set('text', new Y.Text(`shared ${n}`)),
    (client, n, id) => {
      const text = id && client.doc.getMap('items').get(id).get('text')
      if (text instanceof Y.Text) text.insert(below(text.length + 1), '😀', below(2) ? { bold: true } : {})
    },
    (client, n, id) => id && client.doc.getMap('itemPositions').set(id, { x: n, y: below(9) }),
    (client, n, id) => id && client.doc.getMap('itemGroups').set(id, `g${below(3)}`),
    (client) => client.doc.getMap('groups').set(`g${below(3)}`, new Y.Map([['title', 'a group']])),
    (client) => client.doc.getMap('groups').delete(`g${below(3)}`),
    (client, n, id) => id && client.doc.getMap('votes').set(`${client.sub}/${id}`, below(5)),
    (client, n, id) => id && client.doc.getMap('votes').delete(`${client.sub}/${id}`),
    (client, n) => client.doc.getMap('actionItems').set(`x${below(4)}`, new Y.Map([['text', `do ${n}`]])),
    (client) => client.role === 'facilitator' && client.doc.getMap('meta').set('voteLimit', below(9)),
    (client, n, id) => client.role === 'facilitator' && id && client.doc.getMap('items').delete(id),
    (client) => client.undo.undo(),
    (client) => client.undo.redo()
  ]
  for (const client of clients) {
    client.undo = new Y.UndoManager(ROOTS.map((root) => client.doc.getMap(root)), { captureTimeout: 0 })
  }
  for (let n = 0; n < 400; n++) {
    const client = clients[below(clients.length)]
    const ids = [...client.doc.getMap('items').keys()]
    client.doc.transact(() => {})
    edits[below(edits.length)](client, n, ids[below(ids.length)])
    // Some while others' edits come in; some offline.
    if (below(5) === 0) await new Promise((resolve) => setTimeout(resolve, below(10)))
    if (below(40) === 0 && client.provider.ws) crash(client)
    if (below(20) === 0) for (const each of clients) each.provider.connect()
  }
  for (const each of clients) each.provider.connect()
  await synced(...clients)
  await same(clients, 'one board')
  assert.equal(await mended(server), 0)
})
