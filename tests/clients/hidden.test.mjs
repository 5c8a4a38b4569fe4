// Hidden cards, as unmodified providers bring what was changed in them while they were away.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { Y, crash, join, synced } from './lib/client.mjs'
import * as hocuspocus from './lib/hocuspocus.mjs'
import { Server } from './lib/server.mjs'
import { SECRET, sign } from './lib/tokens.mjs'
import { eventually } from './lib/wait.mjs'

const serve = (t) => Server.start(t, { args: ['--boards', 'retro'], env: { RUANG_AUTH_KEY: SECRET } })
const tokenOf = (sub, role) => sign({ sub, role, room: 'retro', seconds: 600 })

function addCard (doc, id, text) {
  doc.transact(() => {
    const card = new Y.Map()
    card.set('text', text)
    card.set('author', 'ann')
    doc.getMap('items').set(id, card)
  })
}

const text = (doc, id) => doc.getMap('items').get(id)?.get('text')?.toString()

const reconnect = (provider) => provider.connect()
const kinds = [
  ['y-websocket 3', (t, server, options) => join(t, server, 'retro~ann', options), crash, ({ provider }) => reconnect(provider)],
  ['y-websocket 1.5', (t, server, options) => join(t, server, 'retro~ann', { ...options, Provider: Provider1 }), crash, ({ provider }) => reconnect(provider)],
  ...[2, 3, 4].map((version) => [
    `Hocuspocus ${version}`,
    (t, server, { params }) => hocuspocus.join(t, server, 'retro~ann', version, { token: params.token }),
    ({ socket }) => socket.disconnect(),
    ({ socket }) => socket.connect()
  ])
]

for (const [name, enter, leave, comeBack] of kinds) {
  test(`[B70, B72] ${name}: cards are changed on a plane, and are on the board after the landing`, async (t) => {
    const server = await serve(t)
    const fay = join(t, server, 'retro', { params: { token: tokenOf('fay', 'facilitator') } })
    await synced(fay)
    fay.doc.getMap('meta').set('hideCards', true)
    const ann = enter(t, server, { params: { token: tokenOf('ann', 'editor') } })
    await eventually('the draft is synced', () => ann.provider.synced)
    addCard(ann.doc, 'plain', 'before')
    addCard(ann.doc, 'typed', new Y.Text('milk'))
    addCard(ann.doc, 'both', 'before')
    const headers = { Authorization: `Bearer ${tokenOf('fay', 'facilitator')}` }
    const ask = async (method, rest) => (await fetch(`${server.http}/api/v1/rooms/retro${rest}`, { method, headers })).json()
    await eventually('the cards are stored', async () => (await ask('GET', '/hidden')).hidden.ann === 3)
    leave(ann)
    ann.doc.getMap('items').get('plain').set('text', 'on a plane')
    ann.doc.getMap('items').get('both').set('text', 'hers')
    ann.doc.getMap('items').get('typed').get('text').insert(4, ' and eggs')
    assert.equal((await ask('POST', '/reveal')).cards, 3)
    await eventually('the cards are on the board', () => fay.doc.getMap('items').size === 3)
    fay.doc.getMap('items').get('typed').get('text').insert(0, 'fresh ')
    fay.doc.getMap('items').get('both').set('text', 'fays')
    await eventually('so is what fay does', async () => (await ask('GET', '')).items.both.text === 'fays')

    comeBack(ann)
    await eventually('the plain text', () => text(fay.doc, 'plain') === 'on a plane')
    await eventually('the shared text', () => text(fay.doc, 'typed') === 'fresh milk and eggs')
    await eventually('two cards of the one', () => fay.doc.getMap('items').size === 4)
    const beside = [...fay.doc.getMap('items').keys()].find((id) => id.startsWith('both-'))
    assert.deepEqual([text(fay.doc, 'both'), text(fay.doc, beside)], ['fays', 'hers'])
    assert.equal(fay.doc.getMap('items').get(beside).get('author'), 'ann')
    await eventually('the draft is empty', () => ann.doc.getMap('items').size === 0)
    // Of the providers that count: what the server asks first is told of as ever.
    if (ann.counts) await eventually('nothing is unsynced', () => ann.provider.unsyncedChanges === 0)
    t.diagnostic(JSON.stringify(fay.doc.getMap('items').toJSON()))
  })
}
