// The client's wasm in Node, against the real server.
//
// C3   No bytes end it: they come back as an output that closes, or as an error with a code.
// C11  The bundle joins a real server, with the same board as Yjs.

import assert from 'node:assert/strict'
import test from 'node:test'
import * as Y from 'yjs'
import { Raw } from '../lib/raw.mjs'
import { Server } from '../lib/server.mjs'
import { Tab, core } from '../lib/wasm.mjs'
import { eventually } from '../lib/wait.mjs'

test('[C11] two tabs and a plain Yjs document come to the same board', async (t) => {
  const server = await Server.start(t)
  const ann = await (await Tab.make(t, 'r')).connect(server)
  const bob = await (await Tab.make(t, 'r', { user: 'bob' })).connect(server)
  ann.take(ann.client.seed('retro'))
  ann.edit({ type: 'addItem', id: 'a', text: '👩‍👩‍👧 مرحبا', column: 'well', position: { x: 1, y: 2 } })
  bob.edit({ type: 'setSignatureColor', signature: 'bob', color: '#336699' })
  await eventually('the card arrives', () => bob.state.items.a)
  bob.edit({ type: 'vote', target: 'a', count: 3 })
  await eventually('the vote arrives', () => ann.state.allUserVotes.bob?.a === 3)
  await ann.saved()
  await bob.saved()
  assert.deepEqual(ann.state, bob.state)
  assert.deepEqual(ann.state, ann.client.state())
  assert.equal(ann.state.meta.columns.length, 3)

  const raw = await Raw.open(t, server, 'r')
  const doc = await raw.synced()
  assert.equal(doc.getMap('items').get('a').get('text'), '👩‍👩‍👧 مرحبا')
  assert.deepEqual(doc.getMap('itemPositions').get('a'), { x: 1, y: 2 })

  const { column } = ann.state.items.a
  const untouched = ann.state.itemPositions
  ann.take(ann.client.setPresence({ user: { name: 'Ann' }, cursor: [1, 2] }))
  await eventually('presence arrives', () => Object.values(bob.client.presence()).some((state) => state.cursor?.[1] === 2))
  ann.edit({ type: 'setItemColumn', id: 'a', column: 'ideas' })
  assert.equal(column, 'well')
  assert.equal(ann.state.itemPositions, untouched, 'what did not change is the same object')
  ann.take(ann.client.undo())
  await eventually('the undo arrives', () => bob.state.items.a.column === 'well')
  const status = ann.client.status()
  console.log(status)
  assert.ok(status.connected && status.synced && status.generation.length === 1)
})

test('[C11] edits made offline, and a tab opened again on its store, arrive', async (t) => {
  const server = await Server.start(t)
  const tab = await (await Tab.make(t, 'r')).connect(server)
  tab.edit({ type: 'addItem', id: 'a', text: 'x' })
  await tab.saved()
  tab.cut()
  tab.edit({ type: 'setItemText', id: 'a', text: 'offline' })
  tab.edit({ type: 'setItemText', id: 'a', text: 'offline still' })
  assert.equal(tab.unsaved, 2)
  const again = await Tab.make(t, 'r')
  for (const update of tab.stored) again.take(again.client.load(update, 0))
  again.take(again.client.load(tab.client.encode(), tab.unsaved))
  assert.equal(again.unsaved, 2)
  assert.equal(again.state.items.a.text, 'offline still')
  await again.connect(server)
  await again.saved()
  const doc = await (await Raw.open(t, server, 'r')).synced()
  assert.equal(doc.getMap('items').get('a').get('text'), 'offline still')
})

test('[C3] what it is given comes back as an error with a code, or closes; it goes on', async (t) => {
  const { Client } = await core()
  const code = (call, expected) => assert.throws(call, (error) => {
    console.log(error.code, error.message)
    return error instanceof Error && error.name === 'RuangCoreError' && error.code === expected
  })
  const options = { room: 'r', clientId: 7, user: 'ann', role: 'editor', identified: false }
  for (const bad of [undefined, null, {}, { ...options, room: '' }, { ...options, clientId: 0 }, { ...options, role: 'king' }]) {
    code(() => new Client(bad), 'bad_argument')
  }
  const client = new Client(options)
  code(() => client.edit({ type: 'party' }, 0), 'bad_argument')
  code(() => client.edit(() => {}, 0), 'bad_argument')
  code(() => client.edit({ type: 'deleteItem', id: 'x' }, NaN), 'not_there')
  code(() => client.edit({ type: 'addItem', id: 'x', text: 'x'.repeat(200_000) }, 0), 'bad_text')
  code(() => client.load(new Uint8Array([1, 2, 3]), 0), 'bad_update')
  code(() => client.encodeSince(new Uint8Array([9])), 'bad_update')
  code(() => client.setPresence(() => {}), 'bad_argument')
  code(() => client.setPresence('x'.repeat(9000)), 'bad_argument')
  client.open()
  const honest = Y.encodeStateAsUpdate(new Y.Doc())
  let closes = 0
  for (let n = 0; n < 20_000; n += 1) {
    const frame = Uint8Array.from({ length: n % 24 }, (_, at) => (n * 2654435761 >>> (at % 24)) & 255)
    frame[0] = n % 5
    if (client.receive(frame).close !== undefined) closes += 1
  }
  assert.ok(closes > 1000)
  assert.equal(client.receive(Uint8Array.from([0, 1, honest.length, ...honest])).close, undefined)
  client.edit({ type: 'addItem', id: 'x', text: 'it goes on' }, 1)
  assert.equal(client.state().items.x.text, 'it goes on')
  client.free()
})

test('[C11] a board of 1,000 cards is joined, and takes changes', async (t) => {
  const server = await Server.start(t)
  const author = await Tab.make(t, 'r')
  for (let n = 0; n < 1000; n += 1) {
    author.edit({ type: 'addItem', id: `card ${n}`, text: 'what went well', column: 'well', position: { x: n, y: n } })
  }
  await author.connect(server)
  await author.saved()
  const joins = []
  for (let n = 0; n < 5; n += 1) {
    const start = performance.now()
    const tab = await (await Tab.make(t, 'r')).connect(server)
    await new Promise((resolve) => {
      const look = () => Object.keys(tab.state.items).length === 1000 ? resolve() : setImmediate(look)
      look()
    })
    joins.push(performance.now() - start)
    assert.deepEqual(tab.state.items, author.state.items)
    tab.cut()
  }
  const moves = []
  for (let n = 0; n < 1000; n += 1) {
    const start = performance.now()
    author.client.edit({ type: 'moveItem', id: `card ${n}`, position: { x: n + 1, y: 0 } }, 1)
    moves.push(performance.now() - start)
  }
  moves.sort((a, b) => a - b)
  console.log(`joins of 1,000 cards: ${joins.map((ms) => ms.toFixed(0)).join(', ')} ms;`,
    `a change: median ${(moves[500] * 1000).toFixed(0)} µs, 99 of 100 below ${(moves[990] * 1000).toFixed(0)} µs`)
})
