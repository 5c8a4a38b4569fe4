// What bad input gets: the document is refused, or the socket; others are not harmed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from '../lib/server.mjs'
import { Y, converged } from '../lib/client.mjs'
import { AUTH, CLOSE, Raw, STATELESS, each, join, saved, step1, sync, synced, text, token } from '../lib/hocuspocus.mjs'
import { eventually, never } from '../lib/wait.mjs'

const denials = (raw, name) => raw.of(name, AUTH, 1).map(({ text }) => text)

test('[W22] what is malformed for one document, or for servers only, ends that document and not the socket', async (t) => {
  const server = await Server.start(t)
  const honest = join(t, server, 'hostile', 4)
  await synced(honest)
  honest.doc.getMap('map').set('honest', 1)
  await saved(honest)
  const attacks = {
    'a Step1 that is none': (name) => sync(name, 0, new Uint8Array([1, 2])),
    'an Update that is none': (name) => sync(name, 2, new Uint8Array([1, 1, 7])),
    'a Step2 that is none': (name) => sync(name, 1, new Uint8Array([255])),
    'an Update in V2': (name) => sync(name, 2, Y.encodeStateAsUpdateV2(honest.doc)),
    'a sync message of kind 3': (name) => sync(name, 3, new Uint8Array()),
    'presence that is none': (name) => new Uint8Array([...text(name, 1), 2, 1, 7]),
    'presence that is no JSON': (name) => new Uint8Array([...text(name, 1), 5, 1, 7, 1, 1, 0x7b]),
    'a SyncReply': (name) => new Uint8Array([...text(name, 4), 0, 1, 0]),
    'a BroadcastStateless': (name) => text(name, 6, 'from the server, honestly'),
    'a stateless message that is no text': (name) => new Uint8Array([...text(name, STATELESS), 1, 0xff]),
    'a stateless message that is too long': (name) => text(name, STATELESS, 'x'.repeat(20_000))
  }
  for (const version of [undefined, '4.8.0']) {
    const raw = await Raw.open(t, server)
    await raw.joined('beside', { version })
    const enter = async (what, times) => {
      raw.send(token('hostile', '', version), step1('hostile'))
      await eventually(`${what}: let in`, () => raw.of('hostile', AUTH, 2).length === times)
    }
    await enter('at first', 1)
    for (const [n, [what, attack]] of Object.entries(attacks).entries()) {
      raw.send(attack('hostile'))
      await eventually(`${what}: refused`, () => denials(raw, 'hostile').length === n + 1)
      // All that is said of the end has been said when it is let in again. CLOSE only to clients that say their version:
      // version 2 throws.
      await enter(what, n + 2)
      assert.equal(raw.of('hostile', CLOSE).length, version ? n + 1 : 0, what)
    }
    raw.send(sync('beside', 2, new Uint8Array([0, 0])))
    await eventually('the document beside it goes on', () => raw.statuses('beside').length === 2)
    assert.equal(raw.closed, undefined)
  }
  const late = join(t, server, 'hostile', 3)
  await synced(late)
  await converged([honest, late])
  assert.deepEqual(honest.stateless, [], 'nobody speaks for the server')
  assert.equal(honest.socket.opened, 1)
})

test('[W22] frames that are for no document end the socket with a final code', async (t) => {
  const server = await Server.start(t)
  const frames = {
    'an empty frame': new Uint8Array(),
    'half a name': new Uint8Array([9, 0x61]),
    'a name and nothing behind it': new Uint8Array([1, 0x61]),
    'a name that is no text': new Uint8Array([2, 0xc3, 0x28, 7]),
    'a name of 300 bytes': text('x'.repeat(300), 7),
    'a token of 100 KB': token('a', 'x'.repeat(100_000)),
    'text instead of bytes': 'hello'
  }
  for (const [what, frame] of Object.entries(frames)) {
    const raw = await Raw.open(t, server)
    raw.send(frame)
    const { code, reason } = await raw.ends()
    assert.equal(code, 4400, `${what}: ${reason}`)
  }
})

