// [G1, G23] Random histories of Yjs 13 and Yjs 14 against the gate and the fold alone, through a pipe: no sockets,
// no clock, so hundreds of histories take seconds and a seed repeats one exactly.
//   RUANG_TEST_SEED=123 RUANG_TEST_HISTORIES=1 node --test gate-generators.test.mjs

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import * as Y13 from 'yjs'
import * as Y14 from '@y/y'
import * as edits13 from './lib/edits13.mjs'
import * as edits14 from './lib/edits14.mjs'
import { Random, SEED } from './lib/random.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const HISTORIES = Number(process.env.RUANG_TEST_HISTORIES ?? 40)
const ROUNDS = 60
const DRAG = 600

/** The example `gate_pipe`: one line in, one line out. */
class Gate {
  static start (t) {
    const program = process.env.GATE_PIPE ?? `${ROOT}target/debug/examples/gate_pipe`
    if (!existsSync(program)) {
      const built = spawnSync('cargo', ['build', '--quiet', '--example', 'gate_pipe'], { cwd: ROOT, stdio: 'inherit' })
      assert.equal(built.status, 0, 'gate_pipe builds')
    }
    return new Gate(t, program)
  }

  constructor (t, program) {
    this.child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] })
    t.after(() => this.child.stdin.end())
    this.waiting = []
    createInterface({ input: this.child.stdout }).on('line', (line) => this.waiting.shift().resolve(line))
    this.child.on('exit', () => this.waiting.forEach(({ reject }) => reject(new Error('the gate died'))))
  }

  async ask (line) {
    const answer = await new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject })
      this.child.stdin.write(line + '\n')
    })
    assert.ok(answer.startsWith('ok '), `${answer}\n${line}`)
    return answer
  }

  async bytes (line) { return Buffer.from((await this.ask(line)).slice(3), 'hex') }
  vector () { return this.bytes('sv') }

  async admit (kind, update) {
    const answer = await this.ask(`admit ${kind} ${Buffer.from(update).toString('hex')}`)
    const [, remainder, unknown] = answer.match(/^ok (\S+) known=\d+ unknown=(\d+)$/)
    return { remainder: remainder === '-' ? null : Buffer.from(remainder, 'hex'), unknown: Number(unknown) }
  }
}

/** One client: a document, what it has not sent yet, and whether it hears the server. */
class Client {
  constructor (Y, edits, random) {
    this.Y = Y
    this.doc = new Y.Doc()
    this.doc.clientID = random.below(2 ** (Y === Y14 ? 53 : 32))
    edits.declare(this.doc)
    this.undo = edits.undoManager(this.doc)
    this.outbox = []
    this.sent = []
    this.online = true
    this.doc.on('update', (update, origin) => { if (origin !== 'server') this.outbox.push(update) })
  }

  hear (update) { this.Y.applyUpdate(this.doc, update, 'server') }
}

/** A room: every remainder goes to all who are online, its author too. */
class Room {
  constructor (gate, clients) { this.gate = gate; this.clients = clients; this.counts = { admitted: 0, gaps: 0, steps: 0, skips: 0 } }

  async offer (kind, update) {
    const { remainder, unknown } = await this.gate.admit(kind, update)
    if (remainder !== null) {
      this.counts.admitted++
      for (const client of this.clients) if (client.online) client.hear(remainder)
    }
    return unknown
  }

  /** Sends what a client has made; some get lost, which makes gaps. Readers send too: Yjs cleans up formats. */
  async send (client, random, loss) {
    for (const update of client.outbox.splice(0)) {
      client.sent.push(update)
      if (random.chance(loss)) continue
      if (await this.offer('update', update) > 0) { this.counts.gaps++; await this.ask(client) }
    }
  }

  /** SyncStep1 to a client, its Step2 back. What it waits for itself comes behind a Skip. */
  async ask (client) {
    this.counts.steps++
    const unknown = await this.offer('step2', client.Y.encodeStateAsUpdate(client.doc, await this.gate.vector()))
    if (unknown > 0) {
      this.counts.skips++
      assert.ok(client.doc.store.pendingStructs !== null || client.doc.store.pendingDs !== null || client.Y === Y14, 'a Step2 is complete, but for what is pending')
    }
  }

