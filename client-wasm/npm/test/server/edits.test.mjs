// Edits of people on one board, over the real server.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { RuangClient, RuangError } from '../../dist/index.js'
import { Server } from '../../../../tests/clients/lib/server.mjs'
import { eventually } from '../../../../tests/clients/lib/wait.mjs'
import { client, saved, shown, synced } from '../lib/node.mjs'

test('[C20, C23] every edit reaches the others, and counts as unsaved until it is stored', async (t) => {
  const server = await Server.start(t)
  const ana = await synced(t, server)
  const ben = await synced(t, server, { user: 'ben' })
  const { edit } = ana
  edit.seed('retro')
  edit.seed('retro') // twice is once
  const card = edit.addItem({ text: 'A fast review', column: 'well', position: { x: 10, y: -20 } })
  const other = edit.addItem({ text: 'Slow builds', column: 'improve' })
  assert.ok(ana.unsaved > 0)
  edit.setItemText(card, 'A very fast review')
  edit.setItemColumn(other, 'ideas')
  edit.moveItem(other, { x: 1.239, y: 5 })
  const group = edit.addGroup({ title: 'Speed', order: 1 })
  edit.setGroup(group, { title: 'Pace' })
  edit.setItemGroup(card, group)
  edit.vote(card, 2)
  edit.vote(group, 1)
  edit.setSignatureColor('ana', '#336699')
  const action = edit.addActionItem({ text: 'Buy faster machines', assignee: 'ben' })
  edit.setActionItem(action, { done: true })
  edit.setMeta({ title: 'Sprint 41', phase: 'vote', voteLimit: 3 })
  await saved(ana)
  await eventually('ben sees it', () => isDeepStrictEqual(shown(ben), shown(ana)))
  const { meta, items, itemPositions, itemGroups, groups, actionItems, allUserVotes, signatureColors } = ben.state
  assert.deepEqual([meta.title, meta.phase, meta.voteLimit, meta.columns.length], ['Sprint 41', 'vote', 3, 3])
  assert.deepEqual(items[card], { text: 'A very fast review', column: 'well', author: 'ana', createdAt: items[card].createdAt })
  assert.ok(Math.abs(items[card].createdAt - Date.now()) < 60_000)
  assert.equal(items[other].column, 'ideas')
  assert.deepEqual(itemPositions[other], { x: 1.24, y: 5 })
  assert.deepEqual([itemGroups[card], groups[group].title, groups[group].order], [group, 'Pace', 1])
  assert.deepEqual(allUserVotes, { ana: { [card]: 2, [group]: 1 } })
  assert.deepEqual(signatureColors, { ana: '#336699' })
  assert.deepEqual(actionItems.map(({ text, assignee, done }) => [text, assignee, done]), [['Buy faster machines', 'ben', true]])
  assert.ok(ana.connection.position.length > 0)
  assert.equal(ana.connection.generation.length, 1)
  ben.edit.deleteActionItem(action)
  ben.edit.deleteGroup(group)
  ben.edit.deleteItem(other)
  await saved(ben)
  await eventually('ana sees it', () => ana.state.actionItems.length === 0 && ana.get('itemIds').length === 1)
  assert.deepEqual(ana.state.itemGroups, {})
})

test('[C20] what cannot be edited is said, with a code, and nothing is written', async (t) => {
  const server = await Server.start(t)
  const ana = await synced(t, server)
  const card = ana.edit.addItem({ text: 'a card' })
  await saved(ana)
  const before = shown(ana)
  /** With a message that names what it is about. */
  const refused = (code, edit, name = '') => assert.throws(edit, (error) => {
    assert.ok(error instanceof RuangError, error)
    assert.equal(error.code, code, error.message)
    assert.ok(error.message.length > 10 && error.message.includes(name), error.message)
    return true
  })
  const { edit } = ana
  refused('exists', () => edit.addItem({ text: 'again', id: card }), `"${card}"`)
  refused('not-there', () => edit.setItemText('nobody', 'x'), '"nobody"')
  refused('not-there', () => edit.vote('nobody', 1), '"nobody"')
  refused('not-there', () => edit.setGroup('nobody', { title: 'x' }), '"nobody"')
  refused('not-there', () => edit.setActionItem('nobody', { done: true }), '"nobody"')
  refused('bad-edit', () => edit.addItem({ text: 'x', id: '' }))
  refused('bad-edit', () => edit.addItem({ text: 'x', id: 'two\nlines' }))
  refused('bad-edit', () => edit.setSignatureColor('ana', 'red'))
  refused('bad-edit', () => edit.moveItem(card, { x: NaN, y: 0 }))
  refused('bad-edit', () => edit.vote(card, 100_000))
  refused('bad-edit', () => edit.setMeta({ columns: [{ id: 'a', title: '' }, { id: 'a', title: '' }] }))
  refused('bad-edit', () => edit.apply({ type: 'noSuchEdit' }), 'noSuchEdit')
  refused('bad-edit', () => edit.seed('no such template'), '"no such template"')
  refused('too-large', () => edit.setItemText(card, 'x'.repeat(200_000)))
  assert.deepEqual(shown(ana), before)
  assert.equal(ana.unsaved, 0)
  edit.setItemText(card, 'y'.repeat(100_000)) // but this fits
  await saved(ana)
})

