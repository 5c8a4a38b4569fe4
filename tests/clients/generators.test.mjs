// Random histories of real clients against the whole server. A failing run prints its seed:
//   RUANG_TEST_SEED=123 node --test generators.test.mjs
// (timing differs between runs, so a seed repeats the edits, not the exact interleaving).
// RUANG_TEST_ROUNDS makes it longer, RUANG_TEST_PATIENCE=10 gives ten times as long.

import { test } from 'node:test'
import * as Y14 from '@y/y'
import { WebsocketProvider as Provider14 } from '@y/websocket'
import { WebsocketProvider as Provider1 } from 'y-websocket-1'
import { Awareness as Awareness14 } from '@y/protocols/awareness'
import { Server } from './lib/server.mjs'
import { Y, converged, join, leave, newcomerSees, synced } from './lib/client.mjs'
import * as edits13 from './lib/edits13.mjs'
import * as edits14 from './lib/edits14.mjs'
import { Random, SEED } from './lib/random.mjs'
import { eventually, sleep } from './lib/wait.mjs'

const ROUNDS = Number(process.env.RUANG_TEST_ROUNDS ?? 60)
const EDITORS = 5
const READERS = 2
const DRAG = 600
const TIMEOUT_MS = 180_000 * Number(process.env.RUANG_TEST_PATIENCE ?? 1)

/** Everyone edits; sometimes someone's line breaks, or someone works offline, for long drags too. */
async function history (editors, random, { drag, randomEdit }) {
  for (let round = 0; round < ROUNDS; round++) {
    for (const { doc, undo, provider } of editors) {
      for (let n = random.below(6); n > 0; n--) randomEdit(doc, undo, random)
      if (random.chance(0.06)) provider.disconnect()
      else if (random.chance(0.3)) provider.connect()
      else if (random.chance(0.03)) provider.ws?.terminate()
    }
    if (round === Math.floor(ROUNDS / 2)) {
      const away = editors.slice(0, 2) // two drag the same thing, offline
      for (const { provider } of away) provider.disconnect()
      for (const { doc } of away) drag(doc, DRAG, random)
    }
    await sleep(random.below(15))
  }
  for (const { provider } of editors) provider.connect()
}

/** One tab tells another of the same browser without the server, and out of order: pending structs, Skips in a Step2. */
function whisper (from, to, random) {
  const updates = []
  from.doc.on('update', (update, origin) => { if (origin !== from.provider) updates.push(update) })
  return () => {
    if (updates.length < 4) return
    Y.applyUpdate(to.doc, updates[updates.length - 1 - random.below(2)], to.provider)
  }
}

test('[S3] Yjs 13: random histories of all types converge, for a newcomer and over a restart too', { timeout: TIMEOUT_MS }, async (t) => {
  t.diagnostic(`seed ${SEED}`)
  const random = new Random(SEED)
  const server = await Server.start(t)
  const editors = Array.from({ length: EDITORS }, (_, n) => join(t, server, 'random', n === 1 ? { Provider: Provider1 } : {}))
  // Readers never edit, but they declare the text, and Yjs lets them delete superfluous formats.
  const readers = Array.from({ length: READERS }, () => join(t, server, 'random'))
  for (const client of [...editors, ...readers]) edits13.declare(client.doc)
  for (const client of editors) client.undo = edits13.undoManager(client.doc)
  await synced(...editors, ...readers)
  const tell = whisper(editors[2], editors[3], random)
  const timer = setInterval(tell, 20)
  t.after(() => clearInterval(timer))
  await history(editors, random, edits13)
  clearInterval(timer)
  const all = [...editors, ...readers]
  await eventually(`all are back (seed ${SEED})`, () => all.every(({ provider }) => provider.synced))
  await converged(all, { detail: () => `seed ${SEED}`, within: 30_000, cutPairs: true })
  await newcomerSees(t, server, 'random', all, { cutPairs: true })
  await server.kill()
  await server.startAgain()
  await newcomerSees(t, server, 'random', all, { cutPairs: true })
})

function join14 (t, server, room) {
  const doc = new Y14.Doc()
  const awareness = new Awareness14(doc)
  const provider = new Provider14(server.ws, room, doc, { WebSocketPolyfill: WebSocket, disableBc: true, awareness })
  provider.on('connection-error', () => {})
  t.after(() => leave({ provider, awareness, doc }))
  edits14.declare(doc)
  return { doc, awareness, provider }
}

async function converged14 (clients) {
  let why
  await eventually('all Yjs 14 clients hold the same document', () => {
    why = clients.map(({ doc }) => edits14.difference(clients[0].doc, doc)).find((found) => found !== null)
    return why === undefined
  }, { within: 30_000, detail: () => `${why} seed ${SEED}` })
}

test('[W6] Yjs 14: random histories converge, for a newcomer and over a restart too', { timeout: TIMEOUT_MS }, async (t) => {
  t.diagnostic(`seed ${SEED}`)
  const random = new Random(SEED + 1)
  const server = await Server.start(t)
  const editors = Array.from({ length: EDITORS }, () => join14(t, server, 'random14'))
  for (const client of editors) client.undo = edits14.undoManager(client.doc)
  const reader = join14(t, server, 'random14')
  await synced(...editors, reader)
  await history(editors, random, edits14)
  await eventually('all are back', () => editors.every(({ provider }) => provider.synced))
  await converged14([...editors, reader])
  for (let restarts = 0; restarts < 2; restarts++) {
    const newcomer = join14(t, server, 'random14')
    await synced(newcomer)
    await converged14([newcomer, ...editors])
    await server.kill()
    await server.startAgain()
  }
})

test('[W6] Yjs 13 and Yjs 14 in one room: each version agrees among its own, all have everything', { timeout: TIMEOUT_MS }, async (t) => {
  t.diagnostic(`seed ${SEED}`)
  const random = new Random(SEED + 2)
  const server = await Server.start(t)
  const thirteen = [0, 1, 2].map(() => join(t, server, 'mixed'))
  const fourteen = [0, 1].map(() => join14(t, server, 'mixed'))
  await synced(...thirteen, ...fourteen)
  for (let round = 0; round < ROUNDS; round++) {
    for (const [clients, set] of [
      [thirteen, (doc, key, value) => doc.getMap('map').set(key, value)],
      [fourteen, (doc, key, value) => doc.get('map').setAttr(key, value)]
    ]) {
      for (const { doc, provider } of clients) {
        set(doc, random.pick(['a', 'b', 'c']), random.below(1000))
        const text = doc instanceof Y.Doc ? doc.getText('text') : doc.get('text')
        if (text.length > 3 && random.chance(0.3)) text.delete(random.below(text.length - 2), 2)
        else text.insert(random.below(text.length + 1), 'word')
        if (random.chance(0.05)) provider.disconnect()
        else provider.connect()
      }
    }
    await sleep(random.below(10))
  }
  for (const { provider } of [...thirteen, ...fourteen]) provider.connect()
  await eventually('all are back', () => [...thirteen, ...fourteen].every(({ provider }) => provider.synced))
  await converged(thirteen, { within: 30_000 })
  await converged14(fourteen)
  await eventually('both versions show the same', () =>
    thirteen[0].doc.getText('text').toString() === fourteen[0].doc.get('text').toString() &&
    ['a', 'b', 'c'].every((key) => thirteen[0].doc.getMap('map').get(key) === fourteen[0].doc.get('map').getAttr(key)))
  await newcomerSees(t, server, 'mixed', thirteen)
})