test('[W21] names: what cannot be a room is refused by its name, and a NUL ends the room\'s part of it', async (t) => {
  const server = await Server.start(t)
  const raw = await Raw.open(t, server)
  const refused = ['', '\0', '\0session', 'line\nend', 'escape\x1b', 'x'.repeat(129), `${'x'.repeat(129)}\0s`]
  for (const name of refused) {
    raw.send(token(name, ''))
    await eventually(`${JSON.stringify(name)} is refused`, () => denials(raw, name).length === 1)
  }
  const same = ['room', 'room\0', 'room\0one', 'room\0one\0two', `room\0${'s'.repeat(64)}`]
  for (const name of same) {
    const doc = await raw.joined(name)
    doc.getMap('map').set(name, 1)
    raw.send(sync(name, 2, Y.encodeStateAsUpdate(doc)))
    await eventually(`${JSON.stringify(name)} is told under its own name`, () => raw.statuses(name).length === 2)
  }
  const plain = join(t, server, 'room', 4)
  await synced(plain)
  assert.deepEqual([...plain.doc.getMap('map').keys()].sort(), same.slice().sort())
})

test('[W26] before a token: messages, bytes and documents are bounded, and no room is made', async (t) => {
  const server = await Server.start(t)
  const edit = (name) => sync(name, 2, new Uint8Array([0, 0]))
  const many = await Raw.open(t, server)
  for (let n = 0; n < 1_100; n++) many.send(edit('flood'))
  assert.equal((await many.ends()).code, 4413)
  const large = await Raw.open(t, server)
  for (let n = 0; n < 6; n++) large.send(sync('flood', 2, new Uint8Array(1 << 20)))
  assert.equal((await large.ends()).code, 4413)
  const one = await Raw.open(t, server)
  one.send(sync('flood', 2, new Uint8Array(6 << 20)))
  assert.equal((await one.ends()).code, 4413, 'in one piece')
  const wide = await Raw.open(t, server)
  for (let n = 0; n < 300; n++) wide.send(edit(`flood-${n}`))
  await eventually('the 101st is denied', () => wide.messages.filter(({ type, kind }) => type === AUTH && kind === 1).length === 200)
  assert.equal(await server.metric('rooms_open'), 0)
  await eventually('the others after 10 s', () => denials(wide, 'flood-0').length === 1, { within: 14_000 })
  assert.match(denials(wide, 'flood-0')[0], /no token/)
  assert.equal(wide.closed, undefined)
})

test('[W32] a ping of one byte is answered with a pong of one byte', async (t) => {
  const server = await Server.start(t)
  const raw = await Raw.open(t, server)
  raw.send(new Uint8Array([9]), new Uint8Array([10]))
  await eventually('a pong', () => raw.messages.length === 1)
  assert.deepEqual([...raw.messages[0].frame], [10])
})

for (const { version } of each) {
  test(`[W33] version ${version}: a room that was deleted is told as a denial; the socket and its other documents stay`, async (t) => {
    const server = await Server.start(t)
    const gone = join(t, server, 'gone', version)
    const kept = join(t, server, 'kept', version, { socket: gone.socket })
    await synced(gone, kept)
    gone.doc.getMap('map').set('a', 1)
    await saved(gone, kept)
    const answer = await fetch(`${server.http}/api/v1/rooms/gone`, { method: 'DELETE' })
    assert.equal(answer.status, 204)
    await eventually('told', () => gone.failures.length === 1)
    assert.match(gone.failures[0], /deleted/)
    gone.doc.getMap('map').set('b', 1)
    kept.doc.getMap('map').set('c', 1)
    await saved(kept)
    await never('a second word', () => gone.failures.length > 1, 500)
    assert.equal(gone.socket.opened, 1)
  })
}
