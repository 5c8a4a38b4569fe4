// docs/BOARD.md, "Who wins when": each row, with real Yjs clients on the real server. Both went offline, edited, and came
// back one after the other: in either order, and with either of the two having the higher client id.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { before, test } from 'node:test'
import { templates } from '../../../docs/examples/board/templates.js'
import { counted, view } from '../../../docs/examples/board/view.js'
import { Y, converged, disconnected, join, leave, synced } from '../lib/client.mjs'
import { Server } from '../lib/server.mjs'

const [LOW, HIGH] = [1_000, 2_000]
/** Without identities: whose a card or a vote is decides nothing here. */
const BOARDS = { args: ['--boards', 'board/'] }
const root = (doc, name) => doc.getMap(name)
const card = (doc, id) => root(doc, 'items').get(id)
function put (doc, name, id, fields) { root(doc, name).set(id, new Y.Map(Object.entries(fields))) }
const addCard = (doc, id, fields = {}) => put(doc, 'items', id, { text: id, column: 'well', ...fields })
const begin = (doc, name) => Y.applyUpdate(doc, templates[name], 'template')
const shown = (board, id) => board.cards.find((card) => card.id === id)

let rows
before(async () => {
  const page = await readFile(new URL('../../../docs/BOARD.md', import.meta.url), 'utf8')
  const table = /## Who wins when[\s\S]*?\n\n(\|[\s\S]*?)\n\n/.exec(page)[1].split('\n').slice(2)
  rows = new Map(table.map((row) => row.split('|').slice(1, 3).map((cell) => cell.trim())))
})

/**
 * One row of the table: `given` is there for both, `ana` and `ben` edit without hearing of each other, and then the
 * board is what `then` says, for both and for one who comes later.
 */
const row = (words, { given = () => {}, ana, ben, then }) => test(`[B94] at the same time: ${words}`, async (t) => {
  assert.ok(rows.has(words), `docs/BOARD.md has this row: ${words}`)
  const server = await Server.start(t, BOARDS)
  let number = 0
  for (const higher of ['ana', 'ben']) {
    for (const first of ['ana', 'ben']) {
      const room = `board/${++number}`
      const people = {}
      for (const name of ['ana', 'ben']) {
        const doc = new Y.Doc()
        doc.clientID = name === higher ? HIGH : LOW
        people[name] = join(t, server, room, { doc })
      }
      const both = [people.ana, people.ben]
      await synced(...both)
      people.ana.doc.transact(() => given(people.ana.doc))
      await same(both)
      both.forEach(({ provider }) => provider.disconnect())
      await disconnected(...both)
      people.ana.doc.transact(() => ana(people.ana.doc))
      people.ben.doc.transact(() => ben(people.ben.doc))
      for (const name of [first, first === 'ana' ? 'ben' : 'ana']) {
        people[name].provider.connect()
        await synced(people[name])
      }
      await same(both)
      const late = join(t, server, room)
      await synced(late)
      await same([late, ...both])
      await serverReads(server, room, view(late.doc))
      for (const { doc } of [late, ...both]) then(view(doc), { doc, higher, lower: higher === 'ana' ? 'ben' : 'ana' })
      ;[late, ...both].forEach(leave)
    }
  }
  t.diagnostic(`${number} times: ${rows.get(words)}`)
})

/** All hold the same document, and read the same board in it. */
async function same (clients) {
  await converged(clients)
  const [one, ...others] = clients.map(({ doc }) => view(doc))
  for (const other of others) assert.deepEqual(other, one)
}

/** The server reads the same board: what this file says of readers is true of its own, too. */
async function serverReads (server, room, board) {
  const answer = await fetch(`${server.http}/api/v1/rooms/${encodeURIComponent(room)}?as=board`)
  assert.equal(answer.status, 200)
  const { meta, items, itemPositions, itemGroups, groups, actionItems, allUserVotes } = await answer.json()
  const cards = Object.fromEntries(board.cards.map(({ id, text, column }) => [id, { text, ...(column && { column }) }]))
  const of = (field) => Object.fromEntries(board.cards.filter((card) => card[field]).map((card) => [card.id, card[field]]))
  const plain = (value) => JSON.parse(JSON.stringify(value)) // without what is undefined
  assert.deepEqual([meta.title, meta.phase, meta.voteLimit, meta.columns], plain([board.title, board.phase, board.voteLimit, board.columns]))
  assert.deepEqual(Object.fromEntries(Object.entries(items).map(([id, { text, column }]) => [id, { text, ...(column && { column }) }])), cards)
  assert.deepEqual([itemPositions, itemGroups, allUserVotes], [of('position'), of('group'), board.votes])
  assert.deepEqual(Object.entries(groups).map(([id, { title, order }]) => [id, title, order ?? undefined]), [...board.groups.values()].map(({ id, title, order }) => [id, title, order]).sort())
  assert.deepEqual(actionItems.map(({ id, text, done }) => [id, text, done]), board.actions.map(({ id, text, done }) => [id, text, done]))
}

