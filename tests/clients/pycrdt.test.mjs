// pycrdt (Python on yrs) with its own provider, against the real server and beside Yjs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { converged, join, synced } from './lib/client.mjs'
import { Pycrdt } from './lib/pycrdt.mjs'
import { Server } from './lib/server.mjs'
import { eventually } from './lib/wait.mjs'

/** Waits until all hold what pycrdt holds, and nothing else. */
const same = async (python, ...clients) => {
  let doc = await python.doc()
  await eventually('pycrdt and Yjs hold the same', async () => {
    doc = await python.doc()
    return converged([doc, ...clients], { within: 1 }).then(() => true, () => false)
  })
  return doc
}

test('[O70] pycrdt and Yjs share a room: edits, presence, offline and back, over a restart', async (t) => {
  const server = await Server.start(t)
  const python = await Pycrdt.join(t, server, 'team/py')
  await python.synced()
  const js = join(t, server, 'team/py')
  await synced(js)

  await python.set('from', 'pycrdt')
  await python.push({ card: 1 })
  await python.insert(0, 'héllo')
  js.doc.getMap('map').set('too', 'yjs')
  await same(python, js)
  assert.deepEqual(js.doc.getArray('array').toJSON(), [{ card: 1 }])
  assert.equal(js.doc.getText('text').toString(), 'héllo')
  assert.deepEqual((await python.content()).map, { from: 'pycrdt', too: 'yjs' })

  await python.presence({ user: { name: 'Py' } })
  js.awareness.setLocalState({ user: { name: 'Js' } })
  await eventually('they see each other', async () =>
    js.awareness.getStates().get(python.clientID)?.user.name === 'Py' &&
      (await python.who())[js.doc.clientID]?.user.name === 'Js')

  await python.offline()
  await python.set('offline', true)
  js.doc.getMap('map').delete('from')
  await server.kill()
  await server.startAgain()
  await python.online()
  await same(python, js)
  assert.deepEqual(js.doc.getMap('map').toJSON(), { too: 'yjs', offline: true })
  await eventually('they see each other again', async () =>
    js.awareness.getStates().has(python.clientID) && (await python.who())[js.doc.clientID] !== undefined)
  await python.end()
  await eventually('who has left is not seen any more', () => !js.awareness.getStates().has(python.clientID), { within: 20_000 })
})

test('[O70] pycrdt stops at a final close, and comes back after others', async (t) => {
  const server = await Server.start(t)
  const python = await Pycrdt.join(t, server, 'r')
  await python.synced()
  await python.set('k', 1)
  await server.kill('SIGTERM')
  await server.startAgain()
  await eventually('it is back', () => python.connects === 2)
  await python.synced()
  const gone = await fetch(`${server.http}/api/v1/rooms/r`, { method: 'DELETE' })
  assert.equal(gone.status, 204)
  await eventually('it is sent away for good', () => python.closes.at(-1) === 4409)
})