test('[C20] before it is ready, and after it was closed, an edit is refused', async (t) => {
  const server = await Server.start(t)
  const fresh = new RuangClient({ url: server.http, room: 'board', storage: 'memory', connect: false })
  t.after(() => fresh.close())
  assert.throws(() => fresh.edit.addItem({ text: 'x' }), { code: 'not-ready' })
  assert.deepEqual(fresh.get('itemIds'), [])
  assert.throws(() => new RuangClient({ url: server.http, room: '' }), { code: 'bad-option' })
  const ana = await client(t, server)
  await ana.close()
  assert.throws(() => ana.edit.addItem({ text: 'x' }), { code: 'not-ready' })
})

test('[C20] one\'s own edits are undone and redone, one by one, and nobody else\'s', async (t) => {
  const server = await Server.start(t)
  const ana = await synced(t, server)
  const ben = await synced(t, server, { user: 'ben' })
  const card = ana.edit.addItem({ text: 'one' })
  ana.edit.setItemText(card, 'two')
  await saved(ana)
  await eventually('ben has it', () => ben.get('items', card)?.text === 'two')
  ben.edit.moveItem(card, { x: 1, y: 1 })
  await saved(ben)
  await eventually('ana has it', () => ana.get('itemPositions', card) !== undefined)
  assert.deepEqual([ana.connection.canUndo, ana.connection.canRedo], [true, false])
  ana.edit.undo()
  assert.equal(ana.get('items', card).text, 'one')
  assert.deepEqual(ana.get('itemPositions', card), { x: 1, y: 1 })
  ana.edit.redo()
  assert.equal(ana.get('items', card).text, 'two')
  ana.edit.undo()
  ana.edit.undo()
  assert.equal(ana.get('items', card), undefined)
  ana.edit.undo() // nothing left: no error
  await saved(ana)
  await eventually('ben sees it gone', () => ben.get('items', card) === undefined)
  ana.edit.redo()
  await saved(ana)
  await eventually('and back', () => ben.get('items', card)?.text === 'one')
})

test('[C34] right-to-left and emoji text, odd ids, and long names come back as they were written', async (t) => {
  const server = await Server.start(t)
  const room = 'רטרו/👩‍👩‍👧 é?#%2F'
  const ana = await synced(t, server, { room, user: 'Zoë/%אנה' })
  const ben = await synced(t, server, { room, user: 'ben' })
  const texts = ['שלום עולם ‏(1)‎', 'مرحبا بالعالم', '👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301', '\u202Eabc\u202C', 'line\nline\ttab', '\u0000?'.slice(1), '𝒳'.repeat(1000)]
  const ids = texts.map((text) => ana.edit.addItem({ text }))
  for (const id of ['__proto__', 'constructor', 'שלום', '👩‍👩‍👧', 'a/b%c', 'x'.repeat(128)]) ids.push(ana.edit.addItem({ text: id, id }))
  ids.forEach((id) => ana.edit.vote(id, 1))
  await saved(ana)
  await eventually('ben has them', () => ben.get('itemIds').length === ids.length)
  for (const [n, id] of ids.entries()) assert.equal(ben.get('items', id).text, n < texts.length ? texts[n] : id)
  const votes = ben.get('allUserVotes', 'Zoë/%אנה')
  assert.equal(Object.values(votes).reduce((a, b) => a + b), 5, 'votes are those of one person, at most the limit')
})