row('two people move one card, or set its text, column or group', {
  given: (doc) => { addCard(doc, 'c'); for (const id of ['ana', 'ben']) put(doc, 'groups', id, { title: id }) },
  ana: (doc) => {
    root(doc, 'itemPositions').set('c', { x: 1, y: 1 })
    card(doc, 'c').set('text', 'ana')
    card(doc, 'c').set('column', 'ana')
    root(doc, 'itemGroups').set('c', 'ana')
  },
  ben: (doc) => {
    for (const step of [7, 8, 2]) root(doc, 'itemPositions').set('c', { x: step, y: step })
    card(doc, 'c').set('text', 'not the last')
    card(doc, 'c').set('text', 'ben')
    card(doc, 'c').set('column', 'ben')
    root(doc, 'itemGroups').set('c', 'ben')
  },
  then: (board, { higher }) => {
    const at = higher === 'ana' ? 1 : 2
    const { position, text, column, group } = shown(board, 'c')
    assert.deepEqual({ position, text, column, group }, { position: { x: at, y: at }, text: higher, column: higher, group: higher })
  }
})

row('they set different fields of one card, group or action item', {
  given: (doc) => { addCard(doc, 'c'); put(doc, 'groups', 'g', { title: '' }); put(doc, 'actionItems', 'a', { text: 'x', done: false }) },
  ana: (doc) => {
    card(doc, 'c').set('text', 'new')
    root(doc, 'groups').get('g').set('title', 'new')
    root(doc, 'actionItems').get('a').set('text', 'new')
  },
  ben: (doc) => {
    card(doc, 'c').set('column', 'ideas')
    root(doc, 'groups').get('g').set('order', 3)
    root(doc, 'actionItems').get('a').set('done', true)
  },
  then: (board) => {
    const { text, column } = shown(board, 'c')
    assert.deepEqual([text, column], ['new', 'ideas'])
    assert.deepEqual(board.groups.get('g'), { id: 'g', title: 'new', order: 3 })
    assert.deepEqual(board.actions.map(({ text, done }) => [text, done]), [['new', true]])
  }
})

row('they type in one shared text', {
  given: (doc) => addCard(doc, 'c', { text: new Y.Text('ship') }),
  ana: (doc) => card(doc, 'c').get('text').insert(4, ' smaller'),
  ben: (doc) => card(doc, 'c').get('text').insert(0, 'let us '),
  then: (board) => assert.equal(shown(board, 'c').text, 'let us ship smaller')
})

row('one types in a shared text, another replaces it', {
  given: (doc) => addCard(doc, 'c', { text: new Y.Text('ship') }),
  ana: (doc) => card(doc, 'c').get('text').insert(4, ' smaller'),
  ben: (doc) => card(doc, 'c').set('text', 'replaced'),
  then: (board) => assert.equal(shown(board, 'c').text, 'replaced')
})

row('one sets a value, another removes it (a card\'s group or place, a vote)', {
  given: (doc) => {
    addCard(doc, 'c')
    put(doc, 'groups', 'g', {})
    put(doc, 'groups', 'h', {})
    root(doc, 'itemGroups').set('c', 'g')
    root(doc, 'itemPositions').set('c', { x: 1, y: 1 })
    root(doc, 'votes').set('eve/c', 1)
  },
  ana: (doc) => { root(doc, 'itemGroups').set('c', 'h'); root(doc, 'itemPositions').set('c', { x: 2, y: 2 }); root(doc, 'votes').set('eve/c', 2) },
  ben: (doc) => { root(doc, 'itemGroups').delete('c'); root(doc, 'itemPositions').delete('c'); root(doc, 'votes').delete('eve/c') },
  then: (board) => {
    assert.deepEqual([shown(board, 'c').group, shown(board, 'c').position, board.votes], ['h', { x: 2, y: 2 }, { eve: { c: 2 } }])
  }
})

