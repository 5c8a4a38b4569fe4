// Inputs that break peers, made rather than listed: too deep, too many, too large, or random.
// Each is { name, frames, refused }: `refused` says that the socket must be closed with a final code;
// otherwise it may be, or the server may take what is harmless of it.

import { readFileSync } from 'node:fs'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { STEP1, STEP2, UPDATE, awareness, sync } from './raw.mjs'

const write = { number: encoding.writeVarUint, string: encoding.writeVarString, byte: encoding.writeUint8 }

/** Every client id of an attacker is new: it cannot meet one of an honest client. */
let lastClient = 7_000_000_000
const client = () => ++lastClient

/** An update of one client: `count` blocks from `clock` on, written by `block(to, n)`; no deletions unless given. */
function update (count, block, { id = client(), clock = 0, deletes = [] } = {}) {
  return encoding.encode((to) => {
    write.number(to, count > 0 ? 1 : 0)
    if (count > 0) {
      write.number(to, count)
      write.number(to, id)
      write.number(to, clock)
      for (let n = 0; n < count; n++) block(to, n)
    }
    write.number(to, deletes.length)
    for (const { of = id, ranges } of deletes) {
      write.number(to, of)
      write.number(to, ranges.length)
      for (const [at, length] of ranges) {
        write.number(to, at)
        write.number(to, length)
      }
    }
  })
}

/** A block that starts a root's list (`info` 0x04 text, 0x05 embed …) or sets a key of a root map (`key` given). */
function start (to, kind, root, key) {
  write.byte(to, kind | (key === undefined ? 0 : 0x20))
  write.number(to, 1)
  write.string(to, root)
  if (key !== undefined) write.string(to, key)
}

/** A value of arrays in arrays. */
function deep (to, levels) {
  for (let n = 0; n < levels; n++) {
    write.byte(to, 117)
    write.number(to, 1)
  }
  write.byte(to, 126)
}
const deepJson = (levels) => '['.repeat(levels) + ']'.repeat(levels)

const anyIn = (levels) => update(1, (to) => {
  start(to, 8, 'map', 'deep')
  write.number(to, 1)
  deep(to, levels)
})

function nestedTypes (levels) {
  const id = client()
  const build = update(levels, (to, n) => {
    if (n === 0) start(to, 7, 'array')
    else {
      write.byte(to, 7)
      write.number(to, 0)
      write.number(to, id)
      write.number(to, n - 1)
    }
    write.number(to, 0)
  }, { id })
  const remove = update(0, null, { id, deletes: [{ ranges: [[0, 1]] }] })
  return [build, remove]
}

const sets = (count) => update(count, (to, n) => {
  start(to, 8, 'map', 'hot')
  write.number(to, 1)
  write.byte(to, 125)
  encoding.writeVarInt(to, n)
})

const clients = (count, blocks) => encoding.encode((to) => {
  write.number(to, count)
  for (let n = 0; n < count; n++) {
    write.number(to, blocks)
    write.number(to, 8_000_000_000 + n)
    write.number(to, 0)
    for (let block = 0; block < blocks; block++) {
      start(to, 4, 'text')
      write.string(to, '')
    }
  }
  write.number(to, 0)
})

/** Honest in form: as many people, each with a key of its own. */
const keysOfManyClients = (count) => encoding.encode((to) => {
  write.number(to, count)
  for (let n = 0; n < count; n++) {
    write.number(to, 1)
    write.number(to, 8_200_000_000 + n)
    write.number(to, 0)
    start(to, 8, 'map', `of-${n % 100}-${n}`)
    write.number(to, 1)
    write.byte(to, 120)
  }
  write.number(to, 0)
})

const setsOfManyClients = (count) => encoding.encode((to) => {
  write.number(to, count)
  for (let n = 0; n < count; n++) {
    write.number(to, 1)
    write.number(to, 8_100_000_000 + n)
    write.number(to, 0)
    start(to, 8, 'map', 'contested')
    write.number(to, 1)
    write.byte(to, 120)
  }
  write.number(to, 0)
})

/** One block whose left neighbour nobody has. */
const missing = () => update(1, (to) => {
  write.byte(to, 0x80 | 4)
  write.number(to, client())
  write.number(to, 3)
  write.string(to, 'x')
})

const subdocument = (options) => update(1, (to) => {
  start(to, 9, 'map', 'sub')
  write.string(to, 'guid')
  options(to)
})

function presence (entries) {
  return awareness(encoding.encode((to) => {
    write.number(to, entries.length)
    for (const [id, clock, state] of entries) {
      write.number(to, id)
      write.number(to, clock)
      write.string(to, state)
    }
  }))
}

function v2 () {
  const doc = new Y.Doc()
  doc.getMap('map').set('second', 'encoding')
  return Y.encodeStateAsUpdateV2(doc)
}

/** What is listed in tests/fixtures/hostile.json. Updates go both as an Update and as a Step2. */
export function listed () {
  const list = JSON.parse(readFileSync(new URL('../../fixtures/hostile.json', import.meta.url), 'utf8'))
  return list.flatMap(({ name, kind, hex, refused }) => {
    const payloads = hex.map((text) => new Uint8Array(Buffer.from(text, 'hex')))
    const as = (how, wrap) => ({ name: `${kind}: ${name}${how}`, frames: payloads.map(wrap), refused })
    switch (kind) {
      case 'update': return [as(' (as Update)', (bytes) => sync(UPDATE, bytes)), as(' (as Step2)', (bytes) => sync(STEP2, bytes))]
      case 'state vector': return [as('', (bytes) => sync(STEP1, bytes))]
      case 'awareness': return [as('', (bytes) => awareness(bytes))]
      case 'frame': return [as('', (bytes) => bytes)]
      default: throw new Error(`no such kind: ${kind}`)
    }
  })
}

