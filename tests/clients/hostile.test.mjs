// Hostile clients in the room where four honest ones edit: the honest notice nothing.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Server } from './lib/server.mjs'
import { converged, join, newcomerSees, synced } from './lib/client.mjs'
import { listed, made, randomised } from './lib/hostile.mjs'
import { Random, SEED } from './lib/random.mjs'
import { Raw, step1 } from './lib/raw.mjs'
import { eventually, never } from './lib/wait.mjs'

const MEMORY_MIB_MAX = 1_024
const ROOM_INPUTS = 3_000
const TIMEOUT_MS = 300_000 * Number(process.env.RUANG_TEST_PATIENCE ?? 1)

/** Four people who edit and look at each other's edits, and one in another room. */
async function people (t, server) {
  const four = [0, 1, 2, 3].map(() => join(t, server, 'room'))
  const elsewhere = join(t, server, 'elsewhere')
  await synced(...four, elsewhere)
  elsewhere.doc.getMap('map').set('here', 'untouched')
  let n = 0
  const timer = setInterval(() => {
    const { doc } = four[n++ % 4]
    doc.getArray('array').push([n])
    doc.getText('text').insert(0, 'x')
    if (doc.getArray('array').length > 50) doc.getArray('array').delete(0, 10)
    doc.getMap('map').set(`key-${n % 20}`, n)
    four[n % 4].awareness.setLocalState({ n })
  }, 10)
  const stop = () => clearInterval(timer)
  t.after(stop)
  return { four, elsewhere, stop }
}

/** One hostile client says its frames; then an edit must still get from one honest client to another. */
async function attack (t, server, { four }, { name, frames, refused }, n) {
  const raw = await Raw.open(t, server, 'room')
  raw.send(step1())
  await eventually(`${name}: the server answers a newcomer`, () => raw.messages.length > 0)
  raw.messages.length = 0
  for (const frame of frames) raw.send(frame)
  if (refused) {
    await eventually(`${name}: the socket is closed`, () => raw.closed, { within: 10_000 })
    assert.ok(raw.closed.code >= 4400 && raw.closed.code < 4500, `${name}: closed with ${raw.closed.code} ${raw.closed.reason}, which is not final`)
  }
  const [from, to] = [four[n % 4], four[(n + 1) % 4]]
  from.doc.getMap('map').set(`after ${n}`, name) // a new key: nothing of what was refused may count against it
  await eventually(`${name}: honest edits arrive`, () => to.doc.getMap('map').get(`after ${n}`) === name,
    { within: 10_000, detail: () => `closed: ${four.map(({ closes }) => closes)}` })
  raw.socket.terminate()
}

async function unharmed (t, server, { four, elsewhere, stop }, pid) {
  stop()
  await converged(four)
  await newcomerSees(t, server, 'room', four)
  await newcomerSees(t, server, 'elsewhere', [elsewhere])
  assert.deepEqual(elsewhere.doc.getMap('map').toJSON(), { here: 'untouched' })
  for (const client of [...four, elsewhere]) {
    assert.deepEqual([client.connects, client.closes], [1, []], 'an honest client lost its connection')
  }
  assert.equal(server.pid, pid)
  assert.ok(server.running)
  if (process.platform === 'linux') {
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024
    t.diagnostic(`peak memory of the server: ${Math.round(peak)} MiB`)
    assert.ok(peak < MEMORY_MIB_MAX, `the server needed ${peak} MiB`)
  }
  // And what was stored can be loaded again.
  await server.kill()
  await server.startAgain()
  await synced(...four)
  await newcomerSees(t, server, 'room', four)
}

for (const [what, inputs] of [
  ['the listed inputs that break yrs or Yjs', listed],
  ['what is too deep, too many or too large', made]
]) {
  test(`[G1] [R9] ${what}: refused for their sender, unnoticed by four who edit`, { timeout: TIMEOUT_MS }, async (t) => {
    const server = await Server.start(t)
    const { pid } = server
    const honest = await people(t, server)
    let n = 0
    for (const input of inputs()) await attack(t, server, honest, input, n++)
    await unharmed(t, server, honest, pid)
  })
}

test('[G1] [R9] random bytes and changed updates: unnoticed by four who edit', { timeout: TIMEOUT_MS }, async (t) => {
  t.diagnostic(`seed ${SEED}`)
  const inputs = randomised(new Random(SEED), Number(process.env.RUANG_TEST_RANDOM ?? 300))
  for (let from = 0; from < inputs.length; from += ROOM_INPUTS) {
    const server = await Server.start(t)
    const { pid } = server
    const honest = await people(t, server)
    const some = inputs.slice(from, from + ROOM_INPUTS)
    for (let n = 0; n < some.length; n++) await attack(t, server, honest, some[n], n)
    await unharmed(t, server, honest, pid)
    await server.kill()
  }
})

test('[G1] what was refused counts against nobody: an honest first edit of a new key goes through', async (t) => {
  const server = await Server.start(t)
  const { pid } = server
  const honest = await people(t, server)
  honest.stop() // quiet, so that the next new key is the honest one
  await converged(honest.four)
  const floods = made().filter(({ name }) => name.includes('set 20,000 times') || name.includes('set one key'))
  for (let round = 0; round < 3; round++) {
    for (const { frames } of floods) {
      const raw = await Raw.open(t, server, 'room')
      await raw.synced()
      for (const frame of frames) raw.send(frame)
      await raw.ends()
    }
  }
  const [one, two] = honest.four
  one.doc.getMap('map').set('a key of its own', 1)
  await eventually('the honest edit arrives', () => two.doc.getMap('map').get('a key of its own') === 1,
    { within: 5_000, detail: () => `closed: ${one.closes}` })
  await unharmed(t, server, honest, pid)
})

test('[R9] a reader that stops reading and sends on is no burden to the others', { timeout: TIMEOUT_MS }, async (t) => {
  const server = await Server.start(t)
  const { pid } = server
  const honest = await people(t, server)
  honest.four[0].doc.getText('text').insert(0, 'long '.repeat(20_000))
  await converged(honest.four)
  const stuck = await Promise.all([0, 1, 2].map(() => Raw.open(t, server, 'room')))
  for (const raw of stuck) {
    raw.socket.pause()
    for (let n = 0; n < 500; n++) raw.send(step1())
  }
  const [one, two] = honest.four
  for (let n = 0; n < 50; n++) {
    one.doc.getMap('map').set('while', n)
    await eventually('honest edits arrive', () => two.doc.getMap('map').get('while') === n, { within: 5_000 })
  }
  await never('an honest client is cut off', () => honest.four.some(({ closes }) => closes.length > 0), 300)
  for (const raw of stuck) raw.socket.terminate()
  await unharmed(t, server, honest, pid)
})
