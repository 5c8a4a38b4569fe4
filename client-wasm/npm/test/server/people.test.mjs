// Who somebody is: tokens, roles, refusals, presence, the server's clock.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { Server } from '../../../../tests/clients/lib/server.mjs'
import { SECRET, sign } from '../../../../tests/clients/lib/tokens.mjs'
import { eventually } from '../../../../tests/clients/lib/wait.mjs'
import { client, saved, shown, synced } from '../lib/node.mjs'

async function guarded (t, args = []) {
  const key = join(tmpdir(), `ruang-npm-key-${process.pid}`)
  await writeFile(key, SECRET)
  return await Server.start(t, { args: ['--auth-key-file', key, '--auth-leeway', '0s', ...args] })
}

test('[C26] a token that ends during a drag: another one is fetched, the others see the drag go on, the card is dropped once', async (t) => {
  const server = await guarded(t)
  const asked = []
  const statuses = []
  const getToken = ({ refused }) => {
    asked.push(refused)
    return sign({ sub: 'ana', seconds: asked.length === 1 ? 6 : 600 })
  }
  const ana = await synced(t, server, { user: undefined, getToken })
  const ben = await synced(t, server, { user: undefined, token: sign({ sub: 'ben', seconds: 600 }) })
  ana.on('connection', ({ status }) => { if (statuses.at(-1) !== status) statuses.push(status) })
  const card = ana.edit.addItem({ text: 'dragged', position: { x: 0, y: 0 } })
  await saved(ana)
  await eventually('ben has it', () => ben.get('items', card))
  const seen = []
  ben.presence.subscribe(card, () => { seen.push(ben.presence.drags[card]?.x) })
  let x = 0
  await eventually('the token has ended, and it goes on', () => {
    ana.presence.drag(card, { x: ++x, y: 0 })
    return asked.length === 2 && ana.status === 'synced'
  })
  const before = x
  await eventually('ben sees it move on', () => {
    ana.presence.drag(card, { x: ++x, y: 0 })
    return seen.at(-1) > before
  })
  ana.presence.endDrag()
  ana.edit.moveItem(card, { x, y: 0 })
  await saved(ana)
  await eventually('ben sees it dropped', () => ben.get('itemPositions', card).x === x && ben.presence.drags[card] === undefined)
  console.log(`dragged over ${x} places, ${seen.length} seen by the other; ${asked.length} tokens; ${statuses.join(' → ')}`)
  assert.equal(typeof asked[1], 'string', 'another token was asked for because the first had ended')
  assert.ok(statuses.includes('connecting'), 'the socket was another one')
  assert.ok(!statuses.includes('refused') && !statuses.includes('offline'))
})

test('[C25] a token for another room, and none at all: refused with the reason, until another one is set', async (t) => {
  const server = await guarded(t)
  const ana = await client(t, server, { token: sign({ sub: 'ana', room: 'elsewhere' }) })
  await eventually('refused', () => ana.status === 'refused')
  assert.equal(ana.connection.reason.code, 4403)
  ana.setToken(sign({ sub: 'ana' }))
  await saved(ana)
  assert.throws(() => ana.setToken(sign({ sub: 'ben' })), { code: 'token' })
  const nobody = await client(t, server, { user: undefined })
  await eventually('refused', () => nobody.status === 'refused')
  assert.equal(nobody.connection.reason.code, 4401)
})

test('[C20, C37] a viewer\'s edits are refused here before they are made, and nothing is sent', async (t) => {
  const server = await guarded(t)
  const ana = await synced(t, server, { token: sign({ sub: 'ana', role: 'editor' }) })
  const card = ana.edit.addItem({ text: 'x' })
  await saved(ana)
  const viewer = await synced(t, server, { token: sign({ sub: 'eve', role: 'viewer' }) })
  await eventually('it is here', () => viewer.get('items', card))
  assert.equal(viewer.connection.role, 'viewer')
  assert.throws(() => viewer.edit.addItem({ text: 'y' }), { code: 'not-allowed' })
  assert.throws(() => viewer.edit.vote(card, 1), { code: 'not-allowed' })
  assert.equal(viewer.unsaved, 0)
  assert.equal(viewer.get('itemIds').length, 1)
})

test('[C37] what the server refuses is told with its reason, and counted', async (t) => {
  const server = await guarded(t)
  // A client that takes itself for an editor while the server knows better: the role changed on the way.
  const lied = sign({ sub: 'eve', role: 'viewer' })
  const eve = await client(t, server, { connect: false, user: 'eve', getToken: () => { throw new Error('no back end') } })
  eve.edit.addItem({ text: 'written offline, as an editor' })
  assert.equal(eve.unsaved, 1)
  const told = []
  eve.on('refused', (refusal) => told.push(refusal))
  eve.setToken(lied)
  eve.connect()
  await eventually('it is told', () => told.length > 0)
  await eventually('nothing is left to be saved', () => eve.unsaved === 0)
  console.log(told)
  assert.ok(told[0].edits >= 1 && told[0].reason.length > 10)
  assert.equal(eve.connection.refused, 1)
})

