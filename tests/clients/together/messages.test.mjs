// What each message gets, by family and role: the table in docs/PROTOCOL.md, cell by cell, through real sockets.
//
// RUANG_TEST_PRINT=1 prints the table as the server has it, instead of comparing.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { WebSocket } from 'ws'
import * as Y from 'yjs'
import { Server } from '../lib/server.mjs'
import { join, synced } from '../lib/client.mjs'
import { manager } from '../lib/y-sweet.mjs'
import { eventually, sleep } from '../lib/wait.mjs'

const TOKEN = 'the-token-of-the-back-end-0123456789_-abcdef'
const FAMILIES = ['y-websocket', 'ruang.v1', 'Hocuspocus', 'y-sweet']
const PRINT = process.env.RUANG_TEST_PRINT === '1'

const hex = (text) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const sync = (kind, payload) => encoding.encode((to) => {
  encoding.writeVarUint(to, 0)
  encoding.writeVarUint(to, kind)
  encoding.writeVarUint8Array(to, payload)
})
const NOTHING = hex('0000')

/** Edits under new client ids, so that each is new to the room. */
const edit = (key) => {
  const doc = new Y.Doc()
  doc.getMap('map').set(key, true)
  return Y.encodeStateAsUpdate(doc)
}
const gap = (key) => {
  const doc = new Y.Doc()
  doc.getMap('map').set('missing', true)
  const before = Y.encodeStateVector(doc)
  doc.getMap('map').set(key, true)
  return Y.encodeStateAsUpdate(doc, before)
}

/** The rows: how the message is made. `key` is what an edit sets and a state says. */
const MESSAGES = {
  Step1: () => hex('00 00 01 00'),
  'Update, new': (key) => sync(2, edit(key)),
  'Update, nothing new': () => sync(2, NOTHING),
  'Update, builds on something missing': (key) => sync(2, gap(key)),
  'Step2, new': (key) => sync(1, edit(key)),
  Awareness: (key) => encoding.encode((to) => {
    encoding.writeVarUint(to, 1)
    encoding.writeVarUint8Array(to, encoding.encode((state) => {
      for (const number of [1, 7_000 + Number(key.slice(1)), 1]) encoding.writeVarUint(state, number)
      encoding.writeVarString(state, JSON.stringify({ key }))
    }))
  }),
  QueryAwareness: () => hex('03'),
  'SyncStatus `66`': () => hex('66 01 05'),
  'Stateless `05`': (key) => encoding.encode((to) => { encoding.writeVarUint(to, 5); encoding.writeVarString(to, key) }),
  'Ack `6e`, Expiry `6f`, Refused `70`': () => hex('6e 01 00'),
  'SyncReply `04`': () => hex('04 01 02 0000'),
  'BroadcastStateless `06`': () => hex('06 01 61'),
  'SyncStatus `08`': () => hex('08 01'),
  'any other type': () => hex('ce 0f 01 00'),
  'a sync message that does not exist': () => hex('00 07 01 00'),
  'a message that ends too early': () => hex('00 02 09 01'),
  'an update that is none': () => hex('00 02 03 ffffff'),
  'a state vector that is none': () => hex('00 00 02 ff01'),
  'presence that is no JSON': () => hex('01 06 01 07 01 02 7b7b'),
  'a text frame': () => 'text',
  'an empty frame': () => new Uint8Array()
}

/** A socket of a family, behind its greeting. */
class Bare {
  static async open (t, server, family, room, token) {
    const bare = new Bare()
    Object.assign(bare, { family, room, messages: [] })
    const path = { Hocuspocus: 'hocuspocus', 'y-sweet': `d/${room}/ws/${room}?token=${token}` }[family] ?? `ws/${room}?token=${token}`
    bare.socket = new WebSocket(`ws://127.0.0.1:${server.port}/${path}`, family === 'ruang.v1' ? ['ruang.v1'] : [])
    bare.socket.on('message', (data) => bare.messages.push(bare.read(new Uint8Array(data))))
    bare.socket.on('close', (code) => { bare.code = code })
    bare.socket.on('error', () => {})
    t.after(() => bare.socket.terminate())
    await eventually('it opens', () => bare.socket.readyState === WebSocket.OPEN)
    if (family === 'Hocuspocus') {
      bare.send(encoding.encode((to) => {
        encoding.writeVarUint(to, 2)
        encoding.writeVarUint(to, 0)
        encoding.writeVarString(to, token)
      }))
    }
    bare.send(hex('00 00 01 00'))
    await eventually('it is asked', () => bare.messages.includes('Step1'))
    bare.send(sync(1, NOTHING))
    if (family === 'y-sweet') bare.send(hex('66 01 00'))
    const told = { Hocuspocus: '`08 01`', 'y-sweet': '`66`', 'ruang.v1': '`6e`' }[family]
    if (told) await eventually('its Step2 is decided', () => bare.messages.includes(told))
    bare.messages.length = 0
    return bare
  }

  /** Whole frames of the family; text and nothing as they are. */
  send (message) {
    if (this.family !== 'Hocuspocus' || typeof message === 'string' || message.length === 0) return this.socket.send(message)
    this.socket.send(encoding.encode((to) => {
      encoding.writeVarString(to, this.room)
      encoding.writeUint8Array(to, message)
    }))
  }