  /** Comes back: both directions. */
  async join (client) {
    client.online = true
    client.hear(await this.gate.bytes(`diff ${Buffer.from(client.Y.encodeStateVector(client.doc)).toString('hex')}`))
    await this.ask(client)
    client.outbox.length = 0 // all of it is in the Step2
  }
}

// Yjs puts U+FFFD where an edit looks between the halves of a pair, on the editing client alone if nothing came of it:
// then clients differ by themselves, so neither pairs nor halves are compared.
const whole = (content) => content.replace(/[\ud800-\udfff\ufffd]/g, '')

const sorted = (value) => JSON.stringify(value, (_key, inner) =>
  inner !== null && typeof inner === 'object' && !Array.isArray(inner)
    ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1))
    : inner)

const content13 = (doc) => {
  const [map, array, text, xml] = edits13.declare(doc)
  const element = (node) => node instanceof Y13.XmlText
    ? node.toDelta()
    : [node.nodeName, node.getAttributes?.() ?? {}, node.toArray().map(element)]
  return sorted([map.toJSON(), array.toJSON(), text.toDelta(), xml.toArray().map(element)])
}

async function history (t, gate, Y, edits, content, seed) {
  const random = new Random(seed)
  await gate.ask('reset')
  // Every other room counts steps from the start, every other of the rest from the middle on.
  if (seed % 2 === 0) await gate.ask('learn')
  const clients = Array.from({ length: 5 }, () => new Client(Y, edits, random))
  const editors = clients.slice(1) // the first only reads
  const room = new Room(gate, clients)
  for (let round = 0; round < ROUNDS; round++) {
    const client = random.pick(editors)
    for (let n = random.below(4); n > 0; n--) edits.randomEdit(client.doc, client.undo, random)
    if (round === ROUNDS / 2) {
      if (seed % 4 === 1) await gate.ask('learn')
      for (const away of editors.slice(0, 2)) { away.online = false; edits.drag(away.doc, DRAG, random) }
    }
    if (random.chance(0.08)) client.online = false
    else if (random.chance(0.3) && !client.online) await room.join(client)
    // A tab tells another of the same browser, out of order: the other's Step2 has Skips.
    if (random.chance(0.1) && client.outbox.length + client.sent.length > 3) {
      const told = random.pick(editors)
      if (told !== client) told.hear([...client.sent, ...client.outbox].at(-1 - random.below(2)))
      if (told.online) await room.ask(told)
    }
    for (const each of clients) if (each.online) await room.send(each, random, 0.05)
  }
  for (let again = 0; again < 2; again++) for (const client of clients) await room.join(client)
  for (const client of clients) await room.join(client)
  const newcomer = new Y.Doc()
  edits.declare(newcomer)
  Y.applyUpdate(newcomer, await gate.bytes('full'), 'server')
  for (const [n, client] of clients.entries()) {
    assert.equal(whole(content(client.doc)), whole(content(newcomer)), `seed ${seed}: client ${n} sees what a newcomer sees`)
  }
  const vector = (bytes) => [...Y.decodeStateVector(bytes)].sort(([a], [b]) => a - b)
  for (const client of clients) {
    assert.deepEqual(vector(Y.encodeStateVector(client.doc)), vector(await gate.vector()), `seed ${seed}: equal state vectors`)
  }
  return room.counts
}

for (const [name, Y, edits, content] of [['13', Y13, edits13, content13], ['14', Y14, edits14, edits14.content]]) {
  test(`[G1, G23] Yjs ${name}: random histories pass the gate whole`, { timeout: 600_000 }, async (t) => {
    const gate = Gate.start(t)
    const total = { admitted: 0, gaps: 0, steps: 0, skips: 0 }
    t.diagnostic(`seeds ${SEED} to ${SEED + HISTORIES - 1}`)
    for (let seed = SEED; seed < SEED + HISTORIES; seed++) {
      const counts = await history(t, gate, Y, edits, content, seed)
      for (const key of Object.keys(total)) total[key] += counts[key]
    }
    t.diagnostic(`${HISTORIES} histories: ${sorted(total)}`)
  })
}
