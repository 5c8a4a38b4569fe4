// Every family in one room: the same document, each other's presence, offline and back, through kill -9.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Server } from '../lib/server.mjs'
import { difference, join, leave, synced } from '../lib/client.mjs'
import { families } from '../lib/families.mjs'
import { Random, SEED } from '../lib/random.mjs'
import { eventually, sleep } from '../lib/wait.mjs'
import '../lib/quiet.mjs'

/** Presence may take so long: who comes back hears of others when they renew theirs, every 15 s. */
const RENEWED_MS = 45_000

const all = (clients, work) => Promise.all(clients.map(work))

async function everyone (t, server, room) {
  const clients = await all(families, (family) => family(t, server, room))
  await all(clients, (client) => client.synced())
  return clients
}

/** Waits until all hold the same document, and so does who comes new. */
async function converge (t, server, room, clients, { within = 30_000 } = {}) {
  const newcomer = join(t, server, room)
  await synced(newcomer)
  let why
  await eventually('all families hold the same document', async () => {
    const docs = await all(clients, (client) => client.doc())
    const found = docs.map((doc, n) => [clients[n].name, difference(newcomer.doc, doc)]).find(([, found]) => found !== null)
    why = found?.join(': ')
    return found === undefined
  }, { within, detail: () => why })
  await eventually('those who can say so have nothing unsaved', () => clients.every(({ saved }) => saved?.() ?? true))
  const doc = newcomer.doc
  leave(newcomer)
  return doc
}

async function seeEachOther (clients, within = RENEWED_MS) {
  let why
  await eventually('everyone sees everyone', async () => {
    const seen = await all(clients, (client) => client.who())
    why = seen.flatMap((who, n) => clients
      .filter((other) => who[other.clientID]?.name !== other.name)
      .map((other) => `${clients[n].name} does not see ${other.name}`))[0]
    return why === undefined
  }, { within, detail: () => why })
}

test('[W50] all families edit one document and see each other', async (t) => {
  const server = await Server.start(t)
  const clients = await everyone(t, server, 'room')
  t.diagnostic(clients.map(({ name }) => name).join(', '))
  await all(clients, async (client) => {
    await client.presence({ name: client.name })
    await client.set(client.name, { by: client.name, list: [1, 'two', null] })
    await client.push(client.name)
    await client.insert(0, `[${client.name}]`)
  })
  const doc = await converge(t, server, 'room', clients)
  const names = clients.map(({ name }) => name).sort()
  assert.deepEqual(doc.getArray('array').toJSON().sort(), names)
  assert.deepEqual(Object.keys(doc.getMap('map').toJSON()).sort(), names)
  for (const name of names) assert.ok(doc.getText('text').toString().includes(`[${name}]`), name)
  await seeEachOther(clients)
})

test('[W50] a state that is changed is seen by all families, and one that is taken away is gone', async (t) => {
  const server = await Server.start(t)
  const clients = await everyone(t, server, 'room')
  await all(clients, (client) => client.presence({ name: client.name }))
  await seeEachOther(clients)
  for (const [n, mover] of clients.entries()) {
    await mover.presence({ name: mover.name, cursor: n })
    await eventually(`all see where ${mover.name} is`, async () =>
      (await all(clients, (client) => client.who())).every((who) => who[mover.clientID]?.cursor === n))
  }
  const [gone, ...rest] = clients
  await gone.presence(null)
  await eventually('it is gone', async () => (await all(rest, (client) => client.who())).every((who) => !who[gone.clientID]))
})

test('[W51] each half goes offline in turn, both sides edit, and all have everything when they return', async (t) => {
  const server = await Server.start(t)
  const clients = await everyone(t, server, 'room')
  await all(clients, (client) => client.presence({ name: client.name }))
  let pushed = 0
  for (const away of [clients.filter((_, n) => n % 2 === 0), clients.filter((_, n) => n % 2 === 1), clients]) {
    await all(away, (client) => client.offline())
    await all(clients, async (client) => {
      for (let n = 0; n < 5; n++) {
        await client.push(`${client.name}/${pushed}/${n}`)
        await client.insert(0, `${n}`)
        await client.set(`shared ${n}`, client.name)
      }
    })
    pushed++
    await all(away, (client) => client.online())
    await all(clients, (client) => client.synced())
    const doc = await converge(t, server, 'room', clients)
    assert.equal(doc.getArray('array').length, pushed * clients.length * 5)
    assert.equal(new Set(doc.getArray('array').toJSON()).size, pushed * clients.length * 5, 'nothing is there twice')
  }
  await seeEachOther(clients)
})

test('[W52] the server is killed with -9 again and again while all families write: nothing is lost, nothing is there twice', async (t) => {
  const server = await Server.start(t)
  const clients = await everyone(t, server, 'room')
  let writing = true
  const written = []
  const writers = clients.map(async (client) => {
    for (let n = 0; writing; n++) {
      const card = `${client.name}/${n}`
      await client.push(card)
      written.push(card)
      await sleep(20)
    }
  })
  for (let round = 0; round < 3; round++) {
    await sleep(700)
    await server.kill()
    await sleep(200)
    await server.startAgain()
    await all(clients, (client) => client.synced())
  }
  writing = false
  await Promise.all(writers)
  const doc = await converge(t, server, 'room', clients)
  assert.deepEqual(doc.getArray('array').toJSON().sort(), written.sort())
  t.diagnostic(`${written.length} cards`)
})

test('[W53] random edits and random absences of all families end in one document', async (t) => {
  t.diagnostic(`RUANG_TEST_SEED=${SEED}`)
  const random = new Random(SEED)
  const server = await Server.start(t)
  const clients = await everyone(t, server, 'room')
  const away = new Set()
  for (let round = 0; round < 40; round++) {
    for (const client of clients) {
      for (let n = random.below(4); n > 0; n--) {
        await random.pick([
          () => client.set(`key ${random.below(5)}`, random.below(1_000)),
          () => client.push(`${client.name} ${round}`),
          () => client.insert(0, random.pick(['x', 'word ', 'äöü ', '😀']))
        ])()
      }
      if (away.has(client)) {
        if (random.chance(0.3)) { away.delete(client); await client.online() }
      } else if (random.chance(0.08)) { away.add(client); await client.offline() }
    }
    await sleep(random.below(20))
  }
  await all([...away], (client) => client.online())
  await all(clients, (client) => client.synced())
  await converge(t, server, 'room', clients)
})