  /** What a message is called in the table; undefined for keepalives. */
  read (frame) {
    const from = decoding.createDecoder(frame)
    if (this.family === 'Hocuspocus') decoding.readVarString(from)
    const [type, kind] = [decoding.readVarUint(from), decoding.hasContent(from) ? from.arr[from.pos] : undefined]
    if (type === 0) return ['Step2', 'Step1', 'Update'][[1, 0, 2].indexOf(kind)]
    if (type === 1) return kind === 1 ? undefined : 'Awareness'
    if (type === 2) return this.family === 'Hocuspocus' && kind !== 1 ? undefined : this.family === 'Hocuspocus' ? '`02 01`' : '`02 00`'
    if (type === 8) return `\`08 0${kind}\``
    return `\`${type.toString(16).padStart(2, '0')}\``
  }
}

/** Waits until the server has dealt with all that a socket has sent, and has said so: who is here is asked, and answered. */
async function dealtWith (bare) {
  const answers = () => bare.messages.filter((said) => said === 'Awareness').length
  const before = answers()
  const isOver = () => bare.code !== undefined || bare.messages.includes('`02 01`')
  if (!isOver()) bare.send(MESSAGES.QueryAwareness())
  await eventually('who is here is answered', () => isOver() || answers() > before)
}

/** What came of a message: all that its sender heard, and whether others saw it. */
async function outcome (t, world, family, role, message, expected) {
  const { server, watcher, other } = world
  const key = `k${++world.count}`
  const bare = await Bare.open(t, server, family, 'room', world.tokens[role])
  other.messages.length = 0
  world.shown.clear()
  bare.send(MESSAGES[message](key))
  const isEdit = /^(Update|Step2)/.test(message)
  if (family === 'y-sweet' && isEdit) bare.send(hex('66 01 01'))
  // An edit of somebody else behind it: when that has come, what was sent before is decided.
  await dealtWith(bare)
  watcher.doc.getMap('map').set('behind', key)
  await eventually('the sender hears of it, or is sent away', () =>
    bare.code !== undefined || bare.messages.includes('`02 01`') || bare.messages.includes('Update'))
  const words = () => {
    const heard = bare.messages.filter((said) => said !== undefined && said !== 'Update')
    // Others come and go meanwhile: presence counts where it is asked for, and once.
    const own = heard.filter((said, n) => said !== 'Awareness' || (message === 'QueryAwareness' && heard.indexOf(said) === n))
    const shown = [
      watcher.doc.getMap('map').has(key) && 'stored',
      world.shown.has(key) && 'shown',
      other.messages.includes('`05`') && 'relayed'
    ].filter(Boolean)
    return [...shown, ...own, ...(bare.code === undefined ? [] : [String(bare.code)])].join(', ') || 'nothing'
  }
  if (PRINT) {
    await sleep(1_500)
  } else {
    await eventually(`${message} of ${role}, ${family}: ${expected}`, () => words() === expected, { within: 5_000, detail: words })
    await dealtWith(bare)
    assert.equal(words(), expected, `${message} of ${role}, ${family}, and nothing more`)
  }
  bare.socket.terminate()
  return words()
}

async function table () {
  const text = await readFile(new URL('../../../docs/PROTOCOL.md', import.meta.url), 'utf8')
  const [, section] = text.split('\n## What each message gets\n')
  const rows = section.split('\n## ')[0].split('\n').filter((line) => line.startsWith('| ')).slice(1)
  return rows.map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
}

test('[W54] each message gets what the table in PROTOCOL.md says, for each family and role, malformed ones too', { timeout: 600_000 }, async (t) => {
  const server = await Server.start(t, { env: { RUANG_Y_SWEET_TOKEN: TOKEN } })
  const docs = manager(server, TOKEN)
  await docs.createDoc('room')
  const token = async (authorization) => (await docs.getClientToken('room', { authorization })).token
  const tokens = { editor: await token('full'), viewer: await token('read-only') }
  const watcher = join(t, server, 'room', { params: { token: TOKEN } })
  await synced(watcher)
  const shown = new Set()
  watcher.awareness.on('update', () => { for (const { key } of watcher.awareness.getStates().values()) if (key) shown.add(key) })
  const other = await Bare.open(t, server, 'Hocuspocus', 'room', tokens.editor)
  const world = { server, watcher, other, tokens, shown, count: 0 }
  const rows = PRINT
    ? Object.keys(MESSAGES).flatMap((message) => ['editor', 'viewer'].map((role) => [message, role]))
    : await table()
  for (const [message, roles, ...cells] of rows) {
    assert.ok(MESSAGES[message], `${message} is known to this test`)
    for (const role of roles === 'both' ? ['editor', 'viewer'] : [roles]) {
      const found = []
      for (const [n, family] of FAMILIES.entries()) found.push(await outcome(t, world, family, role, message, cells[n]))
      if (PRINT) console.log(`| ${message} | ${role} | ${found.join(' | ')} |`)
    }
  }
  const walked = new Set(rows.map(([message]) => message))
  assert.deepEqual([...walked].sort(), Object.keys(MESSAGES).sort(), 'every message has its row')
  t.diagnostic(`${rows.length} rows, ${FAMILIES.length} families`)
})