test('[C37] on a board, what its rules forbid is refused here before it is made, and what they allow is stored', async (t) => {
  const server = await guarded(t, ['--boards', '*'])
  const people = await Promise.all(['facilitator', 'editor', 'editor', 'viewer'].map((role, n) =>
    synced(t, server, { token: sign({ sub: `${role} ${n}`, role }) })))
  const [lead, ana, ben, eve] = people
  lead.edit.seed('retro')
  lead.edit.setMeta({ title: 'Sprint 41' })
  const card = ana.edit.addItem({ text: 'ana\'s', column: 'well' })
  await saved(lead, ana)
  await eventually('all have it', () => people.every((one) => one.get('items', card) && one.state.meta.title === 'Sprint 41'))
  const refused = (edit) => assert.throws(edit, { name: 'RuangError', code: 'not-allowed' })
  refused(() => ben.edit.deleteItem(card))
  refused(() => ben.edit.setMeta({ title: 'Ben\'s' }))
  refused(() => eve.edit.vote(card, 1))
  refused(() => eve.edit.moveItem(card, { x: 1, y: 1 }))
  ben.edit.setItemText(card, 'better said by ben')
  ben.edit.vote(card, 2)
  ana.edit.vote(card, 1)
  await saved(ben, ana)
  lead.edit.deleteItem(card)
  await saved(lead)
  lead.edit.undo()
  await saved(lead)
  await eventually('all agree', () => people.every((one) => isDeepStrictEqual(shown(one), shown(lead))))
  assert.equal(eve.get('items', card).text, 'better said by ben')
  assert.deepEqual(eve.state.allUserVotes, { 'editor 1': { [card]: 1 }, 'editor 2': { [card]: 2 } })
  assert.deepEqual(people.map((one) => one.connection.refused), [0, 0, 0, 0])
})

test('[C37] on a board, what its rules forbid is taken back for all, whoever wrote it is told why, and the rest stays', async (t) => {
  const server = await guarded(t, ['--boards', '*'])
  const ana = await synced(t, server, { token: sign({ sub: 'ana', role: 'facilitator' }) })
  ana.edit.setMeta({ title: 'Ours', voteLimit: 2 })
  const card = ana.edit.addItem({ text: 'ana\'s' })
  await saved(ana)
  // Written offline by a facilitator, who is an editor only when it comes.
  const eve = await client(t, server, { connect: false, token: sign({ sub: 'eve', role: 'facilitator' }) })
  const told = []
  eve.on('refused', (refusal) => told.push(refusal))
  eve.edit.setMeta({ title: 'Mine' })
  const own = eve.edit.addItem({ text: 'eve\'s' })
  eve.setToken(sign({ sub: 'eve', role: 'editor' }))
  eve.connect()
  await eventually('eve is told', () => told.length > 0)
  await saved(eve)
  await eventually('all agree', () => isDeepStrictEqual(shown(ana), shown(eve)))
  console.log(told)
  assert.equal(eve.state.meta.title, 'Ours')
  assert.deepEqual([...eve.get('itemIds')].sort(), [card, own].sort())
  assert.ok(told[0].reason.length > 10)
  assert.ok(eve.connection.refused >= 1)
})

test('[C33] presence is sent at most every 50 ms, the last state always; a member that is undefined is taken off', async (t) => {
  const server = await Server.start(t)
  const ana = await synced(t, server, { name: 'Ana', color: '#112233' })
  const ben = await synced(t, server, { user: 'ben' })
  let changes = 0
  ben.presence.subscribe(() => { changes += 1 })
  const from = performance.now()
  for (let n = 0; performance.now() - from < 1_000; n++) {
    ana.presence.set({ cursor: { x: n, y: 0 }, mood: 'fine' })
    await new Promise(setImmediate)
  }
  ana.presence.set({ cursor: { x: -1, y: -1 }, mood: undefined })
  await eventually('the last one', () => ben.presence.others[0]?.state.cursor?.x === -1)
  console.log(`${changes} changes seen of a second of moves`)
  assert.ok(changes > 1 && changes < 40, `${changes}`)
  const [present] = ben.presence.others
  assert.deepEqual([present.user, present.name, present.color, present.state.mood], ['ana', 'Ana', '#112233', undefined])
  assert.equal(ben.presence.all, ben.presence.all)
  assert.deepEqual(ben.state.participants.map(({ user, online }) => [user, online]), [['ana', true], ['ben', true]])
  await ana.close()
  await eventually('ana is gone', () => ben.presence.others.length === 0)
  assert.deepEqual(ben.state.participants.map(({ user, online }) => [user, online]), [['ana', false], ['ben', true]])
})

test('[C40] two tabs of one person vote at once: both show the same votes, within the limit', async (t) => {
  const server = await Server.start(t)
  const one = await synced(t, server)
  const two = await synced(t, server)
  one.edit.setMeta({ voteLimit: 3 })
  const cards = ['a', 'b', 'c', 'd'].map((id) => one.edit.addItem({ text: id, id }))
  await saved(one)
  await eventually('both have them', () => two.get('itemIds').length === 4)
  one.disconnect()
  two.disconnect()
  one.edit.vote('a', 2)
  two.edit.vote('b', 2)
  two.edit.vote('a', 1)
  one.connect()
  two.connect()
  await saved(one, two)
  await eventually('they agree', () => JSON.stringify(one.state.allUserVotes) === JSON.stringify(two.state.allUserVotes))
  const votes = one.get('allUserVotes', 'ana')
  console.log(votes)
  assert.equal(Object.values(votes).reduce((a, b) => a + b), 3)
  assert.equal(cards.length, 4)
})

test('[C32] the server\'s clock is known after a sync, and a timer\'s end is measured by it', async (t) => {
  const server = await Server.start(t)
  const ana = await synced(t, server)
  ana.edit.seed('retro')
  await eventually('the clock is known', () => ana.clock.isKnown)
  console.log(`offset ${ana.clock.offsetMs} ± ${ana.clock.uncertaintyMs} ms`)
  assert.ok(Math.abs(ana.clock.offsetMs) <= ana.clock.uncertaintyMs + 50)
  assert.ok(ana.clock.uncertaintyMs < 5_000)
  ana.edit.setMeta({ timerEndsAt: Math.round(ana.clock.now()) + 60_000 })
  assert.ok(ana.state.meta.timerEndsAt - ana.clock.now() <= 60_001)
})