row('one edits a card, another deletes it', {
  given: (doc) => addCard(doc, 'c', { text: new Y.Text('x') }),
  ana: (doc) => { card(doc, 'c').set('column', 'ideas'); card(doc, 'c').get('text').insert(0, 'more ') },
  ben: (doc) => root(doc, 'items').delete('c'),
  then: (board) => assert.deepEqual(board.cards, [])
})

row('one groups a card, another deletes the group', {
  given: (doc) => { addCard(doc, 'c'); put(doc, 'groups', 'g', { title: 'g' }) },
  ana: (doc) => root(doc, 'itemGroups').set('c', 'g'),
  ben: (doc) => root(doc, 'groups').delete('g'),
  then: (board, { doc }) => {
    assert.deepEqual([shown(board, 'c').group, board.groups.size], [undefined, 0])
    assert.equal(root(doc, 'itemGroups').get('c'), 'g', 'what readers pass over')
  }
})

row('two people put one card on another: two groups are made', {
  given: (doc) => { addCard(doc, 'c'); addCard(doc, 'd') },
  ana: (doc) => { put(doc, 'groups', 'ana', {}); for (const id of ['c', 'd']) root(doc, 'itemGroups').set(id, 'ana') },
  ben: (doc) => { put(doc, 'groups', 'ben', {}); for (const id of ['c', 'd']) root(doc, 'itemGroups').set(id, 'ben') },
  then: (board, { higher }) => {
    assert.deepEqual(board.cards.map(({ group }) => group), [higher, higher])
    assert.deepEqual([...board.groups.keys()].sort(), ['ana', 'ben'])
  }
})

row('a card is deleted, another moves it, groups it or votes for it', {
  given: (doc) => { addCard(doc, 'c'); addCard(doc, 'd'); put(doc, 'groups', 'g', {}); root(doc, 'itemPositions').set('c', { x: 1, y: 1 }) },
  ana: (doc) => {
    root(doc, 'itemPositions').set('c', { x: 2, y: 2 })
    root(doc, 'itemGroups').set('c', 'g')
    root(doc, 'votes').set('ana/c', 5)
    root(doc, 'votes').set('ana/d', 1)
  },
  ben: (doc) => ['items', 'itemPositions', 'itemGroups'].forEach((name) => root(doc, name).delete('c')),
  then: (board, { doc }) => {
    assert.deepEqual(board.cards.map(({ id }) => id), ['d'])
    assert.deepEqual(board.votes, { ana: { d: 1 } }, 'the other one counts, as if the five were not')
    assert.deepEqual(root(doc, 'itemPositions').toJSON(), { c: { x: 2, y: 2 } }, 'what readers pass over')
  }
})

row('two tabs of one person vote beyond the limit', {
  given: (doc) => { for (const id of ['c', 'd']) addCard(doc, id); root(doc, 'meta').set('voteLimit', 3) },
  ana: (doc) => root(doc, 'votes').set('eve/c', 3),
  ben: (doc) => root(doc, 'votes').set('eve/d', 3),
  then: (board) => assert.deepEqual(board.votes, { eve: { c: 2, d: 1 } })
})

row('two tabs of one person each vote for one target', {
  given: (doc) => addCard(doc, 'c'),
  ana: (doc) => root(doc, 'votes').set('eve/c', 1),
  ben: (doc) => root(doc, 'votes').set('eve/c', 2),
  then: (board, { higher }) => assert.deepEqual(board.votes, { eve: { c: higher === 'ana' ? 1 : 2 } })
})

row('the limit is lowered, somebody votes', {
  given: (doc) => { for (const id of ['c', 'd']) addCard(doc, id); root(doc, 'votes').set('eve/c', 2) },
  ana: (doc) => root(doc, 'meta').set('voteLimit', 3),
  ben: (doc) => root(doc, 'votes').set('eve/d', 3),
  then: (board) => assert.deepEqual(board.votes, { eve: { c: 2, d: 1 } })
})

