// Who is here: y-websocket's awareness, through clean leaves, crashes and returns.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { Server } from './lib/server.mjs'
import { crash, join, synced } from './lib/client.mjs'
import { Raw, awareness, step1 } from './lib/raw.mjs'
import { eventually, never } from './lib/wait.mjs'

// Clients drop a silent peer by themselves after 30 s: the server must be well before that.
const GRACE_MS_MAX = 15_000
// A returning client raises its clock at its next renewal: at 15 s, looked at every 3 s.
const RENEWAL_MS_MAX = 22_000

const names = ({ awareness }) => [...awareness.getStates().values()].map((state) => state.name ?? state.user?.name).filter(Boolean).sort()
const sees = (client, expected, options) => eventually(`presence is ${expected}`, () =>
  names(client).join() === expected.join(), { detail: () => `it is ${names(client)}`, ...options })

/** Counts how often others vanish from a client's view: also when they are back at once. */
function removals (client) {
  const count = { now: 0 }
  client.awareness.on('change', ({ removed }) => { count.now += removed.length })
  return count
}

function enter (t, server, room, name) {
  const client = join(t, server, room)
  client.awareness.setLocalState({ name })
  return client
}

test('[R7] three people see each other come, change and leave', async (t) => {
  const server = await Server.start(t)
  const ann = enter(t, server, 'presence', 'ann')
  const bob = enter(t, server, 'presence', 'bob')
  await synced(ann, bob)
  await sees(ann, ['ann', 'bob'])
  const cid = enter(t, server, 'presence', 'cid') // late: it must be told who is there
  await Promise.all([ann, bob, cid].map((client) => sees(client, ['ann', 'bob', 'cid'])))
  for (let x = 0; x < 30; x++) bob.awareness.setLocalStateField('cursor', { x })
  await Promise.all([ann, cid].map((client) => eventually('the last cursor arrives', () =>
    client.awareness.getStates().get(bob.doc.clientID)?.cursor?.x === 29)))
  bob.awareness.setLocalState(null)
  await Promise.all([ann, cid].map((client) => sees(client, ['ann', 'cid'])))
  bob.awareness.setLocalState({ name: 'bob' })
  await Promise.all([ann, cid].map((client) => sees(client, ['ann', 'bob', 'cid'])))
  cid.provider.disconnect()
  await Promise.all([ann, bob].map((client) => sees(client, ['ann', 'bob'], { within: 1_500 }))) // at once: no grace
})

test('[R8] who crashes is removed after the grace, not before; who returns in between was never away', async (t) => {
  const server = await Server.start(t)
  const ann = enter(t, server, 'crash', 'ann')
  const bob = enter(t, server, 'crash', 'bob')
  await synced(ann, bob)
  await sees(ann, ['ann', 'bob'])
  const vanished = removals(ann)
  // A short loss of the network: the provider is back in 200 ms.
  bob.provider.ws.terminate()
  await never('bob vanishes', () => vanished.now > 0, 1_000)
  await synced(bob)
  await never('bob vanishes after his return', () => vanished.now > 0, GRACE_MS_MAX / 2)
  crash(bob)
  await never('bob is removed without grace', () => vanished.now > 0, 700)
  await sees(ann, ['ann'], { within: GRACE_MS_MAX })
  bob.provider.connect()
  await synced(bob)
  await sees(ann, ['ann', 'bob'], { within: RENEWAL_MS_MAX })
  assert.equal(ann.connects, 1)
})

test('[R8] a participant whose process was killed is removed after the grace', async (t) => {
  const server = await Server.start(t)
  const ann = enter(t, server, 'killed', 'ann')
  const zed = enter(t, server, 'killed', 'zed')
  await synced(ann, zed)
  const child = spawn(process.execPath, [
    fileURLToPath(new URL('./lib/presence.child.mjs', import.meta.url)), server.ws, 'killed', 'kid'
  ], { stdio: ['ignore', 'inherit', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  await Promise.all([ann, zed].map((client) => sees(client, ['ann', 'kid', 'zed'])))
  child.kill('SIGKILL')
  await Promise.all([ann, zed].map((client) => sees(client, ['ann', 'zed'], { within: GRACE_MS_MAX })))
})

test('[R8] presence that someone else announces for a person who is here cannot remove that person', async (t) => {
  const server = await Server.start(t)
  const ann = enter(t, server, 'removal', 'ann')
  const bob = enter(t, server, 'removal', 'bob')
  await synced(ann, bob)
  await sees(ann, ['ann', 'bob'])
  const raw = await Raw.open(t, server, 'removal')
  raw.send(step1())
  await eventually('an answer', () => raw.messages.length > 0)
  const id = []
  for (let rest = bob.doc.clientID; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) { id.push(rest); break }
    id.push(128 | (rest % 128))
  }
  const { clock } = bob.awareness.meta.get(bob.doc.clientID)
  const vanished = removals(ann) // bob comes back at once when he reads that he is gone
  for (const as of [clock, clock + 1]) raw.send(awareness(new Uint8Array([1, ...id, as, 4, ...Buffer.from('null')])))
  await never('bob is removed by a stranger', () => vanished.now > 0, 1_000)
})

test('[R7] presence is not data: a restart forgets it, and those who are there are seen again', async (t) => {
  const server = await Server.start(t)
  const ann = enter(t, server, 'restart', 'ann')
  const bob = enter(t, server, 'restart', 'bob')
  await synced(ann, bob)
  await sees(ann, ['ann', 'bob'])
  bob.provider.disconnect()
  await server.kill()
  await server.startAgain()
  await synced(ann)
  const eve = enter(t, server, 'restart', 'eve')
  await sees(eve, ['ann', 'eve'])
})
