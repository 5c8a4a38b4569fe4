// A team behind a balancer without sticky sessions: several servers on one Redis look like one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Balancer, Redis } from './lib/redis.mjs'
import { Server } from './lib/server.mjs'
import { converged, join, newcomerSees, synced } from './lib/client.mjs'
import { eventually, sleep } from './lib/wait.mjs'

const TIMEOUT_MS = 300_000 * Number(process.env.RUANG_TEST_PATIENCE ?? 1)

/** Types into everything until told to stop. */
function typing (t, { doc }, name) {
  let n = 0
  const timer = setInterval(() => {
    n++
    doc.getText('text').insert(doc.getText('text').length, `${name}${n} `)
    doc.getMap('map').set(`${name}-${n % 10}`, n)
    doc.getArray('array').push([`${name}${n}`])
    if (n % 7 === 0) doc.getArray('array').delete(0, 1)
  }, 5)
  const stop = () => clearInterval(timer)
  t.after(stop)
  return stop
}

async function team (t, count) {
  const redis = await Redis.start(t)
  const servers = []
  for (let n = 0; n < count; n++) servers.push(await Server.start(t, { store: redis.store }))
  return { redis, servers, balancer: await Balancer.start(t, servers) }
}

test('[R28] [R31] six people behind a balancer: edits and presence cross three servers, whoever moves where', { timeout: TIMEOUT_MS }, async (t) => {
  const { servers, balancer } = await team(t, 3)
  const people = Array.from({ length: 6 }, () => join(t, balancer, 'room'))
  await synced(...people)
  people.forEach(({ awareness }, n) => awareness.setLocalState({ name: `person ${n}` }))
  await eventually('everyone sees everyone', () => people.every(({ awareness }) => awareness.getStates().size === 6))
  const stops = people.map((person, n) => typing(t, person, 'abcdef'[n]))
  for (let round = 0; round < 5; round++) {
    await sleep(300)
    balancer.cutAll()
  }
  await sleep(300)
  stops.forEach((stop) => stop())
  await synced(...people)
  await converged(people)
  for (const server of servers) await newcomerSees(t, server, 'room', people)
  // A provider takes others in again, after it has lost its connection, when they renew their states: after 15 s.
  await eventually('everyone still sees everyone', () => people.every(({ awareness }) => awareness.getStates().size === 6), { within: 60_000 })
  assert.ok(people.every(({ closes }) => closes.every((code) => code === 'own' || code < 4400)), 'nobody was refused for good')
})

test('[R28] [R32] kill -9 of servers and of Redis while people type: all that anyone had seen is there', { timeout: TIMEOUT_MS }, async (t) => {
  const { redis, servers, balancer } = await team(t, 2)
  const people = Array.from({ length: 4 }, () => join(t, balancer, 'room', { maxBackoffTime: 300 }))
  await synced(...people)
  const stops = people.map((person, n) => typing(t, person, 'abcd'[n]))
  for (let round = 0; round < 4; round++) {
    await sleep(250)
    const victim = servers[round % 2]
    await victim.kill()
    await sleep(150)
    await victim.startAgain()
    await redis.kill()
    await sleep(100)
    await redis.startAgain()
  }
  stops.forEach((stop) => stop())
  await synced(...people)
  await converged(people)
  for (const server of servers) await newcomerSees(t, server, 'room', people)
  const typed = people[0].doc.getText('text').toString()
  for (const name of 'abcd') {
    const numbers = [...typed.matchAll(new RegExp(`${name}(\\d+) `, 'g'))].map((match) => Number(match[1]))
    numbers.sort((one, two) => one - two)
    assert.deepEqual(numbers, numbers.map((_, at) => at + 1), `${name} has lost or doubled something`)
  }
})

test('[R30] Redis loses everything while people type: it is stored again, once', { timeout: TIMEOUT_MS }, async (t) => {
  const { redis, servers, balancer } = await team(t, 2)
  const people = Array.from({ length: 4 }, () => join(t, balancer, 'room'))
  await synced(...people)
  const stops = people.map((person, n) => typing(t, person, 'abcd'[n]))
  for (let round = 0; round < 3; round++) {
    await sleep(300)
    assert.equal(await redis.ask('FLUSHALL'), '+OK')
  }
  await sleep(300)
  stops.forEach((stop) => stop())
  await converged(people)
  for (const server of servers) await newcomerSees(t, server, 'room', people)
  const healed = await Promise.all(servers.map((server) => server.metric('rooms_healed_total')))
  assert.ok(healed.some((count) => count > 0), `healed: ${healed}`)
  const typed = people[0].doc.getText('text').toString()
  const all = [...typed.matchAll(/([a-d]\d+) /g)].map((match) => match[1])
  assert.equal(new Set(all).size, all.length, 'nothing is there twice')
})