row('two people begin a board from the same template', {
  ana: (doc) => begin(doc, 'retro'),
  ben: (doc) => begin(doc, 'retro'),
  then: (board) => assert.deepEqual(board.columns.map(({ id }) => id), ['well', 'improve', 'ideas'])
})

row('from two templates', {
  ana: (doc) => begin(doc, 'retro'),
  ben: (doc) => begin(doc, 'mad-sad-glad'),
  then: (board) => assert.deepEqual(board.columns.map(({ id }) => id), ['mad', 'sad', 'glad'])
})

row('one begins from a template, another sets the columns or the limit', {
  ana: (doc) => begin(doc, 'retro'),
  ben: (doc) => { root(doc, 'meta').set('columns', [{ id: 'own', title: 'Own' }]); root(doc, 'meta').set('voteLimit', 9); root(doc, 'meta').set('title', 'Own') },
  then: (board) => assert.deepEqual([board.columns.length, board.voteLimit, board.title], [3, 5, 'Own'])
})

row('two make a card under one id', {
  ana: (doc) => addCard(doc, 'c', { text: 'ana', column: 'well' }),
  ben: (doc) => put(doc, 'items', 'c', { text: 'ben' }),
  then: (board, { higher }) => {
    const { text, column } = shown(board, 'c')
    assert.deepEqual([text, column], higher === 'ana' ? ['ana', 'well'] : ['ben', undefined])
  }
})

test('[B94] every row of the table has its test above', async () => {
  const source = await readFile(new URL(import.meta.url), 'utf8')
  const tested = [...source.matchAll(/^row\('((?:[^'\\]|\\.)*)'/gm)].map(([, words]) => words.replaceAll('\\\'', '\''))
  assert.deepEqual(tested.sort(), [...rows.keys()].sort())
})

test('[B94] of three, the first edit after what all had seen decides, with all that was built on it', async (t) => {
  const server = await Server.start(t, BOARDS)
  const [low, middle, high] = [1_000, 2_000, 3_000].map((id) => { const doc = new Y.Doc(); doc.clientID = id; return join(t, server, 'board/three', { doc }) })
  const all = [low, middle, high]
  await synced(...all)
  addCard(low.doc, 'c')
  await converged(all)
  all.forEach(({ provider }) => provider.disconnect())
  await disconnected(...all)
  card(low.doc, 'c').set('text', 'low')
  Y.applyUpdate(high.doc, Y.encodeStateAsUpdate(low.doc))
  card(high.doc, 'c').set('text', 'high, having seen low')
  card(middle.doc, 'c').set('text', 'middle')
  all.forEach(({ provider }) => provider.connect())
  await synced(...all)
  await converged(all)
  assert.equal(shown(view(high.doc), 'c').text, 'middle')
})

