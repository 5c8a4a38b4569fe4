// The browser's core and the server have one code for boards: here they are held to it from outside. Rule B31 of
// docs/RULES.md.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { Random, SEED } from '../lib/random.mjs'
import { scribble } from '../lib/scribble.mjs'
import { Server } from '../lib/server.mjs'
import { SECRET, sign } from '../lib/tokens.mjs'
import { core } from '../lib/wasm.mjs'

const PARTS = ['meta', 'items', 'itemPositions', 'itemGroups', 'groups', 'signatureColors', 'actionItems', 'allUserVotes']

const parts = (state) => Object.fromEntries(PARTS.map((part) => [part, JSON.stringify(state[part])]))

let ids = 1

/** A core that holds a document, as somebody. */
async function holding (update, user, role) {
  const { Client } = await core()
  const client = new Client({ room: 'board', clientId: 1_000 + ids++, user, role, identified: true })
  client.load(update, 0)
  return client
}

async function ask (server, path, { token, ...options } = {}) {
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) }
  return fetch(`http://127.0.0.1:${server.port}/api/v1/rooms/${path}`, { ...options, headers })
}

const edited = (server, token, edit) => ask(server, 'board/edits', {
  token, method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(edit)
})

const documentOf = async (server, token) => new Uint8Array(await (await ask(server, 'board/update', { token })).arrayBuffer())

test('[B31] what the core shows of any document is what the server shows, byte for byte', async (t) => {
  const server = await Server.start(t, { env: { RUANG_BOARDS: '*' } })
  const random = new Random(SEED)
  const doc = new Y.Doc()
  for (let round = 0; round < 40; round++) {
    doc.transact(() => { for (let n = random.below(12); n >= 0; n--) scribble(random, doc) })
    const update = Y.encodeStateAsUpdate(doc)
    const stored = await ask(server, 'board/update', {
      method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: update
    })
    assert.ok(stored.ok, await stored.text())
    const shown = await (await ask(server, 'board?as=board')).json()
    const client = await holding(await documentOf(server), 'ann', 'admin')
    assert.deepEqual(parts(client.state()), parts(shown), `seed ${SEED}, round ${round}`)
  }
})

test('[B31] what the core lets somebody do the server lets them do, and refuses with the same words', async (t) => {
  const server = await Server.start(t, { env: { RUANG_AUTH_KEY: SECRET, RUANG_BOARDS: '*' } })
  const lead = sign({ sub: 'lea', role: 'facilitator' })
  /** Ann's card and Bob's, a group, an action item: those that somebody has taken away again. */
  const begin = async () => {
    await edited(server, sign({ sub: 'ann' }), { type: 'addItem', id: 'anns', text: 'text of anns' })
    await edited(server, sign({ sub: 'bob' }), { type: 'addItem', id: 'bobs', text: 'text of bobs' })
    const shared = [{ type: 'setGroup', id: 'g', title: 'G' }, { type: 'setActionItem', id: 'x', text: 'do' }]
    assert.ok((await edited(server, lead, shared)).ok)
    const { items } = await (await ask(server, 'board?as=board', { token: lead })).json()
    assert.deepEqual(Object.values(items).map(({ author }) => author), ['ann', 'bob'])
  }
  const edits = [
    { type: 'setItemText', id: 'none', text: 'nowhere' },
    { type: 'setItemText', id: 'bobs', text: 'by another' },
    { type: 'setItemColumn', id: 'bobs', column: 'well' },
    { type: 'moveItem', id: 'bobs', position: { x: 1, y: 2 } },
    { type: 'setItemGroup', id: 'bobs', group: 'g' },
    { type: 'vote', target: 'bobs', count: 2 },
    { type: 'setSignatureColor', signature: 's', color: '#336699' },
    { type: 'setActionItem', id: 'x', text: 'done', done: true },
    { type: 'setGroup', id: 'g', title: 'H', order: 1 },
    { type: 'setMeta', title: 'T' },
    { type: 'setMeta', phase: 'vote', hideCards: false },
    { type: 'deleteItem', id: 'bobs' },
    { type: 'deleteItem', id: 'anns' },
    { type: 'deleteGroup', id: 'g' },
    { type: 'deleteActionItem', id: 'x' }
  ]
  const table = []
  for (const [user, role] of [['ann', 'editor'], ['bob', 'editor'], ['lea', 'facilitator']]) {
    await begin()
    for (const edit of edits) {
      // Each on the document as it is: what was allowed stays.
      const client = await holding(await documentOf(server, lead), user, role)
      let here = { code: 'allowed' }
      try {
        client.edit(edit, Date.now())
      } catch (error) {
        here = error
      }
      const answer = await edited(server, sign({ sub: user, role }), edit)
      const said = await answer.json()
      const there = answer.ok ? { code: 'allowed' } : said.error
      table.push(`${role.padEnd(12)}${user.padEnd(5)}${edit.type.padEnd(18)}${there.code}`)
      assert.equal(answer.status, { allowed: 200, not_allowed: 403, not_there: 400 }[here.code], table.at(-1))
      assert.equal(here.message && `edit 0: ${here.message}`, there.message, table.at(-1))
      if (answer.ok) {
        const shown = await (await ask(server, 'board?as=board', { token: lead })).json()
        assert.deepEqual(parts(client.state()), parts(shown), table.at(-1))
      }
    }
  }
  console.log(table.join('\n'))
  for (const code of ['allowed', 'card_of_another', 'meta_is_the_facilitators', 'bad_edit']) {
    assert.ok(table.some((row) => row.includes(code)), `${code} came up`)
  }
})
