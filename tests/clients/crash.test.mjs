// kill -9: whatever anyone but its author had seen is there after a restart.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from './lib/server.mjs'
import { Y, converged, holds, join, leave, newcomerSees, synced } from './lib/client.mjs'
import { ACK, Raw, UPDATE, step1, sync } from './lib/raw.mjs'
import { eventually, sleep } from './lib/wait.mjs'

const KILLS = Number(process.env.RUANG_TEST_KILLS ?? 5)

/** Types into everything until told to stop: small edits, some of them deletions. */
function typing (t, { doc }, name) {
  let n = 0
  const timer = setInterval(() => {
    n++
    doc.getText('text').insert(doc.getText('text').length, `${name}${n} `)
    doc.getMap('map').set(`${name}-${n % 10}`, n)
    doc.getArray('array').push([n])
    if (n % 5 === 0) doc.getArray('array').delete(0, 1)
  }, 2)
  const stop = () => clearInterval(timer)
  t.after(stop)
  return stop
}

test(`[R1] kill -9 while two people type, ${KILLS} times: a newcomer finds all that a third person had seen`, async (t) => {
  const server = await Server.start(t)
  for (let round = 0; round < KILLS; round++) {
    const room = `killed-${round}`
    const [one, two, watcher] = [0, 1, 2].map(() => join(t, server, room))
    await synced(one, two, watcher)
    const stops = [typing(t, one, 'a'), typing(t, two, 'b')]
    await eventually('the watcher sees edits', () => watcher.doc.getArray('array').length > 30 + 20 * round)
    await server.kill()
    // What the watcher had received when the server was gone; then nobody is left to bring it back.
    const seen = Y.snapshot(watcher.doc)
    stops.forEach((stop) => stop())
    const length = watcher.doc.getText('text').length
    for (const client of [one, two, watcher]) leave(client)
    await server.startAgain()
    const newcomer = join(t, server, room)
    await synced(newcomer)
    assert.ok(length > 0)
    assert.ok(holds(newcomer.doc, seen), `round ${round}: something that the watcher had seen is gone`)
    leave(newcomer)
  }
})

test('[R1] after kill -9 and a restart the clients return by themselves, go on, and agree', async (t) => {
  const server = await Server.start(t)
  const clients = [0, 1, 2].map(() => join(t, server, 'return'))
  await synced(...clients)
  const stops = clients.map((client, n) => typing(t, client, 'abc'[n]))
  for (let round = 0; round < 2; round++) {
    await sleep(300)
    await server.kill()
    await sleep(300) // they type on, offline
    await server.startAgain()
    await eventually('all have returned', () => clients.every(({ provider }) => provider.synced))
  }
  stops.forEach((stop) => stop())
  await converged(clients)
  await newcomerSees(t, server, 'return', clients)
  // A process that is asked to end is no different.
  await server.kill('SIGTERM')
  await server.startAgain()
  await eventually('all have returned', () => clients.every(({ provider }) => provider.synced))
  await newcomerSees(t, server, 'return', clients)
})

test('[R1] several restarts with nobody there: the room is complete each time', async (t) => {
  const server = await Server.start(t)
  const author = join(t, server, 'empty')
  await synced(author)
  author.doc.getText('text').insert(0, 'kept')
  author.doc.getMap('map').set('a', 1)
  author.doc.getMap('map').delete('a')
  author.doc.getArray('array').push([1, 2, 3])
  author.doc.getArray('array').delete(0, 1)
  await newcomerSees(t, server, 'empty', [author])
  author.provider.disconnect()
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL']) {
    await server.kill(signal)
    await server.startAgain()
    await newcomerSees(t, server, 'empty', [author])
  }
})

test(`[R10] what was acknowledged (ruang.v1) is there after kill -9, ${KILLS} times`, async (t) => {
  const server = await Server.start(t)
  for (let round = 0; round < KILLS; round++) {
    const room = `acked-${round}`
    const raw = await Raw.open(t, server, room, { protocols: ['ruang.v1'] })
    const doc = await raw.synced()
    const states = [] // after the n-th Update, what the document held
    doc.on('update', (update) => {
      states.push(Y.snapshot(doc))
      raw.send(sync(UPDATE, update))
    })
    const acked = () => Math.max(0, ...raw.messages.filter(({ type }) => type === ACK).map(({ count }) => count))
    const timer = setInterval(() => {
      doc.getArray('array').push([states.length])
      doc.getMap('map').set('last', states.length)
      if (states.length % 7 === 0) doc.getArray('array').delete(0, 1)
    }, 1)
    t.after(() => clearInterval(timer))
    await eventually('acknowledgements', () => acked() > 20 + 20 * round)
    await server.kill()
    clearInterval(timer)
    const count = acked()
    await server.startAgain()
    const newcomer = join(t, server, room)
    await synced(newcomer)
    assert.ok(holds(newcomer.doc, states[count - 1]), `round ${round}: update ${count} was acknowledged and is gone`)
    leave(newcomer)
  }
})

test('[R1] a newcomer is never shown what a restart forgets: it asks in the middle of the typing', async (t) => {
  const server = await Server.start(t)
  const author = join(t, server, 'step2')
  await synced(author)
  const stop = typing(t, author, 'x')
  await eventually('edits', () => author.doc.getArray('array').length > 50)
  const raw = await Raw.open(t, server, 'step2')
  raw.send(step1())
  await eventually('a Step2', () => raw.syncs(1).length > 0)
  await server.kill()
  stop()
  const shown = new Y.Doc()
  for (const { payload } of [...raw.syncs(1), ...raw.syncs(2)]) Y.applyUpdate(shown, payload)
  const seen = Y.snapshot(shown)
  leave(author)
  await server.startAgain()
  const newcomer = join(t, server, 'step2')
  await synced(newcomer)
  assert.ok(holds(newcomer.doc, seen), 'something that a Step2 had shown is gone')
})
