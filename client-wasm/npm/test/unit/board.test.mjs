// The state by parts: who is called, and what stays the same object.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Board } from '../../dist/board.js'

const card = (text, createdAt = 1) => ({ text, column: null, author: 'ana', createdAt })

function filled (count) {
  const board = new Board()
  const ids = Array.from({ length: count }, (_, n) => `card ${n}`)
  board.apply({
    items: Object.fromEntries(ids.map((id, n) => [id, card(id, n)])),
    itemPositions: Object.fromEntries(ids.map((id) => [id, { x: 0, y: 0 }]))
  })
  return { board, ids }
}

test('[C21] of 500 cards that are shown, moving one calls the one that shows it, once', () => {
  const { board, ids } = filled(500)
  const called = []
  for (const id of ids) {
    board.subscribe('items', id, () => called.push(`text ${id}`))
    board.subscribe('itemPositions', id, () => called.push(`place ${id}`))
  }
  board.subscribe('itemIds', () => called.push('ids'))
  board.subscribe('itemPositions', () => called.push('positions'))
  board.subscribe(() => called.push('anything'))
  const before = { state: board.state, other: board.get('itemPositions', 'card 8'), items: board.get('items'), ids: board.get('itemIds') }
  board.apply({ itemPositions: { 'card 7': { x: 1, y: 2 } } })
  assert.deepEqual(called.sort(), ['anything', 'place card 7', 'positions'])
  assert.equal(board.get('itemPositions', 'card 8'), before.other)
  assert.equal(board.get('items'), before.items)
  assert.equal(board.get('itemIds'), before.ids)
  assert.notEqual(board.state, before.state)
  assert.equal(board.state.items, before.items)
  assert.deepEqual(before.state.itemPositions['card 7'], { x: 0, y: 0 }, 'what was handed out stays as it was')
})

test('[C21] a change that changes nothing calls nobody', () => {
  const { board } = filled(3)
  const state = board.state
  board.subscribe(() => assert.fail('called'))
  board.apply({ items: { 'card 1': card('card 1', 1) }, itemPositions: { gone: null } })
  board.apply({})
  board.replace(structuredClone(board.state))
  assert.equal(board.state, state)
})

test('[C21] ids come in order, also those of an object\'s own words', () => {
  const { board } = filled(2)
  const odd = ['__proto__', 'constructor', 'toString', '👩‍👩‍👧', 'שלום']
  board.apply({ items: Object.fromEntries(odd.map((id, n) => [id, card(id, 10 + n)])) })
  const items = Object.create(null)
  items['__proto__'] = card('proto', 9)
  board.apply({ items })
  assert.deepEqual(board.get('itemIds').slice(0, 2), ['card 0', 'card 1'])
  assert.equal(board.get('items', '__proto__').text, 'proto')
  assert.equal(board.get('items', 'valueOf'), undefined)
  assert.ok(Object.hasOwn(board.state.items, '__proto__'))
  board.apply({ items: { 'card 0': null } })
  assert.equal(board.get('itemIds')[0], 'card 1')
})

test('[C21] a listener that fails or ends others stops nobody else, and its failure is seen', (t) => {
  const { board } = filled(1)
  let calls = 0
  const seen = t.mock.method(globalThis, 'queueMicrotask', () => {})
  board.subscribe(() => { throw new Error('of the application') })
  const end = board.subscribe(() => { end(); calls += 1 })
  board.subscribe(() => { calls += 1 })
  board.apply({ itemPositions: { 'card 0': { x: 5, y: 5 } } })
  assert.equal(calls, 2)
  assert.throws(seen.mock.calls[0].arguments[0], /of the application/)
  board.apply({ itemPositions: { 'card 0': { x: 6, y: 5 } } })
  assert.equal(calls, 3)
})