test('[B95] undo on a board takes back one\'s own edits and nobody else\'s, and redo brings them back', async (t) => {
  const server = await Server.start(t, BOARDS)
  const [ana, ben] = [join(t, server, 'board/undo'), join(t, server, 'board/undo')]
  await synced(ana, ben)
  begin(ana.doc, 'retro')
  addCard(ana.doc, 'c')
  await converged([ana, ben])
  const names = ['items', 'itemPositions', 'itemGroups', 'groups', 'votes', 'actionItems', 'signatureColors']
  const undo = new Y.UndoManager(names.map((name) => root(ana.doc, name)), { captureTimeout: 0 })
  const step = async (client, edit) => { client.doc.transact(() => edit(client.doc)); await converged([ana, ben]) }
  const board = () => view(ben.doc)
  const taken = async (verb) => { undo[verb](); await converged([ana, ben]) }

  // A set that another one has overwritten since is not brought back over it.
  await step(ana, (doc) => root(doc, 'itemPositions').set('c', { x: 1, y: 1 }))
  await step(ben, (doc) => root(doc, 'itemPositions').set('c', { x: 2, y: 2 }))
  await taken('undo')
  assert.deepEqual(shown(board(), 'c').position, { x: 2, y: 2 })

  // Votes are per person; columns and limits are no edit of hers.
  await step(ana, (doc) => root(doc, 'votes').set('ana/c', 2))
  await step(ben, (doc) => root(doc, 'votes').set('ben/c', 1))
  await taken('undo')
  assert.deepEqual(board().votes, { ben: { c: 1 } })
  await taken('redo')
  assert.deepEqual(board().votes, { ana: { c: 2 }, ben: { c: 1 } })

  // A card goes with what others wrote on it; redo brings all of that back.
  await step(ana, (doc) => addCard(doc, 'd', { author: 'ana' }))
  await step(ben, (doc) => card(doc, 'd').set('text', 'changed by ben'))
  await taken('undo')
  assert.equal(shown(board(), 'd'), undefined)
  await taken('redo')
  assert.equal(shown(board(), 'd').text, 'changed by ben')

  // A deletion is taken back as the card was then, without what another one wrote on it not knowing: that is gone. If
  // it came before the deletion did, then what it had replaced is gone as well, but in a shared text.
  for (const [away, text] of [[ben, 'before'], [ana, '']]) {
    const ids = ['value', 'shared'].map((id) => `${id} ${away === ben}`)
    await step(ana, (doc) => { addCard(doc, ids[0], { text: 'before' }); addCard(doc, ids[1], { text: new Y.Text('before') }) })
    away.provider.disconnect()
    await disconnected(away)
    ana.doc.transact(() => ids.forEach((id) => root(ana.doc, 'items').delete(id)))
    card(ben.doc, ids[0]).set('text', 'on the train')
    card(ben.doc, ids[1]).get('text').insert(6, ' on the train')
    const late = join(t, server, 'board/undo')
    await synced(late)
    await converged([late, away === ben ? ana : ben])
    away.provider.connect()
    await synced(away)
    await converged([ana, ben])
    assert.deepEqual(ids.map((id) => shown(board(), id)), [undefined, undefined])
    await taken('undo')
    assert.deepEqual(ids.map((id) => [shown(board(), id).text, shown(board(), id).column]), [[text, 'well'], ['before', 'well']])
  }
  assert.equal(board().columns.length, 3)
})

test('[B3] the rule for votes in JavaScript is that of src/board/votes.rs', () => {
  const most = 2 ** 32 - 1
  const cases = [
    [{ a: 2, b: 3 }, 5, { a: 2, b: 3 }], [{ a: 2, b: 3 }, 4, { a: 2, b: 2 }], [{ a: 3, b: 3 }, 3, { a: 2, b: 1 }],
    [{ a: 1, b: 1, c: 1 }, 2, { a: 1, b: 1 }], [{ a: most }, 0, {}], [{ a: most, b: most }, 5, { a: 3, b: 2 }],
    [{ '\uffee': 1, '🎉': 1 }, 1, { '\uffee': 1 }] // by bytes, not by the halves of JavaScript's characters
  ]
  for (const [given, limit, left] of cases) assert.deepEqual(counted(given, limit), left, JSON.stringify(given))
})

test('[B4] the templates of docs/examples are those of the server, byte for byte, and in docs/BOARD.md', async () => {
  const source = await readFile(new URL('../../../src/board/seed.rs', import.meta.url), 'utf8')
  const page = await readFile(new URL('../../../docs/BOARD.md', import.meta.url), 'utf8')
  const names = [...source.matchAll(/name: "([^"]+)",/g)].map(([, name]) => name)
  assert.deepEqual(Object.keys(templates), names)
  const digest = Buffer.from(await crypto.subtle.digest('SHA-256', templates.retro)).subarray(0, 8)
  const frozen = /digest\[\.\.8\], \[([^\]]+)\]/.exec(source)[1].split(',').map(Number)
  assert.deepEqual([...digest], frozen)
  for (const [name, update] of Object.entries(templates)) {
    assert.ok(page.includes(`| \`${name}\` | \`${Buffer.from(update).toString('base64')}\` |`), `${name} is in docs/BOARD.md`)
    const doc = new Y.Doc()
    begin(doc, name)
    begin(doc, name)
    const columns = [...new RegExp(`name: "${name}",[\\s\\S]*?columns: &\\[([\\s\\S]*?)\\n?\\s*\\],?\\s*\\n\\s*\\}`).exec(source)[1].matchAll(/\("([^"]+)", "([^"]+)", "([^"]+)"\)/g)]
    assert.deepEqual(view(doc).columns, columns.map(([, id, title, color]) => ({ id, title, color })))
    assert.deepEqual([view(doc).phase, view(doc).voteLimit], ['write', 5])
  }
})