export function made () {
  const both = (name, updates, refused) => [
    { name: `${name} (as Update)`, frames: updates().map((bytes) => sync(UPDATE, bytes)), refused },
    { name: `${name} (as Step2)`, frames: updates().map((bytes) => sync(STEP2, bytes)), refused }
  ]
  const text = (kind, body) => () => [update(1, (to) => { start(to, kind, 'text'); body(to) })]
  return [
    ...both('a value of 7,000 levels', () => [anyIn(7_000)], true),
    ...both('a value of 100,000 levels', () => [anyIn(100_000)], true),
    ...both('a value of 33 levels', () => [anyIn(33)], true),
    ...both('an embed of 10,000 levels of JSON', text(5, (to) => write.string(to, deepJson(10_000))), true),
    ...both('an embed that is no JSON', text(5, (to) => write.string(to, '{"a":')), true),
    ...both('a format of 10,000 levels of JSON', text(6, (to) => { write.string(to, 'bold'); write.string(to, deepJson(10_000)) }), true),
    ...both('10,000 types in each other, then the delete of the outermost', () => nestedTypes(10_000), true),
    ...both('65 types in each other', () => nestedTypes(65), true),
    ...both('one key set 20,000 times', () => [sets(20_000)], true),
    ...both('22,000 clients without blocks', () => [clients(22_000, 0)], true),
    ...both('30,000 clients with an empty text each', () => [clients(30_000, 1)], true),
    ...both('8,000 clients set one key', () => [setsOfManyClients(8_000)], true),
    ...both('a subdocument', () => [subdocument((to) => { write.byte(to, 118); write.number(to, 0) })], true),
    ...both('a subdocument with options of 5,000 levels', () => [subdocument((to) => deep(to, 5_000))], true),
    ...both('a subdocument whose options are a number', () => [subdocument((to) => { write.byte(to, 125); write.number(to, 1) })], true),
    ...both('an update in the second encoding', () => [v2()], true),
    ...both('a name of 10,000 bytes', () => [update(1, (to) => { start(to, 4, 'n'.repeat(10_000)); write.string(to, 'x') })], true),
    { name: '5,000 clients with a key each', frames: [sync(STEP2, keysOfManyClients(5_000))], refused: false },
    { name: '3,000 updates with missing neighbours', frames: Array.from({ length: 3_000 }, () => sync(UPDATE, missing())), refused: false },
    { name: 'a state vector of 100,000 clients', frames: [sync(STEP1, encoding.encode((to) => {
      write.number(to, 100_000)
      for (let n = 0; n < 100_000; n++) { write.number(to, n + 1); write.number(to, 1) }
    }))], refused: true },
    { name: 'a whole document of 1 MiB as one Update', frames: [sync(UPDATE, update(1, (to) => { start(to, 4, 'text'); write.string(to, 'x'.repeat(1_100_000)) }))], refused: false },
    { name: 'presence of 5,000 levels', frames: [presence([[client(), 1, deepJson(5_000)]])], refused: true },
    { name: 'presence of 1 MB', frames: [presence([[client(), 1, JSON.stringify('x'.repeat(1_000_000))]])], refused: true },
    { name: 'presence of 20,000 people', frames: [presence(Array.from({ length: 20_000 }, () => [client(), 1, '{}']))], refused: true },
    { name: 'presence of 4,000 people', frames: [presence(Array.from({ length: 4_000 }, () => [client(), 1, '{}']))], refused: false },
    { name: 'presence of 1,000 people, one after the other', frames: Array.from({ length: 1_000 }, () => presence([[client(), 1, '{}']])), refused: false },
    { name: '2,000 questions at once', frames: Array.from({ length: 2_000 }, () => sync(STEP1, new Uint8Array([0]))), refused: false },
    { name: '2,000 presence questions at once', frames: Array.from({ length: 2_000 }, () => new Uint8Array([3])), refused: false },
    { name: 'a text frame', frames: ['hello'], refused: true }
  ]
}

/** Random bytes, and real updates with some bytes changed. */
export function randomised (random, count) {
  return Array.from({ length: count }, (_, n) => {
    const frames = [0, 1, 2].map(() => {
      const kind = random.pick([STEP1, STEP2, UPDATE, 'awareness', 'frame'])
      const bytes = random.chance(0.4) ? random.bytes(random.below(60)) : changed(random)
      if (kind === 'awareness') return awareness(bytes)
      return kind === 'frame' ? bytes : sync(kind, bytes)
    })
    return { name: `random ${n}`, frames, refused: false }
  })
}

function changed (random) {
  const doc = new Y.Doc()
  doc.clientID = client()
  doc.getText('text').insert(0, 'some text', { bold: true })
  doc.getMap('map').set('random', [1, { a: 'b' }])
  doc.getArray('array').insert(0, [new Y.Map([['in', 1]]), 2])
  doc.getText('text').delete(2, 3)
  const bytes = Y.encodeStateAsUpdate(doc)
  for (let n = 1 + random.below(4); n > 0; n--) {
    bytes[random.below(bytes.length)] = random.pick([0, 1, 2, 127, 128, 255, random.below(256)])
  }
  return random.chance(0.2) ? bytes.slice(0, random.below(bytes.length)) : bytes
}
